/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Event loops. A loop is a thread that waits in epoll, or in poll or select on
 * more than one descriptor. A tick runs from the end of a wait to the next wait
 * on the loop's main epfd.
 *
 * Its clock stops when the thread enters that wait. It starts at the last
 * switch-in that ended a sleep inside the wait; if the thread never slept there
 * (timeout 0, or events were ready), at the entry itself. So one hook at the
 * entry and the switches that happen anyway are enough.
 *
 * After an exec a thread is not a loop until it waits again: the waits of runc's
 * init before it becomes the container's program are not ticks of that program.
 */
#ifndef HEADROOM_LOOP_H
#define HEADROOM_LOOP_H

#include "types.h"
#include "../lib/sched.bpf.h"
#include "../lib/task.bpf.h"
#include "../lib/wait.bpf.h"
#include "calls.bpf.h"

/* Loops of one host: 250 pods with 32 loops each. An entry takes 2 kB. */
#define MAX_LOOPS 8192
/* Stalls reported individually, per loop and second; further ones are only counted. */
#define MAX_STALLS_PER_SECOND 10
#define SECOND 1000000000ULL

/*
 * A thread may switch from its main epfd to another: permanently (after a
 * start-up loop), or temporarily (execSync runs a nested loop inside a tick while
 * the child runs). Follow it after this many waits and this much time. A nested
 * loop's epfd is newer and usually has the higher number, so it takes longer.
 */
#define FOLLOW_WAITS 16
#define FOLLOW_HIGHER (90 * SECOND)
#define FOLLOW_LOWER (10 * SECOND)

const volatile u64 long_tick_ns = 20000000;
const volatile u64 stall_ns = 50000000;

struct losses lost = {};

/* How much CLOCK_MONOTONIC is ahead of rq->clock; 0: not known yet. */
u64 clock_ahead = 0;

/*
 * Go reads it through mmap. Entry 0 is never used. An array and a table of our
 * own instead of a hash: a lookup is then a few inlined instructions, while a
 * call into the kernel costs 15 to 30 ns, three times per tick.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_LOOPS);
	__type(key, u32);
	__type(value, struct loop);
} loops SEC(".maps");

/* The free entries of loops. Go fills it, and returns entries of ended loops after reading them. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_LOOPS);
	__type(value, u32);
} free_loops SEC(".maps");

/* The thread that waits on an epfd. If a second one does, it belongs to an M:N scheduler. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LOOPS);
	__type(key, struct epfd);
	__type(value, u32);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} stalls SEC(".maps");

const struct loop new_loop = {};

/* One above the highest entry of loops that was ever used. */
u32 loops_end = 0;

/*
 * Maps thread ids to entries of loops. A set is two entries of 16 bits, so that
 * one load shows for most threads that they are not loops. Loops whose ids have
 * the same low 16 bits share a set; a third one is dropped and counted as lost.
 */
#define SETS (1 << 16)
u32 sets[SETS] = {};

static __always_inline bool is_watched(u32 tid)
{
	return ((volatile u32 *)sets)[tid % SETS];
}

static __always_inline struct loop *find_loop(u32 tid)
{
	u32 set = ((volatile u32 *)sets)[tid % SETS];
	u32 i = set & 0xffff;
	struct loop *l;

	l = bpf_map_lookup_elem(&loops, &i);
	if (l && l->tid == tid)
		return l;
	i = set >> 16;
	if (!i)
		return NULL;
	l = bpf_map_lookup_elem(&loops, &i);
	return l && l->tid == tid ? l : NULL;
}

/* If two threads take the same half of a set at once, one is not found and is added again. */
static __always_inline bool enter_set(u32 tid, u16 entry)
{
	volatile u16 *set = (volatile u16 *)&sets[tid % SETS];

	if (!set[0])
		set[0] = entry;
	else if (!set[1])
		set[1] = entry;
	else
		return false;
	return true;
}

