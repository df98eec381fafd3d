// SPDX-License-Identifier: Apache-2.0

package budget

import "testing"

// An agent is a model of an agent: its memory is proportional to the processes that it
// follows, and the cost of collecting depends on the memory that the limit leaves.
type agent struct {
	b                   *Budget
	at, live, collected float64
	processes           int
	perProcess          float64
	longest             float64 // longest time in a row with too much collecting
	since               float64
}

func newAgent(most int64, processes int, perProcess float64) *agent {
	return &agent{b: New(Bounds{Most: most, Growth: 0.4}), processes: processes, perProcess: perProcess, live: 16 * mib}
}

func (a *agent) followed() int {
	if room := a.b.Detail().Processes; room > 0 {
		return min(room, a.processes)
	}
	return a.processes
}

// seconds runs the model for n seconds, with 12 MB of garbage per second.
func (a *agent) seconds(n int) {
	const garbage, markPerByte, other = 12e6, 1.0 / 2e9, 6 * mib
	for range n {
		a.at++
		want := 16*mib + float64(a.followed())*a.perProcess
		a.live += (want - a.live) / 60 // memory of ended processes is freed slowly
		room := min(0.4*a.live, float64(a.b.Limit())-a.live-other)
		share := 0.5
		if room > 0 {
			share = min(share, garbage/room*a.live*markPerByte)
		}
		a.collected += share
		if share <= 0.1 {
			a.since = a.at
		}
		a.longest = max(a.longest, a.at-a.since)
		a.b.Step(Reading{At: a.at, Live: int64(a.live), Other: other, Collecting: a.collected,
			Processes: a.followed(), LeftOut: a.processes - a.followed()})
	}
}

func TestLimitFollowsWhatIsLive(t *testing.T) {
	a := newAgent(256*mib, 300, 10<<10)
	a.seconds(300)
	if a.b.Limit() != least {
		t.Errorf("limit on a small host = %d MiB, want %d", a.b.Limit()/mib, least/mib)
	}
	a.processes = 5000
	a.seconds(300)
	if limit := a.b.Limit(); float64(limit) < 1.4*a.live || limit > 2*int64(a.live)+16*mib {
		t.Errorf("limit = %d MiB with %.0f MiB live, want half as much again", limit/mib, a.live/mib)
	}
	if d := a.b.Detail(); !d.Threads || a.followed() < 5000 {
		t.Errorf("detail = %+v, want all of it", d)
	}
	if a.longest > 2 {
		t.Errorf("the collector took more than a tenth of a core for %v s", a.longest)
	}
	a.processes = 300
	a.seconds(1300)
	if a.b.Limit() != least {
		t.Errorf("limit when they are gone = %d MiB, want %d", a.b.Limit()/mib, least/mib)
	}
}

// TestLimitStaysBelowTheBound checks that the limit is never above the bound, and that
// the collector has enough memory within two minutes even if the memory per process was
// underestimated by half.
func TestLimitStaysBelowTheBound(t *testing.T) {
	for _, most := range []int64{32 * mib, 48 * mib, 64 * mib, 128 * mib} {
		for _, each := range []float64{5 << 10, 10 << 10, 20 << 10} {
			a := newAgent(most, 15_000, each)
			a.seconds(900)
			if a.b.Limit() > most {
				t.Errorf("%d MiB: the limit is %d MiB", most/mib, a.b.Limit()/mib)
			}
			if a.b.Share() > 0.1 || a.longest > 120 {
				t.Errorf("%d MiB, %v bytes each: collecting takes %.2f of a core, and more than 0.1 for %v s; %+v",
					most/mib, each, a.b.Share(), a.longest, a.b.Detail())
			}
			if n := a.followed(); n < fewest {
				t.Errorf("%d MiB: %d processes are followed", most/mib, n)
			}
		}
	}
}

// TestDetailComesBack checks that detail is collected again when there is enough
// memory, and that it does not oscillate.
func TestDetailComesBack(t *testing.T) {
	a := newAgent(64*mib, 15_000, 10<<10)
	a.seconds(900)
	few := a.followed()
	a.processes = few / 2
	a.seconds(900)
	a.processes = 15_000
	changes, before := 0, a.b.Detail()
	for range 60 {
		a.seconds(60)
		if d := a.b.Detail(); d != before {
			changes, before = changes+1, d
		}
	}
	if changes > 6 {
		t.Errorf("detail changed %d times in an hour in which nothing did", changes)
	}
	a.b.SetBounds(Bounds{Most: 512 * mib, Growth: 0.4})
	a.seconds(1300)
	if d := a.b.Detail(); d.Processes != 0 || !d.Threads {
		t.Errorf("detail = %+v with a larger bound, want all", d)
	}
}

func TestWanted(t *testing.T) {
	b := New(Bounds{Most: 64 * mib, Growth: 0.4})
	for _, processes := range []int{1000, 5000, 15_000} {
		wanted := b.Wanted(processes)
		if room := roomFor(Bounds{Most: wanted, Growth: 0.4}); room < processes {
			t.Errorf("%d MiB are wanted for %d processes, and have room for %d", wanted/mib, processes, room)
		}
	}
}

// TestMeter reads the metrics of the runtime that runs this test.
func TestMeter(t *testing.T) {
	m := NewMeter()
	r := m.Read()
	if r.Live < 0 || r.Other <= 0 || r.Other > 1<<30 || m.Growth() <= 0 {
		t.Errorf("reading = %+v, growth %v", r, m.Growth())
	}
}
