// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/tick"
)

// interner is an identity that only knows names, and one runtime for all processes.
type interner struct {
	sampler.Identity
	index   *observe.Index
	runtime string
	ended   []observe.ID
}

func (i *interner) Process(pid int, start uint64) (observe.ID, bool) {
	id := i.index.ID(observe.Entity{Kind: observe.Process, ID: fmt.Sprintf("%d:%d", pid, start)})
	if i.index.Info(id).Attrs == nil {
		i.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrRuntime: i.runtime}})
	}
	return id, true
}

func (i *interner) Thread(p observe.ID, tid int) observe.ID {
	id := i.index.ID(observe.Entity{Kind: observe.Thread, ID: fmt.Sprintf("%s/%d", i.index.Entity(p).ID, tid)})
	i.index.Describe(id, observe.Info{Parent: i.index.Entity(p), Attrs: map[string]string{catalog.AttrThreadName: "main"}})
	return id
}

func (i *interner) Renamed(observe.ID, int, string) {}

func (i *interner) Ended(id observe.ID) { i.ended = append(i.ended, id) }

func host(proc string, probes *sampler.Probes) *sampler.Host {
	x := observe.NewIndex(observe.DefaultLimit)
	return &sampler.Host{Proc: proc, Index: x, Identity: &interner{index: x}, Probes: probes}
}

func opened(tb testing.TB, h *sampler.Host) *reader {
	tb.Helper()
	r, err := Sampler.Open(h)
	if errors.Is(err, sampler.ErrNotSupported) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r.(*reader)
}

func read(tb testing.TB, r *reader) *observe.Snapshot {
	tb.Helper()
	s := observe.NewSnapshot(r.index)
	if err := r.Read(s); err != nil {
		tb.Fatal(err)
	}
	s.Monotonic = r.now
	return s
}

// withProbe opens the real probe, or skips the test.
func withProbe(tb testing.TB) *sampler.Probes {
	tb.Helper()
	probes := &sampler.Probes{Openers: map[string]func() (io.Closer, error){"tick": func() (io.Closer, error) { return tick.Open(tick.Options{}) }}}
	if _, err := probes.Open("tick"); err != nil {
		tb.Skip("no eBPF here:", err)
	}
	tb.Cleanup(func() {
		if err := probes.Close(); err != nil {
			tb.Error(err)
		}
	})
	return probes
}

// both runs a test with each source.
func both(t *testing.T, test func(t *testing.T, h *sampler.Host)) {
	t.Run("iterator", func(t *testing.T) { test(t, host("/proc", withProbe(t))) })
	t.Run("tree", func(t *testing.T) { test(t, host("/proc", nil)) })
}

func spawn(tb testing.TB, command string, arg ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command(command, arg...)
	if err := cmd.Start(); err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(func() { kill(cmd) })
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
	_ = cmd.Wait()         //nolint:errcheck // killed, or waited for already
}

func find(tb testing.TB, r *reader, pid int) observe.ID {
	tb.Helper()
	p := r.procs[pid]
	if p == nil || !p.known {
		tb.Fatalf("process %d was not found", pid)
	}
	return p.id
}

func TestBurnerIsMeasured(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		cmd := spawn(t, "sh", "-c", "while :; do :; done")
		r := opened(t, h)
		diff := observe.NewDiffer(h.Index)
		pid := cmd.Process.Pid
		early := cpuOf(t, pid)
		diff.Step(read(t, r))
		low := cpuOf(t, pid)
		time.Sleep(500 * time.Millisecond)
		high := cpuOf(t, pid)
		w := diff.Step(read(t, r))
		late := cpuOf(t, pid)
		id := find(t, r, pid)
		// The tree reads clock ticks of 10 ms.
		got, ok := w.Increase(catalog.ProcessCPU, id)
		if !ok || got < high-low-0.02 || got > late-early+0.02 {
			t.Errorf("CPU = %v %v s, want between %v s and %v s", got, ok, high-low, late-early)
		}
		if wait, ok := w.Increase(catalog.ProcessRunQueue, id); !ok || wait < 0 || wait > 0.6 {
			t.Errorf("run queue = %v %v s in half a second", wait, ok)
		}
		s := read(t, r)
		for m, limits := range map[*observe.Metric][2]float64{
			catalog.ProcessThreads: {1, 1}, catalog.ProcessAge: {0.4, 60}, catalog.ProcessAffinity: {1, 8192},
		} {
			if v, ok := s.Value(m, id); !ok || v < limits[0] || v > limits[1] {
				t.Errorf("%s = %v %v, want %v", m.Key(), v, ok, limits)
			}
		}
		thread, ok := h.Index.Find(observe.Entity{Kind: observe.Thread, ID: h.Index.Entity(id).ID + "/" + strconv.Itoa(pid)})
		if !ok {
			t.Fatal("its thread was not written")
		}
		if v, ok := s.Value(catalog.ThreadCPU, thread); !ok || v <= 0 {
			t.Errorf("CPU of its thread = %v %v s", v, ok)
		}
	})
}

