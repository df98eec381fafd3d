/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What a task is doing: its state and the system call that it is in. */
#ifndef HEADROOM_TASK_H
#define HEADROOM_TASK_H

#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* include/linux/sched.h; these bits have been stable since 4.14. */
#define TASK_INTERRUPTIBLE 0x1
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_STOPPED_OR_TRACED 0xc
/* Frozen by cgroup v1 or by suspend: f5d39b020809 (6.1). */
#define TASK_FROZEN 0x8000
#define PF_KTHREAD 0x00200000

/* include/linux/sched/jobctl.h: frozen by cgroup v2, 76f969e8948d (5.2). */
#define JOBCTL_TRAP_FREEZE (1UL << 23)

/* 2f064a59a11f (5.14) renamed task_struct::state to __state and made it 32 bits. */
struct task_struct___state {
	unsigned int __state;
} __attribute__((preserve_access_index));

struct task_struct___old_state {
	volatile long state;
} __attribute__((preserve_access_index));

static __always_inline u32 task_state(struct task_struct *t)
{
	struct task_struct___state *new = (void *)t;
	struct task_struct___old_state *old = (void *)t;

	if (bpf_core_field_exists(new->__state))
		return new->__state;
	return old->state;
}

/*
 * Whether t, which sleeps in state, was stopped from outside: by a signal, a
 * tracer or a freezer (docker pause). The state alone does not show the freezer
 * of cgroup v2.
 */
static __always_inline bool is_held(struct task_struct *t, u32 state)
{
	return state & (TASK_STOPPED_OR_TRACED | TASK_FROZEN) || t->jobctl & JOBCTL_TRAP_FREEZE;
}

/* bcf9033e5449 (5.16) moved the CPU from task_struct to thread_info. */
struct task_struct___cpu {
	unsigned int cpu;
} __attribute__((preserve_access_index));

static __always_inline u32 task_cpu(struct task_struct *t)
{
	struct task_struct___cpu *old = (void *)t;

	if (bpf_core_field_exists(old->cpu))
		return old->cpu;
	return t->thread_info.cpu;
}

/*
 * 32-bit system calls have other numbers; during one, COMPAT_BIT is set in
 * COMPAT_FIELD of task_struct. CALL_NR is the register with the number of the
 * call, CALL_ARG0 to CALL_ARG2 are those with its arguments, STACK_POINTER and
 * FRAME_POINTER those of the stack, ISOLATE_REGISTER is V8's kRootRegister.
 */
#if defined(__TARGET_ARCH_x86)
/* TS_COMPAT of arch/x86/include/asm/thread_info.h. */
#define COMPAT_FIELD thread_info.status
#define COMPAT_BIT 0x2
#define CALL_NR orig_ax
#define CALL_ARG0 di
#define CALL_ARG1 si
#define CALL_ARG2 dx
#define STACK_POINTER sp
#define FRAME_POINTER bp
#define ISOLATE_REGISTER r13
#elif defined(__TARGET_ARCH_arm64)
/* TIF_32BIT of arch/arm64/include/asm/thread_info.h. */
#define COMPAT_FIELD thread_info.flags
#define COMPAT_BIT (1UL << 22)
#define CALL_NR syscallno
#define CALL_ARG0 orig_x0
#define CALL_ARG1 regs[1]
#define CALL_ARG2 regs[2]
#define STACK_POINTER sp
#define FRAME_POINTER regs[29]
#define ISOLATE_REGISTER regs[26]
#endif

static __always_inline bool in_compat_syscall(struct task_struct *t)
{
	return t->COMPAT_FIELD & COMPAT_BIT;
}

/*
 * Before bpf_task_pt_regs (dd6e10fbd9fb, 5.15): the registers lie at the top of
 * the kernel stack, 16 KiB on x86-64 (THREAD_SIZE_ORDER 2, no KASAN) and on arm64
 * with pages of 4 KiB, without padding, which came with FRED (6.9).
 */
#define OLD_THREAD_SIZE 16384

static __always_inline void *old_task_regs(struct task_struct *t)
{
	return t->stack + OLD_THREAD_SIZE - bpf_core_type_size(struct pt_regs);
}

/*
 * The number of the system call that t is in. Negative: t is in none, it entered
 * the kernel by a fault or an interrupt.
 */
static __always_inline s32 task_syscall(struct task_struct *t)
{
	typeof(((struct pt_regs *)0)->CALL_NR) nr = -1;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return ((struct pt_regs *)bpf_task_pt_regs(t))->CALL_NR;
	BPF_CORE_READ_INTO(&nr, (struct pt_regs *)old_task_regs(t), CALL_NR);
	return nr;
}

/* The first three arguments of the system call that t is in. */
static __always_inline void task_syscall_args(struct task_struct *t, u64 args[3])
{
	struct pt_regs *regs;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		regs = (struct pt_regs *)bpf_task_pt_regs(t);
	else
		regs = old_task_regs(t);
	args[0] = BPF_CORE_READ(regs, CALL_ARG0);
	args[1] = BPF_CORE_READ(regs, CALL_ARG1);
	args[2] = BPF_CORE_READ(regs, CALL_ARG2);
}

#endif
