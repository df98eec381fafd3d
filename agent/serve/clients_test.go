// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	attacker = "127.0.0.2"
	scraper  = "127.0.0.1"
)

// TestUnreadAnswers checks that clients that do not read, from another address and from
// the scraper's own, do not affect the scraper and are disconnected.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	for _, from := range []string{attacker, scraper} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			l := patient()
			l.Send = 4 * time.Second // a scraper has the same limit
			s := newSite(t, "http", l, plainStart)
			for i := range 2 * s.limits.AddressConnections {
				s.unread(from, "/big")
				if i%8 == 0 {
					time.Sleep(2 * s.limits.Grace)
					s.serves(scraper, "/big")
					s.serves(scraper, "/healthz")
				}
			}
			await(t, "no connection is left", func() bool { return s.Stats().Connections == 0 })
			if st := s.Stats(); st.TimedOut == 0 && st.Evicted == 0 {
				t.Errorf("from %s: no answer timed out: %+v", from, st)
			}
		})
	}
}

// TestAnswerMemory checks that unread responses, each of another version, use less
// memory than the limit, and that a scraper still gets its response.
func TestAnswerMemory(t *testing.T) {
	t.Parallel()
	l := patient()
	l.AnswerBytes, l.Send = 1500<<10, 20*time.Second // about seven responses
	s := newSite(t, "http", l, plainStart)
	for i := range 24 {
		s.version.Add(1)
		want := s.renders.Load() + 1
		s.unread(fmt.Sprintf("127.0.1.%d", i+1), "/big")
		await(t, "the answer is rendered", func() bool { return s.renders.Load() >= want })
		if i%4 == 0 {
			s.version.Add(1)
			s.serves(scraper, "/big")
		}
		if held := s.Stats().AnswerBytes; held > l.AnswerBytes {
			t.Fatalf("answers hold %d bytes, want at most %d", held, l.AnswerBytes)
		}
	}
	await(t, "slow transfers are cut", func() bool { return s.Stats().Cut > 0 })
}

// TestConnectionsOfOneAddress checks that one address has at most its share of
// connections, and that every other address can connect when the table is full.
func TestConnectionsOfOneAddress(t *testing.T) {
	t.Parallel()
	l := patient()
	l.Header, l.Grace = 20*time.Second, 20*time.Second // no connection ends by itself
	l.Connections, l.AddressConnections = 24, 8
	s := newSite(t, "http", l, plainStart)
	for range 20 {
		s.dial("127.0.0.2")
	}
	await(t, "the rest is refused", func() bool { return s.Stats().Refused == 12 })
	if n := s.Stats().Connections; n != 8 {
		t.Errorf("one address has %d connections, want 8", n)
	}
	for range 8 {
		s.dial("127.0.0.3")
		s.dial("127.0.0.4")
	}
	await(t, "all places are taken", func() bool { return s.Stats().Connections == 24 })
	for range 10 {
		s.serves(scraper, "/healthz")
	}
	if st := s.Stats(); st.Evicted == 0 || st.Connections > 24 {
		t.Errorf("%+v, want some evicted and at most 24 connections", st)
	}
}

// TestSlowClients checks that the connection of a client that does not complete a
// request or a response is closed, at whatever point it stops.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", quick(), plainStart)
	for name, text := range map[string]string{
		"says nothing":              "",
		"half a header":             "GET / HTTP/1.1\r\nHo",
		"idle after a request":      "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"a body that does not come": "GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n",
		"chunks that do not come":   "POST /big HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"half a TLS handshake":      "\x16\x03\x01\x02\x00\x01",
		"upgrades to HTTP/2":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial(attacker)
			s.send(c, text)
			if took := closed(t, c); took > 10*time.Second {
				t.Errorf("closed after %v", took)
			}
		})
	}
}

