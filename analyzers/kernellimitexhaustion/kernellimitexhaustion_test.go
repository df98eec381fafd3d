// SPDX-License-Identifier: Apache-2.0

package kernellimitexhaustion

import (
	"math"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func flat(n float64) func(int) float64 { return func(int) float64 { return n } }

// container returns a container with a limit of processes and a server in it.
func container(t *testing.T, limit float64, count func(int) float64, refused float64) (h *handmade.Host, cgroup, process observe.ID) {
	h = handmade.New(t, 30, 2)
	cgroup = h.Add(observe.Cgroup, "/docker/x", h.Node(), catalog.AttrContainerID, "0123456789abcdef", catalog.AttrContainerName, "api", catalog.AttrCgroup, "/docker/x")
	process = h.Process("42", "python", "python3 w.py", cgroup)
	h.Set(catalog.CgroupPidsLimit, cgroup, limit)
	h.Each(catalog.CgroupPids, cgroup, count)
	h.Set(catalog.CgroupPidsRefused, cgroup, refused)
	h.Each(catalog.ProcessThreads, process, func(s int) float64 { return count(s) - 1 })
	return h, cgroup, process
}

func want(t *testing.T, f *analysis.Finding, severity analysis.Severity, cause string, verb analysis.Verb) {
	t.Helper()
	if f == nil {
		t.Fatalf("no finding, want %s %s", severity, cause)
	}
	if f.Severity != severity || f.Cause != cause {
		t.Errorf("finding = %s %s, want %s %s", f.Severity, f.Cause, severity, cause)
	}
	if len(f.Recommendations) == 0 || f.Recommendations[0].Verb != verb {
		t.Errorf("recommendations = %+v, want %s first", f.Recommendations, verb)
	}
	t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
}

func TestSeverityOfPids(t *testing.T) {
	for _, c := range []struct {
		limit, count, refused float64
		want                  analysis.Severity
	}{
		{80, 63, 0, analysis.Healthy}, {80, 64, 0, analysis.Warning},
		{80, 80, 0, analysis.Warning},                                  // nothing was refused
		{80, 80, 1, analysis.Critical}, {80, 20, 1, analysis.Critical}, // between two readings
		{8, 8, 0, analysis.Healthy}, // a hardened service
		{8, 8, 2, analysis.Critical},
	} {
		h, _, _ := container(t, c.limit, flat(c.count), c.refused)
		got := analysis.Healthy
		if f := h.One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != c.want {
			t.Errorf("%v of %v with %v refused = %s, want %s", c.count, c.limit, c.refused, got, c.want)
		}
	}
}

func TestRefusedInTheContainerOfALimitedPod(t *testing.T) {
	h := handmade.New(t, 30, 2)
	pod := h.Add(observe.Cgroup, "/pod", h.Node(), catalog.AttrPodUID, "uid", catalog.AttrPodName, "shop-1", catalog.AttrCgroup, "/pod")
	inside := h.Add(observe.Cgroup, "/pod/c", pod, catalog.AttrContainerID, "0123456789abcdef", catalog.AttrCgroup, "/pod/c")
	h.Set(catalog.CgroupPidsLimit, pod, 100)
	h.Set(catalog.CgroupPids, pod, 99)
	h.Set(catalog.CgroupPidsRefused, pod, 0)
	h.Set(catalog.CgroupPidsRefused, inside, 30)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, pids, analysis.RaiseLimit)
	if f.Subject != pod || !strings.Contains(f.Recommendations[0].Action, "podPidsLimit") {
		t.Errorf("the limit is not that of the pod: %s", f.Recommendations[0].Action)
	}
}

func TestZombiesGetNoHigherLimit(t *testing.T) {
	h, _, process := container(t, 60, flat(60), 40)
	h.Set(catalog.ProcessZombies, process, 57)
	h.Set(catalog.ProcessThreads, process, 2)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, zombies, analysis.ReapChildren)
	if len(f.Recommendations) != 1 || len(f.Blame) == 0 || f.Blame[0].Subject != process {
		t.Errorf("advice = %+v, blame = %+v, want only that the parent waits", f.Recommendations, f.Blame)
	}
}

func TestGrowthIsForecast(t *testing.T) {
	h, _, _ := container(t, 1000, func(s int) float64 { return 400 + 4*float64(s) }, 0)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, pids, analysis.FixLeak)
	// 520 exist at the end, 480 are left, and 4 are added per second.
	if f.Forecast == nil || math.Abs(f.Forecast.At-120) > 1 || f.Forecast.Low == nil || f.Forecast.High == nil {
		t.Errorf("forecast = %+v, want 120 s with its interval", f.Forecast)
	}
}

func TestGrowthThatIsNoShortage(t *testing.T) {
	for name, count := range map[string]func(int) float64{
		"a start":                   func(s int) float64 { return 20 + 4*float64(s) },
		"a pool that fills":         func(s int) float64 { return min(500, 350+20*float64(s)) },
		"children that come and go": func(s int) float64 { return 400 + 100*float64(s%2) },
	} {
		h, _, _ := container(t, 1000, count, 0)
		if f := h.One(Analyzer); f != nil {
			t.Errorf("%s: %s", name, f.Summary)
		}
	}
}

