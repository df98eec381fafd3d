//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The pid that eBPF sees for the reading process, and whether an iterator shows
 * the whole host: kthreadd exists only in the initial pid namespace. In a pid or
 * time namespace eBPF sees pids and times of the host, and /proc does not.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "types.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The pid of kthreadd: rest_init() in init/main.c forks it right after init. */
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
