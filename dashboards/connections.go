// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func connectionsBoard() *dashboard {
	perListener := by(instance, namespace, pod, container, service, program, address)
	listener := name + " {{" + address + "}}"
	toUpstream := by(instance, address)
	line := func(m metric, what string) query { return query{sum(perNode, rate(m, ofNode)), what + " " + nodeName} }
	return board("headroom-connections", "Connections", "Listeners, file descriptors, local ports, connection tracking and TCP.", chooseProgram(),
		graph("Accept queue utilization", "Connections in the accept queue divided by its backlog, for the fullest socket of each address. It fills if a server does not accept (accept-queue-overflow), or if all of its workers are busy (queue-backlog).", unitShare,
			query{most(share(highest(perListener, sel(ListenerQueue, ofService)), lowest(perListener, sel(ListenerBacklog, ofService)))), listener}).warn(0.5, 0.9).about("accept-queue-overflow"),
		graph("Connections dropped by listeners", "Connections per second dropped because the accept queue was full or memory ran out.", unitConns, query{most(sum(perListener, rate(ListenerDrops, ofService))), listener}, line(TCPOverflows, "host, accept queue overflows")),
		graph("Connections waiting", "Connections in accept queues, and connections with data that the program has not read or answered.", unitCount, query{most(sum(perProgram, sel(ProcessBacklog, ofService))), name}),
		graph("Connections in ESTABLISHED", "Open TCP connections by program.", unitCount, query{most(sum(perProgram, sel(ProcessEstablished, ofService))), name}),
		graph("Connections in CLOSE_WAIT", "TCP connections that the peer has closed and the program has not.", unitCount, query{most(sum(perProgram, sel(ProcessCloseWait, ofService))), name}).warn(100, 1000).about("close-wait-leak"),
		graph("Connections in SYN_SENT", "Outgoing TCP connections that wait for the first answer of the server.", unitCount, query{most(sum(perProgram, sel(ProcessSynSent, ofService))), name}),
		graph("File descriptors by type", "Open file descriptors of all processes.", unitCount,
			query{sum("", sel(ProcessFDSockets, ofService)), "sockets"}, query{sum("", sel(ProcessFDFiles, ofService)), "files"}, query{sum("", sel(ProcessFDPipes, ofService)), "pipes"}, query{sum("", sel(ProcessFDAnon, ofService)), "epoll, timers, events"}).stacked(),
		graph("File descriptor failures (EMFILE, ENFILE)", "System calls per second that failed because no file descriptor was left. Counted while a process is near its limit.", unitCalls, query{most(sum(perProgram, rate(ProcessFDRefused, ofService))), name}),
		graph("File descriptors of the host", "Open file descriptors divided by fs.file-max.", unitShare, query{share(highest(perNode, sel(HostFDs, ofNode)), lowest(perNode, sel(HostFDLimit, ofNode))), nodeName}).warn(0.7, 0.9),
		graph("Local port utilization by destination", "Local ports in use for a destination divided by the ports available. Destinations below 10% are not shown.", unitShare,
			query{most(share(highest(toUpstream, sel(UpstreamPorts, ofNode)), lowest(toUpstream, sel(UpstreamPortLimit, ofNode)))), nodeName + " {{" + address + "}}"}).warn(0.7, 0.9).about("port-exhaustion"),
		graph("Local ports in TIME_WAIT", "Local ports in TIME_WAIT by destination.", unitCount, query{most(highest(toUpstream, sel(UpstreamTimeWait, ofNode))), nodeName + " {{" + address + "}}"}),
		graph("Conntrack table utilization", "Entries in the connection tracking table divided by its size.", unitShare, query{share(highest(perNode, sel(ConntrackCount, ofNode)), lowest(perNode, sel(ConntrackLimit, ofNode))), nodeName}).warn(0.7, 0.9).about("conntrack-exhaustion"),
		graph("Conntrack drops and evictions", "Packets dropped and entries evicted per second because the table was full.", unitPerSec, line(ConntrackDrops, "dropped"), line(ConntrackEvictions, "evicted")),
		graph("TCP retransmission rate", "Retransmitted segments divided by segments sent.", unitShare, query{share(sum(perNode, rate(TCPRetransmits, ofNode)), sum(perNode, rate(TCPSegmentsOut, ofNode))), nodeName}).fitted().warn(0.01, 0.05),
	)
}
