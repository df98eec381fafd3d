// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/headroom-project/headroom/agent/export/self"
	"github.com/headroom-project/headroom/agent/export/services"
	"github.com/headroom-project/headroom/agent/history"
	"github.com/headroom-project/headroom/agent/ledger"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/agent/run"
	"github.com/headroom-project/headroom/agent/sampler"
	"github.com/headroom-project/headroom/agent/serve"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/publish/past"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/keeper"
	"github.com/headroom-project/headroom/cmd/headroom/internal/membudget"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

// A watcher evaluates snapshots window by window, and tracks the findings. Only one
// goroutine calls see; mu protects the fields that others read.
type watcher struct {
	host    observe.Host
	log     *slog.Logger
	differ  *observe.Differ
	sliding *observe.Sliding
	tracker *state.Tracker[*report.Finding]
	ledger  *ledger.Ledger
	book    *services.Book
	sweeper *run.Sweeper
	history *history.History
	past    *past.Past
	keeper  *keeper.Keeper
	memory  *membudget.Memory
	stats   func() []run.Stats
	probes  *sampler.Probes
	sinks   []publish.Sink
	http    *serve.Server        // nil if nothing is served
	own     *prometheus.Registry // findings, and metrics of the agent and its sinks
	unseen  float64              // seconds since the last evaluation
	askable askable
	// window and every are those of sliding.
	window, every time.Duration

	mu      sync.RWMutex
	rules   *rules.Rules
	report  *report.Report
	last    time.Time // of the last step
	self    selfState
	refused bool // the last config was invalid
}

// selfState holds the values of the agent's metrics.
type selfState struct {
	samplers                    []run.Stats
	probes                      []self.Probe
	entities, refused           int
	standstills, looks, crowded int
	lookTook                    time.Duration
}

func newWatcher(of observe.Host, on *sampler.Host, r *rules.Rules, log *slog.Logger, uptime time.Duration) *watcher {
	x, l := on.Index, ledger.New()
	w := &watcher{
		host: of, log: log, rules: r, window: r.Config.Window, every: r.Config.Every,
		differ:  observe.NewDiffer(x),
		sliding: observe.NewSliding(x, r.Config.Window.Seconds(), r.Config.Every.Seconds()),
		tracker: state.New[*report.Finding](),
		ledger:  l,
		book:    services.New(l),
		sweeper: run.NewSweeper(on),
		probes:  on.Probes,
		last:    time.Now(),
		own:     prometheus.NewRegistry(),
	}
	w.history = history.New(history.Options{
		Index: x, Boot: host.BootID(), Wall: time.Now(), Since: uptime, Budget: int(r.Config.Storage.History),
	})
	w.past = past.New(w.history.Now)
	w.sinks = append(w.sinks, w.past)
	w.keeper = keeper.New(keeper.Options{Log: log, History: w.history, Past: w.past})
	w.memory = membudget.New(log, &on.Detail, w.history, int(r.Config.Storage.History))
	w.registerOwn()
	return w
}

// standstill is the length of a step, in seconds, above which the step is a pause,
// unless a hanging sampler explains it: the agent or the machine was stopped, and
// nothing was observed.
const standstill = 10.0

// see processes one snapshot.
func (w *watcher) see(s *observe.Snapshot) error {
	step := w.differ.Step(s)
	w.ledger.Add(step)
	w.history.Add(step, s.BootTime)
	w.sweeper.Step(step)
	w.alive(s)
	w.memory.Step()
	if gap, ok := stoodStill(step); ok {
		w.log.Warn("resetting windows after a pause", "reason", gap.Reason)
		w.sliding.Restart(gap)
		w.unseen = 0
		w.count(func(s *selfState) { s.standstills++ })
		return nil
	}
	w.resize(s.Index)
	w.unseen += step.Seconds
	if window := w.sliding.Add(step); window != nil {
		w.look(window)
		w.sweep(window)
	}
	return nil
}

// resize starts new windows if a reload changed their length.
func (w *watcher) resize(x *observe.Index) {
	w.mu.RLock()
	window, every := w.rules.Config.Window, w.rules.Config.Every
	w.mu.RUnlock()
	if window != w.window || every != w.every {
		w.log.Info("resetting windows: their length changed", "window", window, "every", every)
		w.sliding = observe.NewSliding(x, window.Seconds(), every.Seconds())
		w.window, w.every = window, every
	}
}

