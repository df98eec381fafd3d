// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"
)

var (
	testCounter = &Metric{Name: "test.counter", Kind: Counter, About: Process, Series: true}
	testZeroed  = &Metric{Name: "test.zeroed", Kind: Counter, About: Loop, Zeroed: true}
	testGauge   = &Metric{Name: "test.gauge", Kind: Gauge, About: Process}
	testPair    = &Metric{Name: "test.pair", Kind: PairCounter, About: Process}
	testHist    = &Metric{Name: "test.hist", Kind: Histogram, About: Loop, Bounds: Log2Bounds(1, 2)}
)

// at returns an empty snapshot of second n.
func at(x *Index, n int) *Snapshot {
	s := NewSnapshot(x)
	s.Time = time.Unix(int64(n), 0)
	s.Monotonic, s.BootTime = time.Duration(n)*time.Second, time.Duration(n)*time.Second
	return s
}

// window adds up the steps between snapshots.
func window(x *Index, snapshots ...*Snapshot) *Window {
	w, d := NewWindow(x), NewDiffer(x)
	for _, s := range snapshots {
		w.Add(d.Step(s))
	}
	return w
}

func TestIncreaseLeavesOutWhatWentBackwards(t *testing.T) {
	x := NewIndex(10)
	p := x.ID(Entity{Process, "1:1"})
	var ss []*Snapshot
	for n, v := range []float64{10, 12, 3, 4} { // restarted between the second and the third
		s := at(x, n)
		s.Set(testCounter, p, v)
		ss = append(ss, s)
	}
	w := window(x, ss...)
	if got, ok := w.Increase(testCounter, p); !ok || got != 3 {
		t.Errorf("increase = %v, %v, want 3: 2 before the restart and 1 after", got, ok)
	}
	if got := w.Observed(testCounter, p); got != 2 {
		t.Errorf("observed for %v s, want 2: the second of the restart is not known", got)
	}
}

func TestFirstReadingIsNoIncrease(t *testing.T) {
	x := NewIndex(10)
	p := x.ID(Entity{Process, "1:1"})
	first, second := at(x, 0), at(x, 1)
	second.Set(testCounter, p, 100)
	if _, ok := window(x, first, second).Increase(testCounter, p); ok {
		t.Error("a counter's first reading was taken for an increase")
	}
}

func TestFirstReadingOfAProbeIsAnIncrease(t *testing.T) {
	x := NewIndex(10)
	l := x.ID(Entity{Loop, "1:1/1"})
	first, second := at(x, 0), at(x, 1)
	second.Set(testZeroed, l, 5)
	if got, _ := window(x, first, second).Increase(testZeroed, l); got != 5 {
		t.Errorf("increase of a counter that started at zero = %v, want 5", got)
	}
}

// TestRareReadings checks that no increase is lost if a sampler reads only every third
// second.
func TestRareReadings(t *testing.T) {
	x := NewIndex(10)
	p := x.ID(Entity{Process, "1:1"})
	var ss []*Snapshot
	for n := range 7 {
		s := at(x, n)
		if n%3 == 0 {
			s.Set(testCounter, p, float64(n)*2)
		}
		ss = append(ss, s)
	}
	w := window(x, ss...)
	if got, _ := w.Rate(testCounter, p); got != 2 {
		t.Errorf("rate = %v, want 2 a second", got)
	}
	if got := w.Series(testCounter, p); len(got) != 2 || got[0] != 2 || got[1] != 2 {
		t.Errorf("series = %v, want [2 2]", got)
	}
	if got := w.Points(testCounter, p); len(got) != 2 || got[0].At != 3 || got[1].At != 6 {
		t.Errorf("points = %v, want readings at 3 and 6 s", got)
	}
}

// TestShortStepHasNoRate checks that a step of some milliseconds adds to the counter
// but does not count for its rate.
func TestShortStepHasNoRate(t *testing.T) {
	x := NewIndex(10)
	p := x.ID(Entity{Process, "1:1"})
	first, second, third := at(x, 0), at(x, 1), at(x, 1)
	third.Monotonic += 10 * time.Millisecond
	first.Set(testCounter, p, 0)
	second.Set(testCounter, p, 1)
	third.Set(testCounter, p, 1.5)
	w := window(x, first, second, third)
	increase, _ := w.Increase(testCounter, p)
	_, high, ok := w.Range(testCounter, p)
	if increase != 1.5 || !ok || high != 1 || len(w.Series(testCounter, p)) != 1 {
		t.Errorf("increase %v, highest rate %v, series %v, want 1.5, 1 and [1]", increase, high, w.Series(testCounter, p))
	}
}

