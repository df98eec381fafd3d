// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"iter"
	"math"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// unnamed is a version that no orchestrator returns.
const unnamed = math.MaxUint64

// Ask implements sampler.Identity.
func (r *Resolver) Ask(o sampler.Orchestrator) { r.names, r.renamed = o, unnamed }

func (r *Resolver) version() uint64 {
	if r.names == nil {
		return 0
	}
	return r.names.Version()
}

// Rename implements sampler.Identity. A container is often found before the
// name of its pod is known.
func (r *Resolver) Rename() {
	version := r.version()
	r.mu.Lock()
	if r.names == nil || r.renamed == version {
		r.mu.Unlock()
		return
	}
	r.renamed = version
	inPods := make(map[string]*cgroup)
	for path, c := range r.cgroups {
		if c.place.pod != "" {
			inPods[path] = c
		}
	}
	r.mu.Unlock()
	for path, c := range inPods {
		if c.id != observe.None {
			r.publish(c.id, observe.Info{Parent: r.index.Info(c.id).Parent, Attrs: r.cgroupAttrs(path, c.place)})
		}
	}
}

// Containers implements sampler.Identity.
func (r *Resolver) Containers() iter.Seq2[observe.ID, string] {
	type container struct {
		id   observe.ID
		name string
	}
	var all []container
	r.mu.RLock()
	for path, c := range r.cgroups {
		if c.place.containerPath == path && c.id != observe.None {
			all = append(all, container{c.id, c.place.container})
		}
	}
	r.mu.RUnlock()
	return func(yield func(observe.ID, string) bool) {
		for _, c := range all {
			if !yield(c.id, c.name) {
				return
			}
		}
	}
}
