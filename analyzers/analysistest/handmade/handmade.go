// SPDX-License-Identifier: Apache-2.0

// Package handmade builds small windows by hand, for tests of boundaries that
// no recording hits exactly. Findings on real hosts are tested with recorded
// windows (package analysistest), never with these.
package handmade

import (
	"math"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// A Host builds a window. It has one snapshot per second, and increases are spread
// evenly over them.
type Host struct {
	t       *testing.T
	seconds int
	cpus    int
	index   *observe.Index
	values  []value
	hists   []lag
	pairs   []pair
	stalls  []observe.Stall
	series  []series
	history analysis.History
}

type series struct {
	m  *observe.Metric
	id observe.ID
	at func(second int) float64
}

type value struct {
	m  *observe.Metric
	id observe.ID
	v  float64
	at func(second float64) float64 // of a gauge that varies; nil for v
}

type lag struct {
	m              *observe.Metric
	id             observe.ID
	seconds, count float64
}

type pair struct {
	m    *observe.Metric
	a, b observe.ID
	v    float64
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// New returns an idle host with this number of CPUs, observed for this many seconds.
func New(t *testing.T, seconds, cpus int) *Host {
	h := &Host{t: t, seconds: seconds, cpus: cpus, index: observe.NewIndex(observe.DefaultLimit)}
	h.Set(catalog.CPUCount, h.Node(), float64(cpus))
	return h
}

// Index returns the index of the host's entities.
func (h *Host) Index() *observe.Index { return h.index }

// Remember sets the history from before the window.
func (h *Host) Remember(past analysis.History) { h.history = past }

// Past returns the history that Remember set.
func (h *Host) Past() analysis.History { return h.history }

// Node returns the host's entity.
func (h *Host) Node() observe.ID {
	return h.index.ID(observe.Entity{Kind: observe.Node, ID: catalog.NodeID})
}

// Idle sets the number of idle cores.
func (h *Host) Idle(cores float64) {
	for i := range h.cpus {
		cpu := h.index.ID(observe.Entity{Kind: observe.CPU, ID: string(rune('0' + i))})
		h.Set(catalog.CPUIdle, cpu, min(1, max(0, cores-float64(i)))*float64(h.seconds))
	}
}

// Steal sets the share of each CPU's time that the hypervisor took.
func (h *Host) Steal(share float64) {
	for i := range h.cpus {
		cpu := h.index.ID(observe.Entity{Kind: observe.CPU, ID: string(rune('0' + i))})
		h.Set(catalog.CPUSteal, cpu, share*float64(h.seconds))
	}
}

// Add adds an entity; attrs are key, value, key, value.
func (h *Host) Add(kind observe.EntityKind, id string, parent observe.ID, attrs ...string) observe.ID {
	info := observe.Info{Attrs: make(map[string]string)}
	if parent != observe.None {
		info.Parent = h.index.Entity(parent)
	}
	for i := 0; i+1 < len(attrs); i += 2 {
		info.Attrs[attrs[i]] = attrs[i+1]
	}
	e := h.index.ID(observe.Entity{Kind: kind, ID: id})
	h.index.Describe(e, info)
	return e
}

// Process adds a process that is its own owner.
func (h *Host) Process(pid, runtime, command string, parent observe.ID, attrs ...string) observe.ID {
	return h.Add(observe.Process, pid+":1", parent, append([]string{
		catalog.AttrPID, pid, catalog.AttrRuntime, runtime, catalog.AttrCommand, command}, attrs...)...)
}

// Loop adds the event loop of a process's main thread.
func (h *Host) Loop(process observe.ID, attrs ...string) observe.ID {
	pid := h.index.Attr(process, catalog.AttrPID)
	return h.Add(observe.Loop, pid+":1/"+pid, process, append([]string{
		catalog.AttrTID, pid, catalog.AttrLoopKind, "epoll"}, attrs...)...)
}

// Set sets the increase of a counter over the window, or the value of a gauge.
func (h *Host) Set(m *observe.Metric, id observe.ID, v float64) {
	h.values = append(h.values, value{m: m, id: id, v: v})
}

// Vary sets the value of a gauge at each second of the window.
func (h *Host) Vary(m *observe.Metric, id observe.ID, at func(second float64) float64) {
	h.values = append(h.values, value{m: m, id: id, at: at})
}

// Each sets the value of a gauge, or the total of a counter, at each second. It is not
// read where it is NaN.
func (h *Host) Each(m *observe.Metric, id observe.ID, at func(second int) float64) {
	h.series = append(h.series, series{m, id, at})
}

// Hist adds values to a distribution.
func (h *Host) Hist(m *observe.Metric, id observe.ID, seconds, count float64) {
	h.hists = append(h.hists, lag{m, id, seconds, count})
}

// Pair sets the increase of a pair of entities.
func (h *Host) Pair(m *observe.Metric, a, b observe.ID, v float64) {
	h.pairs = append(h.pairs, pair{m, a, b, v})
}

// Stall adds an exemplar that ends at the end of the window, or is still in progress
// then.
func (h *Host) Stall(s observe.Stall) {
	s.Start = start.Add(time.Duration((float64(h.seconds) - s.Duration) * float64(time.Second)))
	h.stalls = append(h.stalls, s)
}

// Ticks gives a loop n ticks of this duration, the parts of their time, and the waits
// between them.
func (h *Host) Ticks(loop observe.ID, n, seconds float64, parts observe.Parts) {
	busy := n * seconds
	h.Set(catalog.LoopTicks, loop, n)
	h.Set(catalog.LoopBusy, loop, busy)
	h.Set(catalog.LoopWait, loop, max(0, float64(h.seconds)-busy))
	h.Set(catalog.LoopThrottled, loop, parts.Throttled)
	h.Set(catalog.LoopRunQueue, loop, parts.RunQueue)
	h.Hist(catalog.LoopLag, loop, seconds, n)
	if seconds <= catalog.LongTick {
		return
	}
	h.Set(catalog.LongTicks, loop, n)
	h.Set(catalog.LongBusy, loop, busy)
	h.Set(catalog.LongCPU, loop, parts.CPU)
	h.Set(catalog.LongRunQueue, loop, parts.RunQueue)
	h.Set(catalog.LongThrottled, loop, parts.Throttled)
	h.Set(catalog.LongBlocked, loop, parts.Blocked)
	h.Set(catalog.LongPageFault, loop, parts.PageFault)
}

// Window returns the window.
func (h *Host) Window() *observe.Window {
	differ := observe.NewDiffer(h.index)
	w := observe.NewWindow(h.index)
	for i := range h.seconds + 1 {
		step := differ.Step(h.snapshot(i))
		if i > 0 {
			w.Add(step)
		}
	}
	return w
}

func (h *Host) snapshot(i int) *observe.Snapshot {
	s := observe.NewSnapshot(h.index)
	at := time.Duration(i) * time.Second
	s.Time, s.Monotonic, s.BootTime = start.Add(at), at, at
	share := float64(i) / float64(h.seconds)
	for _, v := range h.values {
		if v.at != nil {
			s.Set(v.m, v.id, v.at(float64(i)))
		} else if v.m.Kind == observe.Gauge {
			s.Set(v.m, v.id, v.v)
		} else {
			s.Set(v.m, v.id, v.v*share)
		}
	}
	for _, x := range h.series {
		if v := x.at(i); !math.IsNaN(v) {
			s.Set(x.m, x.id, v)
		}
	}
	for _, l := range h.hists {
		h.fill(s.Hist(l.m, l.id), l, share)
	}
	for _, p := range h.pairs {
		s.SetPair(p.m, p.a, p.b, p.v*share)
	}
	if i == h.seconds {
		s.Stalls = append(s.Stalls, h.stalls...)
	}
	return s
}

func (h *Host) fill(hist observe.Hist, l lag, share float64) {
	b := 0
	for b < len(l.m.Bounds) && l.seconds > l.m.Bounds[b] {
		b++
	}
	hist.Count[b] += l.count * share
	hist.Sum[b] += l.count * l.seconds * share
}

// Run runs analyzers over the window.
func (h *Host) Run(analyzers ...*analysis.Analyzer) *analysis.Result {
	h.t.Helper()
	r := analysis.Run(analyzers, h.Window(), observe.Host{CPUs: h.cpus}, analysis.Options{History: h.history})
	for _, g := range r.Gaps {
		if g.Source == analysis.GapAnalyzer {
			h.t.Fatal(g.Reason)
		}
	}
	return r
}

// One runs one analyzer and returns its only finding, nil for none.
func (h *Host) One(a *analysis.Analyzer) *analysis.Finding {
	h.t.Helper()
	r := h.Run(a)
	for _, s := range r.Skipped {
		h.t.Errorf("%s was skipped: %s %v", s.Analyzer.Name, s.Reason, s.Missing)
	}
	if len(r.Findings) > 1 {
		h.t.Fatalf("%d findings, want at most one: %q and %q", len(r.Findings), r.Findings[0].Summary, r.Findings[1].Summary)
	}
	if len(r.Findings) == 0 {
		return nil
	}
	return r.Findings[0]
}
