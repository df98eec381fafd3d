// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// A family is the groups that share a bound: those about one kind of entity, or of
// one metric about pairs. Where there are more than fit, the most active of them
// have series of their own and the rest is added to Other.
type family struct {
	name   string
	share  share
	other  *group
	groups int // that are remembered, Other not counted
	shown  int // of them, that have series
	room   int // how many may have
}

func newFamily(name string, s share) *family {
	return &family{name: name, share: s, room: s.series / s.each}
}

// ranks reports whether the groups of a family are ranked by what m did lately. Those
// of kinds that have no such metric, such as listeners, are ranked by age.
func ranks(m *observe.Metric) bool { return m.Activity || m.Kind == observe.PairCounter }

const (
	// rankEvery is how often, in seconds, it is decided again which entities have series.
	rankEvery = 10
	// halfLife is after how many seconds half of an activity is forgotten.
	halfLife = 600
	// loyalty is by how much more active a group must be that replaces another:
	// each change is a series that ends and one that begins.
	loyalty = 2
	// forgetHidden is for how many seconds the totals of a group that has become
	// part of Other are kept, to go on with when it has series again.
	forgetHidden = 3600
)

// admit gives a new group series if its family has room.
func (f *family) admit(g *group) {
	f.groups++
	if f.shown < f.room {
		f.show(g, true)
	}
}

func (f *family) show(g *group, shown bool) {
	if g.shown == shown {
		return
	}
	g.shown = shown
	if shown {
		f.shown++
	} else {
		f.shown--
	}
}

// rank decides which groups have series until the next time.
func (l *Ledger) rank() {
	if l.now-l.ranked < rankEvery {
		return
	}
	decay := math.Exp2(-(l.now - l.ranked) / halfLife)
	l.ranked = l.now
	members := make(map[*family][]*group)
	for _, g := range l.groups.byKey {
		if g.family != nil {
			g.activity *= decay
			members[g.family] = append(members[g.family], g)
		}
	}
	l.share(members)
	for f, gs := range members {
		if len(gs) <= f.room && f.shown == len(gs) {
			continue
		}
		slices.SortFunc(gs, moreActive)
		for i, g := range gs {
			was := g.shown
			g.place = i
			f.show(g, i < f.room)
			if was && !g.shown {
				g.hidden = l.now
			}
		}
	}
}

func moreActive(a, b *group) int {
	weight := func(g *group) float64 {
		if g.shown {
			return loyalty * g.activity
		}
		return g.activity
	}
	shown := func(g *group) int {
		if g.shown {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(shown(a), shown(b)), cmp.Compare(a.number, b.number))
}

// share divides MaxSeries: first each family gets what it needs up to its share,
// then those that need more divide what is left, in proportion to their shares.
func (l *Ledger) share(members map[*family][]*group) {
	each := l.measure()
	series := make(map[*family]int)
	left := MaxSeries
	for f, gs := range members {
		series[f] = min(len(gs)*each[f], f.share.series)
		left -= series[f]
	}
	for range members { // a family less needs more at each turn
		wanting := 0
		for f, gs := range members {
			if len(gs)*each[f] > series[f] {
				wanting += f.share.series
			}
		}
		if wanting == 0 || left <= 0 {
			break
		}
		given := 0
		for f, gs := range members {
			if more := len(gs)*each[f] - series[f]; more > 0 {
				more = min(more, left*f.share.series/wanting)
				series[f] += more
				given += more
			}
		}
		if left -= given; given == 0 {
			break
		}
	}
	for f, n := range series {
		f.room = max(1, n/each[f])
	}
}

// measure returns how many series a label set of each family has, on average: what
// is expected at the least, as slow metrics have no value yet of a new group.
func (l *Ledger) measure() map[*family]int {
	rows := make(map[*family]int)
	count := func(g *group, series int) {
		if g.shown {
			rows[g.family] += series
		}
	}
	for m, b := range l.books {
		for g := range b.totals.numbers {
			count(g, 1)
		}
		for g := range b.totals.hists {
			count(g, classicSeries)
		}
		for g := range l.fold(m, b, (*group).target) {
			count(g, 1)
		}
	}
	each := make(map[*family]int)
	for _, f := range l.groups.family {
		each[f] = f.share.each
		if f.shown > 0 {
			each[f] = max(each[f], (rows[f]+f.shown-1)/f.shown)
		}
	}
	return each
}
