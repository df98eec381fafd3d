/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The records that the programs write and Go reads. No implicit padding.
 */
#ifndef HEADROOM_OOM_TYPES_H
#define HEADROOM_OOM_TYPES_H

/*
 * A container of the kubelet is five cgroups deep, with nested container engines
 * a few more. A name that systemd gives to a pod or a container has about 90
 * characters.
 */
#define LEVELS 10
#define NAME_SIZE 128

/* The usage and the limit of a cgroup, in pages. */
struct level {
	u64 usage;
	u64 max;
};

/* A process that was killed by the OOM killer. */
struct victim {
	u64 time;	    /* CLOCK_MONOTONIC, ns */
	u64 start_boottime; /* of its first thread, ns */
	u64 anon;	    /* RssAnon, in pages */
	u32 pid;
	u32 depth; /* cgroups below the root; LEVELS + 1: more than fit */
	char comm[16];
	struct level levels[LEVELS];   /* its own cgroup first */
	char names[LEVELS][NAME_SIZE]; /* of the cgroups, its own first */
};

struct losses {
	u64 victims; /* dropped because the ring buffer was full */
};

#endif
