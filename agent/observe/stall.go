// SPDX-License-Identifier: Apache-2.0

package observe

import "time"

// Parts is the time of a tick by what it was spent on, in seconds; it adds up to the duration.
type Parts struct {
	CPU       float64 `json:"cpu"`
	RunQueue  float64 `json:"run_queue"`
	Throttled float64 `json:"throttled"`
	Blocked   float64 `json:"blocked"`
	PageFault float64 `json:"page_fault"`
}

// Total is the sum of the parts, in seconds.
func (p Parts) Total() float64 {
	return p.CPU + p.RunQueue + p.Throttled + p.Blocked + p.PageFault
}

// A Stall is one tick of an event loop that took too long: an exemplar.
type Stall struct {
	Loop ID
	// Start is when the loop stopped serving.
	Start time.Time
	// Duration is in seconds; so far, when InProgress.
	Duration float64
	Parts    Parts
	// Syscall is the system call that blocked longest, or "".
	Syscall string
	// InProgress is set if the tick had not ended when it was read.
	InProgress bool
}

// A Gap is something that could not be observed. No findings does not mean healthy.
type Gap struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Cure   string `json:"cure,omitempty"`
	// Process is the ID of the process that could not be observed, such as 4242:183000
	// (pid and start time). It is "" if the gap is about the source as a whole.
	Process string `json:"process,omitempty"`
}

// Sources of gaps other than samplers.
const (
	// GapView is the source of gaps about parts of the host that no sampler can
	// see from where headroom runs, such as processes outside its container.
	GapView = "view"
	// GapTarget is the source of gaps about the selected target of a diagnosis:
	// it ended, or there is nothing in it to evaluate.
	GapTarget = "target"
)

// Doubt reports whether the absence of findings means nothing because of this gap: the
// fault may be in the part that it is about. Any other gap only affects the analyzers that
// need its source, or one process.
func (g Gap) Doubt() bool { return g.Source == GapView || g.Source == GapTarget }

// An Ended entity went away during a window.
type Ended struct {
	ID     ID
	Reason string
}
