// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/patience"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// block makes a thread of this process wait in f, which fd ends by being shut down.
func block(t *testing.T, fd int, f func() error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		for f() == unix.EINTR {
		}
		close(done)
	}()
	t.Cleanup(func() {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		<-done
		_ = unix.Close(fd)
	})
}

// datagrams returns a socket that is connected to an address that does not answer.
func datagrams(t *testing.T) (fd int, peer netip.AddrPort) {
	t.Helper()
	silent, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	outside.Must(t, err)
	t.Cleanup(func() { _ = unix.Close(silent) })
	outside.Must(t, unix.Bind(silent, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(silent)
	outside.Must(t, err)
	to := name.(*unix.SockaddrInet4)
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	outside.Must(t, err)
	outside.Must(t, unix.Connect(fd, to))
	return fd, netip.AddrPortFrom(netip.AddrFrom4(to.Addr), uint16(to.Port))
}

// TestThreads checks a thread in poll and one in recvfrom, as a resolver has them, and one
// that reads a pipe, as idle threads do.
func TestThreads(t *testing.T) {
	polled, server := datagrams(t)
	block(t, polled, func() error {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(polled), Events: unix.POLLIN}}, -1)
		return err
	})
	received, other := datagrams(t)
	block(t, received, func() error {
		_, _, err := unix.Recvfrom(received, make([]byte, 1), 0)
		return err
	})
	var ends [2]int
	outside.Must(t, unix.Pipe(ends[:]))
	go func() { _, _ = unix.Read(ends[0], make([]byte, 1)) }()
	t.Cleanup(func() { _ = unix.Close(ends[1]) })

	x := observe.NewIndex(100)
	id := x.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(os.Getpid()) + ":1"})
	threads := newThreads(&sampler.Host{Proc: "/proc", Index: x, Patience: patience.New("/proc")})
	now := map[observe.ID]total{id: {pid: os.Getpid(), oldest: slow}}
	want := map[call]bool{
		{name: "ppoll", kind: catalog.TargetInet, peer: server}:   true,
		{name: "recvfrom", kind: catalog.TargetInet, peer: other}: true,
	}
	found := func() map[call]*seen {
		threads.took = 0
		threads.read(observe.NewSnapshot(x), now)
		return threads.sampled[id].calls.calls
	}
	outside.Eventually(t, 10*time.Second, "both threads wait", func() bool { return len(found()) >= len(want) })
	for c, k := range found() {
		if !want[c] || k.count < 1 || x.Attr(k.id, catalog.AttrDestPort) != strconv.Itoa(int(c.peer.Port())) {
			t.Errorf("%d readings found %+v: %+v", int(threads.sampled[id].readings), c, k)
		}
	}
	threads.read(observe.NewSnapshot(x), nil)
	if len(threads.sampled) != 0 {
		t.Error("a process that does not serve any more is kept")
	}
}
