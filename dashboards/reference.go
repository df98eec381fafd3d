// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
	findings "github.com/headroom-project/headroom/analyzers/publish/prom"
)

const referenceHead = generated + `# Prometheus

What the agent exports. Names are those of [metrics.md](metrics.md), translated by Prometheus' own rules; a gauge's ` + "`.count`" + ` is
` + "`_current`" + `, because Prometheus keeps ` + "`_count`" + ` for distributions. Labels are OpenTelemetry's attributes: they do not collide with those
that a scraper in Kubernetes adds.

Processes, threads, sockets and their pids are no labels: they are added up into the container, service or program that they
belong to. Totals only grow: what a process had used stays when it exits. Where a container's name is not known, the first twelve
digits of its ID stand for it, and the first eight of its UID for a pod's. A container that is gone keeps its series for ten minutes.

All of them together are less than 10,000 series. A metric has a series for at least as many label sets as the column "at least" says,
and for more where others need less. If there are still more label sets, the most active ones of the last ten minutes (by CPU time, time in ticks,
bytes or disk time) have their own series, and the rest is added up in one whose last label is ` + "`" + ledger.Other + "`" + `. Totals stay exact: what a container
adds is added to its own series or to ` + "`" + ledger.Other + "`" + `, never to both, and neither ever falls. A series that comes back within an hour goes on with its old total.
` + "`" + prom.Folded + "`" + ` says how many label sets of each kind are part of ` + "`" + ledger.Other + "`" + ` now, ` + "`" + prom.Crowded + "`" + ` how many readings were added to it. Distributions have native buckets for scrapers that ask for them, and classic ones.

| series | type | labels | at least | several are | of |
|---|---|---|---|---|---|
`

var typeNames = map[observe.Kind]string{observe.Counter: "counter", observe.PairCounter: "counter", observe.Gauge: "gauge", observe.Histogram: "histogram"}

var foldNames = map[observe.Fold]string{observe.Summed: "added up", observe.Highest: "the highest", observe.Lowest: "the lowest"}

// reference is docs/prometheus.md.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	var left []string
	for _, m := range catalog.All() {
		if !ledger.Exported(m) {
			left = append(left, "`"+m.Key()+"`")
			continue
		}
		fold := foldNames[observe.Summed]
		if m.Kind == observe.Gauge {
			fold = foldNames[m.Fold]
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d | %s | `%s` |\n", prom.Name(m), typeNames[m.Kind], labelList(m), ledger.Guaranteed(m), fold, m.Key())
	}
	fmt.Fprintf(&b, "\nFindings are `%s` (how many), `%s`, `%s` and `%s`, with the labels `%s`; beyond %d label sets they lose their subject. `%s` and `%s` say what was looked at and what was not, `%s` what could not be observed.\n",
		findings.Findings, findings.Impact, findings.Confidence, findings.Forecast, strings.Join(findings.Labels(), "`, `"), findings.MaxFindings, findings.Checked, findings.Skipped, findings.Gaps)
	fmt.Fprintf(&b, "\nNot exported, because they are about one thread, or because only a finding needs them: %s.\n", strings.Join(left, ", "))
	ofItself(&b)
	b.WriteString(recorded())
	return b.String()
}

// recorded is how to scrape and to load the rules, and what they record.
func recorded() string {
	var b strings.Builder
	b.WriteString("\n## Scraping, rules\n\nIn Kubernetes the chart brings a PodMonitor and a PrometheusRule. Else, in prometheus.yml, with " +
		"[rules.yaml](../dashboards/rules.yaml) beside it:\n\n```yaml\nrule_files: [rules.yaml]\nscrape_configs:\n- job_name: headroom\n  scrape_interval: 15s\n" +
		"  static_configs:\n  - targets: ['node-1:9779', 'node-2:9779']     # agent --web.metrics-listen-address ADDRESS:9779\n```\n\n| recorded | a share, 0 to 1 |\n|---|---|\n")
	for _, r := range ratios() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.record, r.means)
	}
	return b.String()
}

// ofItself lists what the agent says of itself.
func ofItself(b *strings.Builder) {
	b.WriteString("\n## Of headroom itself\n\nBeside these are client_golang's `process_*` and `go_*`.\n\n| series | labels | |\n|---|---|---|\n")
	for _, s := range self.All {
		labels := ""
		if len(s.Labels) > 0 {
			labels = "`" + strings.Join(s.Labels, "` `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.Name, labels, s.Help)
	}
}

func labelList(m *observe.Metric) string {
	names, values := prom.Attrs(m)
	var list []string
	for i := range names {
		list = append(list, "`"+names[i]+"="+values[i]+"`")
	}
	for _, name := range prom.LabelNames(m) {
		list = append(list, "`"+name+"`")
	}
	return strings.Join(list, " ")
}
