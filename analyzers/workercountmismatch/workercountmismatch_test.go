// SPDX-License-Identifier: Apache-2.0

package workercountmismatch

import (
	"strconv"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// workers returns a container with n processes, each of which used and waited for the
// given share of a core.
func workers(t *testing.T, n, cpus int, use, wait, ticks, seconds float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, cpus)
	h.Idle(float64(cpus) - float64(n)*use)
	c := h.Add(observe.Cgroup, "/api", observe.None, catalog.AttrContainerName, "api")
	for i := range n {
		p := h.Process(strconv.Itoa(100+i), "node", "node server.js", c, catalog.AttrOwner, "api")
		h.Set(catalog.ProcessCPU, p, use*10)
		h.Set(catalog.ProcessRunQueue, p, wait*10)
		h.Ticks(h.Loop(p), ticks, seconds, observe.Parts{CPU: ticks * seconds})
	}
	return h, c
}

func TestHostSizedPoolInASmallContainer(t *testing.T) {
	h, c := workers(t, 48, 48, 0.04, 0.07, 500, 0.002)
	h.Set(catalog.CgroupCPULimit, c, 2)
	f := h.One(Analyzer)
	if f == nil || f.Cause != tooMany || f.Subject != c {
		t.Fatalf("finding = %+v, want %s of the container", f, tooMany)
	}
	if r := f.Recommendations[0]; r.Verb != analysis.SetWorkerCount || r.Quantity.Value != 2 {
		t.Errorf("advice = %s %+v, want 2 workers", r.Verb, r.Quantity)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestFullPoolBesideIdleCores(t *testing.T) {
	h, _ := workers(t, 2, 4, 0.9, 0, 360, 0.025)
	f := h.One(Analyzer)
	if f == nil || f.Cause != tooFew || f.Severity != analysis.Warning {
		t.Fatalf("finding = %+v, want a warning %s", f, tooFew)
	}
	if r := f.Recommendations[0]; r.Quantity.Value != 3 {
		t.Errorf("workers = %v, want 3", r.Quantity.Value)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestLookAlikesStaySilent(t *testing.T) {
	for name, quiet := range map[string]func() *handmade.Host{
		"an idle pool": func() *handmade.Host {
			h, c := workers(t, 48, 48, 0.001, 0.001, 10, 0.001)
			h.Set(catalog.CgroupCPULimit, c, 2)
			return h
		},
		"2n+1 workers": func() *handmade.Host {
			h, _ := workers(t, 5, 2, 0.35, 0.2, 500, 0.002)
			return h
		},
		"no room": func() *handmade.Host {
			h, _ := workers(t, 2, 2, 0.9, 0, 360, 0.025)
			return h
		},
		"a single process": func() *handmade.Host {
			h, _ := workers(t, 1, 4, 0.9, 0, 360, 0.025)
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			if f := quiet().One(Analyzer); f != nil {
				t.Errorf("finding %s: %s", f.Severity, f.Summary)
			}
		})
	}
}

func TestPrimaryIsNoWorker(t *testing.T) {
	h, c := workers(t, 2, 4, 0.9, 0, 360, 0.025)
	primary := h.Process("99", "node", "node server.js", c, catalog.AttrOwner, "api")
	h.Set(catalog.ProcessListens, primary, 1)
	h.Ticks(h.Loop(primary), 10, 0.001, observe.Parts{})
	if f := h.One(Analyzer); f == nil || f.Cause != tooFew {
		t.Errorf("finding = %+v, want %s without the idle primary", f, tooFew)
	}
}
