// SPDX-License-Identifier: Apache-2.0

package requests

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

// Messages of PostgreSQL's protocol 3.0: a query, its answer in a transaction and outside
// of one, and the question for encryption with the answer "no".
const (
	query         = "Q\x00\x00\x00\x0aBEGIN\x00"
	inTransaction = "C\x00\x00\x00\x0aBEGIN\x00Z\x00\x00\x00\x05T"
	ready         = "C\x00\x00\x00\x0bCOMMIT\x00Z\x00\x00\x00\x05I"
	askForTLS     = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	noTLS         = "N"
	startup       = "\x00\x00\x00\x13\x00\x03\x00\x00user\x00test\x00\x00"
	// clientHello is the beginning of a record of TLS.
	clientHello = "\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03"
	ping        = "*1\r\n$4\r\nPING\r\n"
	pong        = "+PONG\r\n"
)

// script answers each message with the next of the answers, after pause.
func script(pause time.Duration, answers ...string) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 64<<10)
		for i := 0; ; i++ {
			if _, err := c.Read(b); err != nil {
				return
			}
			time.Sleep(pause)
			if _, err := io.WriteString(c, answers[i%len(answers)]); err != nil {
				return
			}
		}
	}
}

// called is what this process called at a service.
type called struct {
	Upstream
	n    uint64
	mean time.Duration
}

func (s service) calls(t *testing.T, p *Probe) called {
	t.Helper()
	var c called
	var sum uint64
	outside.Must(t, p.ReadUpstreams(func(v *Upstream) bool {
		if int(v.Tgid) == os.Getpid() && v.Address == netip.MustParseAddrPort(s.addr) {
			c.Upstream = *v
			for i, n := range v.Answered.Count {
				c.n += n
				sum += v.Answered.Sum[i]
			}
		}
		return true
	}))
	if c.n > 0 {
		c.mean = time.Duration(sum / c.n)
	}
	return c
}

// say sends a message and reads the answer completely.
func say(t *testing.T, c net.Conn, message, answer string) {
	t.Helper()
	send(t, c, message)
	b := make([]byte, len(answer))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	if string(b) != answer {
		t.Fatalf("answer %q, want %q", b, answer)
	}
}

// TestGuestPostgres checks calls of one transaction: the connection is in use until its
// end, although nothing is sent for most of the time.
func TestGuestPostgres(t *testing.T) {
	unlessSkipped(t, checkTransaction)
}

func checkTransaction(t *testing.T) (p *Probe, wrong []string) {
	const pause, think = 5 * time.Millisecond, 30 * time.Millisecond
	s := serve(t, script(pause, inTransaction, ready))
	p = open(t)
	c := s.dial(t)
	say(t, c, query, inTransaction)
	say(t, c, query, ready)
	before := s.calls(t, p) // from now on, reading is observed
	if before.Protocol != Postgres || before.Connections != 1 {
		wrong = append(wrong, fmt.Sprintf("protocol %d, %d connections; want PostgreSQL, one", before.Protocol, before.Connections))
	}
	say(t, c, query, inTransaction)
	time.Sleep(think)
	open := s.calls(t, p)
	if open.InUse != 1 || open.Active != 0 || open.Idle < think || open.Used < open.Idle {
		wrong = append(wrong, fmt.Sprintf("in a transaction: %d in use, %d active, idle %v of %v; want one in use, idle for %v", open.InUse, open.Active, open.Idle, open.Used, think))
	}
	say(t, c, query, ready)
	a := s.calls(t, p)
	if a.n != 4 || a.mean < pause || !a.Confirmed {
		wrong = append(wrong, fmt.Sprintf("%d calls of %v, confirmed %v; want 4 of %v", a.n, a.mean, a.Confirmed, pause))
	}
	if a.Uses != 1 || a.InUse != 0 || a.Used < think+2*pause || a.Unreadable != 0 {
		wrong = append(wrong, fmt.Sprintf("%d uses, %d in use, used for %v, %d unreadable; want one that has ended, of %v", a.Uses, a.InUse, a.Used, a.Unreadable, think+2*pause))
	}
	time.Sleep(think)
	if b := s.calls(t, p); b.Used != a.Used || b.Idle != a.Idle || b.Busy != a.Busy {
		wrong = append(wrong, fmt.Sprintf("used %v, idle %v, busy %v while nothing happens; want %v, %v, %v", b.Used, b.Idle, b.Busy, a.Used, a.Idle, a.Busy))
	}
	return p, wrong
}