static __always_inline void leave_set(u32 tid)
{
	volatile u16 *set = (volatile u16 *)&sets[tid % SETS];
	struct loop *l;
	u32 i = set[0];

	l = bpf_map_lookup_elem(&loops, &i);
	if (l && l->tid == tid)
		set[0] = 0;
	else
		set[1] = 0;
}

/* Increments seq, ordered against the writes that it protects. */
static __always_inline void step_seq(struct loop *l)
{
#if defined(__TARGET_ARCH_x86)
	/* x86 keeps stores in order; keep the compiler from reordering them. */
	asm volatile("" ::: "memory");
	l->seq++;
	asm volatile("" ::: "memory");
#else
	/* An atomic addition whose result is used is a full barrier. */
	u32 before = __sync_fetch_and_add(&l->seq, 1);

	asm volatile("" ::"r"(before) : "memory");
#endif
}

static __always_inline void add_parts(struct parts *to, const struct parts *p)
{
	to->runq += p->runq;
	to->throttled += p->throttled;
	to->blocked += p->blocked;
	to->fault += p->fault;
	to->io += p->io;
}

static __always_inline void start_tick(struct loop *l, u64 now)
{
	l->start = now;
	l->wake = 0;
	l->wake_throttled = 0;
	l->nested = 0;
	if (!l->dirty)
		return;
	l->dirty = 0;
	l->nested_waits = 0;
	__builtin_memset(&l->parts, 0, sizeof(l->parts));
	__builtin_memset(l->calls, 0, sizeof(l->calls));
}

static __always_inline void add_long_tick(struct loop *l, u64 busy)
{
	l->long_ticks.count++;
	l->long_ticks.busy += busy;
	if (busy > l->long_ticks.longest)
		l->long_ticks.longest = busy;
	if (l->dirty)
		add_parts(&l->long_ticks.parts, &l->parts);
}

static __always_inline bool may_report_stall(struct loop *l, u64 now)
{
	if (now - l->stall_window > SECOND) {
		l->stall_window = now;
		l->stalls_in_window = 0;
	}
	if (l->stalls_in_window < MAX_STALLS_PER_SECOND) {
		l->stalls_in_window++;
		return true;
	}
	l->stalls_suppressed++;
	return false;
}

static __always_inline void report_stall(struct loop *l, u64 busy, u64 now)
{
	struct stall *s;
	u32 i;

	if (!may_report_stall(l, now))
		return;
	s = bpf_ringbuf_reserve(&stalls, sizeof(*s), 0);
	if (!s) {
		__sync_fetch_and_add(&lost.stalls, 1);
		return;
	}
	s->start = l->start;
	s->busy = busy;
	s->wake = l->wake;
	s->start_boottime = l->start_boottime;
	s->parts = l->parts;
	s->tgid = l->tgid;
	s->tid = l->tid;
	s->epfd = l->epfd;
	s->nested_waits = l->nested_waits;
	s->longest = l->calls[0];
	for (i = 1; i < TICK_CALLS; i++) {
		if (l->calls[i].ns > s->longest.ns)
			s->longest = l->calls[i];
	}
	/* The reader polls: a wake-up would slow down the loop. */
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP);
}

/* q^2 in units of 2^20 ns^2, without overflow up to 2^42 ns (73 minutes). */
static __always_inline u64 squared(u64 q)
{
	if (q < 1ULL << 32)
		return q * q >> 20;
	if (q > (1ULL << 42) - 1)
		q = (1ULL << 42) - 1;
	return (q >> 10) * (q >> 10);
}

/*
 * Adds the calls of the tick that ends to those of the loop of a thread. It is not static,
 * so that the verifier checks it once, and not at each call. Linux 5.10 takes no pointer
 * here.
 */
__noinline int add_calls(u32 tid, bool is_long)
{
	struct loop *l = find_loop(tid);
	u32 i;

	if (!l)
		return 0;
	for (i = 0; i < TICK_CALLS; i++) {
		if (l->calls[i].times)
			charge_loop(l, &l->calls[i], is_long);
	}
	return 0;
}

/*
 * Records a tick of a millisecond or more of the loop of a thread. These are rare, so more
 * detail is affordable. Not static, as add_calls.
 */
