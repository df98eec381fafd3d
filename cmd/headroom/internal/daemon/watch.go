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

	"github.com/headroom-project/headroom/agent/catalog"
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

// A watcher turns snapshots into judgements, and judgements into findings that
// live. see is called by one goroutine; what others read is under mu.
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
	http    *serve.Server        // nil where nothing is served
	own     *prometheus.Registry // what was found, and what the agent and its sinks tell of themselves
	unseen  float64              // seconds since the last judgement
	// window and every are those of sliding.
	window, every time.Duration

	mu      sync.RWMutex
	rules   *rules.Rules
	report  *report.Report
	last    time.Time // of the last step
	self    selfState
	refused bool // the config that was read last
}

// selfState is what the agent knows of itself.
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
	w.tellOwn()
	return w
}

// standstill is a step that no hanging sampler explains: the agent was stopped,
// or the machine. What happened meanwhile was seen by nobody.
const standstill = 10.0

// see takes in one snapshot.
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

// resize begins windows anew when a reload gave them another length.
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

// sweep makes room for entities that come. While a reading hangs it waits: that
// reading may still write to what has ended.
func (w *watcher) sweep(window *observe.Window) {
	for _, s := range w.stats() {
		if s.Hangs {
			return
		}
	}
	w.differ.Forget(w.sweeper.Sweep(window))
}

// stoodStill says that a step is of a time in which the agent or the machine
// did not run.
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

// alive notes a step, for whoever asks and for systemd's watchdog: judgements may
// be minutes apart.
func (w *watcher) alive(s *observe.Snapshot) {
	_, _ = systemd.SdNotify(false, systemd.SdNotifyWatchdog) // without systemd there is nobody to tell
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

// look judges a window.
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

// warmUp is how long a process may behave as one that only starts.
const warmUp = 60.0

func sightings(r *analysis.Result, keys []string) []state.Sighting {
	var all []state.Sighting
	for i, f := range r.Findings {
		age, known := ageOf(r.Window, f.Subject)
		all = append(all, state.Sighting{Key: keys[i], Finding: f, Young: known && age < warmUp})
	}
	return all
}

// ageOf is that of the process around a subject; of a container or service that of
// the oldest process in it. The host has none.
func ageOf(w *observe.Window, subject observe.ID) (age float64, known bool) {
	if process, ok := w.Index.Ancestor(subject, observe.Process); ok {
		return w.Last(catalog.ProcessAge, process)
	}
	if w.Index.Entity(subject).Kind != observe.Cgroup {
		return 0, false
	}
	for process, one := range w.Values(catalog.ProcessAge) {
		if w.Index.Within(process, subject) {
			age, known = max(age, one), true
		}
	}
	return age, known
}

func set(keys []string) map[string]bool {
	all := make(map[string]bool, len(keys))
	for _, k := range keys {
		all[k] = true
	}
	return all
}

// missing says whether something that fires is not among the keys.
func (w *watcher) missing(keys []string) bool {
	seen := set(keys)
	for _, s := range w.tracker.All() {
		if s.State == state.Firing && !seen[s.Key] {
			return true
		}
	}
	return false
}

// render makes the report of a look: the live findings, the worst root cause first,
// and then those that are resolved, the newest first.
func (w *watcher) render(rules *rules.Rules, result *analysis.Result, keys []string) *report.Report {
	rep := report.New(result, report.Options{Version: host.Version(), Sources: host.Sources(host.Samplers), Keys: keys})
	for _, f := range rep.Findings {
		w.tracker.Keep(f.Key, f)
	}
	live, resolved := []*report.Finding{}, []*report.Finding{}
	for _, s := range w.tracker.All() {
		switch {
		case s.Payload == nil:
		case s.State == state.Cleared:
			resolved = append(resolved, told(rules, s))
		default:
			live = append(live, told(rules, s))
		}
	}
	report.Arrange(live)
	rep.Verdict = string(result.Sight.Verdict(worst(live)))
	rep.Findings = append(live, resolved...)
	return rep
}

// told is a finding as it is told now. The kept one is not changed: earlier
// reports share it.
func told(rules *rules.Rules, s state.Status[*report.Finding]) *report.Finding {
	f := *s.Payload
	f.State, f.Since = string(s.State), s.Since.UTC().Format(time.RFC3339Nano)
	f.Opened = s.Opened.UTC().Format(time.RFC3339Nano)
	f.Severity = report.Severity(s.Severity)
	f.Muted = rules.Muted(&f)
	return &f
}

// worst is the worst severity of the root causes among live findings that are not
// muted. A muted root cause mutes its symptoms: they are shown below it.
func worst(live []*report.Finding) analysis.Severity {
	worst := analysis.Healthy
	for _, f := range report.Roots(live) {
		if !f.Muted {
			worst = max(worst, analysis.Severity(f.Severity))
		}
	}
	return worst
}

// tell logs each change, and hands it to the sinks.
func (w *watcher) tell(rules *rules.Rules, changes []state.Change) {
	now := time.Now()
	for _, c := range changes {
		s, ok := w.tracker.Status(c.Key)
		if !ok || s.Payload == nil {
			continue
		}
		w.log.Info("finding "+string(c.To), "key", c.Key, "severity", c.Severity.String(), "summary", s.Payload.Summary)
		for _, sink := range w.sinks {
			sink.Publish(publish.Change{Finding: told(rules, s), From: c.From, To: c.To, At: now})
		}
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

// silence is how long no step may come before the agent counts as dead: longer
// than all samplers are waited for.
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

// reload takes in the config again, or says why not and keeps the old one.
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
