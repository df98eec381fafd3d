//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The open descriptors of every process: one pass over all descriptors of the
 * host.
 *
 * The kernel calls the program for one descriptor after the other, in the order
 * of thread ids. It skips threads that share the table of their leader
 * (203d7b054fc7, 5.10). The pass adds up and writes a record when the process
 * changes, so that user space reads one record per process and not one per
 * descriptor.
 *
 * When the buffer is full the kernel drops what this call wrote and repeats the
 * call for the same descriptor (bpf_seq_read in kernel/bpf/bpf_iter.c). So every
 * call writes first, and changes the sums only after all writes succeeded.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "types.h"
#include "socket.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* include/uapi/linux/stat.h */
#define S_IFMT 00170000
#define S_IFIFO 0010000

/* include/uapi/asm-generic/resource.h */
#define RLIMIT_NOFILE 7

/* include/uapi/linux/magic.h */
#define SOCKFS_MAGIC 0x534F434B
#define ANON_INODE_FS_MAGIC 0x09041934
#define PID_FS_MAGIC 0x50494446

/* Records of listeners in one pass: a listener that workers inherit has one for each worker. */
const volatile u32 max_listeners = 16384;

/* The process that is being added up. User space zeroes it before a pass. */
struct pass {
	struct process now;
	u64 table; /* of the last thread */
	u32 tid;
	u32 listeners; /* records written */
};

struct pass pass = {};
struct losses lost = {};

/*
 * The ports that have a listener. They distinguish connections to a server from
 * those of a client. User space removes ports that a pass did not see.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct port);
	__type(value, u8);
} ports SEC(".maps");

enum file_kind {
	FILE_OTHER,
	FILE_SOCKET,
	FILE_PIPE,
	FILE_ANON,
};

static __always_inline enum file_kind kind_of(struct inode *inode)
{
	unsigned long magic = inode->i_sb->s_magic;

	if (magic == SOCKFS_MAGIC)
		return FILE_SOCKET;
	if (magic == ANON_INODE_FS_MAGIC || magic == PID_FS_MAGIC)
		return FILE_ANON;
	if ((inode->i_mode & S_IFMT) == S_IFIFO)
		return FILE_PIPE;
	return FILE_OTHER;
}

static __always_inline void begin(struct task_struct *task)
{
	struct process zero = {};

	pass.now = zero;
	pass.now.kind = RECORD_PROCESS;
	pass.now.tgid = task->tgid;
	pass.now.start_boottime = task->group_leader->start_boottime;
	pass.now.soft_limit = task->signal->rlim[RLIMIT_NOFILE].rlim_cur;
	pass.now.hard_limit = task->signal->rlim[RLIMIT_NOFILE].rlim_max;
}

/* Returns false if the buffer is full; the kernel then repeats the call. */
static __always_inline bool write_listener(struct seq_file *seq, struct task_struct *task, struct file *file,
					   struct sock *sk)
{
	struct listener l = {};

	if (pass.listeners >= max_listeners)
		return true;
	l.kind = RECORD_LISTENER;
	l.tgid = task->tgid;
	l.start_boottime = task->group_leader->start_boottime;
	l.inode = file->f_inode->i_ino;
	l.queue = BPF_CORE_READ(sk, sk_ack_backlog);
	l.max_queue = BPF_CORE_READ(sk, sk_max_ack_backlog);
	l.drops = BPF_CORE_READ(sk, sk_drops.counter);
	l.netns = netns_of(sk);
	if (bpf_core_field_exists(sk->__sk_common.skc_net.net->core.sysctl_somaxconn))
		l.somaxconn = BPF_CORE_READ(sk, __sk_common.skc_net.net, core.sysctl_somaxconn);
	l.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	l.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (l.family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr))
		BPF_CORE_READ_INTO(&l.address, sk, __sk_common.skc_v6_rcv_saddr);
	else
		BPF_CORE_READ_INTO((u32 *)l.address, sk, __sk_common.skc_rcv_saddr);
	return !bpf_seq_write(seq, &l, sizeof(l));
}

