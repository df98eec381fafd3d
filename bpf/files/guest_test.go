// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kindsOf counts the descriptors of a process by their links.
func kindsOf(t *testing.T, pid uint32) Process {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	dir += "/" + threads[len(threads)-1].Name() + "/fd" // a leader that has exited has none
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var p Process
	for _, e := range entries {
		switch link, _ := os.Readlink(dir + "/" + e.Name()); {
		case strings.HasPrefix(link, "socket:"):
			p.Sockets++
		case strings.HasPrefix(link, "pipe:"):
			p.Pipes++
		case strings.HasPrefix(link, "anon_inode:"), strings.HasPrefix(link, "pidfd:"):
			p.Anon++
		default:
			p.Files++
		}
	}
	return p
}

func TestGuestKinds(t *testing.T) {
	p := open(t)
	for _, mode := range []string{"kinds", "leaderless"} {
		pid := start(t, mode, 0)
		got, want := look(t, p, pid), kindsOf(t, pid)
		if got.Sockets != want.Sockets || got.Files != want.Files || got.Pipes != want.Pipes || got.Anon != want.Anon || got.records != 1 {
			t.Errorf("%s: got %+v, want as in /proc %+v", mode, got, want)
		}
		if got.Files < heldFiles || got.Pipes < 2*heldPipes || got.Anon < heldEvents || got.Sockets != 1 || got.Listeners != 1 {
			t.Errorf("%s: got %+v, want what it holds", mode, got)
		}
	}
}

func TestGuestStart(t *testing.T) {
	p := open(t)
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if got := look(t, p, uint32(os.Getpid())).Start / 10_000_000; fmt.Sprint(got) != f[19] {
		t.Errorf("start = %d ticks, want %s as in /proc/self/stat", got, f[19])
	}
}

func TestGuestLimits(t *testing.T) {
	p := open(t)
	var want unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		t.Fatal(err)
	}
	if got := look(t, p, uint32(os.Getpid())); got.SoftLimit != want.Cur || got.HardLimit != want.Max {
		t.Errorf("limits = %d, %d, want %d, %d", got.SoftLimit, got.HardLimit, want.Cur, want.Max)
	}
}

func TestGuestConnections(t *testing.T) {
	p := open(t)
	pid := start(t, "connections", 0)
	look(t, p, pid) // learns the ports
	got := look(t, p, pid)
	// Both ends of served connections, the client's end of waiting ones, and
	// the client that fills the other queue. Of closed ones only the
	// server's end is a descriptor.
	established := 2*heldServed + heldWaiting + 1
	if int(got.Established) != established || got.CloseWait != heldClosed || got.SynSent != 1 || got.Listeners != 2 {
		t.Errorf("established %d, close_wait %d, syn_sent %d, listeners %d; want %d, %d, 1, 2",
			got.Established, got.CloseWait, got.SynSent, got.Listeners, established, heldClosed)
	}
	if got.Served != heldServed || got.Backlog != heldWaiting+1 {
		t.Errorf("served %d, backlog %d; want %d, %d", got.Served, got.Backlog, heldServed, heldWaiting+1)
	}
	if len(got.listeners) != 2 {
		t.Fatalf("listeners = %+v, want 2", got.listeners)
	}
	l, full := got.listeners[0], got.listeners[1]
	if l.Queue != heldWaiting || !l.Local.Addr().IsLoopback() || l.Local.Port() == 0 || l.Drops != 0 || l.MaxQueue < 100 {
		t.Errorf("listener = %+v, want %d in its queue and no drop", l, heldWaiting)
	}
	if text, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err != nil || strings.TrimSpace(string(text)) != fmt.Sprint(l.Somaxconn) {
		t.Errorf("net.core.somaxconn = %d, want %s (%v)", l.Somaxconn, text, err)
	}
	if full.Queue != 1 || full.MaxQueue != 0 || full.Drops == 0 {
		t.Errorf("full listener = %+v, want a queue of 1 that holds 0, and drops", full)
	}
}

// TestGuestWaitedFor checks that accepted connections (TCP and Unix), UDP sockets that
// serve, and connections to a broker are distinguished from a client's sockets.
func TestGuestWaitedFor(t *testing.T) {
	p := open(t)
	pid := start(t, "waited-for", unix.CLONE_NEWNET)
	look(t, p, pid) // learns the ports
	got := look(t, p, pid)
	if got.Served != 2 || got.Datagram != 1 || got.Brokers != 1 || got.Listeners != 2 {
		t.Errorf("served %d, datagram %d, brokers %d, listeners %d; want 2, 1, 1, 2", got.Served, got.Datagram, got.Brokers, got.Listeners)
	}
}

