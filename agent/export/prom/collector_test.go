// SPDX-License-Identifier: Apache-2.0

package prom

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/internal/testutil/fullnode"
)

// fullLedger returns a ledger after three seconds of a full node.
func fullLedger() *ledger.Ledger {
	l, n := ledger.New(), fullnode.New()
	for range 3 {
		l.Add(n.Step())
	}
	return l
}

func registry(tb testing.TB, l *ledger.Ledger) *prometheus.Registry {
	tb.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(NewCollector(l)); err != nil {
		tb.Fatal(err)
	}
	return r
}

func scrape(tb testing.TB, h http.Handler) []byte {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		tb.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// TestPromtool runs Prometheus' own linter on every metric of the catalogue.
func TestPromtool(t *testing.T) {
	body := scrape(t, promhttp.HandlerFor(registry(t, fullLedger()), promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	for _, ms := range byName() {
		if !bytes.Contains(body, []byte("# TYPE "+Name(ms[0])+" ")) {
			t.Errorf("%s is not in the exposition, so it was not checked", Name(ms[0]))
		}
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = bytes.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestNames(t *testing.T) {
	for m, want := range map[*observe.Metric]string{
		catalog.CPUUser:           "system_cpu_time_seconds_total",
		catalog.LoopLag:           "headroom_loop_lag_seconds",
		catalog.ProcessFDs:        "process_unix_file_descriptor_current",
		catalog.CgroupMemoryUsage: "headroom_cgroup_memory_usage_bytes",
		catalog.NICSpeed:          "headroom_nic_speed_bytes_per_second",
		catalog.NICPacketsIn:      "system_network_packet_count_total",
	} {
		if got := Name(m); got != want {
			t.Errorf("Name(%s) = %s, want %s", m.Key(), got, want)
		}
	}
}

// TestOneNameIsOneMetric checks that metrics with the same name differ only in Attr and
// are about the same kind of entity.
func TestOneNameIsOneMetric(t *testing.T) {
	for _, ms := range byName() {
		names, _ := Attrs(ms[0])
		for _, m := range ms {
			own, _ := Attrs(m)
			if m.Name != ms[0].Name || m.Kind != ms[0].Kind || m.About != ms[0].About || strings.Join(own, ",") != strings.Join(names, ",") {
				t.Errorf("%s and %s are both %s", m.Key(), ms[0].Key(), Name(m))
			}
		}
	}
}

// maxSeries is the maximum number of series of a node with 1,000 processes in 110
// cgroups.
const maxSeries = 10_000

func TestSeriesOfAFullNode(t *testing.T) {
	n := 0
	for line := range bytes.Lines(scrape(t, promhttp.HandlerFor(registry(t, fullLedger()), promhttp.HandlerOpts{}))) {
		if line[0] != '#' {
			n++
		}
	}
	t.Logf("%d series", n)
	if n > maxSeries {
		t.Errorf("%d series, want %d at most", n, maxSeries)
	}
	if n < maxSeries/4 {
		t.Errorf("%d series: the node is not full", n)
	}
}

// TestNativeHistogram decodes the sparse buckets as Prometheus does, and checks that
// each count is at the bounds that the catalogue declares.
func TestNativeHistogram(t *testing.T) {
	m := catalog.LoopLag
	h := observe.NewHist(m)
	for i := range h.Count {
		if i%5 != 3 {
			h.Count[i], h.Sum[i] = float64(i+1), 1
		}
	}
	var out dto.Metric
	if err := newHistogram(nil, nil, m.Bounds, h).Write(&out); err != nil {
		t.Fatal(err)
	}
	got := decode(out.Histogram)
	for i := 1; i < len(m.Bounds); i++ {
		if at := nearest(got, m.Bounds[i]); at != h.Count[i] {
			t.Errorf("bucket up to %v holds %v, want %v", m.Bounds[i], at, h.Count[i])
		}
	}
	if out.Histogram.GetZeroCount() != uint64(h.Count[0]) || out.Histogram.GetZeroThreshold() != m.Bounds[0] {
		t.Errorf("zero bucket: %v up to %v, want %v up to %v", out.Histogram.GetZeroCount(), out.Histogram.GetZeroThreshold(), h.Count[0], m.Bounds[0])
	}
	below, last := 0.0, out.Histogram.Bucket[len(out.Histogram.Bucket)-1]
	for i := range m.Bounds {
		below += h.Count[i]
	}
	if last.GetUpperBound() != m.Bounds[len(m.Bounds)-1] || last.GetCumulativeCount() != uint64(below) {
		t.Errorf("last classic bucket: %v up to %v, want %v up to %v", last.GetCumulativeCount(), last.GetUpperBound(), below, m.Bounds[len(m.Bounds)-1])
	}
}

// decode returns the positive buckets of a native histogram by upper bound.
func decode(h *dto.Histogram) map[float64]float64 {
	all := make(map[float64]float64)
	at, n, d := int32(0), int64(0), 0
	for _, span := range h.PositiveSpan {
		at += span.GetOffset()
		for range span.GetLength() {
			n += h.PositiveDelta[d]
			all[math.Exp2(float64(at)/math.Exp2(float64(h.GetSchema())))] = float64(n)
			at++
			d++
		}
	}
	return all
}

func nearest(buckets map[float64]float64, bound float64) float64 {
	for b, n := range buckets {
		if math.Abs(b/bound-1) < 1e-9 {
			return n
		}
	}
	return 0
}

// TestConcurrentScrapes is a test for the race detector. It also checks that no counter
// decreases between two scrapes.
func TestConcurrentScrapes(t *testing.T) {
	l, n := ledger.New(), fullnode.New()
	r := registry(t, l)
	var scrapers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		scrapers.Go(func() { scrapeUntil(t, r, done) })
	}
	for range 5 {
		l.Add(n.Step())
	}
	close(done)
	scrapers.Wait()
}

func scrapeUntil(t *testing.T, r *prometheus.Registry, done chan struct{}) {
	last := -1.0
	for {
		families, err := r.Gather()
		if err != nil {
			t.Error(err)
			return
		}
		for _, f := range families {
			if f.GetName() != Name(catalog.ProcessCPU) {
				continue
			}
			sum := 0.0
			for _, m := range f.Metric {
				sum += m.Counter.GetValue()
			}
			if sum < last {
				t.Errorf("%s fell from %v to %v", f.GetName(), last, sum)
			}
			last = sum
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// BenchmarkScrape measures one scrape of the full node, in the text format.
func BenchmarkScrape(b *testing.B) {
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(fullLedger()))
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true})
	size := 0
	for b.Loop() {
		size = len(scrape(b, h))
	}
	b.ReportMetric(float64(size), "bytes")
}

// BenchmarkAdd measures adding one second of the full node to the ledger.
func BenchmarkAdd(b *testing.B) {
	l, n := ledger.New(), fullnode.New()
	n.Step()
	w := n.Step()
	for b.Loop() {
		l.Add(w)
	}
}
