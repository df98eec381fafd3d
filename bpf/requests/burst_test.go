// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A queue is a listener that nobody accepts from.
type queue struct {
	fd      int
	inode   uint64
	address unix.Sockaddr
}

func listen(t *testing.T, backlog int) queue {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	outside.Must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	outside.Must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	outside.Must(t, unix.Listen(fd, backlog))
	address, err := unix.Getsockname(fd)
	outside.Must(t, err)
	var st unix.Stat_t
	outside.Must(t, unix.Fstat(fd, &st))
	return queue{fd, st.Ino, address}
}

// connect begins connections, and does not wait for them.
func (q queue) connect(t *testing.T, connections int) {
	t.Helper()
	for range connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		outside.Must(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Connect(fd, q.address); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
}

func (q queue) accept(t *testing.T, connections int) {
	t.Helper()
	for range connections {
		fd, _, err := unix.Accept(q.fd)
		outside.Must(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
	}
}

func (q queue) burst(t *testing.T, b *Bursts) (connections int) {
	t.Helper()
	outside.Must(t, b.Read(func(inode uint64, n int) {
		if inode == q.inode {
			connections = n
		}
	}))
	return connections
}

// TestGuestBurst checks the number of connections that wanted to wait at a time: those in
// the queue, and with the next connection after it was empty, those that were dropped.
// Clients try again after a second at the earliest.
func TestGuestBurst(t *testing.T) {
	const backlog, dropped = 1, 6
	p := open(t)
	bursts := p.Bursts()
	long, short := listen(t, 16), listen(t, backlog)
	long.connect(t, 5)
	short.connect(t, backlog+1+dropped)
	if n := long.burst(t, bursts); n != 5 {
		t.Errorf("%d connections at a time, want the 5 in the queue", n)
	}
	short.accept(t, backlog+1)
	short.connect(t, 1)
	if n := short.burst(t, bursts); n < backlog+1+dropped || n > backlog+1+2*dropped {
		t.Errorf("%d connections at a time, want %d, and at most the %d that were dropped again", n, backlog+1+dropped, dropped)
	}
	if n := long.burst(t, bursts); n != 0 {
		t.Errorf("%d connections at a time after a reading without one", n)
	}
}
