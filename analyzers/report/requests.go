// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
)

// Requests are those of one service: of all its processes that run the same command.
type Requests struct {
	Subject Subject `json:"subject"`
	// Rate is the number of arrivals per second.
	Rate number `json:"rate"`
	// P50 and P99 are the times in seconds from the first byte of a request to the first
	// byte of its answer; absent if nothing was answered.
	P50 *number `json:"p50,omitempty"`
	P99 *number `json:"p99,omitempty"`
	// Active are the requests without an answer at the end of the window, Oldest is the
	// age in seconds of the oldest of them.
	Active int    `json:"active"`
	Oldest number `json:"oldest,omitempty"`

	arrivals float64
}

// maxRequests is the maximum number of services with requests in a report: those with the
// most arrivals.
const maxRequests = 10

// A serving is the processes of one service.
type serving struct {
	ids                      []observe.ID
	arrivals, active, oldest float64
	durations                observe.Hist
}

func requests(r *analysis.Result) []Requests {
	services := make(map[string]*serving)
	for id := range r.Window.Entities(catalog.RequestActive) {
		if r.Kept == nil || r.Kept(id) {
			key := lasting(r.Window.Index, id)
			if services[key] == nil {
				services[key] = &serving{durations: observe.NewHist(catalog.RequestDuration)}
			}
			services[key].add(r.Window, id)
		}
	}
	var all []Requests
	for _, s := range services {
		if s.arrivals > 0 || s.active > 0 {
			all = append(all, s.requests(r))
		}
	}
	slices.SortFunc(all, func(a, b Requests) int {
		return cmp.Or(cmp.Compare(b.arrivals, a.arrivals), cmp.Compare(b.Oldest, a.Oldest), cmp.Compare(a.Subject.String(), b.Subject.String()))
	})
	return all[:min(maxRequests, len(all))]
}

func (s *serving) add(w *observe.Window, id observe.ID) {
	s.ids = append(s.ids, id)
	arrivals, _ := w.Increase(catalog.RequestArrivals, id)
	active, _ := w.Last(catalog.RequestActive, id)
	oldest, _ := w.Last(catalog.RequestOldest, id)
	s.arrivals += arrivals
	s.active += active
	s.oldest = max(s.oldest, oldest)
	if h, ok := w.Hist(catalog.RequestDuration, id); ok {
		s.durations.Add(h)
	}
}

func (s *serving) requests(r *analysis.Result) Requests {
	q := Requests{Active: int(s.active), Oldest: number(s.oldest), arrivals: s.arrivals}
	q.Subject = about(r, &analysis.Finding{Subject: s.ids[0], Subjects: s.ids})
	if r.Window.Seconds > 0 {
		q.Rate = number(s.arrivals / r.Window.Seconds)
	}
	if answers, _ := s.durations.Total(); answers > 0 {
		q.P50, q.P99 = known(s.durations.Quantile(0.5)), known(s.durations.Quantile(0.99))
	}
	return q
}
