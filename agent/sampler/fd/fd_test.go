// SPDX-License-Identifier: Apache-2.0

package fd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/bpf/files"
)

// interner is an identity that only knows names, and one runtime for all processes, so
// that each process is checked for listeners.
type interner struct {
	sampler.Identity
	index *observe.Index
}

func (i interner) Process(pid int, start uint64) (observe.ID, bool) {
	id := i.index.ID(observe.Entity{Kind: observe.Process, ID: fmt.Sprintf("%d:%d", pid, start)})
	if i.index.Info(id).Attrs == nil {
		i.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrPID: fmt.Sprint(pid)}})
	}
	return id, true
}

func host(probes *sampler.Probes) *sampler.Host {
	x := observe.NewIndex(observe.DefaultLimit)
	return &sampler.Host{Proc: "/proc", Index: x, Identity: interner{index: x}, Probes: probes}
}

func withProbe(tb testing.TB) *sampler.Probes {
	tb.Helper()
	probes := &sampler.Probes{Openers: map[string]func() (io.Closer, error){"files": func() (io.Closer, error) { return files.Open(files.Options{}) }}}
	if _, err := probes.Open("files"); err != nil {
		tb.Skip("no eBPF here:", err)
	}
	tb.Cleanup(func() {
		if err := probes.Close(); err != nil {
			tb.Error(err)
		}
	})
	return probes
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
	return r.(*reader)
}

// read makes a pass, even if none is due.
func read(tb testing.TB, r *reader) *observe.Snapshot {
	tb.Helper()
	r.next = 0
	s := observe.NewSnapshot(r.index)
	if err := r.Read(s); err != nil {
		tb.Fatal(err)
	}
	return s
}

func self(tb testing.TB, r *reader) observe.ID {
	tb.Helper()
	p := r.procs[os.Getpid()]
	if p == nil {
		tb.Fatal("this process was not found")
	}
	id, _ := r.identity.Process(p.pid, p.start)
	return id
}

func TestDescriptors(t *testing.T) {
	for name, probes := range map[string]*sampler.Probes{"kernel": withProbe(t), "tree": nil} {
		t.Run(name, func(t *testing.T) {
			r := opened(t, host(probes))
			before, _ := read(t, r).Value(catalog.ProcessFDs, self(t, r))
			for range manyFDs {
				f, err := os.Open("/dev/null")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
			}
			s := read(t, r)
			id := self(t, r)
			if got, _ := s.Value(catalog.ProcessFDs, id); got != before+manyFDs {
				t.Errorf("descriptors = %v, want %v", got, before+manyFDs)
			}
			var want unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
				t.Fatal(err)
			}
			soft, _ := s.Value(catalog.ProcessFDLimit, id)
			hard, _ := s.Value(catalog.ProcessFDHardLimit, id)
			if soft != float64(want.Cur) || hard != float64(want.Max) {
				t.Errorf("limits = %v, %v, want %d, %d", soft, hard, want.Cur, want.Max)
			}
			if used, _ := s.Value(catalog.HostFDs, r.node); used < manyFDs {
				t.Errorf("the host has %v files open, want more", used)
			}
		})
	}
}

// TestListenerQueue checks the queue while connections wait, and after the listener is
// closed.
func TestListenerQueue(t *testing.T) {
	for name, probes := range map[string]*sampler.Probes{"kernel": withProbe(t), "tree": nil} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			r := opened(t, host(probes))
			if name == "tree" { // the tree only checks busy processes
				look(t, r)
			}
			s := read(t, r)
			id := listenerAt(r, l.Addr().String())
			if got, ok := s.Value(catalog.ListenerQueue, id); !ok || got != 3 {
				t.Fatalf("queue of %s = %v %v, want 3", l.Addr(), got, ok)
			}
			if up, ok := r.index.Parent(id); !ok || up != self(t, r) {
				t.Errorf("the listener belongs to %v %v, want this process", up, ok)
			}
			if got, _ := s.Value(catalog.ProcessListens, self(t, r)); got != 1 {
				t.Errorf("listeners = %v, want 1", got)
			}
			if probes == nil {
				l.Close()
				return
			}
			if got, ok := s.Value(catalog.ProcessBacklog, self(t, r)); !ok || got != 3 {
				t.Errorf("backlog = %v %v, want 3", got, ok)
			}
			l.Close()
			if ended := read(t, r).Ended; len(ended) != 1 || ended[0].ID != id {
				t.Errorf("ended = %v, want the listener", ended)
			}
		})
	}
}