// unlessSkipped fails the test if check finds something wrong. It repeats a check in which
// the kernel skipped a program, because one was not finished on the CPU: Linux 7 switches
// threads in programs, and under emulation these take long. What they count is then missing.
func unlessSkipped(t *testing.T, check func(*testing.T) (*Probe, []string)) {
	t.Helper()
	for i := 0; ; i++ {
		p, wrong := check(t)
		if len(wrong) == 0 {
			return
		}
		skipped := skips(p)
		if skipped == 0 || i == 5 {
			t.Fatalf("%s (the kernel skipped programs %d times)", strings.Join(wrong, "; "), skipped)
		}
		t.Logf("repeated, because the kernel skipped programs %d times: %s", skipped, strings.Join(wrong, "; "))
	}
}

// skips returns how often the kernel skipped a program.
func skips(p *Probe) (n uint64) {
	for _, u := range p.Usage() {
		n += u.Skipped
	}
	return n
}

// again repeats a part of a check in which the kernel skipped a program, so that not all of
// it has to be repeated.
func again(p *Probe, check func() []string) (wrong []string) {
	for range 5 {
		before := skips(p)
		if wrong = check(); len(wrong) == 0 || skips(p) == before {
			return wrong
		}
	}
	return wrong
}

// TestGuestRedis checks calls on a connection of before the probe, and one that stays idle.
func TestGuestRedis(t *testing.T) {
	s := serve(t, script(0, pong))
	c, idle := s.dial(t), s.dial(t)
	say(t, c, ping, pong)
	say(t, idle, ping, pong)
	p := open(t)
	say(t, c, ping, pong)
	s.calls(t, p)
	const n = 20
	for range n {
		say(t, c, ping, pong)
	}
	a := s.calls(t, p)
	if a.Protocol != Redis || a.n != n+1 || a.Uses != n || a.Connections != 2 {
		t.Errorf("protocol %d, %d calls, %d uses, %d connections; want Redis, %d, %d, 2", a.Protocol, a.n, a.Uses, a.Connections, n+1, n)
	}
}

// TestGuestRoundTrip checks that the round trip does not include the time for which a
// server can delay its acknowledgement while it has no answer yet: 40 ms on Linux, on a
// connection on which it answered at once before.
func TestGuestRoundTrip(t *testing.T) {
	const pause, longest = 80 * time.Millisecond, 5 * time.Millisecond
	s := serve(t, func(c net.Conn) {
		b := make([]byte, 64<<10)
		for i := 0; ; i++ {
			if _, err := c.Read(b); err != nil {
				return
			}
			time.Sleep(time.Duration(i%2) * pause)
			if _, err := io.WriteString(c, ready); err != nil {
				return
			}
		}
	})
	p := open(t)
	c := s.dial(t)
	say(t, c, query, ready)
	s.calls(t, p) // from now on, reading is observed
	for range 15 {
		say(t, c, query, ready)
	}
	if a := s.calls(t, p); a.RTT == 0 || a.RTT > longest || a.mean < pause/2 {
		t.Errorf("round trip %v, calls of %v; want less than %v, %v", a.RTT, a.mean, longest, pause/2)
	}
}

