// SPDX-License-Identifier: Apache-2.0

package host

import (
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/all"
)

// Samplers are the samplers of this binary.
var Samplers = all.Samplers

// Sources maps each metric's key to the sampler that provides it.
func Sources(samplers []*sampler.Sampler) map[string]string {
	from := make(map[string]string)
	for _, s := range samplers {
		for _, m := range s.Provides {
			from[m.Key()] = s.Name
		}
	}
	return from
}
