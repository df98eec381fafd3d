// SPDX-License-Identifier: Apache-2.0

package nplusone

import (
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

const seconds = 12

// A service repeats a statement for each request.
type service struct {
	program           string
	rate, took        float64 // requests per second, and the time of one
	calls, each, late float64 // calls of the statement for each request, and the times of one
	others            float64 // calls of other statements for each request
	busy              float64 // share of the time with a call
}

// lazy is one that reads 100 rows one by one: 600 µs each, and 100 µs until it reads the
// answer.
func lazy() service {
	return service{program: "node", rate: 10, took: 0.08, calls: 100, each: 0.0006, late: 0.0001, others: 2, busy: 0.6}
}

func (s service) host(t *testing.T) *handmade.Host {
	h := handmade.New(t, seconds, 8)
	p := h.Process("42", s.program, "api", observe.None, catalog.AttrExecutable, s.program)
	n := s.rate * seconds
	h.Hist(catalog.RequestDuration, p, s.took, n)
	h.Set(catalog.RequestActive, p, 0)
	client := h.Add(observe.Client, "42/10.0.0.9:5432", p, catalog.AttrDatabase, "postgresql", catalog.AttrDestination, "10.0.0.9", catalog.AttrDestPort, "5432")
	all := (s.calls + s.others) * n
	h.Hist(catalog.CallDuration, client, s.each, all)
	h.Set(catalog.CallBusy, client, s.busy*seconds)
	h.Set(catalog.CallLate, client, s.late*all)
	for id, calls := range map[string]float64{"1": s.others * n, "2": s.calls * n} {
		st := h.Add(observe.Statement, "42/10.0.0.9:5432/"+id, client)
		h.Set(catalog.StatementCalls, st, calls)
		h.Set(catalog.StatementTime, st, s.each*calls)
	}
	return h
}

// TestRepeated checks the numbers: 0.06 s in the database and 0.01 s until answers are read,
// of which one of 100 calls stays.
func TestRepeated(t *testing.T) {
	f := lazy().host(t).One(Analyzer)
	if f == nil || f.Severity != analysis.Warning {
		t.Fatalf("finding %+v, want a warning", f)
	}
	expect := f.Recommendations[0].Expect
	if n := expect[0]; n.From < 101.9 || n.From > 102.1 || n.To < 2.9 || n.To > 3.1 {
		t.Errorf("calls from %v to %v, want from 102 to 3", n.From, n.To)
	}
	if d := expect[1]; d.To < 0.0106 || d.To > 0.0108 {
		t.Errorf("requests take %v s then, want 0.08 - 0.99 * 0.07 = 0.0107", d.To)
	}
}

func TestSeverity(t *testing.T) {
	for took, want := range map[float64]analysis.Severity{0.008: analysis.Healthy, 0.03: analysis.Info, 0.3: analysis.Warning} {
		s := lazy()
		s.took, s.rate, s.each, s.late = took, 0.9/took, took/s.calls*0.8, 0
		s.busy = 0.8
		got := analysis.Healthy
		if f := s.host(t).One(Analyzer); f != nil {
			got = f.Severity
		}
		if got != want {
			t.Errorf("requests of %v s: %v, want %v", took, got, want)
		}
	}
}

// TestSilent checks what looks similar.
func TestSilent(t *testing.T) {
	for name, change := range map[string]func(*service){
		"a few calls":                     func(s *service) { s.calls, s.each = 9, 0.006 },
		"a job beside health checks":      func(s *service) { s.rate, s.took, s.busy = 1, 0.001, 0.9 },
		"requests wait for another thing": func(s *service) { s.took = 0.8 },
		"PgBouncer":                       func(s *service) { s.program = "pgbouncer" },
		"too few requests":                func(s *service) { s.rate = 0.5 },
	} {
		s := lazy()
		change(&s)
		if f := s.host(t).One(Analyzer); f != nil {
			t.Errorf("%s: finding %s, want none", name, f.Summary)
		}
	}
}
