// SPDX-License-Identifier: Apache-2.0

package observe

// A Sliding keeps overlapping windows, for a caller that evaluates repeatedly: all cover
// the same length, and each one begins some time after the previous one. They are joined
// from panes, the intervals between two evaluations, so that each step is added and stored
// only once.
type Sliding struct {
	index         *Index
	length, every float64   // seconds
	panes         []*Window // oldest first; the last one is open
	whole         *Window   // the last evaluated window
}

// NewSliding returns windows of a length in seconds, one every every seconds.
func NewSliding(x *Index, length, every float64) *Sliding {
	return &Sliding{index: x, length: length, every: every, whole: NewWindow(x)}
}

// almost allows for steps that are slightly shorter than a second.
const almost = 0.5

// Add extends the open pane by a step. It returns the window of all panes if an evaluation
// is due, otherwise nil. The first windows are not complete yet. The window is valid until
// the next call.
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

// slide opens the next pane. It reuses the oldest one once the window is complete.
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

// Restart drops all panes: after a pause without observation, a window across it would mix
// two periods. why is the first gap of the next windows.
func (s *Sliding) Restart(why Gap) {
	s.panes = nil
	s.begin(NewWindow(s.index))
	s.panes[0].addGaps([]Gap{why})
}

// empty resets w to the state in which NewWindow returns it, and keeps its memory.
func (w *Window) empty() {
	w.reset()
	w.Steps = 0
	for _, c := range w.columns {
		c.series.reset()
	}
}
