// SPDX-License-Identifier: Apache-2.0

// Package services reports the state of each service: its event loops, CPU, memory
// and descriptors, and the last minutes of each. It reads a ledger periodically and
// does not judge: analyzers decide whether a number is too high.
package services

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
)

// SchemaName names the contract of a List.
const SchemaName = "headroom/services/v1"

const (
	// maxServices is the maximum number of services with a name, those that use most CPU
	// first: a full Kubernetes node has 250 pods, of which few are active. The others are
	// one service, called ledger.Other.
	maxServices = 200
	// maxPrograms is the maximum number of programs named for a service.
	maxPrograms = 5
	// maxHistory is the number of readings kept: with one every ten seconds, ten
	// minutes.
	maxHistory = 60
)

// A List holds all services at one moment. A number that is not known is absent.
type List struct {
	Schema string    `json:"schema"`
	At     time.Time `json:"at"`
	// Seconds is the length of the period that rates, shares and quantiles cover.
	Seconds  float64    `json:"seconds"`
	Services []*Service `json:"services"`
	// More is the number of services in the last one, which is called [other]: those that
	// use least CPU, with what they use together.
	More int `json:"more,omitempty"`
}

// A Service is a container, otherwise a service of the host (a systemd unit),
// otherwise a program outside both.
type Service struct {
	Name      string   `json:"name"`
	Namespace string   `json:"namespace,omitempty"`
	Pod       string   `json:"pod,omitempty"`
	Container string   `json:"container,omitempty"`
	Service   string   `json:"service,omitempty"`
	Programs  []string `json:"programs"`
	CPU       *Use     `json:"cpu,omitempty"`
	Memory    *Memory  `json:"memory,omitempty"`
	FDs       *Use     `json:"fds,omitempty"`
	Loop      *Loop    `json:"loop,omitempty"`
	History   History  `json:"history"`
}

// A Use is the used amount of a resource and its limit: cores, or the file
// descriptors of the process that has most of them.
type Use struct {
	Used  float64  `json:"used"`
	Limit *float64 `json:"limit,omitempty"`
}

// Memory is in bytes. Used counts towards the limit and includes the page cache;
// Resident is the sum over processes.
type Memory struct {
	Resident *float64 `json:"resident,omitempty"`
	Used     *float64 `json:"used,omitempty"`
	Limit    *float64 `json:"limit,omitempty"`
}

// A Loop describes all event loops of a service together. Lag is in seconds,
// Utilisation is the share of time spent in ticks.
type Loop struct {
	LagP50      *float64 `json:"lag_p50,omitempty"`
	LagP99      *float64 `json:"lag_p99,omitempty"`
	Utilisation *float64 `json:"utilisation,omitempty"`
	// CurrentTick is the duration of the longest tick in progress, if that is more
	// than 20 ms: the loop may hang.
	CurrentTick *float64 `json:"current_tick,omitempty"`
	// Stalls is the share of time spent in ticks of more than 20 ms.
	Stalls *Stalls `json:"stalls,omitempty"`
}

// Stalls divides the time of long ticks by where it went.
type Stalls struct {
	CPU       float64 `json:"cpu"`
	RunQueue  float64 `json:"run_queue"`
	Throttled float64 `json:"throttled"`
	Blocked   float64 `json:"blocked"`
	PageFault float64 `json:"page_fault"`
}

// History holds the last readings, newest last; null where there was none.
type History struct {
	CPU    []*float64 `json:"cpu,omitempty"`
	Memory []*float64 `json:"memory,omitempty"`
	LagP99 []*float64 `json:"lag_p99,omitempty"`
}

// A Book keeps the values of the last reading of a ledger. Take is called from one
// goroutine, List from any.
type Book struct {
	ledger  *ledger.Ledger
	seconds float64 // of the ledger, at the last reading
	totals  map[place]float64
	lags    map[any]observe.Hist
	history map[string]*History
	list    atomic.Pointer[List]
}

type place struct {
	metric *observe.Metric
	key    any
}

