// SPDX-License-Identifier: Apache-2.0

package disksaturated

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// advise returns the first action: memory if the reads are of pages that had been
// in memory, otherwise a separate disk for a batch job, otherwise more disks.
func (s *state) advise(p *facts.Pass, f *analysis.Finding) {
	const most = 0.5
	if s.thrash(p) >= most {
		f.Recommendations = append(f.Recommendations, s.addMemory(p))
	}
	filler, known := s.filler()
	if known && !filler.listens {
		f.Recommendations = append(f.Recommendations, s.ownDisk(p, filler))
		return
	}
	f.Recommendations = append(f.Recommendations, s.moreDisks(p))
	if known && s.reading >= most {
		f.Recommendations = append(f.Recommendations, s.addCache(p, filler))
	}
}

// ownDisk recommends a separate disk for work without clients that shares the disk
// with work that has clients.
func (s *state) ownDisk(p *facts.Pass, filler party) analysis.Recommendation {
	one := 1.0
	r := s.recommendation(p, analysis.AddNodes)
	r.Quantity = &analysis.Estimate{Value: one, Low: &one, High: &one, Unit: "disks"}
	r.Action = fmt.Sprintf("Move %s to 1 disk of its own or to another node, or cap its rate (io.max): it makes %s of %s of %s", filler.name, analysis.Percent(filler.share), s.shareOf(), p.Name(s.id))
	r.Risk = "the capped process takes longer"
	r.NotIf = "it ends within minutes, and the services that wait can tolerate that"
	r.Expect[0].To = max(s.best, s.latency*(1-filler.share))
	return r
}

// disks returns how many more disks spread the requests so that each takes less
// than a slow one, if the number in flight stays the same: a queue of n on one disk
// is n/k on each of k. Work that arrives at its own rate, independent of the disk,
// needs one more: the low bound.
func (s *state) disks(p *facts.Pass) *analysis.Estimate {
	one := 1.0
	more := max(one, math.Ceil(s.latency/s.slow(p))-1)
	return &analysis.Estimate{Value: more, Low: &one, Unit: "disks"}
}

func (s *state) moreDisks(p *facts.Pass) analysis.Recommendation {
	n := s.disks(p)
	r := s.recommendation(p, analysis.AddNodes)
	r.Quantity = n
	r.Action = fmt.Sprintf("Add %s like %s, or nodes with one, and spread its data over them", analysis.Number(n.Value, "disk", "disks"), p.Name(s.id))
	r.Risk = "the data on the disk must be divided"
	r.NotIf = "a faster class of disk is available: then the data does not have to be divided"
	r.Expect[0].To = s.latency / (1 + n.Value)
	return r
}

func (s *state) addCache(p *facts.Pass, filler party) analysis.Recommendation {
	r := s.recommendation(p, analysis.AddCache)
	r.Action = fmt.Sprintf("Put a cache in front of the reads of %s: they are %s of the load of %s", filler.name, analysis.Percent(s.reading), p.Name(s.id))
	r.Risk = "a cache can return outdated data"
	r.NotIf = "it rarely reads the same data twice: which reads repeat is not observed"
	return r
}

// addMemory counts pages that had been in use and were read again: that much more
// memory would have kept each of them once.
func (s *state) addMemory(p *facts.Pass) analysis.Recommendation {
	r := s.recommendation(p, analysis.AddMemory)
	r.Action = "Add memory"
	if node, ok := p.Node(); ok {
		bytes := p.IncreaseOr0(catalog.HostThrash, node) * pageBytes
		r.Quantity = &analysis.Estimate{Value: bytes, Low: &bytes, Unit: "bytes"}
		r.Action = fmt.Sprintf("Add at least %s of memory", analysis.Bytes(bytes))
	}
	r.Action += fmt.Sprintf(": %s of the data that %s reads was in memory and in use before", analysis.Percent(s.thrash(p)/max(s.reading, 1e-9)), p.Name(s.id))
	r.Risk = "the working set grows with the data"
	r.NotIf = "the memory limit of a container is too low, and not the memory of the host"
	return r
}

// recommendation returns the parts that all recommendations share.
func (s *state) recommendation(p *facts.Pass, verb analysis.Verb) analysis.Recommendation {
	return analysis.Recommendation{
		Verb:   verb,
		Verify: fmt.Sprintf("a request to %s takes less than %s, and headroom.host.pressure of io falls below %s", p.Name(s.id), analysis.Seconds(s.bound(p)), analysis.Percent(p.Param(warnPressure))),
		Expect: []analysis.Expectation{{Metric: s.slowMetric(), Label: "mean of a request", From: s.latency, To: s.bound(p), Unit: observe.Seconds}},
	}
}
