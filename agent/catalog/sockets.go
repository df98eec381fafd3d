// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Work that is queued for a process.
var (
	// ProcessBacklog distinguishes a server that cannot keep up from a busy one: with
	// one request at a time per connection it equals the requests in flight. Work that
	// was read and queued in memory counts, because its answer has not been sent:
	// last_data_recv of tcp_info is more recent than last_data_sent.
	ProcessBacklog = &Metric{Name: "headroom.process.socket.backlog", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Connections waiting for the process: in its accept queues, with unread bytes, or with their last bytes read and not answered.", Series: true}
)

func connections(state, help string) *Metric {
	return &Metric{Name: "headroom.process.connections", Attr: "network.connection.state=" + state, Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: help, Series: true}
}

// TCP connections of each process, by state (include/net/tcp_states.h).
var (
	ProcessEstablished = kept(connections("established", "Established TCP connections."), 16)
	ProcessCloseWait   = kept(connections("close_wait", "TCP connections in CLOSE_WAIT: closed by the peer and not by the process."), 16)
	ProcessSynSent     = connections("syn_sent", "TCP connections in SYN_SENT: waiting for the peer's first answer.")
)

// Listening TCP sockets. The accept queue holds the established connections that the
// process has not accepted yet (net/ipv4/inet_connection_sock.c).
var (
	ListenerQueue     = &Metric{Name: "headroom.listener.queue", Unit: Count, Kind: Gauge, Fold: Highest, About: Listener, Help: "Connections in the accept queue at the moment of the reading.", Series: true, Limit: ListenerBacklog}
	ListenerBacklog   = &Metric{Name: "headroom.listener.backlog", Unit: Count, Kind: Gauge, Fold: Lowest, About: Listener, Help: "Length of the accept queue: the backlog of listen(2), at most net.core.somaxconn. It holds one more before it drops."}
	ListenerSomaxconn = &Metric{Name: "headroom.listener.somaxconn", Unit: Count, Kind: Gauge, Fold: Lowest, About: Listener, Help: "net.core.somaxconn of the network namespace of the listener: listen(2) cuts a larger backlog to it."}
	ListenerBurst     = &Metric{Name: "headroom.listener.burst", Unit: Count, Kind: Gauge, Fold: Highest, About: Listener, Help: "The most connections since the last reading that wanted to wait in the accept queue at a time: those in it, and those that were dropped since it was last empty (Linux 6.3).", Series: true}
	ListenerDrops     = &Metric{Name: "headroom.listener.dropped", Unit: Count, Kind: Counter, About: Listener, Help: "Connections that the listening socket dropped because its queue was full or memory was short (sk_drops, at most twice the growth of TcpExtListenDrops in its network namespace).", Series: true}
)

var socketMetrics = []*Metric{ProcessBacklog}

var connectionMetrics = []*Metric{ProcessEstablished, ProcessCloseWait, ProcessSynSent, ListenerQueue, ListenerBacklog, ListenerSomaxconn, ListenerBurst, ListenerDrops}
