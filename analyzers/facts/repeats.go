// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// A Repeat is the statement that a process sends most often to one PostgreSQL, without its
// literals, and the requests that the process answers.
type Repeat struct {
	ID, Process observe.ID
	// Calls is the number of calls of the statement, Time the sum of their times, in
	// seconds, and All the number of calls of all statements.
	Calls, Time, All float64
	// Late is the sum of the times from the arrival of the answers until they were read.
	Late float64
	// Answers is the number of requests that were answered, Request the mean time of one,
	// and Requests the mean number in flight.
	Answers, Request, Requests float64
	// Busy is the share of the time with at least one call without an answer.
	Busy float64
	// within is the time for which requests were in flight, added up.
	within float64
}

// RepeatOf returns the statement that the requests of a process repeat; ok is false if
// they repeat none.
func (p *Pass) RepeatOf(process observe.ID) (r *Repeat, ok bool) {
	for _, r := range p.Repeats() {
		if r.Process == process && r.Repeats() {
			return r, true
		}
	}
	return nil, false
}

// RepeatsCPU returns the CPU time, in cores, that this host needs for calls that one query
// for each request would replace.
func (p *Pass) RepeatsCPU() float64 {
	sum := 0.0
	for _, r := range p.Repeats() {
		if r.Repeats() {
			sum += p.CallCPU(r) + p.DatabaseCPU(r)
		}
	}
	return sum
}

// Repeats returns the most frequent statement of each process that also answers requests.
func (p *Pass) Repeats() []*Repeat {
	if !p.memo.repeatsRead {
		p.memo.repeats, p.memo.repeatsRead = p.findRepeats(), true
	}
	return p.memo.repeats
}

func (p *Pass) findRepeats() []*Repeat {
	most := make(map[observe.ID]*Repeat) // by client
	var all []*Repeat
	for id := range p.Entities(catalog.StatementCalls) {
		client, ok := p.Index.Ancestor(id, observe.Client)
		if !ok {
			continue
		}
		process, ok := p.CallsPostgres(client)
		if !ok {
			continue
		}
		r := most[client]
		if r == nil {
			r = &Repeat{ID: client, Process: process}
			most[client], all = r, append(all, r)
		}
		if n := p.IncreaseOr0(catalog.StatementCalls, id); n > r.Calls {
			r.Calls, r.Time = n, p.IncreaseOr0(catalog.StatementTime, id)
		}
	}
	for _, r := range all {
		p.addRequests(r)
	}
	return all
}

// addRequests adds what is known of the requests of the process, and of all its calls.
func (p *Pass) addRequests(r *Repeat) {
	r.Busy, _ = p.Rate(catalog.CallBusy, r.ID)
	r.Requests, _ = p.InFlight(catalog.RequestDuration, catalog.RequestActive, r.Process)
	r.within = r.Requests * p.Seconds
	if h, ok := p.Hist(catalog.CallDuration, r.ID); ok {
		r.All, _ = h.Total()
	}
	r.Late = p.IncreaseOr0(catalog.CallLate, r.ID) * min(1, r.Calls/max(1, r.All))
	if h, ok := p.Hist(catalog.RequestDuration, r.Process); ok {
		answers, sum := h.Total()
		if r.Answers = answers; answers > 0 {
			r.Request = sum / answers
		}
	}
}

// PerRequest is the number of calls of the statement for each request.
func (r *Repeat) PerRequest() float64 { return r.Calls / max(1, r.Answers) }

// Call is the mean time of one call, in seconds.
func (r *Repeat) Call() float64 { return r.Time / max(1, r.Calls) }

// Spent is the time of a request that goes into the statement, in seconds, until its
// answers are read: a process that handles an answer reads the next one later. Of calls
// that run at the same time, the time with at least one counts.
func (r *Repeat) Spent() float64 {
	if r.Answers == 0 {
		return 0
	}
	if all := r.Time + r.Late; all <= r.within {
		return all / r.within * r.Request
	}
	return min(1, r.Busy/min(1, r.Requests)) * r.Request
}

// Won is the time of a request that one call would save instead of all of them.
func (r *Repeat) Won() float64 { return r.Spent() * max(0, 1-1/max(1, r.PerRequest())) }

const (
	// manyCalls is the number of calls of one statement for each request from which they
	// repeat. Sentry's detector has 5; a page with ten parts is no mistake.
	manyCalls = 10
	// outside is by how much the time with a call can be measured as longer than that
	// with a request: both are read at different moments.
	outside = 1.1
)

// Repeats reports whether requests repeat the statement, and no other work of the process
// does: for some of the time of such work no request is in flight.
func (r *Repeat) Repeats() bool {
	return r.Answers >= fewCalls && r.PerRequest() >= manyCalls && r.Busy <= outside*r.Requests
}

// callCPU is the most CPU time, in seconds, that counts for a call: with an ORM (Sequelize),
// a query of one row took Node.js about 190 µs.
const callCPU = 200e-6

// CallCPU returns the CPU time, in cores, that the process needs for the calls that one
// query would replace: a call counts like a request.
func (p *Pass) CallCPU(r *Repeat) float64 {
	use, _ := p.Rate(catalog.ProcessCPU, r.Process)
	return min(use*r.saved()/(r.All+r.Answers), r.saved()/p.Seconds*callCPU)
}

// DatabaseCPU returns the CPU time, in cores, that a PostgreSQL on this host needs for
// these calls: their part of all that it serves, and not more than they took.
func (p *Pass) DatabaseCPU(r *Repeat) float64 {
	d, ok := p.DatabaseOf(r.ID)
	if !ok {
		return 0
	}
	t := p.TimeOf(d)
	part := r.saved() / max(1, r.saved(), t.Answers)
	return min(t.CPU*part, r.Time/p.Seconds)
}

// saved is the number of calls that one for each request replaces.
func (r *Repeat) saved() float64 { return max(0, r.Calls-r.Answers) }
