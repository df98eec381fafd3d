// SPDX-License-Identifier: Apache-2.0

// Package oomkilled reports processes that the OOM killer killed, their memory, the
// limit that was reached, and the limit to try.
package oomkilled

import (
	"cmp"
	_ "embed"
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

//go:embed doc.md
var doc string

// Analyzer is oom-killed.
var Analyzer = &analysis.Analyzer{
	Name:     "oom-killed",
	Title:    "Was a process killed for memory?",
	Doc:      doc,
	Category: analysis.CategoryContainers,
	Causes:   []string{containerLimit, host},
	Verbs:    []analysis.Verb{analysis.RaiseMemoryLimit, analysis.BoundTmpfs, analysis.FixLeak, analysis.AddMemory},
	Needs:    []*observe.Metric{catalog.ProcessOOMKills, catalog.CgroupOOMKills, catalog.HostOOMKills},
	OneOf:    true,
	Wants: []*observe.Metric{catalog.ProcessOOMMemory, catalog.OOMLimit, catalog.CgroupMemoryLimit,
		catalog.CgroupMemoryUsage, catalog.CgroupMemoryAnon, catalog.CgroupMemoryShmem, catalog.CgroupMemoryKernel, catalog.CgroupOOMEvents, catalog.CgroupMaxEvents, catalog.ProcessAnon,
		catalog.ProcessAge, catalog.ProcessHeapLimit, catalog.ProcessHeapLimitDefault},
	Params: []*analysis.Param{leakShare, fullShare},
	Fact:   always,
	Run:    facts.Run(run),
}

// Causes.
const (
	containerLimit = "container-limit"
	host           = "host"
)

var (
	leakShare = &analysis.Param{Name: "leak-share", Unit: observe.Ratio, Default: 0.2,
		Doc: "Growth of memory within the window, as a share of the limit, from which a leak is suspected: a higher limit then only buys time. Load moves a warm service by less than a fifth in half a minute."}
	fullShare = &analysis.Param{Name: "full-share", Unit: observe.Ratio, Default: 0.95,
		Doc: "Share of its limit that a group must have held to be the one whose limit caused the kill, where the kernel does not say: readings are a second apart."}
)

const (
	// seen is the confidence in the kernel's record of a kill, counted the confidence
	// in a group's counter, inferred the confidence in a limit that was found by how
	// full its group was.
	seen, counted, inferred = 0.95, 0.9, 0.8
	// unknownLimit is the confidence for a kill without a reached limit, which must
	// have been for the host's memory.
	unknownLimit = 0.6
	// unknownVictim is the confidence for a kill that only the host's counter shows.
	unknownVictim = 0.5
)

func run(p *facts.Pass) []analysis.Finding {
	var fs []analysis.Finding
	for range p.Entities(catalog.CgroupOOMKills) {
		p.Checked()
	}
	if !p.Has(catalog.CgroupOOMKills) {
		p.Checked() // the host
	}
	for _, k := range killings(p) {
		if k.limited {
			k.filled = fillingOf(p, k.limiter)
		}
		fs = append(fs, k.finding(p))
	}
	return fs
}

func (k *killing) finding(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause:           host,
		Severity:        analysis.Critical,
		Confidence:      k.confidence,
		Impact:          1, // the work of the process is lost
		Subject:         k.subject,
		Summary:         k.summary(p),
		Evidence:        k.evidence(p),
		Recommendations: k.advice(p),
	}
	if k.limited {
		f.Cause = containerLimit
	}
	if len(k.victims) == 0 {
		f.Gap = k.unseen()
	}
	return f
}

// unseen returns the blind spot for kills that only a counter shows.
func (k *killing) unseen() *observe.Gap {
	by := "a cgroup"
	if k.unknown {
		by = "the host"
	}
	return &observe.Gap{Source: "oom", Reason: by + " counted an OOM kill whose victim was not observed", Cure: "run headroom with eBPF (root, or CAP_BPF and CAP_PERFMON) while it happens"}
}

func (k *killing) summary(p *facts.Pass) string {
	if k.unknown {
		return fmt.Sprintf("%s had %.0f OOM kills: which processes, and whose limit was reached, was not observed", p.Name(k.subject), k.kills)
	}
	text := "a process of " + p.Name(k.subject)
	if len(k.victims) > 0 {
		text = p.Name(k.victims[0])
		if p.Index.Entity(k.subject).Kind == observe.Cgroup {
			text += " of " + p.Name(k.subject)
		}
	}
	text += " was OOM-killed"
	if k.held > 0 {
		text += fmt.Sprintf(" while it held %s", analysis.Bytes(k.held))
	}
	if heap, bounded := k.outsideHeap(p); bounded {
		text += fmt.Sprintf(", %s", heap)
	}
	switch {
	case k.limited:
		text += fmt.Sprintf(": the limit of %s is %s%s", k.whose(p), analysis.Bytes(k.limit), cmp.Or(k.filled.summary(k.limit), k.others(p)))
	default:
		text += fmt.Sprintf(": %s had no memory left", hostName(p))
	}
	if k.kills > 1 {
		text += fmt.Sprintf("; it was one of %.0f killed there", k.kills)
	}
	return text
}

func hostName(p *facts.Pass) string {
	node, ok := p.Node()
	if !ok {
		return "the host"
	}
	return p.Name(node)
}

// whose names the group with the limit, "its own" if that is the subject.
func (k *killing) whose(p *facts.Pass) string {
	if k.limiter == k.subject {
		return "its own cgroup"
	}
	return p.Name(k.limiter)
}

