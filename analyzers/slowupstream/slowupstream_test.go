// SPDX-License-Identifier: Apache-2.0

package slowupstream

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const seconds = 12

// A service answers requests, and calls PostgreSQL for each of them.
type service struct {
	program       string
	rate, took    float64 // requests per second, and the time of one
	calls, each   float64 // calls per request, and the time of one
	busy          float64 // of its event loop
	address       string
	rtt           float64
	serving       float64 // time of a call in the database
	cpu, run      float64 // of the database, cores
	disk          float64 // processes that wait for it
	others        float64 // calls of others that the database is at
	idle          float64 // transactions that another process keeps open
	stuck, oldest float64 // requests with a call that has no answer, and their age
	unseen        float64 // the share of the answers of the database
}

// slow is one whose calls sleep in the database for 400 ms.
func slow() service {
	return service{program: "node", rate: 10, took: 0.5, calls: 1, each: 0.45, address: "127.0.0.1", rtt: 0.0001, serving: 0.449, cpu: 0.05}
}

func (s service) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 8)
	h.Idle(7)
	p := h.Process("42", s.program, "api", observe.None, catalog.AttrExecutable, s.program)
	n := s.rate * seconds
	h.Hist(catalog.RequestDuration, p, s.took, n)
	h.Set(catalog.RequestActive, p, s.rate*s.took+s.stuck)
	h.Set(catalog.RequestOldest, p, max(s.took, s.oldest))
	h.Ticks(h.Loop(p), 100, s.busy*seconds/100, observe.Parts{CPU: s.busy * seconds})
	to := []string{catalog.AttrDatabase, "postgresql", catalog.AttrDestination, s.address, catalog.AttrDestPort, "5432"}
	id := h.Add(observe.Client, "42/"+s.address+":5432", p, to...)
	h.Hist(catalog.CallDuration, id, s.each, s.calls*n)
	h.Set(catalog.CallActive, id, s.rate*s.calls*s.each+s.stuck)
	h.Set(catalog.CallOldest, id, max(s.each, s.oldest))
	h.Set(catalog.ClientRTT, id, s.rtt)
	s.database(h, n)
	if s.idle > 0 {
		job := h.Process("44", "node", "job", observe.None)
		h.Set(catalog.ClientIdleTime, h.Add(observe.Client, "44/"+s.address+":5432", job, to...), s.idle*seconds)
	}
	return h
}

// database adds a PostgreSQL that listens on loopback.
func (s service) database(h *handmade.Host, n float64) {
	d := h.Process("43", "postgres", "postgres", observe.None)
	h.Set(catalog.ListenerQueue, h.Add(observe.Listener, "127.0.0.1:5432", d, catalog.AttrAddress, "127.0.0.1", catalog.AttrPort, "5432"), 0)
	h.Set(catalog.ProcessCPU, d, s.cpu*seconds)
	h.Set(catalog.ProcessRunQueue, d, s.run*seconds)
	h.Set(catalog.ProcessDiskWaiting, d, s.disk)
	h.Hist(catalog.RequestDuration, d, s.serving, s.calls*n*(1-s.unseen))
	h.Set(catalog.RequestActive, d, s.rate*s.calls*s.serving+s.others+s.stuck)
}

func TestCauses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*service)
		want   string
	}{
		"asleep":                    {func(*service) {}, waits},
		"computes":                  {func(s *service) { s.cpu = 3 }, onCPU},
		"waits for a CPU":           {func(s *service) { s.cpu, s.run = 1, 2 }, onCPU},
		"waits for its disk":        {func(s *service) { s.disk = 1 }, onDisk},
		"both ends differ":          {func(s *service) { s.serving = 0.01 }, network},
		"far away":                  {func(s *service) { s.address, s.rtt = "10.0.0.9", 0.3 }, network},
		"on another host":           {func(s *service) { s.address = "10.0.0.9" }, unknown},
		"works for others":          {func(s *service) { s.others = 20 }, unknown},
		"without an answer":         {func(s *service) { s.rate, s.serving, s.calls = 0, 0, 0; s.stuck, s.oldest = 4, 11 }, waits},
		"answers that are not seen": {func(s *service) { s.unseen = 0.5 }, unknown},
		"many calls, each a moment": {func(s *service) { s.calls, s.each, s.serving = 50, 0.009, 0.001 }, network},
	} {
		s := slow()
		c.change(&s)
		f := s.host(t).One(Analyzer)
		if f == nil || f.Cause != c.want || f.Severity != analysis.Warning && f.Severity != analysis.Critical {
			t.Errorf("%s: finding %+v, want a warning of %s", name, f, c.want)
		}
	}
}

// TestHolder checks that a process with an open transaction is named.
func TestHolder(t *testing.T) {
	s := slow()
	s.idle = 0.9
	f := s.host(t).One(Analyzer)
	if f == nil || f.Cause != waits || len(f.Evidence) != 10 || f.Recommendations[0].Verb != analysis.FindCause {
		t.Fatalf("finding %+v, want one that names the open transaction", f)
	}
}

// TestGain checks the time that is won with one call instead of many.
func TestGain(t *testing.T) {
	s := slow()
	s.calls, s.each, s.address, s.rtt = 10, 0.045, "10.0.0.9", 0.04
	f := s.host(t).One(Analyzer)
	if f == nil || len(f.Recommendations[0].Expect) != 1 {
		t.Fatalf("finding %+v, want one with an expectation", f)
	}
	if to := f.Recommendations[0].Expect[0].To; to < 0.13 || to > 0.15 {
		t.Errorf("requests take %v s then, want 0.5 - 9 * 0.04 = 0.14", to)
	}
}

// TestSilent checks what looks similar.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*service){
		"fast":                        func(s *service) { s.each = 0.001 },
		"fast requests":               func(s *service) { s.took, s.each = 0.06, 0.055 },
		"less than half":              func(s *service) { s.each = 0.2 },
		"the event loop is full":      func(s *service) { s.busy = 0.8 },
		"PgBouncer":                   func(s *service) { s.program = "pgbouncer" },
		"rare calls of a batch job":   func(s *service) { s.calls, s.each = 0.1, 5 },
		"longer than requests":        func(s *service) { s.each = 0.9 },
		"no request is in flight":     func(s *service) { s.rate, s.stuck = 0, 0 },
		"a few requests, a few calls": func(s *service) { s.calls = 0.5 },
	} {
		s := slow()
		change(&s)
		if f := s.host(t).One(Analyzer); f != nil {
			t.Errorf("%s: finding %s, want none", name, f.Summary)
		}
	}
}
