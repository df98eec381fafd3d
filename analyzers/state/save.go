// SPDX-License-Identifier: Apache-2.0

package state

import (
	"slices"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Saved is the state that is kept across restarts of the agent: findings that fire, and
// those that did. Pending findings have not alerted, and start again.
type Saved[T any] struct {
	Now     float64         `json:"now"`
	Entries []SavedEntry[T] `json:"entries"`
}

// A SavedEntry is one saved finding. Times are in seconds of observation.
type SavedEntry[T any] struct {
	Status  Status[T] `json:"status"`
	Slow    bool      `json:"slow,omitempty"`
	Began   float64   `json:"began"`
	Last    float64   `json:"last"`
	Entered float64   `json:"entered"`
	Cleared float64   `json:"cleared,omitempty"`
	Raises  []float64 `json:"raises"`
	Less    float64   `json:"less,omitempty"`
}

// Save returns the state for Restore.
func (t *Tracker[T]) Save() Saved[T] {
	s := Saved[T]{Now: t.now, Entries: []SavedEntry[T]{}}
	for _, status := range t.All() {
		e := t.entries[status.Key]
		if len(e.raises) == 0 && e.status.State != Firing {
			continue
		}
		s.Entries = append(s.Entries, SavedEntry[T]{
			Status: status, Slow: e.slow, Began: e.began, Last: e.last, Entered: e.entered, Cleared: e.cleared,
			Raises: slices.Clone(e.raises), Less: e.less,
		})
	}
	return s
}

// Restore continues from a saved state, if the Tracker is still empty. Time in which the
// agent did not run was not observed, and does not count. Restore ignores invalid entries.
func (t *Tracker[T]) Restore(s Saved[T]) {
	if t.now > 0 || len(t.entries) > 0 || !(s.Now > 0) {
		return
	}
	t.now = s.Now
	for _, saved := range s.Entries {
		if len(t.entries) >= maxEntries {
			t.refused++
			continue
		}
		if e, ok := saved.entry(s.Now); ok {
			t.entries[saved.Status.Key] = e
		}
	}
}

// entry converts a saved finding; ok is false if it is invalid.
func (s SavedEntry[T]) entry(now float64) (*entry[T], bool) {
	known := s.Status.State == Firing || s.Status.State == Cleared || s.Status.State == Pending
	if !known || s.Status.Key == "" || s.Status.Severity > analysis.Critical || s.Began > now || s.Last > now || s.Cleared > now {
		return nil, false
	}
	e := &entry[T]{
		status: s.Status, slow: s.Slow, began: s.Began, last: s.Last, entered: s.Entered, cleared: s.Cleared,
		raises: s.Raises, less: s.Less,
	}
	if e.status.State == Pending { // it had fired before, and had come back
		e.status.State, e.cleared = Cleared, now
	}
	return e, true
}
