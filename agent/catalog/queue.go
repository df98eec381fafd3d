// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

const message Unit = "{message}"

func messages(state, help string) *Metric {
	return kept(&Metric{Name: "headroom.queue.messages", Attr: "headroom.queue.message.state=" + state, Unit: message, Kind: Gauge, Fold: Summed, About: Queue, Help: help, Series: true}, 100)
}

func queueCounter(name, help string) *Metric {
	return &Metric{Name: "headroom.queue." + name, Unit: message, Kind: Counter, About: Queue, Help: help, Series: true}
}

// Queues of message brokers, as the brokers count them. OpenTelemetry has metrics of
// messaging clients, and none of queues.
var (
	QueueReady          = messages("ready", "Messages that wait for a consumer.")
	QueueUnacknowledged = messages("unacknowledged", "Messages that consumers hold: delivered and not acknowledged yet.")
	QueuePublished      = ranked(queueCounter("published", "Messages put into the queue since the broker was first read, by connections that were open at a reading."))
	QueueDelivered      = queueCounter("delivered", "Messages delivered to consumers since the broker was first read, redeliveries included.")
	QueueAcknowledged   = queueCounter("acknowledged", "Messages that consumers acknowledged, or that were delivered without a need for it, since the broker was first read.")
	QueueRedelivered    = queueCounter("redelivered", "Messages delivered again, because a consumer rejected them or its connection closed, since the broker was first read.")
	QueueConsumers      = &Metric{Name: "headroom.queue.consumers", Unit: Count, Kind: Gauge, Fold: Summed, About: Queue, Help: "Consumers of the queue.", Series: true}
	QueueBusyConsumers  = &Metric{Name: "headroom.queue.consumers.busy", Unit: Count, Kind: Gauge, Fold: Summed, About: Queue, Help: "Consumers that hold at least one message that they have not acknowledged; absent if the broker does not report it for each consumer.", Series: true}
	QueueMostHeld       = &Metric{Name: "headroom.queue.consumer.unacknowledged", Unit: message, Kind: Gauge, Fold: Highest, About: Queue, Help: "Largest number of unacknowledged messages that one consumer holds.", Series: true}
	QueueWorkers        = &Metric{Name: "headroom.queue.workers", Unit: Count, Kind: Gauge, Fold: Summed, About: Queue, Help: "Processes that consume from the queue; absent if it is not known which, or if some run on another host.", Series: true}
	QueueWorkerTime     = internal(&Metric{Name: "headroom.queue.worker.time", Unit: Seconds, Kind: PairCounter, About: Queue, Help: "Time for which a process has consumed from the queue.", Zeroed: true})
	// QueueUpstreamTime pairs a worker with a process that it is a client of.
	QueueUpstreamTime  = internal(&Metric{Name: "headroom.queue.upstream.time", Unit: Seconds, Kind: PairCounter, About: Process, Help: "Time for which a process that consumes from a queue was connected to the process that serves it.", Zeroed: true})
	QueueUpstreamWaits = internal(&Metric{Name: "headroom.queue.upstream.waiting", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "1 if the process, which serves a worker of a queue, waits for another process, such as one that holds a lock: it sleeps without a timeout, and neither its client nor another socket can wake it.", Series: true})
	QueuePrefetch      = &Metric{Name: "headroom.queue.consumer.prefetch", Unit: message, Kind: Gauge, Fold: Highest, About: Queue, Help: "Largest number of unacknowledged messages that a consumer may hold, 0 for no limit."}
)

// OtherQueues is the name of the queue that adds up those of a broker that are not
// listed: there are too many, or the broker named them itself, for one connection each.
const OtherQueues = "[other]"

var queueMetrics = []*Metric{QueueReady, QueueUnacknowledged, QueuePublished, QueueDelivered, QueueAcknowledged, QueueRedelivered,
	QueueConsumers, QueueBusyConsumers, QueueMostHeld, QueueWorkers, QueueWorkerTime, QueueUpstreamTime, QueueUpstreamWaits, QueuePrefetch}
