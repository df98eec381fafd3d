/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Calls at the TCP sockets of clients: when one is sent, when its answer arrives,
 * when it is read, and for how long a connection is in use.
 *
 * A call begins with the first bytes that are sent after the last answer, and ends when
 * the first bytes of its answer arrive. Calls that a client sends together count as one.
 *
 * A connection to PostgreSQL is in use until the client reads ReadyForQuery with the
 * status "no transaction", one to Redis until it reads an answer. A pool can give it to
 * another user only then.
 *
 * Only connections whose first bytes, and then those of an answer, belong to a known
 * protocol are followed. All others are forgotten after a few sends.
 */
#ifndef HEADROOM_CLIENTS_H
#define HEADROOM_CLIENTS_H

/* Connections at a time, 2.2 MB, and pairs of process and address: 1.6 KB each. */
#define MAX_CLIENTS 16384
#define MAX_UPSTREAMS 512

/* Bit of an index: it is one of clients. The hooks find both kinds with one lookup. */
#define OF_CLIENT 0x80000000U

/* Sends or receptions of which none belongs to a known protocol: the first can be the rest of a long message. */
#define MAX_MISSES 3

/* include/linux/socket.h */
#define AF_INET 2
#define AF_INET6 10
#define MSG_PEEK 2

#include "reads.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CLIENTS);
	__type(key, u32);
	__type(value, struct client);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_CLIENTS);
	__type(value, u32);
} free_clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_UPSTREAMS);
	__type(key, u32);
	__type(value, struct upstream);
} upstreams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_UPSTREAMS);
	__type(key, struct upstream_key);
	__type(value, u32);
} upstream_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_UPSTREAMS);
	__type(value, u32);
} free_upstreams SEC(".maps");

u32 clients_end = 0;
u32 upstreams_end = 0;
/* 1 while on_receive is attached: without it the end of a use is not known. */
u32 receiving = 0;

static __always_inline struct client *client_at(u32 index)
{
	u32 i = index & ~OF_CLIENT;

	return bpf_map_lookup_elem(&clients, &i);
}

static __always_inline struct upstream *upstream_of(struct client *c)
{
	u32 slot = c->entry - 1;
	struct upstream *u;

	if (!c->entry)
		return NULL;
	u = bpf_map_lookup_elem(&upstreams, &slot);
	return u && u->key.tgid == c->key.tgid ? u : NULL;
}

/* Finds or adds the entry for the connection's process and address. */
static __always_inline bool find_upstream(struct client *c, struct task_struct *task)
{
	u32 *known = bpf_map_lookup_elem(&upstream_slots, &c->key);
	struct upstream *u;
	u32 slot = 0;

	if (known) {
		c->entry = *known + 1;
		return true;
	}
	if (!take(&slot, &free_upstreams, &upstreams_end, MAX_UPSTREAMS)) {
		__sync_fetch_and_add(&lost.upstreams, 1);
		return false;
	}
	u = bpf_map_lookup_elem(&upstreams, &slot);
	if (!u || bpf_map_update_elem(&upstream_slots, &c->key, &slot, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_upstreams, &slot, 0);
		return false; /* another thread was faster: the next call counts */
	}
	u->key = c->key;
	u->protocol = c->protocol;
	u->start_boottime = task->group_leader->start_boottime;
	c->entry = slot + 1;
	return true;
}

/* Ends the call without an answer. Two CPUs can see the same answer: one of them counts it. */
static __always_inline void end_call(struct client *c, u64 since, u64 now, bool is_answer)
{
	struct upstream *u;
	u64 began, ns = now > since ? now - since : 0;
	u32 bucket = duration_bucket(ns);

	if (__sync_val_compare_and_swap(&c->since, since, 0) != since)
		return;
	u = upstream_of(c);
	if (!u)
		return;
	began = u->busy_since;
	if (__sync_fetch_and_add(&u->active, -1) == 1 && now > began)
		__sync_fetch_and_add(&u->busy, now - began);
	if (!is_answer || bucket >= DURATION_BUCKETS)
		return;
	__sync_fetch_and_add(&u->durations[bucket].count, 1);
	__sync_fetch_and_add(&u->durations[bucket].sum, ns);
	if (c->statement)
		count_statement(c->statement, c->entry - 1, ns);
	if (c->read)
		c->took = ns;
}

