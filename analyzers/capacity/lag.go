// SPDX-License-Identifier: Apache-2.0

package capacity

import (
	"cmp"
	"slices"
)

// Lags is the distribution of how long an event loop delayed requests: the number of
// ticks of each length, the longest first.
//
// The relevant lag is the one at a random arrival, not the share of ticks: one tick of
// a second among a thousand of a millisecond is 0.1 % of the ticks and half of the time
// (the inspection paradox).
type Lags []Lag

// A Lag is a number of ticks with their length in seconds.
type Lag struct {
	Seconds, Count float64
}

// LagsOf reads the count and the sum of each bucket of a distribution: every
// bucket stands for its mean.
func LagsOf(count, sum []float64) Lags {
	var l Lags
	for i := range count {
		if count[i] > 0 {
			l = append(l, Lag{sum[i] / count[i], count[i]})
		}
	}
	l.sort()
	return l
}

func (l Lags) sort() {
	slices.SortFunc(l, func(a, b Lag) int { return cmp.Compare(b.Seconds, a.Seconds) })
}

// With returns l with an additional tick, such as the one in progress; it returns l for a
// tick of length 0.
func (l Lags) With(seconds float64) Lags {
	if seconds <= 0 {
		return l
	}
	more := append(slices.Clone(l), Lag{seconds, 1})
	more.sort()
	return more
}

// Scale returns l with the length of every tick longer than above seconds multiplied by
// factor: the lag without the time that was lost.
func (l Lags) Scale(above, factor float64) Lags {
	scaled := slices.Clone(l)
	for i, lag := range scaled {
		if lag.Seconds > above {
			scaled[i].Seconds *= factor
		}
	}
	scaled.sort()
	return scaled
}

// Replace returns l with the length of every tick longer than above set to seconds: the
// lag if their work moved to another thread.
func (l Lags) Replace(above, seconds float64) Lags {
	replaced := slices.Clone(l)
	for i, lag := range replaced {
		if lag.Seconds > above {
			replaced[i].Seconds = seconds
		}
	}
	replaced.sort()
	return replaced
}

// Graded reports whether most of the time is in ticks up to short, and whether there is no
// gap above: ticks of each octave take at most twice the time of those half as long.
// Pieces of work that queue up make ticks of all lengths, since a tick that is twice as
// long is as likely as one in which as many arrive again. One long piece of work makes
// ticks of its own length.
func (l Lags) Graded(short float64) bool {
	if l.between(short, l.Longest()) > l.between(0, short) {
		return false
	}
	const growth = 2
	for top := l.Longest(); top/2 >= short; top /= 2 {
		if l.between(top/2, top) > growth*l.between(top/4, top/2) {
			return false
		}
	}
	return true
}

// between returns the time in ticks longer than low, up to high.
func (l Lags) between(low, high float64) float64 {
	sum := 0.0
	for _, lag := range l {
		if lag.Seconds > low && lag.Seconds <= high {
			sum += lag.Seconds * lag.Count
		}
	}
	return sum
}

// Tail returns the share of window seconds in which an arrival waited for more
// than x: Σ max(0, q−x) / T.
func (l Lags) Tail(window, x float64) float64 {
	if window <= 0 {
		return 0
	}
	late := 0.0
	for _, lag := range l {
		late += lag.Count * max(0, lag.Seconds-x)
	}
	return min(1, late/window)
}

// Quantile returns the lag that only a share 1−p of arrivals exceeds: the x at
// which Tail is 1−p. It is 0 when the loop was free for a share p or more.
func (l Lags) Quantile(window, p float64) float64 {
	budget := (1 - p) * window
	count, sum := 0.0, 0.0
	for i, lag := range l {
		count += lag.Count
		sum += lag.Count * lag.Seconds
		shorter := 0.0
		if i+1 < len(l) {
			shorter = l[i+1].Seconds
		}
		if sum-count*shorter >= budget {
			return max(0, (sum-budget)/count)
		}
	}
	return 0
}

// Mean returns the average lag at arrivals: Σ q² / 2T.
func (l Lags) Mean(window float64) float64 {
	if window <= 0 {
		return 0
	}
	return l.squares(0) / (2 * window)
}

// LongShare returns the share of the mean lag that ticks longer than above cause.
func (l Lags) LongShare(above float64) float64 {
	all := l.squares(0)
	if all == 0 {
		return 0
	}
	return l.squares(above) / all
}

func (l Lags) squares(above float64) float64 {
	sum := 0.0
	for _, lag := range l {
		if lag.Seconds > above {
			sum += lag.Count * lag.Seconds * lag.Seconds
		}
	}
	return sum
}

// Longest returns the length of the longest tick, 0 if there is none.
func (l Lags) Longest() float64 {
	if len(l) == 0 {
		return 0
	}
	return l[0].Seconds
}

// CountQuantile returns the length that only a share 1−p of total events exceeds: of
// events, not of time. Events that are not in l are shorter than all in l; the result is
// 0 if the quantile is among them.
func (l Lags) CountQuantile(total, p float64) float64 {
	budget := (1 - p) * total
	for _, lag := range l {
		budget -= lag.Count
		if budget < 0 {
			return lag.Seconds
		}
	}
	return 0
}
