// SPDX-License-Identifier: Apache-2.0

// Package heaplimitmismatch finds heap limits that do not fit the memory limit of
// their container, and the heap limit that does.
package heaplimitmismatch

import (
	_ "embed"
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is heap-limit-mismatch.
var Analyzer = &analysis.Analyzer{
	Name:     "heap-limit-mismatch",
	Title:    "Does the maximum heap size fit the memory limit?",
	Doc:      doc,
	Category: analysis.CategoryContainers,
	Causes:   []string{aboveLimit, farBelow},
	Verbs:    []analysis.Verb{analysis.SetHeapLimit},
	Needs:    []*observe.Metric{catalog.CgroupMemoryLimit},
	Wants: []*observe.Metric{catalog.ProcessHeapLimit, catalog.ProcessHeapLimitDefault, catalog.ProcessAnon,
		catalog.CgroupMemoryUsage, catalog.CgroupMemoryFile, catalog.CgroupMemoryShmem, catalog.LoopTicks},
	Params: []*analysis.Param{leastOutside, shareOutside, roomOutside, near, farShare, unused},
	Run:    facts.Run(run),
}

// Causes.
const (
	aboveLimit = "ceiling-above-limit"
	farBelow   = "ceiling-far-below-limit"
)

var (
	leastOutside = &analysis.Param{Name: "least-outside", Unit: observe.Bytes, Default: 64 << 20,
		Doc: "Memory that a process certainly has outside of its heap: an idle node has 45 to 60 MB resident, most of it code, and a young generation of 3 to 48 MiB; a JVM has its metaspace and code cache."}
	shareOutside = &analysis.Param{Name: "share-outside", Unit: observe.Ratio, Default: 0.10,
		Doc: "Memory outside of a large heap, as a share of the limit. Less is too little by every guide; guides advise 20 % to 30 %."}
	roomOutside = &analysis.Param{Name: "room-outside", Unit: observe.Ratio, Default: 0.25,
		Doc: "Share of the limit that the advice leaves outside of the heap: buffers, stacks, code and the young generation. Node's own guide sets 1536 MB of 2 GB."}
	near = &analysis.Param{Name: "near-limit", Unit: observe.Ratio, Default: 0.8,
		Doc: "Share of the limit in use from which a maximum heap size above the limit is urgent: the next growth of the heap can cause a kill."}
	farShare = &analysis.Param{Name: "far-below", Unit: observe.Ratio, Default: 0.25,
		Doc: "Share of the limit up to which a maximum heap size is far below it: three quarters of the memory stay unused. It is the default of the JVM."}
	unused = &analysis.Param{Name: "unused", Unit: observe.Ratio, Default: 0.5,
		Doc: "Share of the limit that must be free before a larger heap is advised: several workers that share a container have small heaps for a reason."}
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for _, process := range limited(p) {
		h, ok := look(p, process)
		if !ok {
			continue
		}
		p.Checked()
		switch {
		case h.above(p):
			fs = append(fs, h.tooHigh(p))
		case h.below(p):
			fs = append(fs, h.tooLow(p))
		}
	}
	return fs
}

// limited returns the processes whose heap limit is known.
func limited(p *facts.Pass) []observe.ID {
	var ids []observe.ID
	seen := make(map[observe.ID]bool)
	for _, m := range []*observe.Metric{catalog.ProcessHeapLimit, catalog.ProcessHeapLimitDefault} {
		for id := range p.Entities(m) {
			if !seen[id] {
				ids = append(ids, id)
			}
			seen[id] = true
		}
	}
	return ids
}

// A heap is the heap of one process, with the memory limit around it.
type heap struct {
	process observe.ID
	runtime string
	source  *observe.Metric // of ceiling
	ceiling float64
	limit   float64
	whose   observe.ID // the cgroup with the limit
	need    float64    // of that cgroup
	needed  bool       // need is known
	anon    float64    // of the process, 0 if not known
	// several is set if worker threads have heaps of their own, each with that ceiling.
	several bool
}

// look returns ok false if the process has no memory limit: then there is nothing
// to compare with.
func look(p *facts.Pass, process observe.ID) (h heap, ok bool) {
	h = heap{process: process, runtime: p.Attr(process, catalog.AttrRuntime), source: catalog.ProcessHeapLimit}
	if h.ceiling, ok = p.Last(h.source, process); !ok {
		h.source = catalog.ProcessHeapLimitDefault
		h.ceiling, ok = p.Last(h.source, process)
	}
	found := false
	for cgroup := range p.Cgroups(process) {
		if limit, has := p.Last(catalog.CgroupMemoryLimit, cgroup); has && (!found || limit < h.limit) {
			h.limit, h.whose, found = limit, cgroup, true
		}
	}
	if !ok || !found || h.ceiling <= 0 || h.limit <= 0 {
		return heap{}, false
	}
	h.need, h.needed = p.MemoryNeed(h.whose)
	h.anon, _ = p.Last(catalog.ProcessAnon, process)
	h.several = workerLoops(p, process)
	return h, true
}

// outside is the minimum memory of the process outside its heap. Go's limit
// includes all memory of its runtime, so nothing is outside. The recommended
// reserve is always enough, also in a tiny container: following the advice must end
// the finding.
func (h heap) outside(p *facts.Pass) float64 {
	if h.runtime == "go" {
		return 0
	}
	return min(max(p.Param(leastOutside), p.Param(shareOutside)*h.limit), p.Param(roomOutside)*h.limit)
}

func (h heap) above(p *facts.Pass) bool { return h.ceiling+h.outside(p) > h.limit }

// workerLoops reports whether threads of the process besides the main one run event loops:
// the worker threads of node do, and each has a heap of its own.
func workerLoops(p *facts.Pass, process observe.ID) bool {
	for loop := range p.Entities(catalog.LoopTicks) {
		of, ok := p.Index.Ancestor(loop, observe.Process)
		if ok && of == process && p.Attr(loop, catalog.AttrTID) != p.Attr(process, catalog.AttrPID) && p.IncreaseOr0(catalog.LoopTicks, loop) > 0 {
			return true
		}
	}
	return false
}

// below reports whether the heap looks full from outside while the rest of the
// limit is free. Memory of twice the ceiling is not the heap, and that of several heaps
// does not show how full one of them is.
func (h heap) below(p *facts.Pass) bool {
	const full, buffers = 0.85, 2
	inHeap := h.anon - beside
	return !h.several && h.ceiling <= p.Param(farShare)*h.limit && h.needed && h.need <= (1-p.Param(unused))*h.limit &&
		inHeap >= full*h.ceiling && inHeap <= buffers*h.ceiling
}

// beside is anonymous memory that a process certainly has in addition to a full
// heap; its code is not anonymous. node 20 with 220 MB in use under a ceiling of 240 MiB
// has 251 MiB; an idle one has 7.
const beside = 32 << 20

// fitting returns the ceiling that fits the limit, in whole MiB.
func (h heap) fitting(p *facts.Pass) float64 {
	room := p.Param(roomOutside) * h.limit
	if h.runtime == "go" {
		room = p.Param(shareOutside) * h.limit // for cgo and the kernel
	}
	return float64(int((h.limit-room)/mib)) * mib
}

const mib = 1 << 20

const (
	// sure is the confidence for two numbers that were read and a near effect; counted
	// for the numbers only, guess for a heap that looks full from outside.
	sure, counted, guess = 0.9, 0.8, 0.5
	// nearly is the impact of a limit that is nearly reached: nothing is lost yet, but
	// everything when it is. slight is that of a distant one.
	nearly, slight = 0.25, 0.05
)

// tooHigh returns a warning only if the memory is about to be used: a ceiling that
// a small process never reaches has no effect.
func (h heap) tooHigh(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause: aboveLimit, Severity: analysis.Info, Confidence: counted, Impact: slight, Subject: h.process,
		Summary: fmt.Sprintf("%s would be killed before its heap is full: %s, and with %s outside of the heap that is more than the %s of %s",
			p.Name(h.process), h.says(), analysis.Bytes(h.outside(p)), analysis.Bytes(h.limit), p.Name(h.whose)),
		Evidence:        h.evidence(),
		Recommendations: []analysis.Recommendation{h.lower(p)},
	}
	if h.runtime == "go" {
		f.Summary = fmt.Sprintf("%s would be killed before its collector works harder: %s, more than the %s of %s",
			p.Name(h.process), h.says(), analysis.Bytes(h.limit), p.Name(h.whose))
	}
	if h.needed && h.need >= p.Param(near)*h.limit && h.anon >= h.need/2 {
		f.Severity, f.Confidence, f.Impact = analysis.Warning, sure, nearly
		f.Summary += fmt.Sprintf(", of which %s are in use", analysis.Bytes(h.need))
	}
	return f
}

