// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Calls of a process to PostgreSQL or Redis, measured at its own sockets. A Client is a
// process and the address that it calls. The conventions of OpenTelemetry have names for
// what a client library sees of its pool (db.client.connection.*), which differs.
var (
	CallDuration = &Metric{Name: "headroom.client.call.duration", Unit: Seconds, Kind: Histogram, About: Client, Help: "Time from the first byte of a call to PostgreSQL or Redis to the arrival of the first byte of its answer. Calls that are sent together count as one. Its count is the number of answers.", Bounds: RequestBounds, Zeroed: true}
	CallBusy     = &Metric{Name: "headroom.client.busy.time", Unit: Seconds, Kind: Counter, About: Client, Help: "Time with at least one call without an answer.", Zeroed: true, Activity: true}
	CallActive   = internal(&Metric{Name: "headroom.client.call.active", Unit: "{call}", Kind: Gauge, Fold: Summed, About: Client, Help: "Calls without an answer, at the moment of the reading.", Series: true})
	CallOldest   = internal(&Metric{Name: "headroom.client.call.oldest.age", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Client, Help: "Age of the oldest call without an answer; 0 if there is none.", Series: true})
	CallLate     = internal(&Metric{Name: "headroom.client.answer.unread.time", Unit: Seconds, Kind: Counter, About: Client, Help: "Time from the arrival of answers until the process read them, added up.", Zeroed: true})
	// ClientConnections and the metrics after it show how full a pool of connections is.
	ClientConnections = &Metric{Name: "headroom.client.connections", Unit: Connections, Kind: Gauge, Fold: Summed, About: Client, Help: "Connections that the process holds to the address.", Series: true}
	ClientUsedTime    = &Metric{Name: "headroom.client.connections.used.time", Unit: Seconds, Kind: Counter, About: Client, Help: "Time for which connections were in use, added up: from the first byte of a call until the process has read the answer and, in PostgreSQL, the transaction has ended.", Zeroed: true, Series: true}
	ClientUsed        = internal(&Metric{Name: "headroom.client.connections.used", Unit: Connections, Kind: Gauge, Fold: Summed, About: Client, Help: "Connections in use, at the moment of the reading.", Series: true})
	ClientUses        = internal(&Metric{Name: "headroom.client.connections.uses", Unit: Count, Kind: Counter, About: Client, Help: "Uses of a connection that have ended.", Zeroed: true})
	ClientIdleTime    = internal(&Metric{Name: "headroom.client.transaction.idle.time", Unit: Seconds, Kind: Counter, About: Client, Help: "Time for which connections to PostgreSQL were in a transaction and nothing was sent, added up.", Zeroed: true})
	// StatementCalls and StatementTime show calls that repeat. A Statement has a number,
	// and its text is not known.
	StatementCalls = internal(&Metric{Name: "headroom.client.statement.calls", Unit: "{call}", Kind: Counter, About: Statement, Help: "Answered calls to PostgreSQL whose statements differ in their literals only.", Zeroed: true})
	StatementTime  = internal(&Metric{Name: "headroom.client.statement.time", Unit: Seconds, Kind: Counter, About: Statement, Help: "Time of these calls until their answers arrived, added up.", Zeroed: true})
	ClientRTT      = internal(&Metric{Name: "headroom.client.network.round_trip", Unit: Seconds, Kind: Gauge, Fold: Highest, About: Client, Help: "Least round trip of TCP to the address in the last five minutes."})
)

var clientMetrics = []*Metric{CallDuration, CallBusy, CallActive, CallOldest, CallLate, ClientConnections, ClientUsedTime, ClientUsed,
	ClientUses, ClientIdleTime, ClientRTT, StatementCalls, StatementTime}
