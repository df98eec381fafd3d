// SPDX-License-Identifier: Apache-2.0

package cacheablereads

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A view is the reads of one service from one PostgreSQL.
type view struct {
	id, process   observe.ID
	name, address string
	seconds       float64
	// calls and callTime are all of its calls, and their time in seconds.
	calls, callTime float64
	// reads are those that a cache could answer, and time their time in seconds.
	reads, time float64
	// unclear are the calls of all clients of the database that can write anything.
	unclear float64
	// followed are the reads of the curve. fresh and stale are those of them that repeat:
	// without a write in between, and with one.
	followed, fresh, stale float64
	curve                  *capacity.MissRatio
	hitTime                []float64 // of the reads of curve.Again, seconds
	size                   float64   // bytes of an answer
	// request is the mean time of the requests that make these calls, in seconds, and
	// answers their number; 0 if it is not known that they do.
	request, answers float64
}

func look(p *facts.Pass, id, process observe.ID) *view {
	v := &view{id: id, process: process, name: p.Name(process), seconds: p.Seconds,
		address: catalog.HostPort(p.Attr(id, catalog.AttrDestination), p.Attr(id, catalog.AttrDestPort), "")}
	if h, ok := p.Hist(catalog.CallDuration, id); ok {
		v.calls, v.callTime = h.Total()
	}
	v.reads, v.time, v.unclear = p.IncreaseOr0(catalog.ReadCalls, id), p.IncreaseOr0(catalog.ReadTime, id), unclear(p, id)
	v.followed, v.fresh, v.stale = p.IncreaseOr0(catalog.ReadFollowed, id), p.IncreaseOr0(catalog.ReadFresh, id), p.IncreaseOr0(catalog.ReadStale, id)
	v.size, _ = p.Last(catalog.ReadBytes, id)
	v.addCurve(p)
	v.addRequests(p)
	return v
}

// unclear returns the calls to the database of a client that can write anything.
func unclear(p *facts.Pass, id observe.ID) (n float64) {
	for other := range p.Entities(catalog.UnclearCalls) {
		if p.Attr(other, catalog.AttrDestination) == p.Attr(id, catalog.AttrDestination) && p.Attr(other, catalog.AttrDestPort) == p.Attr(id, catalog.AttrDestPort) {
			n += p.IncreaseOr0(catalog.UnclearCalls, other)
		}
	}
	return n
}

func (v *view) addCurve(p *facts.Pass) {
	again, ok := p.Hist(catalog.ReadReuse, v.id)
	hitTime, okTime := p.Hist(catalog.ReadReuseTime, v.id)
	first, okFirst := p.Hist(catalog.ReadFirst, v.id)
	seen, okSeen := p.Hist(catalog.ReadSeen, v.id)
	if ok && okTime && okFirst && okSeen {
		v.curve = &capacity.MissRatio{Bounds: catalog.RedisBounds, Again: again.Count, First: first.Count, Seen: seen.Count, Reads: v.followed}
		v.hitTime = hitTime.Count
	}
}

const (
	// fewAnswers is the number of requests below which their mean time says nothing.
	fewAnswers = 10
	// longer is by how much calls can be measured as longer than the requests that make
	// them: both are read at different moments.
	longer = 1.1
)

// addRequests adds the requests of the process. Other work of it makes the calls if these
// are in flight for longer.
func (v *view) addRequests(p *facts.Pass) {
	inFlight, answers := p.InFlight(catalog.RequestDuration, catalog.RequestActive, v.process)
	if answers < fewAnswers || v.callTime > longer*inFlight*v.seconds {
		return
	}
	v.answers, v.request = answers, inFlight*v.seconds/answers
}

// matters reports whether it is worth a cache to save a time, in seconds of the window.
func (v *view) matters(p *facts.Pass, saved float64) bool {
	if v.reads == 0 {
		return v.unclear > p.Param(mostUnclear)*v.calls && v.callTime >= p.Param(leastBusy)*v.seconds // nothing is known
	}
	if v.time < p.Param(leastCall)*v.reads {
		return false
	}
	each := v.each(saved)
	return saved >= p.Param(leastBusy)*v.seconds || each >= p.Param(leastTime) && each >= p.Param(leastShare)*v.request
}

// each is the part of a request of a time of the window; 0 if requests are not known.
func (v *view) each(time float64) float64 {
	if v.answers == 0 {
		return 0
	}
	return time / v.answers
}

// unknown returns why nothing can be said, or "".
func (v *view) unknown(p *facts.Pass) string {
	if v.unclear > p.Param(mostUnclear)*v.calls {
		return fmt.Sprintf("%.0f calls to PostgreSQL (%s), from which %s reads, can write to any table, so that it is not known for how long answers are right: procedures, several statements in one call, or statements that were prepared before headroom started. Restart the clients that prepare statements while headroom runs",
			v.unclear, v.address, v.name)
	}
	if v.curve == nil || v.followed < p.Param(leastReads) {
		return fmt.Sprintf("%s read from PostgreSQL (%s) %.0f times, and %.0f reads are needed to know what a cache wins: observe for longer", v.name, v.address, v.followed, p.Param(leastReads))
	}
	return ""
}

// written reports whether reads repeat often enough for a cache, but what they read is
// written in between.
func (v *view) written(p *facts.Pass) bool {
	return (v.fresh+v.stale)/v.followed >= p.Param(leastHit) && v.stale >= v.fresh
}

func (v *view) writes(p *facts.Pass) string {
	return fmt.Sprintf("%s of the reads of %s from PostgreSQL (%s) repeat an earlier one, but for %s of these the table was written in between: a cache helps only if answers may be older than the last write",
		analysis.Percent((v.fresh+v.stale)/v.followed), v.name, v.address, analysis.Percent(v.stale/(v.fresh+v.stale)))
}

// hitSeconds is the mean time of a read that a cache for a number of answers has.
func (v *view) hitSeconds(answers float64) float64 {
	time, n := 0.0, 0.0
	for i, again := range v.curve.Again {
		if i > 0 && v.curve.Bounds[i-1] >= answers {
			break
		}
		time, n = time+v.hitTime[i], n+again
	}
	return time / max(1, n)
}
