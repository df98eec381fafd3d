// SPDX-License-Identifier: Apache-2.0

// Package all lists the samplers. A new one is one folder and one line here.
package all

import (
	"github.com/headroom-project/headroom/agent/sampler"
)

// Samplers are all that headroom reads, in the order in which it reads them:
// processes first, so that probes find them described.
var Samplers = []*sampler.Sampler{}