// cpuOf returns the kernel's own value, from a file that neither source reads.
func cpuOf(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/schedstat")
	if err != nil {
		t.Skip(err)
	}
	u, err := parseSchedstat(b)
	if err != nil {
		t.Fatal(err)
	}
	return seconds(u.cpu)
}

func TestMemoryIsReadSoon(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		r := opened(t, h)
		s := read(t, r)
		id := find(t, r, os.Getpid())
		if v, ok := s.Value(catalog.ProcessMemory, id); !ok || v < 1<<20 {
			t.Errorf("memory at the first reading = %v %v", v, ok)
		}
		times := 0
		for range slowEvery {
			if _, ok := read(t, r).Value(catalog.ProcessMemory, id); ok {
				times++
			}
		}
		if times == 0 {
			t.Errorf("memory was not read in %d readings", slowEvery)
		}
	})
}

func TestEndedProcess(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		cmd := spawn(t, "sleep", "60")
		r := opened(t, h)
		read(t, r)
		id := find(t, r, cmd.Process.Pid)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		zombie := read(t, r) // its parent has not waited for it yet
		_ = cmd.Wait()       //nolint:errcheck // killed
		gone := read(t, r)
		ends := 0
		for _, e := range append(zombie.Ended, gone.Ended...) {
			if e.ID == id {
				ends++
			}
		}
		if ends != 1 {
			t.Errorf("its end was reported %d times, want once", ends)
		}
		if r.procs[cmd.Process.Pid] != nil {
			t.Error("it is still remembered")
		}
		if _, ok := gone.Value(catalog.ProcessCPU, id); ok {
			t.Error("it still has a value")
		}
	})
}

// TestThreads burns CPU time on one of several threads of this process.
func TestThreads(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		var stop atomic.Bool
		defer stop.Store(true)
		for range 2 {
			go func() {
				for !stop.Load() {
				}
			}()
		}
		r := opened(t, h)
		diff := observe.NewDiffer(h.Index)
		for range 4 {
			diff.Step(read(t, r))
			time.Sleep(200 * time.Millisecond)
		}
		s := read(t, r)
		w := diff.Step(s)
		p := r.procs[os.Getpid()]
		if p.shown == 0 || !p.complete {
			t.Fatalf("%d threads are written, complete %v", p.shown, p.complete)
		}
		total := 0.0
		for id := range w.Entities(catalog.ThreadCPU) {
			if up, ok := h.Index.Parent(id); ok && up == p.id {
				v, _ := w.Increase(catalog.ThreadCPU, id)
				total += v
			}
		}
		all, _ := w.Increase(catalog.ProcessCPU, p.id)
		if all <= 0 || math.Abs(total-all) > 0.3*all+0.02 { // the tree reads clock ticks
			t.Errorf("threads used %v s, want about their process's %v s", total, all)
		}
	})
}

// TestRetiredThreads checks that the sum of a process does not decrease when a thread
// ends.
func TestRetiredThreads(t *testing.T) {
	r := newReader(host("/proc", nil))
	r.source = script{
		{{1, 1, 50, 10}, {1, 2, 30, 5}},
		{{1, 1, 60, 11}},
		{{1, 1, 70, 12}, {1, 2, 1, 1}}, // another thread with the ID of the one that ended
		{{1, 1, 70, 12}, {1, 2, 0, 0}}, // and again, between two readings
	}.source()
	for i, want := range []float64{15e-9, 16e-9, 18e-9, 18e-9} {
		s := read(t, r)
		if got, _ := s.Value(catalog.ProcessRunQueue, find(t, r, 1)); math.Abs(got-want) > 1e-12 {
			t.Errorf("reading %d: run queue = %v s, want %v s", i, got, want)
		}
	}
}

