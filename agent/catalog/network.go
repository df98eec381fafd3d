// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

func nic(name, direction string, unit Unit, help string) *Metric {
	return &Metric{Name: "system.network." + name, Attr: "network.io.direction=" + direction, Unit: unit, Kind: Counter, About: NIC, Help: help, Series: true}
}

// ranked makes m the activity by which label sets of its kind are ranked.
func ranked(m *Metric) *Metric {
	m.Activity = true
	return m
}

// Network interfaces in headroom's network namespace, except the loopback, from
// rtnetlink (net/core/rtnetlink.c).
var (
	NICReceived        = ranked(nic("io", "receive", Bytes, "Bytes received."))
	NICSent            = nic("io", "transmit", Bytes, "Bytes sent.")
	NICPacketsIn       = nic("packet.count", "receive", "{packet}", "Packets received.")
	NICPacketsOut      = nic("packet.count", "transmit", "{packet}", "Packets sent.")
	NICDroppedIn       = nic("packet.dropped", "receive", "{packet}", "Received packets dropped by the card or the kernel.")
	NICDroppedOut      = nic("packet.dropped", "transmit", "{packet}", "Packets that the driver dropped.")
	NICErrorsIn        = nic("errors", "receive", "{error}", "Received packets with errors.")
	NICErrorsOut       = nic("errors", "transmit", "{error}", "Packets not sent because of errors.")
	NICSpeed           = &Metric{Name: "headroom.nic.speed", Unit: "By/s", Kind: Gauge, Fold: Summed, About: NIC, Help: "Speed of the link in each direction; absent where it is not known and for virtual interfaces, whose reported speed has no meaning."}
	NICQueueDropped    = &Metric{Name: "headroom.nic.queue.dropped", Unit: "{packet}", Kind: Counter, About: NIC, Help: "Packets dropped by the send queue of the interface (root qdisc).", Series: true}
	NICQueueOverlimits = &Metric{Name: "headroom.nic.queue.overlimits", Unit: Count, Kind: Counter, About: NIC, Help: "Times that a shaper delayed packets (root qdisc)."}
	NICQueueBacklog    = &Metric{Name: "headroom.nic.queue.backlog", Unit: Bytes, Kind: Gauge, Fold: Summed, About: NIC, Help: "Bytes waiting in the send queue of the interface.", Series: true}
	NICShapedTo        = &Metric{Name: "headroom.nic.queue.rate", Unit: "By/s", Kind: Gauge, Fold: Summed, About: NIC, Help: "Rate that a shaper allows (tbf, or the root class of htb); absent without one."}
)

// Packet processing of each CPU between network card and protocol, from
// /proc/net/softnet_stat (net/core/net-procfs.c).
var (
	SoftnetPackets  = &Metric{Name: "headroom.cpu.softnet.packets", Unit: "{packet}", Kind: Counter, About: CPU, Help: "Received packets handled by this CPU."}
	SoftnetDropped  = &Metric{Name: "headroom.cpu.softnet.dropped", Unit: "{packet}", Kind: Counter, About: CPU, Help: "Received packets dropped because the backlog of this CPU was full.", Series: true}
	SoftnetSqueezed = &Metric{Name: "headroom.cpu.softnet.squeezed", Unit: Count, Kind: Counter, About: CPU, Help: "Times that this CPU ended a turn with packets left."}
	SoftnetLimit    = &Metric{Name: "headroom.softnet.limit", Unit: "{packet}", Kind: Gauge, Fold: Summed, About: Node, Help: "Length of the backlog of each CPU, in packets (net.core.netdev_max_backlog); absent in network namespaces other than the host's."}
)

// Tables of the network namespace that headroom runs in.
var (
	ConntrackCount     = &Metric{Name: "headroom.conntrack.count", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Connections in the connection tracking table.", Series: true, Keep: &Keep{From: 1000}, Limit: ConntrackLimit}
	ConntrackLimit     = &Metric{Name: "headroom.conntrack.limit", Unit: Count, Kind: Gauge, Fold: Summed, About: Node, Help: "Size of the connection tracking table (nf_conntrack_max)."}
	ConntrackDrops     = &Metric{Name: "headroom.conntrack.dropped", Unit: "{packet}", Kind: Counter, About: Node, Help: "Packets dropped because their connection could not be added to the table (drop of /proc/net/stat/nf_conntrack)."}
	ConntrackEvictions = &Metric{Name: "headroom.conntrack.evicted", Unit: Count, Kind: Counter, About: Node, Help: "Unfinished connections evicted from the full table for new ones (early_drop)."}
	TCPOverflows       = &Metric{Name: "headroom.tcp.listen.overflows", Unit: Count, Kind: Counter, About: Node, Help: "Connections that arrived at a full accept queue (ListenOverflows)."}
	TCPListenDrops     = &Metric{Name: "headroom.tcp.listen.dropped", Unit: Count, Kind: Counter, About: Node, Help: "Connections that a listener dropped, overflows included (ListenDrops)."}
	TCPSegmentsOut     = &Metric{Name: "headroom.tcp.segments.sent", Unit: "{packet}", Kind: Counter, About: Node, Help: "Segments sent (OutSegs)."}
	TCPRetransmits     = &Metric{Name: "headroom.tcp.segments.retransmitted", Unit: "{packet}", Kind: Counter, About: Node, Help: "Segments retransmitted (RetransSegs)."}
)

// Local ports used for connections to one address, in every network namespace that has
// many connections. An Upstream is a source address, a destination address and a
// destination port.
var (
	UpstreamPorts     = &Metric{Name: "headroom.upstream.ports.used", Unit: Count, Kind: Gauge, Fold: Highest, About: Upstream, Help: "Local ports in use towards one address and port, connections in TIME_WAIT included; present from a tenth of the range on.", Series: true, Keep: &Keep{From: 1000}, Limit: UpstreamPortLimit}
	UpstreamTimeWait  = &Metric{Name: "headroom.upstream.ports.time_wait", Unit: Count, Kind: Gauge, Fold: Highest, About: Upstream, Help: "Local ports in TIME_WAIT towards one address and port."}
	UpstreamPortLimit = &Metric{Name: "headroom.upstream.ports.limit", Unit: Count, Kind: Gauge, Fold: Lowest, About: Upstream, Help: "Local ports available towards one address and port (net.ipv4.ip_local_port_range without reserved ports)."}
)

var nicMetrics = []*Metric{NICReceived, NICSent, NICPacketsIn, NICPacketsOut, NICDroppedIn, NICDroppedOut, NICErrorsIn, NICErrorsOut,
	NICSpeed, NICQueueDropped, NICQueueOverlimits, NICQueueBacklog, NICShapedTo}

var networkMetrics = []*Metric{SoftnetPackets, SoftnetDropped, SoftnetSqueezed, SoftnetLimit,
	ConntrackCount, ConntrackLimit, ConntrackDrops, ConntrackEvictions, TCPOverflows, TCPListenDrops, TCPSegmentsOut, TCPRetransmits}

var upstreamMetrics = []*Metric{UpstreamPorts, UpstreamTimeWait, UpstreamPortLimit}
