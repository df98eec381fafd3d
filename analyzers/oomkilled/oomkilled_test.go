// SPDX-License-Identifier: Apache-2.0

package oomkilled

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// pod returns a pod with one container.
func pod(t *testing.T) (h *handmade.Host, pod, container observe.ID) {
	h = handmade.New(t, 10, 2)
	pod = h.Add(observe.Cgroup, "/kubepods/pod1", observe.None, catalog.AttrPodUID, "1")
	container = h.Add(observe.Cgroup, "/kubepods/pod1/api", pod, catalog.AttrContainerName, "api", catalog.AttrPodUID, "1")
	h.Set(catalog.CgroupOOMKills, pod, 0)
	h.Set(catalog.CgroupOOMKills, container, 1)
	return h, pod, container
}

func limit(h *handmade.Host, cgroup observe.ID, bytes, usage float64) {
	h.Set(catalog.CgroupMemoryLimit, cgroup, bytes)
	h.Set(catalog.CgroupMemoryUsage, cgroup, usage)
}

func killed(h *handmade.Host, pid string, container, limiter observe.ID) observe.ID {
	v := h.Process(pid, "node", "node server.js", container)
	h.Set(catalog.ProcessOOMKills, v, 1)
	h.Set(catalog.ProcessOOMMemory, v, 121*mib)
	if limiter != observe.None {
		h.Pair(catalog.OOMLimit, v, limiter, 1)
	}
	return v
}

func TestOwnLimit(t *testing.T) {
	h, _, container := pod(t)
	limit(h, container, 128*mib, 100*mib)
	killed(h, "42", container, container)
	f := h.One(Analyzer)
	if f == nil || f.Cause != containerLimit || f.Severity != analysis.Critical || f.Confidence != seen || f.Subject != container {
		t.Fatalf("finding = %+v, want a critical %s about the container", f, containerLimit)
	}
	t.Log(f.Summary)
	r := f.Recommendations[0]
	if r.Verb != analysis.RaiseMemoryLimit || r.Quantity.Value != 224*mib {
		t.Errorf("advice = %s %v, want a limit of 128 MiB + 100 MB, rounded up to 224 MiB", r.Verb, r.Quantity)
	}
}

func TestLimitOfThePod(t *testing.T) {
	h, pod, container := pod(t)
	limit(h, container, 512*mib, 100*mib)
	limit(h, pod, 128*mib, 100*mib)
	killed(h, "42", container, pod)
	f := h.One(Analyzer)
	if f == nil || f.Subject != container || !strings.Contains(f.Summary, "the limit of pod 1 is 128 MiB") {
		t.Fatalf("finding = %+v, want the pod's limit named", f)
	}
	if r := f.Recommendations[0]; !strings.Contains(r.Action, "pod 1") {
		t.Errorf("advice = %s, want the pod's limit raised", r.Action)
	}
}

func TestNobodySawIt(t *testing.T) {
	h, pod, container := pod(t)
	limit(h, pod, 128*mib, 127*mib)
	h.Set(catalog.CgroupMaxEvents, pod, 20)
	f := h.One(Analyzer)
	if f == nil || f.Subject != container || f.Confidence != inferred || f.Gap == nil || !strings.Contains(f.Summary, "limit of pod 1") {
		t.Fatalf("finding = %+v, want one with a gap, under the pod's limit", f)
	}
	t.Log(f.Summary)
}

func TestHost(t *testing.T) {
	h, _, container := pod(t)
	limit(h, container, 512*mib, 100*mib)
	killed(h, "42", container, observe.None)
	f := h.One(Analyzer)
	if f == nil || f.Cause != host || f.Confidence != seen || f.Recommendations[0].Verb != analysis.AddMemory {
		t.Fatalf("finding = %+v, want the host", f)
	}
	t.Log(f.Summary)
}

func TestOneFindingPerGroup(t *testing.T) {
	h, _, container := pod(t)
	limit(h, container, 128*mib, 100*mib)
	h.Set(catalog.CgroupOOMKills, container, 1)
	killed(h, "42", container, container)
	killed(h, "43", container, container)
	if f := h.One(Analyzer); f == nil || !strings.Contains(f.Summary, "one of 2") {
		t.Errorf("finding = %+v, want one for both", f)
	}
}

