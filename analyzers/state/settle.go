// SPDX-License-Identifier: Apache-2.0

package state

import (
	"math"

	"github.com/headroom-project/headroom/analyzers/analysis"
)

// advice is the current recommendation, and for how many consecutive evaluations another
// one would have been given.
type advice struct {
	cause string
	told  []analysis.Recommendation
	other int
}

const (
	// leastStep and leastShare are the minimum change of a recommended number: it must not
	// change while a user applies it.
	leastStep, leastShare = 1, 0.10
	// looksToChange is for how many consecutive evaluations.
	looksToChange = 2
)

// settle smooths a finding for publication. Its severity rises at once and falls a step
// at a time; a recommended number only changes if the difference is significant.
func (t *Tracker[T]) settle(e *entry[T], f *analysis.Finding) {
	t.settleSeverity(e, f)
	if !e.advice.differs(f) {
		e.advice.other = 0
	} else if e.advice.other++; e.advice.told == nil || e.advice.cause != f.Cause || e.advice.other >= looksToChange {
		e.advice = advice{cause: f.Cause, told: f.Recommendations}
	}
	f.Recommendations = e.advice.told
}

func (t *Tracker[T]) settleSeverity(e *entry[T], f *analysis.Finding) {
	switch called := e.status.Severity; {
	case f.Severity >= called:
		e.status.Severity, e.less = f.Severity, 0
	case e.less == 0:
		e.less = t.now
	case t.now-e.less >= fall:
		e.status.Severity, e.less = called-1, t.now
	}
	f.Severity = e.status.Severity
}

// differs reports whether f recommends something other than the current advice.
func (a *advice) differs(f *analysis.Finding) bool {
	if a.cause != f.Cause || len(a.told) != len(f.Recommendations) {
		return true
	}
	for i, r := range f.Recommendations {
		if r.Verb != a.told[i].Verb || moved(a.told[i].Quantity, r.Quantity) {
			return true
		}
	}
	return false
}

func moved(from, to *analysis.Estimate) bool {
	if from == nil || to == nil {
		return from != to
	}
	return math.Abs(to.Value-from.Value) >= max(leastStep, leastShare*math.Abs(from.Value))
}
