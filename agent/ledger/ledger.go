// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"sync"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// forgetGroup is the time, in seconds, for which a container or program keeps its
// series after its last value. It is much longer than a scrape interval, so that
// the last total is scraped.
const forgetGroup = 600

// A Ledger holds the published values. It is safe for concurrent use: one writer
// adds, scrapers read.
type Ledger struct {
	mu      sync.Mutex
	metrics []*observe.Metric
	books   map[*observe.Metric]*book
	groups  *groups
	now     float64 // sum of the seconds of all windows
	swept   float64
	ranked  float64
}

// A book holds the values of one metric.
type book struct {
	totals counts
	// unseen holds what groups added while they were part of Other.
	unseen counts
	levels map[observe.ID]level
	// crowded counts the readings that went to Other.
	crowded float64
}

// counts holds sums that only grow: numbers or distributions, depending on the
// metric.
type counts struct {
	numbers map[*group]float64
	hists   map[*group]observe.Hist
}

func newCounts() counts {
	return counts{make(map[*group]float64), make(map[*group]observe.Hist)}
}

func (c *counts) hist(m *observe.Metric, g *group) observe.Hist {
	h, ok := c.hists[g]
	if !ok {
		h = observe.NewHist(m)
		c.hists[g] = h
	}
	return h
}

// drop removes dead groups.
func (c *counts) drop(dead func(*group) bool) {
	for g := range c.numbers {
		if dead(g) {
			delete(c.numbers, g)
		}
	}
	for g := range c.hists {
		if dead(g) {
			delete(c.hists, g)
		}
	}
}

// move adds the values of some groups to other counts and removes them here.
func (c *counts) move(m *observe.Metric, to *counts, which func(*group) bool) {
	for g, v := range c.numbers {
		if which(g) {
			to.numbers[g] += v
		}
	}
	for g, h := range c.hists {
		if which(g) {
			to.hist(m, g).Add(h)
		}
	}
	c.drop(which)
}

type level struct {
	value, at float64
	group     *group
}

// New returns an empty ledger of every metric in the catalogue that is Exported.
func New() *Ledger {
	l := &Ledger{books: make(map[*observe.Metric]*book), groups: newGroups()}
	for _, m := range catalog.All() {
		if !Exported(m) {
			continue
		}
		l.metrics = append(l.metrics, m)
		l.books[m] = &book{totals: newCounts(), unseen: newCounts(), levels: make(map[observe.ID]level)}
	}
	return l
}

// Add adds one step of a Differ, or a window of several consecutive steps. It keeps
// no reference to w.
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
	l.rank()
}

func (l *Ledger) count(b *book, m *observe.Metric, w *observe.Window) {
	for id, v := range w.Values(m) {
		if g := l.groups.of(id, m.Exclusive); g != nil {
			l.add(b, m, g, v)
		}
	}
}

// add adds v to the series of g, or to Other and to the unseen total of g.
func (l *Ledger) add(b *book, m *observe.Metric, g *group, v float64) {
	g.heard = l.now
	if ranks(m) {
		g.activity += v
	}
	to := g.target()
	b.totals.numbers[to] += v
	if to != g {
		b.unseen.numbers[g] += v
		b.crowded++
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
		to := g.target()
		b.totals.hist(m, to).Add(h)
		if to != g {
			b.unseen.hist(m, g).Add(h)
			b.crowded++
		}
	}
}

