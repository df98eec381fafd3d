// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRenderedOnce checks that a version is rendered once for all clients, compressed
// and not compressed.
func TestRenderedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", patient(), plainStart)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { s.serves(scraper, "/big") })
		all.Go(func() { s.serves(scraper, "/big?often=1") })
	}
	all.Wait()
	if n := s.renders.Load(); n != 2 {
		t.Errorf("rendered %d times, want once for each of two URLs", n)
	}
	_, plain, h := s.get(scraper, "/big", "Accept-Encoding", "identity")
	if got := h.Get("Content-Length"); got != strconv.Itoa(len(plain)) || h.Get("Content-Encoding") != "" {
		t.Errorf("Content-Length %s and encoding %q of %d bytes", got, h.Get("Content-Encoding"), len(plain))
	}
	_, packed, h := s.get(scraper, "/big", "Accept-Encoding", "br, gzip;q=0.5")
	if h.Get("Content-Encoding") != "gzip" || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Type") != "text/plain" {
		t.Errorf("header %v, want gzip, Vary and text/plain", h)
	}
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(r); err != nil || string(unpacked) != plain {
		t.Errorf("compressed it is something else: %v", err)
	}
	if status, body, _ := s.get(scraper, "/big", "If-None-Match", h.Get("ETag")); status != http.StatusNotModified || body != "" {
		t.Errorf("with its ETag: %d and %d bytes, want 304", status, len(body))
	}
	if status, body, h := s.do(scraper, http.MethodHead, "/big", "Accept-Encoding", "identity"); status != http.StatusOK || body != "" || h.Get("Content-Length") != strconv.Itoa(len(plain)) {
		t.Errorf("HEAD = %d with %d bytes and %v", status, len(body), h)
	}
	before := h.Get("ETag")
	s.version.Add(1)
	if _, body, h := s.get(scraper, "/big"); h.Get("ETag") == before || body == plain || s.renders.Load() != 3 {
		t.Errorf("the next version has ETag %s, and %d renderings", h.Get("ETag"), s.renders.Load())
	}
}

// TestKeep checks that a shared response is dropped from memory when it is no longer
// requested.
func TestKeep(t *testing.T) {
	t.Parallel()
	l := patient()
	l.Keep = 50 * time.Millisecond
	s := newSite(t, "http", l, plainStart)
	s.serves(scraper, "/big")
	await(t, "it is dropped", func() bool { return s.Stats().AnswerBytes == 0 })
}

// TestQueries checks that responses to queries are limited in number and rate, and do
// not delay shared responses.
func TestQueries(t *testing.T) {
	t.Parallel()
	l := patient()
	l.Send, l.Grace, l.QueriesPerSecond = 20*time.Second, 20*time.Second, 1.6
	s := newSite(t, "http", l, plainStart)
	for i := range 10 {
		s.unread(attacker, "/big?q="+strconv.Itoa(i))
	}
	await(t, "the rest is refused", func() bool { return s.Stats().Rejected["busy"] == 6 })
	var refused atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			status, body, h := s.get("127.0.0.3", "/big?q=x"+strconv.Itoa(i), "Accept-Encoding", "gzip")
			if status != http.StatusServiceUnavailable {
				return
			}
			refused.Add(1)
			if h.Get("Retry-After") == "" || !strings.Contains(body, "try again") {
				t.Errorf("refused with %v %s, want when to try again", h, body)
			}
		})
	}
	if all.Wait(); refused.Load() == 0 {
		t.Error("20 queries at once were answered")
	}
	s.serves(scraper, "/big")
	s.serves(attacker, "/big")
	s.serves(scraper, "/big?often=1")
}

// TestFailedRendering checks that a response that cannot be rendered is an error for
// all waiting requests and for no later ones.
func TestFailedRendering(t *testing.T) {
	t.Parallel()
	s := newSite(t, "http", patient(), plainStart)
	fail := true
	h := s.answers.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if fail {
			panic("of the test")
		}
		_, _ = io.WriteString(w, "fine")
	}), map[string]Shared{"/big": {Version: func() any { return 1 }}})
	for _, c := range []struct {
		fail bool
		want int
	}{{true, 0}, {false, http.StatusOK}} {
		fail = c.fail
		func() {
			defer func() {
				if p := recover(); (p != nil) != c.fail {
					t.Errorf("panic %v, want one: %v", p, c.fail)
				}
			}()
			h.ServeHTTP(&deaf{}, request("/big"))
		}()
	}
	if n := len(s.answers.slots); n != 0 {
		t.Errorf("%d slots are taken", n)
	}
}

// TestLargeAnswer checks that a response larger than the limit is an error.
func TestLargeAnswer(t *testing.T) {
	t.Parallel()
	l := patient()
	l.AnswerBytes = 200 << 10
	s := newSite(t, "http", l, plainStart)
	if status, body, _ := s.get(scraper, "/big"); status != http.StatusInternalServerError || !strings.Contains(body, "too large") {
		t.Errorf("%d %.100s, want 500", status, body)
	}
	s.serves(scraper, "/healthz")
	if held := s.Stats().AnswerBytes; held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"": false, "gzip": true, "br, gzip": true, "GZIP;q=1.0": true, "gzip; q=0.2": true, "*": true,
		"gzip;q=0": false, "identity": false, "gzip;q=0.0, br": false, "gzip;q=x": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

// deaf is an http.ResponseWriter that discards everything.
type deaf struct{ h http.Header }

func (d *deaf) Header() http.Header {
	if d.h == nil {
		d.h = make(http.Header)
	}
	return d.h
}
func (d *deaf) Write(b []byte) (int, error) { return len(b), nil }
func (d *deaf) WriteHeader(int)             {}
func (d *deaf) FlushError() error           { return nil }

func request(path string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = "192.0.2.1:1000"
	return r
}
