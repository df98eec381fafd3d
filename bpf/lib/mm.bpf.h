/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The number of pages of a process, as the kernel counts them.
 *
 * Since f1a7941243c1 (6.2) a count is a percpu_counter. Only its sum is read, not
 * the parts that CPUs have not yet added to it: up to max(32, 2 * CPUs) pages on
 * each CPU that the process allocated or freed on (lib/percpu_counter.c). On 2
 * CPUs that is at most 256 KiB, on 64 at most 32 MiB, and it does not accumulate.
 * /proc/PID/statm has the same error, except on kernels since 2025, which add up
 * the parts for that file.
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

/* Until 6.1: a struct with only the array of atomic_long_t. */
struct mm_rss_stat {
	s64 count[NR_MM_COUNTERS];
};

struct mm_struct___atomic {
	struct mm_rss_stat rss_stat;
} __attribute__((preserve_access_index));

/*
 * Counts can be negative for a moment. No loop: an index has to be a constant for the
 * relocation to know the size of the kernel's elements. The old array is copied,
 * because the verifier of 5.10 and 6.1 does not look through the typedef of its
 * elements.
 */
static __always_inline void mm_pages(struct mm_struct *mm, s64 pages[NR_MM_COUNTERS])
{
	struct mm_struct___percpu *new = (void *)mm;
	struct mm_struct___atomic *old = (void *)mm;

	if (bpf_core_type_exists(struct mm_rss_stat)) {
		bpf_core_read(pages, sizeof(struct mm_rss_stat), &old->rss_stat);
		return;
	}
	pages[MM_FILEPAGES] = new->rss_stat[MM_FILEPAGES].count;
	pages[MM_ANONPAGES] = new->rss_stat[MM_ANONPAGES].count;
	pages[MM_SWAPENTS] = new->rss_stat[MM_SWAPENTS].count;
	pages[MM_SHMEMPAGES] = new->rss_stat[MM_SHMEMPAGES].count;
}

#endif
