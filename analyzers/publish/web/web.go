// SPDX-License-Identifier: Apache-2.0

// Package web serves what the agent found: the JSON contract, how each service
// is, a page to look at, and whether the agent is alive and ready. It computes
// nothing.
package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/export/services"
	"github.com/headroom-project/headroom/analyzers/report"
)

// A Source is who knows. Its methods are called by many requests at a time.
type Source interface {
	// Report is the newest report, with live findings and recent ones; nil while
	// nothing was judged. It is not changed any more.
	Report() *report.Report
	// Services is how each service was when it was last looked at; never nil, and
	// not changed any more.
	Services() *services.List
	// Alive says why the agent does not observe, or nil.
	Alive() error
}

// Handler serves / , /api/v1/findings, /api/v1/services, what MetricsHandler
// serves, and of a Source that is a Past /api/v1/findings/history.
func Handler(s Source, metrics http.Handler) http.Handler {
	page, policy := wholePage()
	mux := http.NewServeMux()
	handleMetrics(mux, s, metrics)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = io.WriteString(w, page) // a reader that went away is none of ours
	})
	mux.HandleFunc("GET /api/v1/findings", func(w http.ResponseWriter, r *http.Request) { findings(w, r, s) })
	mux.HandleFunc("GET /api/v1/services", func(w http.ResponseWriter, r *http.Request) { listServices(w, r, s) })
	if p, ok := s.(Past); ok {
		mux.HandleFunc("GET /api/v1/findings/history", func(w http.ResponseWriter, r *http.Request) { history(w, r, p) })
	}
	return withHeaders(mux)
}

// MetricsHandler serves /metrics, /healthz and /readyz and nothing else, for
// addresses that more clients reach than may read findings.
func MetricsHandler(s Source, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	handleMetrics(mux, s, metrics)
	return withHeaders(mux)
}

// HealthHandler serves /healthz and /readyz, which need no password, before
// next, which may ask for one: the probes of a kubelet have none.
func HealthHandler(s Source, next http.Handler) http.Handler {
	mux := http.NewServeMux()
	handleHealth(mux, s)
	mux.Handle("/", next)
	return withHeaders(mux)
}

func handleMetrics(mux *http.ServeMux, s Source, metrics http.Handler) {
	mux.Handle("GET /metrics", metrics)
	handleHealth(mux, s)
}

func handleHealth(mux *http.ServeMux, s Source) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, s.Alive()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, ready(s)) })
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store") // what was true a minute ago misleads
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

const notReady = "the first window is not complete"

// ready returns why findings cannot be relied upon, or nil. It names sources
// alone: who may ask for it may not read the reasons, which name processes.
func ready(s Source) error {
	r := s.Report()
	switch {
	case r == nil:
		return errors.New(notReady)
	case s.Alive() != nil:
		return s.Alive()
	case r.Asked.Enough():
		return nil
	}
	var sources []string
	for _, g := range r.Gaps {
		sources = append(sources, g.Source)
	}
	slices.Sort(sources)
	return fmt.Errorf("%d of %d questions cannot be asked; sources with gaps: %s; GET /api/v1/findings for the reasons and fixes",
		r.Asked.Of-r.Asked.Asked, r.Asked.Of, strings.Join(slices.Compact(sources), ", "))
}

func say(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
