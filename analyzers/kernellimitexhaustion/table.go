// SPDX-License-Identifier: Apache-2.0

package kernellimitexhaustion

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/capacity"
)

// A table is a limit of the kernel and what uses it.
type table struct {
	words
	cause   string
	subject observe.ID
	// about carries metric, the level that is compared with the limit.
	about  observe.ID
	metric *observe.Metric
	// within carries the limit of another table that this one is a part of; None without.
	within observe.ID
	limits *observe.Metric
	limit  float64
	// exempt is the part of metric that does not count.
	exempt float64
	// bug is set if no healthy program makes the level grow.
	bug bool

	// refused counts the calls that the kernel refused; counted is set if it counts them.
	refused  float64
	counted  bool
	refusals *observe.Metric

	// holders finds what uses the limit, most first. It is called for findings only.
	holders func(*analysis.Pass) []holder

	used, peak, pinned float64
	growth             capacity.Growth
	growing            bool
	climb              *capacity.Climb // growth over hours in the history; nil for growth in the window
}

// A holder is a program that uses a limit.
type holder struct {
	id   observe.ID // its process that uses most
	n    float64
	text string // threads of python3 w.py (pid 42)
	// leaks is set if a program needs far fewer than it has.
	leaks bool
	// zombies is set if these are children that id has not waited for.
	zombies bool
}

// measure reads the level and its growth.
func (t *table) measure(p *analysis.Pass) {
	last, _ := p.Last(t.metric, t.about)
	_, peak, _ := p.Range(t.metric, t.about)
	t.used, t.peak = max(0, last-t.exempt), max(0, peak-t.exempt)
	if t.refused > 0 {
		t.peak = max(t.peak, t.limit) // nothing is refused below the limit
	}
	points := p.Points(t.metric, t.about)
	for _, reading := range points {
		if reading.Value-t.exempt >= t.limit {
			t.pinned++
		}
	}
	t.pinned /= float64(max(1, len(points)))
	if t.share() >= 1 || !t.bug && t.used < p.Param(trendShare)*t.limit {
		return
	}
	t.growth, t.growing = capacity.GrowthOf(analysis.Split(points))
	t.growing = t.growing && t.growth.Steady && t.growth.Gain >= p.Param(leastGain)
	if !t.near(p) {
		t.remember(p)
	}
}

func (t *table) share() float64 { return t.peak / t.limit }

func (t *table) left() float64 { return max(0, t.limit-t.used) }

// exhausted reports whether something was refused. Where the kernel does not count that, it
// is so if nothing was left at most readings.
func (t *table) exhausted() bool {
	const mostly = 0.5
	return t.refused > 0 || !t.counted && t.pinned > mostly
}

// week is the length of the history, in seconds.
const week = 7 * 24 * 3600

// remember searches the history for growth that is too slow for the window.
func (t *table) remember(p *analysis.Pass) {
	t.growing = false
	past := func(from, to float64) (at, values []float64) {
		return analysis.Split(p.Past(t.metric, t.about, from, to))
	}
	limit := t.limit + t.exempt
	age, known := p.Last(catalog.ProcessAge, t.about)
	for climb := range capacity.Climbs(past, p.Param(trendWindow), limit) {
		at, values := past(week, 0)
		highest, before := climb.HighestYet(at, values)
		if climb.Gain < p.Param(leastGain) || !climb.Lasts(at, values, limit) || known && !climb.GrownUp(age) || before && !highest {
			continue
		}
		t.climb, t.growing = &climb, true
		t.growth = capacity.Growth{Trend: climb.Trend, Gain: climb.Gain, Steady: true}
		return
	}
}

// end returns when growth reaches the limit, nil without growth.
func (t *table) end() *capacity.Duration {
	if !t.growing || t.exhausted() {
		return nil
	}
	return capacity.UsedUp(t.climb, t.growth, t.left())
}

// near reports whether the limit is reached within the time for which a trend is trusted.
func (t *table) near(p *analysis.Pass) bool {
	end := t.end()
	return end != nil && (t.climb != nil || end.At <= p.Param(farthest)*p.Seconds)
}

func (t *table) severity(p *analysis.Pass) analysis.Severity {
	if t.refused > 0 {
		return analysis.Critical
	}
	if t.limit < p.Param(leastLimit) {
		return analysis.Healthy
	}
	end := t.end()
	near := t.near(p)
	switch {
	case t.exhausted(), !t.counted && t.share() >= p.Param(criticalShare), near && end.At < p.Param(criticalAhead):
		return analysis.Critical
	case t.share() >= p.Param(warnShare), near && end.Soonest() < p.Param(warnAhead):
		return analysis.Warning
	}
	return analysis.Healthy
}

const (
	// counted is the confidence in a limit that is used up or nearly so: both numbers are
	// the kernel's.
	counted = 0.95
	// grown is the confidence in growth over seconds, sure is added if the slope is
	// significant (docs/science.md, Memory growth).
	grown, sure = 0.6, 0.1
	surely      = 2.6
)

func (t *table) confidence(p *analysis.Pass) float64 {
	if t.exhausted() || t.share() >= p.Param(warnShare) {
		return counted
	}
	if t.growth.Z > surely {
		return grown + sure
	}
	return grown
}

// impact is the share of the window in which calls failed. A future shortage has no impact
// yet, and ranks by its urgency.
func (t *table) impact() float64 {
	const refusedAtAll, ahead = 0.1, 0.5
	switch {
	case t.refused > 0:
		return max(refusedAtAll, t.pinned)
	case t.exhausted():
		return t.pinned
	}
	return ahead * min(1, t.share())
}

func (t *table) finding(p *analysis.Pass, severity analysis.Severity) analysis.Finding {
	hs := t.holders(p)
	if z := slices.IndexFunc(hs, func(h holder) bool { return h.zombies && h.n >= most*t.used }); z >= 0 {
		t.cause = zombies
		hs[0], hs[z] = hs[z], hs[0]
	}
	f := analysis.Finding{
		Cause: t.cause, Severity: severity, Confidence: t.confidence(p), Impact: t.impact(), Subject: t.subject,
		Summary: t.summary(hs), Evidence: t.evidence(p, hs), Recommendations: t.advice(p, hs),
	}
	for _, h := range hs[:min(len(hs), analysis.MaxBlame)] {
		known := func(b analysis.Blame) bool { return b.Subject == h.id } // its threads beside its zombies
		if h.id != t.subject && t.used > 0 && !slices.ContainsFunc(f.Blame, known) {
			f.Blame = append(f.Blame, analysis.Blame{Subject: h.id, Share: min(1, h.n/t.used)})
		}
	}
	if end := t.end(); end != nil {
		f.Forecast = &analysis.Forecast{What: t.setting, At: end.At, Low: end.Low, High: end.High}
	}
	return f
}
