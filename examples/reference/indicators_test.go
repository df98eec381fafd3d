// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/examples/reference/load"
)

// The shop's own indicators: latencies and errors of visitors, and the /metrics of its
// services. They do not depend on headroom.
const (
	everyP99    = "p99 of all"
	everyP95    = "p95 of all"
	quotesP99   = "p99 of GET /quotes/:currency"
	quotesP50   = "p50 of GET /quotes/:currency"
	customerP50 = "p50 of GET /customers/:id/orders"
	popularP50  = "p50 of GET /popular"
	ordersP99   = "p99 of POST /orders"
	loginP50    = "p50 of POST /login"
	errorsSeen  = "errors"
	invoiceAge  = "mean age of an invoice"
	renderTime  = "mean render time"
	queued      = "messages in the queue"
	requeued    = "requeued a second"
	memory      = "resident memory of the API"
	collecting  = "share of time in GC"
	descriptors = "open descriptors of the API"
)

// A move is the indicator that a fault must change, and the minimum change. The floor
// keeps noise from counting as a change if a healthy value is near zero.
type move struct {
	indicator string
	times     float64
	floor     float64
	after     time.Duration // a leak takes time to have an effect
}

var moves = map[string]move{
	"sync-crypto":        {everyP99, 3, 0.03, 0},
	"catastrophic-regex": {everyP99, 3, 0.03, 0},
	"big-json":           {everyP99, 3, 0.03, 0},
	"sync-read":          {everyP99, 2, 0.03, 0},
	"sync-child":         {everyP99, 3, 0.03, 0},
	"blocking-client":    {quotesP99, 3, 0.03, 0},
	"short-ticks":        {everyP99, 3, 0.03, 0},
	"noisy-neighbour":    {loginP50, 1.5, 0.01, 0},
	"thread-herd":        {renderTime, 3, 0.02, 0},
	"host-full":          {everyP99, 3, 0.03, 0},
	"hot-process":        {everyP99, 3, 0.03, 0},
	"unequal-workers":    {invoiceAge, 3, 0.05, 0},
	"disk-writes":        {ordersP99, 2, 0.015, 0},
	"too-few-workers":    {invoiceAge, 3, 0.05, 0},
	"slow-archive":       {invoiceAge, 3, 0.05, 0},
	"prefetch-one":       {invoiceAge, 3, 0.05, 0},
	"poison-messages":    {requeued, 3, 1, 0},
	"cpu-quota":          {everyP99, 3, 0.03, 0},
	"threads-over-quota": {everyP95, 2, 0.02, 0},
	"memory-limit":       {errorsSeen, 3, 1, 0},
	"n-plus-one":         {customerP50, 3, 0.002, 0},
	"uncached-query":     {popularP50, 2, 0.002, 0},
	"unbounded-cache":    {memory, 1.3, 0, 0},
	"listener-leak":      {memory, 1.3, 0, 0},
	"heap-near-limit":    {collecting, 3, 0.005, 0},
	"allocation-rate":    {collecting, 3, 0.005, 0},
	"fd-leak":            {descriptors, 1.5, 0, 0},
	"close-wait-leak":    {descriptors, 1.5, 0, 0},
	"small-backlog":      {quotesP99, 3, 0.03, 0},
	"no-keep-alive":      {quotesP50, 2, 0.002, 0},
}

type readings map[string]float64

// measureFor is long enough for a p99, with 40 visitors a second.
const measureFor = 12 * time.Second

// measure sends requests of visitors and returns the indicators for that time.
func (s *shop) measure(t *testing.T, lasting time.Duration) readings {
	t.Helper()
	return s.measureAt(t, usualRate, lasting)
}

// measureAt is measure at a rate of requests per second.
func (s *shop) measureAt(t *testing.T, rate float64, lasting time.Duration) readings {
	t.Helper()
	before := s.scrape(t)
	out, err := exec.Command(s.program, "load", "-rate", fmt.Sprint(rate), "-duration", lasting.String(), "-json").Output()
	must(t, err)
	after := s.scrape(t)
	r := readings{}
	var lines []load.Summary
	must(t, json.Unmarshal(out, &lines))
	for _, l := range lines {
		r["p50 of "+l.Route], r["p95 of "+l.Route], r["p99 of "+l.Route] = l.P50, l.P95, l.P99
		if l.Route == load.Everybody {
			r[errorsSeen] = float64(l.Errors)
		}
	}
	// A replaced process loses its counts, so the difference can be negative: count it as 0.
	delta := func(name string) float64 { return max(0, after[name]-before[name]) }
	mean := func(name string) float64 { return delta(name+"_sum") / max(1, delta(name+"_count")) }
	r[invoiceAge], r[renderTime] = mean("invoice_age_seconds"), mean("invoice_render_seconds")
	r[queued] = after["invoice_queue_messages"]
	r[requeued] = delta(`invoices_total{result="requeued"}`) / lasting.Seconds()
	r[memory], r[descriptors] = after["process_resident_memory_bytes"], after["process_open_fds"]
	r[collecting] = delta("nodejs_gc_duration_seconds_sum") / lasting.Seconds()
	return r
}

// scrape reads /metrics of the API and of both workers and adds up series with the same
// name. It ignores labels, except for the result of an invoice.
func (s *shop) scrape(t *testing.T) readings {
	t.Helper()
	sum := readings{}
	for _, port := range []int{18082, 18084, 18085} {
		resp, err := (&http.Client{Timeout: 20 * time.Second}).Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		if err != nil {
			t.Logf("scrape: %v", err)
			continue
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, ok := strings.Cut(lines.Text(), " ")
			if ok && !strings.HasPrefix(name, "#") {
				sum.add(port, name, value)
			}
		}
		resp.Body.Close() //nolint:errcheck // read only
	}
	return sum
}

func (r readings) add(port int, name, value string) {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return
	}
	if plain, _, labelled := strings.Cut(name, "{"); labelled && plain != "invoices_total" {
		name = plain
	}
	if strings.HasPrefix(name, "process_") && port != 18082 {
		return // the API's own
	}
	r[name] += v
}

// findings lists the findings of a report with their subjects, the most important one
// first. It leaves out findings about other programs on this host.
func findings(report []byte, own string) string {
	var r struct {
		Findings []struct {
			ID, Cause, Severity string
			Subject             struct{ Kind, Name, Command, Pod, Cgroup string }
			SymptomOf           *struct{} `json:"symptom_of"`
		}
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return "no report"
	}
	var said []string
	for _, f := range r.Findings {
		of := f.Subject
		shops := of.Kind == "host" || strings.Contains(of.Cgroup, "headroom-reference") || of.Pod != "" && strings.Contains(own, of.Pod)
		if f.SymptomOf != nil || !shops {
			continue
		}
		who := cmp.Or(of.Command, of.Kind)
		if line := fmt.Sprintf("%s %s/%s (%s)", f.Severity, f.ID, f.Cause, who); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, "; ")
}

// show prints an indicator in its unit.
func show(indicator string, v float64) string {
	switch {
	case strings.HasPrefix(indicator, "p5") || strings.HasPrefix(indicator, "p9") || strings.HasPrefix(indicator, "mean"):
		return fmt.Sprintf("%.0f ms", 1000*v)
	case indicator == memory:
		return fmt.Sprintf("%.0f MB", v/1e6)
	case indicator == collecting:
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return fmt.Sprintf("%.3g", v)
}
