// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"fmt"
	"maps"
	"time"
)

// A Differ is the only place that subtracts: it stores the last value of every counter
// and turns each snapshot into the step since then. Only the Differ handles restarts and
// resets, and samplers with different rates: the increase of each value counts from the
// last reading of that value.
type Differ struct {
	started bool
	last    time.Duration // Monotonic of the last snapshot
	boot    time.Duration
	wall    time.Time
	step    *Window

	counters map[*Metric]*lastColumn
	hists    map[*Metric]map[ID]Hist
	pairs    map[*Metric]map[Pair]float64
	scratch  map[*Metric]Hist
}

type lastColumn struct {
	value []float64
	at    []time.Duration
	known []bool
}

// NewDiffer returns an empty Differ.
func NewDiffer(x *Index) *Differ {
	return &Differ{
		step:     NewWindow(x),
		counters: make(map[*Metric]*lastColumn),
		hists:    make(map[*Metric]map[ID]Hist),
		pairs:    make(map[*Metric]map[Pair]float64),
		scratch:  make(map[*Metric]Hist),
	}
}

// Step returns the changes since the previous snapshot; for the first one, a window of
// length 0 with the levels of gauges. It leaves out values that are absent on either side
// or have decreased. The window is valid until the next Step.
func (d *Differ) Step(s *Snapshot) *Window {
	w := d.step
	w.reset()
	w.Start, w.End = d.wall, s.Time
	if !d.started {
		w.Start = s.Time
	}
	if d.started {
		w.Seconds = (s.Monotonic - d.last).Seconds()
	}
	w.Stalls = append(w.Stalls, s.Stalls...)
	w.Gaps = append(w.Gaps, s.Gaps...)
	w.Ended = append(w.Ended, s.Ended...)
	d.suspended(w, s)
	for m, c := range s.columns {
		if m.Kind == Gauge {
			w.gauge(m, c)
		} else {
			d.counter(w, m, c, s.Monotonic-s.Before(m))
		}
	}
	for m, c := range s.hists {
		d.hist(w, m, c)
	}
	for m, c := range s.pairs {
		d.pair(w, m, c)
	}
	d.forget(s.Ended)
	d.started, d.last, d.boot, d.wall = true, s.Monotonic, s.BootTime, s.Time
	return w
}

// GapClock is the source of gaps about time in which nothing was observed.
const GapClock = "clock"

// suspendTolerance is how far the two clocks may drift apart in one step
// before it counts as a suspend (docs/science.md, Windows and trends).
const suspendTolerance = time.Second

func (d *Differ) suspended(w *Window, s *Snapshot) {
	if !d.started {
		return
	}
	asleep := (s.BootTime - d.boot) - (s.Monotonic - d.last)
	if asleep > suspendTolerance {
		w.Gaps = append(w.Gaps, Gap{
			Source: GapClock,
			Reason: fmt.Sprintf("the machine was suspended for %.0f s: rates do not include that time", asleep.Seconds()),
			Cure:   "observe again while the machine stays awake",
		})
	}
}

func (d *Differ) counter(w *Window, m *Metric, c *column, now time.Duration) {
	last := d.counters[m]
	if last == nil {
		last = &lastColumn{}
		d.counters[m] = last
	}
	last.grow(len(c.value))
	out := w.column(m)
	for _, id := range c.ids {
		v := c.value[id]
		switch {
		case last.known[id] && v >= last.value[id]:
			out.add(id, v-last.value[id], (now - last.at[id]).Seconds())
		case !last.known[id] && m.Zeroed && d.started:
			out.add(id, v, max(0, now-d.last).Seconds())
		}
		last.value[id], last.at[id], last.known[id] = v, now, true
	}
}

func (l *lastColumn) grow(n int) {
	if more := n - len(l.value); more > 0 {
		l.value = append(l.value, make([]float64, more)...)
		l.at = append(l.at, make([]time.Duration, more)...)
		l.known = append(l.known, make([]bool, more)...)
	}
}

func (d *Differ) hist(w *Window, m *Metric, c *histColumn) {
	known := d.hists[m]
	if known == nil {
		known = make(map[ID]Hist)
		d.hists[m] = known
	}
	inc, ok := d.scratch[m]
	if !ok {
		inc = NewHist(m)
		d.scratch[m] = inc
	}
	for i, id := range c.ids {
		next := c.rows[i]
		prev, seen := known[id]
		if !seen {
			prev = NewHist(m)
			known[id] = prev
		}
		if (seen || m.Zeroed && d.started) && inc.increase(prev, next) {
			w.hist(m, id).Add(inc)
		}
		prev.copyFrom(next)
	}
}

func (d *Differ) pair(w *Window, m *Metric, c *pairColumn) {
	known := d.pairs[m]
	if known == nil {
		known = make(map[Pair]float64)
		d.pairs[m] = known
	}
	for p, v := range c.value {
		// A pair appears with its first event: it was 0 at any earlier
		// reading of the same source.
		prev := known[p]
		if d.started && v >= prev {
			w.pair(m)[p] += v - prev
		}
		known[p] = v
	}
}

// forget drops the stored values of ended entities.
func (d *Differ) forget(ended []Ended) {
	for _, e := range ended {
		d.forgetID(e.ID)
	}
}

func (d *Differ) forgetID(id ID) {
	for _, known := range d.hists {
		delete(known, id)
	}
	for _, last := range d.counters {
		if int(id) < len(last.known) {
			last.known[id] = false
		}
	}
}

// Forget drops all stored values of IDs that the Index recycles, including pairs with
// them.
func (d *Differ) Forget(ids []ID) {
	gone := make(map[ID]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
		d.forgetID(id)
	}
	for _, known := range d.pairs {
		maps.DeleteFunc(known, func(p Pair, _ float64) bool { return gone[p.A] || gone[p.B] })
	}
}
