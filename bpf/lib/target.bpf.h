/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What a system call is about: the file, pipe or socket behind its descriptor.
 * It is read in the context of the thread that sleeps in the call, because the
 * descriptor can be closed, and its number reused, before user space looks.
 */
#ifndef HEADROOM_TARGET_H
#define HEADROOM_TARGET_H

#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "wait.bpf.h"

/* include/uapi/linux/stat.h and magic.h, include/linux/socket.h */
#define TARGET_S_IFMT 00170000
#define TARGET_S_IFIFO 0010000
#define TARGET_S_IFCHR 0020000
#define TARGET_SOCKFS 0x534F434B
#define TARGET_AF_UNIX 1
#define TARGET_AF_INET 2
#define TARGET_AF_INET6 10

enum target_kind {
	TARGET_NONE,   /* the call has no descriptor */
	TARGET_FILE,   /* a regular file, a directory or a block device */
	TARGET_PIPE,   /* a pipe or a FIFO */
	TARGET_DEVICE, /* a character device, such as a terminal */
	TARGET_INET,   /* a TCP or UDP socket */
	TARGET_UNIX,   /* a Unix socket */
	TARGET_OTHER,  /* other sockets, and files without a type: epoll, eventfd, inotify … */
};

/* Flags of an inet socket. */
#define TARGET_LOCAL 1	/* its peer is on this host, in the same network namespace */
#define TARGET_SERVED 2 /* the peer is the client: it has the higher port */

struct target {
	u64 inode;
	u64 key;     /* calls with the same one are counted together: key_of */
	u32 dev;     /* of the file system, as the kernel encodes it: major << 20 | minor */
	u32 address; /* of an inet socket's peer, in network order, 0 for IPv6; of a Unix socket, the peer's pid */
	s32 fd;	     /* -1: a mapped file */
	u16 port;    /* of an inet socket: the lower of its two ports, which is the service's */
	u8 kind;     /* enum target_kind */
	u8 flags;
};

#if defined(__TARGET_ARCH_x86)
#define TARGET_SENDFILE 40
/* The calls whose first argument is a descriptor, and which can sleep. */
static __always_inline bool takes_fd(s32 nr)
{
	switch (nr) {
	case 0:	  /* read */
	case 1:	  /* write */
	case 3:	  /* close */
	case 16:  /* ioctl */
	case 17:  /* pread64 */
	case 18:  /* pwrite64 */
	case 19:  /* readv */
	case 20:  /* writev */
	case 42:  /* connect */
	case 43:  /* accept */
	case 44:  /* sendto */
	case 45:  /* recvfrom */
	case 46:  /* sendmsg */
	case 47:  /* recvmsg */
	case 72:  /* fcntl */
	case 73:  /* flock */
	case 74:  /* fsync */
	case 75:  /* fdatasync */
	case 77:  /* ftruncate */
	case 217: /* getdents64 */
	case 275: /* splice */
	case 277: /* sync_file_range */
	case 285: /* fallocate */
	case 288: /* accept4 */
	case 295: /* preadv */
	case 296: /* pwritev */
	case 299: /* recvmmsg */
	case 306: /* syncfs */
	case 307: /* sendmmsg */
	case 327: /* preadv2 */
	case 328: /* pwritev2 */
		return true;
	}
	return false;
}
#elif defined(__TARGET_ARCH_arm64)
#define TARGET_SENDFILE 71
static __always_inline bool takes_fd(s32 nr)
{
	switch (nr) {
	case 25:  /* fcntl */
	case 29:  /* ioctl */
	case 32:  /* flock */
	case 46:  /* ftruncate */
	case 47:  /* fallocate */
	case 57:  /* close */
	case 61:  /* getdents64 */
	case 63:  /* read */
	case 64:  /* write */
	case 65:  /* readv */
	case 66:  /* writev */
	case 67:  /* pread64 */
	case 68:  /* pwrite64 */
	case 69:  /* preadv */
	case 70:  /* pwritev */
	case 76:  /* splice */
	case 82:  /* fsync */
	case 83:  /* fdatasync */
	case 84:  /* sync_file_range */
	case 202: /* accept */
	case 203: /* connect */
	case 206: /* sendto */
	case 207: /* recvfrom */
	case 211: /* sendmsg */
	case 212: /* recvmsg */
	case 242: /* accept4 */
	case 243: /* recvmmsg */
	case 267: /* syncfs */
	case 269: /* sendmmsg */
	case 286: /* preadv2 */
	case 287: /* pwritev2 */
		return true;
	}
	return false;
}
#endif