__noinline int record_slow_tick(u32 tid, u64 busy, u64 q, u64 now)
{
	struct loop *l = find_loop(tid);
	u32 b = hist_bucket(q);

	if (!l)
		return 0;
	if (b < HIST_BUCKETS) {
		l->lag.count[b]++;
		l->lag.sum[b] += q;
	}
	if (busy > long_tick_ns)
		add_long_tick(l, busy);
	if (busy > stall_ns)
		report_stall(l, busy, now);
	return 0;
}

static __always_inline void finish_tick(struct loop *l, u64 now)
{
	u64 busy = now - l->start;
	u64 q = busy + l->wake;

	if (l->dirty) {
		add_parts(&l->sum, &l->parts);
		if (l->calls[0].times)
			add_calls(l->tid, busy > long_tick_ns);
	}
	l->sum_wake += l->wake;
	if (l->wake_throttled)
		l->sum_wake_throttled += l->wake_throttled;
	l->ticks++;
	l->busy += busy;
	l->q_squared += squared(q);
	l->ticks_on_epfd++;
	if (q >= HIST_FIRST)
		record_slow_tick(l->tid, busy, q, now);
}

/*
 * The owner of an epfd, if it is another live loop of the same process. An owner
 * that has since waited elsewhere closed its epfd, and the number was reused.
 */
static __always_inline struct loop *other_owner(struct loop *l, u32 tid)
{
	struct loop *o;

	if (tid == l->tid)
		return NULL;
	o = find_loop(tid);
	if (!o || o->nested || o->tgid != l->tgid || o->epfd != l->epfd || o->kind != WAIT_EPOLL)
		return NULL;
	return o;
}

/*
 * Claims l->epfd. Two threads that wait on one epfd are a scheduler's workers
 * (Go, tokio): a thread's wait there says nothing about a loop.
 */
static __noinline int claim_epfd(struct loop *l)
{
	struct epfd key;
	struct loop *o;
	u32 *owner, tid;

	if (!l || l->kind != WAIT_EPOLL)
		return 0;
	key.tgid = l->tgid;
	key.fd = l->epfd;
	tid = l->tid;
	owner = bpf_map_lookup_elem(&owners, &key);
	if (owner) {
		o = other_owner(l, *owner);
		if (o) {
			o->shared = 1;
			l->shared = 1;
			return 0;
		}
	}
	if (bpf_map_update_elem(&owners, &key, &tid, BPF_ANY))
		__sync_fetch_and_add(&lost.loops, 1);
	return 0;
}

static __always_inline void disown_epfd(struct loop *l)
{
	struct epfd key = { .tgid = l->tgid, .fd = l->epfd };
	u32 *owner;

	if (l->kind != WAIT_EPOLL)
		return;
	owner = bpf_map_lookup_elem(&owners, &key);
	if (owner && *owner == l->tid)
		bpf_map_delete_elem(&owners, &key);
}

/* Takes an empty entry and registers it for tid. */
static __always_inline struct loop *take_entry(u32 tid)
{
	struct loop *l;
	u32 i;

	if (bpf_map_pop_elem(&free_loops, &i))
		return NULL;
	if (!enter_set(tid, i)) {
		bpf_map_push_elem(&free_loops, &i, 0);
		return NULL;
	}
	bpf_map_update_elem(&loops, &i, (void *)&new_loop, BPF_ANY);
	if (i >= loops_end)
		loops_end = i + 1;
	l = bpf_map_lookup_elem(&loops, &i);
	if (l)
		l->seq = 1;
	return l;
}

static __always_inline struct loop *add_loop(struct task_struct *t, u8 kind, s32 nr, s32 fd, u64 now)
{
	u32 tid = BPF_CORE_READ(t, pid);
	struct loop *l = take_entry(tid);

	if (!l) {
		__sync_fetch_and_add(&lost.loops, 1);
		return NULL;
	}
	l->tid = tid;
	l->tgid = BPF_CORE_READ(t, tgid);
	l->start_boottime = BPF_CORE_READ(t, start_boottime);
	l->kind = kind;
	l->epfd = fd;
	l->wait_nr = nr;
	l->other_fd = fd;
	l->start = now;
	claim_epfd(l);
	step_seq(l);
	return l;
}

