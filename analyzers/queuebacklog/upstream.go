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

const (
	// leastWaiting is the share of the workers that must wait for a server, on average, to
	// call that what they wait for.
	leastWaiting = 0.7
	// ownWork is the use of a core from which a worker does the work itself.
	ownWork = 0.7
	// full is the share of its CPUs from which a server has none left.
	full = 0.9
	// serial is the share of the readings, and of all workers but one, that must wait for
	// a lock to say that they do it one after the other.
	serial = 0.8
	// postgres is the executable of the server whose backends wait for a lock in a way of
	// which more is known than that they wait for another process.
	postgres = "postgres"
)

// An upstream is a server on this host of which the workers are clients.
type upstream struct {
	name string
	// servers are its processes that serve workers.
	servers []observe.ID
	// waiting is the average number of requests of the workers that it has not answered,
	// and locked that of those that wait for a lock.
	waiting, locked float64
	// always is the share of the readings in which at least one waits for a lock.
	always float64
	cpu    float64 // cores that its processes use
}

// upstreamOf returns the server that most of the workers wait for; nil if there is none.
func (q *queue) upstreamOf(p *facts.Pass) *upstream {
	if q.workers == nil {
		return nil
	}
	type key struct{ owner, executable string }
	by := make(map[key]*upstream)
	seen := make(map[observe.ID]bool)
	for _, worker := range q.workers.ids {
		for _, peer := range p.Peers(catalog.QueueUpstreamTime, worker) {
			k := key{p.Owner(peer.ID), p.Attr(peer.ID, catalog.AttrExecutable)}
			if seen[peer.ID] {
				continue
			}
			seen[peer.ID] = true
			if by[k] == nil {
				by[k] = &upstream{name: k.executable}
			}
			by[k].servers = append(by[k].servers, peer.ID)
		}
	}
	var most *upstream
	for _, u := range by {
		u.measure(p)
		if u.waiting >= leastWaiting*q.servers() && (most == nil || u.waiting > most.waiting) {
			most = u
		}
	}
	return most
}

// measure adds up what the processes of a server do.
func (u *upstream) measure(p *facts.Pass) {
	var waits []float64
	for _, id := range u.servers {
		u.waiting += mean(p.Series(catalog.RequestActive, id))
		use, _ := p.Rate(catalog.ProcessCPU, id)
		u.cpu += use
		s := p.Series(catalog.QueueUpstreamWaits, id)
		if waits == nil {
			waits = make([]float64, len(s))
		}
		waits = waits[max(0, len(waits)-len(s)):]
		for i := range waits {
			waits[i] += s[len(s)-len(waits)+i]
		}
	}
	if u.name != postgres || len(waits) < leastRates {
		return
	}
	u.locked, u.always = mean(waits), share(waits, func(v float64) bool { return v >= 1 })
}

// serves reports whether the workers use the server one after the other: while one works,
// the others wait for a lock. If all wait, they wait for something else.
func (u *upstream) serves(workers float64) bool {
	return workers >= 2 && u.always >= serial && u.locked >= serial*(workers-1) && u.locked <= workers-0.5
}

// fullCPU reports whether the server has no CPU left for more requests.
func (u *upstream) fullCPU(p *facts.Pass) bool {
	for _, id := range u.servers {
		if limit, whose, ok := p.CPULimit(id); ok {
			if use, known := p.Rate(catalog.CgroupCPUTime, whose); known && use >= full*limit && u.cpu >= limit/2 {
				return true
			}
			if q, ok := p.Quota(whose); ok && q.UseKnown && q.Use >= full*limit && u.cpu >= limit/2 {
				return true // where the use of the group itself is not counted
			}
		}
	}
	used, known := p.Utilisation()
	return known && used >= full && u.cpu >= p.CPUs()/2
}

// saturated says why more workers do not help, "" if that is not known.
func (u *upstream) saturated(p *facts.Pass, workers float64) string {
	switch {
	case u.name == "":
		return ""
	case u.serves(workers):
		return fmt.Sprintf("%s of %.0f wait for a lock in %s, which one of them holds", number(u.locked), workers, u.name)
	case u.fullCPU(p):
		return fmt.Sprintf("%s of %.0f wait for %s, which has no CPU left (it uses %s)", number(u.waiting), workers, u.name, analysis.Cores(u.cpu))
	}
	return ""
}

// scale recommends what to do about the server.
func (u *upstream) scale(q *queue, p *facts.Pass) analysis.Recommendation {
	action := fmt.Sprintf("Give %s more CPU, or its queries less work: more workers of %s do not raise the rate", u.name, q.name)
	if u.serves(q.servers()) {
		action = fmt.Sprintf("Hold the lock in %s for a shorter time, or lock less (rows that the messages of %s do not share): more workers do not raise the rate", u.name, q.name)
	}
	return analysis.Recommendation{
		Verb: analysis.ScaleDownstream, Action: action,
		Verify: "headroom.queue.acknowledged grows without more workers",
		Risk:   fmt.Sprintf("more workers make %s slower for its other clients", u.name),
		NotIf:  fmt.Sprintf("the processes of %s were not those that serve the workers for most of this window", u.name),
	}
}

// caveat says what limits the workers, as far as that is known, and how sure it is that
// more of them help.
func (q *queue) caveat(u *upstream) (notIf string, confidence float64) {
	switch {
	case u != nil:
		return fmt.Sprintf("%s is full itself, for which %s of %.0f workers wait (then the rate does not grow after the first new worker): find out whether they wait for each other in it, as for a lock", u.name, number(math.Min(u.waiting, q.servers())), q.servers()), likely
	case q.workers != nil && q.workers.cpu >= ownWork:
		return "the workers share something else that is full", counted
	}
	return "the consumers wait for something that is full itself (then that limits the rate: after the first new consumer the rate does not grow), " +
		"or they handle several messages at once and only the prefetch limits them (then raise it)", likely
}
