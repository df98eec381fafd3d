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

// Counts of one kind of thing, as the evidence of findings names it.
const (
	Ticks       Unit = "{tick}"
	Connections Unit = "{connection}"
	Descriptors Unit = "{descriptor}"
)

// A Kind is how the values of a metric relate over time.
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

// A Fold is how the levels of several entities are combined into that of their series.
type Fold uint8

// The folds.
const (
	// Unfolded is the Fold of all metrics that are not gauges.
	Unfolded Fold = iota
	Summed
	// Highest and Lowest are for levels whose sum is meaningless: a limit applies to each
	// process separately, and so does the usage that is compared with it.
	Highest
	Lowest
)

// Keep selects the readings of a Gauge that the history keeps: those of entities that
// once reached From, or half of their Limit. Smaller ones, as for most processes of a
// host, are not close to a limit.
type Keep struct{ From float64 }

// A Metric is declared once, in agent/catalog, and referred to by pointer, so that a
// misspelt name does not compile.
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
	// Series makes windows keep the rate (counters) or level (gauges) of
	// every step, for questions such as "in how many of the last seconds".
	Series bool
	// Fold is how the levels of several entities are combined into one series;
	// every Gauge declares it.
	Fold Fold
	// Transient is set for a Gauge that is read each second while it applies and is
	// absent afterwards: the tick in progress.
	Transient bool
	// Exclusive is set for a Counter of a cgroup that does not include
	// the cgroups below it; exporters add those up.
	Exclusive bool
	// Second is the name of the label for the other entity of a PairCounter.
	// Without it the pairs are not exported.
	Second string
	// Internal is set if only analyzers read it. It is not exported, because findings
	// explain it, and it would add a series for every process.
	Internal bool
	// Activity is set if label sets of its kind of entity are ranked by this Counter when
	// there are more than exporters can have.
	Activity bool
	// Keep makes the agent's history keep readings, for trends over hours.
	Keep *Keep
	// Limit is the Gauge with the limit of this metric; charts draw it.
	Limit *Metric
	// Zeroed is set if the source starts at zero when it is opened (an eBPF map): the
	// first reading of an entity is then an increase since the previous snapshot, not a
	// baseline of unknown age.
	Zeroed bool
}

// Key returns the identity of the metric in files: its name, and its attribute if any.
func (m *Metric) Key() string {
	if m.Attr == "" {
		return m.Name
	}
	return m.Name + "{" + m.Attr + "}"
}
