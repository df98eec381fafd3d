/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Run-queue and throttle clocks, both in the time of rq->clock. The scheduler
 * updates it just before sched_switch fires.
 */
#ifndef HEADROOM_SCHED_H
#define HEADROOM_SCHED_H

#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/*
 * How long t has been queued on this run queue, at the sched_switch that picks
 * it. sched_info.last_queued is set by the wake-up or by the preemption and
 * cleared when t arrives on the CPU, after the tracepoint (sched_info_arrive).
 * A migration while queued resets it; sched_info.run_delay then holds the
 * earlier part.
 */
static __always_inline u64 queued_for(struct task_struct *t, u64 clock)
{
	u64 since = t->sched_info.last_queued;

	return since && clock > since ? clock - since : 0;
}

/* 677ea015f231 (6.6): throttled time with something queued, by any ancestor. */
struct cfs_rq___self {
	u64 throttled_clock_self;
	u64 throttled_clock_self_time;
} __attribute__((preserve_access_index));

/* 64eaf50731ac (5.19): the clock of PELT, stopped while an ancestor is throttled. */
struct cfs_rq___pelt {
	u64 throttled_clock_pelt_time;
} __attribute__((preserve_access_index));

/* From f1b17280efbd (3.8) until 5.18: the same in task time. */
struct cfs_rq___task {
	u64 throttled_clock_task_time;
} __attribute__((preserve_access_index));

/*
 * The time for which cfs_rq was throttled since boot. It includes the current
 * throttle where the kernel records its start. Before 6.6 the current throttle
 * is added when it ends, which is before any task of cfs_rq is picked again.
 */
static __always_inline u64 throttle_clock(struct cfs_rq *cfs_rq, u64 clock)
{
	struct cfs_rq___self *self = (void *)cfs_rq;
	struct cfs_rq___pelt *pelt = (void *)cfs_rq;
	struct cfs_rq___task *task = (void *)cfs_rq;

	if (bpf_core_field_exists(self->throttled_clock_self_time)) {
		u64 total = self->throttled_clock_self_time;
		u64 since = self->throttled_clock_self;

		return since && clock > since ? total + clock - since : total;
	}
	if (bpf_core_field_exists(pelt->throttled_clock_pelt_time))
		return pelt->throttled_clock_pelt_time;
	if (bpf_core_field_exists(task->throttled_clock_task_time))
		return task->throttled_clock_task_time;
	return 0;
}

/* The same for a run queue that a task has left: an address, not a trusted pointer. */
static __always_inline u64 left_throttle_clock(u64 cfs_rq)
{
	struct cfs_rq___self *self = (void *)cfs_rq;
	struct cfs_rq___pelt *pelt = (void *)cfs_rq;
	struct cfs_rq___task *task = (void *)cfs_rq;

	if (bpf_core_field_exists(self->throttled_clock_self_time))
		return BPF_CORE_READ(self, throttled_clock_self_time);
	if (bpf_core_field_exists(pelt->throttled_clock_pelt_time))
		return BPF_CORE_READ(pelt, throttled_clock_pelt_time);
	if (bpf_core_field_exists(task->throttled_clock_task_time))
		return BPF_CORE_READ(task, throttled_clock_task_time);
	return 0;
}

#endif
