// SPDX-License-Identifier: Apache-2.0

package rightsize

import (
	"iter"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const gib = 1024 * mib

// A past is a history with hours only.
type past map[observe.ID][]observe.Hour

func (past) Points(*observe.Metric, observe.ID, float64, float64) []observe.Point { return nil }
func (past) Earlier(*observe.Metric, observe.ID) (float64, bool)                  { return 0, false }
func (h past) Hours(id observe.ID) iter.Seq[observe.Hour] {
	return func(yield func(observe.Hour) bool) {
		for _, hour := range h[id] {
			if !yield(hour) {
				return
			}
		}
	}
}

// hoursOf returns hours of n days, changed by each.
func hoursOf(n int, each func(hour int, h *observe.Hour)) []observe.Hour {
	var all []observe.Hour
	for i := range 24 * n {
		h := observe.Hour{At: float64(i-24*n) * 3600, OfWeek: i % 168, Seconds: 3600, Mean: 0.1, High: 0.2, Peak: 0.3, Need: 200 * mib, Working: 220 * mib}
		if each != nil {
			each(i, &h)
		}
		all = append(all, h)
	}
	return all
}

// pod returns a host of 4 cores and 8 GiB with a container of a deployment, which has
// requests of 1 core and 1 GiB, and a history.
func pod(t *testing.T, hours []observe.Hour) (*handmade.Host, observe.ID) {
	h := handmade.New(t, 30, 4)
	c := h.Add(observe.Cgroup, "/kubepods/pod1/api", observe.None, catalog.AttrContainerName, "api", catalog.AttrContainerID, "0123456789abcdef",
		catalog.AttrPodUID, "1", catalog.AttrPodName, "shop-1", catalog.AttrNamespace, "web", catalog.AttrWorkload, "deployment/shop")
	h.Set(catalog.CgroupCPUTime, c, 3)
	h.Set(catalog.KubeCPURequest, c, 1)
	h.Set(catalog.KubeMemoryRequest, c, gib)
	h.Set(catalog.CgroupMemoryLimit, c, gib)
	h.Set(catalog.MemoryTotal, h.Node(), 8*gib)
	h.Remember(past{c: hours})
	return h, c
}

// TestPatch checks the numbers and the command for a container of a deployment.
func TestPatch(t *testing.T) {
	h, _ := pod(t, hoursOf(9, nil))
	f := h.One(Analyzer)
	if f == nil || f.Cause != over || f.Severity != analysis.Info || f.Confidence != weekly {
		t.Fatalf("finding = %+v, want info %s", f, over)
	}
	r := f.Recommendations[0]
	const want = `Set the CPU request 200m, memory request 256Mi and memory limit 256Mi of container api: ` +
		`kubectl -n web patch deployment/shop -p '{"spec":{"template":{"spec":{"containers":[{"name":"api","resources":{"limits":{"memory":"256Mi"},"requests":{"cpu":"200m","memory":"256Mi"}}}]}}}}'`
	if r.Action != want {
		t.Errorf("action = %s\nwant %s", r.Action, want)
	}
	if !strings.Contains(f.Summary, "9 days") || r.Quantity.Value != 0.2 || *r.Quantity.Low != 0.2 || *r.Quantity.High != 0.23 {
		t.Errorf("%s: %+v", f.Summary, r.Quantity)
	}
}

// TestBusyHours checks that a service that is busy for one morning a week is sized for
// that, and that a single busy hour does not raise the request.
func TestBusyHours(t *testing.T) {
	for _, c := range []struct {
		name  string
		hours int
		want  string
	}{{"ten hours a week", 10, ""}, {"one hour", 1, "CPU request 200m"}} {
		h, _ := pod(t, hoursOf(8, func(i int, u *observe.Hour) {
			if i%168 < c.hours {
				u.High, u.Peak, u.Need, u.Working = 0.9, 1, 700*mib, 700*mib
			}
		}))
		f := h.One(Analyzer)
		switch {
		case c.want == "" && f != nil:
			t.Errorf("%s: %s", c.name, f.Summary)
		case c.want != "" && (f == nil || !strings.Contains(f.Recommendations[0].Action, c.want) || strings.Contains(f.Recommendations[0].Action, "memory")):
			t.Errorf("%s: finding = %+v, want %s and no change of memory", c.name, f, c.want)
		}
	}
}

// TestHistoryIsTooShort checks that no size is given for a few hours, and that it is said.
func TestHistoryIsTooShort(t *testing.T) {
	h, _ := pod(t, hoursOf(1, nil)[:5])
	r := h.Run(Analyzer)
	if len(r.Findings) != 0 || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, "the longest for 5 h") {
		t.Errorf("findings %v, skipped %+v", r.Findings, r.Skipped)
	}
	h.Remember(nil)
	if r := h.Run(Analyzer); len(r.Findings) != 0 || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, "only the agent") {
		t.Errorf("without a history: findings %v, skipped %+v", r.Findings, r.Skipped)
	}
}