// TestZombiesOfAnUnlimitedParent checks that zombies that grow are found far from the
// limit of the host.
func TestZombiesOfAnUnlimitedParent(t *testing.T) {
	h := handmade.New(t, 30, 2)
	process := h.Process("42", "python", "python3 w.py", observe.None)
	h.Each(catalog.ProcessZombies, process, func(s int) float64 { return 100 + 20*float64(s) })
	h.Each(catalog.HostTasks, h.Node(), func(s int) float64 { return 300 + 20*float64(s) })
	h.Set(catalog.HostPIDMax, h.Node(), 32768)
	h.Set(catalog.HostThreadMax, h.Node(), 190_000)
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, zombies, analysis.ReapChildren)
	if f.Subject != process || !strings.Contains(f.Summary, "kernel.pid_max") {
		t.Errorf("subject and limit: %s", f.Summary)
	}
}

func TestHostTasks(t *testing.T) {
	h := handmade.New(t, 30, 2)
	h.Process("42", "java", "java app.jar", observe.None)
	h.Set(catalog.HostTasks, h.Node(), 32_000)
	h.Set(catalog.HostPIDMax, h.Node(), 32_768)
	h.Set(catalog.HostThreadMax, h.Node(), 190_000)
	want(t, h.One(Analyzer), analysis.Critical, threads, analysis.RaiseLimit)
}

// user returns a process of user 1000 with inotify instances.
func inotifyHost(t *testing.T, holders ...float64) *handmade.Host {
	h := handmade.New(t, 30, 2)
	all := 0.0
	for _, n := range holders {
		all += n
	}
	h.Set(catalog.InotifyInstanceLimit, h.Node(), 128)
	h.Set(catalog.InotifyWatchLimit, h.Node(), 8192)
	for i, n := range holders {
		process := h.Process(string(rune('1'+i)), "dotnet", "dotnet app.dll", observe.None)
		h.Set(catalog.ProcessInotify, process, n)
		h.Set(catalog.ProcessWatches, process, n)
		h.Set(catalog.ProcessUserInotify, process, all)
		h.Set(catalog.ProcessUserWatches, process, all)
		h.Set(catalog.ProcessUser, process, 1000)
	}
	return h
}

func TestInotify(t *testing.T) {
	f := inotifyHost(t, 120, 8).One(Analyzer)
	want(t, f, analysis.Critical, inotify, analysis.FixLeak)
	if !strings.Contains(f.Summary, "user 1000") || !strings.Contains(f.Summary, "fs.inotify.max_user_instances") {
		t.Errorf("the user or the limit is missing: %s", f.Summary)
	}
	want(t, inotifyHost(t, 16, 16, 16, 16, 16, 16, 16).One(Analyzer), analysis.Warning, inotify, analysis.RaiseLimit)
	if f := inotifyHost(t, 50, 40).One(Analyzer); f != nil {
		t.Errorf("90 of 128: %s", f.Summary)
	}
}

func TestUserTasks(t *testing.T) {
	h := handmade.New(t, 30, 2)
	for pid, limit := range map[string]float64{"7": 100, "8": 4000} {
		process := h.Process(pid, "java", "java app.jar", observe.None)
		h.Set(catalog.ProcessUser, process, 1000)
		h.Set(catalog.ProcessUserTasks, process, 99)
		h.Set(catalog.ProcessUserTaskLimit, process, limit)
		h.Set(catalog.ProcessThreads, process, 49)
	}
	f := h.One(Analyzer)
	want(t, f, analysis.Critical, threads, analysis.RaiseLimit)
	if !strings.Contains(f.Recommendations[0].Action, "from 100 to 256") {
		t.Errorf("action: %s", f.Recommendations[0].Action)
	}
}

func TestMaps(t *testing.T) {
	h := handmade.New(t, 30, 2)
	process := h.Process("42", "java", "java es.jar", observe.None)
	h.Set(catalog.MapLimit, h.Node(), 65_530)
	h.Set(catalog.ProcessMaps, process, 60_000)
	want(t, h.One(Analyzer), analysis.Warning, mapCount, analysis.RaiseLimit)
}

func TestNeighbours(t *testing.T) {
	neighbourHost := func(entries, exempt, refused float64) *analysis.Finding {
		h := handmade.New(t, 30, 2)
		h.Set(catalog.NeighbourEntries4, h.Node(), entries)
		h.Set(catalog.NeighbourLimit4, h.Node(), 1024)
		h.Set(catalog.NeighbourExempt4, h.Node(), exempt)
		h.Set(catalog.NeighbourRefused4, h.Node(), refused)
		return h.One(Analyzer)
	}
	want(t, neighbourHost(1024, 0, 300), analysis.Critical, neighbourTable, analysis.RaiseLimit)
	want(t, neighbourHost(900, 0, 0), analysis.Warning, neighbourTable, analysis.RaiseLimit)
	if f := neighbourHost(900, 500, 0); f != nil {
		t.Errorf("500 of 900 are permanent: %s", f.Summary)
	}
}
