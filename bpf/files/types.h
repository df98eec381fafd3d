/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The records of one pass over the open files of the host. All have the same
 * size and begin with their kind, so that Go reads them in place. No implicit
 * padding.
 */
#ifndef HEADROOM_FILES_TYPES_H
#define HEADROOM_FILES_TYPES_H

enum record_kind {
	RECORD_PROCESS = 1,
	RECORD_LISTENER = 2,
};

/* The open descriptors of a process, in one of its descriptor tables. */
struct process {
	u32 kind;
	u32 tgid;
	u64 start_boottime;
	u64 soft_limit; /* RLIMIT_NOFILE */
	u64 hard_limit;
	u32 sockets;
	u32 files; /* files, folders, devices */
	u32 pipes;
	u32 anon; /* epoll, eventfd, timerfd, inotify, pidfd ... */
	u32 established;
	u32 close_wait;
	u32 syn_sent;
	u32 listeners;
	u32 backlog;
	u32 served;   /* established connections that a listener accepted */
	u32 datagram; /* UDP sockets that serve: bound to a chosen port, not connected */
	u32 brokers;  /* established connections to the port of a message broker */
};

/* A listening TCP socket; one record per descriptor that refers to it. */
struct listener {
	u32 kind;
	u32 tgid;
	u64 start_boottime; /* of the process */
	u64 inode;
	u32 queue;
	u32 max_queue;
	u32 drops;
	u32 netns; /* inode of the network namespace */
	u16 family;
	u16 port;
	u32 somaxconn;	/* net.core.somaxconn of the network namespace, 0 when not known */
	u8 address[16]; /* 4 bytes of it for IPv4 */
	u64 to_size[2];
};

_Static_assert(sizeof(struct process) == sizeof(struct listener), "records are of one size");

/* A port that has a listener. */
struct port {
	u32 netns;
	u32 number;
};

/* Records dropped in the last pass because a limit was reached. */
struct losses {
	u64 listeners;
	u64 ports;
};

#endif
