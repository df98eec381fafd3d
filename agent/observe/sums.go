// SPDX-License-Identifier: Apache-2.0

package observe

// sums is one metric of all entities over a window: a row for each entity that has a
// value. There are more metrics than kinds of entity, so that rows are found through
// slots instead of a column.
//
// Most entities do not change most of the time: a process that sleeps has forty
// metrics, none of which changes. A value that does not change has a row of a third of
// the size.
type sums struct {
	ids    []ID
	slots  slots
	moving []sum
	still  []still
	series series
}

// sum is the row of one entity. For counters, total is the increase and seconds the
// time over which it was observed; for gauges, total adds up the levels, one per step.
type sum struct {
	total, seconds float64
	// rated counts the levels or rates that last, low and high cover.
	rated           int
	last, low, high float64
}

// still is the row of a gauge that had one level all the time, or of a counter that did
// not increase, which has level 0.
type still struct {
	level   float64
	seconds float32 // of counters; for gauges the number of steps
	rated   int32
}

func (s still) sum() sum {
	return sum{
		total: s.level * float64(s.seconds), seconds: float64(s.seconds),
		rated: int(s.rated), last: s.level, low: s.level, high: s.level,
	}
}

// slots locate the row of an entity: n > 0 is moving[n-1], n < 0 is still[-n-1], 0
// means none. They are allocated in pages: the IDs of entities of one kind are close to
// one another, and a metric is of one kind.
type slots []*[slotsInPage]int32

const slotsInPage = 64

func (s slots) at(id ID) int32 {
	if id < 0 || int(id)/slotsInPage >= len(s) || s[id/slotsInPage] == nil {
		return 0
	}
	return s[id/slotsInPage][id%slotsInPage]
}

// of returns a pointer to the slot of id, for the caller to set.
func (s *slots) of(id ID) *int32 {
	page := int(id) / slotsInPage
	if more := page + 1 - len(*s); more > 0 {
		*s = append(*s, make([]*[slotsInPage]int32, more)...)
	}
	if (*s)[page] == nil {
		(*s)[page] = new([slotsInPage]int32)
	}
	return &(*s)[page][id%slotsInPage]
}

// reset drops the sums, and keeps the series and the memory.
func (c *sums) reset() {
	for _, id := range c.ids {
		*c.slots.of(id) = 0
	}
	c.ids, c.moving, c.still = c.ids[:0], c.moving[:0], c.still[:0]
}

func (c *sums) at(id ID) (sum, bool) {
	switch n := c.slots.at(id); {
	case n > 0:
		return c.moving[n-1], true
	case n < 0:
		return c.still[-n-1].sum(), true
	}
	return sum{}, false
}

// stays returns the row of id if its level has not changed so far, a new row if it has
// none, and nil if its level has changed.
func (c *sums) stays(id ID, level float64) *still {
	slot := c.slots.of(id)
	switch n := *slot; {
	case n > 0:
		return nil
	case n < 0:
		if s := &c.still[-n-1]; s.level == level {
			return s
		}
		return nil
	}
	if level != level { // NaN: it does not equal itself
		return nil
	}
	c.ids = append(c.ids, id)
	c.still = append(c.still, still{level: level})
	*slot = -int32(len(c.still))
	return &c.still[len(c.still)-1]
}

// moves returns the row of id, which may change from now on. A row that was in still
// leaves a hole until the window ends.
func (c *sums) moves(id ID) *sum {
	slot := c.slots.of(id)
	switch n := *slot; {
	case n > 0:
		return &c.moving[n-1]
	case n < 0:
		c.moving = append(c.moving, c.still[-n-1].sum())
	default:
		c.ids = append(c.ids, id)
		c.moving = append(c.moving, sum{})
	}
	*slot = int32(len(c.moving))
	return &c.moving[len(c.moving)-1]
}

// rate records a level or a rate.
func (s *sum) rate(v float64) { s.extend(sum{rated: 1, last: v, low: v, high: v}) }

// extend adds the values of later steps.
func (s *sum) extend(next sum) {
	s.total += next.total
	s.seconds += next.seconds
	if next.rated == 0 {
		return
	}
	if s.rated == 0 {
		s.low, s.high = next.low, next.high
	}
	s.rated += next.rated
	s.last = next.last
	s.low, s.high = min(s.low, next.low), max(s.high, next.high)
}

// shortestRate is the shortest time, in seconds, over which a rate is meaningful: the
// samplers of one snapshot are read some milliseconds apart.
const shortestRate = 0.25

// add records an increase over some seconds. If the time is too short, as in a window
// that was interrupted just after a step, the increase counts but has no rate.
func (c *sums) add(id ID, increase, seconds float64) {
	if increase == 0 {
		if s := c.stays(id, 0); s != nil {
			s.seconds += float32(seconds)
			if seconds >= shortestRate {
				s.rated++
			}
			return
		}
	}
	s := c.moves(id)
	s.total += increase
	s.seconds += seconds
	if seconds >= shortestRate {
		s.rate(increase / seconds)
	}
}

// level records a gauge.
func (c *sums) level(id ID, v float64) {
	if s := c.stays(id, v); s != nil {
		s.seconds++
		s.rated++
		return
	}
	s := c.moves(id)
	s.total += v
	s.seconds++
	s.rate(v)
}

// merge adds the sums of the next window.
func (c *sums) merge(next *sums) {
	for _, id := range next.ids {
		if n := next.slots.at(id); n < 0 {
			from := next.still[-n-1]
			if s := c.stays(id, from.level); s != nil {
				s.seconds += from.seconds
				s.rated += from.rated
				continue
			}
		}
		from, _ := next.at(id)
		c.moves(id).extend(from)
	}
}
