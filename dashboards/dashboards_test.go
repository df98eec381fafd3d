// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/ledger"
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
	"github.com/headroom-project/headroom/analyzers/suite"
)

func TestGeneratedIsCurrent(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./dashboards", name)
		}
	}
	for _, pattern := range []string{"*.json", "../docs/runbooks/*.md", "../" + chart + "*"} {
		there, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range there {
			if _, ok := files[strings.TrimPrefix(filepath.Join("dashboards", name), "../")]; !ok {
				t.Errorf("%s is generated no more: remove it", name)
			}
		}
	}
}

// variables replaces Grafana's variables by values.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$__range", "5m", "$__interval", "1s", "$node", ".*", "$namespace", ".*", "$container", ".*", "$service", ".*", "$program", ".*")

// eachQuery calls f for every query of every panel.
func eachQuery(f func(d *dashboard, p *panel, expr string)) {
	for _, d := range all() {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				f(d, p, variables.Replace(q.Expr))
			}
		}
	}
}

// TestQueriesParse parses each query, and checks that it only uses exported series and
// labels that they have.
func TestQueriesParse(t *testing.T) {
	known := exported()
	queries := 0
	eachQuery(func(d *dashboard, p *panel, expr string) {
		queries++
		check(t, d.Title+" / "+p.Title, expr, known)
	})
	for _, r := range slices.Concat(ratios(), alerts()) {
		queries++
		check(t, r.record+r.alert, r.expr, known)
	}
	if queries < 100 {
		t.Errorf("%d queries were looked at: some were not", queries)
	}
}

func check(t *testing.T, where, expr string, known map[string][]string) {
	t.Helper()
	if strings.Contains(strings.ReplaceAll(expr, "$1", ""), "$") { // $1 belongs to label_replace
		t.Errorf("%s: an undefined variable in %s", where, expr)
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, expr)
		return
	}
	var has []string
	for _, selectors := range parser.ExtractSelectors(e) {
		for _, m := range selectors {
			if m.Name == "__name__" {
				has = append(has, known[m.Value]...)
				if known[m.Value] == nil {
					t.Errorf("%s: unknown metric %s", where, m.Value)
				}
			}
		}
		for _, m := range selectors {
			if m.Name != "__name__" && !slices.Contains(has, m.Name) {
				t.Errorf("%s: no series of %s has a label %s", where, expr, m.Name)
			}
		}
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, label := range a.Grouping {
				if !slices.Contains(has, label) {
					t.Errorf("%s: %s is grouped by %s, which it has not", where, expr, label)
				}
			}
		}
		return nil
	})
}

// exported returns the labels of each series.
func exported() map[string][]string {
	all := make(map[string][]string)
	for _, m := range catalog.All() {
		if !ledger.Exported(m) {
			continue
		}
		names, _ := prom.Attrs(m)
		labels := append(append(names, prom.LabelNames(m)...), instance)
		all[prom.Name(m)] = labels
		all[prom.Name(m)+"_bucket"] = append(labels, "le")
	}
	of := append(findings.Labels(), instance)
	all[findings.Findings], all[findings.Impact], all[findings.Forecast] = of, of, append(of, "what")
	all[findings.Skipped], all[findings.Gaps] = []string{"id", instance}, []string{"source", instance}
	for _, s := range self.All {
		all[s.Name] = append(s.Labels[:len(s.Labels):len(s.Labels)], instance, job)
	}
	all[prom.Crowded] = []string{instance}
	all[self.KubeEvents] = []string{self.LabelResult, instance}
	for _, name := range []string{self.HistoryBytes, self.HistoryReach, self.StorageGood, self.KubeUp, self.OTLPFailures, processCPU, processMemory, processFDs, processMaxFDs, goroutines, goHeap, goGC} {
		all[name] = []string{instance, job}
	}
	return all
}

// TestPanelsAreDescribed checks that every panel has a unit and a description.
func TestPanelsAreDescribed(t *testing.T) {
	for _, d := range all() {
		titles := make(map[string]bool)
		for _, p := range d.Panels {
			if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s / %s: a description, a unit and a query are all needed", d.Title, p.Title)
			}
			if titles[p.Title] {
				t.Errorf("%s has two panels %q", d.Title, p.Title)
			}
			titles[p.Title] = true
		}
	}
}

// TestEveryFindingHasAPanel checks that there is exactly one panel about each finding.
func TestEveryFindingHasAPanel(t *testing.T) {
	explained := make(map[string]int)
	for _, d := range all() {
		for _, p := range d.Panels {
			for _, id := range p.explains {
				explained[id]++
			}
		}
	}
	for _, a := range suite.Analyzers {
		if explained[a.Name] != 1 {
			t.Errorf("%d panels are about %s, want 1", explained[a.Name], a.Name)
		}
		delete(explained, a.Name)
	}
	for id := range explained {
		t.Errorf("a panel is about %s, which is no finding", id)
	}
}

// TestPromtool runs Prometheus' checks of the rules and their tests.
func TestPromtool(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
