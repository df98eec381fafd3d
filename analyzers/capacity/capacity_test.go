// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestLagOfEqualTicks(t *testing.T) {
	// n ticks of q in T: the tail is n(q−x)/T and the quantile q − 0.01T/n.
	l := Lags{{Seconds: 0.2, Count: 20}}
	near(t, "tail", l.Tail(10, 0.05), 20*0.15/10, 1e-12)
	near(t, "p99", l.Quantile(10, 0.99), 0.2-0.01*10/20, 1e-12)
	near(t, "mean", l.Mean(10), 20*0.04/20, 1e-12)
}

func TestQuantileInvertsTail(t *testing.T) {
	l := Lags{{2, 1}, {0.3, 7}, {0.02, 90}, {0.001, 2000}}
	for _, p := range []float64{0.5, 0.7, 0.9, 0.99, 0.999} {
		x := l.Quantile(10, p)
		near(t, "tail at the quantile", l.Tail(10, x), 1-p, 1e-9)
	}
}

func TestQuantileOfAnIdleLoopIsZero(t *testing.T) {
	near(t, "p99", Lags{{0.001, 5}}.Quantile(10, 0.99), 0, 0)
	near(t, "p99 of none", Lags(nil).Quantile(10, 0.99), 0, 0)
}

func TestOneLongTickIsNotHiddenByManyShortOnes(t *testing.T) {
	l := Lags{{2, 1}, {0.001, 1000}}
	if got := l.Quantile(10, 0.99); got < 1.5 {
		t.Errorf("p99 with a tick of 2 s in 10 s = %v s, want above 1.5", got)
	}
}

func TestTailIsAShare(t *testing.T) {
	near(t, "tail of a tick longer than the window", Lags{{16, 1}}.Tail(10, 0.05), 1, 0)
	near(t, "tail of no window", Lags{{16, 1}}.Tail(0, 0.05), 0, 0)
}

func TestLagsOfBuckets(t *testing.T) {
	l := LagsOf([]float64{4, 0, 1}, []float64{2, 0, 5})
	if len(l) != 2 || l[0] != (Lag{5, 1}) || l[1] != (Lag{0.5, 4}) {
		t.Errorf("lags = %v", l)
	}
	near(t, "longest", l.Longest(), 5, 0)
	if got := l.With(7)[0].Seconds; got != 7 || l[0].Seconds != 5 {
		t.Errorf("With changed the original or did not sort: %v, %v", got, l)
	}
	near(t, "scaled", l.Scale(1, 0.1).Longest(), 0.5, 1e-12)
	near(t, "replaced", l.Replace(1, 0.001).Longest(), 0.5, 1e-12)
	near(t, "long share", l.LongShare(1), 25.0/26, 1e-12)
}

func TestSpeedUp(t *testing.T) {
	near(t, "all serial", SpeedUp(1, 1, 8), 1, 1e-12)
	near(t, "all parallel", SpeedUp(0, 2, 8), 4, 1e-12)
	near(t, "half on two", SpeedUp(0.5, 1, 2), 1/0.75, 1e-12)
}

func TestParallelism(t *testing.T) {
	near(t, "four alike", Parallelism([]float64{1, 1, 1, 1}), 4, 1e-12)
	near(t, "one of four", Parallelism([]float64{1, 0, 0, 0}), 1, 1e-12)
	near(t, "none", Parallelism(nil), 0, 0)
}

func TestRounding(t *testing.T) {
	for _, c := range []struct{ v, want float64 }{
		{0.21, 0.25}, {0.2, 0.2}, {1.1, 1.1}, {1.01, 1.1}, {3.95, 4}, {4.1, 4.5},
	} {
		if got := RoundCores(c.v); got != c.want {
			t.Errorf("RoundCores(%v) = %v, want %v", c.v, got, c.want)
		}
	}
	if got := FloorTo(0.36, 0.05); got != 0.35 {
		t.Errorf("FloorTo(0.36, 0.05) = %v, want 0.35", got)
	}
	if got := Spread(1.3, 0.65); got != 2 {
		t.Errorf("Spread(1.3, 0.65) = %d, want 2", got)
	}
	if got := Spread(0.01, 0.7); got != 1 {
		t.Errorf("Spread(0.01, 0.7) = %d, want 1", got)
	}
}

func TestCPULimitOfOneThread(t *testing.T) {
	// A thread that wants a core and may have 0.2 needs 1.1, whatever it used.
	value, low, high := CPULimit(1, 1, 1, 16)
	if value != 1.1 || low != 1 || high != 1.1 {
		t.Errorf("limit = %v (%v to %v), want 1.1 (1 to 1.1)", value, low, high)
	}
	if value, _, _ := CPULimit(5, 3, 8, 2); value != 2 {
		t.Errorf("limit on a host of 2 CPUs = %v, want 2", value)
	}
}

func TestCountQuantile(t *testing.T) {
	l := Lags{{0.05, 5}, {0.01, 10}}
	near(t, "p99 of 1000", l.CountQuantile(1000, 0.99), 0.01, 0)
	near(t, "p99 of 400", l.CountQuantile(400, 0.99), 0.05, 0)
	near(t, "p99 of 10000", l.CountQuantile(10000, 0.99), 0, 0)
}
