// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// A Window has the changes between two times: increases of counters, extremes of gauges,
// stalls, gaps, and the entities that ended. Consecutive windows can be added.
type Window struct {
	Start, End time.Time
	// Seconds is the length by the monotonic clock.
	Seconds float64
	// Steps is the number of steps in the window.
	Steps  int
	Index  *Index
	Stalls []Stall
	Gaps   []Gap
	Ended  []Ended

	columns map[*Metric]*sums
	hists   map[*Metric]map[ID]Hist
	pairs   map[*Metric]map[Pair]float64
}

// maxStalls limits the exemplars of one loop in a window: the longest ones are kept.
const maxStalls = 8

// NewWindow returns an empty window.
func NewWindow(x *Index) *Window {
	return &Window{
		Index:   x,
		columns: make(map[*Metric]*sums),
		hists:   make(map[*Metric]map[ID]Hist),
		pairs:   make(map[*Metric]map[Pair]float64),
	}
}

func (w *Window) reset() {
	w.Seconds, w.Steps = 0, 1
	w.Stalls, w.Gaps, w.Ended = w.Stalls[:0], w.Gaps[:0], w.Ended[:0]
	for _, c := range w.columns {
		c.reset()
	}
	for _, h := range w.hists {
		clear(h)
	}
	for _, p := range w.pairs {
		clear(p)
	}
}

func (w *Window) column(m *Metric) *sums {
	c := w.columns[m]
	if c == nil {
		c = &sums{}
		w.columns[m] = c
	}
	return c
}

func (w *Window) hist(m *Metric, id ID) Hist {
	column := w.hists[m]
	if column == nil {
		column = make(map[ID]Hist)
		w.hists[m] = column
	}
	h, ok := column[id]
	if !ok {
		h = NewHist(m)
		column[id] = h
	}
	return h
}

func (w *Window) pair(m *Metric) map[Pair]float64 {
	p := w.pairs[m]
	if p == nil {
		p = make(map[Pair]float64)
		w.pairs[m] = p
	}
	return p
}

func (w *Window) gauge(m *Metric, from *column) {
	c := w.column(m)
	for _, id := range from.ids {
		c.level(id, from.value[id])
	}
}

// Add extends w by the next step, which can be reused afterwards.
func (w *Window) Add(step *Window) {
	for m, c := range step.columns {
		to := w.column(m)
		to.merge(c)
		if m.Series {
			to.series.step(w.Seconds+step.Seconds, c)
		}
	}
	w.join(step)
	w.Steps++
}

// Join extends w by the next window of several steps.
func (w *Window) Join(next *Window) {
	for m, c := range next.columns {
		to := w.column(m)
		to.merge(c)
		to.series.join(w.Seconds, &c.series)
	}
	w.join(next)
	w.Steps += next.Steps
}

// join is the common part of Add and Join: everything except columns.
func (w *Window) join(next *Window) {
	if w.Steps == 0 {
		w.Start = next.Start
	}
	w.End = next.End
	w.Seconds += next.Seconds
	w.Ended = append(w.Ended, next.Ended...)
	w.addGaps(next.Gaps)
	w.addStalls(next.Stalls)
	for m, column := range next.hists {
		for id, h := range column {
			w.hist(m, id).Add(h)
		}
	}
	for m, pairs := range next.pairs {
		for p, v := range pairs {
			w.pair(m)[p] += v
		}
	}
}

// addGaps keeps each gap once: a sampler repeats it at every reading.
func (w *Window) addGaps(gaps []Gap) {
	for _, g := range gaps {
		if !slices.Contains(w.Gaps, g) {
			w.Gaps = append(w.Gaps, g)
		}
	}
}

// addStalls keeps the longest stalls of each loop. A record of a stall in
// progress is replaced by a later one of the same stall. The kept stalls are
// looked up by loop, because a recording can have stalls of very many loops.
func (w *Window) addStalls(stalls []Stall) {
	if len(stalls) == 0 {
		return
	}
	kept := make(map[ID][]int) // positions in w.Stalls, at most maxStalls of a loop
	for i, s := range w.Stalls {
		kept[s.Loop] = append(kept[s.Loop], i)
	}
	dropped := make([]bool, len(w.Stalls)+len(stalls))
	for _, s := range stalls {
		of := slices.DeleteFunc(kept[s.Loop], func(i int) bool {
			dropped[i] = w.Stalls[i].InProgress && s.covers(w.Stalls[i])
			return dropped[i]
		})
		of = append(of, len(w.Stalls))
		w.Stalls = append(w.Stalls, s)
		if len(of) > maxStalls {
			k := w.shortest(of)
			dropped[of[k]] = true
			of = slices.Delete(of, k, k+1)
		}
		kept[s.Loop] = of
	}
	to := w.Stalls[:0]
	for i, s := range w.Stalls {
		if !dropped[i] {
			to = append(to, s)
		}
	}
	clear(w.Stalls[len(to):])
	w.Stalls = to
}

// sameStall is how far two readings of one stall's start may differ: the
// wall clock is read once per snapshot.
const sameStall = 50 * time.Millisecond

