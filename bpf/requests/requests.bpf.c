//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Requests at the TCP sockets of servers: when one arrives, and when its answer
 * begins. clients.bpf.h has the other ends, the calls of clients.
 *
 * It works for each protocol in which a client waits for an answer, and reads no
 * request. A request begins with the first bytes that arrive after the last answer
 * (sk_data_ready). The first send after that is its answer (sock_send_length). Only
 * connections that a listener accepted, and those of clients to known upstreams, are
 * watched: for every other socket a hook ends after one failed lookup.
 *
 * The state of a connection is in an array, which user space reads, and its socket
 * has the index. Not every kernel allows an iterator over socket storage.
 *
 * sk_data_ready runs in whatever task the softirq interrupts, so the process of a
 * connection is the one that sends. While a connection has not been answered once,
 * a pass over open files finds its process, and only if a request waits.
 *
 * sock_send_length fires after the bytes were sent, and the next request of a fast
 * client can arrive first. tcp_sock.write_seq shows that: it advances during the
 * send.
 *
 * Left out are protocols with messages that get no answer or that nobody asked
 * for. The first bytes that the server sends show which these are.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "../lib/task.bpf.h"
#include "types.h"
#include "upstreams.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* include/uapi/linux/in.h */
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10

/* A host of 250 pods has fewer processes that serve: 1.5 KB each. */
#define MAX_SERVERS 1024

/* Bytes that arrive so long after the first ones, without an answer in between, are no part of one request. */
#define STREAM_NS 1000000000ULL
/* What a client sends and closes within this time was a goodbye: TLS, PostgreSQL and MySQL have one. */
#define GOODBYE_NS 1000000ULL

/* Connections at a time: 2 MB. */
#define MAX_CONNS 65536

/* The index in conns of a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32);
} indexes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CONNS);
	__type(key, u32);
	__type(value, struct conn);
} conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_CONNS);
	__type(value, u32);
} free_conns SEC(".maps");

/* One more than the highest index that was ever used. Those that are free again are in the stacks. */
u32 conns_end = 0;
u32 servers_end = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVERS);
	__type(key, u32);
	__type(value, struct server);
} servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVERS);
	__type(key, struct server_key);
	__type(value, u32);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_SERVERS);
	__type(value, u32);
} free_slots SEC(".maps");

struct port {
	u32 netns;
	u32 number;
};

/* The ports with a listener when the probe starts: they tell its connections from those of clients. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct port);
	__type(value, u8);
} ports SEC(".maps");

/* Listeners that got connections lately, by the inode of their socket. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, struct burst);
} bursts SEC(".maps");

struct losses lost = {};
/* The number of the last pass over open files. */
u32 passes = 0;
/* The number of the last reading of bursts. */
u32 readings = 0;

/* Takes a free index of an array of max entries. */
static __always_inline bool take(u32 *index, void *stack, u32 *end, u32 max)
{
	if (!bpf_map_pop_elem(stack, index))
		return true;
	if (*end >= max)
		return false;
	*index = __sync_fetch_and_add(end, 1);
	return *index < max;
}

/* Finds or adds the entry of a process that serves a port. */
static __always_inline bool find_slot(u32 *slot, const struct server_key *key, struct task_struct *task)
{
	u32 *known = bpf_map_lookup_elem(&slots, key);
	struct server *s;

	if (known) {
		*slot = *known;
		return true;
	}
	if (!take(slot, &free_slots, &servers_end, MAX_SERVERS)) {
		__sync_fetch_and_add(&lost.servers, 1);
		return false;
	}
	s = bpf_map_lookup_elem(&servers, slot);
	if (!s || bpf_map_update_elem(&slots, key, slot, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_slots, slot, 0);
		return false; /* another thread was faster: the next request counts */
	}
	s->key = *key;
	s->start_boottime = task->group_leader->start_boottime;
	return true;
}

