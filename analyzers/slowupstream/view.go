// SPDX-License-Identifier: Apache-2.0

package slowupstream

import (
	"slices"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/facts"
)

// A view is the calls of a service, and how its database spends their time.
type view struct {
	*facts.ClientCalls
	cause string
	// local is set if the database is on this host, and alone if most of what it does is
	// for this service: its time is then that of these calls.
	local, alone bool
	time         facts.DatabaseTime
	// inNetwork is the time of a call outside of the database, in seconds.
	inNetwork float64
	// holder is the process that keeps transactions to the database open without sending
	// anything, and held the mean number of them.
	holder observe.ID
	held   float64
}

// half is the share of the time of a call from which something is its cause.
const half = 0.5

func look(p *facts.Pass, c *facts.ClientCalls) *view {
	v := &view{ClientCalls: c, inNetwork: min(c.RTT, c.Call), holder: observe.None}
	d, ok := p.DatabaseOf(c.ID)
	if v.local = ok; ok {
		v.time = p.TimeOf(d)
		v.alone = v.Calls >= half*v.time.Serving
		v.measureNetwork()
	}
	v.cause = v.find()
	if v.cause == waits {
		v.findHolder(p)
	}
	return v
}

// seen is the part of the answers of calls that the database must have given: what it
// does is then known.
const seen = 0.9

// measureNetwork compares the two ends of the calls. What the database does for others
// makes the difference smaller.
func (v *view) measureNetwork() {
	if v.time.Answers >= seen*v.CallAnswers {
		v.inNetwork = max(v.inNetwork, v.Call*(1-min(1, v.time.Serving/v.Calls)))
	}
}

func (v *view) find() string {
	switch t := v.time; {
	case v.inNetwork >= half*v.Call:
		return network
	case !v.local || !v.alone || t.Answers < seen*v.CallAnswers:
		return unknown
	case t.CPU+t.Waited >= half*t.Serving:
		return onCPU
	case t.Disk >= half:
		return onDisk
	}
	return waits
}

// longHeld is the mean number of transactions, open without a query, from which their
// process can be what others wait for.
const longHeld = 0.3

func (v *view) findHolder(p *facts.Pass) {
	for id := range p.Entities(catalog.ClientIdleTime) {
		if p.Attr(id, catalog.AttrDestPort) != p.Attr(v.ID, catalog.AttrDestPort) || p.Attr(id, catalog.AttrDestination) != p.Attr(v.ID, catalog.AttrDestination) {
			continue
		}
		process, ok := p.Index.Ancestor(id, observe.Process)
		if held, _ := p.Rate(catalog.ClientIdleTime, id); ok && held >= longHeld && held > v.held {
			v.holder, v.held = process, held
		}
	}
}

// explain sets the time of requests, as a share of the window, that a full host or disk
// takes, and calls that one query would replace.
func (v *view) explain(p *facts.Pass, f *analysis.Finding) {
	f.LostTotal = v.Share() * p.Seconds
	f.Lost = make(map[string]float64)
	repeats := 0.0 // seconds of a request
	if r, ok := p.RepeatOf(v.Process); ok && r.ID == v.ID {
		repeats = min(v.Spent(), r.Won())
		f.Lost[nPlusOne] = f.LostTotal * repeats / v.Spent()
	}
	if v.local && v.time.Serving > 0 {
		f.Lost[hostFull] = f.LostTotal * min(1, v.time.Waited/v.time.Serving)
	}
	if v.local && v.cause == onDisk {
		f.Lost[diskFull] = f.LostTotal * v.time.Disk
	}
	f.Without = func(causes []string) bool {
		left := v.Spent()
		if slices.Contains(causes, nPlusOne) && left-repeats < p.Param(leastTime) {
			return false // the calls are fast
		}
		for _, c := range causes {
			if c != nPlusOne {
				left -= v.Spent() * f.Lost[c] / f.LostTotal
			}
		}
		return left >= half*v.Spent()
	}
}
