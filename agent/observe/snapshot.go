// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"iter"
	"slices"
	"time"
)

// A Snapshot has the values from the kernel at one time: cumulative, without calculated
// values. It is reused from tick to tick; Reset keeps its memory.
//
// Each sampler fills its own snapshot, and the run joins them with Include, so that a
// sampler that hangs does not write to memory that others read.
type Snapshot struct {
	// Time is the wall clock, UTC.
	Time time.Time
	// Monotonic is CLOCK_MONOTONIC, which stops during suspend; BootTime is
	// CLOCK_BOOTTIME, which does not.
	Monotonic, BootTime time.Duration
	Index               *Index
	Stalls              []Stall
	Gaps                []Gap
	Ended               []Ended

	columns map[*Metric]*column
	hists   map[*Metric]*histColumn
	pairs   map[*Metric]*pairColumn
}

// NewSnapshot returns an empty snapshot over x.
func NewSnapshot(x *Index) *Snapshot {
	return &Snapshot{
		Index:   x,
		columns: make(map[*Metric]*column),
		hists:   make(map[*Metric]*histColumn),
		pairs:   make(map[*Metric]*pairColumn),
	}
}

// A column has the values of one metric for all entities, indexed by ID.
type column struct {
	ids   []ID
	value []float64
	stamp []uint32 // value[id] is set when stamp[id] == now
	now   uint32
	// read is when its sampler began to read, on the monotonic clock; 0 is the
	// time of the snapshot.
	read time.Duration
}

type histColumn struct {
	ids  []ID
	row  map[ID]int
	rows []Hist
	used int
}

// A Pair is two entities in the order that the metric's help gives.
type Pair struct{ A, B ID }

type pairColumn struct {
	value map[Pair]float64
}

// Set records a value of m for id. Setting None does nothing.
func (s *Snapshot) Set(m *Metric, id ID, v float64) {
	if id == None {
		return
	}
	c := s.columns[m]
	if c == nil {
		c = &column{now: 1}
		s.columns[m] = c
	}
	c.set(id, v)
}

func (c *column) set(id ID, v float64) {
	if int(id) >= len(c.value) {
		c.value = append(c.value, make([]float64, int(id)+1-len(c.value))...)
		c.stamp = append(c.stamp, make([]uint32, int(id)+1-len(c.stamp))...)
	}
	if c.stamp[id] != c.now {
		c.stamp[id] = c.now
		c.ids = append(c.ids, id)
	}
	c.value[id] = v
}

func (c *column) get(id ID) (float64, bool) {
	if id < 0 || int(id) >= len(c.value) || c.stamp[id] != c.now {
		return 0, false
	}
	return c.value[id], true
}

func (c *column) reset() {
	c.ids = c.ids[:0]
	c.now++
	c.read = 0
}

// Hist returns the distribution of m for id, zeroed, for the caller to fill.
// It is valid until Reset.
func (s *Snapshot) Hist(m *Metric, id ID) Hist {
	if id == None {
		return NewHist(m)
	}
	c := s.hists[m]
	if c == nil {
		c = &histColumn{row: make(map[ID]int)}
		s.hists[m] = c
	}
	return c.at(m, id)
}

func (c *histColumn) at(m *Metric, id ID) Hist {
	if i, ok := c.row[id]; ok {
		return c.rows[i]
	}
	if c.used == len(c.rows) {
		c.rows = append(c.rows, NewHist(m))
	}
	h := c.rows[c.used]
	clear(h.Count)
	clear(h.Sum)
	c.row[id] = c.used
	c.ids = append(c.ids, id)
	c.used++
	return h
}

func (c *histColumn) reset() {
	c.ids = c.ids[:0]
	clear(c.row)
	c.used = 0
}

// SetPair records a value of a PairCounter.
func (s *Snapshot) SetPair(m *Metric, a, b ID, v float64) {
	if a == None || b == None {
		return
	}
	c := s.pairs[m]
	if c == nil {
		c = &pairColumn{value: make(map[Pair]float64)}
		s.pairs[m] = c
	}
	c.value[Pair{a, b}] = v
}

// Gap records that source could not observe something, why, and how to fix it.
func (s *Snapshot) Gap(source, reason, cure string) {
	s.Gaps = append(s.Gaps, Gap{Source: source, Reason: reason, Cure: cure})
}

// ProcessGap records that one process could not be observed by a source that works.
func (s *Snapshot) ProcessGap(process ID, source, reason, cure string) {
	s.Gaps = append(s.Gaps, Gap{Source: source, Reason: reason, Cure: cure, Process: s.Index.Entity(process).ID})
}

