// SPDX-License-Identifier: Apache-2.0

// Package state tracks the life cycle of findings over consecutive evaluations. pending:
// the finding was observed; firing: it was observed long enough to alert; cleared: it is
// resolved.
//
// It reads no clock: its time is the observed time of windows, so that states only change
// at evaluations.
package state

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A State is the state of a finding.
type State string

// The states. Findings of diagnose, with a single evaluation, are "observed", which is not a State.
const (
	Pending State = "pending"
	Firing  State = "firing"
	Cleared State = "cleared"
)

// Muted is the state that a series gives to a muted finding that is not cleared, so
// that a rule about firing findings does not match it. A Tracker never sets it: a
// muted finding is pending and firing like any other.
const Muted State = "muted"

// Labeled returns the state that a series has for a finding in state s.
func (s State) Labeled(muted bool) State {
	if muted && s != Cleared {
		return Muted
	}
	return s
}

// All times are in seconds of observation.
const (
	// memory is how long a cleared finding is reported and kept: if it recurs within that
	// time it is the same finding (docs/science.md, The life of a finding).
	memory = 30 * 60
	// mid is the second window of the multi-window rule: a condition that must
	// hold for long must have held for half of it.
	mid, midHeld = 300, 150
	// flapIn is the time in which more than maxRaises make a finding sticky: it is then
	// cleared only after it was absent for that long.
	flapIn, maxRaises = 3600, 3
	// fall is how long a finding must have been less severe before its severity falls.
	fall = 30 * 60
	// windowsBack is how many windows back the first of two disjoint ones may be: two of
	// three.
	windowsBack = 3
	// entryTimes is the time to clear a finding, as a multiple of the time to raise it.
	entryTimes = 2
	// maxEntries limits the number of findings: more than all findings of a full node.
	maxEntries = 2000
)

// A Sighting is one finding of an evaluation.
type Sighting struct {
	// Key is stable across restarts of the finding's subject.
	Key     string
	Finding *analysis.Finding
	// Young is set if its process has just started: findings during the warm-up are
	// reported but do not fire, unless they are counted facts.
	Young bool
}

// A Look is the result of one evaluation.
type Look struct {
	Window *observe.Window
	// New is how much of the window was not in the previous evaluation, in seconds.
	New  float64
	Seen []Sighting
	// Held are the keys of findings that are below the threshold that raised them, but not
	// yet below the threshold that resolves them.
	Held map[string]bool
}

// A Tracker tracks findings over evaluations. T is the data that the owner stores with
// each, such as its rendering.
type Tracker[T any] struct {
	now     float64 // seconds observed so far
	entries map[string]*entry[T]
	refused int
	changes []Change
}

// A Change is a finding that went from one state to another.
type Change struct {
	Key      string
	From, To State // From is "" for a new finding
	Severity analysis.Severity
}

// A Status is the tracked state of one finding.
type Status[T any] struct {
	Key      string
	ID       string
	State    State
	Severity analysis.Severity
	// Since is when this state began; Opened is when the finding was first observed,
	// before all recurrences.
	Since, Opened time.Time
	// Seen is the end of the last window that had it.
	Seen time.Time
	// Raises is how often it fired since it is tracked.
	Raises int
	// Sticky is set if it recurred too often: it is cleared after it was absent for an
	// hour.
	Sticky  bool
	Payload T
}

type entry[T any] struct {
	status  Status[T]
	slow    bool
	began   float64 // first sighting of this episode
	last    float64 // last sighting, or last held
	entered float64 // how long it took to fire
	cleared float64
	sights  []sight
	raises  []float64
	less    float64 // since when it is less severe than reported; 0 if it is not
	advice  advice
}

// A sight is the time of a sighting, how much of its window was new, and the length of the
// window.
type sight struct{ at, length, window float64 }

// New returns an empty Tracker.
func New[T any]() *Tracker[T] {
	return &Tracker[T]{entries: make(map[string]*entry[T])}
}

// Look processes one evaluation and returns what changed. It sets the severity and the
// recommendations of the findings to those that should be reported: see settle.
func (t *Tracker[T]) Look(l Look) []Change {
	t.now += l.New
	t.changes = nil
	for _, s := range l.Seen {
		if e := t.entry(s, l); e != nil {
			t.see(e, s, l)
		}
	}
	for _, e := range t.entries {
		if e.last < t.now {
			t.miss(e, l)
		}
	}
	slices.SortFunc(t.changes, func(a, b Change) int { return cmp.Compare(a.Key, b.Key) })
	return t.changes
}

// entry returns the entry of a sighting's finding; nil if the limit is reached.
func (t *Tracker[T]) entry(s Sighting, l Look) *entry[T] {
	if e := t.entries[s.Key]; e != nil {
		if e.status.State == Cleared {
			t.reopen(e, s, l)
		}
		return e
	}
	if len(t.entries) >= maxEntries {
		t.refused++
		return nil
	}
	e := &entry[T]{began: t.now}
	e.status = Status[T]{Key: s.Key, ID: s.Finding.Analyzer.Name, Opened: l.Window.End, Severity: s.Finding.Severity}
	t.entries[s.Key] = e
	t.turn(e, Pending, l)
	return e
}

