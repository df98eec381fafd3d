// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func connectionsBoard() *dashboard {
	perListener := by(instance, namespace, pod, container, service, program, address)
	listener := name + " {{" + address + "}}"
	toUpstream := by(instance, address)
	line := func(m metric, what string) query { return query{sum(perNode, rate(m, ofNode)), what + " " + nodeName} }
	return board("headroom-connections", "Connections", "Listeners, descriptors, local ports, connection tracking and TCP.", chooseProgram(),
		graph("Accept queue against the backlog", "Of the fullest socket of each address.", unitShare,
			query{most(share(highest(perListener, sel(ListenerQueue, ofService)), lowest(perListener, sel(ListenerBacklog, ofService)))), listener}).warn(0.5, 0.9).about("accept-queue-overflow"),
		graph("Connections dropped", "By listeners, for a full queue or for want of memory, a second.", unitConns, query{most(sum(perListener, rate(ListenerDrops, ofService))), listener}, line(TCPOverflows, "host, full queues")),
		graph("Connections that wait", "In accept queues, or with bytes that were not read or answered.", unitCount, query{most(sum(perProgram, sel(ProcessBacklog, ofService))), name}),
		graph("Open connections", "TCP, by program.", unitCount, query{most(sum(perProgram, sel(ProcessEstablished, ofService))), name}),
		graph("Not closed", "Connections that the other side closed and the program did not.", unitCount, query{most(sum(perProgram, sel(ProcessCloseWait, ofService))), name}).warn(100, 1000).about("close-wait-leak"),
		graph("Connecting", "Connections that wait for the first answer.", unitCount, query{most(sum(perProgram, sel(ProcessSynSent, ofService))), name}),
		graph("Descriptors by kind", "Of all processes.", unitCount,
			query{sum("", sel(ProcessFDSockets, ofService)), "sockets"}, query{sum("", sel(ProcessFDFiles, ofService)), "files"}, query{sum("", sel(ProcessFDPipes, ofService)), "pipes"}, query{sum("", sel(ProcessFDAnon, ofService)), "epoll, timers, events"}).stacked(),
		graph("Descriptors refused", "Calls that failed for want of a descriptor, a second; counted while a process is near its limit.", unitCalls, query{most(sum(perProgram, rate(ProcessFDRefused, ofService))), name}),
		graph("Descriptors of the host", "In use against fs.file-max.", unitShare, query{share(highest(perNode, sel(HostFDs, ofNode)), lowest(perNode, sel(HostFDLimit, ofNode))), nodeName}).warn(0.7, 0.9),
		graph("Local ports towards one address", "In use against those that there are; shown from a tenth on.", unitShare,
			query{most(share(highest(toUpstream, sel(UpstreamPorts, ofNode)), lowest(toUpstream, sel(UpstreamPortLimit, ofNode)))), nodeName + " {{" + address + "}}"}).warn(0.7, 0.9).about("port-exhaustion"),
		graph("Ports in TIME_WAIT", "By address that they lead to.", unitCount, query{most(highest(toUpstream, sel(UpstreamTimeWait, ofNode))), nodeName + " {{" + address + "}}"}),
		graph("Connection tracking", "Connections in the table against its size.", unitShare, query{share(highest(perNode, sel(ConntrackCount, ofNode)), lowest(perNode, sel(ConntrackLimit, ofNode))), nodeName}).warn(0.7, 0.9).about("conntrack-exhaustion"),
		graph("Connection tracking: lost", "Packets dropped and connections thrown out, a second.", unitPerSec, line(ConntrackDrops, "dropped"), line(ConntrackEvictions, "thrown out")),
		graph("Segments sent again", "Share of all segments.", unitShare, query{share(sum(perNode, rate(TCPRetransmits, ofNode)), sum(perNode, rate(TCPSegmentsOut, ofNode))), nodeName}).fitted().warn(0.01, 0.05),
	)
}
