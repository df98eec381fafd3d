// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Work that waits in front of a process.
var (
	// ProcessBacklog tells a server that cannot keep up from a busy one: with
	// one request per connection it is the number of requests that wait.
	ProcessBacklog = &Metric{Name: "headroom.process.socket.backlog", Unit: Count, Kind: Gauge, About: Process, Help: "Connections that wait for the process: those in its accept queues, and those with bytes that it has not read.", Series: true}
)

var socketMetrics = []*Metric{ProcessBacklog}
