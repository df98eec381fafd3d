// SPDX-License-Identifier: Apache-2.0

package oomkilled

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A killing is all that died in one group.
type killing struct {
	subject observe.ID
	victims []observe.ID // that held most first; empty where they were not observed
	kills   float64
	held    float64 // bytes of the first victim
	// limiter is the group whose limit was full; if not limited, the host's
	// memory was.
	limited    bool
	limiter    observe.ID
	limit      float64
	filled     filling // what the memory under the limit was
	confidence float64
	// unknown says that neither the victim nor whose limit it was is known.
	unknown bool
}

// killings are the kills that were seen, by group, and those that a group
// counted and not observed.
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
		return all // one of them can be all that the host counts
	}
	return unknownToAll(p)
}

// unknownToAll are kills that the host alone counted: there is no probe, and
// the group has no memory controller or is gone.
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

// subjectOf is the group that lost a process: its container or service, else
// the process itself.
func subjectOf(p *facts.Pass, victim observe.ID) observe.ID {
	own, ok := p.Index.Ancestor(victim, observe.Cgroup)
	limiter, limited := limiterOf(p, victim)
	switch {
	case ok && p.Managed(own):
		return own
	// Its memory can be in another group than its CPU time (cgroup v1).
	case limited && !p.Index.Within(victim, limiter):
		return limiter
	case ok && limited:
		return own
	}
	return victim
}

// limiterOf is the group whose limit was full when victim was killed, as the
// kernel had it.
func limiterOf(p *facts.Pass, victim observe.ID) (observe.ID, bool) {
	peers := p.Peers(catalog.OOMLimit, victim)
	if len(peers) == 0 {
		return observe.None, false
	}
	return peers[0].ID, true
}

// weigh adds up the victims and finds whose limit it was.
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

// findLimit finds the group whose limit was full where the kernel did not
// tell with the kill: it counted so (v2), or it was hit and full (v1).
func (k *killing) findLimit(p *facts.Pass) {
	told := len(k.victims) > 0 // then no limit was full at the kill
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

// countedTwice is how often a kill can be counted: with memory.oom.group the
// kernel kills the first victim once more among all others of its group
// (oom_kill_process in mm/oom_kill.c).
const countedTwice = 2

// coveredBy reports that the kills which a group counted were all seen: their
// victims are in it, or under the limit of its own.
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

// growth is by how much memory grew in the window until the kill: that of the
// group with the limit, else the victim's.
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
