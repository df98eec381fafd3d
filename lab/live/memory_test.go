// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/headroom-project/headroom/internal/testutil/cgroups"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A scenario of memory usage under limits: nine containers, observed at the same
// time.

const (
	memoryGrowth = "memory-growth"
	heapMismatch = "heap-limit-mismatch"
	mib          = 1 << 20
)

// A memoryContainer has a memory limit, of its own or of its pod.
type memoryContainer struct {
	limit, podLimit int // MiB, 0 for none
	// command is the command line; @ stands for program, a file of lab/programs.
	command []string
	program string
}

// runMemory runs a program in a container; its command line contains name.
func (l *lab) runMemory(t *testing.T, name string, m memoryContainer) *container {
	t.Helper()
	runc := need(t, "runc")
	var podLimits *specs.LinuxResources
	if m.podLimit > 0 {
		podLimits = cgroups.MemoryLimit(int64(m.podLimit * mib))
	}
	c := newContainer(t, podLimits)
	dir := filepath.Join(l.dir, l.scenario, name)
	bundle, app := filepath.Join(dir, "bundle"), filepath.Join(dir, "app")
	makeRootfs(t, filepath.Join(bundle, "rootfs"))
	outside.Must(t, os.MkdirAll(filepath.Join(app, name), 0o755))
	copyFile(t, programs+"/"+m.program, filepath.Join(app, name))
	command := slices.Clone(m.command)
	command[slices.Index(command, "@")] = name + "/" + m.program
	spec := ociSpec(c.path(), command, 1, []mount{bind("/usr", "/usr"), bind("/etc", "/etc"), bind(app, "/app")})
	if m.limit > 0 {
		spec["linux"].(map[string]any)["resources"] = cgroups.MemoryLimit(int64(m.limit * mib))
	}
	text, err := json.Marshal(spec)
	outside.Must(t, err)
	outside.Must(t, os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o644))
	c.process = runDetached(t, runc, dir, bundle, c.id)
	return c
}

// runJS runs memory.js with a heap limit of ceiling MiB.
func (l *lab) runJS(t *testing.T, name string, m memoryContainer, ceiling int, does ...string) *container {
	t.Helper()
	m.program = "memory.js"
	m.command = append([]string{need(t, "node"), "--max-old-space-size=" + strconv.Itoa(ceiling), "@"}, does...)
	return l.runMemory(t, name, m)
}

// runLeak runs memory.js so that it keeps rate MiB more each second. Its young generation is
// small: a collection gives the free half of a large one back at once, 20 MiB, and a window
// of ten seconds with such a fall is no growth.
func (l *lab) runLeak(t *testing.T, name string, m memoryContainer, rate int) *container {
	t.Helper()
	m.program = "memory.js"
	m.command = []string{need(t, "node"), "--max-old-space-size=384", "--max-semi-space-size=1", "@", "grow", strconv.Itoa(rate)}
	return l.runMemory(t, name, m)
}

// systemPython is the path in containers too, because they share the host's /usr.
const systemPython = "/usr/bin/python3"

// fillingRedis runs redis without maxmemory in a container, and writes rate MiB per
// second to it.
func (l *lab) fillingRedis(t *testing.T, limit, rate int) *container {
	t.Helper()
	const value = 32 << 10 // a command line is limited to 64 kB
	addr := "127.0.0.1:" + strconv.Itoa(outside.FreePort(t))
	_, port, _ := strings.Cut(addr, ":")
	c := l.runMemory(t, "cache", memoryContainer{limit: limit, program: "redis.sh",
		command: []string{"/bin/sh", "@", need(t, "redis-server"), port}})
	waitPort(t, c.process, addr)
	client, text := dialRedis(t, addr), strings.Repeat("x", value)
	var n atomic.Int64
	openLoop(t, float64(rate*mib/value), func(ctx context.Context) error {
		key := n.Add(1)
		return client.Do(ctx, fmt.Sprintf("SET %d %s", key, text))
	})
	return c
}

// anon returns the process's anonymous memory in MiB, from /proc.
func anon(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	outside.Must(t, err)
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	outside.Must(t, err)
	return kb / 1024
}

