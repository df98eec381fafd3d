// SPDX-License-Identifier: Apache-2.0

package tick

import (
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/bpf/support"
)

// hooks are the programs attached while a benchmark runs. Empty programs on the
// same hooks show the minimum cost.
var hooks = []struct {
	name   string
	attach func(*testing.B) io.Closer
}{
	{"none", func(*testing.B) io.Closer { return closers(nil) }},
	{"empty-switch", func(b *testing.B) io.Closer { return closers{emptySwitch(b)} }},
	{"empty-switch-and-waits", func(b *testing.B) io.Closer { return append(emptyWaits(b), emptySwitch(b)) }},
	{"tick", func(b *testing.B) io.Closer { return probeFor(b, EnterTracepoint) }},
	{"tick-raw", func(b *testing.B) io.Closer { return probeFor(b, EnterRaw) }},
	{"tick-functions", func(b *testing.B) io.Closer { return withFunctions(b, false) }},
	{"tick-functions-and-blocks", func(b *testing.B) io.Closer { return withFunctions(b, true) }},
}

type closers []io.Closer

func (cs closers) Close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// BenchmarkSwitch is a pair of threads on one CPU that wake each other through
// pipes, as perf bench sched pipe: two switches and four system calls an
// iteration. Compare the rows, and use the minimum of several runs.
func BenchmarkSwitch(b *testing.B) {
	for _, h := range hooks {
		b.Run(h.name, func(b *testing.B) {
			defer h.attach(b).Close()
			pingPong(b)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/switch")
		})
	}
}

// BenchmarkWait measures a loop that never sleeps: epoll_wait with a timeout of 0.
func BenchmarkWait(b *testing.B) {
	for _, h := range hooks {
		b.Run(h.name, func(b *testing.B) {
			defer h.attach(b).Close()
			pin(b)
			epfd := epollOfNothing(b)
			var events [1]unix.EpollEvent
			for b.Loop() {
				if _, err := unix.EpollWait(epfd, events[:], 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func probeFor(b *testing.B, mode EnterMode) io.Closer {
	p, err := Open(Options{Enter: mode})
	if err != nil {
		b.Skip(err)
	}
	return p
}

// withFunctions returns a probe that samples functions, with and without those that block.
func withFunctions(b *testing.B, blocks bool) io.Closer {
	p, err := Open(Options{})
	if err != nil {
		b.Skip(err)
	}
	if err := errors.Join(p.startStacks(), p.CaptureBlocks(blocks)); err != nil {
		b.Skip(err)
	}
	return p
}

func emptyProgram(b *testing.B, spec *ebpf.ProgramSpec) *ebpf.Program {
	spec.License = "Dual BSD/GPL"
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		b.Skip(err)
	}
	return p
}

func emptySwitch(b *testing.B) io.Closer {
	p := emptyProgram(b, &ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_switch"})
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		b.Skip(err)
	}
	return closers{l, p}
}

func emptyWaits(b *testing.B) closers {
	p := emptyProgram(b, &ebpf.ProgramSpec{Type: ebpf.TracePoint})
	events, err := support.OpenSyscalls("enter", waits)
	if err != nil {
		b.Skip(err)
	}
	cs := closers{p}
	for _, e := range events {
		if err := e.Run(p); err != nil {
			b.Skip(err)
		}
		cs = append(cs, e)
	}
	return cs
}

// pin locks the calling goroutine to its thread, and the thread to CPU 0. The thread
// ends with the goroutine, because it is never unlocked.
func pin(b *testing.B) {
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(0)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Error(err)
	}
}

func epollOfNothing(b *testing.B) int {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(epfd) })
	return epfd
}

func pingPong(b *testing.B) {
	there, back := pipe(b), pipe(b)
	var ends sync.WaitGroup
	// Nothing may stop the world from here on, neither the garbage collector nor the
	// timer: move blocks without the knowledge of Go's scheduler.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	b.ResetTimer()
	ends.Go(func() {
		pin(b)
		for range b.N {
			move(there[0], unix.SYS_READ)
			move(back[1], unix.SYS_WRITE)
		}
	})
	ends.Go(func() {
		pin(b)
		for range b.N {
			move(there[1], unix.SYS_WRITE)
			move(back[0], unix.SYS_READ)
		}
	})
	ends.Wait()
	b.StopTimer()
}

func pipe(b *testing.B) [2]int {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = errors.Join(unix.Close(fds[0]), unix.Close(fds[1])) })
	return fds
}

// move reads or writes one byte, without Go's scheduler in between.
func move(fd int, call uintptr) {
	var buf [1]byte
	_, _, _ = unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&buf)), 1)
}

// BenchmarkThreads measures one pass over all threads of the host.
func BenchmarkThreads(b *testing.B) {
	p, err := Open(Options{})
	if err != nil {
		b.Skip(err)
	}
	defer p.Close() //nolint:errcheck // the benchmark has ended
	n := 0
	for b.Loop() {
		n = 0
		if err := p.ReadThreads(func(*Thread) { n++ }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/thread")
	b.ReportMetric(float64(n), "threads")
}