func (s Stall) covers(o Stall) bool {
	return s.Start.Sub(o.Start).Abs() < sameStall && s.Duration >= o.Duration
}

// shortest returns which of the stalls at these positions was the shortest.
func (w *Window) shortest(of []int) int {
	k := 0
	for j, i := range of {
		if w.Stalls[i].Duration < w.Stalls[of[k]].Duration {
			k = j
		}
	}
	return k
}

// Entities yields every entity that has a value of m in the window, by ID.
func (w *Window) Entities(m *Metric) iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for _, id := range w.sorted(m) {
			if !yield(id) {
				return
			}
		}
	}
}

func (w *Window) sorted(m *Metric) []ID {
	var ids []ID
	if m.Kind == Histogram {
		for id := range w.hists[m] {
			ids = append(ids, id)
		}
	} else if c := w.columns[m]; c != nil {
		ids = append(ids, c.ids...)
	}
	slices.Sort(ids)
	return ids
}

// Has reports whether any entity has a value of m; false means that no sampler provided it.
func (w *Window) Has(m *Metric) bool {
	if m.Kind == PairCounter {
		return len(w.pairs[m]) > 0
	}
	if m.Kind == Histogram {
		return len(w.hists[m]) > 0
	}
	c := w.columns[m]
	return c != nil && len(c.ids) > 0
}

func (w *Window) at(m *Metric, id ID) (sum, bool) {
	if c := w.columns[m]; c != nil {
		return c.at(id)
	}
	return sum{}, false
}

// Mark sets seen for each entity that has any value in the window. seen is as
// long as the Index.
func (w *Window) Mark(seen []bool) {
	for _, c := range w.columns {
		for _, id := range c.ids {
			seen[id] = true
		}
	}
	for _, column := range w.hists {
		for id := range column {
			seen[id] = true
		}
	}
	for _, pairs := range w.pairs {
		for p := range pairs {
			seen[p.A], seen[p.B] = true, true
		}
	}
	for _, s := range w.Stalls {
		seen[s.Loop] = true
	}
}

// Increase returns the increase of a counter.
func (w *Window) Increase(m *Metric, id ID) (float64, bool) {
	if s, ok := w.at(m, id); ok {
		return s.total, true
	}
	return 0, false
}

// Rate returns a counter's increase per second of the window; for times that is a share
// of the window. An entity that existed for half of the window has half the rate. If
// the readings are further apart than the start and the end of the window, Rate is the
// increase per second between the readings.
func (w *Window) Rate(m *Metric, id ID) (float64, bool) {
	s, ok := w.at(m, id)
	if !ok || w.Seconds <= 0 {
		return 0, false
	}
	return s.total / max(w.Seconds, s.seconds), true
}

// Observed returns for how many seconds a counter of id was observed.
func (w *Window) Observed(m *Metric, id ID) float64 {
	if s, ok := w.at(m, id); ok {
		return s.seconds
	}
	return 0
}

// Last returns a gauge's last level, or a counter's rate in its last step.
func (w *Window) Last(m *Metric, id ID) (float64, bool) {
	if s, ok := w.at(m, id); ok && s.rated > 0 {
		return s.last, true
	}
	return 0, false
}

// Range returns the lowest and highest level of a gauge, or rate of a counter
// in any step.
func (w *Window) Range(m *Metric, id ID) (low, high float64, ok bool) {
	if s, ok := w.at(m, id); ok && s.rated > 0 {
		return s.low, s.high, true
	}
	return 0, 0, false
}

// Hist returns the values added to a distribution.
func (w *Window) Hist(m *Metric, id ID) (Hist, bool) {
	h, ok := w.hists[m][id]
	return h, ok
}

// Series returns the level or rate of each step, oldest first, of a metric
// declared with Series. It may be shorter than the window.
func (w *Window) Series(m *Metric, id ID) []float64 {
	var values []float64
	for _, p := range w.Points(m, id) {
		values = append(values, p.Value)
	}
	return values
}

// Points returns the values of Series with the time of each reading: samplers read at
// different rates, and a slope depends on the times.
func (w *Window) Points(m *Metric, id ID) []Point {
	if c := w.columns[m]; c != nil {
		return c.series.points(id)
	}
	return nil
}

// A Peer is one side of a pair with its value.
type Peer struct {
	ID    ID
	Value float64
}

// Peers returns the entities paired with a, largest increase first.
func (w *Window) Peers(m *Metric, a ID) []Peer {
	var peers []Peer
	for p, v := range w.pairs[m] {
		if p.A == a && v > 0 {
			peers = append(peers, Peer{p.B, v})
		}
	}
	slices.SortFunc(peers, func(x, y Peer) int {
		return cmp.Or(cmp.Compare(y.Value, x.Value), cmp.Compare(x.ID, y.ID))
	})
	return peers
}

// StallsOf returns the kept stalls of one loop, longest first.
func (w *Window) StallsOf(loop ID) []Stall {
	var stalls []Stall
	for _, s := range w.Stalls {
		if s.Loop == loop {
			stalls = append(stalls, s)
		}
	}
	slices.SortStableFunc(stalls, func(a, b Stall) int { return cmp.Compare(b.Duration, a.Duration) })
	return stalls
}
