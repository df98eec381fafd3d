/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What the programs keep and Go reads. Times are ns: of CLOCK_MONOTONIC where a
 * field is a moment. No implicit padding, so that Go reads batches in place.
 */
#ifndef HEADROOM_TICK_TYPES_H
#define HEADROOM_TICK_TYPES_H

#include "../lib/hist.bpf.h"

/* System calls told apart within one tick, and within the bad ticks of a loop. */
#define TICK_CALLS 4
#define LOOP_CALLS 8

/* Pseudo numbers beside those of the kernel. */
enum call_nr {
	CALL_FAULT = -1,   /* a page fault */
	CALL_STOPPED = -2, /* a signal, a tracer or a freezer holds it */
	CALL_OTHER = -3,   /* found no room */
};

enum off_state {
	ON_CPU,
	OFF_RUNNABLE,
	OFF_SLEEPING,
	OFF_UNINTERRUPTIBLE,
	OFF_STOPPED,
};

/* Where the time off the CPU went; the rest of a tick is CPU. */
struct parts {
	u64 runq;
	u64 throttled;
	u64 blocked; /* in a system call */
	u64 fault;   /* blocked in a page fault */
	u64 io;	     /* the share of blocked + fault that was disk I/O */
};

struct call {
	s32 nr;
	u32 times;
	u64 ns;
};

struct bad {
	u64 count;
	u64 busy;
	u64 longest;
	struct parts parts;
	struct call calls[LOOP_CALLS];
};

/*
 * One event loop: a thread that waits. Written by the thread itself and by the
 * switches that take it off and on a CPU, never by two CPUs at once. seq is odd
 * during a write. What every tick touches fills the first two cache lines.
 *
 * The current tick, or the wait that the thread is in if in_wait, began at start.
 */
struct loop {
	u32 seq;
	u32 tid;
	s32 epfd;
	s32 wait_nr; /* the wait last entered on epfd */
	u8 kind;     /* enum wait_kind */
	u8 shared;
	u8 ended;
	u8 nested; /* has entered a wait on something else since */
	u8 off;	   /* enum off_state */
	u8 in_wait;
	u8 dirty; /* this tick has written parts, calls or nested_waits */
	u8 pad;
	s32 off_nr; /* the call in which it left the CPU */
	u32 tgid;
	u64 start;
	u64 off_at;
	u64 run_delay; /* sched_info.run_delay when it left the CPU */
	u64 throttle;  /* throttle_clock(cfs_rq) then */

	u64 cfs_rq;
	u64 wake;	    /* run-queue delay at the end of the wait before this tick */
	u64 wake_throttled; /* the share of wake that was throttled */
	u64 ticks;
	u64 busy;
	u64 wait;
	u64 sum_wake;
	u64 q_squared; /* of q = wake + busy, in units of 2^20 ns^2 */

	u64 start_boottime;
	u64 sum_wake_throttled;
	struct parts sum;   /* of the ticks that ended */
	struct parts parts; /* of this tick, as the next two */
	u32 nested_waits;   /* waits on something else than epfd */
	s32 other_fd;	    /* the last of them; -1: poll or select */
	struct call calls[TICK_CALLS];
	u32 other_waits;
	u32 ticks_on_epfd;
	u64 stall_window;
	u64 stalls_in_window;
	u64 stalls_suppressed;
	u64 discarded; /* ticks whose beginning was not seen */
	struct bad bad;
	struct hist lag; /* of q; bucket 0 is left to the reader */
	u64 to_full_lines[2];
};

_Static_assert(sizeof(struct loop) % 64 == 0, "an entry begins a cache line");

struct stall {
	u64 start;
	u64 busy;
	u64 wake;
	u64 start_boottime;
	struct parts parts;
	u32 tgid;
	u32 tid;
	s32 epfd;
	u32 nested_waits;
	struct call longest;
};

struct epfd {
	u32 tgid;
	s32 fd;
};

/* The delays of 2^-10 s and more of the threads of one process. */
struct runqueue {
	u64 start_boottime; /* of the process */
	u64 ended;
	u64 throttled; /* left out of delays: the time was a CPU limit's */
	struct hist delays;
};

struct pair {
	u32 victim;
	u32 culprit;
};

/* One pass over the tasks of the host. */
struct thread {
	u64 start_boottime;
	u64 cpu;
	u64 utime;
	u64 stime;
	u64 run_delay;
	u64 pcount;
	u64 nvcsw;
	u64 nivcsw;
	u64 exited_cpu; /* of threads of the process that have exited; leader only */
	/* The leader's hold those of threads that have exited, too. */
	u64 major_faults;
	u64 disk_read; /* bytes */
	u64 disk_written;
	/* Pages of the process; leader only, 0 once it has given up its memory. */
	s64 file_pages;
	s64 anon_pages;
	s64 swap_pages;
	s64 shmem_pages;
	u64 peak_pages; /* the most that it had when it last gave some back */
	u32 tgid;
	u32 tid;
	u32 state;
	u32 exit_state;
	u32 flags;
	u32 last_cpu;
	u32 disk_wait; /* sleeps until a disk answers */
	u32 pad;
	char comm[16];
};

/* What was lost for want of room. */
struct losses {
	u64 loops;
	u64 stalls;
	u64 runqueues;
	u64 blame;
};

#endif
