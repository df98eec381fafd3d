// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// A service is a listener of this process. It calls serve for each connection.
type service struct {
	addr string
	port uint16
}

func serve(t *testing.T, serve func(net.Conn)) service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return service{l.Addr().String(), uint16(l.Addr().(*net.TCPAddr).Port)}
}

func (s service) dial(t *testing.T) net.Conn {
	t.Helper()
	return s.dialWith(t, &net.Dialer{})
}

func (s service) dialWith(t *testing.T, d *net.Dialer) net.Conn {
	t.Helper()
	c, err := d.DialContext(context.Background(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echo answers each message with itself, after pause.
func echo(pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			time.Sleep(pause)
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

func ask(t *testing.T, c net.Conn, message string) {
	t.Helper()
	send(t, c, message)
	if _, err := io.ReadFull(c, make([]byte, len(message))); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, c net.Conn, message string) {
	t.Helper()
	if _, err := io.WriteString(c, message); err != nil {
		t.Fatal(err)
	}
}

// answered is what a service answered since the probe was opened.
type answered struct {
	Server
	n    uint64
	mean time.Duration
}

func (s service) read(t *testing.T, p *Probe) answered {
	t.Helper()
	var a answered
	var sum uint64
	if err := p.Read(func(v *Server) bool {
		if int(v.Tgid) == os.Getpid() && v.Port == s.port {
			a.Server = *v
			for i, n := range v.Answered.Count {
				a.n += n
				sum += v.Answered.Sum[i]
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if a.n > 0 {
		a.mean = time.Duration(sum / a.n)
	}
	return a
}

// patience is the timeout for events that must occur: emulated guests are slow.
const patience = 10 * time.Second

func (s service) until(t *testing.T, p *Probe, what string, ok func(answered) bool) answered {
	t.Helper()
	var a answered
	outside.Eventually(t, patience, what, func() bool {
		a = s.read(t, p)
		return ok(a)
	})
	return a
}

// answers fails the test unless the service has answered exactly n requests. A send can
// return before its hook has run.
func (s service) answers(t *testing.T, p *Probe, n uint64) answered {
	t.Helper()
	a := s.until(t, p, "all answers are counted", func(a answered) bool { return a.n >= n && a.Active == 0 })
	if a.n != n || a.Unanswered != 0 {
		t.Errorf("%d answers, %d unanswered; want %d answers", a.n, a.Unanswered, n)
	}
	return a
}

// TestGuestAnswers checks the number and the duration of answers, on a connection of
// before the probe, on one after it, and on one per request.
func TestGuestAnswers(t *testing.T) {
	const pause = 20 * time.Millisecond
	s := serve(t, echo(pause))
	before := s.dial(t)
	ask(t, before, "warm")
	p := open(t)
	after := s.dial(t)
	for range 10 {
		ask(t, before, "a")
		ask(t, after, "b")
		c := s.dial(t)
		ask(t, c, "c")
		c.Close()
	}
	a := s.answers(t, p, 30)
	if a.mean < pause || a.mean > 3*pause {
		t.Errorf("mean = %v, want %v", a.mean, pause)
	}
}

// TestGuestEveryAnswer checks a client that asks again as fast as it can: its next request
// often arrives before the kernel reports the answer as sent.
func TestGuestEveryAnswer(t *testing.T) {
	s := serve(t, echo(0))
	p := open(t)
	c := s.dial(t)
	const n = 3000
	for range n {
		ask(t, c, "x")
	}
	a := s.until(t, p, "answers are counted", func(a answered) bool { return a.n >= n-1-p.Lost().Skipped })
	if a.n > n {
		t.Errorf("%d answers, want %d", a.n, n)
	}
	t.Logf("%d of %d, %+v", a.n, n, p.Lost())
}

// TestGuestInFlight checks a request that is the first of its connection: the process is
// found by its open files.
func TestGuestInFlight(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(c net.Conn) {
		b := make([]byte, 1)
		_, _ = c.Read(b)
		<-release
		_, _ = c.Write(b)
		_, _ = c.Read(b)
	})
	p := open(t)
	c := s.dial(t)
	send(t, c, "x")
	began := time.Now()
	a := s.until(t, p, "the request is in flight", func(a answered) bool { return a.Active == 1 })
	if a.Oldest < impatience || a.Oldest > time.Since(began)+time.Second || a.Unread != 0 {
		t.Errorf("oldest %v, unread %d; want %v and none", a.Oldest, a.Unread, time.Since(began))
	}
	close(release)
	s.answers(t, p, 1)
}

// TestGuestUnread checks that a request that its process does not read is in flight.
func TestGuestUnread(t *testing.T) {
	s := serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte("hello"))
		time.Sleep(patience)
	})
	p := open(t)
	c := s.dial(t)
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	send(t, c, "x")
	s.until(t, p, "the request is unread", func(a answered) bool { return a.Active == 1 && a.Unread == 1 })
}

// TestGuestUnreadBefore checks that a request of before the start is in flight as long as
// its process does not read it, and that its answer is not counted: when it began is not
// known.
func TestGuestUnreadBefore(t *testing.T) {
	read := make(chan struct{})
	s := serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte("hello"))
		<-read
		b := make([]byte, 1)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			_, _ = c.Write(b)
		}
	})
	c := s.dial(t)
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	send(t, c, "x")
	p := open(t)
	s.until(t, p, "the request is unread", func(a answered) bool { return a.Active == 1 && a.Unread == 1 && a.Earlier == 1 })
	close(read)
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.until(t, p, "the request is answered", func(a answered) bool { return a.Active == 0 })
	send(t, c, "y")
	s.answers(t, p, 1)
}

