// SPDX-License-Identifier: Apache-2.0

// Package history keeps the levels of gauges beyond a window: every second for
// minutes, every ten seconds for hours, every minute for a week. It receives the
// steps of a Differ, and serves analyzers. Of containers and services it also keeps what
// they used in each hour of two weeks (usage.go).
//
// Its memory has a hard limit. A series belongs to the lifetime of an entity: a
// process by its pid and start, so that it continues after a restart of the agent,
// but not for a reused pid. The package reads no clock and writes no file: Records
// and Load exchange data with a store.
package history

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// DefaultBudget is enough for a full node of 1,000 processes in 110 cgroups: most
	// are idle, and their readings take two bits each.
	DefaultBudget = 4 << 20
	// maxSeries limits the memory of series in addition to their readings.
	maxSeries = 3000
	// shrink is the factor by which the span of all series is reduced when the budget
	// is full.
	shrink = 0.8
	// leastReach is the minimum share of its span that a tier keeps; after that, the
	// series without a reading for the longest time are dropped.
	leastReach = 0.02
	// roomy is the share of the budget below which the span grows again.
	roomy = 0.7
	// sweepEvery is the time, in seconds, between two sweeps for old readings.
	sweepEvery = 60
)

// A History is safe for concurrent use.
type History struct {
	mu     sync.Mutex
	budget int
	boot   string // ID of this boot of the kernel: entities of another one are different
	start  int64  // the clock at BootTime 0
	now    int64  // seconds on a clock that only goes forward
	since  time.Duration
	index  *observe.Index

	series map[key]*series
	// known maps entities of the index to their series; nil for those that are not
	// kept (yet).
	known map[*observe.Metric]map[observe.ID]*series

	usage   usage
	bytes   int
	reach   float64 // share of each tier's span that is kept
	swept   int64
	refused int
}

type key struct {
	metric *observe.Metric
	entity observe.Entity
}

// Options set the start of a History.
type Options struct {
	Index *observe.Index
	// Boot identifies this boot of the kernel.
	Boot string
	// Wall is the time of day; Since is the uptime (CLOCK_BOOTTIME). After the start
	// only the latter counts: setting the clock has no effect.
	Wall  time.Time
	Since time.Duration
	// Budget is the memory limit, in bytes; 0 is DefaultBudget.
	Budget int
}

// New returns an empty History.
func New(o Options) *History {
	h := &History{
		budget: cmp.Or(o.Budget, DefaultBudget), boot: o.Boot, index: o.Index, reach: 1, since: o.Since,
		start:  o.Wall.Unix() - int64(o.Since/time.Second),
		series: make(map[key]*series),
		known:  make(map[*observe.Metric]map[observe.ID]*series),
		usage:  newUsage(),
	}
	h.now = o.Wall.Unix()
	for _, m := range metrics {
		h.known[m] = make(map[observe.ID]*series)
	}
	o.Index.OnFree(h.forget)
	return h
}

// SetBudget changes the memory limit, in bytes.
func (h *History) SetBudget(bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget = bytes
}

// forget is called before an ID is reused for another entity. The series stays.
func (h *History) forget(id observe.ID, _ observe.Entity) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ids := range h.known {
		delete(ids, id)
	}
	if in := h.usage.instances[id]; in != nil {
		h.fold(in)
		delete(h.usage.instances, id)
	}
}

// Add adds a step that ended at this uptime.
func (h *History) Add(step *observe.Window, since time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seconds := int64(since.Round(time.Second) / time.Second)
	if since < h.since { // a machine restored from a snapshot, or a recording of another machine
		h.start = h.now - seconds
	}
	h.since, h.now = since, max(h.now, h.start+seconds)
	for _, m := range metrics {
		ids := h.known[m]
		for id, v := range step.Values(m) {
			s := ids[id]
			if s == nil {
				if v < m.Keep.From && !nearLimit(step, m, id, v) {
					continue
				}
				if s = h.at(m, id); s == nil {
					continue
				}
				ids[id] = s
			}
			h.bytes += s.add(h.now, rounded(v))
		}
	}
	h.addUsage(step)
	if h.now-h.swept >= sweepEvery || h.bytes > h.budget {
		h.sweep()
	}
}

// limitShare is the share of its limit from which a small value is kept too.
const limitShare = 0.5

// nearLimit reports whether a value is a large part of its limit.
func nearLimit(step *observe.Window, m *observe.Metric, id observe.ID, v float64) bool {
	if m.Limit == nil {
		return false
	}
	limit, ok := step.Last(m.Limit, id)
	return ok && limit > 0 && v >= limitShare*limit
}

// at returns the series of an entity, a new one if it has none; nil if the limit is
// reached.
func (h *History) at(m *observe.Metric, id observe.ID) *series {
	k := key{m, h.index.Entity(id)}
	if s := h.series[k]; s != nil {
		return s
	}
	if len(h.series) >= maxSeries && !h.dropEnded() {
		h.refused++
		return nil
	}
	s := &series{subject: subject(h.index, id)}
	h.series[k] = s
	h.bytes += seriesCost
	return s
}

