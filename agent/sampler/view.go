// SPDX-License-Identifier: Apache-2.0

package sampler

import (
	"slices"
	"sync"

	"github.com/headroom-project/headroom/agent/observe"
)

// A View is how far a run can see from where headroom runs. It is safe for
// concurrent use, and the zero View sees everything.
type View struct {
	mu         sync.Mutex
	unseen     []observe.Gap
	distrusted map[string]error
}

// Miss adds a part of the host that no sampler can see.
func (v *View) Miss(g observe.Gap) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unseen = append(v.unseen, g)
}

// Unseen returns what no sampler can see. It belongs in every snapshot.
func (v *View) Unseen() []observe.Gap {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.unseen)
}

// Distrust keeps the sampler of a name from being opened, because what it would
// read is not of the processes that the others tell of.
func (v *View) Distrust(name string, why error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.distrusted == nil {
		v.distrusted = make(map[string]error)
	}
	v.distrusted[name] = why
}

// Distrusted returns why a sampler is not to be opened, or nil.
func (v *View) Distrusted(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.distrusted[name]
}
