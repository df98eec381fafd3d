// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"sync"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// forgetGroup is for how many seconds a container or program keeps its series
// after it was last heard of: long beside any scrape interval, so that the
// last total is seen.
const forgetGroup = 600

// A Ledger is safe for concurrent use: one writer adds, scrapers read.
type Ledger struct {
	mu      sync.Mutex
	metrics []*observe.Metric
	books   map[*observe.Metric]*book
	groups  *groups
	now     float64 // seconds of all windows
	swept   float64
}

// A book is what is known of one metric.
type book struct {
	bound  int
	totals map[*group]float64
	hists  map[*group]observe.Hist
	levels map[observe.ID]level
	// crowded counts the readings that went to Other.
	crowded float64
}

type level struct {
	value, at float64
	group     *group
}

// New returns an empty ledger of every metric of the catalogue that is
// Exported.
func New() *Ledger {
	l := &Ledger{books: make(map[*observe.Metric]*book), groups: newGroups()}
	for _, m := range catalog.All() {
		if !Exported(m) {
			continue
		}
		l.metrics = append(l.metrics, m)
		l.books[m] = &book{
			bound:  Bound(m),
			totals: make(map[*group]float64),
			hists:  make(map[*group]observe.Hist),
			levels: make(map[observe.ID]level),
		}
	}
	return l
}

// Add adds one step of a Differ, or a window of several that followed each
// other. It keeps nothing of w.
func (l *Ledger) Add(w *observe.Window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if another, renamed := l.groups.enter(w.Index); another {
		l.forgetLevels()
	} else if len(renamed) > 0 {
		l.rename(renamed)
	}
	l.now += w.Seconds
	for _, m := range l.metrics {
		b := l.books[m]
		switch m.Kind {
		case observe.Counter:
			l.count(b, m, w)
		case observe.Gauge:
			l.level(b, m, w)
		case observe.Histogram:
			l.distribute(b, m, w)
		case observe.PairCounter:
			l.pair(b, m, w)
		}
	}
	for _, e := range w.Ended {
		l.end(e.ID)
	}
	l.sweep()
}

func (l *Ledger) count(b *book, m *observe.Metric, w *observe.Window) {
	for id, v := range w.Values(m) {
		if g := l.groups.of(id, m.Exclusive); g != nil {
			g.heard = l.now
			b.totals[bounded(b, b.totals, g)] += v
		}
	}
}

func (l *Ledger) level(b *book, m *observe.Metric, w *observe.Window) {
	for id, v := range w.Values(m) {
		if g := l.groups.of(id, false); g != nil {
			g.heard = l.now
			b.levels[id] = level{v, l.now, g}
		}
	}
}

func (l *Ledger) distribute(b *book, m *observe.Metric, w *observe.Window) {
	for id, h := range w.Hists(m) {
		g := l.groups.of(id, false)
		if g == nil {
			continue
		}
		g.heard = l.now
		g = bounded(b, b.hists, g)
		sum, ok := b.hists[g]
		if !ok {
			sum = observe.NewHist(m)
			b.hists[g] = sum
		}
		sum.Add(h)
	}
}

func (l *Ledger) pair(b *book, m *observe.Metric, w *observe.Window) {
	for p, v := range w.Pairs(m) {
		first := l.groups.of(p.A, false)
		if first == nil || v <= 0 {
			continue
		}
		g := l.groups.pair(m, first, p.B)
		first.heard, g.heard = l.now, l.now
		b.totals[bounded(b, b.totals, g)] += v
	}
}

// bounded returns g, or Other where the metric has as many series as it may.
func bounded[V any](b *book, rows map[*group]V, g *group) *group {
	if _, ok := rows[g]; ok || g.other == nil {
		return g
	}
	own := len(rows)
	if _, ok := rows[g.other]; ok {
		own--
	}
	if own < b.bound {
		return g
	}
	b.crowded++
	return g.other
}

func (l *Ledger) end(id observe.ID) {
	for _, b := range l.books {
		delete(b.levels, id)
	}
	l.groups.forget(id)
}

