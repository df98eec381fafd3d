/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * How many pages a process has, as the kernel itself counts them.
 *
 * Since f1a7941243c1 (6.2) a count is a percpu_counter. Its sum is read, not
 * what the CPUs hold back: up to max(32, 2 * CPUs) pages on each CPU that the
 * process allocated or freed on (lib/percpu_counter.c). On 2 CPUs that is at
 * most 256 KiB, on 64 at most 32 MiB, and it does not accumulate. /proc/PID/statm
 * is off by as much until 82241a83cd15 (6.16), and exact from then on.
 */
#ifndef HEADROOM_MM_H
#define HEADROOM_MM_H

#include "../headers/kernel.h"
#include <bpf/bpf_core_read.h>

/* include/linux/mm_types_task.h: these numbers have been stable since 4.5. */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES, NR_MM_COUNTERS };

struct percpu_counter {
	s64 count;
} __attribute__((preserve_access_index));

struct mm_struct___percpu {
	struct percpu_counter rss_stat[NR_MM_COUNTERS];
} __attribute__((preserve_access_index));

/* Before: the array of atomic_long_t is wrapped in a struct of its own. */
struct mm_rss_stat {
	struct {
		s64 counter;
	} count[NR_MM_COUNTERS];
} __attribute__((preserve_access_index));

struct mm_struct___atomic {
	struct mm_rss_stat rss_stat;
} __attribute__((preserve_access_index));

/*
 * Can be below 0 for a moment. No loop: an index has to be a constant for the
 * relocation to know the size of the kernel's elements.
 */
static __always_inline void mm_pages(struct mm_struct *mm, s64 pages[NR_MM_COUNTERS])
{
	struct mm_struct___percpu *new = (void *)mm;
	struct mm_struct___atomic *old = (void *)mm;

	if (bpf_core_type_exists(struct mm_rss_stat)) {
		pages[MM_FILEPAGES] = old->rss_stat.count[MM_FILEPAGES].counter;
		pages[MM_ANONPAGES] = old->rss_stat.count[MM_ANONPAGES].counter;
		pages[MM_SWAPENTS] = old->rss_stat.count[MM_SWAPENTS].counter;
		pages[MM_SHMEMPAGES] = old->rss_stat.count[MM_SHMEMPAGES].counter;
		return;
	}
	pages[MM_FILEPAGES] = new->rss_stat[MM_FILEPAGES].count;
	pages[MM_ANONPAGES] = new->rss_stat[MM_ANONPAGES].count;
	pages[MM_SWAPENTS] = new->rss_stat[MM_SWAPENTS].count;
	pages[MM_SHMEMPAGES] = new->rss_stat[MM_SHMEMPAGES].count;
}

#endif