func TestGauge(t *testing.T) {
	x := NewIndex(10)
	p := x.ID(Entity{Process, "1:1"})
	var ss []*Snapshot
	for n, v := range []float64{5, 9, 7} {
		s := at(x, n)
		s.Set(testGauge, p, v)
		ss = append(ss, s)
	}
	w := window(x, ss...)
	last, _ := w.Last(testGauge, p)
	low, high, _ := w.Range(testGauge, p)
	if last != 7 || low != 5 || high != 9 {
		t.Errorf("last, low, high = %v, %v, %v, want 7, 5, 9", last, low, high)
	}
}

// TestSeries checks series with repeated values, with missing steps, and with more
// steps than are kept.
func TestSeries(t *testing.T) {
	x := NewIndex(10)
	m := &Metric{Name: "test.series", Kind: Gauge, About: Process, Series: true}
	p, q := x.ID(Entity{Process, "1:1"}), x.ID(Entity{Process, "2:1"})
	var ss []*Snapshot
	for n, v := range []float64{5, 5, 5, 7, 7, 5} {
		s := at(x, n)
		s.Set(m, q, 1)
		if n != 1 {
			s.Set(m, p, v)
		}
		ss = append(ss, s)
	}
	w := window(x, ss...)
	want := []Point{{0, 5}, {2, 5}, {3, 7}, {4, 7}, {5, 5}}
	if got := w.Points(m, p); !slices.Equal(got, want) {
		t.Errorf("points = %v, want %v", got, want)
	}
	if got := len(w.Points(m, q)); got != 6 {
		t.Errorf("%d points of a level that stands, want 6", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	var s series
	for n := range 3 * maxSeries {
		c := &sums{}
		c.level(0, float64(n))
		c.level(1, 1)
		s.step(float64(n), c)
	}
	for id := range ID(2) {
		points := s.points(id)
		if len(points) != maxSeries || points[0].At != 2*maxSeries || points[maxSeries-1].At != 3*maxSeries-1 {
			t.Errorf("%d points from %v to %v, want the last %d", len(points), points[0].At, points[len(points)-1].At, maxSeries)
		}
	}
	if n := len(s.runs[0]); n > maxSeries+1 {
		t.Errorf("%d runs are kept, want %d", n, maxSeries)
	}
}

func TestPairs(t *testing.T) {
	x := NewIndex(10)
	v, a, b := x.ID(Entity{Process, "1:1"}), x.ID(Entity{Process, "2:1"}), x.ID(Entity{Process, "3:1"})
	first, second := at(x, 0), at(x, 1)
	first.SetPair(testPair, v, a, 1)
	second.SetPair(testPair, v, a, 2)
	second.SetPair(testPair, v, b, 4)
	peers := window(x, first, second).Peers(testPair, v)
	if len(peers) != 2 || peers[0] != (Peer{b, 4}) || peers[1] != (Peer{a, 1}) {
		t.Errorf("peers = %v, want b with 4 and a with 1", peers)
	}
}

func TestHistIncrease(t *testing.T) {
	x := NewIndex(10)
	l := x.ID(Entity{Loop, "1:1/1"})
	var ss []*Snapshot
	for n := range 3 {
		s := at(x, n)
		h := s.Hist(testHist, l)
		h.Count[1], h.Sum[1] = float64(2*n), float64(3*n)
		ss = append(ss, s)
	}
	h, ok := window(x, ss...).Hist(testHist, l)
	if !ok || h.Count[1] != 4 || h.Sum[1] != 6 {
		t.Errorf("hist = %+v, %v, want 4 values adding up to 6", h, ok)
	}
}

func TestSuspendIsAGap(t *testing.T) {
	x := NewIndex(10)
	first, second := at(x, 0), at(x, 1)
	second.BootTime += time.Hour
	if w := window(x, first, second); len(w.Gaps) != 1 || w.Gaps[0].Source != "clock" {
		t.Errorf("gaps = %v, want one of the clock", w.Gaps)
	}
}

func TestStallInProgressIsReplacedByItself(t *testing.T) {
	x := NewIndex(10)
	l := x.ID(Entity{Loop, "1:1/1"})
	began := time.Unix(100, 0)
	var ss []*Snapshot
	for n := range 5 {
		s := at(x, n)
		s.Stalls = append(s.Stalls, Stall{Loop: l, Start: began, Duration: float64(n + 1), InProgress: n < 4})
		ss = append(ss, s)
	}
	got := window(x, ss...).StallsOf(l)
	if len(got) != 1 || got[0].Duration != 5 || got[0].InProgress {
		t.Errorf("stalls = %+v, want the ended one of 5 s alone", got)
	}
}

// TestStallsOfManyLoops checks that a window with a stall in each of very many loops,
// as a recording may have, is evaluated quickly. Comparing each stall with all the
// others takes minutes.
func TestStallsOfManyLoops(t *testing.T) {
	const loops = 300_000
	stalls := make([]Stall, loops)
	for i := range stalls {
		stalls[i] = Stall{Loop: ID(i), Start: time.Unix(100, 0), Duration: 1}
	}
	var w Window
	began := time.Now()
	w.addStalls(stalls)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("adding %d stalls took %v", loops, took)
	}
	if len(w.Stalls) != loops {
		t.Errorf("%d stalls kept, want %d", len(w.Stalls), loops)
	}
}

func TestLongestStallsAreKept(t *testing.T) {
	var w Window
	for n := range 100 {
		one := Stall{Loop: 1, Start: time.Unix(int64(n), 0), Duration: float64(n * 37 % 100)}
		other := Stall{Loop: 2, Start: one.Start, Duration: 1}
		w.addStalls([]Stall{one, other})
	}
	var kept []float64
	for _, s := range w.StallsOf(1) {
		kept = append(kept, s.Duration)
	}
	if want := []float64{99, 98, 97, 96, 95, 94, 93, 92}; !slices.Equal(kept, want) {
		t.Errorf("stalls of the first loop = %v, want %v", kept, want)
	}
	if n := len(w.Stalls); n != 2*maxStalls {
		t.Errorf("%d stalls kept, want %d", n, 2*maxStalls)
	}
}

func TestFullIndexRefuses(t *testing.T) {
	x := NewIndex(1)
	x.ID(Entity{Process, "1:1"})
	if id := x.ID(Entity{Process, "2:1"}); id != None {
		t.Errorf("ID in a full index = %v, want None", id)
	}
	s := at(x, 0)
	s.Set(testGauge, None, 1) // does nothing, and does not panic
	s.Hist(testHist, None).Count[0]++
	if x.Refused() != 1 || len(s.Metrics()) != 0 {
		t.Errorf("refused %d, metrics %v, want 1 and none", x.Refused(), s.Metrics())
	}
}

func TestLog2Bounds(t *testing.T) {
	want := []float64{1, 1.189207115, 1.414213562, 1.681792831, 2, 2.378414230, 2.828427125, 3.363585661, 4}
	got := Log2Bounds(1, 2)
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-9 {
			t.Fatalf("bounds = %v, want %v", got, want)
		}
	}
}