func (l *Ledger) forgetLevels() {
	for _, b := range l.books {
		clear(b.levels)
	}
}

// rename gives levels that are not read each second to the series of the names
// that are known now.
func (l *Ledger) rename(moves map[observe.ID]move) {
	for _, b := range l.books {
		for id, v := range b.levels {
			if m, ok := moves[id]; ok && m.from == v.group {
				b.levels[id] = level{v.value, v.at, m.to}
			}
		}
	}
}

// sweepEach is how often, in seconds, dead groups are looked for.
const sweepEach = 60

// sweep drops the series of what was not heard of for long.
func (l *Ledger) sweep() {
	if l.now-l.swept < sweepEach {
		return
	}
	l.swept = l.now
	dead := func(g *group) bool { return g.other != nil && l.now-g.heard > forgetGroup }
	for m, b := range l.books {
		for id, v := range b.levels {
			if l.now-v.at > staleAfter(m) {
				delete(b.levels, id)
			}
		}
		for g := range b.totals {
			if dead(g) {
				delete(b.totals, g)
			}
		}
		for g := range b.hists {
			if dead(g) {
				delete(b.hists, g)
			}
		}
	}
	l.groups.drop(dead)
}

// A Series is one number of one metric, for the length of a call.
type Series struct {
	Metric *observe.Metric
	// Labels are the values of LabelNames(Metric); "" is a label that it has not.
	Labels []string
	// Key is the same for the same Labels of metrics about the same kind, as
	// long as the series lives: exporters hang what they made of Labels on it.
	Key   any
	Value float64
	// Hist is set where Metric is a Histogram.
	Hist observe.Hist
}

// Read hands every series to visit, ordered by metric; no Add happens
// meanwhile, so that visit may not wait for anything.
func (l *Ledger) Read(visit func(Series)) { l.ReadOnly(l.metrics, visit) }

// ReadOnly is Read of some metrics, all of them Exported. It returns for how
// many seconds the ledger was fed so far: rates are over the difference.
func (l *Ledger) ReadOnly(metrics []*observe.Metric, visit func(Series)) (seconds float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range metrics {
		b := l.books[m]
		for g, v := range b.totals {
			visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v})
		}
		for g, h := range b.hists {
			visit(Series{Metric: m, Labels: g.labels, Key: g, Hist: h})
		}
		for g, v := range l.fold(m, b) {
			visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v})
		}
	}
	return l.now
}

// fold makes one level of those of a series' entities.
func (l *Ledger) fold(m *observe.Metric, b *book) map[*group]float64 {
	if len(b.levels) == 0 {
		return nil
	}
	all := make(map[*group]float64)
	stale := staleAfter(m)
	for _, v := range b.levels {
		if l.now-v.at <= stale {
			fold(all, v.group, v.value, m.Fold)
		}
	}
	return l.crowd(b, all, m.Fold)
}

func fold(rows map[*group]float64, g *group, v float64, how observe.Fold) {
	if was, ok := rows[g]; ok {
		v = combine(how, was, v)
	}
	rows[g] = v
}

// crowd folds what is beyond the bound into Other; who was there first stays.
func (l *Ledger) crowd(b *book, all map[*group]float64, how observe.Fold) map[*group]float64 {
	if len(all) <= b.bound {
		return all
	}
	order := make([]*group, 0, len(all))
	for g := range all {
		order = append(order, g)
	}
	slices.SortFunc(order, func(x, y *group) int { return cmp.Compare(x.number, y.number) })
	b.crowded += float64(len(order) - b.bound)
	for _, g := range order[b.bound:] {
		if g.other != nil {
			v := all[g]
			delete(all, g)
			fold(all, g.other, v, how)
		}
	}
	return all
}

// Crowded yields, for each metric that ran into its bound, how many readings
// went to Other since the ledger began.
func (l *Ledger) Crowded(visit func(m *observe.Metric, readings float64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.metrics {
		if n := l.books[m].crowded; n > 0 {
			visit(m, n)
		}
	}
}