static __always_inline bool set_owner(struct conn *c, u32 tgid, struct task_struct *task)
{
	struct server_key key = { .tgid = tgid, .port = c->port };
	u32 slot = 0;

	if (c->tgid == tgid)
		return true;
	c->tgid = 0;
	if (!find_slot(&slot, &key, task))
		return false;
	c->slot = slot;
	c->tgid = tgid;
	return true;
}

static __always_inline struct server *server_of(struct conn *c)
{
	u32 slot = c->slot;
	struct server *s;

	if (!c->tgid)
		return NULL;
	s = bpf_map_lookup_elem(&servers, &slot);
	return s && s->key.tgid == c->tgid ? s : NULL;
}

/* Ends the request in flight, and counts it. Two CPUs can see the same answer: one of them counts it. */
static __always_inline void answered(struct conn *c, u64 since, u64 now)
{
	struct server *s;
	u32 bucket;
	u64 ns;

	if (__sync_val_compare_and_swap(&c->since, since, 0) != since)
		return;
	if (c->flags & CONN_EARLIER) {
		c->flags &= ~CONN_EARLIER;
		return; /* it took longer than is known */
	}
	s = server_of(c);
	if (!s)
		return;
	ns = now > since ? now - since : 0;
	bucket = duration_bucket(ns);
	if (bucket >= DURATION_BUCKETS)
		return;
	__sync_fetch_and_add(&s->durations[bucket].count, 1);
	__sync_fetch_and_add(&s->durations[bucket].sum, ns);
}

/* A path of a multipath connection: the socket that the process has is another one. */
static __always_inline bool is_path(struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && bpf_core_field_exists(tp->is_mptcp) && tp->is_mptcp;
}

#include "clients.bpf.h"

static __always_inline struct conn *conn_of(struct sock *sk)
{
	u32 *index = bpf_sk_storage_get(&indexes, sk, NULL, 0);

	return index ? bpf_map_lookup_elem(&conns, index) : NULL;
}

static __always_inline bool is_tcp(struct sock *sk)
{
	u16 protocol = sk->sk_protocol;

	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

/*
 * A connection entered the accept queue. Connections are dropped only while the queue is
 * full, and each of them would have waited in a longer one, behind those that do wait.
 * A queue of one was empty: what was dropped since the last connection belongs to the
 * burst before.
 */
static __always_inline void connected(struct sock *sk)
{
	u64 inode = BPF_CORE_READ((struct socket_alloc *)sk->sk_socket, vfs_inode.i_ino);
	u32 drops = sk->sk_drops.counter, queue = sk->sk_ack_backlog, n;
	struct burst *b = bpf_map_lookup_elem(&bursts, &inode);

	if (!b) {
		struct burst first = { .drops = drops, .queue = queue, .most = queue, .reading = readings };

		bpf_map_update_elem(&bursts, &inode, &first, BPF_NOEXIST);
		return;
	}
	if (b->reading != readings) {
		b->reading = readings;
		b->most = 0;
	}
	n = drops - b->drops + (queue <= 1 ? b->queue : queue);
	if (n > b->most)
		b->most = n;
	if (queue <= 1)
		b->drops = drops;
	b->queue = queue;
}

/* Bytes arrived. For TCP the socket is locked, and its clock was read for this segment. */
SEC("tp_btf/sk_data_ready")
int BPF_PROG(on_data, struct sock *sk)
{
	u32 *index = bpf_sk_storage_get(&indexes, sk, NULL, 0);
	struct tcp_sock *tp;
	u64 since, now;
	struct conn *c;

	if (!index) {
		if (sk->__sk_common.skc_state == TCP_LISTEN && is_tcp(sk))
			connected(sk);
		return 0;
	}
	if (*index & OF_CLIENT) {
		client_data(sk, *index);
		return 0;
	}
	c = bpf_map_lookup_elem(&conns, index);
	if (!c || c->flags & (CONN_LEFT_OUT | CONN_CLOSED))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	now = tp ? tp->tcp_clock_cache : bpf_ktime_get_ns();
	since = c->since;
	if (since && tp && tp->write_seq != c->seq && c->tgid) {
		answered(c, since, now); /* its sock_send_length fires later */
		since = 0;
	}
	if (!since) {
		if (tp)
			c->seq = tp->write_seq;
		c->flags &= ~CONN_STREAM;
		if (c->flags & CONN_CLOSING) /* one segment with the last bytes and the end */
			c->flags |= CONN_GOODBYE;
		c->since = now;
	} else if (now > since + STREAM_NS) {
		c->flags |= CONN_STREAM;
	}
	return 0;
}

/* The current process has sent bytes. */
SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int ret)
{
	struct task_struct *task;
	struct tcp_sock *tp;
	struct conn *c;
	u32 *index;
	u64 since;

	if (ret <= 0) /* what a process could not send yet is not an answer */
		return 0;
	index = bpf_sk_storage_get(&indexes, sk, NULL, 0);
	if (!index)
		return 0;
	if (*index & OF_CLIENT) {
		client_sends(sk, *index, ret);
		return 0;
	}
	c = bpf_map_lookup_elem(&conns, index);
	if (!c || c->flags & CONN_LEFT_OUT)
		return 0;
	since = c->since;
	tp = bpf_skc_to_tcp_sock(sk);
	if (since && tp && tp->write_seq == c->seq)
		return 0; /* the send was the answer to an earlier request, which on_data counted */
	if (!since && c->looks >= MAX_LOOKS)
		return 0; /* the rest of an answer */
	task = bpf_get_current_task_btf();
	if (c->looks < MAX_LOOKS) {
		c->looks++;
		if (is_left_out(task)) {
			c->flags |= CONN_LEFT_OUT;
			c->since = 0;
		}
	}
	if (set_owner(c, task->tgid, task) && since)
		answered(c, since, bpf_ktime_get_ns());
	return 0;
}

