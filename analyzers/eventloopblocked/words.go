// SPDX-License-Identifier: Apache-2.0

package eventloopblocked

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// summary returns one sentence: what is delayed, by how long, and why.
func (v view) summary(p *facts.Pass, c cause) string {
	name := p.Name(v.ID)
	if v.Current >= longHang {
		return fmt.Sprintf("%s has served no request for %s: it is still in the same tick, %s", name, analysis.Seconds(v.Current), v.because(p, c)) + v.within(p)
	}
	effect := fmt.Sprintf("The event loop of %s gets to requests %s late (p99)", name, analysis.Seconds(v.p99(v.lags)))
	switch v.Audience {
	case facts.Broker:
		effect = fmt.Sprintf("The event loop of %s gets to messages %s late (p99)", name, analysis.Seconds(v.p99(v.lags)))
	case facts.UnknownAudience:
		effect = fmt.Sprintf("%s reacts %s late (p99)", name, analysis.Seconds(v.p99(v.lags)))
	}
	what := analysis.Number(v.LongTicks, "long tick", "long ticks")
	if v.LongTicks == 0 {
		what = "late wake-ups"
	}
	return fmt.Sprintf("%s: %s, the longest %s; %s", effect, what, analysis.Seconds(v.lags.Longest()), v.because(p, c)) + v.within(p)
}

// function names the function that has most of the samples; "" if none is worth it.
func (v view) function(p *facts.Pass) string {
	if c, ok := facts.Named(p.Functions(v.LoopView)); ok {
		return facts.FunctionName(c.Frames[0])
	}
	return ""
}

// within describes that function, what it called, and what called it.
func (v view) within(p *facts.Pass) string {
	if c, ok := facts.Named(p.Functions(v.LoopView)); ok {
		return "; " + facts.SamplesOf(c, "its long ticks")
	}
	return ""
}

// because returns how the time of the long ticks was spent.
func (v view) because(p *facts.Pass, c cause) string {
	if c.cause != mixed {
		return v.phrase(p, c, c.of(c.cause))
	}
	return v.phrase(p, c, c.parts[0]) + " and " + v.phrase(p, c, c.parts[1])
}

func (v view) phrase(p *facts.Pass, c cause, s share) string {
	took := analysis.Percent(s.share)
	switch s.cause {
	case cpuThrottled:
		return fmt.Sprintf("%s of that time throttled by %s", took, v.quotaName(p))
	case runQueue:
		return fmt.Sprintf("%s of that time ready to run while %s had the CPU", took, v.culpritNames(p))
	case blockingCall:
		if len(c.calls) == 0 {
			return took + " of that time blocked in a system call"
		}
		return fmt.Sprintf("%s of that time blocked in %s (%s)", took, c.calls[0].Syscall, p.Blocker(c.calls[0], v.Runtime).Means)
	case pageFault:
		if file, ok := v.slowFile(p, c); ok {
			return fmt.Sprintf("%s of that time in page faults that read %s", took, file)
		}
		return took + " of that time waiting for memory in page faults"
	}
	took += " of that time running on the CPU"
	if collected, known := p.Collected(v.LoopView); known && collected >= worthTelling {
		took += fmt.Sprintf(", %s of it in the garbage collector", analysis.Percent(collected))
	}
	if inKernel, known := p.KernelShare(v.LoopView); known && inKernel >= kernelShare {
		took += fmt.Sprintf(", %s of it in the kernel", analysis.Percent(inKernel))
	}
	return took
}

func (v view) quotaName(p *facts.Pass) string {
	limit, whose, ok := p.CPULimit(v.ID)
	if !ok {
		return "a CPU limit"
	}
	return fmt.Sprintf("the CPU limit of %s on %s", analysis.Cores(limit), p.Name(whose))
}

// maxNames is the maximum number of culprits named in a sentence.
const maxNames = 2

func (v view) culpritNames(p *facts.Pass) string {
	var names []string
	for _, c := range p.Culprits(v.Process) {
		if c.Own {
			c.Name = "its own threads"
		}
		if len(names) < maxNames && !c.Observer && c.Share >= worthTelling {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "others"
	}
	return analysis.List(names)
}

func (v view) evidence(p *facts.Pass, c cause) []analysis.Evidence {
	e := []analysis.Evidence{
		{Metric: catalog.LoopLag, Label: "p99", Value: v.p99(v.lags), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnLag))},
		{Metric: catalog.LoopLag, Label: "mean", Value: v.lags.Mean(v.Seconds), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(warnMean))},
		{Metric: catalog.LongTicks, Value: v.LongTicks, Unit: observe.Ticks},
		{Metric: catalog.LoopBusy, Label: "share of the window", Value: v.Busy, Unit: observe.Ratio},
	}
	if v.Current > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.CurrentTick, Label: "so far", Value: v.Current, Unit: observe.Seconds})
	}
	for _, s := range c.parts {
		if s.share >= worthTelling {
			e = append(e, analysis.Evidence{Metric: partMetric[s.cause], Label: "share of long ticks", Value: s.share, Unit: observe.Ratio})
		}
	}
	if inKernel, known := p.KernelShare(v.LoopView); known && c.of(onCPU).share+c.of(gc).share >= worthTelling {
		e = append(e, analysis.Evidence{Metric: catalog.ThreadSystem, Label: "share of its CPU time", Value: inKernel, Unit: observe.Ratio})
	}
	if collected, known := p.Collected(v.LoopView); known && c.parts[0].cause != blockingCall {
		e = append(e, analysis.Evidence{Metric: catalog.LongCollected, Label: "share of the CPU time of long ticks", Value: collected, Unit: observe.Ratio, Bound: analysis.Bound(p.Param(mostlyGC))})
	}
	if c.of(blockingCall).share >= worthTelling && len(c.calls) > 0 {
		e = append(e, analysis.Evidence{Metric: catalog.LongBlockedBy, Label: c.calls[0].Syscall, Value: c.calls[0].Seconds, Unit: observe.Seconds})
	}
	return e
}

// worthTelling is the share of the long ticks below which a part is not mentioned.
const worthTelling = 0.1

var partMetric = map[string]*observe.Metric{
	cpuThrottled: catalog.LongThrottled, runQueue: catalog.LongRunQueue, blockingCall: catalog.LongBlocked,
	pageFault: catalog.LongPageFault, onCPU: catalog.LongCPU, gc: catalog.LongCPU,
}

// maxExemplars is the maximum number of stalls in a finding.
const maxExemplars = 3

func (v view) exemplars(p *facts.Pass) []observe.Stall {
	stalls := p.StallsOf(v.ID)
	return stalls[:min(maxExemplars, len(stalls))]
}
