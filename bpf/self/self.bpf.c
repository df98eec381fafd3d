//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What eBPF calls the process that asks, and whether an iterator shows the
 * whole host: the parent of kernel threads is in no other pid namespace than
 * the initial one. In a namespace of pids or times the answers of eBPF are
 * those of the host, and the ones of /proc are not.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "types.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* rest_init() in init/main.c: init is 1, and this is forked next. */
#define KTHREADD 2

struct answer says = {};

SEC("iter/task")
int ask(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;

	if (!t)
		return 0;
	says.tasks++;
	if (t->pid == KTHREADD)
		says.whole = 1;
	if ((u32)t->pid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	says.pid = t->pid;
	says.start_boottime = t->start_boottime;
	says.monotonic = bpf_ktime_get_ns();
	says.boottime = bpf_ktime_get_boot_ns();
	return 0;
}