/* The process sends no more. Its FIN has not advanced write_seq yet. */
static __always_inline void closed(struct conn *c, struct tcp_sock *tp)
{
	bool waits = c->since && !(c->flags & (CONN_GOODBYE | CONN_LEFT_OUT)) && !(tp && tp->write_seq != c->seq);
	struct server *s = waits ? server_of(c) : NULL;

	c->since = 0;
	c->flags |= CONN_CLOSED;
	if (s)
		__sync_fetch_and_add(&s->unanswered, 1);
}

static __always_inline void remove_conn(struct sock *sk)
{
	u32 *index = bpf_sk_storage_get(&indexes, sk, NULL, 0);
	struct conn *c, none = {};
	u32 i;

	if (!index)
		return;
	i = *index;
	if (i & OF_CLIENT) {
		remove_client(sk, i);
		return;
	}
	c = bpf_map_lookup_elem(&conns, &i);
	if (!c || bpf_sk_storage_delete(&indexes, sk))
		return;
	if (!(c->flags & CONN_CLOSED))
		closed(c, bpf_skc_to_tcp_sock(sk));
	*c = none;
	bpf_map_push_elem(&free_conns, &i, 0);
}

static __always_inline struct conn *add_conn(struct sock *sk)
{
	u32 i = 0, *index;
	struct conn *c;

	if (is_path(sk) || bpf_sk_storage_get(&indexes, sk, NULL, 0))
		return NULL;
	if (!take(&i, &free_conns, &conns_end, MAX_CONNS))
		goto full;
	c = bpf_map_lookup_elem(&conns, &i);
	index = bpf_sk_storage_get(&indexes, sk, &i, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c || !index) {
		bpf_map_push_elem(&free_conns, &i, 0);
		goto full;
	}
	c->port = sk->__sk_common.skc_num;
	return c;
full:
	__sync_fetch_and_add(&lost.connections, 1);
	return NULL;
}

/* The peer sends no more: usually it is gone. */
static __always_inline void closed_by_peer(struct sock *sk)
{
	struct conn *c = conn_of(sk);

	if (!c) {
		client_fails(sk);
		return;
	}
	c->flags |= CONN_CLOSING;
	if (c->since && bpf_ktime_get_ns() < c->since + GOODBYE_NS)
		c->flags |= CONN_GOODBYE;
}

