// SPDX-License-Identifier: Apache-2.0

package observe

// A Sliding keeps windows that overlap, for a caller that evaluates again and
// again: each of them covers the same length and the next begins a while
// later. They are joined from panes, which lie between two judgements: a step is
// added once, and what overlaps is kept once.
type Sliding struct {
	index         *Index
	length, every float64   // seconds
	panes         []*Window // oldest first; the last one is open
	whole         *Window   // what was judged last
}

// NewSliding returns windows of a length in seconds, one due every so often.
func NewSliding(x *Index, length, every float64) *Sliding {
	return &Sliding{index: x, length: length, every: every, whole: NewWindow(x)}
}

// almost forgives steps that are a little shorter than a second.
const almost = 0.5

// Add extends the open pane by a step. It returns the window of all panes when
// it is time to judge it, which is sooner than it is complete in the beginning,
// and nil else. The window is valid until the next call.
func (s *Sliding) Add(step *Window) *Window {
	if len(s.panes) == 0 {
		s.begin(NewWindow(s.index))
	}
	open := s.panes[len(s.panes)-1]
	open.Add(step)
	if open.Seconds < s.every-almost {
		return nil
	}
	s.whole.empty()
	for _, p := range s.panes {
		s.whole.Join(p)
	}
	s.slide()
	return s.whole
}

// slide opens the next pane; that of the oldest serves, once the window is
// complete.
func (s *Sliding) slide() {
	if s.whole.Seconds < s.length-almost {
		s.begin(NewWindow(s.index))
		return
	}
	oldest := s.panes[0]
	oldest.empty()
	s.panes = append(s.panes[:0], s.panes[1:]...)
	s.begin(oldest)
}

func (s *Sliding) begin(pane *Window) { s.panes = append(s.panes, pane) }

// Restart forgets what was seen so far: after a pause in which nothing was observed, a
// window across it would be of two times. why is the first thing that the next
// windows know.
func (s *Sliding) Restart(why Gap) {
	s.panes = nil
	s.begin(NewWindow(s.index))
	s.panes[0].addGaps([]Gap{why})
}

// empty makes w as NewWindow did, and keeps its memory.
func (w *Window) empty() {
	w.reset()
	w.Steps = 0
	for _, c := range w.columns {
		c.series.reset()
	}
}
