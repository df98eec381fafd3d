// SPDX-License-Identifier: Apache-2.0

package history

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

var midnight = time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)

// A host has processes whose memory and descriptors the test sets.
type host struct {
	*History
	index *observe.Index
	since time.Duration
	diff  *observe.Differ
	snap  *observe.Snapshot
}

func newHost(budget int) *host { return bootedHost("boot", midnight, time.Hour, budget) }

func bootedHost(boot string, wall time.Time, since time.Duration, budget int) *host {
	x := observe.NewIndex(10_000)
	return &host{index: x, since: since, diff: observe.NewDiffer(x), snap: observe.NewSnapshot(x),
		History: New(Options{Index: x, Boot: boot, Wall: wall, Since: since, Budget: budget})}
}

func (h *host) process(pid int) observe.ID {
	id := h.index.ID(observe.Entity{Kind: observe.Process, ID: strconv.Itoa(pid) + ":1"})
	h.index.Describe(id, observe.Info{Attrs: map[string]string{catalog.AttrExecutable: "node", catalog.AttrService: "shop.service"}})
	return id
}

// pass advances the host by a number of seconds, with a level of memory in each.
func (h *host) pass(seconds int, level func(id observe.ID, second int) float64, ids ...observe.ID) {
	for i := range seconds {
		h.since += time.Second
		h.snap.Reset()
		h.snap.Monotonic, h.snap.BootTime = h.since, h.since
		for _, id := range ids {
			h.snap.Set(catalog.ProcessAnon, id, level(id, i))
		}
		h.Add(h.diff.Step(h.snap), h.since)
	}
}

func mib(n float64) float64 { return n * (1 << 20) }

// growing returns 100 MiB plus one MiB per second.
func growing(_ observe.ID, second int) float64 { return mib(100 + float64(second)) }

func flat(observe.ID, int) float64 { return mib(100) }

// TestTiers checks that each query is answered by the finest tier that covers its
// range.
func TestTiers(t *testing.T) {
	h := newHost(0)
	p := h.process(1)
	h.pass(8*3600, growing, p)
	for _, c := range []struct{ back, step float64 }{{60, 1}, {300, 1}, {3600, 10}, {5 * 3600, 10}, {7 * 3600, 60}} {
		points := h.Points(catalog.ProcessAnon, p, c.back, 0)
		if len(points) < 2 || points[1].At-points[0].At != c.step || points[0].At > -c.back+c.step {
			t.Errorf("of the last %v s: %d points, the first two %v, want one each %v s", c.back, len(points), points[:min(2, len(points))], c.step)
			continue
		}
		for _, at := range points {
			if want := mib(100 + 8*3600 - 1 + at.At); math.Abs(at.Value-want) > want/4096 {
				t.Errorf("at %v s it was %v, want %v", at.At, at.Value, want)
				break
			}
		}
	}
}

// TestBudget checks that the history never exceeds its budget, and that instead all
// series cover a shorter time.
func TestBudget(t *testing.T) {
	const budget = 150_000
	h := newHost(budget)
	random := rand.New(rand.NewPCG(1, 2))
	var ids []observe.ID
	for pid := range 60 {
		ids = append(ids, h.process(pid+1))
	}
	noise := func(observe.ID, int) float64 { return mib(100 + 50*random.Float64()) }
	for range 60 {
		h.pass(60, noise, ids...)
		if s := h.Stats(); s.Bytes > budget {
			t.Fatalf("%d bytes are in use, the budget is %d: %+v", s.Bytes, budget, s)
		}
	}
	s := h.Stats()
	if s.Series != 60 || s.Reach >= 1 {
		t.Errorf("%+v, want 60 series that go less far back", s)
	}
	if len(h.Points(catalog.ProcessAnon, ids[0], 3600, 0)) < 20 {
		t.Error("nothing to speak of is left of a series")
	}
	sum := 0
	for _, s := range h.series {
		sum += s.cost()
	}
	if sum != s.Bytes {
		t.Errorf("%d bytes are accounted for, %d are in use", s.Bytes, sum)
	}
}

