//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Processes that the OOM killer kills.
 *
 * __oom_kill_process() in mm/oom_kill.c sends SIGKILL and then marks the victim
 * (oom:mark_victim). At the signal, every kernel passes the task, which still has
 * its memory: on_signal saves what must be read then. The mark shows that the
 * kill was for memory: on_mark reports it. A task that was already dying is
 * marked without a signal; the OOM killer did not kill it. Neither hook is on a
 * hot path.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "../lib/mm.bpf.h"
#include "types.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SIGKILL 9
#define SEND_SIG_PRIV ((struct kernel_siginfo *)1) /* the kernel itself sends */

/* Read at the signal: milliseconds later the memory is released. */
struct dying {
	u64 task; /* its struct task_struct */
	u64 anon;
	struct level levels[LEVELS];
};

/* Kills by the kernel that are not for memory stay here until they are evicted. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct dying);
} signalled SEC(".maps");

/* Room for a hundred victims between two reads, one second apart. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} victims SEC(".maps");

struct losses lost;

/* Clang drops types that only a ring buffer uses; bpf2go needs them. */
const struct victim *unused __attribute__((unused));

static __always_inline u64 anon_pages(struct mm_struct *mm)
{
	s64 pages[NR_MM_COUNTERS] = {};

	if (!mm)
		return 0;
	mm_pages(mm, pages);
	return pages[MM_ANONPAGES] > 0 ? pages[MM_ANONPAGES] : 0;
}

/* The cgroup of the memory controller; NULL on a kernel without one. */
static __always_inline struct cgroup_subsys_state *memory_css(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return NULL;
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(set->subsys) +
				      bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) * sizeof(css));
	return css;
}

static __always_inline void read_levels(struct level *levels, struct cgroup_subsys_state *css)
{
	struct page_counter *c;
	int i;

	if (!css)
		return;
	c = (void *)css + bpf_core_field_offset(struct mem_cgroup, memory);
	for (i = 0; i < LEVELS; i++) {
		if (!c)
			return;
		levels[i].usage = BPF_CORE_READ(c, usage.counter);
		levels[i].max = BPF_CORE_READ(c, max);
		c = BPF_CORE_READ(c, parent);
	}
}

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int sig, struct kernel_siginfo *info, struct task_struct *task)
{
	struct dying d = {};
	u32 pid = task->pid;

	if (sig != SIGKILL || info != SEND_SIG_PRIV)
		return 0;
	d.task = (u64)task;
	d.anon = anon_pages(task->mm);
	read_levels(d.levels, memory_css(task));
	bpf_map_update_elem(&signalled, &pid, &d, BPF_ANY);
	return 0;
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *kn)
{
	struct kernfs_node___rcu *rcu = (void *)kn;

	if (bpf_core_field_exists(rcu->__parent))
		return BPF_CORE_READ(rcu, __parent);
	return BPF_CORE_READ(kn, parent);
}

static __always_inline void read_names(struct victim *v, struct task_struct *task)
{
	struct cgroup_subsys_state *css = memory_css(task);
	struct kernfs_node *kn, *up;
	int i;

	kn = css ? BPF_CORE_READ(css, cgroup, kn) : BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
	v->depth = 0;
	for (i = 0; i < LEVELS; i++) {
		up = kn ? parent_of(kn) : NULL;
		v->names[i][0] = 0;
		if (!up) /* the root has no name */
			continue;
		bpf_probe_read_kernel_str(v->names[i], NAME_SIZE, BPF_CORE_READ(kn, name));
		v->depth = i + 1;
		kn = up;
	}
	if (kn && parent_of(kn))
		v->depth = LEVELS + 1;
}

static __always_inline int report(u32 pid)
{
	struct dying *d = bpf_map_lookup_elem(&signalled, &pid);
	struct task_struct *task;
	struct victim *v;
	int i;

	if (!d)
		return 0;
	v = bpf_ringbuf_reserve(&victims, sizeof(*v), 0);
	if (!v) {
		__sync_fetch_and_add(&lost.victims, 1);
		goto out;
	}
	task = (void *)d->task;
	v->time = bpf_ktime_get_ns();
	v->anon = d->anon;
	v->pid = BPF_CORE_READ(task, tgid);
	v->start_boottime = BPF_CORE_READ(task, group_leader, start_boottime);
	BPF_CORE_READ_INTO(&v->comm, task, group_leader, comm);
	for (i = 0; i < LEVELS; i++)
		v->levels[i] = d->levels[i];
	read_names(v, task);
	bpf_ringbuf_submit(v, BPF_RB_NO_WAKEUP);
out:
	bpf_map_delete_elem(&signalled, &pid);
	return 0;
}

/* Since Linux 6.9 (72ba14deb40a). */
SEC("tp_btf/mark_victim")
int BPF_PROG(on_mark, struct task_struct *task)
{
	return report(task->pid);
}

SEC("tp_btf/mark_victim")
int BPF_PROG(on_mark_pid, int pid)
{
	return report(pid);
}