// BenchmarkTick measures a snapshot of 10,000 entities with six metrics each, and its
// Diff, in a steady run: nothing is allocated per entity.
func BenchmarkTick(b *testing.B) {
	const entities, metrics = 10_000, 6
	x := NewIndex(DefaultLimit)
	var ids []ID
	for i := range entities {
		ids = append(ids, x.ID(Entity{Process, strconv.Itoa(i) + ":1"}))
	}
	var ms []*Metric
	for i := range metrics {
		ms = append(ms, &Metric{Name: "m" + strconv.Itoa(i), Kind: Counter})
	}
	s, d, w := NewSnapshot(x), NewDiffer(x), NewWindow(x)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		s.Reset()
		s.Monotonic = time.Duration(n) * time.Second
		for _, m := range ms {
			for _, id := range ids {
				s.Set(m, id, float64(n))
			}
		}
		w.Add(d.Step(s))
	}
}

func TestCoarse(t *testing.T) {
	for octaves, want := range map[int]int{4: 4, 16: 8, 22: 12} {
		if got := Coarse(Log2Bounds(1, octaves)); got != want {
			t.Errorf("Coarse of %d octaves = %d buckets, want %d", octaves, got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	h := NewHist(testHist)
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("p99 of nothing = %v, want 0", got)
	}
	h.Count[1], h.Sum[1] = 98, 98
	h.Count[5], h.Sum[5] = 2, 6
	for q, want := range map[float64]float64{0.5: 1, 0.98: 1, 0.99: 3, 1: 3} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
}