/* The first wait after an exec of l's thread. */
static __noinline int adopt(struct loop *l, u8 kind, s32 nr, s32 fd, u64 now)
{
	if (!l)
		return 0;
	l->kind = kind;
	l->epfd = fd;
	l->wait_nr = nr;
	l->other_fd = fd;
	l->off = ON_CPU;
	l->dirty = 1;
	start_tick(l, now);
	claim_epfd(l);
	return 0;
}

static __noinline int follow(struct loop *l, u8 kind, s32 fd, u64 now)
{
	if (!l)
		return 0;
	disown_epfd(l);
	l->kind = kind;
	l->epfd = fd;
	l->ticks_on_epfd = 0;
	l->other_fd = fd;
	l->other_waits = 0;
	l->dirty = 1;
	start_tick(l, now);
	claim_epfd(l);
	return 0;
}

/* Whether the epfd that the thread now waits on is its new main epfd. */
static __always_inline bool has_moved(struct loop *l, u8 kind, s32 fd, u64 now)
{
	bool lower = fd < l->epfd;

	if (kind != l->kind) {
		/* epoll takes precedence over poll, which is a blocking call inside a tick. */
		if (kind == WAIT_EPOLL)
			return true;
		lower = false;
	} else if (lower && l->ticks_on_epfd < FOLLOW_WAITS) {
		return true;
	}
	if (l->other_fd != fd) {
		l->other_fd = fd;
		l->other_waits = 0;
	}
	return ++l->other_waits > FOLLOW_WAITS && now - l->start > (lower ? FOLLOW_LOWER : FOLLOW_HIGHER);
}

/* A wait on another descriptor than the loop's own epfd, inside a tick. */
static __noinline int nested_wait(struct loop *l, u8 kind, s32 nr, s32 fd, u64 now)
{
	if (!l)
		return 0;
	if (has_moved(l, kind, fd, now)) {
		finish_tick(l, now);
		follow(l, kind, fd, now);
		l->wait_nr = nr;
		return 0;
	}
	l->nested = 1;
	l->dirty = 1;
	l->nested_waits++;
	return 0;
}

static __always_inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* Splits the time that the loop was off the CPU within a tick. */
static __always_inline void split_off(struct loop *l, u64 off, u64 queued, u64 throttled, bool io)
{
	struct parts *p = &l->parts;
	s32 nr = l->off_nr;
	u64 blocked;

	l->dirty = 1;
	if (l->off == OFF_RUNNABLE || queued > off)
		queued = off;
	throttled = min_u64(throttled, queued);
	p->throttled += throttled;
	p->runq += queued - throttled;
	blocked = off - queued;
	if (!blocked)
		return;
	if (l->off == OFF_STOPPED)
		nr = CALL_STOPPED;
	else if (nr < 0)
		nr = CALL_FAULT;
	if (nr == CALL_FAULT)
		p->fault += blocked;
	else
		p->blocked += blocked;
	if (io)
		p->io += blocked;
	charge_tick(l, nr, blocked);
}

/* The loop got the CPU at now. */
static __always_inline void end_off(struct loop *l, u64 now, u64 queued, u64 throttled, bool io)
{
	if (l->in_wait) {
		l->wait += now - l->start;
		start_tick(l, now);
		l->wake = queued;
		l->wake_throttled = min_u64(throttled, queued);
	} else {
		split_off(l, now - l->off_at, queued, throttled, io);
	}
	l->off = ON_CPU;
}

/*
 * Ends the time off the CPU of a loop that runs although it was not seen to get
 * the CPU: sched_switch does not fire when some tasks leave it (seen on 6.18 in a
 * Firecracker guest: the threads of process 1). Otherwise its sleep would count
 * as running. The kernel keeps the time of arrival, in the time of rq->clock;
 * ahead is by how much CLOCK_MONOTONIC is ahead of that. Returns false if the
 * arrival is not known.
 */
