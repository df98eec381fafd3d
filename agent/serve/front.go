// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// front rejects requests that are never answered, before passwords are checked.
func (s *Server) front(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2*s.limits.Wait + s.limits.Send))
		if !s.asking.turn(r.Context(), network(r.RemoteAddr), s.limits.Wait) {
			s.reject(w, &problem{Busy, http.StatusServiceUnavailable, errBusy.Error()})
			return
		}
		if p := s.problem(r); p != nil {
			s.reject(w, p)
			return
		}
		user, _, ok := r.BasicAuth()
		if !ok || user == "" {
			next.ServeHTTP(w, r)
			return
		}
		if !s.gate.open(r) {
			s.reject(w, &problem{Password, http.StatusTooManyRequests, "too many wrong passwords: try again in a second"})
			return
		}
		status := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(status, r)
		if status.code != http.StatusUnauthorized {
			s.gate.remember(r)
		}
	})
}

// A problem is the reason why a request is rejected.
type problem struct {
	reason Reason
	status int
	text   string
}

func (s *Server) problem(r *http.Request) *problem {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return &problem{Malformed, http.StatusMethodNotAllowed, "method " + r.Method + " is not allowed: use GET or HEAD"}
	case r.ContentLength != 0:
		return &problem{Malformed, http.StatusRequestEntityTooLarge, "requests with a body are not accepted"}
	case len(r.RequestURI) > s.limits.URLBytes:
		return &problem{Malformed, http.StatusRequestURITooLong, fmt.Sprintf("the URL is longer than %d bytes", s.limits.URLBytes)}
	case !s.hosts.allow(r):
		return &problem{Host, http.StatusMisdirectedRequest, fmt.Sprintf(
			"host %q is not a name of this machine: call it localhost, or start the agent with --web.allowed-host", r.Host)}
	}
	return nil
}

// reject answers with an error. It closes a connection that has more data to read.
func (s *Server) reject(w http.ResponseWriter, p *problem) {
	s.counts.rejected[p.reason].Add(1)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch p.status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", "1")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	}
	if p.reason == Malformed {
		h.Set("Connection", "close")
	}
	http.Error(w, p.text, p.status)
}

// A statusWriter records the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusWriter) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// A gate limits how often passwords are checked, since each check takes the time
// that the cost of its bcrypt hash sets. Passwords that were right before are not
// limited.
type gate struct {
	rates *rates
	seed  maphash.Seed

	mu    sync.Mutex
	right []uint64 // hashes of the headers accepted last
}

// maxRight is the number of right passwords kept.
const maxRight = 16

func newGate(each, all float64) *gate {
	return &gate{rates: newRates(each, all), seed: maphash.MakeSeed()}
}

func (g *gate) hash(r *http.Request) uint64 {
	return maphash.String(g.seed, r.Header.Get("Authorization"))
}

// open reports whether the password of a request can be checked now.
func (g *gate) open(r *http.Request) bool {
	h := g.hash(r)
	g.mu.Lock()
	known := slices.Contains(g.right, h)
	g.mu.Unlock()
	return known || g.rates.allow(network(r.RemoteAddr))
}

func (g *gate) remember(r *http.Request) {
	h := g.hash(r)
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Contains(g.right, h) {
		return
	}
	if len(g.right) == maxRight {
		g.right = slices.Delete(g.right, 0, 1)
	}
	g.right = append(g.right, h)
}

// hosts holds the names by which clients on this machine may call the server. A web
// page whose name resolves to a loopback address (DNS rebinding) uses another name.
type hosts map[string]bool

func allowedHosts(further []string) hosts {
	h := hosts{"localhost": true}
	for _, name := range further {
		h[strings.ToLower(name)] = true
	}
	if name, err := os.Hostname(); err == nil {
		name = strings.ToLower(name)
		short, _, _ := strings.Cut(name, ".")
		h[name], h[short] = true, true
	}
	return h
}

// allow reports whether a request may be answered. On addresses other than loopback
// any host name is allowed, because browsers use names that are not known here.
func (h hosts) allow(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil || r.Host == "" {
		return true // every browser sends a host
	}
	if at, err := netip.ParseAddrPort(local.String()); err != nil || !at.Addr().Unmap().IsLoopback() {
		return true
	}
	name := r.Host
	if n, _, err := net.SplitHostPort(name); err == nil {
		name = n
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	_, err := netip.ParseAddr(name)
	return err == nil || h[name] || strings.HasSuffix(name, ".localhost")
}
