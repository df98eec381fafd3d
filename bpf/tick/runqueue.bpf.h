/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The tail of run-queue latency, per process, and which processes ran in the
 * meantime. Totals need no work here: the scheduler keeps them per task
 * (run_delay), and threads() reads them once a second. Delays below 2^-10 s
 * return at once.
 */
#ifndef HEADROOM_RUNQUEUE_H
#define HEADROOM_RUNQUEUE_H

#include "types.h"
#include "../lib/sched.bpf.h"
#include "../lib/task.bpf.h"

/* Processes that ever waited a millisecond: 250 pods with 16 processes each. */
#define MAX_RUNQUEUES 4096
#define MAX_PAIRS 16384
/* Culprit of pairs beyond MAX_PAIRS. */
#define CULPRIT_OTHER 0xffffffff

/*
 * The running process is sampled: every 2^18 ns (0.26 ms) of rq->clock is charged
 * to the task that had the CPU at its end. The clock itself is the sampler, so a
 * switch without a sample costs one comparison, and short runs are counted in
 * proportion to their length. Consecutive runs of one process share an entry. A
 * ring covers at least 16 ms, or about 200 ms of processes that alternate every
 * 3 ms.
 */
#define SAMPLE_SHIFT 18
#define SLICES 64

struct slice {
	u64 end; /* rq->clock */
	u64 ns;	 /* samples << SAMPLE_SHIFT */
	u64 tgid;
};

struct slices {
	u64 last;
	struct slice ring[SLICES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct slices);
} slices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RUNQUEUES);
	__type(key, u32);
	__type(value, struct runqueue);
} runqueues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PAIRS);
	__type(key, struct pair);
	__type(value, u64);
} blame SEC(".maps");

/* The last value of throttle_clock of a run queue: a cache, so it is an LRU map. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u64);
} throttles SEC(".maps");

const struct runqueue new_runqueue = {};

/* t leaves the CPU; ns is the time of the samples that fell on it. */
static __noinline int record_slice(struct task_struct *t, u64 ns, u64 clock)
{
	u32 zero = 0;
	struct slices *s = bpf_map_lookup_elem(&slices, &zero);
	struct slice *e;
	u64 gap;

	if (!s)
		return 0;
	clock_ahead = bpf_ktime_get_ns() - clock;
	e = &s->ring[s->last % SLICES];
	gap = clock - e->end - ns;
	if (e->tgid != t->tgid || (s64)gap > 2 << SAMPLE_SHIFT) {
		e = &s->ring[++s->last % SLICES];
		e->ns = 0;
		e->tgid = t->tgid;
	}
	e->end = clock;
	e->ns += ns;
	return 0;
}

/* Not static, as blame_slices. */
__noinline int add_blame(u32 victim, u32 culprit, u64 ns)
{
	struct pair key = { victim, culprit };
	u64 *sum = bpf_map_lookup_elem(&blame, &key);

	if (sum) {
		__sync_fetch_and_add(sum, ns);
		return 0;
	}
	/* If two CPUs add a pair at once, the first addition of one is lost. */
	if (!bpf_map_update_elem(&blame, &key, &ns, BPF_ANY))
		return 0;
	__sync_fetch_and_add(&lost.blame, 1);
	key.culprit = CULPRIT_OTHER;
	sum = bpf_map_lookup_elem(&blame, &key);
	if (sum)
		__sync_fetch_and_add(sum, ns);
	return 0;
}

/*
 * Charges the wait of victim, from since to clock, to the processes that ran on this CPU.
 * It is not static, so that the verifier checks it once, and not for all that is known when
 * it is called.
 */
__noinline int blame_slices(u32 victim, u64 since, u64 clock)
{
	u32 zero = 0, i;
	struct slices *s = bpf_map_lookup_elem(&slices, &zero);

	if (!s)
		return 0;
	for (i = 0; i < SLICES; i++) {
		struct slice *e = &s->ring[(s->last - i) % SLICES];
		u64 begin = e->end - e->ns;

		if (!e->ns || e->end <= since)
			break;
		if (begin < since)
			begin = since;
		add_blame(victim, e->tgid, e->end - begin);
	}
	return 0;
}

static __always_inline struct runqueue *runqueue_of(u32 tgid, u64 start)
{
	struct runqueue *r = bpf_map_lookup_elem(&runqueues, &tgid);

	if (r && r->start_boottime == start)
		return r;
	if (bpf_map_update_elem(&runqueues, &tgid, (void *)&new_runqueue, BPF_ANY)) {
		__sync_fetch_and_add(&lost.runqueues, 1);
		return NULL;
	}
	r = bpf_map_lookup_elem(&runqueues, &tgid);
	if (r)
		r->start_boottime = start;
	return r;
}

/*
 * How much of a wait was throttled: the increase of the run queue's throttle
 * clock since its last delay was recorded. Every throttle delays some task by
 * more than a millisecond, so that was recently. Only the first time, once per
 * run queue, the whole wait counts as throttled.
 */
static __always_inline u64 throttled_lately(struct task_struct *t, u64 clock, u64 limit)
{
	u64 key = (u64)t->se.cfs_rq;
	u64 now = throttle_clock(t->se.cfs_rq, clock);
	u64 then = 0, *last;

	if (!now)
		return 0;
	last = bpf_map_lookup_elem(&throttles, &key);
	if (last) {
		then = *last;
		*last = now;
	} else {
		bpf_map_update_elem(&throttles, &key, &now, BPF_ANY);
	}
	return now > then ? min_u64(now - then, limit) : 0;
}

/* t gets the CPU after a wait of ns. */
static __noinline int record_delay(struct task_struct *t, u64 ns, u64 clock)
{
	u32 tgid = t->tgid, b;
	struct runqueue *r;
	u64 throttled;

	if (t->flags & PF_KTHREAD)
		return 0;
	throttled = throttled_lately(t, clock, ns);
	r = runqueue_of(tgid, t->group_leader->start_boottime);
	if (!r)
		return 0;
	if (throttled)
		__sync_fetch_and_add(&r->throttled, throttled);
	ns -= throttled;
	b = hist_bucket(ns);
	if (!b || b >= HIST_BUCKETS)
		return 0;
	__sync_fetch_and_add(&r->delays.count[b], 1);
	__sync_fetch_and_add(&r->delays.sum[b], ns);
	blame_slices(tgid, clock - ns, clock);
	return 0;
}

/* A thread exits. After the last one, the delays of the process stay until they are read. */
static __always_inline void runqueue_exit(struct task_struct *t)
{
	u32 tgid = t->tgid;
	struct runqueue *r;

	if (t->signal->live.counter)
		return;
	r = bpf_map_lookup_elem(&runqueues, &tgid);
	if (r)
		r->ended = 1;
}

#endif
