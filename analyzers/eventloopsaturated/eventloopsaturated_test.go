// SPDX-License-Identifier: Apache-2.0

package eventloopsaturated

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func server(t *testing.T, idle, ticks, seconds float64) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 10, 4)
	h.Idle(idle)
	process := h.Process("42", "node", "node server.js", observe.None)
	loop := h.Loop(process)
	h.Set(catalog.ProcessListens, process, 1)
	h.Set(catalog.ProcessCPU, process, ticks*seconds)
	h.Ticks(loop, ticks, seconds, observe.Parts{CPU: ticks * seconds})
	return h, loop
}

func TestFullLoops(t *testing.T) {
	for _, c := range []struct {
		name           string
		ticks, seconds float64
		want           analysis.Severity
	}{
		{"69 % busy", 3450, 0.002, analysis.Healthy},
		{"80 % busy, no request waits", 4000, 0.002, analysis.Info},
		{"full, and everybody waits", 390, 0.025, analysis.Warning},
		{"single long ticks", 50, 0.19, analysis.Healthy},
	} {
		h, _ := server(t, 2.9, c.ticks, c.seconds)
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestProcessesToShareTheWork(t *testing.T) {
	h, _ := server(t, 2.9, 390, 0.025)
	f := h.One(Analyzer)
	r := f.Recommendations[0]
	if r.Verb != analysis.AddProcesses || r.Quantity.Value != 1 || r.Quantity.High != nil {
		t.Errorf("advice = %s %+v, want one process more and no upper bound", r.Verb, r.Quantity)
	}
	t.Logf("%s\n-> %s", f.Summary, r.Action)
}

func TestNodesWhereNoCoreIsIdle(t *testing.T) {
	h, _ := server(t, 0.5, 390, 0.025)
	f := h.One(Analyzer)
	if r := f.Recommendations[0]; r.Verb != analysis.AddNodes || r.Quantity.Value != 1 {
		t.Errorf("advice = %s %+v, want one node", r.Verb, r.Quantity)
	}
}

// TestBusyPolling checks that there is no finding for a loop that polls without
// waiting, which is always busy, nor for a full loop without a connected client.
func TestBusyPolling(t *testing.T) {
	for name, c := range map[string]struct {
		ticks, seconds, accepted, waiting float64
		found                             bool
	}{
		"polls without waiting":            {9e6, 1.1e-6, 3, 0, false},
		"full, and no client":              {4900, 0.002, 0, 0, false},
		"full, and clients":                {4900, 0.002, 3, 0, true},
		"full, and clients to be accepted": {4900, 0.002, 0, 3, true},
	} {
		h, loop := server(t, 2.9, c.ticks, c.seconds)
		process, _ := h.Index().Ancestor(loop, observe.Process)
		h.Set(catalog.ProcessAccepted, process, c.accepted)
		h.Set(catalog.ProcessBacklog, process, c.waiting)
		if f := h.One(Analyzer); (f != nil) != c.found {
			t.Errorf("%s: finding %+v, want one: %t", name, f, c.found)
		}
	}
}

func TestBusyByThrottlingFolds(t *testing.T) {
	h, loop := server(t, 3, 4500, 0.002)
	h.Set(catalog.LoopThrottled, loop, 6)
	f := h.One(Analyzer)
	if f.Without([]string{"cpu-throttled"}) {
		t.Error("the loop would be full without the quota, want not")
	}
	if !f.Without([]string{"host-saturated/cpu"}) {
		t.Error("the loop would not be full without waiting for a CPU, want full")
	}
}

func TestASleepingLoopIsNotBusy(t *testing.T) {
	h := handmade.New(t, 10, 4)
	p := h.Process("42", "node", "node idle.js", observe.None)
	loop := h.Loop(p)
	h.Set(catalog.LoopTicks, loop, 1)
	h.Set(catalog.LoopBusy, loop, 0.001)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestOneHotLoopOfAClusterIsNoShortage(t *testing.T) {
	h := handmade.New(t, 10, 4)
	for i, pid := range []string{"42", "43", "44"} {
		p := h.Process(pid, "node", "node server.js", observe.None, catalog.AttrOwner, "api")
		h.Ticks(h.Loop(p), []float64{4500, 100, 100}[i], 0.002, observe.Parts{})
	}
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

// TestShortTicksThatWaitForADisk checks that a call is the cause if it takes a large
// part of the ticks. More processes are advised only for ticks that mostly compute.
func TestShortTicksThatWaitForADisk(t *testing.T) {
	for blocked, cause := range map[float64]string{8: blockingCall, 2.5: blockingCall, 1: shortTicks} {
		h := handmade.New(t, 10, 4)
		h.Idle(2.9)
		process := h.Process("42", "node", "node server.js", observe.None)
		loop := h.Loop(process)
		h.Set(catalog.ProcessListens, process, 1)
		h.Ticks(loop, 4800, 0.002, observe.Parts{CPU: 9.6 - blocked, Blocked: blocked})
		on := h.Add(observe.Call, "42:1/42/fsync/file:8:1", loop, catalog.AttrCall, "fsync", catalog.AttrTarget, catalog.TargetFile,
			catalog.AttrFile, "/log/access.log", catalog.AttrFilesystem, "ext4")
		h.Pair(catalog.LoopBlockedOn, loop, on, blocked)
		f := h.One(Analyzer)
		if f == nil || f.Cause != cause {
			t.Fatalf("%.0f of 9.6 s in fsync: %+v, want %s", blocked, f, cause)
		}
		r := f.Recommendations[0]
		named := strings.Contains(f.Summary, "fsync (a flush to disk: /log/access.log on ext4)") && r.Verb == analysis.MakeAsync
		if named != (cause == blockingCall) {
			t.Errorf("%.0f of 9.6 s in fsync: %s %q, %q", blocked, r.Verb, f.Summary, r.Action)
		}
		t.Logf("%s\n-> %s", f.Summary, r.Action)
	}
}

// TestLoopThatWaitsWhileClientsQueue checks that a loop without time left is a warning if
// its ticks wait for the disk and several clients wait for it, however short each tick is.
func TestLoopThatWaitsWhileClientsQueue(t *testing.T) {
	for _, c := range []struct {
		name    string
		clients float64
		ticks   float64
		attrs   []string
		want    analysis.Severity
		says    string
	}{
		{"fsync", 32, 9600, []string{catalog.AttrCall, "fsync"}, analysis.Warning, "fsync (a flush to disk: /log/access.log on ext4)"},
		{"O_DSYNC", 32, 9600, []string{catalog.AttrCall, "write", catalog.AttrWaitsForDisk, "O_DSYNC"}, analysis.Warning,
			"write (a write that waits for the disk, because of O_DSYNC: /log/access.log on ext4)"},
		{"a file system mounted with sync", 32, 9600, []string{catalog.AttrCall, "pwrite64"}, analysis.Warning, "pwrite64 (synchronous file access: /log/access.log on ext4)"},
		{"one client after the other", 1, 9600, []string{catalog.AttrCall, "fsync"}, analysis.Info, "fsync"},
		{"some time left", 32, 8000, []string{catalog.AttrCall, "fsync"}, analysis.Info, "fsync"},
	} {
		h := handmade.New(t, 10, 4)
		h.Idle(2.9)
		process := h.Process("42", "node", "node server.js", observe.None)
		loop := h.Loop(process)
		h.Set(catalog.ProcessListens, process, 1)
		h.Set(catalog.ProcessAccepted, process, c.clients)
		busy := c.ticks * 0.001
		h.Ticks(loop, c.ticks, 0.001, observe.Parts{CPU: 0.6 * busy, Blocked: 0.4 * busy})
		attrs := append([]string{catalog.AttrTarget, catalog.TargetFile, catalog.AttrFile, "/log/access.log", catalog.AttrFilesystem, "ext4"}, c.attrs...)
		h.Pair(catalog.LoopBlockedOn, loop, h.Add(observe.Call, "42:1/42/call", loop, attrs...), 0.4*busy)
		f := h.One(Analyzer)
		if f == nil || f.Severity != c.want || f.Cause != blockingCall || !strings.Contains(f.Summary, c.says) {
			t.Errorf("%s: finding %+v, want %s that says %q", c.name, f, c.want, c.says)
		}
	}
}
