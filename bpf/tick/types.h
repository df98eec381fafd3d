/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What the programs keep and Go reads. Times are ns: of CLOCK_MONOTONIC where a
 * field is a moment. No implicit padding, so that Go reads batches in place.
 */
#ifndef HEADROOM_TICK_TYPES_H
#define HEADROOM_TICK_TYPES_H

#include "../lib/hist.bpf.h"
#include "../lib/target.bpf.h"

/* Distinct system calls and targets counted within one tick, and within all ticks of a loop. */
#define TICK_CALLS 4
#define LOOP_CALLS 8

/* Classes of system calls whose sleeps are captured independently: futex, and others by number. */
#define CAPTURE_CLASSES 4

/* Pseudo numbers in addition to the kernel's. */
enum call_nr {
	CALL_FAULT = -1,   /* a page fault */
	CALL_STOPPED = -2, /* stopped by a signal, a tracer or a freezer */
	CALL_OTHER = -3,   /* calls beyond TICK_CALLS or LOOP_CALLS */
};

enum off_state {
	ON_CPU,
	OFF_RUNNABLE,
	OFF_SLEEPING,
	OFF_UNINTERRUPTIBLE,
	OFF_STOPPED,
};

/* The time off the CPU by reason; the rest of a tick is CPU time. */
struct parts {
	u64 runq;
	u64 throttled;
	u64 blocked; /* in a system call */
	u64 fault;   /* blocked in a page fault */
	u64 io;	     /* the part of blocked + fault that was disk I/O */
};

/* Sleeps in one system call on one target, which is the last of those counted together. */
struct call {
	s32 nr;
	u32 times;
	u64 ns;
	struct target target;
};

struct loop_call {
	struct call all;
	u64 in_long; /* ns in long ticks */
};

struct long_ticks {
	u64 count;
	u64 busy;
	u64 longest;
	struct parts parts;
};

/*
 * How often the clock finds a thread running. A thread that it finds often enough in one
 * window of time is busy in the next.
 */
struct pulse {
	u16 window; /* in units of 2^BUSY_SHIFT ns */
	u16 hits;
	u16 before; /* hits in the window before */
	u16 turn;   /* hits since the last sample */
};

/*
 * One event loop: a thread that waits. Written by the thread itself and by the
 * switches that take it off and on a CPU, never by two CPUs at once. seq is odd
 * during a write. The first two cache lines hold the fields that every tick
 * writes.
 *
 * start is when the current tick began or, if in_wait, the current wait.
 */
struct loop {
	u32 seq;
	u32 tid;
	s32 epfd;
	s32 wait_nr; /* the wait last entered on epfd */
	u8 kind;     /* enum wait_kind */
	u8 shared;
	u8 ended;
	u8 nested; /* has entered a wait on another descriptor since */
	u8 off;	   /* enum off_state */
	u8 in_wait;
	u8 dirty;    /* this tick has written parts, calls or nested_waits */
	u8 captured; /* the functions that it blocks in were read */
	s32 off_nr;  /* the call in which it left the CPU */
	u32 tgid;
	u64 start;
	u64 off_at;
	u64 run_delay; /* sched_info.run_delay when it left the CPU */
	u64 throttle;  /* throttle_clock(cfs_rq) then */

	u64 cfs_rq;
	u64 wake;	    /* run-queue delay at the end of the wait before this tick */
	u64 wake_throttled; /* the part of wake that was throttled */
	u64 ticks;
	u64 busy;
	u64 wait;
	u64 sum_wake;
	u64 q_squared; /* of q = wake + busy, in units of 2^20 ns^2 */

	u64 start_boottime;
	u64 sum_wake_throttled;
	struct parts sum;   /* of all finished ticks */
	struct parts parts; /* of this tick, as are the next two */
	u32 nested_waits;   /* waits on other descriptors than epfd */
	s32 other_fd;	    /* the last of them; -1: poll or select */
	struct call calls[TICK_CALLS];
	u32 other_waits;
	u32 ticks_on_epfd;
	u64 stall_window;
	u64 stalls_in_window;
	u64 stalls_suppressed;
	u64 discarded; /* ticks whose start was not seen */
	struct long_ticks long_ticks;
	struct loop_call blocked_by[LOOP_CALLS]; /* of all finished ticks */
	struct target off_target;		 /* what it sleeps on, with off_nr */
	u64 mapped;				 /* inode of the mapped file that a page fault reads */
	u64 mapped_at;				 /* page faults of the thread before that one */
	struct hist lag;			 /* of q; the reader fills in bucket 0 */
	u32 next_capture[CAPTURE_CLASSES];	 /* in units of 2^20 ns, by class of system call */
	u64 vm;					 /* the runtime's, of this thread: V8's isolate, PyThreadState */
	struct pulse pulse;
};

_Static_assert(sizeof(struct loop) % 64 == 0, "each entry starts a cache line");

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
	u64 throttled; /* not in delays: waited because of a CPU limit */
	struct hist delays;
};

struct pair {
	u32 victim;
	u32 culprit;
};