static __always_inline void add_listener(struct sock *sk, bool tcp)
{
	struct port port = {};
	u8 one = 1;

	pass.now.listeners++;
	if (!tcp) {
		pass.now.backlog += BPF_CORE_READ(sk, sk_receive_queue.qlen);
		return;
	}
	pass.now.backlog += BPF_CORE_READ(sk, sk_ack_backlog);
	if (pass.listeners >= max_listeners) {
		lost.listeners++;
		return;
	}
	pass.listeners++;
	port.netns = netns_of(sk);
	port.number = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (bpf_map_update_elem(&ports, &port, &one, BPF_ANY))
		lost.ports++;
}

static __always_inline void add_established(struct sock *sk)
{
	struct port port = {};

	pass.now.established++;
	port.netns = netns_of(sk);
	port.number = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!bpf_map_lookup_elem(&ports, &port)) {
		if (is_broker(__builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport))))
			pass.now.brokers++;
		return;
	}
	pass.now.served++;
	if (waits(sk))
		pass.now.backlog++;
}

static __always_inline void add_tcp(struct sock *sk, u8 state)
{
	if (state == TCP_ESTABLISHED)
		add_established(sk);
	else if (state == TCP_CLOSE_WAIT)
		pass.now.close_wait++;
	else if (state == TCP_SYN_SENT)
		pass.now.syn_sent++;
}

static __always_inline void add_other(enum file_kind kind)
{
	if (kind == FILE_PIPE)
		pass.now.pipes++;
	else if (kind == FILE_ANON)
		pass.now.anon++;
	else
		pass.now.files++;
}

/*
 * If the leader has exited before its threads, the kernel shows their shared
 * table once for each of them. Its descriptors count for the first thread only.
 */
static __always_inline bool is_repeated(struct task_struct *task)
{
	return task->tgid == pass.now.tgid && task->pid != pass.tid && (u64)task->files == pass.table;
}

SEC("iter/task_file")
int files(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sock *sk = NULL, *tcp = NULL;
	enum file_kind kind;
	bool changed;
	u8 state = 0;

	if (!task || !file) { /* the end of the pass */
		if (pass.now.tgid)
			bpf_seq_write(seq, &pass.now, sizeof(pass.now));
		return 0;
	}
	if (is_repeated(task))
		return 0;
	kind = kind_of(file->f_inode);
	if (kind == FILE_SOCKET)
		sk = sock_of(file);
	if (sk) {
		state = BPF_CORE_READ(sk, __sk_common.skc_state);
		tcp = tcp_of(sk);
	}
	changed = task->tgid != pass.now.tgid;
	if (changed && pass.now.tgid && bpf_seq_write(seq, &pass.now, sizeof(pass.now)))
		return 1;
	if (tcp && state == TCP_LISTEN && !write_listener(seq, task, file, tcp))
		return 1;

	if (changed)
		begin(task);
	pass.tid = task->pid;
	pass.table = (u64)task->files;
	if (kind != FILE_SOCKET)
		add_other(kind);
	else
		pass.now.sockets++;
	if (sk && state == TCP_LISTEN)
		add_listener(tcp ?: sk, tcp);
	else if (tcp)
		add_tcp(tcp, state);
	else if (sk && is_accepted_unix(sk, state))
		pass.now.served++;
	else if (sk && serves_datagrams(sk, state))
		pass.now.datagram++;
	return 0;
}

/* include/uapi/asm-generic/errno-base.h */
#define ENFILE 23
#define EMFILE 24

/* Calls that failed with EMFILE or ENFILE, by process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} refused SEC(".maps");

u64 refused_lost = 0;

/*
 * Attached to the exit of the calls that create descriptors, and only while some
 * process is near its limit, because these calls are on hot paths.
 */
SEC("tracepoint")
int on_refused(struct syscall_trace_exit *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u64 one = 1, *n;

	if (ctx->ret != -EMFILE && ctx->ret != -ENFILE)
		return 0;
	n = bpf_map_lookup_elem(&refused, &tgid);
	if (n)
		__sync_fetch_and_add(n, 1);
	else if (bpf_map_update_elem(&refused, &tgid, &one, BPF_NOEXIST))
		__sync_fetch_and_add(&refused_lost, 1);
	return 0;
}

/* References the types, so that bpf2go generates them. */
const struct process *unused_process __attribute__((unused));
const struct listener *unused_listener __attribute__((unused));
const enum record_kind *unused_record_kind __attribute__((unused));
