// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"

	"github.com/headroom-project/headroom/agent/sampler"
)

// Unknown is a sampler.Orchestrator for when no API server is available; it says why.
func Unknown(why error) *Pods {
	p := newPods()
	p.reason = why.Error()
	if u := new(sampler.Unsupported); errors.As(why, &u) {
		p.reason, p.cure = u.Reason, u.Cure
	}
	return p
}
