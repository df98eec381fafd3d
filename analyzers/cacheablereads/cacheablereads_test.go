// SPDX-License-Identifier: Apache-2.0

package cacheablereads

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const (
	seconds = 60
	mib     = 1 << 20
)

// A made is a service that reads from PostgreSQL. Its repeats are uniform over some
// statements: an LRU cache has each with the same probability.
type made struct {
	perSecond float64 // reads
	each      float64 // time of one, seconds
	keys      float64 // statements that repeat
	first     float64 // share of the reads that do not
	stale     float64 // share of the reads that repeat after a write
	seen      float64 // statements before the window; 0 for all
	unclear   float64 // calls per second
	request   float64 // seconds, with one read; 0 for none
	room      float64 // bytes left on the host
	statement float64 // calls of one statement for each request
}

// usual has 30 reads per second of 30 ms, four of five of which repeat one of 400.
var usual = made{perSecond: 100, each: 0.03, keys: 400, first: 0.2, request: 0.04, room: 1 << 30}

func (m made) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 2)
	p := h.Process("42", "node", "api", observe.None, catalog.AttrExecutable, "node")
	h.Set(catalog.MemoryTotal, h.Node(), 8<<30)
	h.Set(catalog.HostMemoryAvailable, h.Node(), m.room)
	id := h.Add(observe.Client, "42/10.0.0.9:5432", p, catalog.AttrDatabase, "postgresql", catalog.AttrDestination, "10.0.0.9", catalog.AttrDestPort, "5432")
	n := m.perSecond * seconds
	h.Hist(catalog.CallDuration, id, m.each, n)
	h.Set(catalog.CallBusy, id, min(1, m.perSecond*m.each)*seconds)
	h.Set(catalog.ReadCalls, id, n)
	h.Set(catalog.ReadTime, id, n*m.each)
	h.Set(catalog.UnclearCalls, id, m.unclear*seconds)
	h.Set(catalog.WriteCalls, id, m.stale*n)
	h.Set(catalog.ReadFollowed, id, n)
	h.Set(catalog.ReadFresh, id, n*(1-m.first-m.stale))
	h.Set(catalog.ReadStale, id, n*m.stale)
	h.Set(catalog.ReadBytes, id, 900)
	h.Hist(catalog.RepeatInterval, id, 3, n)
	below := 0.0
	for _, bound := range catalog.RedisBounds {
		if share := (min(bound, m.keys) - below) / m.keys * (1 - m.first - m.stale); share > 0 {
			h.Hist(catalog.ReadReuse, id, bound, n*share)
			h.Hist(catalog.ReadReuseTime, id, bound, n*share*m.each)
		}
		below = min(bound, m.keys)
	}
	seen := m.keys * 3
	if m.seen > 0 {
		seen = m.seen
	}
	h.Hist(catalog.ReadSeen, id, seen, n)
	h.Hist(catalog.ReadFirst, id, seen, n*(m.first+m.stale))
	if m.request > 0 {
		h.Hist(catalog.RequestDuration, p, m.request, n/max(1, m.statement))
		h.Set(catalog.RequestActive, p, m.perSecond*m.request)
	}
	if m.statement > 0 {
		st := h.Add(observe.Statement, "42/10.0.0.9:5432/1", id)
		h.Set(catalog.StatementCalls, st, n)
		h.Set(catalog.StatementTime, st, n*m.each)
	}
	return h
}

func (m made) with(change func(*made)) made {
	change(&m)
	return m
}

// TestAdvice checks the numbers: 80 % of the reads repeat, so that 72 % are nine tenths of
// what can be had, with 360 of 400 answers.
func TestAdvice(t *testing.T) {
	f := usual.host(t).One(Analyzer)
	if f == nil {
		t.Fatal("no finding")
	}
	r := f.Recommendations[0]
	t.Logf("%s\n-> %s\n-> %s", f.Summary, r.Action, r.Verify)
	if q := r.Quantity; q.Value < 340 || q.Value > 400 || *q.Low >= q.Value || *q.High < q.Value {
		t.Errorf("%v answers, from %v to %v, want 360", q.Value, *q.Low, *q.High)
	}
	reads, read, calls, request := r.Expect[0], r.Expect[1], r.Expect[2], r.Expect[3]
	if reads.From != 100 || reads.To < 24 || reads.To > 29 || *reads.Low > reads.To-2 || *reads.High < reads.To+2 {
		t.Errorf("reads from %v to %v (%v to %v), want 28 of 100", reads.From, reads.To, *reads.Low, *reads.High)
	}
	if want := read.From - (1-reads.To/100)*(0.03-hitTime); read.To < want-1e-4 || read.To > want+1e-4 {
		t.Errorf("a read takes %v, want %v", read.To, want)
	}
	if calls.To/calls.From < 0.25 || calls.To/calls.From > 0.3 {
		t.Errorf("calls in flight from %v to %v, want 28 %%", calls.From, calls.To)
	}
	if request.From != usual.request || request.To < 0.017 || request.To > 0.02 {
		t.Errorf("requests from %v to %v, want from 0.04 to 0.018", request.From, request.To)
	}
	if f.Severity != analysis.Info {
		t.Errorf("severity %v, want info: 21 ms for each request", f.Severity)
	}
}

func TestWarning(t *testing.T) {
	f := usual.with(func(m *made) { m.each, m.request = 0.1, 0.11 }).host(t).One(Analyzer)
	if f == nil || f.Severity != analysis.Warning {
		t.Fatalf("finding %+v, want a warning: 70 ms of 110", f)
	}
}

// TestRoom checks that the cache fits.
func TestRoom(t *testing.T) {
	f := usual.with(func(m *made) { m.room = 0.9 * mib }).host(t).One(Analyzer)
	if f == nil {
		t.Fatal("no finding")
	}
	if most := *f.Recommendations[0].Quantity.High; most > 0.25*0.9*mib/1000 {
		t.Errorf("up to %v answers of 1,000 bytes, for a quarter of 0.9 MiB", most)
	}
}

// TestSilent checks each reason for silence.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*made){
		"a fast database":                       func(m *made) { m.each, m.request = 0.0008, 0.001 },
		"an idle one":                           func(m *made) { m.perSecond, m.request = 20, 0.5 },
		"few repeats":                           func(m *made) { m.first = 0.7 },
		"uniform over many":                     func(m *made) { m.keys, m.first, m.seen = 50_000, 0.9, 5000 },
		"a loop":                                func(m *made) { m.keys, m.seen = 400, 4 },
		"no room":                               func(m *made) { m.room = 0 },
		"one statement in a request many times": func(m *made) { m.statement, m.request = 20, 0.7; m.perSecond = 60 },
	} {
		t.Run(name, func(t *testing.T) {
			if f := usual.with(change).host(t).One(Analyzer); f != nil {
				t.Errorf("%s\n%s", f.Summary, f.Recommendations[0].Action)
			}
		})
	}
}

// TestSkipped checks what is said if the question cannot be answered.
func TestSkipped(t *testing.T) {
	for want, change := range map[string]func(*made){
		"were prepared before headroom started": func(m *made) { m.unclear = 10 },
		"observe for longer":                    func(m *made) { m.perSecond, m.each, m.request = 10, 0.3, 0.4 },
		"the table was written in between":      func(m *made) { m.stale = 0.6 },
	} {
		r := usual.with(change).host(t).Run(Analyzer)
		if len(r.Findings) != 0 || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, want) {
			t.Errorf("%q: %d findings, skipped %+v", want, len(r.Findings), r.Skipped)
		}
	}
}
