// SPDX-License-Identifier: Apache-2.0

package kernellimitexhaustion

import (
	"fmt"
	"math"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// words are the texts about a limit.
type words struct {
	who     string // container api
	fails   string // create processes or threads
	one     string // process or thread
	many    string // processes and threads
	setting string // pids.max
	raise   string // the limit to raise
	place   string // and where it is set
	cost    string // the risk of raising it
	notIf   string
}

const (
	refusedLabel = "refused"
	// most is the share from which a program describes what uses a limit.
	most = 0.5
)

func (t *table) summary(hs []holder) string {
	if t.bug {
		return t.unreapedText()
	}
	exist := fmt.Sprintf("%.0f of the %.0f %s that %s allows are in use%s", math.Round(t.used), t.limit, t.many, t.setting, t.what(hs))
	switch end := t.end(); {
	case t.exhausted():
		return fmt.Sprintf("%s cannot %s%s: %s", t.who, t.fails, t.refusedText(), exist)
	case end != nil:
		return fmt.Sprintf("%s will be unable to %s in %s: %s, and %s are added", t.who, t.fails, analysis.Ahead(end.At), exist, analysis.PerTime(t.growth.Slope))
	}
	return fmt.Sprintf("%s has %s left: %s", t.who, analysis.Number(max(0, t.limit-t.peak), t.one, t.many), exist)
}

// unreapedText is the summary about zombies of one parent below the limit that they use up.
func (t *table) unreapedText() string {
	text := fmt.Sprintf("%s does not wait for its children: %s exist, and %.0f more use up %s, so that no process can be created",
		t.who, analysis.Number(t.used, "zombie", "zombies"), t.left(), t.setting)
	if end := t.end(); end != nil {
		text += fmt.Sprintf("; that is in %s, as %s are added", analysis.Ahead(end.At), analysis.PerTime(t.growth.Slope))
	}
	return text
}

func (t *table) refusedText() string {
	if t.refused == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s refused)", analysis.Number(t.refused, "attempt was", "attempts were"))
}

// what names the program that uses most.
func (t *table) what(hs []holder) string {
	if len(hs) == 0 || hs[0].n < most*t.used {
		return ""
	}
	return fmt.Sprintf(", %.0f of them %s", min(hs[0].n, t.used), hs[0].text)
}

func (t *table) evidence(p *analysis.Pass, hs []holder) []analysis.Evidence {
	limit := t.setting
	if t.bug {
		limit = "zombies that use up " + t.setting
	}
	e := []analysis.Evidence{
		{Metric: t.metric, Label: "share of " + t.setting, Value: t.share(), Unit: observe.Ratio, Bound: analysis.Bound(p.Param(warnShare))},
		{Metric: t.metric, Label: "in use", Value: t.used, Unit: observe.Count},
		{Metric: t.limits, Label: limit, Value: t.limit, Unit: observe.Count},
	}
	if t.counted {
		e = append(e, analysis.Evidence{Metric: t.refusals, Label: refusedLabel, Value: t.refused, Unit: observe.Count, Bound: analysis.Bound(0)})
	}
	if t.growing {
		e = append(e, analysis.Evidence{Metric: t.metric, Label: "gained", Value: t.growth.Gain, Unit: observe.Count, Bound: analysis.Bound(p.Param(leastGain))})
	}
	if len(hs) > 0 && hs[0].zombies {
		e = append(e, analysis.Evidence{Metric: catalog.ProcessZombies, Label: "zombies", Value: hs[0].n, Unit: observe.Count})
	}
	return e
}

func (t *table) advice(p *analysis.Pass, hs []holder) []analysis.Recommendation {
	raise := t.raiseLimit(p)
	switch {
	case t.cause == zombies && len(hs) > 0:
		return []analysis.Recommendation{t.reap(p, hs[0])}
	case t.growing && !t.exhausted(), len(hs) > 0 && hs[0].leaks && hs[0].n >= most*t.used:
		if t.growing {
			raise.NotIf = "the number keeps growing: a higher limit only delays the failure"
		}
		return []analysis.Recommendation{t.fixLeak(p, hs), raise}
	}
	return []analysis.Recommendation{raise}
}

