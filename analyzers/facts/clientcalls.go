// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
)

// ClientCalls are the calls of one process that answers requests to one PostgreSQL.
type ClientCalls struct {
	ID, Process observe.ID
	// Requests and Calls are the mean numbers of requests and of calls in flight.
	Requests, Calls float64
	// Request and Call are the mean times of a request and of a call, in seconds, until
	// the answer begins. They are those of the oldest one if nothing was answered.
	Request, Call float64
	// Answers and CallAnswers are the numbers of requests and calls that were answered.
	Answers, CallAnswers float64
	// RTT is the least round trip of the network, in seconds; 0 if it is not known.
	RTT float64
}

// ClientCalls returns the calls of the processes that also answer requests.
func (p *Pass) ClientCalls() []*ClientCalls {
	var all []*ClientCalls
	for id := range p.Entities(catalog.CallDuration) {
		process, ok := p.CallsPostgres(id)
		if !ok {
			continue
		}
		c := &ClientCalls{ID: id, Process: process}
		c.Requests, c.Answers = p.InFlight(catalog.RequestDuration, catalog.RequestActive, process)
		c.Calls, c.CallAnswers = p.InFlight(catalog.CallDuration, catalog.CallActive, id)
		if c.Requests == 0 || c.Calls == 0 {
			continue
		}
		c.Request = p.meanTime(c.Requests, c.Answers, catalog.RequestOldest, process)
		c.Call = p.meanTime(c.Calls, c.CallAnswers, catalog.CallOldest, id)
		c.RTT, _, _ = p.Range(catalog.ClientRTT, id) // the connections can differ
		all = append(all, c)
	}
	return all
}

// meanTime returns the mean time of what has n in flight and these answers, by Little's
// law; that of the oldest one if there are too few answers.
func (p *Pass) meanTime(n, answers float64, oldest *observe.Metric, id observe.ID) float64 {
	if answers >= fewCalls {
		return n * p.Seconds / answers
	}
	_, most, _ := p.Range(oldest, id)
	return most
}

// fewCalls is the number below which the mean time of answers says nothing: those that
// are still in flight take longer.
const fewCalls = 10

// Share is the share of the time of requests in which a call is in flight.
func (c *ClientCalls) Share() float64 { return min(1, c.Calls/c.Requests) }

// Spent is the time of a request in which a call is in flight, in seconds.
func (c *ClientCalls) Spent() float64 { return c.Share() * c.Request }

// PerRequest is the number of calls for each request.
func (c *ClientCalls) PerRequest() float64 { return c.CallAnswers / max(1, c.Answers) }

const (
	// dominant is the share of the time of requests from which calls are why they are slow.
	dominant = 0.5
	// nearlyEach is the number of calls for each request from which calls are those of
	// requests. Work that runs beside them has its own number.
	nearlyEach = 0.8
	// longer is by how much calls can be measured as longer than the requests that make
	// them: both are means of readings.
	longer = 1.1
)

// Dominate reports whether requests spend most of their time in these calls. Calls that
// are rarer or longer than requests are not made for them: a batch job, or a wait for
// messages. Without answers, each request must have a call.
func (c *ClientCalls) Dominate() bool {
	if c.Share() < dominant || c.Call > longer*c.Request {
		return false
	}
	return c.Answers < fewCalls || c.PerRequest() >= nearlyEach
}
