/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Calls to PostgreSQL whose answer a cache could have: reads outside of transactions.
 *
 * User space wants to know how often the same one returns while what it reads is not
 * written. Each has a hash of the statement with its values, and a version: the number of
 * writes to its table that processes of this host have sent. It is seen only if the hash is
 * below the threshold of the sample, so that all calls that ask the same are in it or none.
 */
#ifndef HEADROOM_READS_H
#define HEADROOM_READS_H

#include "statements.bpf.h"

/* The hash below which reads of an upstream are in the sample; 0: none is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_UPSTREAMS);
	__type(key, u32);
	__type(value, u64);
} samples SEC(".maps");

/* 21,000 calls, for a second. User space reduces the sample before. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} reads SEC(".maps");

/* Writes by table and database. One that is forgotten looks like a write to its table. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u64);
} writes SEC(".maps");

/* 1 once a call could have written anything. */
u32 unclear_writes = 0;

/* In place of a table. */
#define ALL_TABLES 1ULL
#define UNCLEAR_TABLES 2ULL

/* The key of a table in writes: the address stands for the database. */
static __always_inline u64 table_key(const struct upstream_key *k, u64 table)
{
	u64 place = ((u64)k->addr[0] << 32 | k->addr[1]) ^ ((u64)k->addr[2] << 32 | k->addr[3]);

	place = (place ^ (u64)k->port << 16) * (secret[1] | 1);
	return (place ^ place >> 32) + table;
}

static __always_inline void count_write(const struct upstream_key *k, u64 table)
{
	u64 key = table_key(k, table), one = 1, *n = bpf_map_lookup_elem(&writes, &key);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&writes, &key, &one, BPF_NOEXIST);
}

static __always_inline u64 writes_to(const struct upstream_key *k, u64 table)
{
	u64 key = table_key(k, table), *n = bpf_map_lookup_elem(&writes, &key);

	return n ? *n : 0;
}

/* The writes to a table, or to all if it is not known. */
static __always_inline u64 version_of(const struct upstream_key *k, u64 table)
{
	if (!table)
		return writes_to(k, ALL_TABLES);
	return writes_to(k, table) + (unclear_writes ? writes_to(k, UNCLEAR_TABLES) : 0);
}

/* A call was sent. */
static __always_inline void begin_statement(struct client *c, struct upstream *u, struct tcp_sock *tp, u32 index,
					    u32 sent)
{
	u64 key;
	struct known k = statement_of(c, index, sent, &key);

	c->statement = k.hash;
	if (k.kind == CALL_READ && key && tp) {
		c->read = key;
		c->version = version_of(&c->key, k.table);
		c->received = tp->bytes_received;
		return;
	}
	if (k.kind != CALL_WRITE && k.kind != CALL_UNKNOWN)
		return;
	__sync_fetch_and_add(k.kind == CALL_WRITE ? &u->writes : &u->unclear, 1);
	if (!k.table)
		unclear_writes = 1;
	count_write(&c->key, k.table ? k.table : UNCLEAR_TABLES);
	count_write(&c->key, ALL_TABLES);
}

/* The answer of a read was read to its end. */
static __always_inline void end_read(struct client *c, struct upstream *u, struct tcp_sock *tp, u64 now)
{
	u32 slot = c->entry - 1;
	u64 *below = bpf_map_lookup_elem(&samples, &slot);
	struct read *r;

	__sync_fetch_and_add(&u->reads, 1);
	__sync_fetch_and_add(&u->read_ns, c->took);
	if (!tp || !below || c->read >= *below)
		return;
	r = bpf_ringbuf_reserve(&reads, sizeof(*r), 0);
	if (!r) {
		__sync_fetch_and_add(&u->dropped, 1);
		return;
	}
	r->key = c->read;
	r->version = c->version;
	r->at = now;
	r->ns = c->took;
	r->bytes = tp->bytes_received - c->received;
	r->slot = slot;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

#endif
