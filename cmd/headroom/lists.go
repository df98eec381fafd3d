// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/sampler/all"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/suite"
)

// samplers and analyzers are what this binary is made of.
var (
	samplers  = all.Samplers
	analyzers = suite.Analyzers
)

// sources maps each metric's key to the sampler that provides it.
func sources(samplers []*sampler.Sampler) map[string]string {
	from := make(map[string]string)
	for _, s := range samplers {
		for _, m := range s.Provides {
			from[m.Key()] = s.Name
		}
	}
	return from
}

func analyzerByName(name string) *analysis.Analyzer {
	for _, a := range analyzers {
		if a.Name == name {
			return a
		}
	}
	return nil
}
