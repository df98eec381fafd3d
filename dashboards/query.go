// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

// Queries are made of metrics of the catalogue, by pointer: one that does not
// exist does not compile. Label names are translated as the exporter does it.

// A metric is one of the catalogue.
type metric = *observe.Metric

// instance is the label that Prometheus gives to each agent: the node.
const instance = "instance"

var (
	namespace = prom.Label(catalog.AttrNamespace)
	pod       = prom.Label(catalog.AttrPodName)
	container = prom.Label(catalog.AttrContainerName)
	service   = prom.Label(catalog.AttrService)
	program   = prom.Label(catalog.AttrExecutable)
	cgroup    = prom.Label(catalog.AttrCgroup)
	device    = prom.Label(catalog.AttrDevice)
	nic       = prom.Label(catalog.AttrInterface)
	address   = prom.Label(ledger.LabelAddress)
	culprit   = prom.Label(catalog.LabelCulprit)
	call      = prom.Label(catalog.LabelCall)
	core      = prom.Label(ledger.LabelCPU)
)

// Matchers for the variables at the top of each dashboard.
var (
	ofNode    = instance + `=~"$node"`
	ofService = ofNode + "," + namespace + `=~"$namespace",` + container + `=~"$container",` + service + `=~"$service",` + program + `=~"$program"`
	ofCgroup  = ofNode + "," + namespace + `=~"$namespace",` + container + `=~"$container",` + noParents
)

// noParents leaves out the cgroups that only hold others: they would be counted
// twice. Those of pods, containers and services have no path for a label.
var noParents = cgroup + `!~"/|/(kubepods|docker|system[.]slice|user[.]slice|machine[.]slice)(/.*)?|/kubepods.*"`

var (
	perProgram = by(instance, namespace, pod, container, service, program)
	perCgroup  = by(instance, namespace, pod, container, service, cgroup)
	perNode    = by(instance)
)

// by is the grouping of an aggregation.
func by(labels ...string) string { return " by (" + strings.Join(labels, ", ") + ") " }

// name is how programs are called in a legend: what is not known is empty.
var (
	name       = "{{" + namespace + "}} {{" + pod + "}} {{" + container + "}} {{" + service + "}} {{" + program + "}}"
	cgroupName = "{{" + namespace + "}} {{" + pod + "}} {{" + container + "}} {{" + service + "}} {{" + cgroup + "}}"
	nodeName   = "{{" + instance + "}}"
)

// sel selects the series of m that match.
func sel(m *observe.Metric, match string) string {
	if !ledger.Exported(m) {
		panic(m.Key() + " is not exported") // a test makes all queries
	}
	names, values := prom.Attrs(m)
	for i := range names {
		match += "," + names[i] + `="` + values[i] + `"`
	}
	return prom.Name(m) + "{" + match + "}"
}

// rate is a counter's increase per second.
func rate(m *observe.Metric, match string) string {
	return "rate(" + sel(m, match) + "[$__rate_interval])"
}

func sum(by, of string) string     { return "sum" + by + "(" + of + ")" }
func highest(by, of string) string { return "max" + by + "(" + of + ")" }
func lowest(by, of string) string  { return "min" + by + "(" + of + ")" }

// top is the n largest now: for what shows one moment.
func top(n, of string) string { return "topk(" + n + ", " + of + ")" }

// lines are how many a graph has: more are a carpet.
const lines = "12"

// most is those lines of a graph that reach highest in its range. topk alone
// chooses again at each point, and draws pieces of many more.
func most(of string) string { return of + " and " + peaks(of) }

func peaks(of string) string {
	return "topk(" + lines + ", max_over_time((" + of + ")[$__range:$__interval] @ end()))"
}

// among is those of expr that belong to the lines of a graph.
func among(labels, expr, of string) string {
	return expr + " and" + strings.Replace(labels, " by ", " on ", 1) + peaks(of)
}

// quantile is of a distribution, from its classic buckets.
func quantile(q string, m *observe.Metric, by, match string) string {
	buckets := "rate(" + prom.Name(m) + "_bucket{" + match + "}[$__rate_interval])"
	// NaN means that no event was counted; NaN is not above zero either.
	return "histogram_quantile(" + q + ", sum" + strings.Replace(by, ")", ", le)", 1) + "(" + buckets + ")) >= 0"
}

// noMode leaves the label cpu_mode out, so that two modes can be added.
func noMode(of string) string { return "on (" + instance + ", " + core + ") " + of }

// loopShare is the share of the time in which event loops work, of those that
// were there for a tenth of it: a tick of a command that ended is 100 %.
func loopShare(match string) string {
	busy, wait := sum(perProgram, rate(catalog.LoopBusy, match)), sum(perProgram, rate(catalog.LoopWait, match))
	return busy + " / (" + busy + " + " + wait + " > 0.1)"
}

// share is a/b where b is not 0.
func share(a, b string) string { return "(" + a + ") / (" + b + " > 0)" }

// metricOf is m's name without a selector.
func metricOf(m *observe.Metric) string { return prom.Name(m) }
