// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

func TestAnswers(t *testing.T) {
	read := func(*sampler.Host) (sampler.Reader, error) { return nil, nil }
	have := []*sampler.Sampler{
		{Name: "cpu", Provides: []*observe.Metric{catalog.CPUUser}, Open: read},
		{Name: "psi", Provides: []*observe.Metric{catalog.HostCPUSome}, Open: read},
	}
	asks := []*analysis.Analyzer{
		{Name: "all", Needs: []*observe.Metric{catalog.CPUUser}},
		{Name: "less", Needs: []*observe.Metric{catalog.CPUUser}, Wants: []*observe.Metric{catalog.HostCPUSome}},
		{Name: "none", Needs: []*observe.Metric{catalog.HostCPUSome, catalog.CPUUser}},
	}
	status := []run.SamplerStatus{{Sampler: have[0]}, {Sampler: have[1], Err: sampler.ErrNotSupported}}
	got := answers(asks, have, views(status, []observe.Gap{{Source: "psi", Reason: "no /proc/pressure"}}))
	for i, want := range []string{stateYes, statePartly, stateNo} {
		if got[i].State != want {
			t.Errorf("%s = %s, want %s", got[i].ID, got[i].State, want)
		}
	}
	if len(got[2].Without) != 1 || got[2].Without[0] != "psi" {
		t.Errorf("none goes without %v, want psi", got[2].Without)
	}
}
