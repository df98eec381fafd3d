// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"time"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
	"github.com/headroom-project/headroom/cmd/headroom/internal/host"
	"github.com/headroom-project/headroom/cmd/headroom/internal/rules"
)

// warmUp is the age in seconds below which a process may still be starting.
const warmUp = 60.0

// sightings converts the findings of an evaluation for the tracker.
func sightings(r *analysis.Result, keys []string) []state.Sighting {
	var all []state.Sighting
	for i, f := range r.Findings {
		all = append(all, state.Sighting{Key: keys[i], Finding: f, Young: young(r.Window, f)})
	}
	return all
}

// young reports whether everything that a finding is about has just started.
func young(w *observe.Window, f *analysis.Finding) bool {
	oldest, known := ageOf(w, f.Subject)
	for _, id := range f.Subjects {
		age, ok := ageOf(w, id)
		oldest, known = max(oldest, age), known || ok
	}
	return known && oldest < warmUp
}

// ageOf returns the age of the process of a subject; for a container or service,
// the age of its oldest process. The host has no age.
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

// missing reports whether a firing finding is not among the keys.
func (w *watcher) missing(keys []string) bool {
	seen := set(keys)
	for _, s := range w.tracker.All() {
		if s.State == state.Firing && !seen[s.Key] {
			return true
		}
	}
	return false
}

// render returns the report of an evaluation: live findings, the worst root cause
// first, then resolved ones, the newest first.
func (w *watcher) render(rules *rules.Rules, result *analysis.Result, keys []string) *report.Report {
	rep := report.New(result, report.Options{Version: host.Version(), Keys: keys})
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

// told returns a finding as it is reported now. It copies the tracker's finding,
// because earlier reports share it.
func told(rules *rules.Rules, s state.Status[*report.Finding]) *report.Finding {
	f := *s.Payload
	f.State, f.Since = string(s.State), s.Since.UTC().Format(time.RFC3339Nano)
	f.Opened = s.Opened.UTC().Format(time.RFC3339Nano)
	f.Severity = report.Severity(s.Severity)
	f.Muted = rules.Muted(&f)
	return &f
}

// worst returns the highest severity of the root causes among live findings that
// are not muted. A muted root cause mutes its symptoms: they are shown below it.
func worst(live []*report.Finding) analysis.Severity {
	worst := analysis.Healthy
	for _, f := range report.Roots(live) {
		if !f.Muted {
			worst = max(worst, analysis.Severity(f.Severity))
		}
	}
	return worst
}

// tell logs each change and publishes it to the sinks.
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
