/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The state of a socket, read without its lock: numbers can be slightly out of date. */
#ifndef HEADROOM_SOCKET_H
#define HEADROOM_SOCKET_H

#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262

/* include/net/tcp_states.h; Unix sockets use TCP_LISTEN too. */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7 /* UDP sockets have it while they are not connected */
#define TCP_CLOSE_WAIT 8
#define TCP_LISTEN 10

/* bpf_sock_from_file is new in 4f19cab76136 (5.11); private_data of a sockfs file is its socket. */
static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *s = file->private_data;

	return s ? BPF_CORE_READ(s, sk) : NULL;
}

/*
 * The TCP socket of sk, or NULL. A multipath socket, which Go's servers
 * have since 1.24, keeps its queue in the first of its paths.
 */
static __always_inline struct sock *tcp_of(struct sock *sk)
{
	u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	if (protocol == IPPROTO_TCP)
		return sk;
	if (protocol == IPPROTO_MPTCP && bpf_core_type_exists(struct mptcp_sock))
		return BPF_CORE_READ((struct mptcp_sock *)sk, first);
	return NULL;
}

static __always_inline u32 netns_of(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* include/net/sock.h: bind(2) chose the port, and not the kernel */
#define SOCK_BINDPORT_LOCK 8

/* Whether a UDP socket receives from any client on a port that its process chose. */
static __always_inline bool serves_datagrams(struct sock *sk, u8 state)
{
	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP || state != TCP_CLOSE)
		return false;
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOCK_BINDPORT_LOCK;
}

/*
 * Whether a Unix socket is one that accept(2) returned: it has the address of its
 * listener (unix_stream_connect in net/unix/af_unix.c). A client has none unless
 * it binds, which clients of stream sockets do not.
 */
static __always_inline bool is_accepted_unix(struct sock *sk, u8 state)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX || state != TCP_ESTABLISHED)
		return false;
	return BPF_CORE_READ((struct unix_sock *)sk, addr) != NULL;
}

/*
 * Whether a port is the standard one of a message broker. A broker sends a
 * consumer messages without being asked for each, so that they wait for it.
 */
static __always_inline bool is_broker(u16 port)
{
	switch (port) {
	case 1883: /* MQTT */
	case 8883:
	case 4150: /* NSQ */
	case 4222: /* NATS */
	case 5671: /* AMQP */
	case 5672:
	case 6379: /* Redis, for queues such as BullMQ and Celery */
	case 6650: /* Pulsar */
	case 6651:
	case 9092: /* Kafka */
	case 9093:
	case 11300: /* beanstalkd */
	case 61613: /* STOMP */
	case 61616: /* OpenWire */
		return true;
	}
	return false;
}

/*
 * Whether a connection is waiting for its process: it has unread bytes, or bytes
 * that arrived after the process last sent some. In tcp_info this is
 * last_data_recv < last_data_sent (tcp_get_info in net/ipv4/tcp.c).
 */
static __always_inline bool waits(struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	struct inet_connection_sock *icsk = (void *)sk;

	if (BPF_CORE_READ(tp, rcv_nxt) != BPF_CORE_READ(tp, copied_seq))
		return true;
	if ((s32)(BPF_CORE_READ(icsk, icsk_ack.lrcvtime) - BPF_CORE_READ(tp, lsndtime)) <= 0)
		return false;
	return BPF_CORE_READ(tp, bytes_received) > 0;
}

#endif