// says returns the ceiling and its origin.
func (h heap) says() string {
	if h.source == catalog.ProcessHeapLimitDefault {
		return "its maximum heap size is " + analysis.Bytes(h.ceiling) + " by default"
	}
	return "its maximum heap size is set to " + analysis.Bytes(h.ceiling)
}

func (h heap) tooLow(p *facts.Pass) analysis.Finding {
	return analysis.Finding{
		Cause: farBelow, Severity: analysis.Info, Confidence: guess, Impact: max(0, 1-(h.ceiling+h.outside(p))/h.limit), Subject: h.process,
		Summary: fmt.Sprintf("%s cannot use most of its memory: %s and nearly full, and %s has %s, of which %s are needed",
			p.Name(h.process), h.says(), p.Name(h.whose), analysis.Bytes(h.limit), analysis.Bytes(h.need)),
		Evidence:        h.evidence(),
		Recommendations: []analysis.Recommendation{h.raise(p)},
	}
}

func (h heap) evidence() []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: h.source, Value: h.ceiling, Unit: observe.Bytes, Bound: analysis.Bound(h.limit)},
		{Metric: catalog.CgroupMemoryLimit, Value: h.limit, Unit: observe.Bytes},
	}
	if h.anon > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessAnon, Value: h.anon, Unit: observe.Bytes})
	}
	if h.needed {
		e = append(e, analysis.Evidence{Metric: catalog.CgroupMemoryUsage, Label: "without page cache", Value: h.need, Unit: observe.Bytes})
	}
	return e
}