// End records that an entity went away.
func (s *Snapshot) End(id ID, reason string) {
	if id != None {
		s.Ended = append(s.Ended, Ended{ID: id, Reason: reason})
	}
}

// Reset empties s and keeps its memory.
func (s *Snapshot) Reset() {
	s.Stalls, s.Gaps, s.Ended = s.Stalls[:0], s.Gaps[:0], s.Ended[:0]
	for _, c := range s.columns {
		c.reset()
	}
	for _, c := range s.hists {
		c.reset()
	}
	for _, c := range s.pairs {
		clear(c.value)
	}
}

// Include adds o's columns to s without copying them: s is valid until
// o is reset. Two samplers never provide the same metric. The monotonic time of
// o is when its sampler began to read.
func (s *Snapshot) Include(o *Snapshot) {
	s.Stalls = append(s.Stalls, o.Stalls...)
	s.Gaps = append(s.Gaps, o.Gaps...)
	s.Ended = append(s.Ended, o.Ended...)
	for m, c := range o.columns {
		c.read = o.Monotonic
		s.columns[m] = c
	}
	for m, c := range o.hists {
		s.hists[m] = c
	}
	for m, c := range o.pairs {
		s.pairs[m] = c
	}
}

// Release removes the columns that Include added, before their owners reset them.
func (s *Snapshot) Release() {
	s.Stalls, s.Gaps, s.Ended = s.Stalls[:0], s.Gaps[:0], s.Ended[:0]
	clear(s.columns)
	clear(s.hists)
	clear(s.pairs)
}

// Value returns the value for id.
func (s *Snapshot) Value(m *Metric, id ID) (float64, bool) {
	c := s.columns[m]
	if c == nil {
		return 0, false
	}
	return c.get(id)
}

// readPrecision is the precision of the time of a reading: the samplers of one snapshot
// take less time, unless one of them is slow.
const readPrecision = 10 * time.Millisecond

// Before returns how long before the end of the snapshot the values of m were read:
// another sampler may have taken seconds.
func (s *Snapshot) Before(m *Metric) time.Duration {
	c := s.columns[m]
	if c == nil || c.read == 0 || c.read > s.Monotonic {
		return 0
	}
	return (s.Monotonic - c.read).Truncate(readPrecision)
}

// SetBefore sets what Before returns, for a snapshot that is read from a file.
func (s *Snapshot) SetBefore(m *Metric, d time.Duration) {
	if c := s.columns[m]; c != nil && d > 0 {
		c.read = s.Monotonic - d
	}
}

// Values yields every value of m in the order in which they were set.
func (s *Snapshot) Values(m *Metric) iter.Seq2[ID, float64] {
	return func(yield func(ID, float64) bool) {
		c := s.columns[m]
		if c == nil {
			return
		}
		for _, id := range c.ids {
			if !yield(id, c.value[id]) {
				return
			}
		}
	}
}

// Hists yields every distribution of m in the order in which they were asked for.
func (s *Snapshot) Hists(m *Metric) iter.Seq2[ID, Hist] {
	return func(yield func(ID, Hist) bool) {
		c := s.hists[m]
		if c == nil {
			return
		}
		for i, id := range c.ids {
			if !yield(id, c.rows[i]) {
				return
			}
		}
	}
}

// Pairs yields every value of a PairCounter, ordered by its two IDs.
func (s *Snapshot) Pairs(m *Metric) iter.Seq2[Pair, float64] {
	return func(yield func(Pair, float64) bool) {
		c := s.pairs[m]
		if c == nil {
			return
		}
		for _, p := range sortedPairs(c.value) {
			if !yield(p, c.value[p]) {
				return
			}
		}
	}
}

func sortedPairs(m map[Pair]float64) []Pair {
	keys := make([]Pair, 0, len(m))
	for p := range m {
		keys = append(keys, p)
	}
	slices.SortFunc(keys, func(a, b Pair) int {
		if a.A != b.A {
			return int(a.A - b.A)
		}
		return int(a.B - b.B)
	})
	return keys
}

// Metrics returns every metric that has a value in s, ordered by key.
func (s *Snapshot) Metrics() []*Metric {
	var ms []*Metric
	for m, c := range s.columns {
		if len(c.ids) > 0 {
			ms = append(ms, m)
		}
	}
	for m, c := range s.hists {
		if len(c.ids) > 0 {
			ms = append(ms, m)
		}
	}
	for m, c := range s.pairs {
		if len(c.value) > 0 {
			ms = append(ms, m)
		}
	}
	slices.SortFunc(ms, func(a, b *Metric) int {
		if a.Key() < b.Key() {
			return -1
		}
		return 1
	})
	return ms
}
