/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Protocols whose messages are not requests and answers, told by the first bytes
 * that a server sends. Nothing of these bytes is kept.
 */
#ifndef HEADROOM_PROTOCOL_H
#define HEADROOM_PROTOCOL_H

#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "../lib/task.bpf.h"

/* PostgreSQL begins a replication with its eighth answer, and a proxy upgrades a connection that it used before. */
#define MAX_LOOKS 16

#if defined(__TARGET_ARCH_x86)
#define NR_write 1
#define NR_writev 20
#define NR_sendto 44
#define NR_sendmsg 46
#define NR_sendmmsg 307
#elif defined(__TARGET_ARCH_arm64)
#define NR_write 64
#define NR_writev 66
#define NR_sendto 206
#define NR_sendmsg 211
#define NR_sendmmsg 269
#endif

/* struct user_msghdr: the offset of msg_iov, which msg_iovlen follows */
#define MSG_IOV 16

/* struct iovec */
struct vector {
	u64 base;
	u64 length;
};

/* What the current task sends: its bytes, or the array of its pieces. */
struct sent {
	struct vector v;
	bool pieces; /* v is an array of vectors, and their number */
};

/* v.base is 0 if it is not known: sendfile, io_uring. */
static __always_inline struct sent sent_of(struct task_struct *task)
{
	struct sent s = {}, none = {};
	s32 nr = task_syscall(task);
	u64 args[3] = {};

	if (nr != NR_write && nr != NR_writev && nr != NR_sendto && nr != NR_sendmsg && nr != NR_sendmmsg)
		return none;
	task_syscall_args(task, args);
	s.v.base = args[1];
	s.v.length = args[2];
	s.pieces = nr != NR_write && nr != NR_sendto;
	if (s.pieces && nr != NR_writev && bpf_probe_read_user(&s.v, sizeof(s.v), (void *)s.v.base + MSG_IOV))
		return none;
	return s;
}

/* The piece i; its base is 0 if there is none. */
static __always_inline struct vector piece_of(const struct sent *s, u32 i)
{
	struct vector v = {}, none = {};

	if (!s->pieces)
		return i ? none : s->v;
	if (i >= s->v.length || bpf_probe_read_user(&v, sizeof(v), (void *)s->v.base + i * sizeof(v)))
		return none;
	return v;
}

/* The first piece of what the current task sends; its base is 0 if it is not known. */
static __always_inline struct vector sent_from(struct task_struct *task)
{
	struct sent s = sent_of(task);

	return piece_of(&s, 0);
}

/* Four bytes as they lie in memory. */
#define WORD(a, b, c, d) ((u32)(u8)(a) | (u32)(u8)(b) << 8 | (u32)(u8)(c) << 16 | (u32)(u8)(d) << 24)

static __always_inline bool is_messages(const u32 w[3])
{
	u8 first = w[0], second = w[0] >> 8, third = w[0] >> 16, fourth = w[0] >> 24;

	/* HTTP/1.1 101 Switching Protocols: WebSocket */
	if (w[0] == WORD('H', 'T', 'T', 'P'))
		return w[2] == WORD(' ', '1', '0', '1');
	/* A record of TLS: what is inside can be HTTP/2. RFC 8446, 5.1 */
	if (first >= 20 && first <= 23 && second == 3 && third <= 4)
		return true;
	/* HTTP/2 begins with a SETTINGS frame on stream 0: RFC 9113, 3.4 */
	if (!first && fourth == 4 && !(w[1] & ~1U) && !(u8)w[2])
		return true;
	/* MQTT CONNACK, AMQP 0-9-1 on channel 0, NATS, SSH */
	if (w[0] << 16 == WORD(0, 0, 0x20, 2) && !third)
		return true;
	if (w[0] << 8 == WORD(0, 1, 0, 0) && w[1] >> 24 == 0 && (u8)w[2] == 10)
		return true;
	if (w[0] == WORD('I', 'N', 'F', 'O') || w[0] == WORD('S', 'S', 'H', '-'))
		return true;
	/* D-Bus: byte order, type, flags, version 1 */
	if ((first == 'l' || first == 'B') && second >= 1 && second <= 4 && fourth == 1)
		return true;
	/* PostgreSQL's CopyBothResponse: replication */
	return first == 'W' && !second && !third;
}

/* Whether what the current task sends belongs to a protocol that is left out. */
static __always_inline bool is_left_out(struct task_struct *task)
{
	u32 w[3] = {};
	u64 at;

	if (in_compat_syscall(task))
		return false;
	at = sent_from(task).base;
	return at && !bpf_probe_read_user(w, sizeof(w), (void *)at) && is_messages(w);
}

#endif
