// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/export/prom"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

// Queries refer to metrics of the catalogue by pointer: a metric that does not
// exist does not compile. Label names are translated as in the exporter.

// A metric is a metric of the catalogue.
type metric = *observe.Metric

// instance is the label with the node, which Prometheus adds for each agent.
const instance = "instance"

var (
	namespace  = prom.Label(catalog.AttrNamespace)
	pod        = prom.Label(catalog.AttrPodName)
	container  = prom.Label(catalog.AttrContainerName)
	service    = prom.Label(catalog.AttrService)
	program    = prom.Label(catalog.AttrProgram)
	cgroup     = prom.Label(catalog.AttrCgroup)
	device     = prom.Label(catalog.AttrDevice)
	nic        = prom.Label(catalog.AttrInterface)
	mountpoint = prom.Label(catalog.AttrMountpoint)
	address    = prom.Label(ledger.LabelAddress)
	culprit    = prom.Label(catalog.LabelCulprit)
	call       = prom.Label(catalog.LabelCall)
	queue      = prom.Label(catalog.AttrQueue)
	core       = prom.Label(ledger.LabelCPU)
)

// Matchers for the variables at the top of each dashboard.
var (
	ofNode    = instance + `=~"$node"`
	ofService = ofNode + "," + namespace + `=~"$namespace",` + container + `=~"$container",` + service + `=~"$service",` + program + `=~"$program"`
	ofCgroup  = ofNode + "," + namespace + `=~"$namespace",` + container + `=~"$container",` + noParents
)

// noParents leaves out the cgroups that only contain others, which would be counted
// twice. Those of pods, containers and services have no path as a label.
var noParents = cgroup + `!~"/|/(kubepods|docker|system[.]slice|user[.]slice|machine[.]slice)(/.*)?|/kubepods.*"`

var (
	perProgram = by(instance, namespace, pod, container, service, program)
	perCgroup  = by(instance, namespace, pod, container, service, cgroup)
	perNode    = by(instance)
)

// by returns the grouping of an aggregation.
func by(labels ...string) string { return " by (" + strings.Join(labels, ", ") + ") " }

// name is the legend of a program; unknown parts are empty.
var (
	name       = "{{" + namespace + "}} {{" + pod + "}} {{" + container + "}} {{" + service + "}} {{" + program + "}}"
	cgroupName = "{{" + namespace + "}} {{" + pod + "}} {{" + container + "}} {{" + service + "}} {{" + cgroup + "}}"
	nodeName   = "{{" + instance + "}}"
)

// sel returns a selector of the series of m that match.
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

// rate returns a counter's increase per second.
func rate(m *observe.Metric, match string) string {
	return "rate(" + sel(m, match) + "[$__rate_interval])"
}

func sum(by, of string) string     { return "sum" + by + "(" + of + ")" }
func highest(by, of string) string { return "max" + by + "(" + of + ")" }
func lowest(by, of string) string  { return "min" + by + "(" + of + ")" }

// top returns the n series with the highest current value, for panels that show one
// moment.
func top(n, of string) string { return "topk(" + n + ", " + of + ")" }

// lines is the maximum number of lines in a graph: more are not readable.
const lines = "12"

// most returns the lines of a graph with the highest maximum in its range. topk
// alone selects again at each point, and draws parts of many more lines.
func most(of string) string { return of + " and " + peaks(of) }

func peaks(of string) string {
	return "topk(" + lines + ", max_over_time((" + of + ")[$__range:$__interval] @ end()))"
}

// among returns those of expr that belong to the lines of a graph.
func among(labels, expr, of string) string {
	return expr + " and" + strings.Replace(labels, " by ", " on ", 1) + peaks(of)
}

// quantile returns a quantile of a distribution, from its classic buckets.
func quantile(q string, m *observe.Metric, by, match string) string {
	buckets := "rate(" + prom.Name(m) + "_bucket{" + match + "}[$__rate_interval])"
	// NaN means that no event was counted; the comparison with 0 removes it.
	return "histogram_quantile(" + q + ", sum" + strings.Replace(by, ")", ", le)", 1) + "(" + buckets + ")) >= 0"
}

// noMode removes the label cpu_mode, so that two modes can be added.
func noMode(of string) string { return "on (" + instance + ", " + core + ") " + of }

// loopShare is the share of time in which event loops work, for loops that existed
// for a tenth of the range: a single tick of a command that ended would be 100 %.
func loopShare(match string) string {
	busy, wait := sum(perProgram, rate(catalog.LoopBusy, match)), sum(perProgram, rate(catalog.LoopWait, match))
	return busy + " / (" + busy + " + " + wait + " > 0.1)"
}

// share returns a/b where b is not 0.
func share(a, b string) string { return "(" + a + ") / (" + b + " > 0)" }

// metricOf returns m's name without a selector.
func metricOf(m *observe.Metric) string { return prom.Name(m) }
