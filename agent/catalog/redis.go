// SPDX-License-Identifier: Apache-2.0

package catalog

import . "github.com/headroom-project/headroom/agent/observe" //nolint:staticcheck // declarations read as a table

// Redis: its keys, as its clients access them, and what it says of itself. The conventions
// of OpenTelemetry have no names for either.
var (
	RedisReads     = &Metric{Name: "headroom.redis.key.reads", Unit: "{key}", Kind: Counter, About: Cache, Help: "Keys that commands of clients read, whether the key exists or not, and whether the server refuses the command or not. A command that reads several keys counts each.", Zeroed: true}
	RedisWrites    = &Metric{Name: "headroom.redis.key.writes", Unit: "{key}", Kind: Counter, About: Cache, Help: "Keys that commands of clients write or delete.", Zeroed: true}
	RedisReachable = &Metric{Name: "headroom.redis.cache.reachable", Unit: Ratio, Kind: Gauge, Fold: Lowest, About: Cache, Help: "Share of reads whose key was accessed before and not deleted since, in the last 30 to 60 minutes: the hit ratio that a cache of any size reaches at most. Expiry of keys is not considered. A key that was last accessed before headroom started counts as never accessed."}
	RedisKeys80    = redisKeys("0.8")
	RedisKeys90    = redisKeys("0.9")
	RedisKeys95    = redisKeys("0.95")
	// RedisReuse, RedisFirst and RedisSeen are the curve of hits over sizes. RedisCurve is the number of
	// reads that they are about: they are counted in a sample.
	RedisReuse = internal(&Metric{Name: "headroom.redis.key.reuse", Unit: "{key}", Kind: Histogram, About: Cache, Help: "Reads of keys that were accessed before, by the number of keys that a cache that evicts the least recently used key must hold to have them.", Bounds: RedisBounds, Zeroed: true})
	RedisFirst = internal(&Metric{Name: "headroom.redis.key.first", Unit: "{key}", Kind: Histogram, About: Cache, Help: "Reads of keys that were not accessed before, by the number of keys that were: a cache of up to this size has none of them.", Bounds: RedisBounds, Zeroed: true})
	RedisSeen  = internal(&Metric{Name: "headroom.redis.key.seen", Unit: "{key}", Kind: Histogram, About: Cache, Help: "Reads of keys, by the number of keys that were accessed before: only these tell whether a cache of up to this size has a key.", Bounds: RedisBounds, Zeroed: true})
	RedisCurve = internal(&Metric{Name: "headroom.redis.key.reads.followed", Unit: "{key}", Kind: Counter, About: Cache, Help: "Reads of keys while no access was lost.", Zeroed: true})

	RedisHits     = &Metric{Name: "headroom.redis.hits", Unit: "{key}", Kind: Counter, About: Cache, Help: "Reads of keys that Redis has, as it counts them itself (keyspace_hits).", Series: true}
	RedisMisses   = &Metric{Name: "headroom.redis.misses", Unit: "{key}", Kind: Counter, About: Cache, Help: "Reads of keys that Redis does not have (keyspace_misses).", Series: true}
	RedisEvicted  = &Metric{Name: "headroom.redis.evicted", Unit: "{key}", Kind: Counter, About: Cache, Help: "Keys that Redis dropped because its memory limit was reached (evicted_keys)."}
	RedisExpired  = &Metric{Name: "headroom.redis.expired", Unit: "{key}", Kind: Counter, About: Cache, Help: "Keys that Redis dropped because their time was over (expired_keys)."}
	RedisKeyCount = &Metric{Name: "headroom.redis.keys", Unit: "{key}", Kind: Gauge, Fold: Summed, About: Cache, Help: "Keys in all databases of a Redis."}
	RedisMemory   = &Metric{Name: "headroom.redis.memory.used", Unit: Bytes, Kind: Gauge, Fold: Highest, About: Cache, Help: "Memory of a Redis that counts towards its limit: used_memory without the buffers that do not.", Limit: RedisLimit}
	RedisData     = internal(&Metric{Name: "headroom.redis.memory.data", Unit: Bytes, Kind: Gauge, Fold: Summed, About: Cache, Help: "The part of it that grows with keys: without what the server takes when it is empty, and the buffers of clients."})
	RedisLimit    = &Metric{Name: "headroom.redis.memory.limit", Unit: Bytes, Kind: Gauge, Fold: Lowest, About: Cache, Help: "Memory limit of a Redis (maxmemory); absent if it has none."}
)

// RedisBounds are base 2, with four buckets per octave, from 4 to 16 million keys.
var RedisBounds = Log2Bounds(4, 22)

func redisKeys(share string) *Metric {
	return &Metric{Name: "headroom.redis.cache.keys", Attr: "share=" + share, Unit: "{key}", Kind: Gauge, Fold: Summed, About: Cache, Help: "Number of keys that a cache that evicts the least recently used key must hold for this share of the hits that are reachable, in the last 30 to 60 minutes. Estimated from a sample of keys."}
}

var redisMetrics = []*Metric{RedisReads, RedisWrites, RedisReachable, RedisKeys80, RedisKeys90, RedisKeys95, RedisReuse, RedisFirst, RedisSeen, RedisCurve,
	RedisHits, RedisMisses, RedisEvicted, RedisExpired, RedisKeyCount, RedisMemory, RedisData, RedisLimit}

// KeysOf returns the entity of the keys of a Redis.
func KeysOf(x *Index, process ID) ID {
	parent := x.Entity(process)
	id := x.ID(Entity{Kind: Cache, ID: parent.ID})
	if id != None && x.Info(id).Parent != parent {
		x.Describe(id, Info{Parent: parent})
	}
	return id
}
