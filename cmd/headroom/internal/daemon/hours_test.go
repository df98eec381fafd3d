// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"testing"
	"time"

	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/state"
)

// turns counts the changes of cpu-throttled to firing and to cleared.
type turns struct{ raised, cleared int }

func (c *turns) Publish(change publish.Change) {
	switch {
	case change.Finding.ID != quota:
	case change.To == state.Firing:
		c.raised++
	case change.To == state.Cleared && change.From == state.Firing:
		c.cleared++
	}
}

// flips plays the given number of seconds, and returns how often the verdict changed.
func (p *tape) flips(seconds float64) (n int) {
	last := ""
	for end := p.clock + time.Duration(seconds*float64(time.Second)); p.clock < end; p.step() {
		if r := p.Report(); r != nil && r.Verdict != last {
			n, last = n+1, r.Verdict
		}
	}
	return n
}

// TestHoursOfComingAndGoing checks a container that is throttled for two minutes of
// each quarter of an hour, for two hours, and then no more. The finding fires four
// times instead of eight, and the saved episodes are those that were published.
func TestHoursOfComingAndGoing(t *testing.T) {
	p := newTape(t, throttled, "")
	count := &turns{}
	p.sinks = append(p.sinks, count)
	flips := 0
	for quarter := range 8 {
		if quarter > 0 {
			p.insert(throttled)
		}
		flips += p.flips(120)
		p.insert(healthy)
		flips += p.flips(780 - 2*pause.Seconds())
	}
	if f := p.finding(quota); count.raised != 4 || count.cleared != 3 || f == nil || f.State != string(state.Firing) {
		t.Errorf("in two hours %+v, then %+v: want four and three, and that it goes on", count, f)
	}
	// Each of the 16 parts begins with the previous verdict, and the first four
	// quarters of an hour end with another one.
	if flips > 16+2*4+1 {
		t.Errorf("the verdict is another one %d times", flips)
	}
	if n := len(p.tracker.All()); n > 10 {
		t.Errorf("%d findings are followed after two hours of the same two", n)
	}
	p.until(quota, state.Cleared, 3700)
	if got := p.episodes(); len(got) != count.raised || got[0].Ended == nil {
		t.Errorf("%d episodes are remembered of %d: %+v", len(got), count.raised, got)
	}
	p.play(1900)
	if n := len(p.tracker.All()); n != 0 {
		t.Errorf("%d findings are followed half an hour after the last one", n)
	}
}

// TestHoursApart checks that a finding that returns after more than half an hour is a
// new one.
func TestHoursApart(t *testing.T) {
	p := newTape(t, throttled, "")
	count := &turns{}
	p.sinks = append(p.sinks, count)
	for range 2 {
		p.play(400)
		p.insert(healthy)
		p.play(2000)
		if f := p.finding(quota); f != nil {
			t.Errorf("after half an hour it is still told, %s", f.State)
		}
		p.insert(throttled)
	}
	if got := p.episodes(); len(got) != 2 || count.raised != 2 || count.cleared != 2 {
		t.Errorf("%+v, and %d episodes are remembered, want two", count, len(got))
	}
}
