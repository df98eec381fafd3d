// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Waiting for a CPU, measured at sched_switch.
var (
	RunQueueDelay = &Metric{Name: "headroom.process.run_queue.delay", Unit: Seconds, Kind: Histogram, About: Process, Help: "Delays between ready to run and running of a millisecond or more; shorter ones are only counted, in headroom.process.runs.", Bounds: LagBounds, Zeroed: true}
	// WaitedFor pairs a victim with the culprit, the process that used the CPU in the
	// meantime.
	WaitedFor = &Metric{Name: "headroom.process.waited_for.time", Unit: Seconds, Kind: PairCounter, About: Process, Help: "Time that the process waited for a CPU, in delays of a millisecond or more, while the culprit named by the label ran on it.", Zeroed: true, Second: LabelCulprit}
)

var runQueueMetrics = []*Metric{RunQueueDelay, WaitedFor}