/* One thread, in a pass over all tasks of the host. */
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
	/* The leader's include those of threads that have exited. */
	u64 major_faults;
	u64 disk_read; /* bytes */
	u64 disk_written;
	/* Pages of the process; leader only, 0 after it released its memory. */
	s64 file_pages;
	s64 anon_pages;
	s64 swap_pages;
	s64 shmem_pages;
	u64 peak_pages; /* the maximum, recorded when pages were last released */
	u32 tgid;
	u32 tid;
	u32 state;
	u32 exit_state;
	u32 flags;
	u32 last_cpu;
	u32 disk_wait; /* sleeping in disk I/O */
	u32 pad;
	char comm[16];
};

/* Longest name of a function and of a file, in bytes. */
#define CODE_NAME 64
#define CODE_FILE 180
/* Functions of one stack, from the innermost. */
#define STACK_FRAMES 16
/* V8's types of frames have lower numbers. */
#define MAX_FRAME_TYPE 64

/* Where V8 keeps what is read of a function; the offsets are in bytes. */
struct v8_layout {
	u16 first_function; /* instance types: of functions, and of what they lead to */
	u16 last_function;
	u16 shared;
	u16 scope_info;
	u16 script;
	u16 function_shared; /* JSFunction::shared */
	u16 shared_scope;    /* SharedFunctionInfo::name_or_scope_info */
	u16 shared_script;
	u16 first_vars;	    /* words in ScopeInfo before the names of locals */
	u8 positions_first; /* the positions are the last of these words */
	u8 flags_shift;
	u8 function_scope; /* the type of a function's scope */
	u8 entry_frame;
	u8 construct_entry_frame;
	u8 pad;
	/* Fields of the isolate, from the address in its register. */
	u16 exit_frame;	    /* c_entry_fp */
	u16 fast_caller;    /* fast_c_call_caller_fp */
	u16 entry_frame_at; /* js_entry_sp */
	u16 self;	    /* the isolate itself */
	u16 vm_state;	    /* ThreadLocalTop::current_vm_state_ */
};

/* Where a CPython keeps what is read of a function; the offsets are in bytes. */
struct py_layout {
	/* Addresses: of the pointer to the main interpreter, and of the types of objects. */
	u64 interpreter;
	u64 code_type;
	u64 text_type;
	u16 threads;	 /* PyInterpreterState: the first thread */
	u16 thread_next; /* PyThreadState */
	u16 thread_interpreter;
	u16 thread_id;
	u16 thread_frame; /* the current frame, or the C frame that has it */
	u16 c_frame;	  /* 1 + the offset of the current frame in the C frame; 0: there is none */
	u16 stack_top;	  /* where the thread's frames end, and its memory for them; 0: not checked */
	u16 stack_limit;
	u16 frame_code; /* _PyInterpreterFrame */
	u16 frame_previous;
	u16 frame_owner;
	u16 code_file; /* PyCodeObject */
	u16 code_name;
	u16 code_qualname;
	u16 code_line;
	u8 ascii_text; /* the characters of a str */
	u8 other_text;
	u8 c_owner; /* the owner of a frame that is no function's */
	u8 pad[7];
};

enum code_flags {
	CODE_NAMED = 1,
	CODE_INFERRED = 2, /* the name is V8's guess for a function without one */
	CODE_POSITION = 4,
	CODE_SCRIPT = 8, /* it belongs to a script, which may have no name */
	CODE_NAME_WIDE = 16,
	CODE_FILE_WIDE = 32,
	CODE_LINE = 64, /* start is a line */
};

/* A function. start and end are in UTF-16 units of its file, unless flags has CODE_LINE. */
struct code_frame {
	u32 start;
	u32 end;
	u8 flags;
	u8 name_length; /* bytes */
	u8 file_length;
	u8 pad;
	char name[CODE_NAME];
	char file[CODE_FILE];
};

enum stack_kind {
	STACK_ON_CPU,	 /* in a long tick */
	STACK_BLOCKED,	 /* the loop is about to sleep */
	STACK_UNBLOCKED, /* the end of that sleep, without functions */
	STACK_BUSY,	 /* the thread is busy, and in no long tick */
};

/* Whether the collector of the runtime runs. */
enum collector {
	COLLECTOR_UNKNOWN,
	COLLECTOR_RESTS,
	COLLECTOR_RUNS,
};

enum stack_result {
	STACK_UNREADABLE,
	STACK_OUTSIDE, /* it is in no function of its runtime */
	STACK_READ,
};

struct stack_head {
	u64 at;
	u64 tick; /* when it began */
	u64 ns;	  /* of the sleep */
	u64 start_boottime;
	u32 tgid;
	u32 tid;
	u8 kind;
	u8 result;
	u8 collector;
	u8 pad;
	u16 count;	/* of functions */
	u16 stands_for; /* hits of the clock on a busy thread; 0: not a sample of those */
};

struct stack_sample {
	struct stack_head head;
	struct code_frame frames[STACK_FRAMES];
};

/* Events dropped because a map or a ring buffer was full. */
struct losses {
	u64 loops;
	u64 stalls;
	u64 runqueues;
	u64 blame;
};

#endif
