// SPDX-License-Identifier: Apache-2.0

package rabbitmq

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/place"
	"github.com/headroom-project/headroom/agent/sampler"
)

func listens(addresses ...string) place.Place {
	p := place.Place{PID: 7}
	for _, a := range addresses {
		p.Listens = append(p.Listens, netip.MustParseAddrPort(a))
	}
	return p
}

// TestOpen checks which programs are taken for RabbitMQ, and at which address.
func TestOpen(t *testing.T) {
	for _, c := range []struct {
		place   place.Place
		at      string // "" if it is not read
		ok      bool
		missing string
	}{
		{listens("127.0.0.1:25672", "127.0.0.1:15692", "127.0.0.1:5672"), "127.0.0.1:5672", true, ""},
		{listens("10.244.1.7:15692"), "10.244.1.7:5672", true, ""},
		{listens("127.0.0.1:18090", "127.0.0.1:28110"), "127.0.0.1:18090", true, ""}, // all shifted
		{listens("127.0.0.1:5672", "127.0.0.1:25672"), "", true, "serves no metrics on port 15692"},
		{place.Place{Hidden: []uint16{15692, 5672}}, "", true, "only on the loopback address"},
		{listens("127.0.0.1:5984", "127.0.0.1:4369"), "", false, ""}, // CouchDB
		{listens("127.0.0.1:65000"), "", false, ""},
		{place.Place{}, "", false, ""},
	} {
		s, ok, err := open(c.place, nil)
		if ok != c.ok || (s == nil) != (c.at == "") || (err == nil) != (c.missing == "") {
			t.Errorf("%+v: source %v, %v, %v", c.place, s != nil, ok, err)
			continue
		}
		if s != nil && string(s.Address()) != c.at {
			t.Errorf("%+v: address = %v, want %s", c.place, s.Address(), c.at)
		}
		if err != nil && (!strings.Contains(err.Error(), c.missing) || sampler.Cure(err) == "") {
			t.Errorf("%+v: error = %v, want %q and its fix", c.place, err, c.missing)
		}
	}
}

// TestBrokenServers checks that each failure is one error whose text does not change, so
// that it is one gap.
func TestBrokenServers(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"too old": {http.NotFound, "has no /metrics/detailed"},
		"fails":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "status 500"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "status 302"},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>\n")) }, "something else than metrics"},
		"hangs":   {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time"},
		"hangs halfway": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("# TYPE a gauge\n"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "in time"},
		"closes": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			s := &source{amqp: "127.0.0.1:5672", url: server.URL, client: newClient()}
			var first string
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				_, err := s.Read(ctx)
				cancel()
				if !errors.Is(err, sampler.ErrNotSupported) || !strings.Contains(err.Error(), c.want) || sampler.Cure(err) == "" {
					t.Fatalf("error = %v, want %q and its fix", err, c.want)
				}
				if first != "" && err.Error() != first {
					t.Errorf("error = %v, then %v", first, err)
				}
				first = err.Error()
			}
			s.Close()
			server.Close()
		})
	}
}

// TestRefused checks a server that has ended.
func TestRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	s := &source{amqp: "127.0.0.1:5672", url: server.URL, client: newClient()}
	server.Close()
	if _, err := s.Read(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "(connection refused) (find out why in the log of the broker)") {
		t.Errorf("error = %v", err)
	}
}

// TestLongAnswer checks that an answer without an end is cut, and that this is reported.
func TestLongAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"a\"} 12\n"))
		for line := []byte("# " + strings.Repeat("x", 1000) + "\n"); ; {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	s := &source{amqp: "127.0.0.1:5672", url: server.URL, client: newClient()}
	r, err := s.Read(t.Context())
	if err != nil || len(r.Queues) != 1 || r.Partial == nil {
		t.Errorf("queues = %v, partial = %v, %v", r.Queues, r.Partial, err)
	}
}
