// SPDX-License-Identifier: Apache-2.0

package queuebacklog

import (
	"strconv"
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/acceptqueueoverflow"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

// A made pool is a server with a primary and workers.
type madePool struct {
	command, executable, runtime string
	workers                      int
	each, idleWorkers            float64
	answers                      float64 // per second, of all workers
	queue                        func(second int) float64
	drops                        float64
	cpu, idle                    float64 // cores of each worker, and of the host
	epoll                        bool
}

func gunicorn() madePool {
	return madePool{command: "python3 gunicorn", executable: "python3.11", runtime: "python", workers: 2, each: 1, answers: 10, queue: growing(5), cpu: 0.05, idle: 2}
}

func growing(perSecond float64) func(int) float64 {
	return func(s int) float64 { return 10 + perSecond*float64(s) }
}

func (m madePool) host(t *testing.T) (*handmade.Host, observe.ID) {
	h := handmade.New(t, length, 2)
	h.Idle(m.idle)
	process := func(pid int, accepted float64) observe.ID {
		p := h.Process(strconv.Itoa(pid), m.runtime, m.command, observe.None, catalog.AttrOwner, "40:1", catalog.AttrExecutable, m.executable)
		h.Set(catalog.ProcessListens, p, 1)
		h.Set(catalog.ProcessAccepted, p, accepted)
		return p
	}
	primary := process(40, 0)
	listener := h.Add(observe.Listener, "127.0.0.1:8000#7", primary, catalog.AttrAddress, "127.0.0.1", catalog.AttrPort, "8000")
	h.Each(catalog.ListenerQueue, listener, m.queue)
	h.Set(catalog.ListenerBacklog, listener, 2048)
	h.Set(catalog.ListenerDrops, listener, m.drops*length)
	for i := range m.workers {
		accepted := m.each
		if float64(i) < m.idleWorkers {
			accepted = 0
		}
		p := process(41+i, accepted)
		h.Set(catalog.RequestArrivals, p, m.answers*length/float64(m.workers))
		h.Set(catalog.ProcessCPU, p, m.cpu*length)
		if m.epoll {
			h.Ticks(h.Loop(p), 5, 5, observe.Parts{Blocked: 25})
		}
	}
	return h, listener
}

func TestPool(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*madePool)
		cause    string
		severity analysis.Severity
		value    float64
		action   string
	}{
		// 15 requests per second of 200 ms keep 3 busy; with 6, 95 % wait less than 100 ms.
		"gunicorn": {func(*madePool) {}, tooFewWorkers, analysis.Critical, 6, "Set --workers of python3 gunicorn from 2 to 6"},
		"php-fpm": {func(m *madePool) { m.command, m.executable, m.runtime = "php-fpm: pool", "php-fpm8.2", "php" },
			tooFewWorkers, analysis.Critical, 6, "Set pm.max_children of php-fpm from 2 to 6"},
		"puma": {func(m *madePool) {
			m.command, m.executable, m.runtime, m.workers = "puma", "ruby3.1", "ruby", 1
			m.each = 2
		},
			tooFewWorkers, analysis.Critical, 6, "Set the threads (-t) of puma from 2 to 6, or its workers (-w) from 1 to 3"},
		"another pre-forking server": {func(m *madePool) { m.command, m.executable, m.runtime = "preforkd", "preforkd", "" },
			tooFewWorkers, analysis.Critical, 6, "Run more worker processes of preforkd: from 2 to 6"},
		// As many clients as wait, each with one request at a time.
		"clients that wait for answers": {func(m *madePool) { m.queue = func(s int) float64 { return 8 + float64(s%2) } },
			tooFewWorkers, analysis.Warning, 11, "from 2 to 11"},
		"CPU for two more": {func(m *madePool) { m.cpu, m.idle = 0.5, 1 }, tooFewWorkers, analysis.Critical, 4, "from 2 to 4"},
		"no CPU":           {func(m *madePool) { m.cpu, m.idle = 0.95, 0.1 }, outOfCPU, analysis.Critical, 0, "Add a node"},
	} {
		t.Run(name, func(t *testing.T) {
			m := gunicorn()
			c.change(&m)
			h, listener := m.host(t)
			f := h.One(Analyzer)
			if f == nil || f.Cause != c.cause || f.Severity != c.severity || f.Subject != listener {
				t.Fatalf("finding = %+v, want %s %s of the listener", f, c.severity, c.cause)
			}
			r := f.Recommendations[0]
			t.Logf("%s\n-> %s", f.Summary, r.Action)
			if !strings.Contains(r.Action, c.action) {
				t.Errorf("action = %q, want %q", r.Action, c.action)
			}
			if c.value > 0 && r.Quantity.Value != c.value {
				t.Errorf("quantity = %v, want %v", r.Quantity.Value, c.value)
			}
		})
	}
}

func TestPoolsThatKeepUp(t *testing.T) {
	for name, change := range map[string]func(*madePool){
		"an empty queue":              func(m *madePool) { m.queue = func(int) float64 { return 0 } },
		"a queue at half of readings": func(m *madePool) { m.queue = func(s int) float64 { return float64(s % 2) } },
		"a burst that drains":         func(m *madePool) { m.queue = func(s int) float64 { return float64(100 - 3*s) } },
		"a worker without work":       func(m *madePool) { m.idleWorkers = 1 },
		"a short wait":                func(m *madePool) { m.queue = func(int) float64 { return 2 }; m.answers = 400 },
		"an event loop":               func(m *madePool) { m.command, m.executable, m.runtime = "node server.js", "node", "node" },
		"asyncio in gunicorn":         func(m *madePool) { m.epoll = true },
		"threads in gunicorn":         func(m *madePool) { m.each = 20 },
		"one process of any program":  func(m *madePool) { m.command, m.workers = "python3 app.py", 1 },
	} {
		t.Run(name, func(t *testing.T) {
			m := gunicorn()
			change(&m)
			h, _ := m.host(t)
			if f := h.One(Analyzer); f != nil {
				t.Errorf("finding: %s", f.Summary)
			}
		})
	}
}

// TestNothingAnswered checks a queue that is longer than the window: no number can be told.
func TestNothingAnswered(t *testing.T) {
	m := gunicorn()
	m.answers = 0
	h, _ := m.host(t)
	f := h.One(Analyzer)
	if f == nil || f.Cause != tooFewWorkers || f.Recommendations[0].Quantity != nil || f.Confidence >= likely {
		t.Errorf("finding = %+v, want %s without a number", f, tooFewWorkers)
	}
}

// TestFullQueueOfAPool checks that dropped connections are a symptom of too few workers.
func TestFullQueueOfAPool(t *testing.T) {
	m := gunicorn()
	m.drops, m.queue = 5, func(int) float64 { return 2049 }
	h, _ := m.host(t)
	r := h.Run(Analyzer, acceptqueueoverflow.Analyzer)
	if len(r.Findings) != 2 {
		t.Fatalf("%d findings, want 2", len(r.Findings))
	}
	for _, f := range r.Findings {
		if symptom := f.Analyzer == acceptqueueoverflow.Analyzer; symptom != (f.SymptomOf != nil) {
			t.Errorf("%s is a symptom of %v", f.Analyzer.Name, f.SymptomOf)
		}
	}
	if q := r.Findings[0].Recommendations[0].Quantity; q.High != nil {
		t.Errorf("at most %v workers: how many more connections would have arrived is not known", *q.High)
	}
}