// TestManyProcesses checks that ended processes are dropped for new ones, and that
// living processes are not.
func TestManyProcesses(t *testing.T) {
	h := newHost(64 << 20)
	lasting := h.process(1)
	for i := range 2 * maxSeries {
		id := h.process(i + 2)
		h.pass(1, flat, lasting, id)
		h.index.Free([]observe.ID{id})
	}
	s := h.Stats()
	if s.Series > maxSeries || s.Refused != 0 {
		t.Errorf("%+v, want at most %d and none refused", s, maxSeries)
	}
	if n := len(h.Points(catalog.ProcessAnon, lasting, 600, 0)); n < 590 {
		t.Errorf("of what lives %d seconds are known, want 600", n)
	}
	var crowd []observe.ID
	for i := range maxSeries {
		crowd = append(crowd, h.process(i+100_000))
	}
	h.pass(3, flat, crowd...)
	if s := h.Stats(); s.Series > maxSeries {
		t.Errorf("%d series, want at most %d", s.Series, maxSeries)
	}
}

// TestFloor checks that small values are not kept, and that values that become large
// are.
func TestFloor(t *testing.T) {
	h := newHost(0)
	p := h.process(1)
	h.pass(30, func(_ observe.ID, s int) float64 { return mib(float64(s)) }, p)
	points := h.Points(catalog.ProcessAnon, p, 600, 0)
	if len(points) != 14 || points[0].Value != mib(16) {
		t.Errorf("%d points from %v, want the 14 from 16 MiB on", len(points), points)
	}
}

// again returns the host after a restart of the agent.
func (h *host) again(t *testing.T, boot string, wall time.Time, since time.Duration) *host {
	t.Helper()
	other := bootedHost(boot, wall, since, 0)
	l := other.Load()
	if err := h.Records(l.Record); err != nil {
		t.Fatal(err)
	}
	return other
}

// TestRestart checks that a series continues after a restart, with the gap of the
// restart.
func TestRestart(t *testing.T) {
	h := newHost(0)
	p := h.process(1)
	h.pass(1000, growing, p)
	was := h.Points(catalog.ProcessAnon, p, 500, 0)
	h = h.again(t, "boot", midnight.Add(1100*time.Second), h.since+100*time.Second)
	h.snap.BootTime = h.since
	p = h.process(1)
	h.pass(1, flat, p)
	points := h.Points(catalog.ProcessAnon, p, 601, 0)
	if len(points) != len(was)+1 || points[0].At != was[0].At-101 || points[len(points)-2].Value != was[len(was)-1].Value {
		t.Errorf("%d points after the restart from %v, want %d and one more, 101 s later", len(points), points[0], len(was))
	}
	h.pass(300, flat, p)
	points = h.Points(catalog.ProcessAnon, p, 5000, 0)
	if !slices.IsSortedFunc(points, func(a, b observe.Point) int { return int(a.At - b.At) }) || len(points) < 120 {
		t.Errorf("%d points, in order or not: %v", len(points), points)
	}
	if s := h.Stats(); s.Series != 1 {
		t.Errorf("%d series, want the one", s.Series)
	}
}

// TestClockIsSet checks that a change of the time of day has no effect while the kernel
// runs. After a reboot the time of day is used, but history time never goes back.
func TestClockIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		boot string
		wall time.Duration // after the save, by the clock at that time
		want time.Duration // age of the last reading
	}{
		"set back by a year":          {"boot", -365 * 24 * time.Hour, 100 * time.Second},
		"set forward by a year":       {"boot", 365 * 24 * time.Hour, 100 * time.Second},
		"a boot":                      {"other", 300 * time.Second, 300 * time.Second},
		"a boot, set back by a year":  {"other", -365 * 24 * time.Hour, 0},
		"a boot, set back by an hour": {"other", -time.Hour, 0},
	} {
		h := newHost(0)
		p := h.process(1)
		h.pass(200, flat, p)
		last := h.Now()
		since := h.since + 100*time.Second
		if c.boot != "boot" {
			since = 50 * time.Second
		}
		h = h.again(t, c.boot, midnight.Add(200*time.Second+c.wall), since)
		if age := time.Duration(h.Now()-last) * time.Second; age != c.want {
			t.Errorf("%s: the last reading is %v old, want %v", name, age, c.want)
		}
		before := h.Now()
		h.pass(10, flat, h.process(1))
		if h.Now() != before+10 {
			t.Errorf("%s: ten seconds took %d", name, h.Now()-before)
		}
	}
}