// TestGuestManyRecords checks that nothing counts twice if the kernel's buffer is
// filled more than once.
func TestGuestManyRecords(t *testing.T) {
	p := open(t)
	pid := start(t, "many", 0)
	got, want := look(t, p, pid), kindsOf(t, pid)
	inodes := make(map[uint64]bool)
	for _, l := range got.listeners {
		inodes[l.Inode] = true
	}
	if got.Listeners != heldMany || len(got.listeners) != heldMany || len(inodes) != heldMany {
		t.Errorf("%d listeners, %d records of %d sockets; want %d each", got.Listeners, len(got.listeners), len(inodes), heldMany)
	}
	if got.FDs() != want.FDs() || got.records != 1 {
		t.Errorf("%d descriptors in %d records, want %d in 1", got.FDs(), got.records, want.FDs())
	}
}

func TestGuestNetworkNamespace(t *testing.T) {
	p := open(t)
	pid := start(t, "own-netns", unix.CLONE_NEWNET)
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st); err != nil {
		t.Fatal(err)
	}
	got := look(t, p, pid)
	if len(got.listeners) != 1 {
		t.Fatalf("listeners = %+v, want 1", got.listeners)
	}
	if l := got.listeners[0]; uint64(l.NetNS) != st.Ino || l.Local.Port() != 8080 || !l.Local.Addr().IsUnspecified() {
		t.Errorf("listener = %+v, want port 8080 in namespace %d", l, st.Ino)
	}
}

// TestGuestListener compares addresses and inodes with those of the sockets.
func TestGuestListener(t *testing.T) {
	p := open(t)
	for _, tt := range []struct {
		network, address string
		multipath        bool
	}{{"tcp4", "127.0.0.1:0", false}, {"tcp6", "[::1]:0", false}, {"tcp4", "127.0.0.1:0", true}} {
		var config net.ListenConfig
		config.SetMultipathTCP(tt.multipath)
		l, err := config.Listen(context.Background(), tt.network, tt.address)
		if err != nil {
			t.Logf("%s: %v", tt.address, err)
			continue
		}
		inode := inodeOf(t, l.(*net.TCPListener))
		got := look(t, p, uint32(os.Getpid()))
		if len(got.listeners) != 1 || got.listeners[0].Local.String() != l.Addr().String() || got.listeners[0].Inode != inode {
			t.Errorf("listeners = %+v, want %s with inode %d", got.listeners, l.Addr(), inode)
		}
		l.Close()
	}
}

func inodeOf(t *testing.T, l *net.TCPListener) uint64 {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// TestGuestBacklog checks the backlog for one request that is not read, not answered,
// and answered.
func TestGuestBacklog(t *testing.T) {
	p := open(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	backlog := func() uint32 { return look(t, p, uint32(os.Getpid())).Backlog }
	backlog() // learns the port
	expect := func(what string, want uint32) {
		t.Helper()
		if got := backlog(); got != want {
			t.Errorf("backlog with %s = %d, want %d", what, got, want)
		}
		time.Sleep(50 * time.Millisecond) // the kernel counts jiffies
	}
	expect("a connection to accept", 1)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	expect("an idle connection", 0)
	must := func(_ int, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := []byte("x")
	must(client.Write(b))
	expect("a request to read", 1)
	must(server.Read(b))
	expect("a request to answer", 1)
	must(server.Write(b))
	must(client.Read(b))
	// The client's socket received last: the client is not waiting.
	expect("an answered request", 0)
}

// TestGuestPortIsForgotten checks that a port is removed when its listener is
// closed, so that a client's connections do not count as a server's.
func TestGuestPortIsForgotten(t *testing.T) {
	p := open(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	look(t, p, uint32(os.Getpid()))
	known := len(p.ports)
	l.Close()
	look(t, p, uint32(os.Getpid()))
	if len(p.ports) != known-1 {
		t.Errorf("%d ports are known, want %d", len(p.ports), known-1)
	}
	n := 0
	var key filesPort
	var value uint8
	for it := p.objs.Ports.Iterate(); it.Next(&key, &value); {
		n++
	}
	if n != len(p.ports) {
		t.Errorf("the kernel knows %d ports, want %d", n, len(p.ports))
	}
}

// TestGuestRefused checks that calls that fail with EMFILE are counted only between
// Watch and Unwatch.
func TestGuestRefused(t *testing.T) {
	p := open(t)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	refused := func() (calls uint64) {
		if err := p.ReadRefused(func(tgid uint32, n uint64) bool {
			if tgid == uint32(os.Getpid()) {
				calls = n
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		return calls
	}
	const failures = 5
	fail := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		for range failures {
			if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != unix.EMFILE {
				t.Errorf("socket = %d, %v, want EMFILE", fd, err)
			}
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
	fail()
	if err := p.Watch(); err != nil {
		t.Skip(err)
	}
	fail()
	if got := refused(); got != failures {
		t.Errorf("refused calls = %d, want %d", got, failures)
	}
	if err := p.Unwatch(); err != nil {
		t.Error(err)
	}
	fail()
	if got := refused(); got != failures || p.Watching() {
		t.Errorf("refused calls after the watch = %d, want %d", got, failures)
	}
}
