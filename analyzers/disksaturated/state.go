// SPDX-License-Identifier: Apache-2.0

package disksaturated

import (
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A state is what one disk did over the window.
type state struct {
	id observe.ID
	// busy is the share of the window with a request in flight, queue how many
	// there were on average, latency how long one took.
	busy, queue, latency float64
	// best is the latency of its best second; 0 when there was none to judge by.
	best float64
	// operations and bytes are per second, size is of a request.
	operations, bytes, size float64
	written                 float64 // bytes per second
	// reading is the share of the requests' time that reads took.
	reading float64
	spins   bool
	// some and full are the host's PSI; pressed says that it is known, watched
	// that programs which wait are.
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

// enoughOperations is how many requests a second's mean latency takes to be
// more than one slow or lucky one.
const enoughOperations = 20

// bestSecond is the mean latency of the step in which it was least.
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

// slow is the mean time of a request that is slow on this disk.
func (s *state) slow(p *facts.Pass) float64 {
	if s.spins {
		const track = 2 // a spinning disk has to find it first
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

// largeRequest is the size from which moving the bytes, and not finding them,
// is what a request takes: 128 KiB are a millisecond of a spinning disk.
const largeRequest = 128 << 10

// cause is throughput where requests are large: the disk moves as many bytes
// as it can. With small ones it is the number of requests that it cannot take.
func (s *state) cause() string {
	if s.size >= largeRequest {
		return throughput
	}
	return latency
}

// standsOnFull reports whether one of the disks below this device is full: the
// same requests wait there.
func (s *state) standsOnFull(p *facts.Pass, full []state) bool {
	below := strings.Split(p.Attr(s.id, catalog.AttrOn), ",")
	return slices.ContainsFunc(full, func(o state) bool { return slices.Contains(below, p.Index.Entity(o.id).ID) })
}

// pageBytes is the smallest page of any machine: pages that were read again are
// at least so many bytes.
const pageBytes = 4096

// thrash is the share of the requests' time that went into reading pages which
// had been in memory and in use.
func (s *state) thrash(p *facts.Pass) float64 {
	node, ok := p.Node()
	read, _ := p.Rate(catalog.DiskRead, s.id)
	if !ok || read <= 0 {
		return 0
	}
	again, _ := p.Rate(catalog.HostThrash, node)
	return s.reading * min(1, again*pageBytes/read)
}
