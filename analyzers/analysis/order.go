// SPDX-License-Identifier: Apache-2.0

package analysis

import (
	"cmp"
	"math"
	"slices"
)

// A Standing determines the position of a finding in a report.
type Standing struct {
	Severity Severity
	// Left is the time in seconds until the forecast event; nil without a forecast.
	Left *float64
	// Impact and Confidence are those of the finding.
	Impact, Confidence float64
	// ID is the finding's ID. It orders findings that are otherwise equal.
	ID string
}

// Compare orders by severity, then by the time left, then by rank.
func (s Standing) Compare(o Standing) int {
	return cmp.Or(
		cmp.Compare(o.Severity, s.Severity),
		cmp.Compare(s.timeLeft(), o.timeLeft()),
		cmp.Compare(o.Rank(), s.Rank()),
		cmp.Compare(s.ID, o.ID),
	)
}

// timeLeft returns the forecast, or soon if there is none. A finding without a
// forecast is about the present: its harm is done, while an outage within the hour
// can still be prevented and comes first. A later outage comes after it.
func (s Standing) timeLeft() float64 {
	if s.Left == nil {
		return soon
	}
	return *s.Left
}

// Rank is impact · confidence · urgency.
func (s Standing) Rank() float64 { return s.Impact * s.Confidence * urgency(s.Left) }

const (
	hour = 3600.0
	// soon is the time left below which a forecast is as urgent as a present problem.
	soon = hour
	// weekHours is the time left above which urgency is the lowest.
	weekHours = 168.0
	// leastUrgent is the lowest urgency.
	leastUrgent = 0.1
)

// urgency is 1 for a problem now or within the hour, and falls with the logarithm
// of the time left (docs/science.md, Combining findings).
func urgency(left *float64) float64 {
	if left == nil || *left <= soon {
		return 1
	}
	return min(1, max(leastUrgent, 1-math.Log(*left/hour)/math.Log(weekHours)))
}

// Arrange sorts findings of any type: root causes by their standing, and each
// symptom after its root cause. root returns the finding that explains another, or
// the finding itself. Findings of the same standing keep their order.
func Arrange[F comparable](findings []F, root func(F) F, standing func(F) Standing) {
	place := make(map[F]int, len(findings))
	for i, f := range findings {
		place[f] = i
	}
	slices.SortStableFunc(findings, func(a, b F) int {
		if ra, rb := root(a), root(b); ra != rb {
			return cmp.Or(standing(ra).Compare(standing(rb)), cmp.Compare(place[ra], place[rb]))
		}
		if isRoot := a == root(a); isRoot != (b == root(b)) {
			if isRoot {
				return -1
			}
			return 1
		}
		return standing(a).Compare(standing(b))
	})
}

// order sorts the findings of a result. Subjects order findings that are otherwise
// equal.
func order(findings []*Finding) {
	slices.SortStableFunc(findings, func(a, b *Finding) int { return cmp.Compare(a.Subject, b.Subject) })
	Arrange(findings, rootOf, (*Finding).standing)
}

func (f *Finding) standing() Standing {
	s := Standing{Severity: f.Severity, Impact: f.Impact, Confidence: f.Confidence, ID: f.Analyzer.Name}
	if f.Forecast != nil {
		s.Left = &f.Forecast.At
	}
	return s
}

func rootOf(f *Finding) *Finding {
	if f.SymptomOf != nil {
		return f.SymptomOf
	}
	return f
}
