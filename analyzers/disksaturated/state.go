// SPDX-License-Identifier: Apache-2.0

package disksaturated

import (
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A state holds the activity of one disk in the window.
type state struct {
	id observe.ID
	// busy is the share of the window with a request in flight, queue the average
	// number in flight, latency the mean time of a request.
	busy, queue, latency float64
	// best is the latency of its best second; 0 if there was none with enough
	// requests.
	best float64
	// operations and bytes are per second, size is that of a request.
	operations, bytes, size float64
	written                 float64 // bytes per second
	// reading is the share of the requests' time spent on reads.
	reading float64
	spins   bool
	// some and full are the host's PSI; pressed is set if they are known, watched if
	// waiting programs are known.
	some, full       float64
	pressed, watched bool
	parties          []party
}

func look(p *facts.Pass, id observe.ID) state {
	rate := func(m *observe.Metric) float64 { v, _ := p.Rate(m, id); return v }
	s := state{id: id, busy: rate(catalog.DiskBusy), queue: rate(catalog.DiskQueueTime)}
	s.operations = rate(catalog.DiskReads) + rate(catalog.DiskWrites)
	s.written = rate(catalog.DiskWritten)
	s.bytes = rate(catalog.DiskRead) + s.written
	if s.operations > 0 {
		took := rate(catalog.DiskReadTime) + rate(catalog.DiskWriteTime)
		s.latency, s.size = took/s.operations, s.bytes/s.operations
		if took > 0 {
			s.reading = rate(catalog.DiskReadTime) / took
		}
	}
	s.best = bestSecond(p, id)
	spins, _ := p.Last(catalog.DiskRotational, id)
	s.spins = spins > 0
	if node, ok := p.Node(); ok {
		s.some, s.pressed = p.Rate(catalog.HostIOSome, node)
		s.full, _ = p.Rate(catalog.HostIOFull, node)
	}
	s.watched = p.Has(catalog.ProcessDiskWaiting)
	return s
}

// enoughOperations is the number of requests from which a second's mean latency
// does not depend on a single request.
const enoughOperations = 20

// bestSecond returns the mean latency of the step with the lowest one.
func bestSecond(p *facts.Pass, id observe.ID) float64 {
	reads, writes := p.Points(catalog.DiskReads, id), p.Points(catalog.DiskWrites, id)
	readTime, writeTime := p.Points(catalog.DiskReadTime, id), p.Points(catalog.DiskWriteTime, id)
	best := 0.0
	for i := range min(len(reads), len(writes), len(readTime), len(writeTime)) {
		n := reads[i].Value + writes[i].Value
		if n < enoughOperations {
			continue
		}
		if took := (readTime[i].Value + writeTime[i].Value) / n; best == 0 || took < best {
			best = took
		}
	}
	return best
}

// slow returns the mean time above which requests are slow on this disk.
func (s *state) slow(p *facts.Pass) float64 {
	if s.spins {
		const track = 2 // time for a spinning disk to find the track
		return track * p.Param(slowRequest)
	}
	return p.Param(slowRequest)
}

// noticed is the time of a request below which it has no effect.
const noticed = 0.001

func (s *state) saturated(p *facts.Pass) bool {
	if s.busy < p.Param(busyDisk) || s.queue < p.Param(crowdedDisk) {
		return false
	}
	slower := s.best > 0 && s.latency >= noticed && s.latency >= p.Param(slowerThanBest)*s.best
	return s.latency >= s.slow(p) || slower
}

// largeRequest is the size from which transfer dominates the time of a request, and
// not seeking: 128 KiB take a millisecond on a spinning disk.
const largeRequest = 128 << 10

// cause returns throughput for large requests: the disk transfers as many bytes as
// it can. With small ones the number of requests is the limit.
func (s *state) cause() string {
	if s.size >= largeRequest {
		return throughput
	}
	return latency
}

// standsOnFull reports whether a disk below this device is saturated: the same
// requests wait there.
func (s *state) standsOnFull(p *facts.Pass, full []state) bool {
	below := strings.Split(p.Attr(s.id, catalog.AttrOn), ",")
	return slices.ContainsFunc(full, func(o state) bool { return slices.Contains(below, p.Index.Entity(o.id).ID) })
}

// pageBytes is the smallest page size of any machine, so a lower bound for pages
// that were read again.
const pageBytes = 4096

// thrash is the share of the requests' time spent on reading pages that had been in
// memory and in use.
func (s *state) thrash(p *facts.Pass) float64 {
	node, ok := p.Node()
	read, _ := p.Rate(catalog.DiskRead, s.id)
	if !ok || read <= 0 {
		return 0
	}
	again, _ := p.Rate(catalog.HostThrash, node)
	return s.reading * min(1, again*pageBytes/read)
}
