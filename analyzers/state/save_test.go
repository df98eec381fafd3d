// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// restart replaces the tracker with one restored from the saved state, through JSON as
// in the agent's file.
func (h *host) restart(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(h.Save())
	if err != nil {
		t.Fatal(err)
	}
	var saved Saved[int]
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	h.Tracker = New[int]()
	h.Restore(saved)
}

// TestRestartAnnouncesNothing checks that a firing finding keeps its state and times
// across a restart, and clears when it would have without one.
func TestRestartAnnouncesNothing(t *testing.T) {
	h := newHost()
	took := h.until(t, "ordinary", Firing, 60, warning(ordinary))
	h.Keep("ordinary", 7)
	before, _ := h.Status("ordinary")
	h.restart(t)
	if after, _ := h.Status("ordinary"); after != before {
		t.Errorf("after the restart %+v, want %+v", after, before)
	}
	for range 5 {
		if changes := h.look(warning(ordinary)); len(changes) > 0 {
			t.Fatalf("changes = %+v", changes)
		}
	}
	h.restart(t)
	if away := h.until(t, "ordinary", Cleared, 200); away < entryTimes*(took-h.every) {
		t.Errorf("cleared after %v s, it took %v s to fire", away, took)
	}
}

// TestRestartKeepsFlaps checks that raises from before the restart count.
func TestRestartKeepsFlaps(t *testing.T) {
	h := newHost()
	for range maxRaises {
		h.until(t, "counted", Firing, 60, warning(counted))
		h.until(t, "counted", Cleared, 200)
		h.restart(t)
	}
	h.until(t, "counted", Firing, 60, warning(counted))
	if away := h.until(t, "counted", Cleared, 2*flapIn); away < 3000 {
		t.Errorf("cleared after %v s, want about an hour", away)
	}
}

// TestRestartForgetsPending checks that a pending finding is dropped at a restart, since
// it fired no alert. One that was cleared and pending again is cleared.
func TestRestartForgetsPending(t *testing.T) {
	h := newHost()
	h.look(warning(ordinary))
	h.until(t, "counted", Firing, 60, warning(counted))
	h.until(t, "counted", Cleared, 200)
	h.look(warning(counted))
	h.restart(t)
	if s, ok := h.Status("ordinary"); ok {
		t.Errorf("pending is %+v after a restart", s)
	}
	if s, _ := h.Status("counted"); s.State != Cleared {
		t.Errorf("what had fired is %s, want cleared", s.State)
	}
	h.until(t, "counted", Firing, 60, warning(counted))
}

// TestRestoreRefusesNonsense checks that invalid entries of a state file are ignored.
func TestRestoreRefusesNonsense(t *testing.T) {
	bad := Saved[int]{Now: 100, Entries: []SavedEntry[int]{
		{Status: Status[int]{Key: "a", State: "happy"}},
		{Status: Status[int]{State: Firing}},
		{Status: Status[int]{Key: "b", State: Firing, Severity: 200}},
		{Status: Status[int]{Key: "c", State: Firing, Severity: analysis.Info}, Last: 1e9},
	}}
	h := newHost()
	h.Restore(bad)
	if n := len(h.All()); n != 0 {
		t.Errorf("%d entries are taken", n)
	}
	h = newHost()
	h.look(warning(ordinary))
	h.Restore(Saved[int]{Now: 100, Entries: []SavedEntry[int]{{Status: Status[int]{Key: "late", State: Firing}, Last: 10}}})
	if _, ok := h.Status("late"); ok {
		t.Error("a tracker that has looked takes another one's past")
	}
}
