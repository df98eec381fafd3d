// SPDX-License-Identifier: Apache-2.0

package history

import (
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/headroom-project/headroom/agent/observe"
)

const (
	// perChunk is the number of readings in a chunk, as in Prometheus: small enough to
	// drop old readings by the chunk.
	perChunk = 120
	// Heap memory in addition to the readings, measured by BenchmarkAppend: of a
	// series with its keys, of an open chunk, of a closed one.
	seriesCost, openCost, chunkCost = 400, 240, 56
)

// A series is one metric of one entity.
type series struct {
	subject string
	peak    float64
	rings   [len(Tiers)]ring
}

// A ring is a series in one resolution, the oldest chunk first. The last one is
// open while writer is set.
type ring struct {
	chunks []chunk
	open   *chunkenc.XORChunk
	writer chunkenc.Appender
}

// A chunk is a sequence of readings; from and to are the times of the first and the
// last one.
type chunk struct {
	from, to int64
	data     []byte // empty for an open chunk
}

// add adds a reading to each tier in which one is due, and returns by how many
// bytes the series grew.
func (s *series) add(now int64, v float64) (grown int) {
	s.peak = max(s.peak, v)
	for i := range s.rings {
		step := int64(Tiers[i].Step / time.Second)
		at := now - now%step
		if last, ok := s.rings[i].last(); !ok || at > last {
			grown += s.rings[i].add(at, v)
		}
	}
	return grown
}

func (r *ring) last() (int64, bool) {
	if len(r.chunks) == 0 {
		return 0, false
	}
	return r.chunks[len(r.chunks)-1].to, true
}

func (r *ring) add(at int64, v float64) (grown int) {
	if r.writer == nil {
		r.open = chunkenc.NewXORChunk()
		r.writer, _ = r.open.Appender() // of an empty chunk: cannot fail
		r.chunks = append(r.chunks, chunk{from: at})
		grown += openCost
	}
	before := cap(r.open.Bytes())
	r.writer.Append(0, at, v)
	grown += cap(r.open.Bytes()) - before
	r.chunks[len(r.chunks)-1].to = at
	if r.open.NumSamples() >= perChunk {
		grown += r.close()
	}
	return grown
}

// close packs the open chunk without spare capacity.
func (r *ring) close() (grown int) {
	last := &r.chunks[len(r.chunks)-1]
	last.data = append([]byte(nil), r.open.Bytes()...)
	grown = chunkCost + len(last.data) - openCost - (cap(r.open.Bytes()) - chunkRoom)
	r.open, r.writer = nil, nil
	return grown
}

// chunkRoom is the initial capacity of a chunk, which is part of openCost.
var chunkRoom = cap(chunkenc.NewXORChunk().Bytes())

// cost returns the memory of a series.
func (s *series) cost() int {
	sum := seriesCost
	for i := range s.rings {
		sum += s.rings[i].cost()
	}
	return sum
}

func (r *ring) cost() (sum int) {
	for _, c := range r.chunks {
		if c.data != nil {
			sum += chunkCost + len(c.data)
		}
	}
	if r.writer != nil {
		sum += openCost + cap(r.open.Bytes()) - chunkRoom
	}
	return sum
}

// trim drops chunks whose last reading is too old, and returns the memory that they
// took.
func (s *series) trim(now int64, reach float64) (shrunk int) {
	for i := range s.rings {
		r := &s.rings[i]
		oldest := now - int64(reach*Tiers[i].Span.Seconds())
		for len(r.chunks) > 0 && r.chunks[0].to < oldest {
			shrunk += r.dropFirst()
		}
	}
	return shrunk
}

func (r *ring) dropFirst() int {
	before := r.cost()
	if len(r.chunks) == 1 {
		r.open, r.writer = nil, nil
	}
	r.chunks = append([]chunk(nil), r.chunks[1:]...)
	return before - r.cost()
}

func (s *series) empty() bool {
	for i := range s.rings {
		if len(s.rings[i].chunks) > 0 {
			return false
		}
	}
	return true
}

// heard returns the time of the last reading.
func (s *series) heard() (at int64) {
	for i := range s.rings {
		if last, ok := s.rings[i].last(); ok {
			at = max(at, last)
		}
	}
	return at
}

// began returns the time of the first reading that is left.
func (s *series) began() int64 {
	at := s.heard()
	for i := range s.rings {
		if chunks := s.rings[i].chunks; len(chunks) > 0 {
			at = min(at, chunks[0].from)
		}
	}
	return at
}

// points returns the readings of the finest tier that covers from, or of the one
// that reaches back furthest.
func (s *series) points(now, from, to int64) []observe.Point {
	var best *ring
	for i := range s.rings {
		r, step := &s.rings[i], int64(Tiers[i].Step/time.Second)
		if len(r.chunks) == 0 {
			continue
		}
		// The first reading of a tier is at a multiple of its step.
		if best == nil || r.chunks[0].from+step <= best.chunks[0].from {
			best = r
		}
		if best.chunks[0].from <= from {
			break
		}
	}
	if best == nil {
		return nil
	}
	return best.points(now, from, to)
}

func (r *ring) points(now, from, to int64) []observe.Point {
	var points []observe.Point
	var it chunkenc.Iterator
	for i, c := range r.chunks {
		if c.to < from || c.from > to {
			continue
		}
		it = r.chunk(i).Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			if at, v := it.At(); at >= from && at <= to {
				points = append(points, observe.Point{At: float64(at - now), Value: v})
			}
		}
	}
	return points
}

// chunk returns the i-th chunk for reading.
func (r *ring) chunk(i int) *chunkenc.XORChunk {
	if r.chunks[i].data == nil {
		return r.open
	}
	c := &chunkenc.XORChunk{}
	c.Reset(r.chunks[i].data)
	return c
}
