// SPDX-License-Identifier: Apache-2.0

package history

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// container adds a container of a pod of deployment/shop.
func (h *host) container(pod string) observe.ID {
	id := h.index.ID(observe.Entity{Kind: observe.Cgroup, ID: "/kubepods/" + pod + "/api"})
	h.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrContainerID: pod + "0", catalog.AttrContainerName: "api",
		catalog.AttrWorkload: "deployment/shop", catalog.AttrPodName: pod, catalog.AttrNamespace: "web"}})
	return id
}

// A load is what a container uses at a second of a pass.
type load struct{ cores, anon, file, inactive, throttled, kills float64 }

// use advances the host by a number of steps.
func (h *host) use(steps int, each time.Duration, of func(second int) load, ids ...observe.ID) {
	total := make(map[observe.ID]load)
	for i := range steps {
		h.since += each
		h.snap.Reset()
		h.snap.Monotonic, h.snap.BootTime = h.since, h.since
		for _, id := range ids {
			now, sum := of(int(each.Seconds())*i), total[id]
			sum.cores += now.cores * each.Seconds()
			sum.throttled += now.throttled * each.Seconds()
			sum.kills += now.kills
			total[id] = sum
			h.snap.Set(catalog.CgroupCPUTime, id, sum.cores)
			h.snap.Set(catalog.CgroupThrottledS, id, sum.throttled)
			h.snap.Set(catalog.CgroupOOMKills, id, sum.kills)
			h.snap.Set(catalog.CgroupMemoryUsage, id, now.anon+now.file)
			h.snap.Set(catalog.CgroupMemoryFile, id, now.file)
			h.snap.Set(catalog.CgroupMemoryInactiveFile, id, now.inactive)
			h.snap.Set(catalog.CgroupMemoryShmem, id, 0)
		}
		h.Add(h.diff.Step(h.snap), h.since)
	}
}

func (h *host) hours(id observe.ID) []observe.Hour { return slices.Collect(h.Hours(id)) }

// near reports whether got is want, rounded up by less than one part in 100.
func near(got, want float64) bool { return got >= want*0.999 && got <= want*1.01 }

// TestHour checks the numbers of an hour with one busy five minutes, one busy second, and
// page cache.
func TestHour(t *testing.T) {
	h := newHost(0)
	c := h.container("shop-1")
	h.use(3600, time.Second, func(s int) load {
		l := load{cores: 0.2, anon: mib(100), file: mib(300), inactive: mib(250), throttled: 0.1}
		switch {
		case s >= 600 && s < 900:
			l.cores = 0.8
		case s == 2000:
			l.cores, l.anon, l.kills = 1.5, mib(180), 1
		}
		return l
	}, c)
	h.use(10, time.Second, func(int) load { return load{anon: mib(1)} }, c)
	hours := h.hours(c)
	if len(hours) != 2 {
		t.Fatalf("%d hours, want the one and that in progress", len(hours))
	}
	got := hours[0]
	for name, c := range map[string][2]float64{
		"mean": {got.Mean, 0.25}, "high": {got.High, 0.8}, "peak": {got.Peak, 1.5}, "throttled": {got.Throttled, 0.1},
		"need": {got.Need, mib(180)}, "working set": {got.Working, mib(230)}, "kills": {got.Kills, 1}, "seconds": {got.Seconds, 3598},
	} {
		if !near(c[0], c[1]) {
			t.Errorf("%s = %v, want %v", name, c[0], c[1])
		}
	}
	if got.OfWeek != 2*24 || got.Start != 0 { // midnight of a Wednesday
		t.Errorf("hour of the week = %d, start-up = %v", got.OfWeek, got.Start)
	}
}

// TestStartIsApart checks that the CPU time of a start is not part of what it serves with.
func TestStartIsApart(t *testing.T) {
	h := newHost(0)
	first := h.container("shop-1")
	h.use(60, time.Second, func(int) load { return load{cores: 0.1} }, first)
	second := h.container("shop-2")
	h.use(900, time.Second, func(s int) load {
		if s < 100 {
			return load{cores: 2}
		}
		return load{cores: 0.3}
	}, second)
	got := h.hours(second)[0]
	if !near(got.Start, 2) || !near(got.Peak, 0.3) || !near(got.Mean, 0.3) {
		t.Errorf("start %v, peak %v, mean %v, want 2, 0.3 and 0.3", got.Start, got.Peak, got.Mean)
	}
}