/* 127.0.0.0/8, in network order. */
static __always_inline bool is_loopback(u32 address)
{
	return (__builtin_bswap32(address) >> 24) == 127;
}

static __always_inline void inet_target(struct target *to, struct sock *sk, u16 family)
{
	u16 peer = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	u16 own = BPF_CORE_READ(sk, __sk_common.skc_num);
	u32 source = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	u32 v6[4] = {};

	to->kind = TARGET_INET;
	to->address = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	if (family == TARGET_AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&v6, sk, __sk_common.skc_v6_daddr);
		if (!v6[0] && !v6[1] && !v6[2] && v6[3] == __builtin_bswap32(1))
			to->flags |= TARGET_LOCAL;
		/* ::ffff:a.b.c.d, as Java and Go use for IPv4 */
		to->address = v6[2] == __builtin_bswap32(0xffff) ? v6[3] : 0;
	}
	if (to->address && (is_loopback(to->address) || to->address == source))
		to->flags |= TARGET_LOCAL;
	if (own && own < peer)
		to->flags |= TARGET_SERVED;
	to->port = own && own < peer ? own : peer;
}

static __always_inline void socket_target(struct target *to, struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	u16 family;

	to->kind = TARGET_OTHER;
	if (!sk)
		return;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family == TARGET_AF_INET || family == TARGET_AF_INET6) {
		inet_target(to, sk, family);
	} else if (family == TARGET_AF_UNIX) {
		to->kind = TARGET_UNIX;
		to->address = BPF_CORE_READ(sk, sk_peer_pid, numbers[0].nr);
	}
}

static __always_inline void inode_target(struct target *to, struct inode *inode)
{
	u16 mode = BPF_CORE_READ(inode, i_mode) & TARGET_S_IFMT;

	to->inode = BPF_CORE_READ(inode, i_ino);
	to->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	if (mode == TARGET_S_IFIFO)
		to->kind = TARGET_PIPE;
	else if (mode == TARGET_S_IFCHR)
		to->kind = TARGET_DEVICE;
	else
		to->kind = mode ? TARGET_FILE : TARGET_OTHER;
}

static __always_inline void file_target(struct target *to, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	inode_target(to, inode);
	if (BPF_CORE_READ(inode, i_sb, s_magic) == TARGET_SOCKFS)
		socket_target(to, file);
}

/* The descriptor that t sleeps on in call nr, -1 for none. A poll has one if it polls a single one. */
static __always_inline s32 fd_of(s32 nr, const u64 args[3])
{
	s32 fd = -1;

	if (takes_fd(nr))
		return args[0];
	/* To a socket that does not block, it can only wait for the file. */
	if (nr == TARGET_SENDFILE)
		return args[1];
	if (wait_kind(nr) == WAIT_POLL && (u32)args[1] == 1 && bpf_probe_read_user(&fd, sizeof(fd), (void *)args[0]))
		return -1;
	return fd;
}

/* Fills in what descriptor fd of t is. */
static __always_inline void fd_target(struct target *to, struct task_struct *t, s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(t, files, fdt);
	struct file **files, *file = NULL;

	if (fd < 0 || !table || (u32)fd >= BPF_CORE_READ(table, max_fds))
		return;
	files = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), &files[fd]) || !file)
		return;
	to->fd = fd;
	file_target(to, file);
}

/*
 * The key of a target. Connections to one service and files of one file system
 * have the same: a program that opens one per request would take every entry.
 * It is one number because the verifier follows every way through a comparison
 * of parts, once for each entry that is compared.
 */
static __always_inline u64 key_of(const struct target *t)
{
	u64 key = (u64)t->kind << 61;

	switch (t->kind) {
	case TARGET_FILE:
		return key | t->dev;
	case TARGET_INET:
		return key | (u64)t->flags << 48 | (u64)t->port << 32 | t->address;
	case TARGET_PIPE:
		return key | (u32)t->fd;
	}
	return key;
}

#endif
