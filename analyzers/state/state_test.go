// SPDX-License-Identifier: Apache-2.0

package state

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

var (
	ordinary = &analysis.Analyzer{Name: "ordinary"}
	slow     = &analysis.Analyzer{Name: "slow", Slow: true}
	counted  = &analysis.Analyzer{Name: "counted", Fact: func(*analysis.Finding) bool { return true }}
)

// A host is evaluated at intervals of every seconds, with windows of this length, as in
// the agent.
type host struct {
	*Tracker[int]
	length, every float64
	seconds       float64
	held          map[string]bool
}

func newHost() *host { return &host{Tracker: New[int](), length: 30, every: 10} }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (h *host) look(seen ...Sighting) []Change {
	h.seconds += h.every
	w := observe.NewWindow(nil)
	w.Seconds = min(h.length, h.seconds)
	w.End = epoch.Add(time.Duration(h.seconds * float64(time.Second)))
	return h.Look(Look{Window: w, New: h.every, Seen: seen, Held: h.held})
}

func warning(a *analysis.Analyzer) Sighting {
	return Sighting{Key: a.Name, Finding: &analysis.Finding{Analyzer: a, Severity: analysis.Warning}}
}

// until evaluates until the finding is in a state, and returns the time it took.
func (h *host) until(t interface{ Fatalf(string, ...any) }, key string, want State, most float64, seen ...Sighting) float64 {
	for began := h.seconds; h.seconds-began <= most; {
		h.look(seen...)
		if s, ok := h.Status(key); ok && s.State == want || !ok && want == "" {
			return h.seconds - began
		}
	}
	s, _ := h.Status(key)
	t.Fatalf("%s is %q after %v s, want %q", key, s.State, most, want)
	return 0
}

// TestCountedFact checks that a counted fact is pending within 20 s and firing within
// 60 s (docs/science.md, The life of a finding).
func TestCountedFact(t *testing.T) {
	h := newHost()
	if took := h.until(t, "counted", Pending, 20, warning(counted)); took > 20 {
		t.Errorf("pending after %v s", took)
	}
	if took := h.until(t, "counted", Firing, 40, warning(counted)); took > 40 {
		t.Errorf("firing after %v s more", took)
	}
}

// TestOneEvent checks that a single event, which is in every window that overlaps it,
// fires only if it is a counted fact.
func TestOneEvent(t *testing.T) {
	h := newHost()
	for range 12 {
		h.look() // a full window without findings
	}
	for range int(h.length / h.every) {
		h.look(warning(ordinary), warning(counted))
	}
	if s, _ := h.Status("ordinary"); s.State != Pending {
		t.Errorf("one event is %q, want pending", s.State)
	}
	if s, _ := h.Status("counted"); s.State != Firing {
		t.Errorf("one counted fact is %q, want firing", s.State)
	}
	h.until(t, "ordinary", "", 2*h.length)
}

func TestSlowTakesMostOfFiveMinutes(t *testing.T) {
	h := newHost()
	took := h.until(t, "slow", Firing, mid, warning(slow))
	if took < midHeld || took > midHeld+h.length {
		t.Errorf("firing after %v s, want about %v", took, midHeld)
	}
}

func TestYoungProcessWakesNobody(t *testing.T) {
	h := newHost()
	young := warning(ordinary)
	young.Young = true
	for range 30 {
		h.look(young)
	}
	if s, _ := h.Status("ordinary"); s.State != Pending {
		t.Errorf("a young process is %q, want pending", s.State)
	}
	h.until(t, "ordinary", Firing, h.every, warning(ordinary))
}

// TestHeld checks that a finding between its two thresholds keeps its state.
func TestHeld(t *testing.T) {
	h := newHost()
	h.until(t, "ordinary", Firing, 60, warning(ordinary))
	h.held = map[string]bool{"ordinary": true}
	for range 100 {
		if changes := h.look(); len(changes) > 0 {
			t.Fatalf("changes = %v while it is held", changes)
		}
	}
	h.held = nil
	h.until(t, "ordinary", Cleared, 120)
}

// TestComesBack checks that a finding that returns within half an hour is the same one.
func TestComesBack(t *testing.T) {
	h := newHost()
	h.until(t, "ordinary", Firing, 60, warning(ordinary))
	first, _ := h.Status("ordinary")
	h.until(t, "ordinary", Cleared, 200)
	if c := h.look(warning(ordinary)); len(c) != 1 || c[0].From != Cleared || c[0].Severity != analysis.Warning {
		t.Errorf("it comes back as %+v, want as a warning", c)
	}
	h.until(t, "ordinary", Firing, 60, warning(ordinary))
	again, _ := h.Status("ordinary")
	if again.Opened != first.Opened || again.Raises != 2 || !again.Since.After(first.Since) {
		t.Errorf("back as %+v, first %+v: want one finding raised twice", again, first)
	}
}

// TestFlap checks that a finding that fires more than three times an hour keeps firing.
func TestFlap(t *testing.T) {
	h := newHost()
	for range 4 {
		h.until(t, "counted", Firing, 60, warning(counted))
		if s, _ := h.Status("counted"); s.Raises <= maxRaises {
			h.until(t, "counted", Cleared, 200)
		}
	}
	if away := h.until(t, "counted", Cleared, 2*flapIn); away < 3000 {
		t.Errorf("cleared after %v s, want about an hour", away)
	}
}

