// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

func uidOf(namespace, pod string) string { return "uid of " + namespace + "/" + pod }

func TestWhatIsTold(t *testing.T) {
	for _, c := range []struct {
		from, to     state.State
		severity     analysis.Severity
		muted        bool
		reason, kind string // "" for no notice
	}{
		{"", state.Pending, analysis.Warning, false, "", ""},
		{state.Pending, state.Firing, analysis.Warning, false, "CPUThrottled", warning},
		{state.Pending, state.Firing, analysis.Critical, false, "CPUThrottled", warning},
		{state.Pending, state.Firing, analysis.Info, false, "CPUThrottled", normal},
		{state.Pending, state.Firing, analysis.Critical, true, "", ""},
		{state.Firing, state.Cleared, analysis.Critical, false, "CPUThrottledCleared", normal},
		{state.Pending, state.Cleared, analysis.Critical, false, "", ""},
	} {
		f := &report.Finding{ID: "cpu-throttled", Severity: report.Severity(c.severity), Muted: c.muted}
		n := noticeOf(publish.Change{Finding: f, From: c.from, To: c.to}, "node-1", uidOf)
		var reason, kind string
		if n != nil {
			reason, kind = n.reason, n.kind
		}
		if reason != c.reason || kind != c.kind {
			t.Errorf("from %q to %q, %s, muted %v: told %q %q, want %q %q", c.from, c.to, c.severity, c.muted, kind, reason, c.kind, c.reason)
		}
	}
}

// TestSymptomsOfTheNode checks that symptoms about no pod are published with their cause.
func TestSymptomsOfTheNode(t *testing.T) {
	for pod, told := range map[string]bool{"": false, "shop-1": true} {
		f := &report.Finding{ID: "run-queue-latency", Severity: report.Severity(analysis.Critical), SymptomOf: &report.Ref{}, Subject: report.Subject{Namespace: "web", Pod: pod}}
		n := noticeOf(publish.Change{Finding: f, From: state.Pending, To: state.Firing}, "node-1", uidOf)
		if (n != nil) != told {
			t.Errorf("a symptom of pod %q is told: %v, want %v", pod, n != nil, told)
		}
	}
}

func TestAbout(t *testing.T) {
	for _, c := range []struct {
		subject   report.Subject
		about     object
		namespace string
	}{
		{report.Subject{Kind: "host"}, object{"v1", "Node", "", "node-1", "node-1", ""}, "default"},
		{report.Subject{Kind: "process", Service: "nginx.service"}, object{"v1", "Node", "", "node-1", "node-1", ""}, "default"},
		{report.Subject{Kind: "container", Pod: "0d39e4f2"}, object{"v1", "Node", "", "node-1", "node-1", ""}, "default"}, // its name is not known
		{report.Subject{Kind: "cgroup", Namespace: "web", Pod: "shop-1"}, object{"v1", "Pod", "web", "shop-1", "uid of web/shop-1", ""}, "web"},
		{report.Subject{Kind: "loop", Namespace: "web", Pod: "shop-1", Container: "api"},
			object{"v1", "Pod", "web", "shop-1", "uid of web/shop-1", "spec.containers{api}"}, "web"},
		{report.Subject{Kind: "container", Namespace: "web", Pod: "shop-1", Container: strings.Repeat("a", 64)},
			object{"v1", "Pod", "web", "shop-1", "uid of web/shop-1", ""}, "web"},
	} {
		about, namespace := aboutOf(&report.Finding{Subject: c.subject}, "node-1", uidOf)
		if about != c.about || namespace != c.namespace {
			t.Errorf("%+v is told of %+v in %s, want %+v in %s", c.subject, about, namespace, c.about, c.namespace)
		}
	}
}

