// SPDX-License-Identifier: Apache-2.0

// Package web serves what the agent found: the JSON contract, a page to look
// at, and whether the agent is alive and ready. It computes nothing.
package web

import (
	"bytes"
	_ "embed"
	"net/http"

	"github.com/headroom-project/headroom/analyzers/report"
)

// A Source is who knows. Its methods are called by many requests at a time.
type Source interface {
	// Report is the newest report, with live findings and recent ones; nil while
	// nothing was judged. It is not changed any more.
	Report() *report.Report
	// Alive says why the agent does not observe, or nil.
	Alive() error
}

//go:embed page.html
var page []byte

// policy lets the page load nothing but itself, and talk to nobody else.
const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// Handler serves / , /api/v1/findings, /healthz and /readyz, and of a Source that
// is a Past /api/v1/findings/history; metrics are served at /metrics as they come.
func Handler(s Source, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(page) // a reader that went away is none of ours
	})
	mux.HandleFunc("GET /api/v1/findings", func(w http.ResponseWriter, _ *http.Request) { findings(w, s) })
	if p, ok := s.(Past); ok {
		mux.HandleFunc("GET /api/v1/findings/history", func(w http.ResponseWriter, r *http.Request) { history(w, r, p) })
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, s.Alive()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.Report() == nil {
			http.Error(w, notReady, http.StatusServiceUnavailable)
			return
		}
		say(w, s.Alive())
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

const notReady = "the first window is not complete"

func say(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func findings(w http.ResponseWriter, s Source) {
	r := s.Report()
	if r == nil {
		http.Error(w, notReady, http.StatusServiceUnavailable)
		return
	}
	var text bytes.Buffer
	if err := r.JSON(&text); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text.Bytes())
}
