// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"

	"github.com/headroom-project/headroom/agent/sampler"
)

// Unknown returns a sampler.Orchestrator for a host without an API server; it
// reports why.
func Unknown(why error) *Pods {
	p := newPods()
	p.reason = why.Error()
	if u := new(sampler.Unsupported); errors.As(why, &u) {
		p.reason, p.cure = u.Reason, u.Cure
	}
	return p
}
