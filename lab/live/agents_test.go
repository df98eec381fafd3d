// SPDX-License-Identifier: Apache-2.0

package live

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// twoAgents runs two agents, a healthy server, and a process whose memory cannot be
// read. One agent and the server are stopped for a while. The other agent has a hard
// memory limit, is killed and started again. All must continue, and no eBPF program
// may be left.
func twoAgents(t *testing.T, l *lab) {
	config := filepath.Join(l.dir, "agents.yml")
	outside.Must(t, os.WriteFile(config, []byte(agentConfig), 0o644))
	server := l.node(t, nil)
	warm(t, server)
	locked := lockedMemory(t, l)
	first, second := l.startAgent(t, config), l.startLimitedAgent(t, config)

	began := time.Now()
	outside.Must(t, first.cmd.Process.Signal(syscall.SIGSTOP))
	pauses(t, server, pausedFor)
	second.goesOn(t, locked)
	time.Sleep(pauseLimit - time.Since(began))
	outside.Must(t, first.cmd.Process.Signal(syscall.SIGCONT))
	outside.Eventually(t, overhead, "the pause is told", func() bool {
		return strings.Contains(first.log.String(), "resetting windows after a pause")
	})
	if n := sum(first.metrics(t)["headroom_standstills_total"]); n != 1 {
		t.Errorf("%v pauses, want 1", n)
	}
	if f := first.find(t, server); f != nil && f.Impact > pausedShare/2 {
		t.Errorf("finding about a pause that the agent did not observe: %s", f)
	}

	second.livesWithIts(t, agentLimit)
	l.diesAndComesBack(t, second, config)
	outside.Must(t, first.cmd.Process.Signal(syscall.SIGTERM))
	if code := exitCode(first.cmd.Wait()); code != 0 {
		t.Errorf("exit %d after SIGTERM, want 0", code)
	}
}

// littleMemory runs an agent with the minimum memory, on a host with more processes
// than it can track. The agent must drop idle processes, report that with the setting
// to raise, and still find the fault of the busy process.
func littleMemory(t *testing.T, l *lab) {
	config := filepath.Join(l.dir, "little-memory.yml")
	outside.Must(t, os.WriteFile(config, []byte(agentConfig+"memory: 32MiB\n"), 0o644))
	server := l.node(t, nil)
	warm(t, server)
	idle := start(t, exec.Command("sh", "-c", fmt.Sprintf("for n in $(seq %d); do sleep 600 & done; echo started; wait", idleProcesses)))
	outside.Eventually(t, startLimit, "the processes run", func() bool { return strings.Contains(idle.out.String(), "started") })
	a := l.startAgent(t, config)

	httpLoad(t, server.url("/burn?ms=2500"), 0.3)
	outside.Eventually(t, pendingLimit, "it is told", func() bool { return a.find(t, server) != nil })
	m := a.metrics(t)
	if left := sum(m["headroom_processes_left_out"]); left < idleProcesses/4 || left > idleProcesses {
		t.Errorf("%v processes are left out, want a good part of %d", left, idleProcesses)
	}
	if limit := sum(m["go_gc_gomemlimit_bytes"]); limit != 32*mib {
		t.Errorf("the memory limit is %v bytes, want 32 MiB", limit)
	}
	_, text := a.get("/api/v1/findings")
	r, err := parseReport([]byte(text))
	outside.Must(t, err)
	if !slices.ContainsFunc(r.Gaps, func(g gap) bool {
		return g.Source == "memory" && strings.Contains(g.Reason, "are left out") && strings.Contains(g.Cure, "raise memory in the config")
	}) {
		t.Errorf("it does not say what it leaves out, and how to cure that:\n%s", r)
	}
}

// idleProcesses is more than an agent with the minimum memory can track.
const idleProcesses = 500

const (
	pausedFor = 3 * time.Second
	// pausedShare is the share of a window during which the server is paused.
	pausedShare = 0.5
)

// agentLimit is a memory limit in MiB that suffices for an agent on such a host; a
// third of it is used by its eBPF maps.
const agentLimit = 64

// startLimitedAgent starts an agent with a hard memory limit.
func (l *lab) startLimitedAgent(t *testing.T, config string) *watch {
	t.Helper()
	const group = "headroom-lab-agent"
	g := newGroup(t, group, cgroups.MemoryLimit(agentLimit*mib), cgroups.Memory)
	return l.startAgentAt(t, config, fmt.Sprintf("127.0.0.1:%d", outside.FreePort(t)), g.Enter()...)
}

