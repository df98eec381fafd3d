// SPDX-License-Identifier: Apache-2.0

package queuebacklog

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// finding is about requests that wait for a worker of the pool.
func (w *pool) finding(p *facts.Pass) analysis.Finding {
	var f analysis.Finding
	if w.blind > 0 {
		f = w.unmeasured(p)
	} else {
		f = w.measured(p)
	}
	why := w.upstream.saturated(p, w.consumers)
	switch {
	case w.outOfCPU():
		f.Cause, f.Confidence = outOfCPU, counted
		f.Summary += fmt.Sprintf("; the workers use %s, and no CPU is left for more", analysis.Cores(w.use))
		f.Recommendations = []analysis.Recommendation{w.moreCPU(p)}
		w.explain(p, &f)
	case why != "":
		f.Cause, f.Confidence = downstreamSaturated, counted
		f.Summary += "; " + why
		f.Recommendations = []analysis.Recommendation{w.scaleUpstream(p)}
		w.explain(p, &f)
		f.Filled = true // the limit is that of another process
	}
	return f
}

func (w *pool) measured(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause: tooFewWorkers, Severity: analysis.Warning, Confidence: likely, Subject: w.Listener,
		Impact:  min(1, w.wait()/(w.wait()+w.service())),
		Summary: w.summary(p),
		Evidence: []analysis.Evidence{
			{Metric: catalog.ListenerQueue, Label: "connections waiting", Value: w.ready, Unit: observe.Connections},
			{Metric: catalog.ListenerQueue, Label: "wait for a worker", Value: w.wait(), Unit: observe.Seconds, Bound: analysis.Bound(p.Param(requestWait))},
			{Metric: catalog.RequestArrivals, Label: "arrivals per second", Value: w.arrivals.mean, Unit: observe.Count},
			{Metric: catalog.RequestArrivals, Label: "answered per second", Value: w.done.mean, Unit: observe.Count},
			{Metric: catalog.ProcessAccepted, Label: w.slots(), Value: w.consumers, Unit: observe.Count},
			{Metric: catalog.ProcessCPU, Label: "all workers", Value: w.use, Unit: observe.Cores},
		},
	}
	if w.wait() >= p.Param(criticalRequestWait) {
		f.Severity = analysis.Critical
	}
	if w.use >= ownWork*float64(len(w.Workers)) {
		f.Confidence = counted
	}
	if !w.outOfCPU() {
		f.Recommendations = []analysis.Recommendation{w.addWorkers(p)}
	}
	return f
}

// uncounted is the confidence if no answer was seen: the workers may hang.
const uncounted = 0.4

// unmeasured is the finding about a queue in which each connection waits for longer than
// the window: neither arrivals nor the time of a request are known.
func (w *pool) unmeasured(p *facts.Pass) analysis.Finding {
	f := analysis.Finding{
		Cause: tooFewWorkers, Severity: analysis.Warning, Confidence: uncounted, Impact: 1, Subject: w.Listener,
		Summary: fmt.Sprintf("Requests to %s (%s) wait %s or longer for a worker: all %.0f %s are busy, %.0f connections wait",
			w.program(p), w.name, analysis.Seconds(w.blind), w.consumers, w.slots(), w.ready),
		Evidence: []analysis.Evidence{
			{Metric: catalog.ListenerQueue, Label: "connections waiting", Value: w.ready, Unit: observe.Connections},
			{Metric: catalog.ProcessAccepted, Label: w.slots(), Value: w.consumers, Unit: observe.Count},
		},
		Recommendations: []analysis.Recommendation{{
			Verb:   analysis.AddWorkers,
			Action: fmt.Sprintf("Observe %s for longer than a connection waits, so that the number of workers that it needs is known, and see what its workers wait for", w.program(p)),
			Verify: fmt.Sprintf("headroom.listener.queue of %s is 0 at most readings", w.name),
			Risk:   "what the workers use, such as a database, gets as many more requests at a time",
			NotIf:  "the workers hang: then new ones hang, too",
		}},
	}
	if w.blind >= p.Param(criticalRequestWait) {
		f.Severity = analysis.Critical
	}
	return f
}

// program is the name of the server. Some write a title over the command of a worker.
func (w *pool) program(p *facts.Pass) string {
	if w.Server == facts.Puma || w.Server == facts.PHPFPM {
		return w.Server
	}
	return p.Command(w.Workers[0])
}

// slots is what serves one connection at a time.
func (w *pool) slots() string {
	if w.Each > 1 {
		return "threads"
	}
	return "workers"
}

func (w *pool) summary(p *facts.Pass) string {
	change := ""
	if w.grows() {
		change = fmt.Sprintf(" and the queue grows by %s per second", number(w.growth.mean))
	}
	text := fmt.Sprintf("Requests to %s (%s) wait %s for a worker%s: %s arrive per second, %.0f %s answer %s (%s each), %.0f connections wait",
		w.program(p), w.name, long(w.wait()), change, number(w.arrivals.mean), w.consumers, w.slots(), number(w.done.mean),
		analysis.Seconds(w.service()), math.Max(1, w.ready))
	if w.dropped > 0 {
		text += fmt.Sprintf(", and %s per second found the queue full", number(w.dropped))
	}
	return text
}

