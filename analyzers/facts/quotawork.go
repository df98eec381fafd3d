// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

// A work is the CPU time that the requests to a group need.
type work struct {
	rate  float64 // arrivals per second
	each  float64 // CPU time of one request, in seconds
	cores float64 // rate · each
	// late is set if fewer requests were answered than arrived: clients do not wait for
	// an answer before they send the next request, so the arrivals are the demand.
	late bool
}

const (
	// enoughAnswers is the number of answers from which their mean CPU time is known.
	enoughAnswers = 30
	// overdue is the number of arrivals per answer from which a queue grows.
	overdue = 1.1
)

// workOf returns the work of the requests to cgroup; ok is false if too few were
// answered, or if processes without requests do much of the work. Requests that are
// answered show what one costs, and those that arrive how many there are.
func (p *Pass) workOf(cgroup observe.ID, q Quota) (w work, ok bool) {
	arrivals, answers, use := 0.0, 0.0, 0.0
	for process := range p.Entities(catalog.RequestArrivals) {
		came := p.IncreaseOr0(catalog.RequestArrivals, process)
		if came <= 0 || !p.Index.Within(process, cgroup) {
			continue
		}
		arrivals += came
		use += p.IncreaseOr0(catalog.ProcessCPU, process) / p.Seconds
		if h, known := p.Hist(catalog.RequestDuration, process); known {
			n, _ := h.Total()
			answers += n
		}
	}
	if answers < enoughAnswers || use < mostWork*q.Use {
		return work{}, false
	}
	w = work{rate: max(arrivals, answers) / p.Seconds, each: q.Use * p.Seconds / answers, late: arrivals >= overdue*answers}
	w.cores = w.rate * w.each
	return w, true
}

// oneByOne returns the limit for requests that wait for each other in an event loop: it
// holds their work at plannedLimit, and one of them within a period.
func (w work) oneByOne(q Quota) float64 {
	return capacity.RoundCores(max(w.cores/plannedLimit, capacity.LimitMargin*w.each/q.Period))
}

// RequestCost returns the CPU time of one request to a cgroup, in seconds; ok is false if
// too few were answered, or if processes without requests do much of the work.
func (p *Pass) RequestCost(cgroup observe.ID) (seconds float64, ok bool) {
	use, known := p.Rate(catalog.CgroupCPUTime, cgroup)
	if !known || use <= 0 {
		return 0, false
	}
	w, ok := p.workOf(cgroup, Quota{Use: use})
	return w.each, ok
}

// often is the share of periods in which the quota ran out from which that does not show
// how much the work varies: the rest of one period delays the next.
const often = 0.5

// together returns the limit for requests that several threads serve: it holds the work
// that arrives in a period in 95 of 100 periods. A quota that runs out more often shows
// that the work varies more than that of random arrivals.
func (w work) together(q Quota) float64 {
	deviation := capacity.PeriodDeviation(w.cores, w.each, q.Period)
	if q.Periods < often && q.Limit > w.cores {
		deviation = max(deviation, (q.Limit-w.cores)/distuv.UnitNormal.Quantile(1-q.Periods))
	}
	return capacity.RoundCores(max(w.cores/plannedLimit, capacity.PeriodCores(w.cores, deviation)))
}