// TestSlowHeader checks that sending one byte at a time does not extend the timeout of
// a header.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", quick(), plainStart)
	c := s.dial(attacker)
	began := time.Now()
	for time.Since(began) < 10*time.Second {
		if _, err := io.WriteString(c, "G"); err != nil {
			return // expected: the server closed the connection
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the connection is open after ten seconds")
}

// TestSlowReader checks that reading one byte at a time does not extend the timeout of
// a response.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", quick(), plainStart)
	c := s.unread(attacker, "/big")
	for range 80 {
		_, _ = c.Read(make([]byte, 1))
		time.Sleep(5 * time.Millisecond)
	}
	await(t, "it is cut off", func() bool { return s.Stats().TimedOut == 1 && s.Stats().Connections == 0 })
	if !strings.Contains(s.log.String(), "answer not read in time") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
}

// TestPipelinedUnread checks that requests sent without reading responses end with the
// first response that does not fit into the buffers.
func TestPipelinedUnread(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", quick(), plainStart)
	c := s.dial(attacker)
	_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, strings.Repeat("GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 10_000))
	await(t, "it is answered", func() bool { return s.renders.Load() > 0 })
	await(t, "it is cut off", func() bool { return s.Stats().Connections == 0 })
	if n := s.renders.Load(); n != 1 {
		t.Errorf("rendered %d times, want once", n)
	}
}

// TestRejected checks requests that are always rejected.
func TestRejected(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", patient(), plainStart)
	for _, c := range []struct {
		request string
		status  int
	}{
		{"POST /big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", http.StatusMethodNotAllowed},
		{"DELETE /big HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusMethodNotAllowed},
		{"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusMethodNotAllowed},
		{"GET /big HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", http.StatusRequestEntityTooLarge},
		{"GET /big HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", http.StatusRequestEntityTooLarge},
		{"GET /big?" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusRequestURITooLong},
		{"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge},
		{"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusTemporaryRedirect},
		{"GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusNotFound},
		{"GET /etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusNotFound},
	} {
		conn := s.dial(scraper)
		s.send(conn, c.request)
		if got := response(t, conn); got.StatusCode != c.status {
			t.Errorf("%.60q = %s, want %d", c.request, got.Status, c.status)
		}
	}
}

// TestHosts checks that a host name that a browser was made to resolve to a loopback
// address (DNS rebinding) is refused.
func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", patient(), plainStart)
	for host, status := range map[string]int{
		"127.0.0.1:9779": http.StatusOK, "localhost": http.StatusOK, "LOCALHOST.:1": http.StatusOK, "[::1]:9779": http.StatusOK,
		"app.localhost:80": http.StatusOK, "headroom.example": http.StatusOK,
		"evil.example": http.StatusMisdirectedRequest, "evil.example:9779": http.StatusMisdirectedRequest,
		"127.0.0.1.evil.example": http.StatusMisdirectedRequest, "localhost.evil.example": http.StatusMisdirectedRequest,
	} {
		if got, body, _ := s.get(scraper, "/healthz", "Host", host); got != status {
			t.Errorf("Host %s = %d %s, want %d", host, got, body, status)
		}
	}
	if n := s.Stats().Rejected["host"]; n != 4 {
		t.Errorf("%d rejected, want 4", n)
	}
}

// TestRequestRate checks that many requests from one address are delayed, and do not
// delay requests from another address.
func TestRequestRate(t *testing.T) {
	t.Parallel()
	l := patient()
	l.AddressRequestRate = 20 // with a burst of 100
	s := newSite(t, "http", l, plainStart)
	c := s.dial(attacker)
	began := time.Now()
	go func() {
		_, _ = io.WriteString(c, strings.Repeat("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 120))
	}()
	answers := bufio.NewReader(c)
	_ = c.SetReadDeadline(began.Add(30 * time.Second))
	for i := range 120 {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %v %v", i, answer, err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("120 requests took %v, want a second for 20 of them", took)
	}
	s.serves(scraper, "/healthz")
}

// TestConnectionRate checks that one address can open only a few connections per
// second.
func TestConnectionRate(t *testing.T) {
	t.Parallel()
	l := patient()
	l.AddressConnectionRate = 0.01 // with a burst of one
	s := newSite(t, "http", l, plainStart)
	for range 5 {
		s.dial(attacker)
	}
	await(t, "four are refused", func() bool { return s.Stats().Refused == 4 })
	s.serves(scraper, "/healthz")
}