// TestOtherBoot checks that after a reboot a pid with the same start time is another
// process, and that the one from before the reboot counts as its earlier run.
func TestOtherBoot(t *testing.T) {
	h := newHost(0)
	h.pass(200, growing, h.process(1))
	h = h.again(t, "other", midnight.Add(time.Hour), time.Minute)
	p := h.process(1)
	h.pass(10, flat, p)
	if n := len(h.Points(catalog.ProcessAnon, p, 7200, 0)); n != 10 {
		t.Errorf("%d points, want the ten of this boot", n)
	}
	if peak, ok := h.Earlier(catalog.ProcessAnon, p); !ok || math.Abs(peak-mib(299)) > mib(0.1) {
		t.Errorf("earlier peak = %v %v, want 299 MiB", peak, ok)
	}
}

// TestLateLoad checks that state that is loaded late adds older readings.
func TestLateLoad(t *testing.T) {
	first := newHost(0)
	first.pass(1000, growing, first.process(1))
	h := bootedHost("boot", midnight.Add(1100*time.Second), first.since+100*time.Second, 0)
	p := h.process(1)
	h.pass(50, flat, p)
	l := h.Load()
	if err := first.Records(l.Record); err != nil {
		t.Fatal(err)
	}
	h.pass(50, flat, p)
	points := h.Points(catalog.ProcessAnon, p, 600, 0)
	if len(points) < 450 || points[len(points)-1].Value != mib(100) || points[0].Value < mib(500) {
		t.Errorf("%d points from %v to %v", len(points), points[0], points[len(points)-1])
	}
}

// TestForeignRecords checks that an invalid record is skipped, and that all other
// records are loaded.
func TestForeignRecords(t *testing.T) {
	for _, text := range []string{"", "{", `{"boot":"b"}`} {
		if err := newHost(0).Load().Record([]byte(text)); err == nil {
			t.Errorf("%q is taken for a clock", text)
		}
	}
	h := newHost(0)
	l := h.Load()
	if err := l.Record([]byte(`{"boot":"boot","start":1,"now":2}`)); err != nil {
		t.Fatal(err)
	}
	for text, fails := range map[string]bool{
		`{"metric":"of.another.version","kind":"process","entity":"1:1"}`:                                                                               false,
		`{"metric":"headroom.process.memory.anon","kind":"comet","entity":"1:1"}`:                                                                       false,
		`{"metric":"headroom.process.memory.anon","kind":"process","entity":"1:1","tiers":[[{"from":1,"to":9,"data":"AAA="}]]}`:                         true,
		`{"metric":"headroom.process.memory.anon","kind":"process","entity":"1:1","tiers":[[{"from":1,"to":9,"data":"AHhBQUFBQUFBQUFBQUFBQUFBQUE="}]]}`: true,
		`[]`: true,
	} {
		if err := l.Record([]byte(text)); (err != nil) != fails {
			t.Errorf("%s: err = %v", text, err)
		}
	}
	if s := h.Stats(); s.Series != 0 || s.Bytes != 0 {
		t.Errorf("%+v, want nothing", s)
	}
}

func FuzzRecord(f *testing.F) {
	h := newHost(0)
	h.pass(700, growing, h.process(1))
	if err := h.Records(func(text []byte) error { f.Add(slices.Clone(text)); return nil }); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		h := newHost(0)
		l := h.Load()
		_ = l.Record([]byte(`{"boot":"boot","start":1,"now":2}`))
		_ = l.Record(text) // whether it returns an error does not matter
		p := h.process(1)
		h.pass(3, flat, p)
		_ = h.Points(catalog.ProcessAnon, p, 1e6, 0)
	})
}

