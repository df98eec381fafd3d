// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/printable"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/publish"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// A notice is the content of an Event.
type notice struct {
	key       string // of the finding
	about     object
	namespace string // of the Event
	reason    string
	kind      string // Normal or Warning
	message   string
	at        time.Time
	refused   time.Time // for the first time
}

// The types of Events.
const (
	normal  = "Normal"
	warning = "Warning"
)

// noticeOf returns the Event for a change; nil if there is none, for a finding that is
// pending, or muted, or resolved before it fired. A saturated node has many symptoms:
// the Event of the node covers those that are about no pod.
func noticeOf(c publish.Change, node string, uid func(namespace, pod string) string) *notice {
	f := c.Finding
	if f.Muted || f.SymptomOf != nil && f.Subject.Pod == "" {
		return nil
	}
	n := &notice{key: f.Key, reason: camel(f.ID), kind: warning, message: cut(message(f)), at: c.At}
	switch {
	case c.To == state.Firing:
		if analysis.Severity(f.Severity) <= analysis.Info {
			n.kind = normal
		}
	case c.To == state.Cleared && c.From == state.Firing:
		n.reason, n.kind, n.message = n.reason+"Cleared", normal, cut("Resolved: "+textOf(f).Summary)
	default:
		return nil
	}
	n.about, n.namespace = aboutOf(f, node, uid)
	return n
}

// initials are the parts of ids that are written in capitals, as in Kubernetes:
// OOMKilled.
var initials = []string{"cpu", "fd", "gpu", "nic", "oom"}

// camel returns the id of a finding as a reason of Events.
//
//	event-loop-blocked → EventLoopBlocked
//	oom-killed → OOMKilled
func camel(id string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(id, "-") {
		switch {
		case slices.Contains(initials, part):
			b.WriteString(strings.ToUpper(part))
		case part != "":
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// message returns the summary, the cause and the first recommendation.
func message(f *report.Finding) string {
	is := textOf(f)
	text := strings.TrimSuffix(is.Summary, ".") + "."
	if f.SymptomOf != nil && is.Cause != "" {
		text += " Caused by " + f.SymptomOf.ID + " of " + is.Cause + "."
	}
	if is.Action != "" {
		text += " " + strings.TrimSuffix(is.Action, ".") + "."
	}
	return text
}

// textOf is what readers of the Event's namespace may read. Of a finding from
// before a restart it is not known whose names the summary has.
func textOf(f *report.Finding) report.Local {
	switch {
	case f.Local != nil:
		return *f.Local
	case f.Subject.Namespace != "":
		return report.Local{Summary: f.ID + " of " + f.Subject.String()}
	}
	is := report.Local{Summary: f.Summary}
	if f.SymptomOf != nil {
		is.Cause = f.SymptomOf.Subject.String()
	}
	if len(f.Recommendations) > 0 {
		is.Action = f.Recommendations[0].Action
	}
	return is
}

// maxMessage is the longest message of an Event (NoteLengthLimit in
// pkg/apis/core/validation/events.go).
const maxMessage = 1024

// cut makes a message printable, so that the names in it cannot write lines or
// colors of their own into a terminal, and fits it into an Event.
func cut(s string) string {
	s = printable.Text(s)
	if len(s) <= maxMessage {
		return s
	}
	const ellipsis = "…"
	end := maxMessage - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// nodeNamespace is the namespace of Events about nodes, which have none.
const nodeNamespace = "default"

// aboutOf returns the pod of a finding, otherwise the node.
func aboutOf(f *report.Finding, node string, uid func(namespace, pod string) string) (about object, namespace string) {
	s := f.Subject
	if s.Namespace == "" || s.Pod == "" {
		// kubectl describe node looks for the Events whose UID is the name.
		return object{APIVersion: "v1", Kind: "Node", Name: node, UID: node}, nodeNamespace
	}
	about = object{APIVersion: "v1", Kind: "Pod", Namespace: s.Namespace, Name: s.Pod, UID: uid(s.Namespace, s.Pod)}
	if s.Container != "" && !catalog.IsContainerID(s.Container) { // its name is known
		about.FieldPath = "spec.containers{" + s.Container + "}"
	}
	return about, s.Namespace
}