static __always_inline void end_idle(struct client *c, struct upstream *u, u64 now)
{
	u64 idle = c->idle;

	c->idle = 0;
	if (idle && now > idle)
		__sync_fetch_and_add(&u->idle, now - idle);
}

static __always_inline void end_use(struct client *c, u64 now)
{
	struct upstream *u = upstream_of(c);

	if (!(c->flags & CLIENT_IN_USE))
		return;
	c->flags &= ~CLIENT_IN_USE;
	if (!u)
		return;
	end_idle(c, u, now);
	if (now > c->used)
		__sync_fetch_and_add(&u->used, now - c->used);
	__sync_fetch_and_add(&u->uses, 1);
}

static __always_inline bool set_client_owner(struct client *c, struct task_struct *task)
{
	u32 tgid = task->tgid;

	if (c->key.tgid != tgid) { /* the first send, or a worker that got the connection from another process */
		u64 now = bpf_ktime_get_ns(), since = c->since;

		if (since)
			end_call(c, since, now, false);
		end_use(c, now);
		c->entry = 0;
		c->key.tgid = tgid;
	}
	return c->entry || find_upstream(c, task);
}

static __always_inline void remove_client(struct sock *sk, u32 index)
{
	struct client *c = client_at(index), none = {};
	u32 i = index & ~OF_CLIENT;
	u64 now, since;

	if (!c || bpf_sk_storage_delete(&indexes, sk))
		return;
	now = bpf_ktime_get_ns();
	since = c->since;
	if (since)
		end_call(c, since, now, false);
	end_use(c, now);
	*c = none;
	bpf_map_push_elem(&free_clients, &i, 0);
}

static __always_inline void set_address(struct upstream_key *key, struct sock *sk)
{
	const struct sock_common *k = &sk->__sk_common;

	key->port = __builtin_bswap16(k->skc_dport);
	if (k->skc_family == AF_INET) {
		key->addr[2] = __builtin_bswap32(0xffff);
		key->addr[3] = k->skc_daddr;
		return;
	}
	__builtin_memcpy(key->addr, &k->skc_v6_daddr, sizeof(key->addr));
}

/* Adds a connection that a process opened; tgid is 0 if the process is not known yet. */
static __always_inline void add_client(struct sock *sk, u32 tgid)
{
	u32 i = 0, index, family = sk->__sk_common.skc_family;
	struct client *c;

	if ((family != AF_INET && family != AF_INET6) || is_path(sk) || bpf_sk_storage_get(&indexes, sk, NULL, 0))
		return;
	if (!take(&i, &free_clients, &clients_end, MAX_CLIENTS))
		goto full;
	index = i | OF_CLIENT;
	c = bpf_map_lookup_elem(&clients, &i);
	if (!c || !bpf_sk_storage_get(&indexes, sk, &index, BPF_SK_STORAGE_GET_F_CREATE)) {
		bpf_map_push_elem(&free_clients, &i, 0);
		goto full;
	}
	set_address(&c->key, sk);
	c->key.tgid = tgid;
	return;
full:
	__sync_fetch_and_add(&lost.clients, 1);
}

/* Follows the connection no more. One to a database is counted, for the report to say so. */
static __always_inline void give_up(struct sock *sk, struct client *c, u32 index, struct task_struct *task)
{
	if (!(c->flags & CLIENT_ASKED) && !is_database(c->key.port)) {
		remove_client(sk, index);
		return;
	}
	c->flags = CLIENT_OPAQUE;
	c->key.tgid = task->tgid;
}

