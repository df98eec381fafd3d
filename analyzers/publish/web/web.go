// SPDX-License-Identifier: Apache-2.0

// Package web serves the findings of the agent: as JSON and as a web page, with the list
// of services and the health of the agent. It calculates nothing.
package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/export/services"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
)

// A Source provides the data. Its methods are called concurrently.
type Source interface {
	// Report returns the newest report, with live and recent findings; nil before the
	// first evaluation. It must not be changed.
	Report() *report.Report
	// Services returns the state of all services at the last evaluation; never nil. It
	// must not be changed.
	Services() *services.List
	// Alive returns why the agent does not observe, or nil.
	Alive() error
}

// Handler serves /, /api/v1/findings, /api/v1/services, the paths of MetricsHandler, and
// /api/v1/findings/history if the Source is a Past.
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

// MetricsHandler serves only /metrics, /healthz and /readyz, for addresses that are open
// to clients that must not read findings.
func MetricsHandler(s Source, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	handleMetrics(mux, s, metrics)
	return withHeaders(mux)
}

// HealthHandler serves /healthz and /readyz without a password, because the probes of a
// kubelet have none, and passes all other requests to next, which may require one.
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
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, "ok", s.Alive()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		status, err := ready(s)
		say(w, status, err)
	})
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store") // outdated health misleads
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

const notReady = "the first window is not complete"

// ready returns why findings are not reliable, or how far they are. It names only
// sources: clients that can read it may not be allowed to read the reasons, which
// contain names of processes.
func ready(s Source) (status string, err error) {
	r := s.Report()
	if r == nil {
		return "", errors.New(notReady)
	}
	if err := s.Alive(); err != nil {
		return "", err
	}
	asked := r.Asked
	switch {
	case !asked.Enough():
		return "", fmt.Errorf("%d of %d analyzers cannot run, because a source hangs, fails or was lost; %s",
			asked.Lost, asked.Asked+asked.Lost, unseen(r))
	case !analysis.Enough(asked.Of-asked.Asked, asked.Of):
		return fmt.Sprintf("ready, half blind: %d of %d analyzers cannot run on this node; %s", asked.Of-asked.Asked, asked.Of, unseen(r)), nil
	}
	return "ok", nil
}

// unseen names the sources that have gaps.
func unseen(r *report.Report) string {
	var sources []string
	for _, g := range r.Gaps {
		sources = append(sources, g.Source)
	}
	slices.Sort(sources)
	return fmt.Sprintf("sources with gaps: %s; GET /api/v1/findings for the reasons and fixes", strings.Join(slices.Compact(sources), ", "))
}

func say(w http.ResponseWriter, status string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, status+"\n")
}
