/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What the programs keep and Go reads. No implicit padding.
 */
#ifndef HEADROOM_OOM_TYPES_H
#define HEADROOM_OOM_TYPES_H

/*
 * A kubelet's container lies five groups deep, in nested engines a few more. A
 * name of systemd's for a pod or a container has some 90 characters.
 */
#define LEVELS 10
#define NAME_SIZE 128

/* A group's charge and limit, in pages. */
struct level {
	u64 usage;
	u64 max;
};

/* A process that was killed for memory. */
struct victim {
	u64 time;	    /* CLOCK_MONOTONIC, ns */
	u64 start_boottime; /* of its first thread, ns */
	u64 anon;	    /* RssAnon, in pages */
	u32 pid;
	u32 depth; /* groups below the root; LEVELS + 1: more than fit */
	char comm[16];
	struct level levels[LEVELS];   /* its own group first */
	char names[LEVELS][NAME_SIZE]; /* of the groups, its own first */
};

struct losses {
	u64 victims; /* found the ring full, because nobody read it */
};

#endif
