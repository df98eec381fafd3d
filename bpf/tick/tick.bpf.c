//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Ticks of event loops and run-queue latency, from one sched_switch program.
 *
 * loop.bpf.h describes when a tick starts and stops, runqueue.bpf.h what is
 * recorded of the run queue. This file has the hooks. A switch that involves no
 * loop and no long delay takes a fast path: it reads two task_structs and two
 * bytes.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "../lib/mm.bpf.h"
#include "loop.bpf.h"
#include "runqueue.bpf.h"
#include "frames.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	u64 clock = next->se.cfs_rq->rq->clock;
	u64 ns;

	if (prev->pid) {
		ns = (clock >> SAMPLE_SHIFT) - (prev->sched_info.last_arrival >> SAMPLE_SHIFT);
		if (ns)
			record_slice(prev, ns << SAMPLE_SHIFT, clock);
		if (is_watched(prev->pid))
			loop_out(prev, preempted, clock);
	}
	if (next->pid) {
		ns = queued_for(next, clock);
		if (ns >= HIST_FIRST)
			record_delay(next, ns, clock);
		if (is_watched(next->pid))
			loop_in(next, clock);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	if (is_watched(task->pid))
		loop_exit(task->pid);
	runqueue_exit(task);
	return 0;
}

/* A thread other than the leader becomes the leader, and takes over its tid. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, s32 old_pid)
{
	if (!is_watched(old_pid))
		return 0;
	if (old_pid == task->pid)
		loop_exec(old_pid);
	else
		loop_exit(old_pid);
	return 0;
}

/*
 * The current thread is about to read a page of a mapped file, in a page fault. The
 * tracepoint is not essential: without it, the file is not known.
 */
SEC("tp_btf/mm_filemap_fault")
int BPF_PROG(on_mapped_read, struct address_space *mapping)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	u32 tid = bpf_get_current_pid_tgid();
	struct loop *l;

	if (!is_watched(tid))
		return 0;
	l = find_loop(tid);
	if (!l)
		return 0;
	l->mapped = (u64)mapping->host;
	l->mapped_at = BPF_CORE_READ(t, min_flt) + BPF_CORE_READ(t, maj_flt);
	return 0;
}

static __always_inline int enter(s32 nr, u64 a0, u64 a1, u64 a2)
{
	u8 kind = wait_kind(nr);

	if (kind == WAIT_EPOLL)
		return on_wait(kind, nr, a0);
	if (kind == WAIT_POLL ? (u32)a1 > 1 : select_is_loop(a0, a1, a2))
		return on_wait(kind, nr, -1);
	return on_single_wait(kind);
}

/* Attached to syscalls:sys_enter_* of all waits. These skip 32-bit callers. */
SEC("tracepoint")
int on_wait_tracepoint(struct syscall_trace_enter *ctx)
{
	return enter(ctx->nr, ctx->args[0], ctx->args[1], ctx->args[2]);
}

/*
 * Attached instead where perf_event_open is refused. It runs at every system
 * call of the host, so it first returns for calls that are no wait.
 */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *t;

	if (wait_kind(nr) == WAIT_NONE)
		return 0;
	t = (void *)bpf_get_current_task();
	if (BPF_CORE_READ(t, COMPAT_FIELD) & COMPAT_BIT)
		return 0;
	return enter(nr, regs->CALL_ARG0, regs->CALL_ARG1, regs->CALL_ARG2);
}

/* One pass at the start, to find threads that already sleep in a wait. */
SEC("iter/task")
int scan(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;

	if (t)
		scan_task(t);
	return 0;
}

/* Runs on each CPU, many times a second. */
SEC("perf_event")
int on_clock(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	u32 tid = id;
	struct loop *l = is_watched(tid) ? find_loop(tid) : NULL;

	if (l)
		sample_loop(l, now);
	else if (tid)
		sample_thread(id >> 32, tid, now);
	return 0;
}

/* Attached after on_switch, which has noted why the loop left the CPU. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_block, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	struct loop *l;

	if (is_watched(prev->pid)) {
		l = find_loop(prev->pid);
		if (l)
			block_loop(l);
	}
	if (is_watched(next->pid)) {
		l = find_loop(next->pid);
		if (l)
			unblock_loop(l);
	}
	return 0;
}

static __always_inline void thread_io(struct thread *r, struct task_struct *t)
{
	r->major_faults = t->maj_flt;
	if (bpf_core_field_exists(t->ioac.read_bytes)) {
		r->disk_read = t->ioac.read_bytes;
		r->disk_written = t->ioac.write_bytes;
	}
	/* in_iowait is only valid during a sleep; idle kthreads are not in state D. */
	if (r->state & TASK_UNINTERRUPTIBLE)
		r->disk_wait = BPF_CORE_READ_BITFIELD_PROBED(t, in_iowait);
}

/* Counters that the kernel keeps per process, not per thread. */
static __always_inline void process_totals(struct thread *r, struct task_struct *t)
{
	s64 pages[NR_MM_COUNTERS] = {};

	r->exited_cpu = t->signal->sum_sched_runtime;
	r->major_faults += t->signal->maj_flt;
	if (bpf_core_field_exists(t->ioac.read_bytes)) {
		r->disk_read += t->signal->ioac.read_bytes;
		r->disk_written += t->signal->ioac.write_bytes;
	}
	/* A kernel thread can borrow the mm of a process. */
	if (!t->mm || t->flags & PF_KTHREAD)
		return;
	mm_pages(t->mm, pages);
	r->file_pages = pages[MM_FILEPAGES];
	r->anon_pages = pages[MM_ANONPAGES];
	r->swap_pages = pages[MM_SWAPENTS];
	r->shmem_pages = pages[MM_SHMEMPAGES];
	r->peak_pages = t->mm->hiwater_rss;
}

/* One record per thread of the host. */
SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct thread r = {};

	if (!t)
		return 0;
	r.tgid = t->tgid;
	r.tid = t->pid;
	r.start_boottime = t->start_boottime;
	r.cpu = t->se.sum_exec_runtime;
	r.utime = t->utime;
	r.stime = t->stime;
	r.run_delay = t->sched_info.run_delay;
	r.pcount = t->sched_info.pcount;
	r.nvcsw = t->nvcsw;
	r.nivcsw = t->nivcsw;
	r.state = task_state(t);
	r.exit_state = t->exit_state;
	r.flags = t->flags;
	r.last_cpu = task_cpu(t);
	thread_io(&r, t);
	if (r.tid == r.tgid)
		process_totals(&r, t);
	BPF_CORE_READ_STR_INTO(&r.comm, t, comm);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

/* References the types, so that bpf2go generates them. */
const struct stall *unused_stall __attribute__((unused));
const struct thread *unused_thread __attribute__((unused));
const enum off_state *unused_off_state __attribute__((unused));
const enum wait_kind *unused_wait_kind __attribute__((unused));
const enum call_nr *unused_call_nr __attribute__((unused));
const struct parts *unused_parts __attribute__((unused));
const struct call *unused_call __attribute__((unused));
const struct target *unused_target __attribute__((unused));
const enum target_kind *unused_target_kind __attribute__((unused));
const struct v8_layout *unused_layout __attribute__((unused));
const struct py_layout *unused_py_layout __attribute__((unused));
const struct stack_sample *unused_stack __attribute__((unused));
const enum collector *unused_collector __attribute__((unused));
const enum code_flags *unused_code_flags __attribute__((unused));
const enum stack_kind *unused_stack_kind __attribute__((unused));
const enum stack_result *unused_stack_result __attribute__((unused));
const struct hist *unused_hist __attribute__((unused));