// TestGuestWaiting checks a call without an answer, and that it is over when the server
// closes the connection.
func TestGuestWaiting(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, len(ping)))
		_, _ = io.WriteString(c, pong)
		_, _ = io.ReadFull(c, make([]byte, len(ping)))
		<-release
	})
	p := open(t)
	c := s.dial(t)
	say(t, c, ping, pong)
	s.calls(t, p)
	send(t, c, ping)
	time.Sleep(time.Millisecond)
	a := s.calls(t, p)
	if a.Active != 1 || a.Oldest < time.Millisecond || a.InUse != 1 {
		t.Errorf("%d active, the oldest for %v, %d in use; want one, 1ms, one", a.Active, a.Oldest, a.InUse)
	}
	if b := s.calls(t, p); b.Busy <= a.Busy || b.Used <= a.Used {
		t.Errorf("busy %v, used %v; want more than %v, %v", b.Busy, b.Used, a.Busy, a.Used)
	}
	close(release)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the connection is still open: %v", err)
	}
	outside.Must(t, c.Close())
	outside.Eventually(t, patience, "the connection is forgotten", func() bool { return s.calls(t, p).Connections == 0 })
	if b := s.calls(t, p); b.Active != 0 || b.n != 1 || b.InUse != 0 {
		t.Errorf("%d active, %d answered, %d in use; want none, one, none", b.Active, b.n, b.InUse)
	}
}

// TestGuestStartup checks a connection whose client asks for encryption, which the server
// refuses.
func TestGuestStartup(t *testing.T) {
	s := serve(t, script(0, noTLS, ready))
	p := open(t)
	c := s.dial(t)
	say(t, c, askForTLS, noTLS)
	s.calls(t, p)
	say(t, c, startup, ready)
	if a := s.calls(t, p); a.Protocol != Postgres || !a.Confirmed || a.n != 2 {
		t.Errorf("protocol %d, confirmed %v, %d calls; want PostgreSQL, 2", a.Protocol, a.Confirmed, a.n)
	}
}

// TestGuestEncrypted checks that a connection that becomes encrypted is reported as one of
// which nothing is known.
func TestGuestEncrypted(t *testing.T) {
	s := serve(t, script(0, "S", "x"))
	p := open(t)
	c := s.dial(t)
	say(t, c, askForTLS, "S")
	say(t, c, clientHello, "x")
	a := s.calls(t, p)
	want := Opaque{uint32(os.Getpid()), netip.MustParseAddrPort(s.addr)}
	if a.Confirmed || a.Connections != 0 || p.Opaque()[want] != 1 {
		t.Errorf("confirmed %v, %d connections, opaque %v; want only %v", a.Confirmed, a.Connections, p.Opaque(), want)
	}
}

// TestGuestOtherProtocols checks that connections of other protocols are forgotten, and
// that a server is no client.
func TestGuestOtherProtocols(t *testing.T) {
	s := serve(t, script(0, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	p := open(t)
	c := s.dial(t)
	for range 2 * 3 {
		say(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	outside.Must(t, p.ReadUpstreams(func(v *Upstream) bool {
		if int(v.Tgid) == os.Getpid() {
			t.Errorf("protocol %d at %v, want none", v.Protocol, v.Address)
		}
		return true
	}))
	if len(p.Opaque()) != 0 {
		t.Errorf("opaque %v, want none", p.Opaque())
	}
}

// TestGuestNoAnswerOfTheProtocol checks that what only looks like a call is not confirmed.
func TestGuestNoAnswerOfTheProtocol(t *testing.T) {
	s := serve(t, script(0, "hello"))
	p := open(t)
	c := s.dial(t)
	for range 5 {
		say(t, c, ping, "hello")
		if a := s.calls(t, p); a.Confirmed {
			t.Fatal("Redis is confirmed by an answer of another protocol")
		}
	}
}

// TestGuestForgetsUpstreams checks that an entry that was dropped is used again, empty.
func TestGuestForgetsUpstreams(t *testing.T) {
	s := serve(t, script(0, pong))
	p := open(t)
	c := s.dial(t)
	say(t, c, ping, pong)
	s.calls(t, p)
	outside.Must(t, c.Close())
	outside.Eventually(t, patience, "the connection is closed", func() bool { return s.calls(t, p).Connections == 0 })
	outside.Must(t, p.ReadUpstreams(func(*Upstream) bool { return false }))
	if a := s.calls(t, p); a.n != 0 {
		t.Errorf("%d calls after the entry was dropped, want none", a.n)
	}
	say(t, s.dial(t), ping, pong)
	if a := s.calls(t, p); a.n != 1 {
		t.Errorf("%d calls, want 1", a.n)
	}
}
