// SPDX-License-Identifier: Apache-2.0

package live

import (
	"sync"
	"testing"
)

// A meeting is a group of scenarios that share one window, which saves most of their
// time. They must use little CPU, and expect findings about their own processes
// only: any other finding fails all of them.
type meeting struct {
	name    string
	coming  sync.WaitGroup
	observe sync.Once

	mu       sync.Mutex
	report   *report // nil if the observation failed
	expected []func(*finding) bool
}

// A seat is one scenario's place in a meeting.
type seat struct {
	*meeting
	taken sync.Once
}

// together runs all members at the same time. It does not wait for members that -run
// leaves out, or that fail before they reach the meeting.
func (l *lab) together(t *testing.T, name string, members []scenario, run func(scenario, *lab)) {
	m := &meeting{name: name}
	m.coming.Add(len(members))
	var all sync.WaitGroup
	for _, s := range members {
		all.Go(func() {
			own := l.forScenario(s.name)
			own.seat = &seat{meeting: m}
			defer own.seat.come()
			run(s, own)
		})
	}
	all.Wait()
	if m.report != nil {
		m.report.seat = nil
		m.report.nothingElse(t, m.expected...)
	}
}

func (s *seat) come() { s.taken.Do(s.coming.Done) }

// meet waits for the other members of a meeting. Actions after it, such as counting,
// happen at the start of the window.
func (l *lab) meet() {
	if l.seat != nil {
		l.seat.come()
		l.seat.coming.Wait()
	}
}

// observeTogether returns the one report of a meeting.
func (l *lab) observeTogether(t *testing.T) *report {
	t.Helper()
	l.meet()
	m := l.seat.meeting
	m.observe.Do(func() {
		alone := l.forScenario(m.name)
		alone.seat = nil
		m.report = alone.observe(t)
		m.report.seat = l.seat
	})
	if m.report == nil {
		t.Fatalf("the observation of %s failed in another scenario", m.name)
	}
	return m.report
}

// expect records expected findings; all others are checked at the end of the meeting.
func (m *meeting) expect(findings []func(*finding) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected = append(m.expected, findings...)
}