func (l *Ledger) pair(b *book, m *observe.Metric, w *observe.Window) {
	for p, v := range w.Pairs(m) {
		first := l.groups.of(p.A, false)
		if first == nil || v <= 0 {
			continue
		}
		first.heard = l.now
		l.add(b, m, l.groups.pair(m, first, p.B), v)
	}
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

// rename moves levels that are not read every second to the series with the new
// names.
func (l *Ledger) rename(moves map[observe.ID]move) {
	for _, b := range l.books {
		for id, v := range b.levels {
			if m, ok := moves[id]; ok && m.from == v.group {
				b.levels[id] = level{v.value, v.at, m.to}
			}
		}
	}
}

// sweepEach is the time, in seconds, between two sweeps for dead groups.
const sweepEach = 60

// sweep drops series that had no value for a long time.
func (l *Ledger) sweep() {
	if l.now-l.swept < sweepEach {
		return
	}
	l.swept = l.now
	dead := func(g *group) bool { return g.family != nil && l.now-g.heard > forgetGroup }
	longHidden := func(g *group) bool { return g.family != nil && !g.shown && l.now-g.hidden > forgetHidden }
	for m, b := range l.books {
		for id, v := range b.levels {
			if l.now-v.at > staleAfter(m) {
				delete(b.levels, id)
			}
		}
		b.totals.move(m, &b.unseen, longHidden)
		b.totals.drop(dead)
		b.unseen.drop(dead)
	}
	l.groups.drop(dead)
}

// A Series is one number of one metric. It is valid during the call.
type Series struct {
	Metric *observe.Metric
	// Labels holds the values of LabelNames(Metric); "" means that the label is not
	// set.
	Labels []string
	// Key is equal for equal Labels of metrics about the same kind while the series
	// exists. Exporters cache what they build from Labels in it.
	Key   any
	Value float64
	// Hist is set if Metric is a Histogram.
	Hist observe.Hist
}

// Read calls visit for every series, ordered by metric. Add is blocked meanwhile,
// so visit must not block. There are at most MaxSeries series, plus one of Other
// for each metric.
func (l *Ledger) Read(visit func(Series)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.metrics {
		b := l.books[m]
		for g, v := range b.totals.numbers {
			if g.target() == g {
				visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v})
			}
		}
		for g, h := range b.totals.hists {
			if g.target() == g {
				visit(Series{Metric: m, Labels: g.labels, Key: g, Hist: h})
			}
		}
		for g, v := range l.fold(m, b, (*group).target) {
			visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v})
		}
	}
}

// ReadAll is like Read for some metrics, all of them Exported, but lists label sets
// that are part of Other individually: up to maxView of each kind. It returns the
// seconds of all windows added so far; rates are computed over the difference.
func (l *Ledger) ReadAll(metrics []*observe.Metric, visit func(Series)) (seconds float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := func(g *group) bool { return g.family != nil && g.place < maxView || len(g.labels) == 0 }
	for _, m := range metrics {
		b := l.books[m]
		visitAll(m, b, func(s Series, g *group) {
			if in(g) {
				visit(s)
			}
		})
		for g, v := range l.fold(m, b, func(g *group) *group { return g }) {
			if in(g) {
				visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v})
			}
		}
	}
	return l.now
}

// visitAll adds up the counts of each group, published or not.
func visitAll(m *observe.Metric, b *book, visit func(Series, *group)) {
	for g, v := range b.totals.numbers {
		visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v + b.unseen.numbers[g]}, g)
	}
	for g, v := range b.unseen.numbers {
		if _, both := b.totals.numbers[g]; !both {
			visit(Series{Metric: m, Labels: g.labels, Key: g, Value: v}, g)
		}
	}
	for g, h := range b.totals.hists {
		if more, both := b.unseen.hists[g]; both {
			sum := observe.NewHist(m)
			sum.Add(h)
			sum.Add(more)
			h = sum
		}
		visit(Series{Metric: m, Labels: g.labels, Key: g, Hist: h}, g)
	}
	for g, h := range b.unseen.hists {
		if _, both := b.totals.hists[g]; !both {
			visit(Series{Metric: m, Labels: g.labels, Key: g, Hist: h}, g)
		}
	}
}

// fold combines the levels of the entities of a series into one.
func (l *Ledger) fold(m *observe.Metric, b *book, to func(*group) *group) map[*group]float64 {
	if len(b.levels) == 0 {
		return nil
	}
	all := make(map[*group]float64)
	stale := staleAfter(m)
	for _, v := range b.levels {
		if l.now-v.at <= stale {
			fold(all, to(v.group), v.value, m.Fold)
		}
	}
	return all
}

func fold(rows map[*group]float64, g *group, v float64, how observe.Fold) {
	if was, ok := rows[g]; ok {
		v = combine(how, was, v)
	}
	rows[g] = v
}

// Folded yields, for each kind of entity or pair that exceeds its limit, the number
// of label sets that are part of Other now.
func (l *Ledger) Folded(visit func(kind string, groups int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, f := range l.groups.family {
		if n := f.groups - f.shown; n > 0 {
			visit(name, n)
		}
	}
}

// Crowded yields, for each counter with label sets in Other, the number of readings
// added to Other since the ledger was created.
func (l *Ledger) Crowded(visit func(m *observe.Metric, readings float64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.metrics {
		if n := l.books[m].crowded; n > 0 {
			visit(m, n)
		}
	}
}