// TestUnder checks sizes that are too low, and when that is a warning.
func TestUnder(t *testing.T) {
	for _, c := range []struct {
		name   string
		hour   func(int, *observe.Hour)
		set    func(*handmade.Host, observe.ID)
		want   analysis.Severity
		action string
	}{
		{"killed", func(i int, u *observe.Hour) {
			if u.Need, u.Working = 950*mib, 960*mib; i == 100 {
				u.Kills = 2
			}
		}, nil, analysis.Warning, "memory limit 1232Mi"},
		{"needs more memory than it requests", func(_ int, u *observe.Hour) { u.Need, u.Working = 900*mib, 900*mib },
			func(h *handmade.Host, c observe.ID) { h.Set(catalog.KubeMemoryRequest, c, 256*mib) }, analysis.Info, "memory request 1040Mi"},
		{"needs more CPU than it requests", func(_ int, u *observe.Hour) { u.High, u.Peak = 1.8, 2 }, nil, analysis.Info, "CPU request 1800m"},
		{"throttled every night", func(i int, u *observe.Hour) {
			if u.High, u.Peak = 0.4, 0.5; i%24 < 4 {
				u.High, u.Peak, u.Throttled = 0.5, 0.5, 0.2
			}
		}, func(h *handmade.Host, c observe.ID) { h.Set(catalog.CgroupCPULimit, c, 0.5) }, analysis.Warning, "CPU limit 800m"},
	} {
		h, id := pod(t, hoursOf(8, c.hour))
		if c.set != nil {
			c.set(h, id)
		}
		f := h.One(Analyzer)
		if f == nil || f.Cause != under || f.Severity != c.want || !strings.Contains(f.Recommendations[0].Action, c.action) {
			t.Errorf("%s: finding = %+v, want %s and %s", c.name, f, c.want, c.action)
			continue
		}
		t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
	}
}

// TestSilent checks situations that look like a wrong size.
func TestSilent(t *testing.T) {
	for name, c := range map[string]struct {
		hour func(int, *observe.Hour)
		set  func(*handmade.Host, observe.ID)
	}{
		"memory grows":               {func(i int, u *observe.Hour) { u.High, u.Peak, u.Need = 0.6, 0.7, float64(50+i)*mib }, nil},
		"page cache fills the limit": {func(_ int, u *observe.Hour) { u.High, u.Peak, u.Need, u.Working = 0.6, 0.7, 600*mib, 1020*mib }, nil},
		"a heap of 800 MiB": {func(_ int, u *observe.Hour) { u.High, u.Peak = 0.6, 0.7 }, func(h *handmade.Host, c observe.ID) {
			h.Set(catalog.ProcessHeapLimit, h.Process("7", "jvm", "java -jar shop.jar", c), 800*mib)
		}},
		"a heap that follows the limit": {func(_ int, u *observe.Hour) { u.High, u.Peak = 0.6, 0.7 }, func(h *handmade.Host, c observe.ID) {
			h.Set(catalog.ProcessHeapLimitDefault, h.Process("7", "jvm", "java -jar shop.jar", c), 256*mib)
		}},
		"a start of 2 cores": {func(_ int, u *observe.Hour) {
			u.High, u.Peak, u.Start, u.Need, u.Working = 0.6, 0.7, 2, 600*mib, 700*mib
		}, nil},
	} {
		h, id := pod(t, hoursOf(8, c.hour))
		if c.set != nil {
			c.set(h, id)
		}
		if f := h.One(Analyzer); f != nil {
			t.Errorf("%s: %s", name, f.Summary)
		}
	}
}

