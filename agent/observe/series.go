// SPDX-License-Identifier: Apache-2.0

package observe

// A Point is one reading of a series.
type Point struct {
	// At is the end of its step, in seconds since the window began.
	At float64
	// Value is the level of a gauge, or the rate of a counter in that step.
	Value float64
}

// maxSeries bounds the steps kept of one series: ten minutes of seconds.
const maxSeries = 600

// series keeps the last steps of one metric. Most entities stand still most of
// the time: what repeats itself takes no room.
type series struct {
	times []float64 // of the steps that are kept, in seconds since the window began
	first int       // the number of times[0]
	runs  map[ID][]run
}

// A run is one value in steps that follow one another.
type run struct {
	from, steps int32 // number of the first step, and how many
	value       float64
}

// step begins a step that ended at some second.
func (s *series) step(at float64) {
	if len(s.times) == maxSeries {
		copy(s.times, s.times[1:])
		s.times = s.times[:maxSeries-1]
		s.first++
	}
	s.times = append(s.times, at)
}

// keep records a value in the step that step began.
func (s *series) keep(id ID, v float64) {
	if s.runs == nil {
		s.runs = make(map[ID][]run)
	}
	now := int32(s.first + len(s.times) - 1)
	runs := s.runs[id]
	if n := len(runs); n > 0 {
		last := &runs[n-1]
		if last.value == v && last.from+last.steps == now {
			last.steps++
			return
		}
	}
	if len(runs) > 0 && int(runs[0].from+runs[0].steps) <= s.first {
		copy(runs, runs[1:])
		runs = runs[:len(runs)-1]
	}
	s.runs[id] = append(runs, run{now, 1, v})
}

// points writes the runs out.
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
