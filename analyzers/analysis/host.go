// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"iter"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// CPUs returns the number of logical CPUs of the host; 0 if not known.
func (p *Pass) CPUs() float64 {
	for node := range p.Entities(catalog.CPUCount) {
		if n, ok := p.Last(catalog.CPUCount, node); ok {
			return n
		}
	}
	return float64(p.Host.CPUs)
}

// Node returns the host's entity.
func (p *Pass) Node() (observe.ID, bool) {
	return p.Index.Find(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
}

// Cgroups yields the cgroups that contain id, innermost first.
func (p *Pass) Cgroups(id observe.ID) iter.Seq[observe.ID] {
	return func(yield func(observe.ID) bool) {
		at, ok := p.Index.Ancestor(id, observe.Cgroup)
		for ok && p.Index.Entity(at).Kind == observe.Cgroup {
			if !yield(at) {
				return
			}
			at, ok = p.Index.Parent(at)
		}
	}
}