// subject returns a name of an entity that its next lifetime has as well.
func subject(x *observe.Index, id observe.ID) string {
	e := x.Entity(id)
	in := func(name string) string { return x.Inherited(id, name) }
	home := cmp.Or(in(catalog.AttrContainerName), in(catalog.AttrService))
	parts := []string{in(catalog.AttrNamespace), in(catalog.AttrPodName), home}
	switch e.Kind {
	case observe.Process:
		parts = append(parts, catalog.Command(x, id))
	case observe.Cgroup:
		if home == "" || x.Attr(id, catalog.AttrContainerID) != "" && in(catalog.AttrContainerName) == "" {
			parts = append(parts, e.ID)
		}
	default:
		parts = append(parts, e.ID)
	}
	return strings.Join(parts, "/")
}

// keptBits is the number of bits kept of a reading's mantissa: one part in 8192 is
// less than any analyzer needs, and equal readings take little memory.
const keptBits = 12

// rounded rounds v so that similar readings become equal.
func rounded(v float64) float64 {
	const drop = 52 - keptBits
	bits := math.Float64bits(v) + 1<<(drop-1)
	return math.Float64frombits(bits &^ (1<<drop - 1))
}

// sweep drops old readings, and reduces the span while the budget is full.
func (h *History) sweep() {
	if h.bytes < int(roomy*float64(h.budget)) {
		h.reach = min(1, h.reach/shrink)
	}
	h.swept = h.now
	h.rename()
	h.trimUsage()
	for h.trim(); h.bytes > h.budget; h.trim() {
		if h.reach > leastReach {
			h.reach *= shrink
		} else if !h.dropOldest() {
			return
		}
	}
}

// rename updates the names of entities that became known after their series
// started, such as that of a pod.
func (h *History) rename() {
	for _, ids := range h.known {
		for id, s := range ids {
			if name := subject(h.index, id); name != s.subject {
				s.subject = name
			}
		}
	}
}

// trim drops readings that are too old, and series without readings.
func (h *History) trim() {
	for k, s := range h.series {
		h.bytes -= s.trim(h.now, h.reach)
		if s.empty() {
			h.drop(k)
		}
	}
}

func (h *History) drop(k key) {
	h.bytes -= h.series[k].cost()
	delete(h.series, k)
	if id, ok := h.index.Find(k.entity); ok {
		delete(h.known[k.metric], id)
	}
}

// ended is the time, in seconds, without a reading after which a series can be
// replaced by another.
const ended = 600

// dropEnded drops the series without a reading for the longest time, if it has
// ended.
func (h *History) dropEnded() bool {
	k, ok := h.oldest()
	if !ok || h.now-h.series[k].heard() < ended {
		return false
	}
	h.drop(k)
	return true
}

func (h *History) dropOldest() bool {
	k, ok := h.oldest()
	if ok {
		h.drop(k)
	}
	return ok
}

func (h *History) oldest() (oldest key, ok bool) {
	for k, s := range h.series {
		if !ok || s.heard() < h.series[oldest].heard() {
			oldest, ok = k, true
		}
	}
	return oldest, ok
}

// Points implements analysis.History: the readings of a gauge between two times
// ago, in seconds, from the finest tier that covers them. At is in seconds from
// now, and negative.
func (h *History) Points(m *observe.Metric, id observe.ID, from, to float64) []observe.Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.known[m][id]
	if s == nil {
		return nil
	}
	return s.points(h.now, h.now-int64(from), h.now-int64(to))
}

// Earlier implements analysis.History: the highest reading of the same subject
// before this entity started.
func (h *History) Earlier(m *observe.Metric, id observe.ID) (peak float64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	own := h.known[m][id]
	if own == nil {
		return 0, false
	}
	began := own.began()
	for k, s := range h.series {
		if k.metric == m && s != own && s.subject == own.subject && s.heard() <= began {
			peak, ok = max(peak, s.peak), true
		}
	}
	return peak, ok
}

// Stats holds the metrics of a History.
type Stats struct {
	Series, Bytes, Refused int
	// Reach is the share of each tier's span that is kept.
	Reach float64
}

// Stats returns the metrics of h.
func (h *History) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Series: len(h.series), Bytes: h.bytes, Refused: h.refused, Reach: h.reach}
}

// Now returns the time on the history's clock, in seconds: the time of day when it
// started plus the uptime since then, regardless of changes of the clock.
func (h *History) Now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// sortedKeys makes the files of equal histories equal.
func (h *History) sortedKeys() []key {
	keys := make([]key, 0, len(h.series))
	for k := range h.series {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.metric.Key(), b.metric.Key()), cmp.Compare(a.entity.Kind, b.entity.Kind), cmp.Compare(a.entity.ID, b.entity.ID))
	})
	return keys
}
