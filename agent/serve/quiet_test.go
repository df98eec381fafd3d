// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestQuiet checks that a message is logged a few times per period and only counted
// after that.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var out syncBuffer
	var suppressed atomic.Int64
	log := slog.New(newQuiet(slog.NewJSONHandler(&out, nil), 3, 100*time.Millisecond, &suppressed)).With("part", "http")
	for range 100 {
		log.Warn("often", "remote", "192.0.2.1")
		log.Info("in peace")
	}
	log.Error("once")
	await(t, "the rest is summed up", func() bool { return strings.Contains(out.String(), "suppressed") })
	counts := make(map[string]int)
	for line := range strings.Lines(out.String()) {
		var r struct {
			Msg, Message string
			Count        int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q is no JSON: %v", line, err)
		}
		counts[r.Msg]++
		if r.Msg == "log lines suppressed" && (r.Message != "often" || r.Count != 97) {
			t.Errorf("%s, want 97 of often", line)
		}
	}
	if counts["often"] != 3 || counts["once"] != 1 || counts["in peace"] != 100 || suppressed.Load() != 97 {
		t.Errorf("logged %v and %d suppressed", counts, suppressed.Load())
	}
	log.Warn("often")
	await(t, "it is logged in the next period", func() bool { return strings.Count(out.String(), `"msg":"often"`) == 4 })
}

// TestHandshakes checks that thousands of failed handshakes are logged in a few lines,
// in the agent's format, and that a health check that only connects is not logged above
// debug level.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	s := newSite(t, "https", patient(), tlsStart)
	for range 50 {
		c := s.dial(attacker)
		s.send(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		closed(t, c)
		_ = s.dial(attacker).Close()
	}
	await(t, "all are over", func() bool { return s.Stats().Connections == 0 && s.Stats().Suppressed >= 45 })
	warned := 0
	for line := range strings.Lines(s.log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("not in the agent's format: %q", line)
		}
		if strings.Contains(line, "level=WARN") {
			warned++
			if strings.Contains(line, "EOF") || strings.Contains(line, "reset by peer") {
				t.Errorf("a health check is a warning: %s", line)
			}
		}
	}
	if warned == 0 || warned > s.limits.LogLines {
		t.Errorf("%d warnings, want 1 to %d:\n%s", warned, s.limits.LogLines, s.log)
	}
	s.serves(scraper, "/healthz")
}

// TestHalfHandshakes checks that an unfinished handshake is ended and does not prevent
// other clients from connecting.
func TestHalfHandshakes(t *testing.T) {
	t.Parallel()
	l := patient()
	l.Header = 4 * time.Second // a scraper has the same limit
	s := newSite(t, "https", l, tlsStart)
	var conns []net.Conn
	for range 40 {
		c := s.dial(attacker)
		s.send(c, "\x16\x03\x01\x02\x00\x01")
		conns = append(conns, c)
	}
	s.serves(scraper, "/big")
	for _, c := range conns {
		if took := closed(t, c); took > 20*time.Second {
			t.Fatalf("open for %v", took)
		}
	}
}

// TestUnreadTLS checks that a client that does not read is also disconnected under TLS.
func TestUnreadTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, "https", quick(), tlsStart)
	c := tls.Client(s.dial(attacker), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // a test's certificate
	if _, err := c.Write([]byte("GET /big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	await(t, "it is cut off", func() bool { return s.Stats().TimedOut == 1 && s.Stats().Connections == 0 })
}

// TestPasswords checks that wrong passwords are checked only a few times per second,
// and that a password that was correct before is always checked.
func TestPasswords(t *testing.T) {
	t.Parallel()
	var checks atomic.Int64
	s := newSite(t, "http", patient(), func(l net.Listener, server *http.Server, _ *slog.Logger) error {
		next := server.Handler // as exporter-toolkit does
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, password, _ := r.BasicAuth(); password != "right" {
				checks.Add(1)
				http.Error(w, "no", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
		return server.Serve(l)
	})
	basic := func(from, password string) int {
		r, _ := http.NewRequest(http.MethodGet, "http://"+s.address+"/healthz", nil)
		r.SetBasicAuth("prometheus", password)
		answer, err := s.client(from).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if got := basic(attacker, "right"); got != http.StatusOK {
		t.Errorf("right password: %d", got)
	}
	statuses := make(map[int]int)
	for range 50 {
		statuses[basic(attacker, "wrong")]++
	}
	if statuses[http.StatusTooManyRequests] == 0 || checks.Load() > 20 {
		t.Errorf("%v after %d checks, want most of them 429", statuses, checks.Load())
	}
	for _, from := range []string{attacker, scraper} {
		if got := basic(from, "right"); got != http.StatusOK {
			t.Errorf("right password from %s: %d", from, got)
		}
	}
}
