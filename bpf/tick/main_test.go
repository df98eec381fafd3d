// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/support"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Tests named TestGuest need only a kernel: they also run in a guest whose user space
// is this test binary. The others need real servers.

// helperMode, set in the environment, turns the test binary into a helper.
const helperMode = "HEADROOM_TICK_HELPER"

// ran counts the tests that had a loaded probe: a run without one does not pass.
var ran int

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperMode); mode != "" {
		runHelper(mode)
		os.Exit(0)
	}
	code := m.Run()
	fmt.Printf("bpf/tick: %d tests ran with a live probe\n", ran)
	os.Exit(code)
}

// open opens a probe for one test, and skips where the host does not allow it.
func open(t testing.TB, opts Options) *Probe {
	t.Helper()
	p, err := Open(opts)
	if errors.Is(err, support.ErrNotSupported) && os.Getenv("HEADROOM_REQUIRE_PROBE") == "" {
		t.Skipf("no probe here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	ran++
	warmUp(t)
	return p
}

// warmUp makes the programs at a wait run. Under emulation the first run takes so long
// that 7.x switches threads in it, and then skips the waits of others on that CPU.
func warmUp(t testing.TB) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread, now a loop, ends with the goroutine
		done <- waitOften()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func waitOften() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it has served
	for range 16 {
		if _, err := unix.EpollWait(fd, make([]unix.EpollEvent, 1), 1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}

// helper is a process that loops in epoll, poll or select and runs the action that
// each byte on its stdin names. It reports how long the action took.
type helper struct {
	pid int
	in  io.WriteCloser
	out io.Reader
}

// start starts a helper on one CPU, or on all if cpu is negative.
func start(t testing.TB, mode string, cpu int) *helper {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"="+mode, "GOGC=off", "GOMAXPROCS=2")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := startOn(cmd, cpu); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	h := &helper{cmd.Process.Pid, in, out}
	if mode != "burn" && mode != "go-server" {
		h.answer(t) // It is running.
	}
	return h
}

func startOn(cmd *exec.Cmd, cpu int) error {
	if cpu < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return err
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &old))
}

// took is the duration of an action, as the helper measured it.
type took struct{ wall, cpu time.Duration }

func (h *helper) answer(t testing.TB) took {
	t.Helper()
	var b [16]byte
	if _, err := io.ReadFull(h.out, b[:]); err != nil {
		t.Fatalf("helper %d: %v", h.pid, err)
	}
	return took{
		time.Duration(binary.NativeEndian.Uint64(b[:])),
		time.Duration(binary.NativeEndian.Uint64(b[8:])),
	}
}

// send sends an action to the helper.
func (h *helper) send(t testing.TB, action byte) {
	t.Helper()
	if _, err := h.in.Write([]byte{action}); err != nil {
		t.Fatal(err)
	}
}

// do sends an action to the helper and waits until it is done.
func (h *helper) do(t testing.TB, action byte) took {
	t.Helper()
	h.send(t, action)
	return h.answer(t)
}