// memory observes containers whose memory grows, under their own limit or under that
// of their pod, and healthy ones that are similar.
func memory(t *testing.T, l *lab) {
	const rate, limit = 6, 512 // MiB
	own := l.runLeak(t, "own", memoryContainer{limit: limit}, rate)
	pods := l.runLeak(t, "pod", memoryContainer{podLimit: limit}, rate)
	high := l.runJS(t, "high", memoryContainer{limit: 256}, 1024, "rest")
	saw := l.runJS(t, "saw", memoryContainer{limit: 160}, 100, "saw", "40")
	warm := l.runJS(t, "warm", memoryContainer{limit: 320}, 200, "warm", "160")
	far := l.runJS(t, "far", memoryContainer{limit: 1024}, 240, "hold", "214")
	workers := l.runMemory(t, "workers", memoryContainer{limit: limit, command: []string{need(t, systemPython), "@", "workers", strconv.Itoa(rate)}, program: "memory.py"})
	files := l.runMemory(t, "files", memoryContainer{limit: 384, command: []string{need(t, systemPython), "@", "files", strconv.Itoa(rate)}, program: "memory.py"})
	cache := l.fillingRedis(t, limit, rate)
	time.Sleep(25 * time.Second) // until the memory has grown for three windows at the end of the observation

	before := map[*container]float64{own: anon(t, own.pid), pods: anon(t, pods.pid)}
	began := time.Now()
	r := l.observe(t)
	for c, was := range before {
		grown, seconds := anon(t, c.pid)-was, time.Since(began).Seconds()
		if grown < 0.5*rate*seconds {
			t.Fatalf("the scenario does not hold: grew by %.0f MiB in %.1f s", grown, seconds)
		}
		r.growthOf(t, c, rate, limit)
	}
	r.whose(t, own, "container "+own.id[:12])
	r.whose(t, pods, "pod "+pods.pod)

	f := r.note(t, heapMismatch, "ceiling-above-limit", inContainer(high.id))
	f.recommends(t, "set-heap-limit").quantity(t, 192, 192)
	f = r.note(t, heapMismatch, "ceiling-far-below-limit", inContainer(far.id))
	f.recommends(t, "set-heap-limit").quantity(t, 768, 768)

	r.growthOf(t, workers, rate, limit)
	r.growthOf(t, files, rate, 384)
	r.note(t, memoryGrowth, "leak-or-unbounded", inContainer(files.id)).mentions(t, "tmpfs")
	f = r.note(t, memoryGrowth, "filling-cache", inContainer(cache.id))
	f.recommends(t, "fix-leak").quantity(t, 0.75*limit, 0.75*limit)
	r.well(t, saw, warm)
}

// well checks that there is no finding of any severity about the memory of the
// healthy containers.
func (r *report) well(t *testing.T, quiet ...*container) {
	t.Helper()
	for _, c := range quiet {
		for i := range r.Findings {
			if f := &r.Findings[i]; (f.ID == memoryGrowth || f.ID == heapMismatch) && inContainer(c.id)(f.Subject) {
				t.Errorf("finding about a healthy container: %s", f)
			}
		}
	}
}

// growthOf checks the rate and the limit of a finding, which has the severity info and
// no interval.
func (r *report) growthOf(t *testing.T, c *container, rate, limit float64) {
	t.Helper()
	f := r.note(t, memoryGrowth, "leak-or-unbounded", inContainer(c.id))
	if f.Severity != "info" || f.Confidence > 0.4 {
		t.Errorf("severity %s, confidence %.2f; want info of 0.4 at most", f.Severity, f.Confidence)
	}
	for _, e := range f.Evidence {
		v := e.Value / mib
		if e.Label == "growth per second" && (v < 0.7*rate || v > 1.5*rate) {
			t.Errorf("growth = %.1f MiB a second, want about %v", v, rate)
		}
		if e.Metric == "headroom.cgroup.memory.limit" && e.Label == "" && v != limit {
			t.Errorf("limit = %v MiB, want %v", v, limit)
		}
	}
	f.recommends(t, "fix-leak").quantity(t, 60*0.7*rate, 60*1.5*rate)
}

func (r *report) whose(t *testing.T, c *container, owner string) {
	t.Helper()
	if f := r.note(t, memoryGrowth, "leak-or-unbounded", inContainer(c.id)); !strings.Contains(f.Summary, "of "+owner) {
		t.Errorf("the summary does not name the owner of the limit, want %s: %s", owner, f)
	}
}