// TestWaitsLongerThanTheTime checks that a wait longer than the time since the thread
// slept is treated as an error of the kernel and is not counted.
func TestWaitsLongerThanTheTime(t *testing.T) {
	const second = 1_000_000_000
	r := newReader(host("/proc", nil))
	r.seconds = 1
	p := &process{pid: 1}
	for i, step := range []struct {
		delay  uint64
		asleep bool
		want   float64
	}{
		{5 * second, true, 5},                // from before the first reading
		{5*second + second/2, true, 5.5},     // a wait
		{425*second + second/2, true, 5.5},   // 420 s in one second
		{426*second + second/4, false, 6.25}, // a wait again
		{429*second + second/4, false, 9.25}, // a wait that began before the last reading
		{429*second + second/4, true, 9.25},  // about an hour in one second
		{4000*second + second/4, true, 9.25}, // more than an hour in one second
		{4000*second + second/2, false, 9.5}, // a wait
	} {
		r.round++
		got := r.thread(p, 1, 1, usage{delay: step.delay, runs: uint64(i)})
		got.asleep = step.asleep
		if seconds(got.usage.delay) != step.want {
			t.Errorf("reading %d: waited %v s, want %v", i, seconds(got.usage.delay), step.want)
		}
	}
}

// script is a source that returns the same values each time it is played.
type script [][]struct {
	pid, tid   int
	cpu, delay uint64
}

type player struct {
	script script
	at     int
}

func (s script) source() source { return &player{script: s} }

func (p *player) scan(r *reader) error {
	for _, t := range p.script[min(p.at, len(p.script)-1)] {
		if proc := r.process(t.pid); proc != nil {
			proc.start, proc.alive, proc.complete = 1, r.round, true
			proc.count++
			proc.cpu += t.cpu
			r.thread(proc, t.tid, 1, usage{cpu: t.cpu, delay: t.delay, runs: 1})
		}
	}
	p.at++
	return nil
}

func (*player) close() {}

func TestTooManyProcesses(t *testing.T) {
	r := newReader(host("/proc", nil))
	var many script = make(script, 1)
	for pid := range maxProcesses + 7 {
		many[0] = append(many[0], struct {
			pid, tid   int
			cpu, delay uint64
		}{pid + 1, pid + 1, 0, 0})
	}
	r.source = many.source()
	s := read(t, r)
	if len(r.procs) != maxProcesses || len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0].Reason, ": 7 processes are not observed") {
		t.Errorf("%d processes, gaps %v; want %d and one gap about 7", len(r.procs), s.Gaps, maxProcesses)
	}
}

func TestTooManyThreads(t *testing.T) {
	r := newReader(host("/proc", nil))
	now := time.Hour
	r.boottime = func() time.Duration { now += time.Second; return now }
	play := make(script, 3)
	for round := range play {
		for tid := range 2 * maxThreads {
			used := uint64(round) * uint64(100*time.Millisecond)
			play[round] = append(play[round], struct {
				pid, tid   int
				cpu, delay uint64
			}{1, tid + 1, used, 0})
		}
	}
	r.source = play.source()
	for range play {
		s := read(t, r)
		n := 0
		for range s.Values(catalog.ThreadCPU) {
			n++
		}
		if n > maxThreads {
			t.Errorf("%d threads were written, want at most %d", n, maxThreads)
		}
	}
	if p := r.procs[1]; p.shown != maxThreads {
		t.Errorf("%d threads are written, want %d", p.shown, maxThreads)
	}
}