static __noinline bool missed_in(struct loop *l, u64 arrival, u64 ahead, u64 run_delay, u64 now)
{
	u64 at = arrival + ahead, throttle;

	if (!l || !ahead || at < l->off_at || at > now)
		return false;
	throttle = left_throttle_clock(l->cfs_rq);
	throttle -= min_u64(throttle, l->throttle);
	end_off(l, at, run_delay - l->run_delay, throttle, false);
	return true;
}

/* The same for the current task, in a system call. */
static __always_inline bool missed_in_current(struct loop *l, u64 now)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	return missed_in(l, BPF_CORE_READ(t, sched_info.last_arrival), clock_ahead,
			 BPF_CORE_READ(t, sched_info.run_delay), now);
}

/* When the current tick began is not known. */
static __always_inline void discard_tick(struct loop *l, u64 now)
{
	l->off = ON_CPU;
	l->discarded++;
	start_tick(l, now);
}

/* The loop's thread enters a wait: one tick ends and the next one starts. */
static __always_inline void enter_wait(struct loop *l, u8 kind, s32 nr, s32 fd)
{
	u64 now = bpf_ktime_get_ns();

	step_seq(l);
	if (l->kind == WAIT_NONE) {
		adopt(l, kind, nr, fd, now);
	} else if (l->off && !missed_in_current(l, now)) {
		l->wait_nr = nr;
		discard_tick(l, now);
	} else if (kind == l->kind && fd == l->epfd) {
		l->wait_nr = nr;
		finish_tick(l, now);
		start_tick(l, now);
	} else {
		nested_wait(l, kind, nr, fd, now);
	}
	step_seq(l);
}

/* Called at every entry of a wait, by the waiting thread. */
static __always_inline int on_wait(u8 kind, s32 nr, s32 fd)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct loop *l = NULL;

	if (is_watched(tid))
		l = find_loop(tid);
	if (!l)
		add_loop((void *)bpf_get_current_task(), kind, nr, fd, bpf_ktime_get_ns());
	else if (!l->shared)
		enter_wait(l, kind, nr, fd);
	return 0;
}

/* A poll or select on one descriptor: part of a tick, not the wait of a loop. */
static __always_inline int on_single_wait(u8 kind)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct loop *l;

	if (!is_watched(tid))
		return 0;
	l = find_loop(tid);
	if (!l || l->kind != kind)
		return 0;
	step_seq(l);
	l->nested = 1;
	l->dirty = 1;
	l->nested_waits++;
	step_seq(l);
	return 0;
}

static __always_inline u8 off_state(struct task_struct *t, bool preempted)
{
	u32 state = preempted ? 0 : task_state(t);

	if (!state)
		return OFF_RUNNABLE;
	if (is_held(t, state))
		return OFF_STOPPED;
	/* TASK_WAKING has neither bit: it slept until now. */
	return state & TASK_UNINTERRUPTIBLE ? OFF_UNINTERRUPTIBLE : OFF_SLEEPING;
}

static __always_inline bool is_in_wait(struct loop *l, s32 nr)
{
	if (l->nested)
		return false;
	/* After SIGCONT, poll continues as restart_syscall. */
	return nr == l->wait_nr || (nr == NR_restart_syscall && l->kind == WAIT_POLL);
}

/* The loop t leaves a CPU that it was not seen to get. */
static __always_inline void missed_in_before_out(struct loop *l, struct task_struct *t, u64 clock)
{
	u64 now = bpf_ktime_get_ns();

	if (!missed_in(l, t->sched_info.last_arrival, now - clock, t->sched_info.run_delay, now))
		discard_tick(l, now);
}

