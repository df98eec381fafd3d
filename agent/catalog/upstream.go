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

// Reads and the metrics after them are the calls whose answers a cache could have. What a
// cache would do is calculated for the cache sizes of RedisBounds, in answers; a sample
// stands for all of these calls.
var (
	ReadCalls    = internal(&Metric{Name: "headroom.client.read.calls", Unit: "{call}", Kind: Counter, About: Client, Help: "Answered calls to PostgreSQL that select from tables, outside of transactions and without locks, and whose statement and values were seen to their end.", Zeroed: true})
	ReadTime     = internal(&Metric{Name: "headroom.client.read.time", Unit: Seconds, Kind: Counter, About: Client, Help: "Time of these calls until their answers arrived, added up.", Zeroed: true})
	WriteCalls   = internal(&Metric{Name: "headroom.client.write.calls", Unit: "{call}", Kind: Counter, About: Client, Help: "Calls to PostgreSQL that write to a table.", Zeroed: true})
	UnclearCalls = internal(&Metric{Name: "headroom.client.unclear.calls", Unit: "{call}", Kind: Counter, About: Client, Help: "Calls to PostgreSQL that can write anything: procedures, several statements at once, statements that were prepared before headroom started.", Zeroed: true})
	ReadFollowed = internal(&Metric{Name: "headroom.client.read.followed", Unit: "{call}", Kind: Counter, About: Client, Help: "Reads while none of the sample was lost.", Zeroed: true, Series: true})
	ReadFresh    = internal(&Metric{Name: "headroom.client.read.fresh", Unit: "{call}", Kind: Counter, About: Client, Help: "Reads that ask the same as an earlier one, while no process of the host has written to their table in between.", Zeroed: true, Series: true})
	ReadStale    = internal(&Metric{Name: "headroom.client.read.stale", Unit: "{call}", Kind: Counter, About: Client, Help: "Reads that ask the same as an earlier one, after a write to their table.", Zeroed: true})
	// ReadReuse, ReadFirst and ReadSeen are the curve of hits over sizes, as RedisReuse is.
	ReadReuse      = internal(&Metric{Name: "headroom.client.read.reuse", Unit: "{call}", Kind: Histogram, About: Client, Help: "Reads that ask the same as an earlier one, with no write in between, by the number of answers that a cache that evicts the least recently used one must hold to have theirs.", Bounds: RedisBounds, Zeroed: true})
	ReadReuseTime  = internal(&Metric{Name: "headroom.client.read.reuse.time", Unit: "{call}", Kind: Histogram, About: Client, Help: "The same, but instead of their number the time of these calls, in seconds.", Bounds: RedisBounds, Zeroed: true})
	ReadFirst      = internal(&Metric{Name: "headroom.client.read.first", Unit: "{call}", Kind: Histogram, About: Client, Help: "Other reads, by the number of different ones before: a cache of up to this size does not have the answer.", Bounds: RedisBounds, Zeroed: true})
	ReadSeen       = internal(&Metric{Name: "headroom.client.read.seen", Unit: "{call}", Kind: Histogram, About: Client, Help: "Reads, by the number of different ones before: only these tell whether a cache of up to this size has an answer.", Bounds: RedisBounds, Zeroed: true})
	RepeatInterval = internal(&Metric{Name: "headroom.client.read.interval", Unit: Seconds, Kind: Histogram, About: Client, Help: "Time since the last read that asked the same, with no write in between.", Bounds: RepeatBounds, Zeroed: true})
	ReadBytes      = internal(&Metric{Name: "headroom.client.read.size", Unit: Bytes, Kind: Gauge, Fold: Highest, About: Client, Help: "Mean size of the answers of different reads, as they arrive."})
)

// RepeatBounds are base 2, with four buckets per octave, from 16 ms to an hour.
var RepeatBounds = Log2Bounds(1.0/64, 18)

var clientMetrics = []*Metric{CallDuration, CallBusy, CallActive, CallOldest, CallLate, ClientConnections, ClientUsedTime, ClientUsed,
	ClientUses, ClientIdleTime, ClientRTT, StatementCalls, StatementTime,
	ReadCalls, ReadTime, WriteCalls, UnclearCalls, ReadFollowed, ReadFresh, ReadStale, ReadReuse, ReadReuseTime, ReadFirst, ReadSeen, RepeatInterval, ReadBytes}