func (h heap) recommend(p *facts.Pass, verb string) analysis.Recommendation {
	to := h.fitting(p)
	return analysis.Recommendation{
		Verb:     analysis.SetHeapLimit,
		Quantity: &analysis.Estimate{Value: to / mib, Unit: "MiB"},
		Action:   fmt.Sprintf("%s the maximum heap size of %s to %s: %s", verb, p.Name(h.process), analysis.Bytes(to), h.setting(to)),
		Verify:   fmt.Sprintf("headroom.process.heap.limit of %s is %s after the restart", p.Command(h.process), analysis.Bytes(to)),
		Expect:   []analysis.Expectation{{Metric: h.source, From: h.ceiling, To: to, Unit: observe.Bytes}},
	}
}

// setting returns the setting to write.
func (h heap) setting(to float64) string {
	switch h.runtime {
	case "node":
		return fmt.Sprintf("--max-old-space-size=%.0f", to/mib)
	case "jvm":
		return fmt.Sprintf("-Xmx%.0fm", to/mib)
	default:
		return fmt.Sprintf("GOMEMLIMIT=%.0fMiB", to/mib)
	}
}

func (h heap) lower(p *facts.Pass) analysis.Recommendation {
	r := h.recommend(p, "Lower")
	r.Risk = "garbage collection takes more time near the maximum; a process that needs more than that ends with its own error instead of a kill"
	r.NotIf = "it needs the memory: then raise the limit of " + p.Name(h.whose)
	return r
}

func (h heap) raise(p *facts.Pass) analysis.Recommendation {
	r := h.recommend(p, "Raise")
	r.Risk = "garbage collection is less frequent, and each collection takes longer"
	r.NotIf = "the memory is left for buffers, for the page cache, or for other processes of " + p.Name(h.whose)
	return r
}