// room is the factor of a limit above the highest number seen: half as much again, rounded
// up to a power of two, as limits usually are (docs/science.md, Descriptors).
const room = 1.5

func (t *table) raiseLimit(p *analysis.Pass) analysis.Recommendation {
	peak := max(p.WeeksPeak(t.metric, t.about, t.peak+t.exempt)-t.exempt, t.limit*p.Param(warnShare))
	n := math.Exp2(math.Ceil(math.Log2(room * peak)))
	q := &analysis.Estimate{Value: n, Low: analysis.Bound(math.Ceil(peak / p.Param(warnShare))), Unit: t.many}
	if !t.exhausted() {
		// A reached limit hides how many more were needed.
		q.High = analysis.Bound(n)
	}
	return analysis.Recommendation{
		Verb: analysis.RaiseLimit, Quantity: q,
		Action: fmt.Sprintf("Raise %s from %.0f to %.0f (%s)", t.raise, t.limit, n, t.place),
		Verify: fmt.Sprintf("%s stays below %s of %s at the next peak", t.metric.Name, analysis.Percent(p.Param(warnShare)), t.setting),
		Risk:   t.cost, NotIf: t.notIf,
		Expect: []analysis.Expectation{{Metric: t.metric, Label: "share of " + t.setting, From: t.share(), To: t.peak / n, Unit: observe.Ratio}},
	}
}

func (t *table) reap(p *analysis.Pass, h holder) analysis.Recommendation {
	return analysis.Recommendation{
		Verb: analysis.ReapChildren, Quantity: &analysis.Estimate{Value: h.n, Low: analysis.Bound(h.n), High: analysis.Bound(h.n), Unit: "zombies"},
		Action: fmt.Sprintf("Make %s wait for its children: call waitpid for each, or ignore SIGCHLD; in a container run it under an init that does (tini, docker run --init). To free them now, restart it", p.Name(h.id)),
		Verify: fmt.Sprintf("headroom.process.zombies of %s stays near 0 (ps -o pid,stat,comm --ppid %s)", p.Command(h.id), p.Attr(h.id, catalog.AttrPID)),
		Risk:   "a program that waits for its children elsewhere must not ignore SIGCHLD: its own wait would fail",
		NotIf:  "the zombies are in a debugger or a supervisor that reads their exit status later: then they end with it",
		Expect: []analysis.Expectation{{Metric: catalog.ProcessZombies, Label: "zombies", From: h.n, To: 0, Unit: observe.Count}},
	}
}

func (t *table) fixLeak(p *analysis.Pass, hs []holder) analysis.Recommendation {
	what := t.who
	if len(hs) > 0 && hs[0].n >= most*t.used {
		what = p.Name(hs[0].id)
	}
	r := analysis.Recommendation{
		Verb:   analysis.FixLeak,
		Action: fmt.Sprintf("End or close the %s that %s no longer needs, on every code path, and bound how many it has at a time", t.many, what),
		Verify: fmt.Sprintf("%s stays level while the load does", t.metric.Name),
		Risk:   "what another part of the program still uses must stay",
		NotIf:  "the program needs that many: then raise the limit",
	}
	if !t.growing {
		return r
	}
	const hour = 3600
	perHour := func(slope float64) *float64 { return analysis.Bound(math.Round(slope * hour)) }
	r.Quantity = &analysis.Estimate{Value: *perHour(t.growth.Slope), High: perHour(t.growth.High), Unit: t.many + " an hour"}
	if t.growth.Low > 0 {
		r.Quantity.Low = perHour(t.growth.Low)
	}
	r.Action += fmt.Sprintf(": %s are added", analysis.PerTime(t.growth.Slope))
	r.Expect = []analysis.Expectation{{Metric: t.metric, Label: "gained", From: t.growth.Gain, To: 0, Unit: observe.Count}}
	return r
}
