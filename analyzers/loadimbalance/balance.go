// SPDX-License-Identifier: Apache-2.0

package loadimbalance

import (
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A balance is the load of a pool: its busiest worker, and the others.
type balance struct {
	pool *facts.Pool
	hot  *facts.LoopView
	rest []*facts.LoopView
	// mean is the mean share of time in ticks of all workers, others that of all but
	// the busiest.
	mean, others float64
	// gap is the difference to the least busy worker, deviation the standard deviation
	// over the workers.
	gap, deviation float64
	// leads holds, for each reading, by how much the share of time in ticks of the
	// busiest worker was above the mean of the others.
	leads []float64
	// lags of the busiest worker, and of the others together.
	hotLags, otherLags capacity.Lags
}

func balanceOf(p *facts.Pass, pool *facts.Pool) *balance {
	b := &balance{pool: pool, hot: pool.Workers[0], mean: pool.Busy()}
	for _, l := range pool.Workers {
		if l.Busy > b.hot.Busy {
			b.hot = l
		}
	}
	b.gap = b.hot.Busy - pool.LeastBusy()
	shares := make([]float64, 0, len(pool.Workers))
	for _, l := range pool.Workers {
		shares = append(shares, l.Busy)
		if l != b.hot {
			b.rest = append(b.rest, l)
			b.others += l.Busy / float64(len(pool.Workers)-1)
			b.otherLags = append(b.otherLags, lagsOf(l)...)
		}
	}
	b.deviation = stat.StdDev(shares, nil)
	b.hotLags = lagsOf(b.hot)
	b.leads = leads(p, b.hot, b.rest)
	return b
}

func lagsOf(l *facts.LoopView) capacity.Lags {
	return capacity.LagsOf(l.Lag.Count, l.Lag.Sum).With(l.Current)
}

// leads compares the readings of all workers from the last one backwards: a worker
// that started later has fewer.
func leads(p *facts.Pass, hot *facts.LoopView, rest []*facts.LoopView) []float64 {
	lead := p.Series(catalog.LoopBusy, hot.ID)
	for _, l := range rest {
		series := p.Series(catalog.LoopBusy, l.ID)
		n := min(len(lead), len(series))
		lead, series = lead[len(lead)-n:], series[len(series)-n:]
		next := make([]float64, n)
		for i := range next {
			next[i] = lead[i] - series[i]/float64(len(rest))
		}
		lead = next
	}
	return lead
}

// uneven reports whether one worker is full, the load of the workers differs by more
// than chance, and moving it would help.
func (b *balance) uneven(p *facts.Pass) bool {
	if b.hot.Busy < p.Param(hotWorker) || b.gap < p.Param(leastGap) {
		return false
	}
	if b.hot.Busy < p.Param(peakToMean)*b.mean && b.deviation < p.Param(variation)*b.mean {
		return false
	}
	return b.stays(p.Param(hotSteps)) && b.hot.Busy-b.others >= p.Param(deviations)*b.chance()
}

// chance is the standard deviation of the lead of the busiest worker over the mean of
// the others if all get the same load: that of a Poisson process of ticks, whose
// variance is Σ q² / T², or what the readings show if arrivals come in bursts.
func (b *balance) chance() float64 {
	squares := func(l capacity.Lags) float64 { return 2 * l.Mean(1) }
	rest := float64(len(b.rest))
	poisson := (squares(b.hotLags) + squares(b.otherLags)/(rest*rest)) / (b.hot.Seconds * b.hot.Seconds)
	return math.Sqrt(max(poisson, stat.Variance(b.leads, nil)/float64(len(b.leads))))
}

// leastSteps is the number of readings below which chance cannot be excluded: with
// two fair workers the same one leads in four of four readings one time in eight.
const leastSteps = 5

// stays reports whether the busiest worker was busier than the others in that share
// of the readings.
func (b *balance) stays(share float64) bool {
	ahead := 0.0
	for _, lead := range b.leads {
		if lead > 0 {
			ahead++
		}
	}
	return len(b.leads) >= leastSteps && ahead >= share*float64(len(b.leads))
}

// cause returns why the busiest worker is busier, or "" if it only has longer ticks:
// a request that takes long is not a question of balance.
func (b *balance) cause(p *facts.Pass) string {
	if b.waits(p)-b.othersWait(p) >= p.Param(waitingGap) {
		return unequalWorkers
	}
	if most, mean, known := b.connections(p); known && most >= p.Param(manyConnections)*mean && most > mean+1 {
		return acceptSkew
	}
	long := p.IncreaseOr0(catalog.LongBusy, b.hot.ID) + b.hot.Current
	if long > longTicks*b.hot.Busy*b.hot.Seconds {
		return ""
	}
	return stickyConnections
}

// longTicks is the share of its time in ticks from which a worker is busy with few
// long ticks.
const longTicks = 0.5

// waits is the share of the busiest worker's time in ticks in which it had no CPU or
// no quota, othersWait the mean of the others.
func (b *balance) waits(p *facts.Pass) float64 { return waiting(p, b.hot) }

func (b *balance) othersWait(p *facts.Pass) float64 {
	sum := 0.0
	for _, l := range b.rest {
		sum += waiting(p, l)
	}
	return sum / float64(len(b.rest))
}

func waiting(p *facts.Pass, l *facts.LoopView) float64 {
	lost := p.IncreaseOr0(catalog.LoopRunQueue, l.ID) + p.IncreaseOr0(catalog.LoopThrottled, l.ID)
	if l.Busy <= 0 {
		return 0
	}
	return min(1, lost/(l.Busy*l.Seconds))
}

// connections returns the connections of the busiest worker and the mean of all;
// known is false if they were not observed of every worker.
func (b *balance) connections(p *facts.Pass) (most, mean float64, known bool) {
	for _, l := range b.pool.Workers {
		n, ok := p.Last(catalog.ProcessAccepted, l.Process)
		if !ok {
			return 0, 0, false
		}
		mean += n / float64(len(b.pool.Workers))
		if l == b.hot {
			most = n
		}
	}
	return most, mean, true
}

// late reports whether requests to the busiest worker are late, and later than those
// to the others.
func (b *balance) late(p *facts.Pass) bool {
	mean, p99 := b.hotLags.Mean(b.hot.Seconds), b.p99()
	if mean <= p.Param(lateMean) && p99 <= p.Param(lateP99) {
		return false
	}
	return mean >= p.Param(laterThan)*b.otherLags.Mean(b.restSeconds())
}

// p99 is the 99th percentile of the lag of the busiest worker, othersP99 of the
// others.
func (b *balance) p99() float64       { return b.hotLags.Quantile(b.hot.Seconds, 0.99) }
func (b *balance) othersP99() float64 { return b.otherLags.Quantile(b.restSeconds(), 0.99) }

// restSeconds is the length of the window for the lags of all other workers together.
func (b *balance) restSeconds() float64 { return b.hot.Seconds * float64(len(b.rest)) }

// toMove is the share of the busiest worker's load above the mean, with an interval
// from the readings. A full worker hides how much more work waits for it: high is
// then nil.
func (b *balance) toMove() *analysis.Estimate {
	n := float64(len(b.pool.Workers))
	share := func(lead float64) float64 { return math.Round(100*lead*(n-1)/n/b.hot.Busy) / 100 }
	mean, deviation := stat.MeanStdDev(b.leads, nil)
	width := 1.645 * deviation / math.Sqrt(float64(len(b.leads)))
	e := &analysis.Estimate{Value: share(b.hot.Busy - b.others), Unit: string(observe.Ratio)}
	e.Low = analysis.Bound(min(e.Value, max(0, share(mean-width))))
	if b.hot.Busy < almostAll {
		e.High = analysis.Bound(max(e.Value, min(1, share(mean+width))))
	}
	return e
}

// almostAll is the utilisation from which a worker hides how much more work there is.
const almostAll = 0.95

// lagAfter is the p99 lag to expect with the mean load: the wait of M/G/1 grows with
// 1/(1-utilisation). It does not fall below that of the others now.
func (b *balance) lagAfter() float64 {
	return facts.LagAfter(b.p99(), max(b.othersP99(), b.p99()*(1-b.hot.Busy)/(1-min(b.mean, almostAll))))
}

func (b *balance) impact(late bool) float64 {
	lost := b.hot.Busy - b.mean
	if !late {
		// No request is late yet: rank it below findings that delay requests.
		return lost / 10
	}
	return lost
}

// lost is the time of the busiest worker in ticks without a CPU, by the analyzer that
// explains it.
func (b *balance) lost(p *facts.Pass) map[string]float64 {
	queued := p.IncreaseOr0(catalog.LoopRunQueue, b.hot.ID)
	return map[string]float64{
		"cpu-throttled": p.IncreaseOr0(catalog.LoopThrottled, b.hot.ID), "run-queue-latency": queued, "host-saturated/cpu": queued,
	}
}

// stands reports whether the worker would be as busy without the time lost to a quota
// or to others on its CPU.
func (b *balance) stands(p *facts.Pass, causes []string) bool {
	lost, all := 0.0, b.lost(p)
	for _, cause := range causes {
		lost = max(lost, all[cause])
	}
	less := lost / b.hot.Seconds
	return b.hot.Busy-less >= p.Param(hotWorker) && b.gap-less >= p.Param(leastGap)
}
