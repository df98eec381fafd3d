// SPDX-License-Identifier: Apache-2.0

package nicsaturated

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const gigabit = 125e6

func host(t *testing.T, in, out float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 2)
	nic := h.Add(observe.NIC, "eth0", h.Node())
	h.Set(catalog.NICReceived, nic, in*10)
	h.Set(catalog.NICSent, nic, out*10)
	h.Set(catalog.NICPacketsOut, nic, 10_000*10)
	return h, nic
}

func TestLink(t *testing.T) {
	for _, c := range []struct {
		in, out, speed, shaper float64
		want                   analysis.Severity
	}{
		{0.69 * gigabit, 0, gigabit, 0, analysis.Healthy},
		{0.71 * gigabit, 0, gigabit, 0, analysis.Warning},
		{0, 0.91 * gigabit, gigabit, 0, analysis.Critical},
		{0, 20 * gigabit, 0, 0, analysis.Healthy}, // unknown speed
		{0, 0.08 * gigabit, gigabit, 0.1 * gigabit, analysis.Warning},
		{0.5 * gigabit, 0.01 * gigabit, 0, 0.1 * gigabit, analysis.Healthy}, // a shaper limits sending
	} {
		h, nic := host(t, c.in, c.out)
		if c.speed > 0 {
			h.Set(catalog.NICSpeed, nic, c.speed)
		}
		if c.shaper > 0 {
			h.Set(catalog.NICShapedTo, nic, c.shaper)
		}
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
			if strings.Contains(f.Summary, "shaper") != (c.shaper > 0) {
				t.Errorf("%+v: %q does not say whose limit it is", c, f.Summary)
			}
			t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
		}
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestDrops(t *testing.T) {
	for _, c := range []struct{ perSecond, speed, want float64 }{{100, 0, 0}, {300, 0, 0.6}, {300, gigabit, 0.8}} {
		h, nic := host(t, 0, gigabit/10)
		h.Set(catalog.NICQueueDropped, nic, c.perSecond*10)
		if c.speed > 0 {
			h.Set(catalog.NICSpeed, nic, c.speed)
		}
		f := h.One(Analyzer)
		if (f != nil) != (c.want > 0) || f != nil && (f.Cause != drops || f.Confidence > c.want || (f.Gap != nil) != (c.speed == 0)) {
			t.Errorf("%v drops a second at speed %v: %+v, want confidence at most %v", c.perSecond, c.speed, f, c.want)
		}
	}
	h, nic := host(t, 0, 100)
	h.Set(catalog.NICPacketsIn, nic, 10)
	h.Set(catalog.NICDroppedIn, nic, 5)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("an idle interface: %s", f.Summary)
	}
}

func TestOneCore(t *testing.T) {
	for _, c := range []struct {
		idle, packets float64
		want          bool
	}{{0.8, 1e5, true}, {0.3, 1e5, false}, {0.8, 0, false}} {
		h, _ := host(t, 0, 0)
		h.Idle(c.idle)
		cpu := h.Add(observe.CPU, "1", h.Node())
		h.Set(catalog.CPUSoftIRQ, cpu, 9.5)
		h.Set(catalog.SoftnetPackets, cpu, c.packets*10)
		f := h.One(Analyzer)
		if (f != nil) != c.want || f != nil && (f.Cause != oneCore || f.Recommendations[0].Verb != analysis.SpreadInterrupts || f.Recommendations[0].Quantity.Value != 2) {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

// TestFramesThatNobodyTakes checks that the same share of drops is reported only if
// enough packets arrive to fill a queue.
func TestFramesThatNobodyTakes(t *testing.T) {
	for in, want := range map[float64]bool{900: false, 1000: true} {
		h, nic := host(t, 0, 0)
		h.Set(catalog.NICPacketsIn, nic, (in-500)*10)
		h.Set(catalog.NICDroppedIn, nic, 500*10)
		if f := h.One(Analyzer); (f != nil) != want {
			t.Errorf("500 of %v packets a second dropped: %+v, want a finding: %v", in, f, want)
		}
	}
}

// TestBacklog checks that packets that a CPU drops, and that the interface counts as
// well, are one finding, about the CPU.
func TestBacklog(t *testing.T) {
	for _, c := range []struct {
		softirq, idle float64
		seconds       int // in which packets were dropped
		want          analysis.Verb
		quantity      float64
	}{
		{0.3, 1.2, 10, analysis.SpreadInterrupts, 2},
		{0.3, 1.2, 2, "", 0},
		{0.95, 0.2, 10, analysis.AddNodes, 1},
		{0.95, 1, 10, analysis.SpreadInterrupts, 2}, // one-softirq-core, which mentions the drops
	} {
		h, nic := host(t, 0, 0)
		h.Idle(c.idle)
		cpu := h.Add(observe.CPU, "1", h.Node())
		dropped := func(second int) float64 { return 1000 * float64(min(second, c.seconds)) }
		h.Each(catalog.SoftnetDropped, cpu, dropped)
		h.Set(catalog.SoftnetPackets, cpu, 50_000)
		h.Set(catalog.CPUSoftIRQ, cpu, c.softirq*10)
		h.Set(catalog.NICPacketsIn, nic, 50_000)
		h.Set(catalog.NICDroppedIn, nic, dropped(10))
		f := h.One(Analyzer)
		if f == nil {
			if c.want != "" {
				t.Errorf("%+v: nothing", c)
			}
			continue
		}
		r := f.Recommendations[0]
		if f.Subject != cpu || !strings.Contains(f.Summary, "drops 1") || r.Verb != c.want || r.Quantity.Value != c.quantity {
			t.Errorf("%+v: %s -> %+v", c, f.Summary, r)
		}
		t.Logf("%s\n-> %s", f.Summary, r.Action)
	}
}
