// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A group is one set of labels, shared by the entities of one series.
type group struct {
	key    string
	labels []string
	number int     // in order of appearance
	heard  float64 // when any of its entities had a value, in seconds of the ledger
	// family is nil for Other itself and the node, which are always shown.
	family   *family
	shown    bool    // has series of its own; else it is part of Other
	hidden   float64 // since when it has none
	activity float64 // what it did lately
	place    int     // among the groups of its family, when it was ranked last
}

// groups interns groups and maps entities to them.
type groups struct {
	index   *observe.Index
	renames int // of the index
	byKey   map[string]*group
	known   map[observe.ID]member
	second  map[twoGroups]*group
	family  map[string]*family
	number  int
}

type member struct {
	revision int
	group    *group
	inside   bool // of another entity that is exported itself
	// home is the cgroup whose names the entity inherits, as described at that time.
	home         observe.ID
	homeRevision int
}

type twoGroups struct {
	metric *observe.Metric
	first  *group
	second observe.ID
	// revision changes when the ID is described again or reused for another entity.
	revision int
}

func newGroups() *groups {
	return &groups{byKey: make(map[string]*group), known: make(map[observe.ID]member), second: make(map[twoGroups]*group), family: make(map[string]*family)}
}

// enter follows the index of a window. It reports whether the index is a different
// one, in which all IDs have other meanings, and which entities were renamed.
func (gs *groups) enter(x *observe.Index) (another bool, renamed map[observe.ID]move) {
	another = gs.index != x
	if another {
		clear(gs.known)
	}
	if renames := x.Renames(); another || renames != gs.renames {
		gs.index, gs.renames = x, renames
		clear(gs.second)
		renamed = gs.rename()
	}
	return another, renamed
}

// A move is a change from one group to another.
type move struct{ from, to *group }

// rename finds the entities whose cgroup was described again. An entity that is
// itself described again may be a different one by now, unless it is a cgroup:
// those are removed when they end.
func (gs *groups) rename() map[observe.ID]move {
	moves := make(map[observe.ID]move)
	for id, was := range gs.known {
		revision := gs.index.Revision(id)
		if gs.revisionOf(was.home) == was.homeRevision || was.home != id && revision != was.revision {
			continue
		}
		now := gs.member(id, revision)
		gs.known[id] = now
		moves[id] = move{was.group, now.group}
	}
	return moves
}

// of returns id's group. It is nil for a cgroup inside a container, unless inside
// is set, for numbers that the container's own do not include.
func (gs *groups) of(id observe.ID, inside bool) *group {
	revision := gs.index.Revision(id)
	m, ok := gs.known[id]
	if !ok || m.revision != revision {
		m = gs.member(id, revision)
		gs.known[id] = m
	}
	if m.inside && !inside {
		return nil
	}
	return m.group
}

func (gs *groups) member(id observe.ID, revision int) member {
	kind := gs.index.Entity(id).Kind
	values, whole := labelsOf(gs.index, id)
	home := nearest(gs.index, id)
	return member{
		revision: revision, group: gs.intern(kind.String(), shares[kind], values), inside: !whole,
		home: home, homeRevision: gs.revisionOf(home),
	}
}

func (gs *groups) revisionOf(id observe.ID) int {
	if id == observe.None {
		return 0
	}
	return gs.index.Revision(id)
}

// nearest returns the cgroup that names the place of id: its container, otherwise
// the first cgroup above it.
func nearest(x *observe.Index, id observe.ID) observe.ID {
	first := observe.None
	for up := range x.Up(id) {
		if x.Entity(up).Kind != observe.Cgroup {
			continue
		}
		if first == observe.None {
			first = up
		}
		if x.Attr(up, catalog.AttrContainerID) != "" {
			return up
		}
	}
	return first
}

// intern returns the group with these labels, of a family of a kind of entity or
// pair.
func (gs *groups) intern(name string, s share, values []string) *group {
	key := name + "\x00" + strings.Join(values, "\x00")
	if g := gs.byKey[key]; g != nil {
		return g
	}
	g := &group{key: key, labels: values}
	if len(values) > 0 {
		f := gs.familyOf(name, s, len(values))
		if f.groups >= maxGroups {
			return f.other
		}
		g.family = f
		g.place = f.groups
		f.admit(g)
	}
	return gs.add(g)
}

func (gs *groups) familyOf(name string, s share, labels int) *family {
	f := gs.family[name]
	if f == nil {
		f = newFamily(name, s)
		values := make([]string, labels)
		values[labels-1] = Other
		f.other = gs.add(&group{key: name + "\x00" + strings.Join(values, "\x00"), labels: values})
		gs.family[name] = f
	}
	return f
}

func (gs *groups) add(g *group) *group {
	gs.number++
	g.number = gs.number
	gs.byKey[g.key] = g
	return g
}

// target returns the group to whose series g is added.
func (g *group) target() *group {
	if g.family == nil || g.shown {
		return g
	}
	return g.family.other
}

// pair returns the group of a pair: the first entity's group and the second entity.
func (gs *groups) pair(m *observe.Metric, first *group, second observe.ID) *group {
	key := twoGroups{m, first, second, gs.index.Revision(second)}
	if g := gs.second[key]; g != nil {
		return g
	}
	values := append(append([]string(nil), first.labels...), nameOf(gs.index, second))
	g := gs.intern(m.Name, pairShare, values)
	if len(gs.second) >= maxGroups {
		clear(gs.second)
	}
	gs.second[key] = g
	return g
}

func (gs *groups) forget(id observe.ID) { delete(gs.known, id) }

// drop removes dead groups and the entities mapped to them.
func (gs *groups) drop(dead func(*group) bool) {
	dropped := false
	for key, g := range gs.byKey {
		if dead(g) {
			delete(gs.byKey, key)
			g.family.groups--
			g.family.show(g, false)
			dropped = true
		}
	}
	if dropped {
		clear(gs.known)
		clear(gs.second)
	}
}
