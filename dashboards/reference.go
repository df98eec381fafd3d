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

This page lists the series that the agent exports. Their names are those of [metrics.md](metrics.md), translated by the rules of Prometheus. A gauge
named ` + "`.count`" + ` becomes ` + "`_current`" + `, because Prometheus reserves ` + "`_count`" + ` for histograms. Labels are OpenTelemetry attributes, so
they do not collide with the target labels of Kubernetes service discovery.

Processes, threads, sockets and pids are not labels: their values are aggregated by container, service or program. The label
` + "`headroom_program`" + ` is the executable, and outside of containers also the script: ` + "`node shop/server.js`, `python3 -m http.server`, `nginx`" + `. Counters never
decrease: the usage of a process stays in the total after it exits. A container whose name is not known is identified by the first 12 digits of its
ID, and a pod by the first 8 digits of its UID. The series of a removed container are kept for 10 minutes.

The agent exports fewer than 10,000 series. A metric can have at least as many label sets as the column "at least" says,
and more where other metrics need fewer. Beyond that, the most active label sets of the last 10 minutes (by CPU time, time in ticks,
bytes or disk time) have their own series, and the rest is summed in one series whose last label is ` + "`" + ledger.Other + "`" + `. Totals stay exact: the usage of a container
is added to its own series or to ` + "`" + ledger.Other + "`" + `, never to both, and neither decreases. A series that returns within an hour continues from its last total.
` + "`" + prom.Folded + "`" + ` is the number of label sets of each kind in ` + "`" + ledger.Other + "`" + `, ` + "`" + prom.Crowded + "`" + ` the number of samples added to it. Histograms have native buckets for scrapers that ask for them, and classic buckets.

| series | type | labels | at least | aggregation | metric |
|---|---|---|---|---|---|
`

var typeNames = map[observe.Kind]string{observe.Counter: "counter", observe.PairCounter: "counter", observe.Gauge: "gauge", observe.Histogram: "histogram"}

var foldNames = map[observe.Fold]string{observe.Summed: "sum", observe.Highest: "max", observe.Lowest: "min"}

// reference returns docs/prometheus.md.
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
	fmt.Fprintf(&b, "\nFindings are `%s` (their number), `%s`, `%s` and `%s`, with the labels `%s`. Beyond %d label sets, the labels of the subject are empty. `%s` and `%s` count the subjects that analyzers checked and the analyzers that were skipped, `%s` the blind spots.\n",
		findings.Findings, findings.Impact, findings.Confidence, findings.Forecast, strings.Join(findings.Labels(), "`, `"), findings.MaxFindings, findings.Checked, findings.Skipped, findings.Gaps)
	fmt.Fprintf(&b, "\nNot exported, because they describe a single thread or only findings use them: %s.\n", strings.Join(left, ", "))
	ofItself(&b)
	b.WriteString(recorded())
	return b.String()
}

// recorded describes how to scrape the agent and load the rules, and what the rules
// record.
func recorded() string {
	var b strings.Builder
	b.WriteString("\n## Scraping and rules\n\nIn Kubernetes, the Helm chart can create a PodMonitor and a PrometheusRule. Elsewhere, put " +
		"[rules.yaml](../dashboards/rules.yaml) next to prometheus.yml and add:\n\n```yaml\nrule_files: [rules.yaml]\nscrape_configs:\n- job_name: headroom\n  scrape_interval: 15s\n" +
		"  static_configs:\n  - targets: ['node-1:9779', 'node-2:9779']     # agent --web.metrics-listen-address ADDRESS:9779\n```\n\n| recording rule | ratio, 0 to 1 |\n|---|---|\n")
	for _, r := range ratios() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.record, r.means)
	}
	return b.String()
}

// ofItself lists the metrics of the agent itself.
func ofItself(b *strings.Builder) {
	b.WriteString("\n## Of headroom itself\n\nThe agent also exports `process_*` and `go_*` of client_golang.\n\n| series | labels | meaning |\n|---|---|---|\n")
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
