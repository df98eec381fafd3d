// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A site is a Server under test on a real socket. Its response for /big is text that
// compresses to half its size; so is that for /big?q=….
type site struct {
	*Server
	t       testing.TB
	address string
	scheme  string
	log     *syncBuffer
	version atomic.Int64
	renders atomic.Int64
}

// bigSize is more than the buffers of a connection can hold.
const bigSize = 400 << 10

// quick returns limits short enough to wait for in a test. On a busy machine a correct
// client may exceed them: tests with such a client use patient.
func quick() Limits {
	l := patient()
	l.Header, l.Request, l.Idle, l.Send = 300*time.Millisecond, 400*time.Millisecond, 300*time.Millisecond, 400*time.Millisecond
	return l
}

// patient returns limits that no correct client exceeds.
func patient() Limits {
	l := DefaultLimits()
	l.Grace = 20 * time.Millisecond
	l.Header, l.Request, l.Send, l.Wait = 30*time.Second, 30*time.Second, 30*time.Second, 30*time.Second
	return l
}

func plainStart(l net.Listener, s *http.Server, _ *slog.Logger) error { return s.Serve(l) }

func tlsStart(l net.Listener, s *http.Server, _ *slog.Logger) error {
	donor := httptest.NewUnstartedServer(nil)
	donor.StartTLS()
	defer donor.Close()
	s.TLSConfig = &tls.Config{Certificates: donor.TLS.Certificates}
	return s.ServeTLS(l, "", "")
}

func newSite(t testing.TB, scheme string, limits Limits, start Start) *site {
	t.Helper()
	s := &site{t: t, scheme: scheme, log: &syncBuffer{}}
	random := make([]byte, bigSize/2)
	_, _ = rand.Read(random)
	big := []byte(hex.EncodeToString(random)) // compresses to half
	mux := http.NewServeMux()
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, r *http.Request) {
		s.renders.Add(1)
		w.Header().Set("Content-Type", "text/plain")
		_, _ = fmt.Fprintf(w, "%s %d\n", r.URL.RawQuery, s.version.Load())
		_, _ = w.Write(big)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	s.Server = New(Options{
		Limits: limits, Hosts: []string{"headroom.example"},
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	shared := map[string]Shared{"/big": {Version: func() any { return s.version.Load() }, Queries: []string{"often=1"}}}
	listeners, err := Listen(t.Context(), []string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	s.address = listeners[0].Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve([]Endpoint{{listeners, mux, shared}}, start) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = s.Shutdown(ctx) // clients that stall are disconnected
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

// dial opens a connection with a small buffer from a loopback address. If the server
// refuses it at once, dial returns a closed connection.
func (s *site) dial(from string) net.Conn {
	s.t.Helper()
	d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", s.address)
	if errors.Is(err, syscall.ECONNRESET) {
		refused, other := net.Pipe()
		_ = other.Close()
		return refused
	}
	if err != nil {
		s.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetReadBuffer(2048)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *site) send(c net.Conn, text string) {
	s.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Logf("writing: %v", err) // the server may have closed already
	}
}

// unread requests a path and does not read the response.
func (s *site) unread(from, path string) net.Conn {
	s.t.Helper()
	c := s.dial(from)
	s.send(c, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	return c
}

// closed waits until the server closes a connection, and returns how long that took.
func closed(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Fatalf("the connection is open after %v", time.Since(began))
		}
	}
	return time.Since(began)
}

// client returns a client that sends requests from an address, each on a new
// connection.
func (s *site) client(from string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
		DialContext: d.DialContext, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a test's certificate
	}}
}

// get returns the status and the body of a path, or 0 and the error as body.
func (s *site) get(from, path string, header ...string) (status int, body string, h http.Header) {
	s.t.Helper()
	return s.do(from, http.MethodGet, path, header...)
}

func (s *site) do(from, method, path string, header ...string) (status int, body string, h http.Header) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.scheme+"://"+s.address+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client(from).Do(r)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return answer.StatusCode, string(text), answer.Header
}

// serves checks that an address gets the complete response of a path.
func (s *site) serves(from, path string) {
	s.t.Helper()
	if status, body, _ := s.get(from, path); status != http.StatusOK {
		s.t.Errorf("%s from %s = %d %.100s, want 200; %+v", path, from, status, body, s.Stats())
	}
}

// await waits until so returns true.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not so that %s", what)
		}
	}
}

// A syncBuffer is a buffer that several goroutines can write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// response reads one response.
func response(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
