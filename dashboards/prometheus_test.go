// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/serve"
	publish "github.com/headroom-project/headroom/analyzers/publish/prom"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/suite"
	"github.com/headroom-project/headroom/internal/testutil/fullnode"
)

// enough is the time after which each query on a real Prometheus must have a result: a
// rate needs a few scrapes.
const enough = 30 * time.Second

// TestQueriesAgainstPrometheus runs every query on a real Prometheus that scrapes a
// full node, and checks that there is no error and no panel is empty.
func TestQueriesAgainstPrometheus(t *testing.T) {
	t.Parallel()
	server := startPrometheus(t, serveNode(t))
	waiting := make(map[string]string)
	eachQuery(func(d *dashboard, p *panel, expr string) {
		waiting[expr] = d.Title + " / " + p.Title
	})
	for _, r := range ratios() {
		waiting[strings.ReplaceAll(r.expr, "[5m]", "[1m]")] = r.record
	}
	for end := time.Now().Add(enough); len(waiting) > 0 && time.Now().Before(end); time.Sleep(time.Second) {
		for expr := range waiting {
			if answers(t, server, expr) > 0 {
				delete(waiting, expr)
			}
		}
	}
	for expr, where := range waiting {
		t.Errorf("%s is empty: %s", where, expr)
	}
}

// TestNativeHistogramInPrometheus queries a median from a Prometheus with native
// histograms enabled. The full node has as many values below bucket 32 of 65, which
// ends at 0.25 s, as above.
func TestNativeHistogramInPrometheus(t *testing.T) {
	t.Parallel()
	server := startPrometheus(t, serveNode(t), "--enable-feature=native-histograms")
	lag := metricOf(catalog.LoopLag)
	within := "histogram_quantile(0.5, sum(" + lag + "))"
	for end := time.Now().Add(enough); answers(t, server, "histogram_count("+lag+") > 0") == 0; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("no native histogram %s after %v", lag, enough)
		}
	}
	if answers(t, server, within+" > 0.2 < 0.3") == 0 {
		t.Errorf("the median of %s is not about 0.25 s", lag)
	}
}

// serveNode serves the metrics of a full node, advanced by two seconds each second, and
// of one finding of each kind. It returns the address.
func serveNode(t *testing.T) string {
	t.Helper()
	l, n := ledger.New(), fullnode.New()
	r := client.NewPedanticRegistry()
	rep := oneOfEach(t)
	r.MustRegister(prom.NewCollector(l), publish.NewCollector(func() *report.Report { return rep }), self.NewCollector(someState),
		gauge(self.HistoryBytes), gauge(self.HistoryReach), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	server := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for tick := time.NewTicker(time.Second / 2); ; {
			l.Add(n.Step())
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { close(done); <-over; server.Close() })
	return strings.TrimPrefix(server.URL, "http://")
}

// gauge returns a series of a part of the agent that does not run in this test.
func gauge(name string) client.Collector {
	return client.NewGaugeFunc(client.GaugeOpts{Name: name}, func() float64 { return 1 })
}

var began = time.Now()

// someState returns an agent state with a value for every metric.
func someState() self.State {
	runs := uint64(time.Since(began) / time.Millisecond)
	return self.State{
		Samplers: []run.Stats{{Name: "proc", Open: true, Reads: 1, Took: time.Millisecond, Last: time.Millisecond}},
		Probes:   []self.Probe{{Name: "tick", Losses: map[string]uint64{"loops": 1}, Programs: []self.Program{{Name: "on_switch", Time: time.Since(began), Runs: runs}}}},
		HTTP:     serve.Stats{Rejected: map[string]int64{"busy": 1}},
	}
}

// oneOfEach returns a report as in the agent's API, with one finding of each id.
func oneOfEach(t *testing.T) *report.Report {
	t.Helper()
	var found []string
	for _, a := range suite.Analyzers {
		found = append(found, fmt.Sprintf(`{"id": %q, "cause": %q, "severity": "warning", "state": "firing", "impact": 0.4, "confidence": 0.9,
			"subject": {"kind": "process", "name": "node"}, "forecast": {"what": "limit", "at_seconds": 60}}`, a.Name, a.Causes[0]))
	}
	rep := &report.Report{}
	text := `{"findings": [` + strings.Join(found, ",") + `], "skipped": [{"id": "disk-saturated"}], "gaps": [{"source": "psi"}]}`
	if err := json.Unmarshal([]byte(text), rep); err != nil {
		t.Fatal(err)
	}
	return rep
}

// startPrometheus runs Debian's prometheus until the test ends, and returns its
// address.
func startPrometheus(t *testing.T, target string, flags ...string) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	rules, err := filepath.Abs("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n- job_name: headroom\n  static_configs: [{targets: [%q]}]\n", rules, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd := exec.Command("prometheus", flags...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended, which Wait tells
		if err := cmd.Wait(); err != nil {
			t.Errorf("prometheus: %v\n%s", err, log.String())
		}
	})
	server := "http://" + address
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ready, err := http.Get(server + "/-/ready"); err == nil {
			ready.Body.Close() //nolint:errcheck // nothing was written
			if ready.StatusCode == http.StatusOK {
				return server
			}
		}
	}
	t.Fatalf("prometheus is not ready after %v", enough)
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was accepted
	return l.Addr().String()
}

// answers returns the number of series in the result of an instant query.
func answers(t *testing.T, server, expr string) int {
	t.Helper()
	got, err := http.PostForm(server+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close() //nolint:errcheck // nothing was written
	var answer struct {
		Error string
		Data  struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(got.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != "" {
		t.Fatalf("%s: %s", expr, answer.Error)
	}
	return len(answer.Data.Result)
}