// loopOf returns the loop of the main thread of pid.
func loopOf(t testing.TB, p *Probe, pid int) (Loop, bool) {
	t.Helper()
	var found Loop
	ok := false
	err := p.ReadLoops(func(l *Loop) {
		if int(l.Tid) == pid {
			found, ok = *l, true
			found.Lag = Hist{append([]uint64(nil), l.Lag.Count...), append([]uint64(nil), l.Lag.Sum...)}
			found.BlockedBy = append([]LoopCall(nil), l.BlockedBy...)
			found.Current.BlockedBy = append([]Call(nil), l.Current.BlockedBy...)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, ok
}

// untilItWaits returns once the loop of a process is not in a tick.
func untilItWaits(t testing.TB, p *Probe, pid int) {
	t.Helper()
	outside.Eventually(t, patience, "the loop waits", func() bool {
		l, ok := loopOf(t, p, pid)
		return ok && !l.InTick
	})
}

// patience is the timeout for events that must occur: emulated guests are slow.
const patience = 10 * time.Second

// stallOf waits for the next stall of the main thread of pid and drops all others.
func stallOf(t testing.TB, p *Probe, pid int) Stall {
	t.Helper()
	var s Stall
	found, skipped, began := false, uint64(0), time.Now()
	outside.Eventually(t, patience, fmt.Sprintf("stall of %d", pid), func() bool {
		if err := p.ReadStalls(func(v *Stall) {
			if int(v.Tid) == pid && !found {
				s, found = *v, true
			}
		}); err != nil {
			t.Fatal(err)
		}
		if skipped = skips(p); skipped > 0 && time.Since(began) > patience/4 {
			return true
		}
		return found
	})
	if !found {
		t.Errorf("no stall of %d, and the kernel skipped programs %d times", pid, skipped)
		return s
	}
	t.Logf("stall: %.1f ms = cpu %.1f + run queue %.1f + throttled %.1f + blocked %.1f + fault %.1f (io %.1f), wake %.1f, longest %+v, nested %d",
		ms(s.Busy), ms(s.CPU), ms(s.RunQueue), ms(s.Throttled), ms(s.Blocked), ms(s.Fault), ms(s.BlockedIO), ms(s.Wake), s.Longest, s.NestedWaits)
	return s
}

// skips returns how often the kernel did not run a program, because one was not finished on
// the CPU: a wait can be missing then, and with it a stall. Under emulation Linux 7 often
// switches threads in the first run of a program.
func skips(p *Probe) (n uint64) {
	for _, u := range p.Usage() {
		n += u.Skipped
	}
	return n
}

func ms(ns uint64) float64 { return float64(ns) / 1e6 }

// attempts is how often a measurement is compared with a clock: in an emulated guest,
// the host can stop the CPU between the two readings.
const attempts = 3

// An attempt collects the errors of one comparison.
type attempt struct {
	testing.TB
	wrong []string
}

func (a *attempt) Errorf(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
}

// agrees runs compare until it reports no error, at most attempts times, and fails
// the test if it always reports one.
func agrees(t *testing.T, compare func(testing.TB)) {
	t.Helper()
	var last attempt
	for range attempts {
		last = attempt{TB: t}
		if compare(&last); len(last.wrong) == 0 {
			return
		}
		t.Logf("an attempt failed: %s", strings.Join(last.wrong, "; "))
	}
	for _, w := range last.wrong {
		t.Error(w)
	}
}

// near reports an error if a duration (ns) is off by more than 2 % and slack.
func near(t testing.TB, what string, got uint64, want, slack time.Duration) {
	t.Helper()
	if d := time.Duration(got) - want; d.Abs() > want/50+slack {
		t.Errorf("%s = %.2f ms, want %.2f ms within 2 %% and %v", what, ms(got), ms(uint64(want)), slack)
	}
}

// stolen returns the CPU time that the hypervisor has taken from this machine.
func stolen(t testing.TB) time.Duration {
	t.Helper()
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	stat, err := fs.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(stat.CPUTotal.Steal * float64(time.Second))
}

// nearCPU compares the CPU time of a tick with the CPU clock of its thread. The time
// of a tick includes steal time, which a thread's clock does not: it can exceed the
// clock by the steal time since before.
func nearCPU(t testing.TB, got uint64, want, slack, before time.Duration) {
	t.Helper()
	const clockTicks = 2 * 10 * time.Millisecond // /proc/stat counts whole clock ticks on each CPU
	taken := stolen(t) - before
	if taken > 0 {
		taken += clockTicks
	}
	d := time.Duration(got) - want
	if d < -want/50-slack || d > want/50+slack+taken {
		t.Errorf("cpu = %.2f ms, want %.2f ms within 2 %% and %v, and up to %v stolen", ms(got), ms(uint64(want)), slack, taken)
	}
}
