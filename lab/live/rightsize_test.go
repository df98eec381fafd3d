// SPDX-License-Identifier: Apache-2.0

package live

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	// sizeConfig lets half a minute of history count as a day.
	sizeConfig = agentConfig + "thresholds:\n  - id: right-size\n    set: {least-history: 30s}\n"
	sizeLimit  = 60 * time.Second
	// sizeWork and sizeMemory are the load of sized.py: milliseconds of CPU time in a
	// tenth of a second, and MB.
	sizeWork, sizeMemory = "60", "180"
	sizeGroup            = "headroom-lab-sized"
	// sizeRuns is how long the service runs with new limits.
	sizeRuns = 6 * time.Second
)

// limits are those of CPU, in cores, and of memory, in bytes.
func limits(cores float64, bytes int64) *specs.LinuxResources {
	r := cgroups.CPULimit(cores)
	r.Memory = cgroups.MemoryLimit(bytes).Memory
	return r
}

// rightSize runs a service with a known load under generous limits beside an agent, and
// applies the sizes that the agent recommends: the service is neither throttled nor
// killed. With half a core it is throttled, and with the memory limit divided by 1.3 it is
// killed. The size of CPU is that of the busiest reading: beside other scenarios, more than
// the mean of 0.6 cores.
func rightSize(t *testing.T, l *lab) {
	config := filepath.Join(l.dir, "right-size.yml")
	outside.Must(t, os.WriteFile(config, []byte(sizeConfig), 0o644))
	generous := newGroup(t, sizeGroup, limits(2, 1024*mib), cgroups.CPU, cgroups.CPUAcct, cgroups.Memory)
	start(t, l.sized(t, generous))
	a := l.startAgent(t, config)
	var f *finding
	outside.Eventually(t, sizeLimit, "the size is told", func() bool { f = a.size(t); return f != nil })
	t.Log(f)
	rec := f.recommends(t, "set-requests")
	cores := rec.quantity(t, 0.6, 1)
	memory := advisedMemory(t, rec.Action)

	for _, c := range []struct {
		name              string
		cores             float64
		memory            int64
		throttled, killed bool
	}{
		{"advised", cores, memory, false, false},
		{"lesscpu", 0.5, memory, true, false},
		{"lessmemory", cores, int64(float64(memory) / 1.3), false, true},
	} {
		g := newGroup(t, sizeGroup+"-"+c.name, limits(c.cores, c.memory), cgroups.CPU, cgroups.CPUAcct, cgroups.Memory)
		cmd := l.sized(t, g)
		outside.Must(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		time.Sleep(sizeRuns / 3) // its start is not sized
		before, err := g.Throttled()
		outside.Must(t, err)
		killed := false
		select {
		case <-ended:
			killed = true
		case <-time.After(sizeRuns):
		}
		after, err := g.Throttled()
		outside.Must(t, err)
		outside.Must(t, g.Kill())
		share := (after - before).Seconds() / sizeRuns.Seconds()
		t.Logf("%s: %.2f cores, %d MiB: throttled for %.1f%%, killed: %v", c.name, c.cores, c.memory/mib, 100*share, killed)
		if killed != c.killed || !killed && share >= 0.01 != c.throttled {
			t.Errorf("%s: want throttled: %v, killed: %v", c.name, c.throttled, c.killed)
		}
	}
}

// sized returns the command of sized.py in a cgroup.
func (l *lab) sized(t *testing.T, g *cgroups.Group) *exec.Cmd {
	t.Helper()
	return g.Command(need(t, systemPython), programs+"/sized.py", sizeWork, sizeMemory)
}

// size returns the agent's finding about the size of the service, or nil.
func (a *watch) size(t *testing.T) *finding {
	t.Helper()
	code, text := a.get("/api/v1/findings")
	if code != http.StatusOK {
		t.Fatalf("findings: status %d: %s", code, text)
	}
	r, err := parseReport([]byte(text))
	outside.Must(t, err)
	for i := range r.Findings {
		if f := &r.Findings[i]; f.ID == "right-size" && strings.Contains(f.Subject.Cgroup, sizeGroup) {
			return f
		}
	}
	return nil
}

var memoryMax = regexp.MustCompile(`(\d+) in its memory\.max`)

// advisedMemory returns the memory limit of an action.
func advisedMemory(t *testing.T, action string) int64 {
	t.Helper()
	m := memoryMax.FindStringSubmatch(action)
	if m == nil {
		t.Fatalf("no memory limit in: %s", action)
	}
	bytes, err := strconv.ParseInt(m[1], 10, 64)
	outside.Must(t, err)
	return bytes
}
