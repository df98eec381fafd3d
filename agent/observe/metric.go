// SPDX-License-Identifier: Apache-2.0

package observe

// A Unit is a UCUM unit, always a base unit: conversions belong to samplers.
type Unit string

// The units in use.
const (
	Seconds Unit = "s"
	Bytes   Unit = "By"
	Ratio   Unit = "1"
	Cores   Unit = "{cpu}"
	Count   Unit = "{count}"
)

// A Kind says how a metric's values relate over time.
type Kind uint8

// The kinds of metric.
const (
	// Counter only grows during an entity's life; a Window has its increase.
	Counter Kind = iota
	// Gauge is a level; a Window has its last value and its extremes.
	Gauge
	// Histogram is a cumulative distribution; a Window has its increase.
	Histogram
	// PairCounter is a Counter about two entities, such as a victim and the
	// culprit that it waited for; About names the first.
	PairCounter
)

// A Fold says how the levels of several entities become that of their series.
type Fold uint8

// The folds.
const (
	// Unfolded is of every metric that is no Gauge.
	Unfolded Fold = iota
	Summed
	// Highest and Lowest are for levels whose sum means nothing: a limit holds
	// for each process alone, and so does what is held against it.
	Highest
	Lowest
)

// Keep says which readings of a Gauge the history remembers: those of an entity
// that once reached From, or half of its Limit. What is smaller is near no
// limit, and most processes of a host are.
type Keep struct{ From float64 }

// A Metric is declared once, in agent/catalog, and referred to by pointer, so
// that a misspelt one does not compile.
type Metric struct {
	// Name follows OpenTelemetry's semantic conventions where they have one.
	Name string
	// Attr is the one attribute that splits Name, "cpu.mode=user", or empty.
	Attr string
	Unit Unit
	Kind Kind
	// About is the kind of entity that carries the metric.
	About EntityKind
	Help  string
	// Bounds are the upper bounds of a Histogram's buckets, in Unit; one more
	// bucket above the last is implied.
	Bounds []float64
	// Series asks windows to keep the rate (counters) or level (gauges) of
	// every step, for questions such as "in how many of the last seconds".
	Series bool
	// Fold says how the levels of several entities become that of one series;
	// every Gauge declares it.
	Fold Fold
	// Transient says that a Gauge is read each second while it applies and is
	// absent as soon as it is over: the tick in progress.
	Transient bool
	// Exclusive says that a Counter of a cgroup does not contain what happened in
	// the cgroups below it; exporters add those up.
	Exclusive bool
	// Second is the name of the label for the other entity of a PairCounter.
	// Without it the pairs are not exported.
	Second string
	// Internal says that only analyzers read it: it is not exported. Findings
	// say what it means, and it would add to the series of every process.
	Internal bool
	// Activity says that label sets of its kind of entity are ranked by this
	// Counter when there are more than exporters have series for.
	Activity bool
	// Keep asks the agent's history to remember readings, for trends over hours.
	Keep *Keep
	// Limit is the Gauge that this metric is held against; charts draw it.
	Limit *Metric
	// Zeroed says that the source itself starts counting when it is opened
	// (an eBPF map): an entity's first reading is then an increase since the
	// snapshot before, and not a baseline of unknown age.
	Zeroed bool
}

// Key is the metric's identity in files: its name, and its attribute if any.
func (m *Metric) Key() string {
	if m.Attr == "" {
		return m.Name
	}
	return m.Name + "{" + m.Attr + "}"
}