// addWorkers recommends a number of workers, limited to those that find CPU time.
func (w *pool) addWorkers(p *facts.Pass) analysis.Recommendation {
	e := w.estimate(p)
	e.Unit = w.slots()
	risk := w.memory(p)
	if most := w.possible(); most < e.Value {
		e.Value = max(w.consumers+1, most)
		e.Low, e.High = analysis.Bound(min(*e.Low, e.Value)), analysis.Bound(e.Value)
		risk = fmt.Sprintf("with more than %.0f, the CPU becomes the limit: %s", e.Value, risk)
	}
	action := w.setting(p, e.Value)
	if w.dropped > 0 {
		action += ", at least: connections that found the queue full are not counted"
	}
	return analysis.Recommendation{
		Verb: analysis.AddWorkers, Quantity: e, Action: action,
		Verify: fmt.Sprintf("headroom.listener.queue of %s is 0 at most readings", w.name),
		Risk:   risk,
		NotIf:  w.notIf(),
		Expect: []analysis.Expectation{{Metric: catalog.ListenerQueue, Label: "wait for a worker", From: w.wait(), To: min(w.wait(), p.Param(requestWait)), Unit: observe.Seconds}},
	}
}

// notIf says what more workers could meet.
func (w *pool) notIf() string {
	if w.upstream.waiting >= leastWaiting*w.consumers {
		return fmt.Sprintf("%s is full itself, for which %s of %.0f %s wait, as for a lock in it: then as many requests wait with more workers", w.upstream.name, number(w.upstream.waiting), w.consumers, w.slots())
	}
	return "the workers wait for something that is full itself, such as a database or a lock: then each request takes longer with more workers, and as many wait"
}

// scaleUpstream recommends no workers: what they wait for is full.
func (w *pool) scaleUpstream(p *facts.Pass) analysis.Recommendation {
	return analysis.Recommendation{
		Verb:   analysis.ScaleDownstream,
		Action: fmt.Sprintf("Give %s more CPU, or its queries less work: more workers of %s do not raise the rate", w.upstream.name, w.program(p)),
		Verify: fmt.Sprintf("headroom.request.arrivals of %s grows without more workers", w.program(p)),
		Risk:   fmt.Sprintf("more workers make %s slower for its other clients", w.upstream.name),
		NotIf:  fmt.Sprintf("other clients of %s use its CPU, and can be limited", w.upstream.name),
	}
}

// settings are the settings of the number of workers; %[1]s is the program, %.0[2]f the
// number, and %.0[3]f the current one.
var settings = map[string]string{
	facts.Gunicorn: "Set --workers of %[1]s from %.0[3]f to %.0[2]f",
	facts.PHPFPM:   "Set pm.max_children of %[1]s from %.0[3]f to %.0[2]f",
	facts.UWSGI:    "Set processes of %[1]s from %.0[3]f to %.0[2]f",
	facts.Apache:   "Set MaxRequestWorkers of %[1]s from %.0[3]f to %.0[2]f, and ServerLimit if it is lower",
	facts.Puma:     "Set the workers (-w) of %[1]s from %.0[3]f to %.0[2]f",
	"":             "Run more worker processes of %[1]s: from %.0[3]f to %.0[2]f",
}

// setting says how to serve n connections at a time.
func (w *pool) setting(p *facts.Pass, n float64) string {
	workers := float64(len(w.Workers))
	processes := math.Ceil(n / w.Each)
	if w.Server == facts.Apache {
		processes, workers = n, w.consumers // of which Apache makes processes
	}
	text := fmt.Sprintf(settings[w.Server], w.program(p), processes, workers)
	if w.Server == facts.Puma {
		threads := math.Ceil(n / workers)
		if processes == workers || w.use < ownWork*workers {
			text = fmt.Sprintf("Set the threads (-t) of %s from %.0f to %.0f", w.program(p), w.Each, threads)
			text += fmt.Sprintf(", or its workers (-w) from %.0f to %.0f", workers, processes)
		}
	}
	return text
}

// memory says what more workers cost.
func (w *pool) memory(p *facts.Pass) string {
	text := "what the workers use, such as a database, gets as many more requests at a time"
	if used, ok := p.Last(catalog.ProcessMemory, w.Workers[0]); ok && w.Each == 1 {
		return fmt.Sprintf("each worker takes up to %s of memory, and %s", analysis.Bytes(used), text)
	}
	return text
}

// moreCPU recommends no workers: they would wait for a CPU.
func (w *pool) moreCPU(p *facts.Pass) analysis.Recommendation {
	r := analysis.Recommendation{
		Verb:   analysis.AddNodes,
		Action: fmt.Sprintf("Add a node that runs %s, or make its requests cheaper: more workers would wait for a CPU", w.program(p)),
		Verify: fmt.Sprintf("headroom.listener.queue of %s is 0 at most readings", w.name),
		Risk:   "more workers on this host make each request slower",
		NotIf:  "other programs use the CPUs of this host and can be limited",
	}
	host, _ := p.IdleCores()
	if limit, whose, ok := p.CPULimit(w.Workers[0]); ok && host > w.idle {
		r.Verb = analysis.RaiseCPULimit
		r.Action = fmt.Sprintf("Raise the CPU limit of %s from %s before you add workers: more would wait for the same CPU time", p.Name(whose), analysis.Cores(limit))
		r.NotIf = "the limit is there to protect others on this host"
	}
	return r
}

// Analyzers whose findings explain that workers have no CPU.
const (
	throttled = "cpu-throttled"
	hostFull  = "host-saturated"
)

// explain makes the finding a symptom of what takes the CPU time, of the workers or of what
// they wait for.
func (w *pool) explain(p *facts.Pass, f *analysis.Finding) {
	f.LostTotal = p.Seconds
	f.Lost = map[string]float64{throttled: p.Seconds, hostFull: p.Seconds}
	f.Without = func([]string) bool { return false }
}
