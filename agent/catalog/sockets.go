// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Work that waits in front of a process.
var (
	// ProcessBacklog tells a server that cannot keep up from a busy one: with
	// one request at a time per connection it is the requests in flight. Work
	// that was read and queued in memory counts, as its answer has not been
	// sent: tcp_info's last_data_recv is more recent than last_data_sent.
	ProcessBacklog = &Metric{Name: "headroom.process.socket.backlog", Unit: Count, Kind: Gauge, About: Process, Help: "Connections that wait for the process: those in its accept queues, those with bytes that it has not read, and those whose last bytes it read and has not answered.", Series: true}
)

var socketMetrics = []*Metric{ProcessBacklog}