// reopen starts another episode of a finding that is still tracked.
func (t *Tracker[T]) reopen(e *entry[T], s Sighting, l Look) {
	e.began, e.sights, e.less = t.now, nil, 0
	e.status.Severity = s.Finding.Severity // of this episode, not of the one before
	t.turn(e, Pending, l)
}

func (t *Tracker[T]) turn(e *entry[T], to State, l Look) {
	t.changes = append(t.changes, Change{Key: e.status.Key, From: e.status.State, To: to, Severity: e.status.Severity})
	e.status.State, e.status.Since = to, l.Window.End
}

func (t *Tracker[T]) see(e *entry[T], s Sighting, l Look) {
	e.last, e.status.Seen, e.slow = t.now, l.Window.End, s.Finding.Analyzer.Slow
	e.sights = slices.DeleteFunc(e.sights, func(o sight) bool { return o.at <= t.now-max(mid+l.Window.Seconds, windowsBack*l.Window.Seconds) })
	e.sights = append(e.sights, sight{t.now, l.New, l.Window.Seconds})
	t.settle(e, s.Finding)
	if e.status.State == Pending && t.ripe(e, s, l) {
		e.entered = t.now - e.began
		e.raises = append(e.raises, t.now)
		e.status.Raises = len(e.raises)
		t.stick(e)
		t.turn(e, Firing, l)
	}
}

// ripe reports whether a finding was observed long enough to alert. A counted fact must
// still hold at a second evaluation. Any other finding must be in two disjoint windows of
// the last three, because a single event is in several overlapping ones.
func (t *Tracker[T]) ripe(e *entry[T], s Sighting, l Look) bool {
	if fact := s.Finding.Analyzer.Fact; fact != nil && fact(s.Finding) {
		return len(e.sights) > 1
	}
	if s.Young {
		return false
	}
	apart := slices.ContainsFunc(e.sights, func(o sight) bool {
		return o.at <= t.now-l.Window.Seconds && o.at >= t.now-windowsBack*l.Window.Seconds
	})
	return apart && (!e.slow || t.heldFor(e, mid+l.Window.Seconds) >= midHeld)
}

// heldFor returns for how much of the last seconds a finding held. A short event is in
// every window that overlaps it: for consecutive sightings, the part of the first window
// that was not new does not count.
func (t *Tracker[T]) heldFor(e *entry[T], last float64) float64 {
	sum, run, end := 0.0, 0.0, math.Inf(-1)
	for _, o := range e.sights {
		if o.at <= t.now-last {
			continue
		}
		if began := o.at - o.length; began > end+slack {
			sum += max(0, run)
			run = o.length - o.window
		}
		run += o.length
		end = o.at
	}
	return sum + max(0, run)
}

// slack allows for rounding in sums of seconds.
const slack = 0.5

// miss updates a finding that this evaluation does not have.
func (t *Tracker[T]) miss(e *entry[T], l Look) {
	away := t.now - e.last
	switch e.status.State {
	case Pending:
		if away >= entryTimes*l.Window.Seconds {
			t.drop(e, l)
		}
	case Firing:
		if l.Held[e.status.Key] {
			e.last = t.now
			return
		}
		if away >= t.patience(e) {
			e.cleared, e.status.Sticky = t.now, false
			t.turn(e, Cleared, l)
		}
	case Cleared:
		if t.now-e.cleared >= memory {
			delete(t.entries, e.status.Key)
		}
	}
}

// drop ends a finding that never fired. One that fired
// before continues to be reported as cleared.
func (t *Tracker[T]) drop(e *entry[T], l Look) {
	if len(e.raises) == 0 {
		delete(t.entries, e.status.Key)
		return
	}
	t.turn(e, Cleared, l)
}

// patience returns how long a finding must be absent to be cleared: twice as long as it
// took to raise it, or an hour if it is sticky.
func (t *Tracker[T]) patience(e *entry[T]) float64 {
	if e.status.Sticky {
		return flapIn
	}
	return entryTimes * e.entered
}

// stick makes a finding sticky if it was raised too often in an hour, until it is cleared.
func (t *Tracker[T]) stick(e *entry[T]) {
	e.raises = slices.DeleteFunc(e.raises, func(at float64) bool { return at < t.now-flapIn })
	e.status.Sticky = e.status.Sticky || len(e.raises) > maxRaises
}

// Keep stores the owner's data with a finding.
func (t *Tracker[T]) Keep(key string, payload T) {
	if e := t.entries[key]; e != nil {
		e.status.Payload = payload
	}
}

// Status returns the status of one finding.
func (t *Tracker[T]) Status(key string) (Status[T], bool) {
	if e := t.entries[key]; e != nil {
		return e.status, true
	}
	return Status[T]{}, false
}

// All returns the status of all findings: live ones first, the newest first in each group.
func (t *Tracker[T]) All() []Status[T] {
	all := make([]Status[T], 0, len(t.entries))
	for _, e := range t.entries {
		all = append(all, e.status)
	}
	slices.SortFunc(all, func(a, b Status[T]) int {
		return cmp.Or(cmp.Compare(place(a.State), place(b.State)), b.Since.Compare(a.Since), cmp.Compare(a.Key, b.Key))
	})
	return all
}

func place(s State) int { return slices.Index([]State{Firing, Pending, Cleared}, s) }

// Refused returns the number of findings dropped because the limit was reached.
func (t *Tracker[T]) Refused() int { return t.refused }
