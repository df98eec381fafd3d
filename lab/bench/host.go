// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/archive"
	"github.com/headroom-project/headroom/internal/testutil/cgroups"
)

// podControllers are the controllers of a pod's cgroup.
var podControllers = []cgroups.Controller{cgroups.CPU, cgroups.Memory, cgroups.Unified}

// benchCgroup is the parent of all cgroups of the load.
const benchCgroup = "headroom-bench"

// hostCost measures headroom itself on a host with many processes.
func hostCost(c config) error {
	leave, err := crowd(c)
	defer leave()
	if err != nil {
		return err
	}
	if c.sockets > 0 || c.descriptors > 0 {
		holders, err := holdOpen(c)
		defer clearUp(holders, nil)
		if err != nil {
			return err
		}
	}
	const length = 60 * time.Second
	file := filepath.Join(os.TempDir(), "headroom-bench-host.hr")
	defer os.Remove(file)
	h := bound(exec.Command(c.headroom, "diagnose", "--duration", length.String(), "--save", file, "-o", "json"))
	var report bytes.Buffer
	h.Stdout = &report
	started := time.Now()
	if err := h.Start(); err != nil {
		return err
	}
	defer stop(h)
	time.Sleep(10 * time.Second) // until startup is complete
	cpu0, err := cpuSeconds(h.Process.Pid)
	if err != nil {
		return err
	}
	time.Sleep(40 * time.Second)
	cpu1, err := cpuSeconds(h.Process.Pid)
	if err != nil {
		return err
	}
	peak, err := peakRSS(h.Process.Pid)
	if err != nil {
		return err
	}
	if err := h.Wait(); err != nil {
		return err
	}
	first, err := firstSample(file)
	if err != nil {
		return err
	}
	fmt.Printf("host: %d processes in %d cgroups, %d sockets and %d descriptors: %.2f %% of a core after start-up, peak RSS %.1f MiB, first sample after %.2f s\n",
		c.processes, c.pods, c.sockets, c.descriptors, 100*(cpu1-cpu0)/40, peak/(1<<20), first.Sub(started).Seconds())
	return errors.Join(printGaps(report.Bytes()), tickTime())
}

// printGaps prints what headroom could not observe, or observed less often.
func printGaps(report []byte) error {
	var r struct {
		Gaps []struct{ Source, Reason string }
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	for _, g := range r.Gaps {
		fmt.Printf("host: gap %s: %s\n", g.Source, g.Reason)
	}
	return nil
}

// tickTime prints how long one sample of all sources takes on this host.
func tickTime() error {
	out, err := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkTick$", "-benchtime", "20x", "./cmd/headroom").CombinedOutput()
	if err != nil {
		return fmt.Errorf("measuring a tick: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			fmt.Printf("host: %s", line)
		}
	}
	return nil
}

// crowd starts the processes of the load; leave, which is never nil, removes them.
func crowd(c config) (leave func(), err error) {
	all, err := cgroups.New(benchCgroup, nil, podControllers...)
	if err != nil {
		return func() {}, err
	}
	idle, err := populate(c, all)
	return func() { clearUp(idle, all) }, err
}

// populate starts idle processes in kubelet-like cgroups.
func populate(c config, all *cgroups.Group) ([]*exec.Cmd, error) {
	// Orphans of the shells are reaped here, not by init.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("becoming the reaper of the load: %w", err)
	}
	var idle []*exec.Cmd
	for pod := range c.pods {
		path := fmt.Sprintf("%s/kubepods/burstable/pod%08x-0000-4000-8000-%012x/%064x", benchCgroup, pod, pod, pod)
		g, err := cgroups.New(path, nil, podControllers...)
		if err != nil {
			return idle, err
		}
		count := c.processes/c.pods + one(pod < c.processes%c.pods)
		if count == 0 {
			break
		}
		p := bound(idleProcesses(g.Command, count))
		if err := p.Start(); err != nil {
			return idle, err
		}
		idle = append(idle, p)
	}
	return idle, awaitIdle(all, c.processes)
}

// idleProcesses returns a command that starts idle processes, in a process group.
func idleProcesses(command func(line ...string) *exec.Cmd, count int) *exec.Cmd {
	p := command("sh", "-c", startIdle, "sh", strconv.Itoa(count))
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}

// startIdle starts processes in the shell's cgroup; the shell becomes the last one.
// The kernel kills the others when that one ends.
// Moving each process separately takes ten times as long: the kernel waits for all
// CPUs at each move.
const startIdle = `n=$1
while [ "$n" -gt 1 ]; do setpriv --pdeathsig KILL sleep infinity & n=$((n - 1)); done
exec sleep infinity`

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// awaitIdle waits until the cgroups of the load have that many processes.
func awaitIdle(all *cgroups.Group, processes int) error {
	for range 120 {
		if pids, err := all.Processes(); err == nil && len(pids) >= processes {
			return nil
		}
		time.Sleep(time.Second)
	}
	return fmt.Errorf("starting %d processes: fewer are running after two minutes", processes)
}

// clearUp ends the processes of a load and removes its cgroups, leaves first.
func clearUp(started []*exec.Cmd, all *cgroups.Group) {
	for _, p := range started {
		_ = p.Process.Kill()
		_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // its process group, if it leads one
	}
	for _, p := range started {
		_ = p.Wait()
		for {
			if _, err := syscall.Wait4(-p.Process.Pid, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				break
			}
		}
	}
	if all == nil {
		return
	}
	if err := all.Delete(); err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
	}
}

// peakRSS returns VmHWM in bytes.
func peakRSS(pid int) (float64, error) {
	status, err := statusOf(pid)
	return float64(status.VmHWM), err
}

// firstSample returns the time of a recording's first snapshot.
func firstSample(file string) (time.Time, error) {
	f, err := os.Open(file)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	r, err := archive.NewReader(f)
	if err != nil {
		return time.Time{}, err
	}
	s, err := r.Next()
	if err != nil {
		return time.Time{}, err
	}
	return s.Time, nil
}
