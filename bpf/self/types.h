/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#ifndef HEADROOM_SELF_TYPES_H
#define HEADROOM_SELF_TYPES_H

/* Pids are those of the initial pid namespace, times those of the host. */
struct answer {
	u64 start_boottime;
	u64 monotonic; /* when the iterator reached the process, on both clocks */
	u64 boottime;
	u32 pid;
	u32 tasks; /* number of tasks that the iterator shows */
	u32 whole; /* it shows kthreadd, so all tasks of the host */
	u32 pad;
};

#endif