func TestReusedPID(t *testing.T) {
	r := newReader(host("/proc", nil))
	r.source = script{{{1, 1, 50, 10}}}.source()
	read(t, r)
	first := find(t, r, 1)
	r.procs[1].start = 0 // the next values of the kernel are about another process
	r.procs[1].id = r.index.ID(observe.Entity{Kind: observe.Process, ID: "1:0"})
	was := r.procs[1].id
	s := read(t, r)
	if len(s.Ended) != 1 || s.Ended[0].ID != was {
		t.Errorf("ended = %v, want the one before", s.Ended)
	}
	if got := find(t, r, 1); got != first {
		t.Errorf("the pid is of %d, want %d", got, first)
	}
}

func TestNoProc(t *testing.T) {
	if _, err := Sampler.Open(host(t.TempDir(), nil)); !errors.Is(err, sampler.ErrNotSupported) {
		t.Errorf("error = %v, want not supported", err)
	}
}

func TestWithoutProbeIsAGap(t *testing.T) {
	probes := &sampler.Probes{Openers: map[string]func() (io.Closer, error){"tick": func() (io.Closer, error) {
		return nil, sampler.NotSupported("run as root", "no permission")
	}}}
	s := read(t, opened(t, host("/proc", probes)))
	if len(s.Gaps) != 1 || s.Gaps[0].Cure != "run as root" {
		t.Errorf("gaps = %v, want one with the cure", s.Gaps)
	}
}

func TestDescriptorsAreGivenBack(t *testing.T) {
	h := host("/proc", nil)
	r, err := Sampler.Open(h)
	if err != nil {
		t.Skip(err)
	}
	re := r.(*reader)
	budget := re.files.budget
	for range 3 {
		read(t, re)
	}
	if re.files.budget == budget {
		t.Error("no descriptor is kept")
	}
	if err := r.Close(); err != nil || re.files.budget != budget {
		t.Errorf("after Close the budget is %d, want %d (%v)", re.files.budget, budget, err)
	}
	re.files.budget = 0
}

// benchmark reads this host with 1,000 additional sleeping processes.
func benchmark(b *testing.B, h *sampler.Host, keep bool) {
	for range 1000 {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			b.Skip(err)
		}
		defer kill(cmd)
	}
	r := opened(b, h)
	if !keep {
		r.files.budget = 0
	}
	s := observe.NewSnapshot(h.Index)
	if err := r.Read(s); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		if err := r.Read(s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(r.procs)), "processes")
}

func BenchmarkRead(b *testing.B) {
	b.Run("iterator", func(b *testing.B) { benchmark(b, host("/proc", withProbe(b)), true) })
	b.Run("tree", func(b *testing.B) { benchmark(b, host("/proc", nil), true) })
	b.Run("tree without descriptors", func(b *testing.B) { benchmark(b, host("/proc", nil), false) })
}

// TestTimeInTheKernel checks that a program that reads and writes one byte at a time
// spends its CPU time in the kernel, and that a shell loop does not. Without eBPF the
// time in the kernel is not known.
func TestTimeInTheKernel(t *testing.T) {
	both(t, func(t *testing.T, h *sampler.Host) {
		calls := spawn(t, "dd", "if=/dev/zero", "of=/dev/null", "bs=1").Process.Pid
		computes := spawn(t, "sh", "-c", "while :; do :; done").Process.Pid
		r := opened(t, h)
		_, iterates := r.source.(iterator)
		diff := observe.NewDiffer(h.Index)
		diff.Step(read(t, r))
		time.Sleep(100 * time.Millisecond) // threads are written after they were seen running
		diff.Step(read(t, r))
		time.Sleep(time.Second)
		w := diff.Step(read(t, r))
		share := func(pid int) (float64, bool) {
			thread, _ := h.Index.Find(observe.Entity{Kind: observe.Thread, ID: h.Index.Entity(find(t, r, pid)).ID + "/" + strconv.Itoa(pid)})
			used, _ := w.Increase(catalog.ThreadCPU, thread)
			system, ok := w.Increase(catalog.ThreadSystem, thread)
			return system / max(used, 0.01), ok
		}
		inCalls, known := share(calls)
		inLoop, alsoKnown := share(computes)
		if known != iterates || alsoKnown != iterates {
			t.Fatalf("known %t and %t, want %t", known, alsoKnown, iterates)
		}
		if iterates && inCalls < inLoop+0.2 {
			t.Errorf("%.2f of the CPU time of dd is in the kernel, and %.2f of that of a loop", inCalls, inLoop)
		}
	})
}
