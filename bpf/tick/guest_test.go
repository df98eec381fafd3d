// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/support"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// slack is the time of a tick in addition to the action: reading the command and
// answering.
const slack = 10 * time.Millisecond

func TestGuestEnterModes(t *testing.T) {
	for name, mode := range map[string]EnterMode{"tracepoint": EnterTracepoint, "raw": EnterRaw} {
		t.Run(name, func(t *testing.T) {
			p := open(t, Options{Enter: mode})
			if got, want := p.Features().SyscallTracepoints, mode == EnterTracepoint; got != want {
				t.Errorf("SyscallTracepoints = %v, want %v", got, want)
			}
			h := start(t, "epoll", -1)
			agrees(t, func(t testing.TB) {
				d := h.do(t, 's')
				near(t, "stall", stallOf(t, p, h.pid).Busy, d.wall, slack)
			})
		})
	}
}

// TestGuestParts compares the parts of a tick with the helper's own measurements.
func TestGuestParts(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	for _, tt := range []struct {
		name           string
		action         byte
		blocked, fault time.Duration
		call           int32
	}{
		{"cpu", 'c', 0, 0, 0},
		{"nanosleep", 's', actionTime, 0, unix.SYS_NANOSLEEP},
		{"fault", 'f', 0, actionTime, CallFault},
		{"nested loop", 'n', actionTime, 0, unix.SYS_EPOLL_PWAIT},
		{"poll of one", 'p', actionTime, 0, unix.SYS_PPOLL},
		{"mixture", 'm', actionTime / 4, actionTime / 4, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			agrees(t, func(t testing.TB) {
				before := stolen(t)
				d := h.do(t, tt.action)
				s := stallOf(t, p, h.pid)
				near(t, "busy", s.Busy, d.wall, slack)
				nearCPU(t, s.CPU, d.cpu, slack, before)
				// Two readings of an emulated clock can differ by 0.1 ms.
				sum := s.CPU + s.RunQueue + s.Throttled + s.Blocked + s.Fault
				near(t, "sum of the parts", sum, time.Duration(s.Busy), 0)
				// The thread that resolves the fault can be late, or early.
				near(t, "fault", s.Fault, tt.fault, 4*slack)
				if tt.action == 'm' {
					// The calls of userfaultfd can wait for locks.
					near(t, "blocked", s.Blocked, tt.blocked, 4*slack)
					return
				}
				near(t, "blocked", s.Blocked, tt.blocked, slack)
				if tt.call != 0 && s.Longest.Nr != tt.call {
					t.Errorf("longest call = %d, want %d", s.Longest.Nr, tt.call)
				}
			})
		})
	}
}

func TestGuestCounters(t *testing.T) {
	p := open(t, Options{})
	agrees(t, func(t testing.TB) {
		h := start(t, "epoll", -1)
		wall := h.do(t, 's').wall + h.do(t, 'c').wall
		var l Loop
		outside.Eventually(t, patience, "return to the wait", func() bool {
			l, _ = loopOf(t, p, h.pid)
			return l.Long.Count == 2 && !l.InTick
		})
		if l.Kind != Epoll || l.Shared || l.Ended || l.Tgid != uint32(h.pid) {
			t.Errorf("loop = %+v, want a live epoll loop of %d", l, h.pid)
		}
		near(t, "long ticks: busy", l.Long.Busy, wall, 2*slack)
		near(t, "long ticks: blocked", l.Long.Blocked, actionTime, slack)
		if len(l.BlockedBy) == 0 || l.BlockedBy[0].Nr != unix.SYS_NANOSLEEP {
			t.Errorf("blocked by %+v, want nanosleep first", l.BlockedBy)
		}
		var count, sum uint64
		for i, n := range l.Lag.Count {
			count, sum = count+n, sum+l.Lag.Sum[i]
			checkBucket(t, i, n, l.Lag.Sum[i])
		}
		if count != l.Ticks || sum != l.Busy+l.Wake {
			t.Errorf("lag holds %d ticks of %d ns, want %d of %d", count, sum, l.Ticks, l.Busy+l.Wake)
		}
		// Two long ticks make up almost all of the sum of squares. One of them is the
		// longest.
		square := float64(l.LagSquared) * SquareUnit / 1e18
		a, b := float64(l.Long.Longest)/1e9, float64(l.Long.Busy-l.Long.Longest)/1e9
		if want := a*a + b*b; square < want*0.99 || square > want*1.05 {
			t.Errorf("sum of squares = %.4f s², want about %.4f s²", square, want)
		}
	})
}