// livesWithIts checks that the agent leaves half of its limit to memory outside the
// Go runtime, and logs that.
func (a *watch) livesWithIts(t *testing.T, limit float64) {
	t.Helper()
	if got := sum(a.metrics(t)["go_gc_gomemlimit_bytes"]); got != limit*mib/2 {
		t.Errorf("its budget is %.1f MiB under a limit of %.0f", got/mib, limit)
	}
	if !strings.Contains(a.log.String(), "memory is limited to less than the config allows") {
		t.Error("the agent does not log that its memory is limited")
	}
}

// pauseLimit is slightly longer than the minimum length of a pause.
const pauseLimit = 12 * time.Second

// pauses stops a server for a while, as an operator or a debugger does.
func pauses(t *testing.T, server *process, d time.Duration) {
	t.Helper()
	outside.Must(t, syscall.Kill(server.pid, syscall.SIGSTOP))
	time.Sleep(d)
	outside.Must(t, syscall.Kill(server.pid, syscall.SIGCONT))
}

// goesOn checks that each sampler is read about once a second, and that the process
// whose memory cannot be read has the name of its executable.
func (a *watch) goesOn(t *testing.T, locked *process) {
	t.Helper()
	const reads = "headroom_sampler_reads_total"
	before := a.metrics(t)[reads]
	time.Sleep(4 * time.Second)
	m := a.metrics(t)
	for _, name := range []string{"proc", "loop", "runqueue", "fd", "cpu", "cgroup"} {
		if n := sum(m[reads], "sampler", name) - sum(before, "sampler", name); n < 2 {
			t.Errorf("%s was read %v times in 4 s", name, n)
		}
	}
	if _, ok := seriesOf(m["process_cpu_time_seconds_total"], lockedName); !ok {
		t.Errorf("%s (pid %d) is not reported", lockedName, locked.pid)
	}
}

// diesAndComesBack kills an agent and starts it again. The kernel must remove its
// eBPF programs.
func (l *lab) diesAndComesBack(t *testing.T, a *watch, config string) {
	t.Helper()
	programs := programsOf(t, a.cmd.Process.Pid)
	if len(programs) == 0 {
		t.Fatal("the agent holds no eBPF program")
	}
	outside.Must(t, a.cmd.Process.Kill())
	a.cmd.Wait()
	outside.Eventually(t, sayLimit, "its eBPF programs are gone", func() bool {
		for _, id := range programs {
			p, err := ebpf.NewProgramFromID(id)
			if err == nil {
				p.Close()
				return false
			}
			if !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("looking for program %d: %v", id, err)
			}
		}
		return true
	})
	again := l.startAgentAt(t, config, strings.TrimPrefix(a.url, "http://"))
	if code, _ := again.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz = %d after the restart", code)
	}
}

// programsOf returns the eBPF programs that a process holds.
func programsOf(t *testing.T, pid int) []ebpf.ProgramID {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	outside.Must(t, err)
	var all []ebpf.ProgramID
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // closed in the meantime
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "prog_id:"); ok {
				id, err := strconv.ParseUint(strings.TrimSpace(n), 10, 32)
				outside.Must(t, err)
				all = append(all, ebpf.ProgramID(id))
			}
		}
	}
	return all
}

const lockedName = "lab-locked"

// lockedMemory starts a process whose memory cannot be read: one of its threads
// holds the memory lock and waits for a page of a file whose server never answers,
// and another thread waits for the lock to change the memory.
func lockedMemory(t *testing.T, l *lab) *process {
	t.Helper()
	mount, end := deadFileServer(t, l)
	text, err := os.ReadFile(need(t, python))
	outside.Must(t, err)
	program := filepath.Join(l.dir, lockedName)
	outside.Must(t, os.WriteFile(program, text, 0o755))
	p := start(t, exec.Command(program, programs+"/locked_memory.py", filepath.Join(mount, "file")))
	t.Cleanup(end) // before the process is killed and waited for
	outside.Eventually(t, startLimit, "its arguments cannot be read", func() bool { return hangs(p.pid) })
	return p
}

// hangs reports whether reading a process's arguments takes long. The goroutine
// that reads them hangs until the process ends.
func hangs(pid int) bool {
	reader := exec.Command("cat", fmt.Sprintf("/proc/%d/cmdline", pid))
	if reader.Start() != nil {
		return false
	}
	done := make(chan struct{})
	go func() { reader.Wait(); close(done) }()
	select {
	case <-done:
		return false
	case <-time.After(300 * time.Millisecond):
		reader.Process.Kill()
		return true
	}
}