// TestListenerDrops makes connections to a listener with a queue of one until the
// kernel drops them.
func TestListenerDrops(t *testing.T) {
	for name, probes := range map[string]*sampler.Probes{"kernel": withProbe(t), "tree": nil} {
		t.Run(name, func(t *testing.T) {
			_, address := listen(t, 1)
			connect(t, address, 5)
			r := opened(t, host(probes))
			if probes == nil {
				look(t, r)
			}
			s := read(t, r)
			id := listenerAt(r, address)
			if got, ok := s.Value(catalog.ListenerBacklog, id); !ok || got != 1 {
				t.Errorf("backlog = %v %v, want 1", got, ok)
			}
			past, ok := s.Value(catalog.ListenerDrops, id)
			if !ok || past < 3 {
				t.Errorf("drops = %v %v, want 3 or more", past, ok)
			}
			connect(t, address, 5)
			if got, _ := read(t, r).Value(catalog.ListenerDrops, id); got < past+5 {
				t.Errorf("drops = %v after 5 more, want %v or more", got, past+5)
			}
		})
	}
}

// TestDeferredAccept checks a listener that waits for data before it accepts: the
// kernel discards the packet that ends each handshake, and drops no connection.
func TestDeferredAccept(t *testing.T) {
	for name, probes := range map[string]*sampler.Probes{"kernel": withProbe(t), "tree": nil} {
		t.Run(name, func(t *testing.T) {
			fd, address := listen(t, 100)
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30); err != nil {
				t.Fatal(err)
			}
			r := opened(t, host(probes))
			if probes == nil {
				look(t, r)
			}
			read(t, r)
			// Other tests on this host may overflow a queue at the same time.
			for range 10 {
				s := read(t, r)
				id := listenerAt(r, address)
				past, _ := s.Value(catalog.ListenerDrops, id)
				discarded, host := listenerOf(r, id).drops, hostDrops(t, r)
				connect(t, address, 5)
				s = read(t, r)
				if hostDrops(t, r) != host {
					continue
				}
				if got := listenerOf(r, id).drops - discarded; got < 5 {
					t.Fatalf("the kernel discarded %d packets, want 5: the test does not hold", got)
				}
				if got, _ := s.Value(catalog.ListenerDrops, id); got != past {
					t.Errorf("drops = %v after 5 connections of which none was lost, want %v", got, past)
				}
				return
			}
			t.Fatal("the host dropped connections all the time")
		})
	}
}

// hostDrops returns TcpExtListenDrops of this process's network namespace.
func hostDrops(t *testing.T, r *reader) uint64 {
	t.Helper()
	n, ok := r.listenDrops(os.Getpid())
	if !ok {
		t.Fatal("TcpExtListenDrops cannot be read")
	}
	return n
}

