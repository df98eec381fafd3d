// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// restart goes on with what was saved, through JSON as the agent's file has it.
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

// TestRestartAnnouncesNothing: what fires goes on firing since when it did, and
// is over when it would have been.
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

// TestRestartKeepsFlaps: raises of before the restart count.
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

// TestRestartForgetsPending: it fired no alert. One that had come back does so again.
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

// TestRestoreRefusesNonsense: a file says what it likes.
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
