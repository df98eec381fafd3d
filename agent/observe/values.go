// SPDX-License-Identifier: Apache-2.0

package observe

import "iter"

// Values yields, in no order, the value of m of every entity in the window: the
// increase of a counter, the last level of a gauge. It does not allocate memory.
func (w *Window) Values(m *Metric) iter.Seq2[ID, float64] {
	return func(yield func(ID, float64) bool) {
		c := w.columns[m]
		if c == nil {
			return
		}
		for _, id := range c.ids {
			s, _ := c.at(id)
			v := s.total
			if m.Kind == Gauge {
				v = s.last
			}
			if !yield(id, v) {
				return
			}
		}
	}
}

// Hists yields, in no order, the increase of every distribution of m.
func (w *Window) Hists(m *Metric) iter.Seq2[ID, Hist] {
	return func(yield func(ID, Hist) bool) {
		for id, h := range w.hists[m] {
			if !yield(id, h) {
				return
			}
		}
	}
}

// Pairs yields, in no order, the increase of each pair of a PairCounter.
func (w *Window) Pairs(m *Metric) iter.Seq2[Pair, float64] {
	return func(yield func(Pair, float64) bool) {
		for p, v := range w.pairs[m] {
			if !yield(p, v) {
				return
			}
		}
	}
}
