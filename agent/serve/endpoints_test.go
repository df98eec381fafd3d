// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestEndpoints checks that what one endpoint shares is not available on another
// endpoint without it, that public paths need no password, and that each listener is
// closed with the server.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := New(Options{Limits: patient(), Log: slog.New(slog.DiscardHandler), Public: func(next http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/healthz", says("ok"))
		mux.Handle("/", next)
		return mux
	}})
	mux := http.NewServeMux()
	mux.HandleFunc("/secret", says("secret"))
	mux.HandleFunc("/open", says("open"))
	some := http.NewServeMux()
	some.HandleFunc("/open", says("open"))
	once := Shared{Version: func() any { return 1 }}
	all, fewer := listenOn(t), listenOn(t)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve([]Endpoint{
			{all, mux, map[string]Shared{"/secret": once, "/open": once}},
			{fewer, some, map[string]Shared{"/open": once}},
		}, withPassword)
	}()
	for _, c := range []struct {
		at             net.Listener
		path, password string
		want           int
	}{
		{all[0], "/secret", "right", http.StatusOK},
		{all[0], "/secret", "", http.StatusUnauthorized},
		{fewer[0], "/secret", "right", http.StatusNotFound},
		{fewer[0], "/open", "right", http.StatusOK},
		{fewer[0], "/open", "", http.StatusUnauthorized},
		{fewer[0], "/healthz", "", http.StatusOK},
		{all[0], "/healthz", "", http.StatusOK},
	} {
		r, _ := http.NewRequest(http.MethodGet, "http://"+c.at.Addr().String()+c.path, nil)
		if c.password != "" {
			r.SetBasicAuth("user", c.password)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("%s with password %q = %d, want %d", r.URL, c.password, answer.StatusCode, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestListenerFails checks that all listeners end, with the reason, if one fails.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	s := New(Options{Limits: patient(), Log: slog.New(slog.DiscardHandler)})
	good, bad := listenOn(t), listenOn(t)
	_ = bad[0].Close()
	if err := s.Serve([]Endpoint{{Listeners: append(good, bad...), Handler: says("ok")}}, plainStart); err == nil {
		t.Error("it ended without an error")
	}
	if c, err := net.Dial("tcp", good[0].Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the other listener is open")
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func listenOn(t *testing.T) []net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), []string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// withPassword requires a password in the same way as exporter-toolkit.
func withPassword(l net.Listener, server *http.Server, _ *slog.Logger) error {
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "right" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	return server.Serve(l)
}
