// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Series here are simulated, because they test arithmetic. Results for real
// programs are tested with recorded lives in analyzers/memorygrowth.

// every returns n points that are step seconds apart.
func every(step float64, n int, f func(t float64) float64) (at, values []float64) {
	for i := range n {
		t := step * float64(i)
		at, values = append(at, t), append(values, f(t))
	}
	return at, values
}

func TestClimbOf(t *testing.T) {
	var random *rand.Rand
	noise := func(sd float64) float64 { return sd * random.NormFloat64() }
	const limit = 1000
	for name, tt := range map[string]struct {
		f    func(t float64) float64
		rate float64 // per second; 0 for none
	}{
		"a leak":                     {func(t float64) float64 { return 200 + 0.02*t + noise(2) }, 0.02},
		"without any noise":          {func(t float64) float64 { return 200 + 0.02*t }, 0.02},
		"under a collector's teeth":  {func(t float64) float64 { return 200 + 0.02*t + 0.5*math.Mod(t, 300) }, 0.02},
		"in small steps":             {func(t float64) float64 { return 200 + 5*math.Floor(t/250) + noise(1) }, 0.02},
		"faster and faster":          {func(t float64) float64 { return 200 + 0.0000037*t*t + noise(1) }, 0.02},
		"flat":                       {func(float64) float64 { return 400 + noise(5) }, 0},
		"constant":                   {func(float64) float64 { return 400 }, 0},
		"teeth of a collector":       {func(t float64) float64 { return 200 + 0.5*math.Mod(t, 400) }, 0},
		"a step":                     {func(t float64) float64 { return 200 + 200*math.Floor(t/2700) + noise(1) }, 0},
		"a cache that has filled":    {func(t float64) float64 { return 200 + 0.1*math.Min(t, 2000) + noise(1) }, 0},
		"a warm-up":                  {func(t float64) float64 { return 200 + 200*(1-math.Exp(-t/900)) + noise(1) }, 0},
		"a load that comes and goes": {func(t float64) float64 { return 300 + 100*math.Sin(2*math.Pi*t/5400) + noise(2) }, 0},
		"shrinks":                    {func(t float64) float64 { return 500 - 0.02*t + noise(1) }, 0},
		"less than it matters":       {func(t float64) float64 { return 200 + 0.001*t + noise(0.1) }, 0},
	} {
		random = rand.New(rand.NewPCG(1, 2)) // map order is random
		at, values := every(10, 540, tt.f)
		c, ok := ClimbOf(at, values, limit)
		if ok != (tt.rate > 0) || ok && math.Abs(c.Slope-tt.rate) > 0.2*tt.rate {
			t.Errorf("%s: %+v %v, want a slope of %v", name, c, ok, tt.rate)
		}
	}
}

// TestWalks checks that a random walk over an hour and a half is rarely taken for
// growth.
func TestWalks(t *testing.T) {
	random, told := rand.New(rand.NewPCG(1, 2)), 0
	const walks = 500
	for range walks {
		walk := 400.0
		at, values := every(10, 540, func(float64) float64 { walk += random.NormFloat64(); return walk })
		if _, ok := ClimbOf(at, values, 1000); ok {
			told++
		}
	}
	t.Logf("%d of %d walks", told, walks)
	if told > walks/8 {
		t.Errorf("%d of %d walks are taken for growth", told, walks)
	}
}

// TestUntil checks that the limit counts as reached when a peak reaches it, and that
// the interval contains the true time.
func TestUntil(t *testing.T) {
	at, values := every(10, 540, func(t float64) float64 { return 200 + 0.02*t + 0.5*math.Mod(t, 300) })
	c, _ := ClimbOf(at, values, 1000)
	// At the end, the envelope is at 308 and peaks are 150 above it.
	want := (1000 - 308 - 150) / 0.02
	d := c.Until(1000)
	if math.Abs(d.At-want) > 0.1*want || *d.Low > want || d.High == nil || *d.High < want {
		t.Errorf("until %v, from %v to %v, want %v", d.At, *d.Low, *d.High, want)
	}
}

func TestFlattens(t *testing.T) {
	for name, tt := range map[string]struct {
		f    func(t float64) float64
		want bool
	}{
		"a line":                  {func(t float64) float64 { return 100 + t }, false},
		"a start and then a line": {func(t float64) float64 { return 100 + 5000*math.Min(t/300, 1) + t }, false},
		"a warm-up":               {func(t float64) float64 { return 100 * (1 - math.Exp(-t/2000)) }, true},
		"faster and faster":       {func(t float64) float64 { return t * t }, false},
	} {
		if at, values := every(10, 1000, tt.f); flattens(at, values) != tt.want {
			t.Errorf("%s flattens: %v, want %v", name, !tt.want, tt.want)
		}
	}
}

// TestWithoutLoad checks that memory that follows the connections is not growth, and
// that other growth is found.
func TestWithoutLoad(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	load := func(t float64) float64 { return 50 + 40*math.Sin(t/4000) + 10*math.Sin(t/300) }
	at, l := every(10, 540, load)
	for name, tt := range map[string]struct {
		leak float64
		per  float64 // per connection
	}{"it follows the load": {0, 3}, "it leaks beside": {0.03, 3}, "it leaks alone": {0.03, 0}} {
		_, values := every(10, 540, func(t float64) float64 { return 200 + tt.per*load(t) + tt.leak*t + random.NormFloat64() })
		c, ok := ClimbOf(at, WithoutLoad(at, values, l), 1000)
		if ok != (tt.leak > 0) || ok && math.Abs(c.Slope-tt.leak) > 0.25*tt.leak {
			t.Errorf("%s: %+v %v, want %v", name, c, ok, tt.leak)
		}
	}
}

// TestNoise checks that noise and random walks are rarely taken for a trend.
func TestNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	walks, flats := 0, 0
	const rounds = 300
	for range rounds {
		v := 0.0
		at, values := every(10, 540, func(float64) float64 { v = 0.97*v + random.NormFloat64(); return 400 + 5*v })
		if _, ok := ClimbOf(at, values, 1000); ok {
			flats++
		}
		v = 0
		_, values = every(10, 540, func(float64) float64 { v += random.NormFloat64(); return 400 + v })
		if _, ok := ClimbOf(at, values, 1000); ok {
			walks++
		}
	}
	if flats > rounds/100 || walks > rounds/10 {
		t.Errorf("of %d, %d that wander about a level and %d that wander off are growth: want 1 %% and a tenth at the most", rounds, flats, walks)
	}
	t.Logf("of %d: %d about a level, %d that wander off", rounds, flats, walks)
}

func TestFewOrNoPoints(t *testing.T) {
	at, values := every(300, 20, func(t float64) float64 { return t })
	if _, ok := ClimbOf(at, values, 10_000); ok {
		t.Error("twenty points tell growth")
	}
	if _, ok := ClimbOf(nil, nil, 1); ok {
		t.Error("nothing tells growth")
	}
	if floors := Drops(nil, nil, 1); floors != nil {
		t.Errorf("nothing drops to %v", floors)
	}
}

func BenchmarkClimbOf(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, f := range map[string]func(t float64) float64{
		"flat":   func(float64) float64 { return 400 + 5*random.NormFloat64() },
		"a leak": func(t float64) float64 { return 200 + 0.02*t + random.NormFloat64() },
	} {
		at, values := every(10, 540, f)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = ClimbOf(at, values, 1000)
			}
		})
	}
}
