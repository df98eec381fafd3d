// SPDX-License-Identifier: Apache-2.0

package oomkilled

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A killing is all kills in one group.
type killing struct {
	subject observe.ID
	victims []observe.ID // the largest first; empty if they were not observed
	kills   float64
	held    float64 // bytes of the first victim
	// limiter is the group whose limit was reached; if limited is not set, it was the
	// host's memory.
	limited    bool
	limiter    observe.ID
	limit      float64
	filled     filling // the memory under the limit
	confidence float64
	// unknown is set if neither the victim nor the limit is known.
	unknown bool
}

// killings returns the observed kills, by group, and those that a group counted but
// that were not observed.
func killings(p *facts.Pass) []*killing {
	var all []*killing
	bySubject := make(map[observe.ID]*killing)
	for victim := range p.Entities(catalog.ProcessOOMKills) {
		if p.IncreaseOr0(catalog.ProcessOOMKills, victim) <= 0 {
			continue
		}
		subject := subjectOf(p, victim)
		k := bySubject[subject]
		if k == nil {
			k = &killing{subject: subject, confidence: seen}
			bySubject[subject] = k
			all = append(all, k)
		}
		k.victims = append(k.victims, victim)
	}
	for _, k := range all {
		k.weigh(p)
	}
	for cgroup := range p.Entities(catalog.CgroupOOMKills) {
		n := p.IncreaseOr0(catalog.CgroupOOMKills, cgroup)
		if n <= 0 || bySubject[cgroup] != nil || coveredBy(p, all, cgroup, n) {
			continue
		}
		k := &killing{subject: cgroup, kills: n, confidence: counted}
		k.findLimit(p)
		all = append(all, k)
	}
	if len(all) > 0 {
		return all // these can be all the kills that the host counted
	}
	return unknownToAll(p)
}

// unknownToAll returns kills that only the host counted: there is no probe, and the
// group has no memory controller or is gone.
func unknownToAll(p *facts.Pass) []*killing {
	node, ok := p.Node()
	if !ok {
		return nil
	}
	n := p.IncreaseOr0(catalog.HostOOMKills, node)
	if n <= 0 {
		return nil
	}
	return []*killing{{subject: node, kills: n, confidence: unknownVictim, unknown: true}}
}

// subjectOf returns the group that lost a process: its container or service,
// otherwise the process itself.
func subjectOf(p *facts.Pass, victim observe.ID) observe.ID {
	own, ok := p.Index.Ancestor(victim, observe.Cgroup)
	limiter, limited := limiterOf(p, victim)
	switch {
	case ok && p.Managed(own):
		return own
	// Memory can be accounted to another group than CPU time (cgroup v1).
	case limited && !p.Index.Within(victim, limiter):
		return limiter
	case ok && limited:
		return own
	}
	return victim
}

// limiterOf returns the group whose limit was reached when victim was killed, as
// recorded by the kernel.
func limiterOf(p *facts.Pass, victim observe.ID) (observe.ID, bool) {
	peers := p.Peers(catalog.OOMLimit, victim)
	if len(peers) == 0 {
		return observe.None, false
	}
	return peers[0].ID, true
}

// weigh adds up the victims and finds the limit.
func (k *killing) weigh(p *facts.Pass) {
	held := func(victim observe.ID) float64 {
		v, _ := p.Last(catalog.ProcessOOMMemory, victim)
		return v
	}
	slices.SortStableFunc(k.victims, func(a, b observe.ID) int { return cmp.Compare(held(b), held(a)) })
	k.kills, k.held = float64(len(k.victims)), held(k.victims[0])
	if limiter, ok := limiterOf(p, k.victims[0]); ok {
		k.limiter = limiter
		k.limit, k.limited = p.Last(catalog.CgroupMemoryLimit, limiter)
	}
	if !k.limited {
		k.findLimit(p)
	}
}

// findLimit finds the group whose limit was reached if the record of the kill does
// not have it: the group counted the kill (v2), or its limit was hit and it is full
// (v1).
func (k *killing) findLimit(p *facts.Pass) {
	told := len(k.victims) > 0 // then no limit was reached at the kill
	for at := range p.Cgroups(k.subject) {
		limit, ok := p.Last(catalog.CgroupMemoryLimit, at)
		if !ok {
			continue
		}
		_, high, _ := p.Range(catalog.CgroupMemoryUsage, at)
		oom := p.IncreaseOr0(catalog.CgroupOOMEvents, at) > 0
		hit := p.IncreaseOr0(catalog.CgroupMaxEvents, at) > 0 && high >= p.Param(fullShare)*limit
		if oom || hit {
			k.limited, k.limiter, k.limit = true, at, limit
			if !oom {
				k.confidence = min(k.confidence, inferred)
			}
			return
		}
	}
	if !told {
		k.confidence = unknownLimit
	}
}

// countedTwice is the maximum number of times that a kill is counted: with
// memory.oom.group the kernel kills the first victim again among all others of its
// group (oom_kill_process in mm/oom_kill.c).
const countedTwice = 2

// coveredBy reports whether all kills that a group counted were observed: their
// victims are in it, or under its limit.
func coveredBy(p *facts.Pass, all []*killing, cgroup observe.ID, n float64) bool {
	found := 0.0
	for _, k := range all {
		for _, v := range k.victims {
			limiter, limited := limiterOf(p, v)
			if p.Index.Within(v, cgroup) || limited && p.Index.Within(cgroup, limiter) {
				found++
			}
		}
	}
	return countedTwice*found >= n
}

// growth returns the growth of memory in the window until the kill: of the group
// with the limit, otherwise of the victim.
func (k *killing) growth(p *facts.Pass) (bytes, seconds float64) {
	if k.limited {
		bytes, seconds, _ = p.MemoryGrowth(k.limiter)
	}
	if len(k.victims) > 0 {
		if b, s, ok := facts.Growth(p.Points(catalog.ProcessAnon, k.victims[0])); ok && b > bytes {
			return b, s
		}
	}
	return bytes, seconds
}