// TestThrottledNow checks that there is one number for a limit: that of cpu-throttled.
func TestThrottledNow(t *testing.T) {
	h, c := pod(t, hoursOf(8, func(_ int, u *observe.Hour) {
		u.High, u.Peak, u.Throttled, u.Need, u.Working = 0.5, 0.5, 0.3, 600*mib, 700*mib
	}))
	h.Set(catalog.CgroupCPULimit, c, 0.5)
	h.Set(catalog.CgroupCPUPeriod, c, 0.1)
	h.Set(catalog.CgroupPeriods, c, 300)
	h.Set(catalog.CgroupThrottled, c, 200)
	h.Set(catalog.CgroupThrottledS, c, 9)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("%s: %s", f.Summary, f.Recommendations[0].Action)
	}
}

// TestCommands checks the settings of workloads outside Kubernetes.
func TestCommands(t *testing.T) {
	for want, attrs := range map[string][]string{
		"docker update --cpus 0.35 --memory 256m --memory-swap 256m 0123456789ab": {catalog.AttrContainerID, strings.Repeat("0123456789ab", 5) + "cdef", catalog.AttrContainerKind, "docker"},
		"systemctl set-property web.service CPUQuota=35% MemoryMax=256M":          {catalog.AttrService, "web.service"},
		"write 35000 100000 in its cpu.max and 268435456 in its memory.max":       nil,
	} {
		h := handmade.New(t, 30, 4)
		c := h.Add(observe.Cgroup, "/some/group", observe.None, attrs...)
		h.Set(catalog.CgroupCPUTime, c, 3)
		h.Set(catalog.CgroupCPULimit, c, 2)
		h.Set(catalog.CgroupMemoryLimit, c, 2*gib)
		h.Remember(past{c: hoursOf(8, nil)})
		f := h.One(Analyzer)
		if f == nil || !strings.HasSuffix(f.Recommendations[0].Action, want) {
			t.Errorf("finding = %+v, want %s", f, want)
		}
	}
}

// TestHost checks the sum over the workloads of a host.
func TestHost(t *testing.T) {
	h := handmade.New(t, 30, 4)
	h.Set(catalog.MemoryTotal, h.Node(), 8*gib)
	p := past{}
	for _, name := range []string{"a", "b", "c"} {
		c := h.Add(observe.Cgroup, "/kubepods/pod1/"+name, observe.None, catalog.AttrContainerName, name, catalog.AttrPodName, "shop", catalog.AttrNamespace, "web", catalog.AttrWorkload, "deployment/"+name)
		h.Set(catalog.CgroupCPUTime, c, 3)
		h.Set(catalog.KubeCPURequest, c, 1)
		h.Set(catalog.KubeMemoryRequest, c, gib)
		p[c] = hoursOf(8, nil)
	}
	h.Remember(p)
	r := h.Run(Analyzer)
	for _, f := range r.Findings {
		if f.Subject == h.Node() {
			if q := f.Recommendations[0].Quantity.Value; q < 2.39 || q > 2.41 {
				t.Errorf("frees %v cores, want 2.4", q)
			}
			t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
			return
		}
	}
	t.Errorf("no finding about the host: %d findings", len(r.Findings))
}