// BenchmarkAppend measures a full node for twenty minutes: 1,000 processes of 30 MiB to
// 1 GiB, a tenth of which change.
func BenchmarkAppend(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	level := func(id observe.ID, second int) float64 {
		if id%10 != 0 {
			return mib(30 + float64(id))
		}
		return mib(30 + float64(id) + 10*random.Float64())
	}
	for b.Loop() {
		b.StopTimer()
		h := newHost(0)
		var ids []observe.ID
		for pid := range 1000 {
			ids = append(ids, h.process(pid+1))
			h.snap.Set(catalog.ProcessAnon, ids[pid], 0)
		}
		h.diff.Step(h.snap)
		h.pass(1, func(observe.ID, int) float64 { return 0 }, ids...)
		before := heap()
		b.StartTimer()
		began := time.Now()
		h.pass(1200, level, ids...)
		b.StopTimer()
		took := time.Since(began)
		s := h.Stats()
		b.ReportMetric(float64(took.Nanoseconds())/(1200*1000), "ns/append")
		b.ReportMetric(float64(s.Bytes)/float64(s.Series), "bytes/series")
		b.ReportMetric(float64(heap()-before)/float64(s.Series), "heap/series")
		runtime.KeepAlive(h)
		b.StartTimer()
	}
}

// BenchmarkWeek measures how far back the default budget reaches with 1,000 processes,
// a tenth of which change, read every ten seconds for seven days.
func BenchmarkWeek(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		h := newHost(0)
		var ids []observe.ID
		for pid := range 1000 {
			ids = append(ids, h.process(pid+1))
		}
		for range 7 * 24 * 360 {
			h.since += 10 * time.Second
			h.snap.Reset()
			h.snap.Monotonic, h.snap.BootTime = h.since, h.since
			for i, id := range ids {
				level := mib(30 + float64(i))
				if i%10 == 0 {
					level += mib(10 * random.Float64())
				}
				h.snap.Set(catalog.ProcessAnon, id, level)
			}
			h.Add(h.diff.Step(h.snap), h.since)
		}
		s := h.Stats()
		b.ReportMetric(float64(s.Bytes)/(1<<20), "MiB")
		b.ReportMetric(100*s.Reach, "%reach")
		b.ReportMetric(-h.Points(catalog.ProcessAnon, ids[0], 7*24*3600, 0)[0].At/3600, "h/back")
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkPoints(b *testing.B) {
	h := newHost(0)
	p := h.process(1)
	random := rand.New(rand.NewPCG(1, 2))
	h.pass(4*3600, func(observe.ID, int) float64 { return mib(100 + 10*random.Float64()) }, p)
	for _, back := range []float64{600, 5400} {
		b.Run(fmt.Sprintf("of the last %.0f s", back), func(b *testing.B) {
			for b.Loop() {
				_ = h.Points(catalog.ProcessAnon, p, back, 0)
			}
		})
	}
}

// TestNearASmallLimit checks that a value below Keep.From is kept if it is near its
// limit.
func TestNearASmallLimit(t *testing.T) {
	h := newHost(1 << 20)
	near, far, unlimited := h.process(1), h.process(2), h.process(3)
	for range 2 {
		h.since += time.Second
		h.snap.Reset()
		h.snap.Monotonic, h.snap.BootTime = h.since, h.since
		for id, limit := range map[observe.ID]float64{near: 40, far: 1024, unlimited: 0} {
			h.snap.Set(catalog.ProcessFDs, id, 30)
			if limit > 0 {
				h.snap.Set(catalog.ProcessFDLimit, id, limit)
			}
		}
		h.Add(h.diff.Step(h.snap), h.since)
	}
	if kept := h.known[catalog.ProcessFDs]; len(kept) != 1 || kept[near] == nil {
		t.Errorf("%d processes are kept, want only the one with 30 of 40 descriptors", len(kept))
	}
}
