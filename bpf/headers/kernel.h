/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The few kernel types that the probes read, with CO-RE relocations: offsets
 * come from the running kernel's BTF, so only names and nesting matter here.
 * A generated vmlinux.h would be 2.8 MB of one kernel's layout for 60 fields.
 */
#ifndef HEADROOM_KERNEL_H
#define HEADROOM_KERNEL_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h: numbers that never change. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
};

enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_MMAPABLE = 1 << 10,
};

enum {
	BPF_SK_STORAGE_GET_F_CREATE = 1 << 0,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Only to ask whether the kernel has a helper. */
enum bpf_func_id {
	BPF_FUNC_task_pt_regs = 175,
};

typedef struct {
	int counter;
} atomic_t;

struct rq {
	u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

struct sched_entity {
	u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq;
};

struct rlimit {
	unsigned long rlim_cur;
	unsigned long rlim_max;
};

/* Absent without CONFIG_TASK_IO_ACCOUNTING. */
struct task_io_accounting {
	u64 read_bytes;
	u64 write_bytes;
};

/* Of threads that exited, where a field is also one of task_struct. */
struct signal_struct {
	atomic_t live;
	unsigned long long sum_sched_runtime;
	unsigned long maj_flt;
	struct task_io_accounting ioac;
	struct rlimit rlim[16];
};

struct mm_struct {
	unsigned long hiwater_rss;
};

#if defined(__TARGET_ARCH_x86)
struct thread_info {
	u32 status;
	u32 cpu;
};

struct pt_regs {
	unsigned long r13;
	unsigned long bp;
	unsigned long sp;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long r10;
};
#elif defined(__TARGET_ARCH_arm64)
struct thread_info {
	unsigned long flags;
	u32 cpu;
};

struct pt_regs {
	u64 regs[31];
	u64 sp;
	u64 orig_x0;
	s32 syscallno;
};
#endif

typedef struct {
	s64 counter;
} atomic64_t;

/* include/linux/page_counter.h: what is charged to a memory cgroup. */
struct page_counter {
	atomic64_t usage;
	unsigned long max;
	struct page_counter *parent;
};

/* Only to find the index of a controller. */
enum cgroup_subsys_id {
	memory_cgrp_id = 4,
};

/* parent until Linux 6.14, then __parent (633488947ef6). */
struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
};

struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct kernel_siginfo;

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int flags;
	struct mm_struct *mm;
	struct sched_entity se;
	struct sched_info sched_info;
	int exit_state;
	unsigned long jobctl;
	unsigned in_iowait : 1;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	u64 utime;
	u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct task_io_accounting ioac;
	u64 start_boottime;
	char comm[16];
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct files_struct *files;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct super_block {
	unsigned long s_magic;
	u32 s_dev;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct address_space {
	struct inode *host;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct file *file;
};

struct ns_common {
	unsigned int inum;
};

struct netns_core {
	int sysctl_somaxconn;
};

struct net {
	struct ns_common ns;
	struct netns_core core;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__u16 skc_dport; /* in network order */
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1];
};

struct sk_buff_head {
	__u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	atomic_t sk_drops;
	struct sk_buff_head sk_receive_queue;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
	u8 sk_userlocks : 4;
	u16 sk_protocol;
	struct socket *sk_socket;
	struct pid *sk_peer_pid;
};

struct socket {
	struct sock *sk;
};

/* include/net/sock.h: socket is its first member. */
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct inet_connection_sock {
	struct {
		__u32 lrcvtime;
	} icsk_ack;
};

/* include/linux/win_minmax.h */
struct minmax_sample {
	u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	u64 bytes_received;
	u32 rcv_nxt;
	u32 copied_seq;
	u32 lsndtime;
	u32 write_seq;
	struct minmax rtt_min; /* in µs, of the last five minutes */
	u64 tcp_clock_cache;
	bool is_mptcp;
};

struct unix_address;

struct unix_sock {
	struct unix_address *addr;
};

struct mptcp_sock {
	struct sock *first;
};

/* The argument of a syscalls:sys_exit_* tracepoint. */
struct syscall_trace_exit {
	int nr;
	long ret;
};

/* The argument of a syscalls:sys_enter_* tracepoint. */
struct syscall_trace_enter {
	int nr;
	unsigned long args[];
};

#pragma clang attribute pop

#endif