/* Whether the connection belongs to a known protocol; looks at the bytes that the current task has sent. */
static __always_inline bool recognise(struct sock *sk, struct client *c, u32 index, struct task_struct *task, u32 sent)
{
	u8 found = protocol_of_call(task, sent, &c->flags);

	if (found == PROTOCOL_UNKNOWN) {
		if (c->flags & CLIENT_OPAQUE || ++c->looks >= MAX_MISSES)
			give_up(sk, c, index, task);
		return false;
	}
	c->protocol = found;
	c->looks = 0;
	return true;
}

static __always_inline void begin_call(struct client *c, struct upstream *u, struct tcp_sock *tp, u64 now)
{
	if (!__sync_fetch_and_add(&u->active, 1))
		u->busy_since = now;
	c->statement = c->read = c->took = 0;
	c->since = now;
	if (tp && tp->write_seq == c->seq) { /* its answer came before this program ran */
		end_call(c, now, now, true);
		c->arrived = now;
	}
}

/* The current process has sent bytes on a connection that it opened. */
static __always_inline void client_sends(struct sock *sk, u32 index, u32 sent)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct client *c = client_at(index);
	struct tcp_sock *tp;
	struct upstream *u;
	u64 now;

	if (!c || c->flags & CLIENT_OPAQUE)
		return;
	if ((!c->protocol || c->flags & CLIENT_ASKED) && !recognise(sk, c, index, task, sent))
		return;
	if (!set_client_owner(c, task))
		return;
	u = upstream_of(c);
	if (!u)
		return;
	now = bpf_ktime_get_ns();
	if (!(c->flags & CLIENT_IN_USE)) {
		c->used = now;
		if (receiving)
			c->flags |= CLIENT_IN_USE;
	}
	end_idle(c, u, now);
	if (c->since)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	begin_call(c, u, tp, now);
	if (c->protocol == PROTOCOL_POSTGRES && c->since)
		begin_statement(c, u, tp, index, sent);
}

/* Bytes arrived for a client. */
static __always_inline void client_data(struct sock *sk, u32 index)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct client *c = client_at(index);
	u64 now, since;

	if (!c || !tp)
		return;
	c->seq = tp->write_seq;
	since = c->since;
	if (!since)
		return;
	now = tp->tcp_clock_cache;
	c->arrived = now;
	end_call(c, since, now, true);
}

/* The server sends no more: what has no answer will get none. */
static __always_inline void client_fails(struct sock *sk)
{
	u32 *index = bpf_sk_storage_get(&indexes, sk, NULL, 0);
	struct client *c;
	u64 since;

	if (!index || !(*index & OF_CLIENT))
		return;
	c = client_at(*index);
	if (!c)
		return;
	since = c->since;
	if (since)
		end_call(c, since, bpf_ktime_get_ns(), false);
}

/* The current process has read bytes of an answer. */
static __always_inline void client_reads(struct sock *sk, u32 index, u32 length)
{
	struct client *c = client_at(index);
	struct tcp_sock *tp;
	struct upstream *u;
	u32 status;
	u64 now;

	if (!c || !c->protocol || c->flags & CLIENT_OPAQUE)
		return;
	u = upstream_of(c);
	if (!u)
		return;
	now = bpf_ktime_get_ns();
	if (c->arrived) {
		if (now > c->arrived)
			__sync_fetch_and_add(&u->late, now - c->arrived);
		c->arrived = 0;
	}
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp)
		u->rtt = tp->rtt_min.s[0].v;
	status = status_of_answer(bpf_get_current_task_btf(), length, c->protocol, !(c->flags & CLIENT_WAS_READ));
	if (status == ANSWER_UNREADABLE)
		__sync_fetch_and_add(&u->unreadable, 1);
	if (status == ANSWER_UNREADABLE || status == ANSWER_GOES_ON)
		return;
	c->flags |= CLIENT_WAS_READ;
	u->confirmed = 1;
	if (c->since)
		return; /* another call was sent meanwhile */
	if (c->took && status == ANSWER_COMPLETE)
		end_read(c, u, tp, now);
	c->took = 0;
	if (status == ANSWER_IN_TRANSACTION)
		c->idle = now;
	else
		end_use(c, now);
}

#endif