func (k *killing) evidence(p *facts.Pass) []analysis.Evidence {
	var e []analysis.Evidence
	if len(k.victims) > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessOOMKills, Value: float64(len(k.victims)), Unit: observe.Count, Bound: analysis.Bound(0)})
		e = append(e, analysis.Evidence{Metric: catalog.ProcessOOMMemory, Value: k.held, Unit: observe.Bytes})
	} else {
		counter := catalog.CgroupOOMKills
		if k.unknown {
			counter = catalog.HostOOMKills
		}
		e = append(e, analysis.Evidence{Metric: counter, Value: k.kills, Unit: observe.Count, Bound: analysis.Bound(0)})
	}
	if k.limited {
		e = append(e, analysis.Evidence{Metric: catalog.CgroupMemoryLimit, Value: k.limit, Unit: observe.Bytes})
		if _, high, ok := p.Range(catalog.CgroupMemoryUsage, k.limiter); ok {
			e = append(e, analysis.Evidence{Metric: catalog.CgroupMemoryUsage, Label: "highest", Value: high, Unit: observe.Bytes, Bound: analysis.Bound(k.limit)})
		}
		e = append(e, k.filled.evidence()...)
	}
	return e
}

func (k *killing) advice(p *facts.Pass) []analysis.Recommendation {
	if k.limited && k.filled.byFiles(k.limit) {
		return []analysis.Recommendation{k.boundFiles(p)}
	}
	more := k.addMemory(p)
	if k.limited {
		more = k.raiseLimit(p)
	}
	grown, over := k.growth(p)
	switch bound := max(k.limit, k.held); {
	case grown <= 0 || grown < p.Param(leakShare)*bound:
		return []analysis.Recommendation{more}
	case k.startedUp(p):
		return []analysis.Recommendation{more, k.fixLeak(p, grown, over)}
	}
	return []analysis.Recommendation{k.fixLeak(p, grown, over), more}
}

func (k *killing) raiseLimit(p *facts.Pass) analysis.Recommendation {
	to := facts.LimitAfterKill(k.limit, k.needed(p))
	return analysis.Recommendation{
		Verb:     analysis.RaiseMemoryLimit,
		Quantity: &analysis.Estimate{Value: to, Low: analysis.Bound(k.limit), Unit: "bytes"},
		Action:   p.RaiseMemoryLimit(k.limiter, k.limit, to),
		Verify:   fmt.Sprintf("headroom.cgroup.memory.oom_kills of %s stops growing, and headroom.cgroup.memory.usage levels off below the new limit", p.Name(k.subject)),
		Risk:     "other processes on the host get less memory",
		NotIf:    "its memory grows without bound: it then reaches a higher limit a little later",
		Expect:   []analysis.Expectation{{Metric: catalog.CgroupOOMKills, From: k.kills, To: 0, Unit: observe.Count}},
	}
}

func (k *killing) addMemory(p *facts.Pass) analysis.Recommendation {
	more := facts.RoundLimit(max(k.held, leastMemory))
	r := analysis.Recommendation{
		Verb:     analysis.AddMemory,
		Quantity: &analysis.Estimate{Value: more, Low: analysis.Bound(k.held), Unit: "bytes"},
		Action:   fmt.Sprintf("Give %s %s more memory, as much as the victim held, or move as much work to another host", hostName(p), analysis.Bytes(more)),
		Verify:   "headroom.host.oom_kills stops growing, and system.linux.memory.available stays above 0",
		Risk:     "the next OOM kill can hit another process: the kernel kills the largest, not the one that grew",
		NotIf:    "one process takes all memory: then give it a limit of its own",
	}
	if k.unknown {
		r.Action = fmt.Sprintf("Look up in the kernel log of %s (dmesg) which process was killed and for which limit; unless it was a container's, add %s of memory", hostName(p), analysis.Bytes(more))
		r.NotIf = "the log names a memory cgroup: then raise its limit"
	}
	return r
}

// leastMemory is the minimum amount to add if the victim's memory is unknown.
const leastMemory = 256 << 20

func (k *killing) fixLeak(p *facts.Pass, grown, over float64) analysis.Recommendation {
	name := p.Name(k.subject)
	if len(k.victims) > 0 {
		name = p.Command(k.victims[0])
	}
	rate := grown / max(1, over)
	where := ""
	if heap, bounded := k.outsideHeap(p); bounded {
		where = fmt.Sprintf(" outside of its heap: %s; a higher heap limit does not help", heap.Holds)
	}
	return analysis.Recommendation{
		Verb:     analysis.FixLeak,
		Quantity: &analysis.Estimate{Value: rate, Unit: "bytes/s"},
		Action:   fmt.Sprintf("Find what makes %s grow: it took %s in the %s before it was killed%s", name, analysis.Bytes(grown), analysis.Ahead(over), where),
		Verify:   "headroom.cgroup.memory.usage of the restarted process levels off under the same load",
		NotIf:    "it was starting up or loading data, and needs that much",
	}
}

// outsideHeap compares the memory of the first victim with its heap limit.
func (k *killing) outsideHeap(p *facts.Pass) (facts.BoundedHeap, bool) {
	if len(k.victims) == 0 {
		return facts.BoundedHeap{}, false
	}
	return p.OutsideHeap(k.victims[0], k.held)
}

// always returns true: every finding here is a kill that the kernel counted.
func always(*analysis.Finding) bool { return true }
