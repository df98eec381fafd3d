// SPDX-License-Identifier: Apache-2.0

// Package membudget keeps the agent within its memory limit: it sets the soft limit
// of the Go runtime, and leaves out detail if the limit cannot be raised.
// agent/budget decides; this package reads the runtime and the cgroup, and applies
// the decision to the whole process.
package membudget

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/headroom-project/headroom/agent/budget"
	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/sampler"
)

// garbageShare is the value of GOGC: how much garbage may accumulate, in percent of
// the memory in use. An agent runs on every node continuously: a quarter less
// memory is worth a quarter of a percent of a core (docs/benchmarks.md).
const garbageShare = 40

// A Memory limits the memory of the process. It is safe for concurrent use.
type Memory struct {
	log     *slog.Logger
	detail  *sampler.Detail
	history *history.History
	// whole is the budget of the history with all detail, in bytes.
	whole int

	mu     sync.Mutex
	meter  *budget.Meter
	budget *budget.Budget // nil until Limit is called
	most   int64
	bound  string // where the limit comes from, and how to raise it
	last   budget.Reading
}

// New returns a Memory that limits nothing until Limit is called. whole is the budget
// of the history, in bytes.
func New(log *slog.Logger, detail *sampler.Detail, h *history.History, whole int) *Memory {
	return &Memory{log: log, detail: detail, history: h, whole: whole}
}

// Limit sets the maximum that the config allows, in bytes, at the start and after a
// reload. The environment (GOMEMLIMIT, GOGC) has precedence.
func (m *Memory) Limit(config int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
	if m.meter == nil {
		m.meter = budget.NewMeter()
	}
	most := m.most
	m.most, m.bound = allowed(config)
	if m.most < config && m.most != most {
		m.log.Info("memory is limited to less than the config allows", "limit", m.most, "config", config, "cure", m.bound)
	}
	bounds := budget.Bounds{Most: m.most, Growth: m.meter.Growth()}
	if m.budget == nil {
		m.budget = budget.New(bounds)
	} else {
		m.budget.SetBounds(bounds)
	}
	m.apply()
}

// runtimeShare and beside define the part of a cgroup's limit that the Go runtime
// may use: half, or all but 128 MiB if that is more. The rest is for eBPF maps, for
// the pages of the executable and for kernel memory, which count towards the
// cgroup.
const (
	runtimeShare = 2
	beside       = 128 << 20
)

// allowed returns the maximum that the Go runtime may use, and how to raise it.
func allowed(config int64) (most int64, cure string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return debug.SetMemoryLimit(-1), "raise GOMEMLIMIT in the agent's environment"
	}
	most, cure = config, "raise memory in the config"
	limit, err := memlimit.FromCgroup() // the lowest limit of the cgroup and its ancestors
	if err != nil || limit > math.MaxInt64 {
		return most, cure // no limit, or none that is visible
	}
	if own := max(int64(limit)/runtimeShare, int64(limit)-beside); own < most {
		most, cure = own, fmt.Sprintf("raise the memory limit of the agent's cgroup (%d MiB)", limit>>20)
	}
	return most, cure
}

// Step reads the runtime, and changes the limit or the detail if they no longer fit.
func (m *Memory) Step() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.budget == nil {
		return
	}
	r := m.meter.Read()
	r.Processes, r.LeftOut = m.detail.Counts()
	m.last = r
	limit, detail := m.budget.Limit(), m.budget.Detail()
	m.budget.Step(r)
	if m.budget.Limit() != limit || m.budget.Detail() != detail {
		m.apply()
		m.log.Info("memory budget changed", "limit", m.budget.Limit(), "bound", m.most, "live", r.Live, "gc_cores", m.budget.Share(),
			"threads", m.budget.Detail().Threads, "processes", m.budget.Detail().Processes)
	}
}

// lessHistory is the divisor of the history's budget when detail is left out.
const lessHistory = 4

func (m *Memory) apply() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.budget.Limit())
	}
	d := m.budget.Detail()
	m.detail.Keep(d.Processes, d.Threads)
	if d.Threads {
		m.history.SetBudget(m.whole)
	} else {
		m.history.SetBudget(m.whole / lessHistory)
	}
}

// GapSource is the source of gaps about detail that is left out.
const GapSource = "memory"

// Gaps reports detail that is left out because of the memory limit, and how to get
// it back.
func (m *Memory) Gaps() []observe.Gap {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.budget == nil {
		return nil
	}
	followed, leftOut := m.detail.Counts()
	var gaps []observe.Gap
	cure := fmt.Sprintf("%s: the Go runtime needs about %d MiB for all processes", m.bound, m.budget.Wanted(followed+leftOut)>>20)
	if leftOut > 0 {
		gaps = append(gaps, observe.Gap{Source: GapSource, Cure: cure, Reason: fmt.Sprintf(
			"the memory budget of %d MiB is full: %d of %d processes, the least active ones, are left out; their containers and the host are observed in full",
			m.most>>20, leftOut, followed+leftOut)})
	}
	if !m.budget.Detail().Threads {
		gaps = append(gaps, observe.Gap{Source: GapSource, Cure: cure, Reason: fmt.Sprintf(
			"the memory budget of %d MiB is full: threads are not observed one by one, and the history goes back less far", m.most>>20)})
	}
	return gaps
}

// State returns the values of the agent's metrics about memory.
func (m *Memory) State() self.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.budget == nil {
		return self.Memory{}
	}
	followed, leftOut := m.detail.Counts()
	return self.Memory{
		Limit: m.budget.Limit(), Most: m.most, Live: m.last.Live, Collecting: m.last.Collecting,
		Processes: followed, LeftOut: leftOut, Threads: m.budget.Detail().Threads,
	}
}