func TestNoKillIsSilent(t *testing.T) {
	h := handmade.New(t, 10, 2)
	c := h.Add(observe.Cgroup, "/a", observe.None)
	limit(h, c, 128*mib, 128*mib)
	h.Set(catalog.CgroupOOMKills, c, 0)
	h.Set(catalog.CgroupMaxEvents, c, 1000)
	if f := h.One(Analyzer); f != nil {
		t.Errorf("finding: %s", f.Summary)
	}
}

func TestGrowthIsALeakFirst(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   bool
	}{{[]float64{10, 20, 30, 40, 5}, true}, {[]float64{10, 40}, false}, {[]float64{40, 40, 40}, false}} {
		var points []observe.Point
		for i, v := range tt.values {
			points = append(points, observe.Point{At: float64(i), Value: v})
		}
		if bytes, _, ok := facts.Growth(points); (ok && bytes > 20) != tt.want {
			t.Errorf("growth of %v = %v %v, want %v", tt.values, bytes, ok, tt.want)
		}
	}
}

// TestGroupKillCountsItsVictimTwice checks a kill with memory.oom.group: two
// processes, of which the kernel counts the first one twice.
func TestGroupKillCountsItsVictimTwice(t *testing.T) {
	h, _, container := pod(t)
	limit(h, container, 128*mib, 100*mib)
	h.Set(catalog.CgroupOOMKills, container, 3)
	killed(h, "42", container, container)
	killed(h, "43", container, container)
	if r := h.Run(Analyzer); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Summary, "one of 2") {
		t.Errorf("findings = %+v, want one of two processes", r.Findings)
	}
}

// TestWithoutMemoryCgroups checks that one kill is one finding: with the probe only,
// with the host's counter only, and with both.
func TestWithoutMemoryCgroups(t *testing.T) {
	for _, tt := range []struct {
		probe, counter bool
		confidence     float64
	}{{true, false, seen}, {false, true, unknownVictim}, {true, true, seen}, {false, false, 0}} {
		h := handmade.New(t, 10, 2)
		h.Set(catalog.HostOOMKills, h.Node(), 0)
		if tt.counter {
			h.Set(catalog.HostOOMKills, h.Node(), 1)
		}
		if tt.probe {
			killed(h, "42", observe.None, observe.None)
		}
		r := h.Run(Analyzer)
		if len(r.Skipped) != 0 {
			t.Errorf("%+v: skipped, want it asked", tt)
		}
		if tt.confidence == 0 {
			if len(r.Findings) != 0 {
				t.Errorf("%+v: %s", tt, r.Findings[0].Summary)
			}
			continue
		}
		if len(r.Findings) != 1 || r.Findings[0].Confidence != tt.confidence || (r.Findings[0].Gap == nil) != tt.probe {
			t.Fatalf("%+v: findings = %+v, want one of confidence %v", tt, r.Findings, tt.confidence)
		}
		t.Log(r.Findings[0].Summary)
	}
}

// TestWhatFilledTheLimit checks that a higher limit is not the advice if files in
// memory filled the limit, and is if the victim did, or the victim and its shared
// memory.
func TestWhatFilledTheLimit(t *testing.T) {
	for _, tt := range []struct {
		name                string
		anon, shmem, kernel float64
		verb                analysis.Verb
		says                string
	}{
		{"files in memory", 12, 110, 2, analysis.BoundTmpfs, "shared memory hold 110 MiB of it"},
		{"the victim", 110, 12, 2, analysis.RaiseMemoryLimit, ""},
		{"both", 60, 62, 2, analysis.RaiseMemoryLimit, ""},
		{"the kernel", 20, 0, 100, analysis.RaiseMemoryLimit, "memory of the kernel (sockets, page tables, directory entries) holds 100 MiB of it"},
	} {
		h, _, container := pod(t)
		h.Set(catalog.CgroupMemoryLimit, container, 128*mib)
		h.Set(catalog.CgroupMemoryUsage, container, 127*mib)
		h.Set(catalog.CgroupOOMKills, container, 1)
		h.Set(catalog.CgroupOOMEvents, container, 1)
		h.Set(catalog.CgroupMemoryAnon, container, tt.anon*mib)
		h.Set(catalog.CgroupMemoryShmem, container, tt.shmem*mib)
		h.Set(catalog.CgroupMemoryKernel, container, tt.kernel*mib)
		f := h.One(Analyzer)
		if f == nil || len(f.Recommendations) == 0 || f.Recommendations[0].Verb != tt.verb || !strings.Contains(f.Summary, tt.says) {
			t.Errorf("%s: finding %+v, want %s and %q", tt.name, f, tt.verb, tt.says)
		}
	}
}

