// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Culprit had the CPU while a victim waited for it: a container, a service,
// or the processes of one command.
type Culprit struct {
	// Name is the display name: container batch, 4 × stress.
	Name string
	// Processes are its processes, the largest first, with the time that each took.
	Processes []observe.Peer
	// Seconds is the part of the victim's wait, Share the same as a share of the whole
	// wait.
	Seconds, Share float64
	// Own is set if it is the victim, or has the same owner.
	Own bool
	// Observer is set if it observes the host, see IsObserver.
	Observer bool
}

// observer is the executable of headroom. Another headroom process on the host, such as
// the agent during a diagnosis, is an observer as well.
const observer = "headroom"

// IsObserver reports whether a process is headroom. Its CPU use is the cost of
// observation, which a report states. It is neither a culprit nor a victim.
func (p *Pass) IsObserver(process observe.ID) bool {
	return p.Attr(process, catalog.AttrSelf) == "true" || p.Attr(process, catalog.AttrExecutable) == observer
}

// ObserverUse returns the CPU that all observers used, in cores.
func (p *Pass) ObserverUse() float64 {
	use := 0.0
	for process := range p.Entities(catalog.ProcessCPU) {
		if p.IsObserver(process) {
			rate, _ := p.Rate(catalog.ProcessCPU, process)
			use += rate
		}
	}
	return use
}

// Use returns the cores that the culprit's processes used.
func (c Culprit) Use(p *Pass) float64 {
	use := 0.0
	for _, member := range c.Processes {
		rate, _ := p.Rate(catalog.ProcessCPU, member.ID)
		use += rate
	}
	return use
}

// Culprits returns the owners for which the victims waited, the largest share
// first.
func (p *Pass) Culprits(victims ...observe.ID) []Culprit {
	byKey := make(map[string]*Culprit)
	total := 0.0
	for _, victim := range victims {
		for _, peer := range p.Peers(catalog.WaitedFor, victim) {
			total += peer.Value
			key := p.culpritKey(victim, peer.ID)
			if byKey[key] == nil {
				byKey[key] = &Culprit{Own: key == ownKey, Observer: key == observerKey}
			}
			byKey[key].add(peer)
		}
	}
	var culprits []Culprit
	for _, c := range byKey {
		c.Share = c.Seconds / total
		c.Name = p.culpritName(c)
		culprits = append(culprits, *c)
	}
	slices.SortFunc(culprits, func(a, b Culprit) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Name, b.Name))
	})
	return culprits
}

const ownKey, observerKey = "own", "observer"

func (p *Pass) culpritKey(victim, culprit observe.ID) string {
	switch {
	case p.Owner(victim) == p.Owner(culprit):
		return ownKey
	case p.IsObserver(culprit):
		return observerKey
	case p.Managed(culprit):
		return "owner " + p.Owner(culprit)
	}
	return "command " + p.Command(culprit)
}

func (c *Culprit) add(peer observe.Peer) {
	c.Seconds += peer.Value
	at := slices.IndexFunc(c.Processes, func(o observe.Peer) bool { return o.ID == peer.ID })
	if at < 0 {
		c.Processes = append(c.Processes, peer)
	} else {
		c.Processes[at].Value += peer.Value
	}
	slices.SortFunc(c.Processes, func(a, b observe.Peer) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.ID, b.ID))
	})
}

func (p *Pass) culpritName(c *Culprit) string {
	first := c.Processes[0].ID
	if p.Managed(first) {
		if cgroup, ok := p.Index.Ancestor(first, observe.Cgroup); ok {
			return p.Name(cgroup)
		}
	}
	if n := len(c.Processes); n > 1 {
		return p.Called(first, fmt.Sprintf("%d × %s", n, p.Command(first)))
	}
	return p.Name(first)
}

// BlameOf returns the blame of the culprits that had the CPU: one entry for each
// container or service, and for each other process. Observers get no blame.
func (p *Pass) BlameOf(culprits []Culprit) []analysis.Blame {
	var blame []analysis.Blame
	for _, c := range culprits {
		if c.Observer {
			continue
		}
		cgroup, ok := p.Index.Ancestor(c.Processes[0].ID, observe.Cgroup)
		if ok && !c.Own && p.Managed(c.Processes[0].ID) {
			blame = append(blame, analysis.Blame{Subject: cgroup, Share: c.Share})
			continue
		}
		for _, member := range c.Processes {
			blame = append(blame, analysis.Blame{Subject: member.ID, Share: c.Share * member.Value / c.Seconds})
		}
	}
	slices.SortStableFunc(blame, func(a, b analysis.Blame) int { return cmp.Compare(b.Share, a.Share) })
	return blame[:min(analysis.MaxBlame, len(blame))]
}
