// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A listener accepts as many connections as the limits allow.
type listener struct {
	net.Listener
	server *Server
}

// Accept returns the next connection that gets a seat. Others are closed at once:
// an error response would have to wait for a TLS handshake.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if own := l.server.admit(c); own != nil {
			return own, nil
		}
	}
}

// admit returns the connection with a seat, or nil after closing it.
func (s *Server) admit(c net.Conn) net.Conn {
	own, remote := &conn{Conn: c}, c.RemoteAddr().String()
	addr := network(remote)
	if s.opening.allow(addr) {
		seat, evicted := s.conns.take(addr, own.abort)
		if evicted {
			s.counts.evicted.Add(1)
			s.log.Warn("connection closed to accept another: limit of connections reached", "remote", host(remote))
		}
		if seat != nil {
			own.seat = seat
			return own
		}
	}
	s.counts.refused.Add(1)
	s.log.Warn("connection refused: limit of connections reached", "remote", host(remote))
	own.abort()
	return nil
}

// A conn holds a seat from Accept to Close.
type conn struct {
	net.Conn
	seat    *seat
	stalled atomic.Bool // the client did not read in time
}

// abort closes the connection at once, without waiting for unread data to be
// delivered.
func (c *conn) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Conn.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.seat.progress()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if c.stalled.Load() {
		return 0, os.ErrDeadlineExceeded // TLS would wait to send its close message
	}
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.seat.progress()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.stalled.Store(true)
	}
	return n, err
}

// Close drops data that a stalled client has not read: otherwise the kernel holds
// it for minutes.
func (c *conn) Close() error {
	c.seat.leave()
	if c.stalled.Load() {
		c.abort()
		return nil
	}
	return c.Conn.Close()
}

const (
	// sendBuffer and receiveBuffer are the kernel's buffers of a connection; the
	// kernel doubles them for its own overhead.
	sendBuffer    = 64 << 10
	receiveBuffer = 16 << 10
	// unacknowledged is how long the kernel keeps unread data of a closed connection.
	unacknowledged = 20 * time.Second
)

// smallBuffers bounds the kernel memory of a client that does not read, or sends
// without end. The default is megabytes for each connection, which count towards
// the agent's cgroup. Accepted connections inherit the options.
func smallBuffers(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds())))
	})
	return errors.Join(err, failed)
}