// sweep frees the entities that ended. While a reading hangs it frees none: the
// reading may still write to them.
func (w *watcher) sweep(window *observe.Window) {
	for _, s := range w.stats() {
		if s.Hangs {
			return
		}
	}
	w.differ.Forget(w.sweeper.Sweep(window))
}

// stoodStill reports, as a gap, whether the agent or the machine was paused during
// a step.
func stoodStill(step *observe.Window) (observe.Gap, bool) {
	for _, g := range step.Gaps {
		if g.Source == observe.GapClock {
			return g, true // the machine was suspended
		}
	}
	return observe.Gap{
		Source: observe.GapClock,
		Reason: fmt.Sprintf("nothing was observed for %.0f s: what happened meanwhile is not judged", step.Seconds),
		Cure:   "let the agent run",
	}, step.Seconds > standstill
}

// alive records a step for /healthz and for systemd's watchdog: evaluations may be
// minutes apart.
func (w *watcher) alive(s *observe.Snapshot) {
	_, _ = systemd.SdNotify(false, systemd.SdNotifyWatchdog) // without systemd there is no socket
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
	w.self.samplers = w.stats()
	w.self.entities, w.self.refused = s.Index.Count(), s.Index.Refused()
}

func (w *watcher) count(change func(*selfState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.self)
}

// look evaluates a window.
func (w *watcher) look(window *observe.Window) {
	began := time.Now()
	w.keeper.Resume(w.tracker, w.report == nil)
	w.mu.RLock()
	rules := w.rules
	w.mu.RUnlock()
	result := rules.Ask(window, w.host, w.history, 1)
	keys := report.Keys(result.Findings, window.Index)
	look := state.Look{Window: window, New: w.unseen, Seen: sightings(result, keys)}
	w.unseen = 0
	if w.missing(keys) {
		held := rules.Ask(window, w.host, w.history, analysis.Release)
		look.Held = set(report.Keys(held.Findings, window.Index))
	}
	w.book.Take(window.End)
	changes := w.tracker.Look(look)
	result.Gaps = append(result.Gaps, w.keeper.Gaps()...)
	result.Gaps = append(result.Gaps, w.memory.Gaps()...)
	rep := w.render(rules, result, keys)
	rep.Asked.Lost = w.askable.lost(result, w.stats())
	w.tell(rules, changes)
	costs := probeCosts(w.probes)
	w.keeper.Update(w.tracker, changes)
	w.mu.Lock()
	first := w.report == nil
	w.report = rep
	w.self.looks++
	w.self.lookTook = time.Since(began)
	w.self.probes = costs
	w.self.crowded = w.tracker.Refused()
	w.mu.Unlock()
	if first {
		if err := forgetStartUp(); err != nil {
			w.log.Debug("cannot release the memory used at start", "err", err)
		}
		_, _ = systemd.SdNotify(false, systemd.SdNotifyReady)
	}
}

// Report implements web.Source.
func (w *watcher) Report() *report.Report {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.report
}

// Episodes implements web.Past.
func (w *watcher) Episodes(since time.Time) []past.Episode { return w.past.Episodes(since) }

// Services implements web.Source.
func (w *watcher) Services() *services.List { return w.book.List() }

// silence is the time without a step after which the agent counts as dead: longer
// than its time limit for all samplers.
const silence = time.Minute

// Alive implements web.Source.
func (w *watcher) Alive() error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if since := time.Since(w.last); since > silence {
		return fmt.Errorf("nothing was observed for %.0f s", since.Seconds())
	}
	return nil
}

// reload reads the config again. If it is invalid, reload logs why and keeps the
// old one.
func (w *watcher) reload(path string) {
	_, _ = systemd.SdNotify(false, systemd.SdNotifyReloading)
	defer func() { _, _ = systemd.SdNotify(false, systemd.SdNotifyReady) }()
	r, err := rules.Read(path)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = err != nil
	if err != nil {
		w.log.Error("config rejected, keeping the old one", "err", err)
		return
	}
	if old := w.rules.Config.Storage; r.Config.Storage != old {
		w.log.Warn("a change of storage takes effect at the next restart", "path", old.Path, "history", old.History)
	}
	if !reflect.DeepEqual(r.Config.OTLP, w.rules.Config.OTLP) {
		w.log.Warn("a change of otlp takes effect at the next restart")
	}
	w.rules = r
	w.memory.Limit(r.Config.Memory)
	w.log.Info("config reloaded", "mutes", len(r.Config.Mute), "thresholds", len(r.Config.Thresholds))
}
