// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Requests, measured at the sockets of the server for any protocol in which a client waits
// for an answer. The conventions of OpenTelemetry have names only for HTTP and RPC.
var (
	RequestArrivals  = &Metric{Name: "headroom.request.arrivals", Unit: "{request}", Kind: Counter, About: Process, Help: "Requests that arrived on TCP connections that the process serves. Requests that a client sends together count as one.", Zeroed: true, Series: true}
	RequestDuration  = &Metric{Name: "headroom.request.duration", Unit: Seconds, Kind: Histogram, About: Process, Help: "Time from the first byte of a request, as it arrived at the socket, to the first byte of its answer. Its count is the number of answers.", Bounds: RequestBounds, Zeroed: true}
	RequestActive    = &Metric{Name: "headroom.request.active", Unit: "{request}", Kind: Gauge, Fold: Summed, About: Process, Help: "Requests that have arrived and have no answer yet, at the moment of the reading.", Series: true}
	RequestOldest    = &Metric{Name: "headroom.request.oldest.age", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Process, Help: "Age of the oldest request without an answer; 0 if there is none.", Series: true}
	RequestUnread    = internal(&Metric{Name: "headroom.request.unread", Unit: "{request}", Kind: Gauge, Fold: Summed, About: Process, Help: "Requests older than a quarter of a second that the process has not read."})
	RequestUnreadAge = internal(&Metric{Name: "headroom.request.unread.age", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Process, Help: "Age of the oldest request that the process has not read; 0 if there is none.", Series: true})
	// RequestReadings and RequestThreads sample what the threads of a process do while a
	// request waits; the second is about Call entities.
	RequestReadings = internal(&Metric{Name: "headroom.request.slow.readings", Unit: Count, Kind: Counter, About: Process, Help: "Readings at which a request of the process was unanswered for more than a second, and its threads were read.", Zeroed: true})
	RequestThreads  = internal(&Metric{Name: "headroom.request.slow.threads", Unit: Count, Kind: PairCounter, About: Process, Help: "Threads that were in a system call on one file, pipe or socket at these readings, added up.", Zeroed: true})
	// RequestLeftOut are the connections of which nothing is known: WebSocket, HTTP/2,
	// TLS, SSH, MQTT, AMQP, NATS, D-Bus and the replication of PostgreSQL.
	RequestLeftOut = internal(&Metric{Name: "headroom.request.left_out.connections", Unit: Count, Kind: Gauge, Fold: Summed, About: Process, Help: "Connections whose requests are not counted: encrypted ones, and protocols whose messages are not requests and answers."})
)

// RequestBounds are base 2, with four buckets per octave, from 15 µs, which a cache on
// the same host takes, to 64 s.
var RequestBounds = Log2Bounds(1.0/65536, 22)

var requestMetrics = []*Metric{RequestArrivals, RequestDuration, RequestActive, RequestOldest, RequestUnread, RequestUnreadAge,
	RequestReadings, RequestThreads, RequestLeftOut}
