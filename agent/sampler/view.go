// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"slices"
	"sync"

	"github.com/headroom-project/headroom/agent/observe"
)

// A View has the parts of the host that a run cannot observe from where headroom runs. It
// is safe for concurrent use. With the zero View everything can be observed.
type View struct {
	mu         sync.Mutex
	unseen     []observe.Gap
	distrusted map[string]error
}

// Miss adds a part of the host that no sampler can observe.
func (v *View) Miss(g observe.Gap) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unseen = append(v.unseen, g)
}

// Unseen returns what no sampler can observe. It belongs in every snapshot.
func (v *View) Unseen() []observe.Gap {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.unseen)
}

// Distrust keeps a sampler from being opened, because it would read about other processes
// than the other samplers.
func (v *View) Distrust(name string, why error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.distrusted == nil {
		v.distrusted = make(map[string]error)
	}
	v.distrusted[name] = why
}

// Distrusted returns why a sampler must not be opened, or nil.
func (v *View) Distrusted(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.distrusted[name]
}
