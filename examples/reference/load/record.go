// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// A Record has the results of requests by route.
type Record struct {
	mu     sync.Mutex
	routes map[string]*tally
}

type tally struct {
	took   []time.Duration
	errors int
}

func (r *Record) add(route string, took time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.routes == nil {
		r.routes = map[string]*tally{}
	}
	t := r.routes[route]
	if t == nil {
		t = &tally{}
		r.routes[route] = t
	}
	if ok {
		t.took = append(t.took, took)
	} else {
		t.errors++
	}
}

// A Summary has the results of one route or of all routes. Times are in seconds, of
// successful requests only; other requests are errors.
type Summary struct {
	Route    string  `json:"route"`
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
}

// Everybody is the route of the summary of all requests.
const Everybody = "all"

// Summaries returns a summary for each route, sorted by name, and one of all requests
// at the end.
func (r *Record) Summaries() []Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []Summary
	var all tally
	for _, name := range slices.Sorted(maps.Keys(r.routes)) {
		t := r.routes[name]
		all.took, all.errors = append(all.took, t.took...), all.errors+t.errors
		lines = append(lines, t.summary(name))
	}
	return append(lines, all.summary(Everybody))
}

func (t tally) summary(route string) Summary {
	took := slices.Sorted(slices.Values(t.took))
	at := func(q float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return took[min(len(took)-1, int(q*float64(len(took))))].Seconds()
	}
	return Summary{route, len(took) + t.errors, t.errors, at(0.5), at(0.95), at(0.99), at(1)}
}

// WriteTable prints the summaries as a table.
func WriteTable(w io.Writer, lines []Summary) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "requests\terrors\tp50 ms\tp95 ms\tp99 ms\tmax ms\t  route") //nolint:errcheck // Flush tells
	for _, s := range lines {
		//nolint:errcheck // Flush tells
		fmt.Fprintf(tab, "%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t  %s\n", s.Requests, s.Errors, 1e3*s.P50, 1e3*s.P95, 1e3*s.P99, 1e3*s.Max, s.Route)
	}
	return tab.Flush()
}

// WriteMetrics prints the summaries as Prometheus metrics.
func WriteMetrics(w io.Writer, lines []Summary) {
	fmt.Fprintln(w, "# TYPE shop_visitor_seconds summary") //nolint:errcheck // the client may have disconnected
	for _, s := range lines {
		for _, q := range []struct {
			q string
			v float64
		}{{"0.5", s.P50}, {"0.95", s.P95}, {"0.99", s.P99}} {
			fmt.Fprintf(w, "shop_visitor_seconds{route=%q,quantile=%q} %g\n", s.Route, q.q, q.v) //nolint:errcheck // as above
		}
		fmt.Fprintf(w, "shop_visitor_seconds_count{route=%q} %d\n", s.Route, s.Requests) //nolint:errcheck // as above
	}
	fmt.Fprintln(w, "# TYPE shop_visitor_errors_total counter") //nolint:errcheck // as above
	for _, s := range lines {
		fmt.Fprintf(w, "shop_visitor_errors_total{route=%q} %d\n", s.Route, s.Errors) //nolint:errcheck // as above
	}
}