// TestGuestLarge checks that a long request and a long answer are one each.
func TestGuestLarge(t *testing.T) {
	const size = 8 << 20
	s := serve(t, func(c net.Conn) {
		for {
			if _, err := io.CopyN(io.Discard, c, size); err != nil {
				return
			}
			if _, err := c.Write(make([]byte, size)); err != nil {
				return
			}
		}
	})
	p := open(t)
	c := s.dial(t)
	for range 2 {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			t.Fatal(err)
		}
	}
	s.answers(t, p, 2)
}

// TestGuestHalfClosed checks a client that closes its side after the request: the answer
// counts, and nobody waits.
func TestGuestHalfClosed(t *testing.T) {
	s := serve(t, echo(600*time.Millisecond))
	p := open(t)
	c := s.dial(t)
	send(t, c, "x")
	time.Sleep(50 * time.Millisecond)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * impatience)
	if a := s.read(t, p); a.Active != 0 {
		t.Errorf("%d in flight, want none after the client has closed", a.Active)
	}
	s.answers(t, p, 1)
}

// TestGuestUnanswered checks connections that end without an answer: the server closes one,
// the client resets another one. A client that says goodbye has not asked.
func TestGuestUnanswered(t *testing.T) {
	s := serve(t, func(c net.Conn) {
		b := make([]byte, 1)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			switch b[0] {
			case 'q': // quits
				time.Sleep(20 * time.Millisecond)
				return
			case 'r': // waits for the reset
				_, _ = c.Read(b)
				return
			case 'g': // the client says goodbye
			default:
				_, _ = c.Write(b)
			}
		}
	})
	p := open(t)
	for _, last := range "qrg" {
		c := s.dial(t)
		ask(t, c, "x")
		send(t, c, string(last))
		switch last {
		case 'q':
			_, _ = io.Copy(io.Discard, c)
		case 'r':
			s.until(t, p, "the request is read", func(a answered) bool { return a.Active == 1 && a.Unread == 0 })
			outside.Must(t, c.(*net.TCPConn).SetLinger(0))
		}
		c.Close()
	}
	a := s.until(t, p, "two requests have no answer", func(a answered) bool { return a.n == 3 && a.Unanswered >= 2 })
	time.Sleep(50 * time.Millisecond)
	if a = s.read(t, p); a.Unanswered != 2 || a.Active != 0 {
		t.Errorf("%d unanswered, %d in flight; want 2 and none", a.Unanswered, a.Active)
	}
}

// leftOut are the first bytes of servers of protocols whose messages are not requests and
// answers.
var leftOut = map[string]string{
	"WebSocket":  "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/2":     "\x00\x00\x12\x04\x00\x00\x00\x00\x00................",
	"TLS":        "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03\x00",
	"SSH":        "SSH-2.0-OpenSSH_9.2p1\r\n",
	"MQTT":       "\x20\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"AMQP":       "\x01\x00\x00\x00\x00\x01\xf0\x00\x0a\x00\x0a\x00",
	"NATS":       "INFO {\"server_id\"",
	"D-Bus":      "l\x02\x01\x01\x0c\x00\x00\x00\x01\x00\x00\x00",
	"PostgreSQL": "W\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00",
}

func TestGuestLeftOut(t *testing.T) {
	p := open(t)
	for name, first := range leftOut {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(c net.Conn) {
				b := make([]byte, 1)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := io.WriteString(c, first); err != nil {
						return
					}
				}
			})
			c := s.dial(t)
			for range 3 {
				send(t, c, "x")
				if _, err := io.ReadFull(c, make([]byte, len(first))); err != nil {
					t.Fatal(err)
				}
			}
			send(t, c, "x")
			a := s.until(t, p, "the connection is left out", func(a answered) bool { return a.LeftOut == 1 })
			if a.n != 0 || a.Active != 0 {
				t.Errorf("%d answers, %d in flight; want none", a.n, a.Active)
			}
		})
	}
}

// TestGuestStream checks a client that goes on sending: it does not wait for an answer.
func TestGuestStream(t *testing.T) {
	s := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	p := open(t)
	c := s.dial(t)
	send(t, c, "a")
	time.Sleep(1100 * time.Millisecond)
	send(t, c, "b")
	if a := s.read(t, p); a.Active != 0 {
		t.Errorf("%d in flight, want none", a.Active)
	}
}

// TestGuestMultipath checks clients of both kinds of TCP, which Go's listeners serve.
func TestGuestMultipath(t *testing.T) {
	s := serve(t, echo(0))
	p := open(t)
	var multi net.Dialer
	multi.SetMultipathTCP(true)
	c := s.dialWith(t, &multi)
	if ok, err := c.(*net.TCPConn).MultipathTCP(); err != nil || !ok {
		t.Logf("no multipath TCP here: %v", err) // the rest holds for TCP
	}
	for range 5 {
		ask(t, c, "x")
		time.Sleep(time.Millisecond)
	}
	s.answers(t, p, 5)
}

// TestGuestForgets checks that the entry of a process that has ended is used again, empty.
func TestGuestForgets(t *testing.T) {
	s := serve(t, echo(0))
	p := open(t)
	ask(t, s.dial(t), "x")
	s.answers(t, p, 1)
	outside.Must(t, p.Read(func(*Server) bool { return false }))
	if a := s.read(t, p); a.n != 0 {
		t.Errorf("%d answers after the entry was dropped, want none", a.n)
	}
	ask(t, s.dial(t), "x")
	s.answers(t, p, 1)
}
