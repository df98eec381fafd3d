// SPDX-License-Identifier: Apache-2.0

package observe

// A Point is one reading of a series.
type Point struct {
	// At is the end of its step, in seconds since the window began.
	At float64
	// Value is the level of a gauge, or the rate of a counter in that step.
	Value float64
}

// maxSeries limits the steps kept of one series: ten minutes at one step a second.
const maxSeries = 600

// series keeps the last steps of one metric. Most entities do not change most of the
// time: repeated values take no memory.
type series struct {
	times []float64 // of the steps that are kept, in seconds since the window began
	first int       // the step number of times[0]
	runs  map[ID][]run
}

// A run is one value in consecutive steps.
type run struct {
	from, steps int32 // number of the first step, and how many
	value       float64
}

// step records the values of a step that ended at the given second.
func (s *series) step(at float64, c *sums) {
	if len(c.ids) == 0 {
		return
	}
	s.begin(at)
	now := int32(s.first + len(s.times) - 1)
	for _, id := range c.ids {
		if v, _ := c.at(id); v.rated > 0 {
			s.keep(id, run{now, 1, v.last})
		}
	}
}

// join adds the series of the next window, which began at the given second.
func (s *series) join(at float64, next *series) {
	after := int32(s.first+len(s.times)) - int32(next.first)
	for _, t := range next.times {
		s.begin(at + t)
	}
	for id, runs := range next.runs {
		for _, r := range runs {
			r.from += after
			s.keep(id, r)
		}
	}
}

// reset drops all steps. It reuses the memory of the series of the previous window, and
// frees series that had no value in it.
func (s *series) reset() {
	s.times, s.first = s.times[:0], 0
	for id, runs := range s.runs {
		if len(runs) == 0 {
			delete(s.runs, id)
			continue
		}
		s.runs[id] = runs[:0]
	}
}

// begin makes room for a step.
func (s *series) begin(at float64) {
	if len(s.times) == maxSeries {
		copy(s.times, s.times[1:])
		s.times = s.times[:maxSeries-1]
		s.first++
	}
	s.times = append(s.times, at)
}

// keep records a value in steps that follow the known ones, and drops steps that are
// too old.
func (s *series) keep(id ID, r run) {
	if s.runs == nil {
		s.runs = make(map[ID][]run)
	}
	runs := s.runs[id]
	if n := len(runs); n > 0 {
		last := &runs[n-1]
		if last.value == r.value && last.from+last.steps == r.from {
			last.steps += r.steps
			return
		}
	}
	if len(runs) > 0 && int(runs[0].from+runs[0].steps) <= s.first {
		copy(runs, runs[1:])
		runs = runs[:len(runs)-1]
	}
	s.runs[id] = append(runs, r)
}

// points returns one point for each step of the runs.
func (s *series) points(id ID) []Point {
	n := 0
	for _, r := range s.runs[id] {
		n += int(r.steps)
	}
	if n == 0 {
		return nil
	}
	points := make([]Point, 0, min(n, len(s.times)))
	for _, r := range s.runs[id] {
		for i := range int(r.steps) {
			if at := int(r.from) + i - s.first; at >= 0 {
				points = append(points, Point{s.times[at], r.value})
			}
		}
	}
	return points
}
