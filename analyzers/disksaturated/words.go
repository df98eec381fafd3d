// SPDX-License-Identifier: Apache-2.0

package disksaturated

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// summary is one sentence: what waits, for which disk, and what fills it.
func (s *state) summary(p *facts.Pass) string {
	disk := p.Name(s.id)
	load := fmt.Sprintf("%s takes %s per request with %.0f requests in flight", disk, analysis.Seconds(s.latency), s.queue)
	if s.cause() == throughput {
		load = fmt.Sprintf("%s is at its throughput limit of %s/s: %.0f requests of %s are in flight, %s each", disk, analysis.Bytes(s.bytes), s.queue, analysis.Bytes(s.size), analysis.Seconds(s.latency))
	}
	if served := s.served(p); len(served) > 0 {
		load = fmt.Sprintf("%s %s: %s", s.names(served), waits(served), load)
	} else {
		load += ", and no service waits for it"
	}
	if filler, ok := s.filler(); ok {
		load += fmt.Sprintf("; %s of %s by %s", analysis.Percent(filler.share), s.shareOf(), filler.name)
	}
	if back := s.writeBack(); back >= worthTelling {
		load += fmt.Sprintf("; %s of the bytes written are from the kernel (write-back of earlier writes, journals)", analysis.Percent(back))
	}
	return load
}

// maxNames is the maximum number of programs named in a sentence.
const maxNames = 2

func (s *state) names(parties []party) string {
	var names []string
	for _, q := range parties[:min(maxNames, len(parties))] {
		names = append(names, q.name)
	}
	if more := len(parties) - maxNames; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return analysis.List(names)
}

func waits(parties []party) string {
	if len(parties) == 1 {
		return "waits " + analysis.Percent(parties[0].late) + " of the time"
	}
	return "wait up to " + analysis.Percent(parties[0].late) + " of the time"
}

func (s *state) shareOf() string {
	if s.cause() == throughput {
		return "the bytes"
	}
	return "the queue"
}

// worthTelling is the share below which a part is not mentioned.
const worthTelling = 0.3

// writeBack is the share of the disk's writes that no program made in the window:
// dirty pages from before, which the kernel's flusher writes later. They are not
// direct I/O of a program.
func (s *state) writeBack() float64 {
	if !s.watched || s.written < s.bytes/2 {
		return 0
	}
	direct := 0.0
	for _, q := range s.parties {
		direct += q.written
	}
	return max(0, 1-direct/s.written)
}

func (s *state) evidence(p *facts.Pass) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.DiskQueueTime, Label: "requests in flight", Value: s.queue, Unit: observe.Count, Bound: analysis.Bound(p.Param(crowdedDisk))},
		{Metric: s.slowMetric(), Label: "mean of a request", Value: s.latency, Unit: observe.Seconds, Bound: analysis.Bound(s.bound(p))},
		{Metric: catalog.DiskBusy, Label: "share of the window", Value: s.busy, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(busyDisk))},
		{Metric: s.slowBytes(), Label: "all, per second", Value: s.bytes, Unit: observe.Bytes},
	}
	if s.pressed {
		e = append(e,
			analysis.Evidence{Metric: catalog.HostIOSome, Label: "share of the window", Value: s.some, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnPressure))},
			analysis.Evidence{Metric: catalog.HostIOFull, Label: "share of the window", Value: s.full, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(fullPressure))})
	}
	for i, v := range s.served(p) {
		if i < maxNames {
			e = append(e, analysis.Evidence{Metric: catalog.ProcessDiskWaiting, Label: v.name + ", share of the time", Value: v.late, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(waitingShare))})
		}
	}
	return e
}

// bound is the latency that this disk's latency is compared with.
func (s *state) bound(p *facts.Pass) float64 {
	if slow := s.slow(p); s.latency >= slow {
		return slow
	}
	return p.Param(slowerThanBest) * s.best
}

// slowMetric is the metric with most of the requests' time.
func (s *state) slowMetric() *observe.Metric {
	if s.reading >= 0.5 {
		return catalog.DiskReadTime
	}
	return catalog.DiskWriteTime
}

func (s *state) slowBytes() *observe.Metric {
	if s.written > s.bytes/2 {
		return catalog.DiskWritten
	}
	return catalog.DiskRead
}

// maxBlame is the maximum number of parties named by a finding.
const maxBlame = 5

// blame returns the parties that fill the disk. The remainder is the kernel's own,
// or that of programs that were not observed.
func (s *state) blame() []analysis.Blame {
	const least = 0.05
	var blame []analysis.Blame
	for _, q := range s.parties {
		if q.share >= least && len(blame) < maxBlame {
			blame = append(blame, analysis.Blame{Subject: q.subject, Share: q.share})
		}
	}
	return blame
}
