// SPDX-License-Identifier: Apache-2.0

package dashboards

import . "github.com/headroom-project/headroom/agent/catalog" //nolint:staticcheck // queries read as a table

func queuesBoard() *dashboard {
	perQueue := by(instance, address, queue)
	line := "{{" + queue + "}} {{" + address + "}}"
	level := func(m metric) string { return sum(perQueue, sel(m, ofNode)) }
	flow := func(m metric) string { return sum(perQueue, rate(m, ofNode)) }
	return board("headroom-queues", "Workers and queues", "Queues of message brokers and their consumers.", []variable{chooseNode()},
		graph("Messages waiting", "Messages that wait for a consumer. [other] adds up the queues that are not listed.", unitCount, query{most(level(QueueReady)), line}).about("queue-backlog"),
		graph("Messages held by consumers", "Messages that were delivered and not acknowledged.", unitCount, query{most(level(QueueUnacknowledged)), line}),
		graph("Arrivals", "Messages put into the queue per second.", unitPerSec, query{most(flow(QueuePublished)), line}),
		graph("Acknowledgements", "Messages that consumers finished per second.", unitPerSec, query{most(flow(QueueAcknowledged)), line}),
		graph("Share of deliveries that are repeated", "Redeliveries divided by deliveries.", unitShare, query{most(share(flow(QueueRedelivered), flow(QueueDelivered))), line}).warn(0.05, 0.5),
		graph("Time that one message takes", "Consumers that are busy divided by acknowledgements per second (Little's law).", unitSeconds, query{most(share(level(QueueBusyConsumers), flow(QueueAcknowledged))), line}),
		graph("Consumers", "Consumers of the queue.", unitCount, query{most(level(QueueConsumers)), line}),
		graph("Processes that consume", "Processes that consume from the queue, if they are all on this host.", unitCount, query{most(level(QueueWorkers)), line}),
		graph("Share of consumers that are busy", "Consumers that hold a message divided by all consumers.", unitShare, query{most(share(level(QueueBusyConsumers), level(QueueConsumers))), line}),
		graph("Most messages held by one consumer", "Unacknowledged messages of the consumer that holds most.", unitCount, query{most(highest(perQueue, sel(QueueMostHeld, ofNode))), line}),
		graph("Prefetch", "Messages that a consumer may hold; 0 is no limit.", unitCount, query{most(highest(perQueue, sel(QueuePrefetch, ofNode))), line}),
	)
}