/* The loop t leaves the CPU. */
static __always_inline void loop_out(struct task_struct *t, bool preempted, u64 clock)
{
	struct cfs_rq *cfs_rq = t->se.cfs_rq;
	struct loop *l = find_loop(t->pid);

	if (!l || l->shared)
		return;
	step_seq(l);
	if (l->off)
		missed_in_before_out(l, t, clock);
	l->run_delay = t->sched_info.run_delay;
	l->cfs_rq = (u64)cfs_rq;
	l->throttle = throttle_clock(cfs_rq, clock);
	l->off_nr = task_syscall(t);
	l->off = off_state(t, preempted);
	l->in_wait = l->off != OFF_RUNNABLE && is_in_wait(l, l->off_nr);
	/* A wait has been running since start: no need to read the clock. */
	l->off_at = l->in_wait ? l->start : bpf_ktime_get_ns();
	if (l->off > OFF_RUNNABLE && !l->in_wait)
		note_target(l, t);
	step_seq(l);
}

/* How long the loop was throttled since it left the CPU. */
static __always_inline u64 throttled_for(struct loop *l, struct task_struct *t, u64 clock)
{
	struct cfs_rq *cfs_rq = t->se.cfs_rq;
	u64 then = l->throttle, now;

	if ((u64)cfs_rq == l->cfs_rq)
		now = throttle_clock(cfs_rq, clock);
	else
		/* Migrated: its group's run queue on the other CPU still advances. */
		now = left_throttle_clock(l->cfs_rq);
	return now > then ? now - then : 0;
}

/* The loop t gets the CPU. */
static __always_inline void loop_in(struct task_struct *t, u64 clock)
{
	struct loop *l = find_loop(t->pid);
	u64 now, queued;
	bool io;

	if (!l || l->shared)
		return;
	now = bpf_ktime_get_ns();
	step_seq(l);
	if (l->off) {
		queued = queued_for(t, clock) + t->sched_info.run_delay - l->run_delay;
		io = l->off > OFF_RUNNABLE && !l->in_wait && BPF_CORE_READ_BITFIELD_PROBED(t, in_iowait);
		end_off(l, now, queued, throttled_for(l, t, clock), io);
	} else {
		/* When it left the CPU was not seen. */
		discard_tick(l, now);
	}
	step_seq(l);
}

/* The thread tid has exited. The counters of its loop stay until they are read. */
static __always_inline void loop_exit(u32 tid)
{
	struct loop *l = find_loop(tid);

	if (!l)
		return;
	leave_set(tid);
	step_seq(l);
	disown_epfd(l);
	l->ended = 1;
	step_seq(l);
}

/* The thread tid has called exec; the new program has not waited yet. */
static __always_inline void loop_exec(u32 tid)
{
	struct loop *l = find_loop(tid);
	u64 start_boottime;

	if (!l)
		return;
	step_seq(l);
	disown_epfd(l);
	l->kind = WAIT_NONE;
	l->epfd = -1;
	l->shared = 0;
	l->nested = 1; /* no system call is its wait */
	l->off = ON_CPU;
	l->in_wait = 0;
	l->dirty = 0;
	start_boottime = l->start_boottime;
	bpf_probe_read_kernel(&l->start, sizeof(*l) - __builtin_offsetof(struct loop, start), &new_loop);
	l->start_boottime = start_boottime;
	step_seq(l);
}

/*
 * Adds a thread that already sleeps in a wait, so that its first tick counts.
 * Selects are left out: their descriptors are in the memory of the process,
 * which cannot be read here.
 */
static __always_inline void scan_task(struct task_struct *t)
{
	s32 nr = task_syscall(t);
	u8 kind = wait_kind(nr);
	u64 args[3];
	struct loop *l;

	if (kind == WAIT_NONE || kind == WAIT_SELECT || in_compat_syscall(t) || !(task_state(t) & TASK_INTERRUPTIBLE))
		return;
	task_syscall_args(t, args);
	if (kind == WAIT_POLL && args[1] < 2)
		return;
	l = add_loop(t, kind, nr, kind == WAIT_EPOLL ? (s32)args[0] : -1, bpf_ktime_get_ns());
	if (!l)
		return;
	step_seq(l);
	l->off_at = l->start;
	l->run_delay = t->sched_info.run_delay;
	l->off_nr = nr;
	l->in_wait = 1;
	l->off = OFF_SLEEPING;
	step_seq(l);
}

#endif