// checkBucket checks that the mean of a bucket is within its bounds.
func checkBucket(t testing.TB, i int, n, sum uint64) {
	t.Helper()
	bounds := Bounds()
	if n == 0 {
		return
	}
	mean := float64(sum) / float64(n)
	if i > 0 && mean < float64(bounds[i-1])*0.9999 || i < len(bounds) && mean > float64(bounds[i])*1.0001 {
		t.Errorf("bucket %d has a mean of %.0f ns, out of its bounds", i, mean)
	}
}

// TestGuestInProgress reads a tick while it is in progress.
func TestGuestInProgress(t *testing.T) {
	p := open(t, Options{})
	for _, tt := range []struct {
		action byte
		want   OffState
	}{{'S', Sleeping}, {'C', OnCPU}} {
		h := start(t, "epoll", -1)
		untilItWaits(t, p, h.pid)
		h.send(t, tt.action)
		time.Sleep(time.Second)
		l, ok := loopOf(t, p, h.pid)
		if !ok || !l.InTick {
			t.Fatalf("loop %v, in a tick %v; want a tick in progress", ok, l.InTick)
		}
		c := l.Current
		near(t, "elapsed", c.Elapsed, time.Second, 200*time.Millisecond)
		if tt.want == Sleeping && (c.Off != Sleeping || c.Syscall != unix.SYS_NANOSLEEP || c.Blocked < uint64(700*time.Millisecond)) {
			t.Errorf("current = %+v, want blocked in nanosleep", c)
		}
		if tt.want == OnCPU && c.CPU+c.RunQueue < uint64(700*time.Millisecond) {
			t.Errorf("current = %+v, want it on a CPU", c)
		}
	}
}

// TestGuestScan opens the probe while the loop sleeps: its first tick must count.
func TestGuestScan(t *testing.T) {
	for _, mode := range []string{"epoll", "poll2"} {
		agrees(t, func(t testing.TB) {
			h := start(t, mode, -1)
			time.Sleep(200 * time.Millisecond)
			p := open(t, Options{})
			if !p.Features().Scan {
				t.Skip("no task iterator")
			}
			if l, ok := loopOf(t, p, h.pid); !ok || l.InTick {
				t.Fatalf("%s: loop %v, in a tick %v; want a loop that waits", mode, ok, l.InTick)
			}
			d := h.do(t, 's')
			near(t, mode, stallOf(t, p, h.pid).Busy, d.wall, slack)
		})
	}
}

func TestGuestKinds(t *testing.T) {
	p := open(t, Options{})
	for mode, want := range map[string]Kind{"poll2": Poll, "select2": Select, "poll1": 0, "select1": 0} {
		h := start(t, mode, -1)
		for range 3 {
			h.do(t, 's')
		}
		l, ok := loopOf(t, p, h.pid)
		if ok != (want != 0) || l.Kind != want {
			t.Errorf("%s: loop %v of kind %v, want kind %v", mode, ok, l.Kind, want)
		}
		if ok {
			near(t, mode, stallOf(t, p, h.pid).Blocked, actionTime, slack)
		}
	}
}

