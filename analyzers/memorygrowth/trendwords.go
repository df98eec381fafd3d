// SPDX-License-Identifier: Apache-2.0

package memorygrowth

import (
	"fmt"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

const (
	// shown is the confidence in growth over hours: a leak and an unbounded cache look
	// the same (docs/science.md, Memory growth). repeated is the confidence if an
	// earlier lifetime reached its limit.
	shown, repeated = 0.6, 0.9
	// uncollected is the confidence for a heap without an observed full collection.
	uncollected = 0.4
)

func (t *trend) finding(p *facts.Pass, severity analysis.Severity) analysis.Finding {
	f := t.grower.finding(p)
	f.Severity, f.Confidence, f.Summary = severity, shown, t.summary(p)
	f.Evidence = append(f.Evidence, analysis.Evidence{Metric: t.metric, Label: "growth of the minima in " + span(t.Span), Value: t.climb.Gain, Unit: observe.Bytes})
	if t.ranOut() {
		f.Confidence = repeated
	}
	f.Recommendations[0].NotIf = "it fills a bounded cache, or follows a load that changes over hours"
	restart := &f.Recommendations[1]
	if !t.sure {
		f.Confidence = uncollected
		f.Recommendations[0].NotIf = "a full garbage collection frees it: force one, or wait for it, before you search"
		return f
	}
	f.Forecast.Low, f.Forecast.High = t.until.Low, t.until.High
	pace := func(slope float64) *float64 { return analysis.Bound(t.pace(slope) / (1 << 20)) }
	if q := f.Recommendations[0].Quantity; f.Cause == leak {
		q.Low, q.High = pace(max(0, t.climb.Low)), pace(t.climb.High)
	}
	restart.Quantity.Low, restart.Quantity.High = t.until.Low, t.until.High
	restart.Action = fmt.Sprintf("Restart %s within %s, the earliest time at which it can run out: an OOM kill comes without a warning", p.Name(t.id), analysis.Ahead(*t.until.Low))
	return f
}

// span formats the length of a window: an hour and a half is 90 min and not 2 h.
func span(seconds float64) string {
	const hour = 3600
	if seconds < 3*hour {
		return fmt.Sprintf("%.0f min", seconds/60)
	}
	return fmt.Sprintf("%.0f h", seconds/hour)
}

func (t *trend) summary(p *facts.Pass) string {
	text := fmt.Sprintf("%s has grown by %s in %s, not counting what it frees in between: at %s %s the %s of %s are full in %s",
		p.Name(t.id), analysis.Bytes(t.climb.Gain), span(t.Span), analysis.Bytes(t.pace(t.Rate)), t.per(),
		analysis.Bytes(t.room.Limit), p.Name(t.room.Whose), analysis.Ahead(t.until.At))
	switch {
	case !t.sure:
		return text + fmt.Sprintf(", unless the next full garbage collection of %s frees it: none was observed", runtimeOf(p, t.id))
	case t.until.High != nil:
		return text + fmt.Sprintf(" (%s to %s)", analysis.Ahead(*t.until.Low), analysis.Ahead(*t.until.High))
	}
	return text + fmt.Sprintf(" (%s at the earliest)", analysis.Ahead(*t.until.Low))
}