// hostReader returns a reader of this host, without eBPF.
func hostReader(t *testing.T) *reader {
	t.Helper()
	r, err := newReader(host(nil))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLateCounter checks that a drop between the reading of the socket and the reading
// of its namespace, whose counter already includes it, counts in the next pass.
func TestLateCounter(t *testing.T) {
	r := hostReader(t)
	r.round = 5
	ns := &dropped{pid: os.Getpid(), read: 4, known: true}
	ns.total = hostDrops(t, r) - 1 // one more than at the last reading
	if got := r.explained(ns, 1); got != 1 {
		t.Errorf("of 1 discarded packet %d are explained, want 1", got)
	}
	r.round = 6
	ns.total = hostDrops(t, r)
	if got := r.explained(ns, 1); got != 1 {
		t.Errorf("of 1 more %d are explained by what was spare, want 1", got)
	}
	r.round = 8
	ns.total = hostDrops(t, r)
	if got := r.explained(ns, 1); got > 0 {
		t.Errorf("of a third one %d are explained, want none", got)
	}
}

// listen returns a listening socket. The test closes it when it ends.
func listen(t *testing.T, backlog int) (fd int, address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, backlog)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// connect tries to open n connections, which stay open until the test ends.
func connect(t *testing.T, address string, n int) {
	t.Helper()
	for range n {
		if c, err := net.DialTimeout("tcp", address, 100*time.Millisecond); err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
}

// look makes the tree check this process as a busy one.
func look(t *testing.T, r *reader) {
	t.Helper()
	read(t, r)
	for range 1000 {
		if own := r.source.(*tree).seen[os.Getpid()]; own != nil && own.listens.known {
			return
		}
		for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); { // burns
		}
		read(t, r)
	}
	t.Fatal("this process was never looked at")
}

func listenerOf(r *reader, id observe.ID) *listener {
	for _, l := range r.listeners {
		if l.id == id {
			return l
		}
	}
	return nil
}

func listenerAt(r *reader, address string) observe.ID {
	for _, l := range r.listeners {
		if l.local.String() == address {
			return l.id
		}
	}
	return observe.None
}

// TestPace checks that nothing is written between two passes.
func TestPace(t *testing.T) {
	r := opened(t, host(withProbe(t)))
	now := time.Hour
	r.boottime = func() time.Duration { return now }
	s := observe.NewSnapshot(r.index)
	for _, step := range []struct {
		after time.Duration
		reads bool
	}{{0, true}, {100 * time.Millisecond, false}, {time.Second, true}} {
		now += step.after
		s.Reset()
		if err := r.Read(s); err != nil {
			t.Fatal(err)
		}
		if got := len(s.Metrics()) > 0; got != step.reads {
			t.Errorf("after %v something was written: %v, want %v", step.after, got, step.reads)
		}
	}
}

// TestSharedListener checks that a listener belongs to the process that passed it on
// and not to init.
func TestSharedListener(t *testing.T) {
	r := hostReader(t)
	r.round = 1
	for _, pid := range []uint32{1, 50, 51} {
		r.listens(&files.Listener{Tgid: pid, Inode: 7, Queue: 2})
	}
	if l := r.listeners[socket{0, 7}]; len(r.listeners) != 1 || l.pid != 50 {
		t.Errorf("it belongs to %d, want 50", l.pid)
	}
}

func TestTooMany(t *testing.T) {
	r := hostReader(t)
	r.round = 1
	for i := range maxProcesses + 3 {
		r.opened(&files.Process{Tgid: uint32(i) + 1, Files: 1})
		r.listens(&files.Listener{Tgid: uint32(i) + 1, Inode: uint64(i)})
	}
	s := observe.NewSnapshot(r.index)
	r.gaps(s)
	if len(r.procs) != maxProcesses || len(r.listeners) != maxListeners || len(s.Gaps) != 2 {
		t.Errorf("%d processes, %d listeners, gaps %v; want %d, %d and 2", len(r.procs), len(r.listeners), s.Gaps, maxProcesses, maxListeners)
	}
}

func TestWithoutProbeIsAGap(t *testing.T) {
	probes := &sampler.Probes{Openers: map[string]func() (io.Closer, error){"files": func() (io.Closer, error) {
		return nil, sampler.NotSupported("run as root", "no permission")
	}}}
	s := read(t, opened(t, host(probes)))
	if len(s.Gaps) != 1 || s.Gaps[0].Cure != "run as root" || !strings.Contains(s.Gaps[0].Reason, "eBPF") {
		t.Errorf("gaps = %v, want one with the cure", s.Gaps)
	}
}

func BenchmarkRead(b *testing.B) {
	for name, probes := range map[string]*sampler.Probes{"kernel": withProbe(b), "tree": nil} {
		b.Run(name, func(b *testing.B) {
			h := host(probes)
			r := opened(b, h)
			s := observe.NewSnapshot(h.Index)
			for b.Loop() {
				r.next = 0
				s.Reset()
				if err := r.Read(s); err != nil {
					b.Fatal(err)
				}
			}
			fds := 0
			for _, p := range r.procs {
				fds += p.held.fds
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(fds), "ns/descriptor")
		})
	}
}

// TestRefused checks a shell without free descriptors: refused calls count from when
// the pass finds the shell at its limit.
func TestRefused(t *testing.T) {
	r := opened(t, host(withProbe(t)))
	const script = "ulimit -n 4; exec 3</dev/null; while :; do true </dev/null; done"
	cmd := exec.Command("sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() {
		_ = cmd.Process.Kill() //nolint:errcheck // it may have ended
		_ = cmd.Wait()         //nolint:errcheck // killed
		_ = r.source.(*kernel).probe.Unwatch()
	}()
	time.Sleep(200 * time.Millisecond)
	first := read(t, r)
	if err := r.source.(*kernel).refused.err; err != nil {
		t.Skip(err)
	}
	p := r.procs[cmd.Process.Pid]
	if p == nil {
		t.Fatal("the shell was not found")
	}
	id, _ := r.identity.Process(p.pid, p.start)
	if _, ok := first.Value(catalog.ProcessFDRefused, id); !ok {
		t.Errorf("a process at its limit has no count of refused calls: %+v", p.held)
	}
	time.Sleep(100 * time.Millisecond)
	if got, _ := read(t, r).Value(catalog.ProcessFDRefused, id); got < 10 {
		t.Errorf("refused = %v, want many", got)
	}
}

// TestAskedListenersHaveAddresses compares addresses with those that the program bound.
func TestAskedListenersHaveAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		found := false
		for _, asked := range askListeners() {
			found = found || asked.local.String() == l.Addr().String()
		}
		if !found {
			t.Errorf("inet_diag has no listener at %s", l.Addr())
		}
	}
}
