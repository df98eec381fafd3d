/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Protocols of upstreams, told by the first bytes of a call and the first or last of
 * an answer. Nothing of these bytes is kept.
 */
#ifndef HEADROOM_UPSTREAMS_H
#define HEADROOM_UPSTREAMS_H

#include "protocol.bpf.h"
#include "types.h"

#if defined(__TARGET_ARCH_x86)
#define NR_read 0
#define NR_readv 19
#define NR_recvfrom 45
#define NR_recvmsg 47
#elif defined(__TARGET_ARCH_arm64)
#define NR_read 63
#define NR_readv 65
#define NR_recvfrom 207
#define NR_recvmsg 212
#endif

enum answer {
	ANSWER_UNREADABLE,
	ANSWER_GOES_ON,	       /* more of it will follow */
	ANSWER_COMPLETE,       /* the connection is free for the next user */
	ANSWER_IN_TRANSACTION, /* the connection is not, although nothing is sent */
};

/* The usual ports: they tell only which connections are worth a gap if their bytes are not understood. */
static __always_inline bool is_database(u32 port)
{
	return port == 5432 || port == 6432 || port == 6379 || port == 6380;
}

/* PostgreSQL's protocol, 55.7 Message Formats: 3.0 and later of major version 3, and what a client can ask before. */
#define POSTGRES_MAJOR 3
#define POSTGRES_SSL 80877103
#define POSTGRES_GSS 80877104

static __always_inline bool is_postgres_message(u8 type, u32 length, u32 sent)
{
	if (length < 4 || length >= sent)
		return false;
	return type == 'Q' || type == 'P' || type == 'B' || type == 'E' || type == 'D' || type == 'C' || type == 'S' ||
	       type == 'H' || type == 'F' || type == 'p' || type == 'd' || type == 'c' || type == 'f';
}

static __always_inline bool is_digit(u32 c)
{
	return (u8)c >= '0' && (u8)c <= '9';
}

/* *3\r\n$: an array of one to three digits, whose first element is a string. */
static __always_inline bool is_redis(const u32 w[3])
{
	if ((u8)w[0] != '*' || !is_digit(w[0] >> 8))
		return false;
	if (w[0] >> 16 == (u32)('\r' | '\n' << 8))
		return (u8)w[1] == '$';
	if (!is_digit(w[0] >> 16))
		return false;
	if (w[0] >> 24 == '\r')
		return (w[1] & 0xffff) == (u32)('\n' | '$' << 8);
	return is_digit(w[0] >> 24) && (w[1] & 0xffffff) == (u32)('\r' | '\n' << 8 | '$' << 16);
}

/* The protocol of a call. Sets CLIENT_OPAQUE if it is encrypted, CLIENT_ASKED if the next can be. */
static __always_inline u8 protocol_of_call(struct task_struct *task, u32 sent, u8 *flags)
{
	u32 w[3] = {}, length, code;
	u64 at;

	at = in_compat_syscall(task) ? 0 : sent_from(task).base;
	if (!at || bpf_probe_read_user(w, sizeof(w), (void *)at))
		return PROTOCOL_UNKNOWN;
	if ((w[0] & 0xffff) == 0x316) { /* TLS */
		*flags |= CLIENT_OPAQUE;
		return PROTOCOL_UNKNOWN;
	}
	if (is_redis(w))
		return PROTOCOL_REDIS;
	length = __builtin_bswap32(w[0]);
	code = __builtin_bswap32(w[1]);
	if (length == sent && (code == POSTGRES_SSL || code == POSTGRES_GSS)) {
		*flags |= CLIENT_ASKED;
		return PROTOCOL_POSTGRES;
	}
	*flags &= ~CLIENT_ASKED;
	if (length == sent && code >> 16 == POSTGRES_MAJOR)
		return PROTOCOL_POSTGRES;
	length = __builtin_bswap32(w[0] >> 8 | w[1] << 24);
	return is_postgres_message(w[0], length, sent) ? PROTOCOL_POSTGRES : PROTOCOL_UNKNOWN;
}

/* Where the current task has received bytes, 0 if it is not known: io_uring, or in several pieces. */
static __always_inline u64 received_at(struct task_struct *task, u32 length)
{
	s32 nr = task_syscall(task);
	struct vector v = {};
	u64 args[3] = {}, at;

	if (in_compat_syscall(task))
		return 0;
	if (nr != NR_read && nr != NR_recvfrom && nr != NR_recvmsg && nr != NR_readv)
		return 0;
	task_syscall_args(task, args);
	at = args[1];
	if (nr == NR_read || nr == NR_recvfrom)
		return at;
	if (nr == NR_recvmsg && bpf_probe_read_user(&at, sizeof(at), (void *)at + MSG_IOV))
		return 0;
	if (bpf_probe_read_user(&v, sizeof(v), (void *)at) || v.length < length)
		return 0;
	return v.base;
}

/* ReadyForQuery: Z, a length of 5, and the status of the transaction. */
#define READY_SIZE 6

static __always_inline u32 postgres_answer(u64 at, u32 length)
{
	u8 b[READY_SIZE] = { 'Z', 0, 0, 0, 5, 0 };
	u32 n = length < READY_SIZE ? 1 : READY_SIZE;

	/* A short reception can be the rest of a message that two receptions share. */
	if (length < READY_SIZE ? bpf_probe_read_user(&b[READY_SIZE - 1], 1, (void *)at + length - n)
				: bpf_probe_read_user(b, READY_SIZE, (void *)at + length - n))
		return ANSWER_UNREADABLE;
	if (b[0] != 'Z' || b[1] || b[2] || b[3] || b[4] != READY_SIZE - 1)
		return ANSWER_GOES_ON;
	if (b[5] == 'I')
		return ANSWER_COMPLETE;
	return b[5] == 'T' || b[5] == 'E' ? ANSWER_IN_TRANSACTION : ANSWER_GOES_ON;
}

/* RESP2 and RESP3: the types of values. */
static __always_inline u32 redis_answer(u64 at)
{
	u8 c = 0;

	if (bpf_probe_read_user(&c, 1, (void *)at))
		return ANSWER_UNREADABLE;
	return c == '+' || c == '-' || c == ':' || c == '$' || c == '*' || c == '_' || c == '#' || c == ',' ||
			       c == '(' || c == '!' || c == '=' || c == '%' || c == '~' || c == '>'
		       ? ANSWER_COMPLETE
		       : ANSWER_GOES_ON;
}

/* What the bytes say that the current task has received; first: whether none were looked at before. */
static __always_inline u32 status_of_answer(struct task_struct *task, u32 length, u32 protocol, bool first)
{
	u64 at;

	if (protocol == PROTOCOL_REDIS && !first)
		return ANSWER_COMPLETE;
	at = received_at(task, length);
	if (!at)
		return ANSWER_UNREADABLE;
	return protocol == PROTOCOL_REDIS ? redis_answer(at) : postgres_answer(at, length);
}

#endif