// TestMessageFits checks that the name of a process cannot make a message too long for
// the API server, nor add lines or escape sequences to it.
func TestMessageFits(t *testing.T) {
	for _, c := range []struct{ name, hostile, want string }{
		{"lines and an escape sequence", "no\nde\x1b[31m", "node no de?[31m (pid 42) waits."},
		{"a change of direction", "\u202eedon", "node ?edon (pid 42) waits."},
		{"half a rune", "n\xc3", "node n� (pid 42) waits."},
		{"ASCII that is too long", strings.Repeat("n", 5000), "node " + strings.Repeat("n", 1016) + "…"},
		{"runes that are too long", strings.Repeat("µ", 5000), "node " + strings.Repeat("µ", 508) + "…"},
		{"bytes that are too long", strings.Repeat("\xff", 5000), "node " + strings.Repeat("�", 338) + "…"},
	} {
		f := &report.Finding{ID: "x", Severity: report.Severity(analysis.Warning), Summary: "node " + c.hostile + " (pid 42) waits"}
		for _, to := range []publish.Change{
			{Finding: f, From: state.Pending, To: state.Firing}, {Finding: f, From: state.Firing, To: state.Cleared},
		} {
			got := noticeOf(to, "node-1", uidOf).message
			if len(got) > maxMessage || got != printable.Text(got) {
				t.Errorf("%s, %s: message of %d bytes: %q", c.name, to.To, len(got), got)
			}
			if to.To == state.Firing && got != c.want {
				t.Errorf("%s: message = %q, want %q", c.name, got, c.want)
			}
		}
	}
}

// TestNoNamesOfOthers checks that an Event in a pod's namespace has the text for
// readers of that namespace, in each state, with its cause, and after a restart.
func TestNoNamesOfOthers(t *testing.T) {
	const secret = "node secret.js (pid 3)"
	pod := report.Subject{Kind: "process", Namespace: "shop", Pod: "web", Command: "node web.js", PID: 1}
	f := report.Finding{
		ID: "run-queue-latency", Severity: report.Severity(analysis.Warning), Subject: pod, Summary: "node web.js waits for " + secret,
		Recommendations: []report.Recommendation{{Action: "Cap " + secret}},
		SymptomOf:       &report.Ref{ID: "host-saturated", Subject: report.Subject{Kind: "process", Namespace: "rival", Command: "node secret.js", PID: 3}},
		Local:           &report.Local{Summary: "node web.js waits for another pod", Action: "Cap another pod", Cause: "another pod"},
	}
	restored := f
	restored.Local = nil
	for _, c := range []struct {
		finding  report.Finding
		from, to state.State
		want     string
	}{
		{f, state.Pending, state.Firing, "node web.js waits for another pod. Caused by host-saturated of another pod. Cap another pod."},
		{f, state.Firing, state.Cleared, "Resolved: node web.js waits for another pod"},
		{restored, state.Firing, state.Cleared, "Resolved: run-queue-latency of node web.js (pid 1)"},
		{restored, state.Pending, state.Firing, "run-queue-latency of node web.js (pid 1)."},
	} {
		if got := noticeOf(publish.Change{Finding: &c.finding, From: c.from, To: c.to}, "node-1", uidOf).message; got != c.want {
			t.Errorf("message = %q, want %q", got, c.want)
		}
	}
}

// TestBounded checks that the queue of a sink is bounded if it is not drained, and that
// published Events are dropped, the oldest ones first.
func TestBounded(t *testing.T) {
	s := New(Config{Node: "node-1", UID: uidOf})
	for range maxWaiting + 5 {
		s.Publish(publish.Change{Finding: &report.Finding{ID: "x", Severity: report.Severity(analysis.Warning)}, From: state.Pending, To: state.Firing})
	}
	if got := s.Stats(); got != (Stats{Dropped: 5}) {
		t.Errorf("stats = %+v, want 5 dropped", got)
	}
	began := time.Now()
	for i := range maxTold + 1 {
		s.told.keep(same{finding: strings.Repeat("x", i)}, written{last: began.Add(time.Duration(i))})
	}
	if _, ok := s.told.find(same{}); ok || len(s.told) != maxTold {
		t.Errorf("%d are remembered, the oldest %v, want %d and not it", len(s.told), ok, maxTold)
	}
}
