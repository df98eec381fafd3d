// SPDX-License-Identifier: Apache-2.0

package pagecachethrash

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

func (s *scene) summary(p *facts.Pass) string {
	text := fmt.Sprintf("%s waits %s of the time for pages that were evicted from memory while in use: it reads %s/s of them again", p.Name(s.id), analysis.Percent(min(1, s.cost())), analysis.Bytes(s.thrash*facts.PageBytes))
	if s.disk.Latency > 0 {
		text += fmt.Sprintf(", at %s per read", analysis.Seconds(s.disk.Latency))
		if s.disk.Mixed {
			text += " (the mean of several disks)"
		}
	}
	if !s.serves {
		text += "; no service waits for it"
	}
	return text
}

func (s *scene) group(p *facts.Pass) bool { return p.Index.Entity(s.id).Kind == observe.Cgroup }

func (s *scene) evidence(p *facts.Pass) []analysis.Evidence {
	thrash, refaults, waiting := catalog.HostThrash, catalog.HostRefaults, catalog.HostIOSome
	if s.group(p) {
		thrash, refaults, waiting = catalog.CgroupThrash, catalog.CgroupRefaults, catalog.CgroupIOSome
	}
	e := []analysis.Evidence{
		{Metric: thrash, Label: "share of the window", Value: s.cost(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnCost))},
		{Metric: thrash, Label: "per second", Value: s.thrash, Unit: "{page}"},
		{Metric: refaults, Label: "per second", Value: s.refaults, Unit: "{page}"},
		{Metric: catalog.DiskReadTime, Label: "mean of a read", Value: s.disk.Latency, Unit: observe.Seconds},
	}
	if s.pressed {
		e = append(e, analysis.Evidence{Metric: waiting, Label: "waiting for disks or memory, share of the window", Value: s.waiting, Unit: observe.Ratio})
	}
	return e
}

// missing returns how many bytes more memory would have kept, as a lower bound. A
// page that was read again stays until the whole cache was replaced, so none is
// read twice while at most the size of the cache is read: all working-set pages
// read in such a time must fit into memory together.
func (s *scene) missing(p *facts.Pass) float64 {
	seconds := p.Seconds
	if s.cache > 0 && s.disk.Bytes > 0 {
		seconds = min(seconds, s.cache/s.disk.Bytes)
	}
	return s.thrash * facts.PageBytes * seconds
}

func (s *scene) addMemory(p *facts.Pass) analysis.Recommendation {
	bytes := s.missing(p)
	r := analysis.Recommendation{
		Verb: analysis.AddMemory, Quantity: &analysis.Estimate{Value: bytes, Low: &bytes, Unit: "bytes"},
		Action: fmt.Sprintf("Add at least %s of memory to %s; how much more its working set needs is known only after that", analysis.Bytes(bytes), p.Name(s.id)),
		Verify: fmt.Sprintf("headroom.host.refaults.active times the latency of a read falls below %s of the time", analysis.Percent(p.Param(warnCost))),
		Risk:   "a working set that grows with the data fills the added memory too",
		NotIf:  "a job that reads more than fits in memory (a backup, an export) evicts the rest: then let it bypass the cache",
		Expect: []analysis.Expectation{{Metric: catalog.HostThrash, Label: "share of the window", From: s.cost(), To: min(s.cost(), p.Param(warnCost)), Unit: observe.Ratio}},
	}
	if limit, ok := p.Last(catalog.CgroupMemoryLimit, s.id); ok {
		r.Action = fmt.Sprintf("Raise the memory limit of %s from %s by at least %s; how much more its working set needs is known only after that", p.Name(s.id), analysis.Bytes(limit), analysis.Bytes(bytes))
		r.Verify = fmt.Sprintf("headroom.cgroup.memory.refaults.active times the latency of a read falls below %s of the time", analysis.Percent(p.Param(warnCost)))
	}
	return r
}