// TestDeployments checks that the hours belong to the workload: a pod that replaces
// another continues them, also after a restart of the agent and a reboot.
func TestDeployments(t *testing.T) {
	h := newHost(0)
	for day, pod := range []string{"shop-1", "shop-2", "shop-3"} {
		h.use(24*360, 10*time.Second, func(int) load { return load{cores: float64(day + 1)} }, h.container(pod))
	}
	h = h.again(t, "other", midnight.Add(3*24*time.Hour+time.Minute), time.Minute)
	c := h.container("shop-4")
	h.use(10, time.Second, func(int) load { return load{} }, c)
	hours := h.hours(c)
	if len(hours) < 72 || len(hours) > 73 || !near(hours[1].Mean, 1) || !near(hours[70].Mean, 3) {
		t.Fatalf("%d hours, want those of three days", len(hours))
	}
	if at := hours[0].At + 72*3600; math.Abs(at) > 3600 {
		t.Errorf("the first hour is %.1f h off", at/3600)
	}
}

// TestUsageIsBounded checks that the hours of many workloads keep within their part of
// the budget, and that the account of the memory is right.
func TestUsageIsBounded(t *testing.T) {
	const budget = 400_000
	h := newHost(budget)
	var ids []observe.ID
	for i := range 200 {
		id := h.index.ID(observe.Entity{Kind: observe.Cgroup, ID: "/system.slice/" + strconv.Itoa(i) + ".service"})
		h.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrService: strconv.Itoa(i) + ".service"}})
		ids = append(ids, id)
	}
	h.use(40*360, 10*time.Second, func(int) load { return load{cores: 0.1} }, ids...)
	if b := h.Stats().Bytes; b > usageShare*budget+200*rowCost {
		t.Errorf("%d bytes are in use, the share of the hours is %v", b, usageShare*budget)
	}
	sum := 0
	for _, rows := range h.usage.workloads {
		sum += workloadCost + len(rows)*rowCost
	}
	if s := h.Stats(); s.Bytes != sum || s.Series != 0 {
		t.Errorf("%d bytes are accounted for, %d are in use; %d series", s.Bytes, sum, s.Series)
	}
	if n := len(h.hours(ids[0])); n < 10 {
		t.Errorf("%d hours are left", n)
	}
}

// TestWhatIsFollowed checks that pods and the parts of a service are not followed, and
// that a group with a limit of its own is.
func TestWhatIsFollowed(t *testing.T) {
	h := newHost(0)
	add := func(path, parent string, attrs map[string]string) observe.ID {
		id := h.index.ID(observe.Entity{Kind: observe.Cgroup, ID: path})
		h.index.Describe(id, observe.Info{Parent: observe.Entity{Kind: observe.Cgroup, ID: parent}, Attrs: attrs})
		return id
	}
	service := map[string]string{catalog.AttrService: "web.service"}
	want := map[observe.ID]bool{
		add("/web", "/", service):                                    true,
		add("/web/worker", "/web", service):                          false,
		add("/pod", "/", map[string]string{catalog.AttrPodUID: "1"}): false,
		add("/plain", "/", nil):                                      false,
		add("/limited", "/", nil):                                    true,
	}
	for range 3 {
		h.since += time.Second
		h.snap.Reset()
		h.snap.Monotonic, h.snap.BootTime = h.since, h.since
		for id := range want {
			h.snap.Set(catalog.CgroupCPUTime, id, h.since.Seconds())
			if h.index.Entity(id).ID == "/limited" {
				h.snap.Set(catalog.CgroupCPULimit, id, 1)
			}
		}
		h.Add(h.diff.Step(h.snap), h.since)
	}
	for id, follow := range want {
		if got := len(h.hours(id)) > 0; got != follow {
			t.Errorf("%s is followed: %v, want %v", h.index.Entity(id).ID, got, follow)
		}
	}
}