func TestSeverityRisesAtOnceAndFallsSlowly(t *testing.T) {
	h := newHost()
	h.look(warning(ordinary))
	worse := warning(ordinary)
	worse.Finding.Severity = analysis.Critical
	h.look(worse)
	if s, _ := h.Status("ordinary"); s.Severity != analysis.Critical {
		t.Errorf("severity = %v, want critical at once", s.Severity)
	}
	began := h.seconds
	for s := analysis.Critical; s == analysis.Critical; {
		told := warning(ordinary)
		h.look(told)
		if s = told.Finding.Severity; h.seconds-began > 2*fall {
			t.Fatal("it is critical for ever")
		}
	}
	if took := h.seconds - began; took < fall {
		t.Errorf("it fell after %v s, want %v", took, fall)
	}
}

func TestAdviceStays(t *testing.T) {
	h := newHost()
	advise := func(n float64) float64 {
		s := warning(ordinary)
		s.Finding.Recommendations = []analysis.Recommendation{{Verb: analysis.AddProcesses, Quantity: &analysis.Estimate{Value: n}}}
		h.look(s)
		return s.Finding.Recommendations[0].Quantity.Value
	}
	for _, step := range []struct{ asked, told float64 }{{20, 20}, {21, 20}, {30, 20}, {20, 20}, {30, 20}, {31, 31}, {31, 31}} {
		if got := advise(step.asked); got != step.told {
			t.Errorf("%v is told as %v, want %v", step.asked, got, step.told)
		}
	}
}

// TestLives draws random lives of a finding and checks the invariants of all of them.
func TestLives(t *testing.T) {
	next := map[State][]State{"": {Pending}, Pending: {Firing, Cleared}, Firing: {Cleared}, Cleared: {Pending}}
	rapid.Check(t, func(t *rapid.T) {
		h := newHost()
		h.length = rapid.SampledFrom([]float64{10, 30, 60}).Draw(t, "window")
		a := rapid.SampledFrom([]*analysis.Analyzer{ordinary, slow, counted}).Draw(t, "analyzer")
		was, fired := State(""), false
		for _, sees := range rapid.SliceOf(rapid.Bool()).Draw(t, "looks") {
			var seen []Sighting
			if sees {
				seen = append(seen, warning(a))
			}
			for _, c := range h.look(seen...) {
				if !contains(next[c.From], c.To) || c.From != was && !(c.From == "" && !fired) {
					t.Fatalf("from %q to %q, it was %q", c.From, c.To, was)
				}
				if c.To == Firing && !sees {
					t.Fatal("it fires in a look that does not have it")
				}
				if c.To == Cleared && !fired {
					t.Fatal("cleared, and it never fired")
				}
				was, fired = c.To, fired || c.To == Firing
			}
			if s, ok := h.Status(a.Name); !ok {
				was, fired = "", false
			} else if s.State != was {
				t.Fatalf("it is %q, the changes say %q", s.State, was)
			}
		}
		// In any case it is cleared and removed some time after the last sighting.
		h.until(t, a.Name, "", 2*flapIn+memory)
	})
}

func contains(all []State, s State) bool {
	for _, o := range all {
		if o == s {
			return true
		}
	}
	return false
}

// TestBounded checks that the number of tracked findings is limited.
func TestBounded(t *testing.T) {
	h := newHost()
	for i := range 3 * maxEntries {
		s := warning(ordinary)
		s.Key = time.Duration(i).String()
		h.Tracker.entry(s, Look{Window: observe.NewWindow(nil)})
	}
	if len(h.entries) != maxEntries || h.Refused() != 2*maxEntries {
		t.Errorf("%d followed and %d refused, want %d and %d", len(h.entries), h.Refused(), maxEntries, 2*maxEntries)
	}
}

// TestSlowCountsTimeAndNotWindows checks that a slow finding fires by the duration of an
// event, whatever the windows: an event of a minute is in windows for longer than that.
func TestSlowCountsTimeAndNotWindows(t *testing.T) {
	for _, look := range []struct{ length, every float64 }{{10, 10}, {30, 10}, {30, 2}, {60, 60}, {120, 10}, {300, 30}} {
		for _, c := range []struct {
			event float64 // seconds
			fires bool
		}{{60, false}, {100, false}, {400, true}} {
			h := newHost()
			h.length, h.every = look.length, look.every
			for h.seconds < 600 {
				h.look()
			}
			fired := false
			for began := h.seconds; h.seconds < began+c.event+2*h.length+600; {
				// Some of the event is in the window (h.seconds+every-length, h.seconds+every].
				var seen []Sighting
				if h.seconds+h.every-h.length < began+c.event {
					seen = append(seen, warning(slow))
				}
				h.look(seen...)
				s, _ := h.Status("slow")
				fired = fired || s.State == Firing
			}
			if fired != c.fires {
				t.Errorf("windows of %v s each %v s: an event of %v s fires: %v", h.length, h.every, c.event, fired)
			}
		}
	}
}

// TestStickyStays checks that a flapping finding fires once more, and then keeps firing
// until it stops flapping.
func TestStickyStays(t *testing.T) {
	h := newHost()
	raises, clears := 0, 0
	for h.seconds < 6*3600 {
		var seen []Sighting
		if int(h.seconds)%900 < 120 { // two minutes in every 15
			seen = append(seen, warning(counted))
		}
		for _, c := range h.look(seen...) {
			switch c.To {
			case Firing:
				raises++
			case Cleared:
				clears++
			}
		}
	}
	s, _ := h.Status("counted")
	if raises != maxRaises+1 || clears != maxRaises || !s.Sticky || s.State != Firing {
		t.Errorf("in six hours %d raises and %d clears, then %+v: want %d, %d, and sticky", raises, clears, s, maxRaises+1, maxRaises)
	}
	h.until(t, "counted", Cleared, flapIn+60)
	if s, _ := h.Status("counted"); s.Sticky {
		t.Error("what is over is sticky")
	}
}
