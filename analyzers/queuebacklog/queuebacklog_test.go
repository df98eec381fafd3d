// SPDX-License-Identifier: Apache-2.0

package queuebacklog

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func TestRecorded(t *testing.T) { analysistest.Run(t, Analyzer) }

// A made is a queue by the second.
type made struct {
	name           string
	arrivals       func(second int) float64
	capacity       float64 // messages per second and consumer
	consumers      func(second int) float64
	backlog        float64 // at the start
	redelivered    float64 // per second
	held, prefetch float64
	busy           float64 // consumers; 0 for all
	limit          float64 // of the rate of all consumers, 0 for none
	staff          func(*handmade.Host, observe.ID)
}

func always(v float64) func(int) float64 { return func(int) float64 { return v } }

const length = 30

// judge returns the finding about a queue.
func judge(t *testing.T, m made) *analysis.Finding {
	t.Helper()
	h := handmade.New(t, length, 2)
	if m.name == "" {
		m.name = "invoices"
	}
	q := h.Add(observe.Queue, m.name+" of rabbitmq 127.0.0.1:5672", observe.None, catalog.AttrQueue, m.name, catalog.AttrSystem, "rabbitmq")
	var arrived, done, ready [length + 1]float64
	ready[0] = m.backlog
	for s := 1; s <= length; s++ {
		rate := m.consumers(s) * m.capacity
		if m.limit > 0 {
			rate = min(rate, m.limit)
		}
		in := m.arrivals(s)
		out := min(ready[s-1]+in, rate)
		arrived[s], done[s], ready[s] = arrived[s-1]+in, done[s-1]+out, ready[s-1]+in-out
	}
	h.Each(catalog.QueueReady, q, func(s int) float64 { return ready[s] })
	h.Each(catalog.QueuePublished, q, func(s int) float64 { return arrived[s] })
	h.Each(catalog.QueueAcknowledged, q, func(s int) float64 { return done[s] })
	h.Each(catalog.QueueDelivered, q, func(s int) float64 { return done[s] + m.redelivered*float64(s) })
	h.Each(catalog.QueueRedelivered, q, func(s int) float64 { return m.redelivered * float64(s) })
	h.Each(catalog.QueueConsumers, q, m.consumers)
	h.Each(catalog.QueueBusyConsumers, q, func(s int) float64 {
		if m.busy > 0 {
			return m.busy
		}
		return m.consumers(s)
	})
	h.Set(catalog.QueueUnacknowledged, q, m.held)
	h.Set(catalog.QueueMostHeld, q, m.held)
	h.Set(catalog.QueuePrefetch, q, m.prefetch)
	if m.staff != nil {
		m.staff(h, q)
	}
	f := h.One(Analyzer)
	if f != nil {
		t.Logf("%s\n-> %s", f.Summary, f.Recommendations[0].Action)
	}
	return f
}

func TestTooFewWorkers(t *testing.T) {
	f := judge(t, made{arrivals: always(60), capacity: 20, consumers: always(2), backlog: 100})
	if f == nil || f.Cause != tooFewWorkers || f.Severity != analysis.Warning {
		t.Fatalf("finding = %+v, want too-few-workers", f)
	}
	// 3 busy for the arrivals, 3.1 with the backlog of 700 in 300 s; at most 85 % may be.
	if q := f.Recommendations[0].Quantity; q.Value != 4 || *q.Low > 4 || *q.High < 4 {
		t.Errorf("consumers = %v (%v to %v), want 4", q.Value, *q.Low, *q.High)
	}
}

// TestDrainNeedsMore checks that a large backlog needs more consumers than the arrivals.
func TestDrainNeedsMore(t *testing.T) {
	f := judge(t, made{arrivals: always(30), capacity: 20, consumers: always(1), backlog: 30_000})
	if f == nil || f.Severity != analysis.Critical {
		t.Fatalf("finding = %+v, want critical: a new message waits 25 min", f)
	}
	if q := f.Recommendations[0].Quantity; q.Value != 8 || !strings.Contains(f.Recommendations[0].Action, "2 are then enough") {
		t.Errorf("consumers = %v, want 8 until it is empty and then 2: %s", q.Value, f.Recommendations[0].Action)
	}
}