static __always_inline void closed_by_server(struct sock *sk)
{
	struct conn *c = conn_of(sk);

	if (c && !(c->flags & CONN_CLOSED))
		closed(c, bpf_skc_to_tcp_sock(sk));
}

/*
 * A connection that a listener will accept comes from SYN_RECV, that of a client does
 * not. The socket of a multipath connection is cloned from its listener.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old, int new)
{
	if (new == TCP_ESTABLISHED && (old == TCP_SYN_RECV || old == TCP_LISTEN))
		add_conn(sk);
	else if (new == TCP_ESTABLISHED && old == TCP_SYN_SENT)
		add_client(sk, 0);
	else if (new == TCP_CLOSE_WAIT)
		closed_by_peer(sk);
	else if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK)
		closed_by_server(sk);
	else if (new == TCP_CLOSE)
		remove_conn(sk);
	return 0;
}

static __always_inline struct port port_of(struct sock *sk)
{
	struct port p = {
		.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
		.number = BPF_CORE_READ(sk, __sk_common.skc_num),
	};

	return p;
}

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);

	return socket ? socket->sk : NULL;
}

/* First pass at the start: the ports that have a listener. */
SEC("iter/task_file")
int listeners(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sock *sk;
	struct port p;
	u8 one = 1;

	if (!task || !file)
		return 0;
	sk = sock_of(file);
	if (!sk || !is_tcp(sk) || sk->__sk_common.skc_state != TCP_LISTEN)
		return 0;
	p = port_of(sk);
	if (bpf_map_update_elem(&ports, &p, &one, BPF_ANY))
		__sync_fetch_and_add(&lost.ports, 1);
	return 0;
}

static __always_inline bool has_unread(struct tcp_sock *tp)
{
	return tp && tp->rcv_nxt != tp->copied_seq;
}

/*
 * Second pass at the start: connections of before. A request that nobody has read
 * waits; it is in flight from now on, because its beginning is only known in jiffies.
 * Bytes that were read may have needed no answer.
 */
SEC("iter/task_file")
int established(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tcp_sock *tp;
	struct conn *c;
	struct sock *sk;
	struct port p;

	if (!task || !file)
		return 0;
	sk = sock_of(file);
	if (!sk || !is_tcp(sk) || sk->__sk_common.skc_state != TCP_ESTABLISHED)
		return 0;
	p = port_of(sk);
	if (!bpf_map_lookup_elem(&ports, &p)) {
		add_client(sk, task->tgid);
		return 0;
	}
	c = add_conn(sk);
	if (!c || !set_owner(c, task->tgid, task))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (has_unread(tp)) {
		c->seq = tp->write_seq;
		c->flags |= CONN_EARLIER;
		c->since = bpf_ktime_get_ns();
	}
	return 0;
}

/* A later pass, if requests wait: the process of each connection, and whether it has read the request. */
SEC("iter/task_file")
int inspect(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tcp_sock *tp;
	struct conn *c;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sk = sock_of(file);
	if (!sk)
		return 0;
	c = conn_of(sk);
	if (!c || !c->since)
		return 0;
	if (!c->tgid)
		set_owner(c, task->tgid, task);
	tp = bpf_skc_to_tcp_sock(sk);
	c->inspected = passes;
	c->unread = has_unread(tp);
	if (c->flags & CONN_EARLIER && !c->unread) {
		c->flags &= ~CONN_EARLIER;
		c->since = 0; /* what it was is not known */
	}
	return 0;
}

/* The current process has received bytes. Attached only while a process calls a known upstream. */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int ret, int flags)
{
	u32 *index;

	if (ret <= 0 || flags & MSG_PEEK)
		return 0;
	index = bpf_sk_storage_get(&indexes, sk, NULL, 0);
	if (index && *index & OF_CLIENT)
		client_reads(sk, *index, ret);
	return 0;
}

/* References the types, so that bpf2go generates them. */
const enum conn_flags *unused_conn_flags __attribute__((unused));
const enum protocol *unused_protocol __attribute__((unused));
const struct read *unused_read __attribute__((unused));
const enum client_flags *unused_client_flags __attribute__((unused));
