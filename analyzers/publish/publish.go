// SPDX-License-Identifier: Apache-2.0

// Package publish has the interface of sinks, which publish findings: each sink gets
// every state change of a finding once.
package publish

import (
	"time"

	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// A Change is a finding that went from one state to another.
type Change struct {
	// Finding is the finding as published at that moment, with state, severity and
	// mute. It is shared: do not change it.
	Finding *report.Finding
	// From is "" for a finding that was not known before.
	From, To state.State
	At       time.Time
}

// A Sink publishes changes. Publish is called by the goroutine that evaluates, and must
// return at once: a sink that waits for a receiver keeps a bounded queue, and counts what
// it drops.
type Sink interface{ Publish(Change) }
