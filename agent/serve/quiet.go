// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"log"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A quiet handler passes on a few warnings and errors of each message in a period, and
// logs at its end how many it suppressed, because any client that reaches the server
// can cause them.
type quiet struct {
	slog.Handler
	state *quietState
}

type quietState struct {
	summary    slog.Handler
	lines      int
	period     time.Duration
	suppressed *atomic.Int64

	mu    sync.Mutex
	kinds map[string]*kind
}

// A kind counts the records of one message in the current period.
type kind struct{ logged, suppressed int }

func newQuiet(next slog.Handler, lines int, period time.Duration, suppressed *atomic.Int64) *quiet {
	return &quiet{next, &quietState{summary: next, lines: lines, period: period, suppressed: suppressed, kinds: make(map[string]*kind)}}
}

// Handle implements slog.Handler.
func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && !q.state.allow(r.Message) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{q.Handler.WithAttrs(attrs), q.state}
}

// WithGroup implements slog.Handler.
func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{q.Handler.WithGroup(name), q.state}
}

// allow counts a record and reports whether to log it. Messages are constants of
// the program, so their number is bounded.
func (s *quietState) allow(message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[message]
	if k == nil {
		k = &kind{}
		s.kinds[message] = k
		time.AfterFunc(s.period, func() { s.end(message) })
	}
	if k.logged < s.lines {
		k.logged++
		return true
	}
	k.suppressed++
	s.suppressed.Add(1)
	return false
}

// end ends the period of a message.
func (s *quietState) end(message string) {
	s.mu.Lock()
	k := s.kinds[message]
	delete(s.kinds, message)
	s.mu.Unlock()
	if k == nil || k.suppressed == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines suppressed", 0)
	r.AddAttrs(slog.String("message", message), slog.Int("count", k.suppressed), slog.Duration("period", s.period))
	_ = s.summary.Handle(context.Background(), r) // a failing log cannot be reported
}

// errorLog returns a logger that turns the connection errors of net/http into
// records.
func errorLog(to *slog.Logger) *log.Logger { return log.New(httpLog{to}, "", 0) }

type httpLog struct{ to *slog.Logger }

const handshakeFailed = "http: TLS handshake error from "

// Write implements io.Writer: net/http writes one message at a time.
func (h httpLog) Write(b []byte) (int, error) {
	line := strings.TrimSuffix(string(b), "\n")
	if rest, ok := strings.CutPrefix(line, handshakeFailed); ok {
		remote, why, _ := strings.Cut(rest, ": ")
		level := slog.LevelWarn
		if harmless(why) {
			level = slog.LevelDebug
		}
		h.to.Log(context.Background(), level, "TLS handshake failed", "remote", host(remote), "err", why)
		return len(b), nil
	}
	if strings.HasPrefix(line, "http: panic serving") || strings.HasPrefix(line, "http2: panic serving") {
		h.to.Error("HTTP request failed: this is a bug", "err", line)
		return len(b), nil
	}
	h.to.Warn("HTTP server error", "err", line)
	return len(b), nil
}

// harmless reports whether a handshake failed as it does for a health check that
// opens and closes a connection.
func harmless(why string) bool {
	return why == "EOF" || strings.HasSuffix(why, "connection reset by peer") || strings.HasSuffix(why, "use of closed network connection")
}

// host is a remote address without its port, which differs on each connection.
func host(remote string) string {
	if h, _, err := net.SplitHostPort(remote); err == nil {
		return h
	}
	return remote
}
