/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The system calls that ticks sleep in, and what they are about. */
#ifndef HEADROOM_CALLS_H
#define HEADROOM_CALLS_H

#include "types.h"
#include "../lib/target.bpf.h"
#include "../lib/task.bpf.h"

/*
 * Notes what t, the thread of l that leaves the CPU, sleeps on: only now is the
 * descriptor certain to be open.
 */
static __noinline int note_target(struct loop *l, struct task_struct *t)
{
	struct target none = {};
	u64 args[3];

	if (!l)
		return 0;
	l->off_target = none;
	if (l->off == OFF_STOPPED)
		return 0;
	if (l->off_nr < 0) {
		/* A fault is counted when it has ended. Another one since is not about that file. */
		if (l->mapped && l->mapped_at == t->min_flt + t->maj_flt) {
			inode_target(&l->off_target, (struct inode *)l->mapped);
			l->off_target.fd = -1;
		}
	} else {
		task_syscall_args(t, args);
		fd_target(&l->off_target, t, fd_of(l->off_nr, args));
	}
	l->off_target.key = key_of(&l->off_target);
	return 0;
}

static __always_inline bool is_call(const struct call *c, s32 nr, u64 key)
{
	return !((u32)(c->nr ^ nr) | (c->target.key ^ key)) || !c->times;
}

/* Adds to c, which becomes CALL_OTHER if it is about something else: no entry was free. */
static __always_inline void add_call(struct call *c, bool fits, s32 nr, u32 times, u64 ns, const struct target *target)
{
	struct target none = {};

	c->nr = fits ? nr : CALL_OTHER;
	c->target = fits ? *target : none;
	c->times += times;
	c->ns += ns;
}

/* The tick of l has slept for ns in call nr, on l->off_target. */
static __always_inline void charge_tick(struct loop *l, s32 nr, u64 ns)
{
	struct call *c = l->calls;
	bool fits = false;
	u32 i;

	for (i = 0; i < TICK_CALLS; i++) {
		c = &l->calls[i];
		fits = is_call(c, nr, l->off_target.key);
		if (fits)
			break;
	}
	add_call(c, fits, nr, 1, ns, &l->off_target);
}

static __noinline int charge_loop(struct loop *l, const struct call *from, bool is_long)
{
	struct loop_call *c;
	bool fits = false;
	u32 i;

	if (!l || !from)
		return 0;
	c = l->blocked_by;
	for (i = 0; i < LOOP_CALLS; i++) {
		c = &l->blocked_by[i];
		fits = is_call(&c->all, from->nr, from->target.key);
		if (fits)
			break;
	}
	add_call(&c->all, fits, from->nr, from->times, from->ns, &from->target);
	if (is_long)
		c->in_long += from->ns;
	return 0;
}

#endif
