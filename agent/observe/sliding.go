// SPDX-License-Identifier: Apache-2.0

package observe

// A Sliding keeps windows that overlap, for somebody who judges again and
// again: each of them covers the same length and the next begins a while
// later. Every step is added to each, so that a judgement has every second of
// its window and not a sum of sums.
type Sliding struct {
	index         *Index
	length, every float64 // seconds
	open          []*Window
	spare         *Window
	judged        bool // open[0] was handed out, complete
}

// NewSliding returns windows of a length in seconds, one due every so often.
func NewSliding(x *Index, length, every float64) *Sliding {
	return &Sliding{index: x, length: length, every: every}
}

// almost forgives steps that are a little shorter than a second.
const almost = 0.5

// Add extends all windows by a step. It returns the oldest one when it is time
// to judge it, which is sooner than it is complete in the beginning, and nil
// else. The window is valid until the next call.
func (s *Sliding) Add(step *Window) *Window {
	s.retire()
	if len(s.open) == 0 {
		s.begin()
	}
	for _, w := range s.open {
		w.Add(step)
	}
	if s.open[len(s.open)-1].Seconds < s.every-almost {
		return nil
	}
	oldest := s.open[0]
	s.judged = oldest.Seconds >= s.length-almost
	s.begin()
	return oldest
}

// Restart forgets what was seen so far: after a pause that nobody watched, a
// window across it would be of two times. why is the first thing that the next
// windows know.
func (s *Sliding) Restart(why Gap) {
	s.open, s.judged = nil, false
	s.begin()
	s.open[0].addGaps([]Gap{why})
}

func (s *Sliding) begin() {
	w := s.spare
	s.spare = nil
	if w == nil {
		w = NewWindow(s.index)
	}
	s.open = append(s.open, w)
}

// retire makes room of a window that was complete when it was judged.
func (s *Sliding) retire() {
	if !s.judged {
		return
	}
	s.judged = false
	s.spare = s.open[0]
	s.spare.empty()
	s.open = append(s.open[:0], s.open[1:]...)
}

// empty makes w as NewWindow did, and keeps its memory.
func (w *Window) empty() {
	w.reset()
	w.Steps = 0
	for _, c := range w.columns {
		c.series = series{}
	}
}