// TestOutsideTheHeap checks that memory outside of the heap is named if the victim held
// more than its heap can have, and that the heap limit is then not blamed.
func TestOutsideTheHeap(t *testing.T) {
	for held, want := range map[float64]bool{250: true, 150: false} {
		h, _, container := pod(t)
		limit(h, container, 256*mib, 250*mib)
		v := killed(h, "42", container, container)
		h.Set(catalog.ProcessOOMMemory, v, held*mib)
		h.Set(catalog.ProcessHeapLimit, v, 128*mib)
		h.Vary(catalog.CgroupMemoryUsage, container, func(second float64) float64 { return (50 + 20*second) * mib })
		f := h.One(Analyzer)
		if f == nil {
			t.Fatalf("%.0f MiB held: no finding", held)
		}
		said := strings.Contains(f.Summary, "at least 90 MiB outside of its heap, whose maximum is 128 MiB")
		advised := strings.Contains(f.Recommendations[0].Action, "a higher heap limit does not help")
		if said != want || advised != want {
			t.Errorf("%.0f MiB held: %s -> %s", held, f.Summary, f.Recommendations[0].Action)
		}
	}
}

// TestOthersFilledTheLimit checks that the program that holds most of the limit is named
// if the victim is another one.
func TestOthersFilledTheLimit(t *testing.T) {
	h, _, container := pod(t)
	limit(h, container, 256*mib, 250*mib)
	h.Set(catalog.ProcessOOMMemory, killed(h, "42", container, container), 14*mib)
	for _, pid := range []string{"50", "51", "52", "53"} {
		h.Set(catalog.ProcessAnon, h.Process(pid, "python", "gunicorn shop", container), 55*mib)
	}
	if f := h.One(Analyzer); f == nil || !strings.Contains(f.Summary, "and 4 processes of gunicorn shop hold 220 MiB of it") {
		t.Errorf("finding = %+v, want the workers named", f)
	}
}

// TestTogether checks that a limit has room for the processes of one program that ran at
// the same time. A reading takes a while, in which one is killed and the next one starts.
func TestTogether(t *testing.T) {
	for name, c := range map[string]struct {
		lives [][2]int // seconds of the first and of the last reading
		want  float64  // processes
	}{
		"one":                  {[][2]int{{2, 5}}, 1},
		"one after the other":  {[][2]int{{1, 4}, {4, 7}, {7, 10}}, 1},
		"four at once":         {[][2]int{{1, 5}, {1, 5}, {1, 6}, {1, 6}}, 4},
		"two, and one restart": {[][2]int{{1, 5}, {1, 9}, {6, 9}}, 2},
	} {
		h, _, container := pod(t)
		limit(h, container, 128*mib, 120*mib)
		for i, life := range c.lives {
			h.Each(catalog.ProcessAnon, killed(h, strconv.Itoa(42+i), container, container), func(second int) float64 {
				if second < life[0] || second > life[1] {
					return math.NaN()
				}
				return 121 * mib
			})
		}
		f := h.One(Analyzer)
		low, high := spared*c.want*121*mib, (c.want*121+100+32)*mib
		if f == nil || f.Recommendations[0].Verb != analysis.RaiseMemoryLimit {
			t.Fatalf("%s: finding %+v", name, f)
		}
		if v := f.Recommendations[0].Quantity.Value; v < low || v > high {
			t.Errorf("%s: %s, want room for %v processes", name, f.Recommendations[0].Action, c.want)
		}
	}
}
