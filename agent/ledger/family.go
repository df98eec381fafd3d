// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"math"
	"slices"

	"github.com/headroom-project/headroom/agent/observe"
)

// A family is the set of groups that share a limit: those of one kind of entity, or
// of one metric about pairs. If there are more groups than the limit allows, the
// most active ones have series of their own and the rest is added to Other.
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

// ranks reports whether m decides the ranking of a family: groups are ranked by
// recent activity. Kinds without such a metric, such as listeners, are ranked by
// age.
func ranks(m *observe.Metric) bool { return m.Activity || m.Kind == observe.PairCounter }

const (
	// rankEvery is the time, in seconds, between two rankings.
	rankEvery = 10
	// halfLife is the time, in seconds, after which an activity counts half.
	halfLife = 600
	// loyalty is the factor by which a group must be more active than the one it
	// replaces: each change ends one series and starts another.
	loyalty = 2
	// forgetHidden is the time, in seconds, for which the totals of a group that moved
	// to Other are kept, so that they continue when the group has series again.
	forgetHidden = 3600
)

// admit gives a new group series if its family is below its limit.
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

// rank decides which groups have series until the next ranking.
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

// share divides MaxSeries: each family gets what it needs up to its share, then
// families that need more divide the remainder, in proportion to their shares.
func (l *Ledger) share(members map[*family][]*group) {
	each := l.measure()
	series := make(map[*family]int)
	left := MaxSeries
	for f, gs := range members {
		series[f] = min(len(gs)*each[f], f.share.series)
		left -= series[f]
	}
	for range members { // one family fewer needs more at each turn
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

// measure returns the average number of series per label set of each family, but at
// least the expected number: slow metrics have no value yet for a new group.
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
			count(g, classicSeries(m))
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
