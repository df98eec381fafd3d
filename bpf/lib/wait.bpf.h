/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The system calls in which an event loop waits, and what they wait on. */
#ifndef HEADROOM_WAIT_H
#define HEADROOM_WAIT_H

#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>

#define SYSCALL_NONE -1

#if defined(__TARGET_ARCH_x86)
#define NR_poll 7
#define NR_select 23
#define NR_futex 202
#define NR_restart_syscall 219
#define NR_epoll_wait 232
#define NR_pselect6 270
#define NR_ppoll 271
#define NR_epoll_pwait 281
#define NR_epoll_pwait2 441
#elif defined(__TARGET_ARCH_arm64)
#define NR_epoll_pwait 22
#define NR_futex 98
#define NR_pselect6 72
#define NR_ppoll 73
#define NR_restart_syscall 128
#define NR_epoll_pwait2 441
/* arm64 never had the older calls. */
#define NR_epoll_wait -101
#define NR_poll -102
#define NR_select -103
#endif

enum wait_kind {
	WAIT_NONE,
	WAIT_EPOLL,
	WAIT_POLL,
	WAIT_SELECT,
};

static __always_inline enum wait_kind wait_kind(s32 nr)
{
	switch (nr) {
	case NR_epoll_wait:
	case NR_epoll_pwait:
	case NR_epoll_pwait2:
		return WAIT_EPOLL;
	case NR_poll:
	case NR_ppoll:
		return WAIT_POLL;
	case NR_select:
	case NR_pselect6:
		return WAIT_SELECT;
	}
	return WAIT_NONE;
}

/* FD_SETSIZE: what libc's fd_set can hold. */
#define MAX_SELECT 1024

/* 1 or 0, without a branch: the verifier walks every combination of branches. */
static __always_inline u32 non_zero(u64 v)
{
	u64 sign = v | -v;

	/* Without this the compiler optimizes it into a branch. */
	asm volatile("" : "+r"(sign));
	return sign >> 63;
}

/* Adds the bits of one fd_set of the current task to n, at most two per word. */
static __always_inline u32 count_fds(u32 n, u64 set, u64 fds)
{
	u64 words[MAX_SELECT / 64] = {};
	u32 i, bytes = (fds + 63) / 64 * 8;

	/* Keeps the compiler from dropping the check that the verifier requires. */
	asm volatile("" : "+r"(bytes));
	if (!set || bytes > sizeof(words) || bpf_probe_read_user(words, bytes, (void *)set))
		return n;
	for (i = 0; i < MAX_SELECT / 64; i++)
		n += non_zero(words[i]) + non_zero(words[i] & (words[i] - 1));
	return n;
}

/*
 * Whether select waits on more than one descriptor. With a single one it is a
 * blocking call, not an event loop.
 */
static __noinline bool select_is_loop(u64 fds, u64 readable, u64 writable)
{
	if (fds < 2 || fds > MAX_SELECT)
		return fds > MAX_SELECT;
	return count_fds(count_fds(0, readable, fds), writable, fds) > 1;
}

#endif