// New returns a Book without a reading.
func New(l *ledger.Ledger) *Book {
	b := &Book{ledger: l, totals: make(map[place]float64), lags: make(map[any]observe.Hist), history: make(map[string]*History)}
	b.list.Store(&List{Schema: SchemaName, Services: []*Service{}})
	return b
}

// List returns the result of the last Take. It is immutable.
func (b *Book) List() *List { return b.list.Load() }

// read holds the metrics that a List is made of.
var read = []*observe.Metric{
	catalog.CgroupCPUTime, catalog.CgroupCPULimit, catalog.CgroupMemoryUsage, catalog.CgroupMemoryLimit,
	catalog.ProcessCPU, catalog.ProcessMemory, catalog.ProcessFDs, catalog.ProcessFDLimit,
	catalog.LoopBusy, catalog.LoopWait, catalog.LoopLag, catalog.CurrentTick,
	catalog.LongCPU, catalog.LongRunQueue, catalog.LongThrottled, catalog.LongBlocked, catalog.LongPageFault,
}

// Take reads the ledger and replaces the List.
func (b *Book) Take(at time.Time) {
	all := make(map[string]*tally)
	totals, lags := make(map[place]float64, len(b.totals)), make(map[any]observe.Hist, len(b.lags))
	now := b.ledger.ReadAll(read, func(s ledger.Series) {
		t := tallyOf(all, s)
		if t == nil {
			return
		}
		where := place{s.Metric, s.Key}
		switch s.Metric.Kind {
		case observe.Counter:
			totals[where] = s.Value
			if before, ok := b.totals[where]; ok && s.Value >= before {
				t.grew(s, s.Value-before)
			}
		case observe.Gauge:
			t.level(s)
		case observe.Histogram:
			lags[s.Key] = copyOf(s)
			if before, ok := b.lags[s.Key]; ok {
				t.lag(s, before)
			}
		}
	})
	took := now - b.seconds
	b.totals, b.lags, b.seconds = totals, lags, now
	b.list.Store(b.make(all, at, took))
}

func copyOf(s ledger.Series) observe.Hist {
	h := observe.NewHist(s.Metric)
	h.Add(s.Hist)
	return h
}

// make builds the List and continues the history of its services.
func (b *Book) make(all map[string]*tally, at time.Time, seconds float64) *List {
	list := &List{Schema: SchemaName, At: at.UTC(), Seconds: seconds, Services: []*Service{}}
	maps.DeleteFunc(all, func(_ string, t *tally) bool { return !t.runs() })
	tallies := slices.SortedFunc(maps.Values(all), func(x, y *tally) int {
		return cmp.Or(cmp.Compare(y.cpu(), x.cpu()), cmp.Compare(x.key, y.key))
	})
	kept := tallies[:min(maxServices, len(tallies))]
	list.More = len(tallies) - len(kept)
	history := make(map[string]*History, len(kept))
	for _, t := range kept {
		s := t.service(seconds)
		h := b.history[t.key]
		if h == nil {
			h = &History{}
		}
		h.add(s)
		history[t.key] = h
		s.History = History{CPU: slices.Clone(h.CPU), Memory: slices.Clone(h.Memory), LagP99: slices.Clone(h.LagP99)}
		list.Services = append(list.Services, s)
	}
	b.history = history
	slices.SortStableFunc(list.Services, func(x, y *Service) int { return strings.Compare(x.Name, y.Name) })
	if list.More > 0 {
		list.Services = append(list.Services, together(tallies[len(kept):]).service(seconds))
	}
	return list
}

func (h *History) add(s *Service) {
	var cpu, memory, lag *float64
	if s.CPU != nil {
		cpu = &s.CPU.Used
	}
	if m := s.Memory; m != nil {
		memory = cmp.Or(m.Used, m.Resident)
	}
	if s.Loop != nil {
		lag = s.Loop.LagP99
	}
	h.CPU, h.Memory, h.LagP99 = push(h.CPU, cpu), push(h.Memory, memory), push(h.LagP99, lag)
}

func push(to []*float64, v *float64) []*float64 {
	if len(to) == maxHistory {
		copy(to, to[1:])
		to = to[:maxHistory-1]
	}
	return append(to, v)
}