func TestCauses(t *testing.T) {
	added := func(s int) float64 {
		if s > 15 {
			return 4
		}
		return 2
	}
	for name, c := range map[string]struct {
		queue made
		cause string
		sure  float64
	}{
		"more consumers helped":      {made{arrivals: always(120), capacity: 20, consumers: added, backlog: 100}, tooFewWorkers, measured},
		"more consumers did nothing": {made{arrivals: always(60), capacity: 20, consumers: added, backlog: 100, limit: 40}, downstreamSaturated, measured},
		"consumers that are idle":    {made{arrivals: always(60), capacity: 10, consumers: always(4), backlog: 100, busy: 2}, tooFewWorkers, likely},
		"nothing consumes":           {made{arrivals: always(10), consumers: always(0), backlog: 1}, noConsumers, counted},
		"the same again and again":   {made{arrivals: always(10), capacity: 20, consumers: always(2), redelivered: 30, held: 10}, poisonMessages, measured},
		"one holds all":              {made{arrivals: always(10), capacity: 20, consumers: always(3), held: 500, busy: 1}, prefetch, measured},
		"a steady backlog":           {made{arrivals: always(20), capacity: 20, consumers: always(1), backlog: 1300}, tooFewWorkers, likely},
	} {
		t.Run(name, func(t *testing.T) {
			if f := judge(t, c.queue); f == nil || f.Cause != c.cause || f.Confidence != c.sure {
				t.Errorf("finding = %+v, want %s with confidence %v", f, c.cause, c.sure)
			}
		})
	}
}

func TestSilent(t *testing.T) {
	fill := func(s int) float64 {
		if s < 5 {
			return 1000
		}
		return 10
	}
	once := func(s int) float64 { return fill(s) - 10 }
	for name, q := range map[string]made{
		"consumers that keep up":           {arrivals: always(38), capacity: 20, consumers: always(2)},
		"a fill that drains":               {arrivals: fill, capacity: 50, consumers: always(2)},
		"a backlog that drains in time":    {arrivals: always(10), capacity: 20, consumers: always(4), backlog: 9000},
		"a short steady backlog":           {arrivals: always(20), capacity: 20, consumers: always(1), backlog: 400},
		"a fill before the consumers run":  {arrivals: once, consumers: always(0), backlog: 1},
		"a queue that is paused":           {arrivals: always(0), consumers: always(0), backlog: 500},
		"dead letters":                     {name: "invoices.dead", arrivals: always(2), consumers: always(0), backlog: 5},
		"a few redeliveries":               {arrivals: always(10), capacity: 20, consumers: always(2), redelivered: 0.4, held: 4},
		"redeliveries of what is held":     {arrivals: always(100), capacity: 100, consumers: always(2), redelivered: 10, held: 200},
		"one consumer is enough":           {arrivals: always(10), capacity: 20, consumers: always(3), held: 2, busy: 1},
		"the sum of many":                  {name: catalog.OtherQueues, arrivals: always(60), capacity: 20, consumers: always(2), backlog: 100},
		"an empty queue without consumers": {arrivals: always(0), consumers: always(0)},
	} {
		t.Run(name, func(t *testing.T) {
			if f := judge(t, q); f != nil {
				t.Errorf("finding %s: %s", f.Cause, f.Summary)
			}
		})
	}
}

// TestWorkers checks that the number is one of processes, or of replicas, if the
// processes that consume are known.
func TestWorkers(t *testing.T) {
	pod := func(uid string) []string {
		return []string{catalog.AttrPodUID, uid, catalog.AttrWorkload, "deployment/mailer", catalog.AttrNamespace, "shop"}
	}
	for name, c := range map[string]struct {
		consumers float64
		pods      []string // one for each process; "" for none
		want      string
		value     float64
	}{
		"processes":                       {2, []string{"", ""}, "Run more processes of node mail.js, which consume from queue invoices of rabbitmq 127.0.0.1:5672: 2 → 4", 4},
		"processes with many consumers":   {20, []string{"", ""}, "2 → 4 (with 10 consumers each)", 4},
		"replicas":                        {2, []string{"a", "b"}, "Raise spec.replicas of deployment/mailer (namespace shop) from 2 to 4", 4},
		"replicas of many processes each": {4, []string{"a", "a", "b", "b"}, "from 2 to 4", 4},
	} {
		t.Run(name, func(t *testing.T) {
			staff := func(h *handmade.Host, q observe.ID) {
				h.Each(catalog.QueueWorkers, q, always(float64(len(c.pods))))
				for i, uid := range c.pods {
					parent := observe.None
					if uid != "" {
						parent = h.Add(observe.Cgroup, uid, observe.None, pod(uid)...)
					}
					process := h.Process(strings.Repeat("1", i+1), "node", "node mail.js", parent)
					h.Pair(catalog.QueueWorkerTime, q, process, length)
				}
			}
			f := judge(t, made{arrivals: always(60), capacity: 40 / c.consumers, consumers: always(c.consumers), backlog: 100, staff: staff})
			if f == nil || f.Cause != tooFewWorkers {
				t.Fatalf("finding = %+v, want too-few-workers", f)
			}
			if r := f.Recommendations[0]; r.Quantity.Value != c.value || !strings.Contains(r.Action, c.want) {
				t.Errorf("%v, %s, want %v, %s", r.Quantity.Value, r.Action, c.value, c.want)
			}
		})
	}
}