func TestGuestShared(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "shared", -1)
	time.Sleep(300 * time.Millisecond)
	first, ok := loopOf(t, p, h.pid)
	if !ok {
		t.Fatal("no loop")
	}
	n := 0
	if err := p.ReadLoops(func(l *Loop) {
		if l.Tgid != first.Tgid || l.Epfd != first.Epfd {
			return // The Go runtime's own epfd, perhaps.
		}
		n++
		if !l.Shared {
			t.Errorf("thread %d on epfd %d is not marked as sharing it", l.Tid, l.Epfd)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n < 2 {
		t.Errorf("%d loops, want 2", n)
	}
}

// TestGuestEnded checks that the last values are reported once, and the entry is freed.
func TestGuestEnded(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	// A byte that is there before the helper waits ends the wait without a sleep.
	untilItWaits(t, p, h.pid)
	d := h.do(t, 's')
	untilItWaits(t, p, h.pid)
	h.send(t, 'q')
	var l Loop
	outside.Eventually(t, patience, "end of the loop", func() bool { l, _ = loopOf(t, p, h.pid); return l.Ended })
	near(t, "busy of the ended loop", l.Long.Busy, d.wall, slack)
	if _, ok := loopOf(t, p, h.pid); ok {
		t.Error("an ended loop was reported twice")
	}
}

// TestGuestExec checks a loop that calls exec, as runc's init does: the time until
// the new program waits for the first time is not a tick, and its waits start a
// new loop.
func TestGuestExec(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	h.do(t, 's')
	stallOf(t, p, h.pid)
	h.send(t, 'e')
	outside.Eventually(t, patience, "another program", func() bool {
		l, ok := loopOf(t, p, h.pid)
		return ok && l.Kind == NoLoop && !l.InTick && l.Ticks == 0
	})
	h.answer(t) // the new program is running
	outside.Eventually(t, patience, "loop of the other program", func() bool { l, ok := loopOf(t, p, h.pid); return ok && l.Kind == Poll })
	if l, _ := loopOf(t, p, h.pid); l.InTick || l.Long.Count > 0 || l.Shared {
		t.Errorf("the other program's loop = %+v, want one that waits and has no long tick", l)
	}
	d := h.do(t, 's')
	near(t, "stall of the other program", stallOf(t, p, h.pid).Busy, d.wall, slack)
}

func TestGuestThreads(t *testing.T) {
	p := open(t, Options{})
	if !p.Features().Threads {
		t.Skip("no task iterator")
	}
	h := start(t, "burn", -1)
	time.Sleep(300 * time.Millisecond)
	n, kernel := 0, 0
	var self, burner Thread
	if err := p.ReadThreads(func(v *Thread) {
		n++
		if v.Kernel {
			kernel++
		}
		if int(v.Tid) == os.Getpid() {
			self = *v
		}
		if int(v.Tid) == h.pid {
			burner = *v
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n < 10 || kernel == 0 {
		t.Errorf("%d threads, %d of the kernel; want more", n, kernel)
	}
	if got, want := self.Start/10_000_000, startTicks(t, "self"); got != want {
		t.Errorf("start = %d ticks, want %d as in /proc/self/stat", got, want)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := self.Comm(), strings.TrimSpace(string(comm)); got != want {
		t.Errorf("comm = %q, want %q", got, want)
	}
	if burner.CPU < uint64(50*time.Millisecond) || burner.State != 'R' {
		t.Errorf("burner: state %c, cpu %.1f ms; want R and plenty", burner.State, ms(burner.CPU))
	}
}

// startTicks is field 22 of /proc/PID/stat.
func startTicks(t *testing.T, pid string) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	n, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestGuestRunQueue runs four busy processes on the CPU of a busy loop.
func TestGuestRunQueue(t *testing.T) {
	p := open(t, Options{})
	cpu := lastCPU(t)
	h := start(t, "epoll", cpu)
	burners := map[uint32]bool{}
	for range 4 {
		burners[uint32(start(t, "burn", cpu).pid)] = true
	}
	time.Sleep(300 * time.Millisecond)
	d := h.do(t, 'c')
	s := stallOf(t, p, h.pid)
	near(t, "cpu", s.CPU, d.cpu, slack+d.cpu/interrupts)
	near(t, "run queue", s.RunQueue, d.wall-d.cpu, slack+d.cpu/interrupts)
	if s.RunQueue < s.CPU {
		t.Errorf("run queue = %.1f ms of %.1f ms, want most of it", ms(s.RunQueue), ms(s.Busy))
	}
	checkDelays(t, p, uint32(h.pid), s.RunQueue)
	checkBlame(t, p, uint32(h.pid), burners, s.RunQueue)
}

const (
	// interrupts is the divisor for the part of a thread's time that interrupts can
	// take on a busy emulated CPU, one seventh: the probe counts it as CPU, the
	// thread's own clock does not (IRQ_TIME_ACCOUNTING).
	interrupts = 7
	// sampled is the minimum part of the run-queue time that delays of a
	// millisecond and more, and blame, must cover. Wake-ups shorten slices on 5.10
	// and 6.1, so that up to half of the waiting is in shorter delays.
	sampled = 0.4
	// guiltyShare is the minimum part of the blame that the busy processes must have.
	guiltyShare = 0.8
)

func lastCPU(t *testing.T) int {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := 1023; cpu > 0; cpu-- {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	return 0
}

func checkDelays(t *testing.T, p *Probe, pid uint32, want uint64) {
	t.Helper()
	var sum uint64
	if err := p.ReadRunQueue(func(r *RunQueue) {
		if r.Tgid != pid {
			return
		}
		for i, n := range r.Delays.Count {
			sum += r.Delays.Sum[i]
			checkBucket(t, i, n, r.Delays.Sum[i])
		}
	}); err != nil {
		t.Fatal(err)
	}
	if float64(sum) < sampled*float64(want) {
		t.Errorf("delays of 1 ms and more = %.1f ms, want %v of %.1f ms", ms(sum), sampled, ms(want))
	}
}

func checkBlame(t *testing.T, p *Probe, pid uint32, culprits map[uint32]bool, want uint64) {
	t.Helper()
	var guilty, all uint64
	var others []string
	if err := p.ReadBlame(func(victim, culprit uint32, ns uint64) bool {
		if victim != pid {
			return true
		}
		all += ns
		if culprits[culprit] {
			guilty += ns
		} else {
			others = append(others, fmt.Sprintf("%d %.1f ms", culprit, ms(ns)))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("burners %.1f ms of %.1f ms, others %v", ms(guilty), ms(want), others)
	if float64(all) < sampled*float64(want) {
		t.Errorf("blame adds up to %.1f ms, want %v of %.1f ms", ms(all), sampled, ms(want))
	}
	if float64(guilty) < guiltyShare*float64(all) {
		t.Errorf("burners are blamed for %.1f ms, want %v of %.1f ms", ms(guilty), guiltyShare, ms(all))
	}
}

// TestGuestStacks checks that the programs that read functions load and sample from Linux
// 5.17 on, and are refused with the reason before. The helper has no runtime: with a layout
// that does not fit, its stack is not readable, and no function is named.
func TestGuestStacks(t *testing.T) {
	p := open(t, Options{})
	h := start(t, "epoll", -1)
	err := p.WatchPython(uint32(h.pid), PythonLayout{})
	if !linuxAtLeast(t, 5, 17) {
		if u := (*support.Unsupported)(nil); !errors.As(err, &u) {
			t.Errorf("error = %v, want that the kernel refuses the programs", err)
		}
		return
	}
	outside.Must(t, err)
	outside.Must(t, p.CaptureBlocks(true))
	seen := make(map[StackKind]int)
	outside.Eventually(t, patience, "samples of each kind", func() bool {
		h.do(t, 'c')
		h.do(t, 's')
		outside.Must(t, p.ReadStacks(func(s *Stack) {
			if int(s.Tgid) != int(h.pid) {
				return
			}
			seen[s.Kind]++
			if s.Kind != StackUnblocked && (s.Known || len(s.Functions) > 0) {
				t.Errorf("a stack without a runtime was read: %+v", s)
			}
		}))
		return seen[StackOnCPU] > 0 && seen[StackBlocked] > 0 && seen[StackUnblocked] > 0
	})
	outside.Must(t, p.CaptureBlocks(false))
	stands := uint16(0)
	outside.Eventually(t, patience, "samples of a busy loop", func() bool {
		h.do(t, 'c')
		outside.Must(t, p.ReadStacks(func(s *Stack) {
			if int(s.Tgid) == int(h.pid) {
				stands = max(stands, s.StandsFor)
			}
		}))
		return stands > 0
	})
}

func linuxAtLeast(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	outside.Must(t, unix.Uname(&u))
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		t.Fatal(err)
	}
	return a > major || a == major && b >= minor
}
