// SPDX-License-Identifier: Apache-2.0

package rediskeys

import (
	"iter"
	"strings"
)

// A group is the commands that do the same with the same arguments.
type group struct {
	access rediskeysAccess
	keys   rediskeysKeys
	names  string
}

// groups are the commands whose keys are known. Left out are those with keys of two
// kinds (RENAME, COPY, SINTERSTORE) and those whose keys follow a number (EVAL, ZUNION):
// they count as uncounted. TestCommands compares the table with a server.
var groups = []group{
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_FIRST, "get getrange substr strlen getbit bitcount bitpos " +
		"hget hmget hgetall hkeys hvals hlen hexists hstrlen hrandfield hscan " +
		"lrange lindex llen lpos smembers sismember smismember scard srandmember sscan " +
		"zrange zrangebyscore zrevrange zrevrangebyscore zrangebylex zrevrangebylex zscore zmscore zcard zcount zlexcount zrank zrevrank zscan zrandmember " +
		"xrange xrevrange xlen geopos geodist geohash geosearch type ttl pttl dump"},
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_ALL, "mget exists sinter sunion sdiff pfcount"},
	{rediskeysAccessACCESS_WRITE, rediskeysKeysKEYS_FIRST, "set setex psetex setnx getset append setrange setbit " +
		"incr incrby incrbyfloat decr decrby hset hmset hsetnx hincrby hincrbyfloat hdel " +
		"lpush rpush lpushx rpushx lpop rpop linsert lset ltrim lrem sadd srem spop zadd zincrby zrem zpopmin zpopmax " +
		"zremrangebyrank zremrangebyscore zremrangebylex xadd xdel xtrim xack xsetid geoadd pfadd getex restore " +
		"expire pexpire expireat pexpireat persist"},
	{rediskeysAccessACCESS_WRITE, rediskeysKeysKEYS_PAIRS, "mset msetnx"},
	{rediskeysAccessACCESS_DELETE, rediskeysKeysKEYS_ALL, "del unlink"},
	{rediskeysAccessACCESS_DELETE, rediskeysKeysKEYS_FIRST, "getdel"},
	{rediskeysAccessACCESS_FLUSH, rediskeysKeysKEYS_NONE, "flushall flushdb"},
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_DB, "select"},
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_MULTI, "multi"},
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_EXEC, "exec"},
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_DISCARD, "discard"},
	{rediskeysAccessACCESS_READ, rediskeysKeysKEYS_NONE, "ping echo auth hello quit reset client command config info dbsize time role " +
		"watch unwatch wait keys scan randomkey object memory latency slowlog lastsave save bgsave bgrewriteaof " +
		"subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe publish spublish pubsub " +
		"replconf psync sync replicaof slaveof failover cluster readonly readwrite asking acl module monitor debug script function shutdown"},
}

// commands yields the entries of the map.
func commands() iter.Seq2[rediskeysName, rediskeysCommand] {
	return func(yield func(rediskeysName, rediskeysCommand) bool) {
		for _, g := range groups {
			for name := range strings.FieldsSeq(g.names) {
				if !yield(keyOf(name), rediskeysCommand{Access: uint8(g.access), Keys: uint8(g.keys)}) {
					return
				}
			}
		}
	}
}

// keyOf returns the name as the program looks it up: padded, and with bit 5 set in each
// byte.
func keyOf(name string) (n rediskeysName) {
	copy(n.Bytes[:], name)
	for i := range n.Bytes {
		n.Bytes[i] |= 0x20
	}
	return n
}
