//go:build ignore
/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The keys that commands of Redis access, as hashes, at the sockets of the server.
 *
 * When a watched process has received bytes (sock_recv_length), they are in its buffer,
 * whose address is an argument of the system call. The program follows RESP through
 * them: each command is an array of strings, and its state stays with the socket, because
 * a command can arrive in several parts. https://redis.io/docs/latest/develop/reference/protocol-spec
 *
 *	*2\r\n$3\r\nGET\r\n$7\r\nuser:42\r\n
 *
 * A key leaves the kernel only as a hash with a secret, and only if the hash is below
 * the threshold of the sample. Values are skipped, not read.
 *
 * A connection that does not speak RESP, such as an encrypted one, is compared by its
 * first byte with each reception.
 */
#include "../headers/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "../lib/task.bpf.h"
#include "types.h"
#include "../lib/siphash.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#if defined(__TARGET_ARCH_x86)
#define NR_read 0
#define NR_recvfrom 45
#elif defined(__TARGET_ARCH_arm64)
#define NR_read 63
#define NR_recvfrom 207
#endif

/* include/linux/socket.h */
#define MSG_PEEK 2

/* A host has fewer processes of Redis. */
#define MAX_SERVERS 16

/* Keys are rarely longer than 128 bytes. Longer ones are not counted. */
#define MAX_KEY 256
#define WORDS (MAX_KEY / 8)

/* What Redis accepts by default: arguments of a command, and bytes of one. */
#define MAX_ARGS (1024 * 1024)
#define MAX_BULK (512 * 1024 * 1024)

/* The arguments in one buffer of 16 KB, the size of Redis's, if each has one byte. */
#define MAX_STEPS 4096

/* "$536870912\r\n" */
#define HEADER_SIZE 16

/* The secret, drawn at each start. */
const volatile u64 secret[2];

/* The servers to watch: an index by process ID. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVERS);
	__type(key, u32);
	__type(value, u32);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVERS);
	__type(key, u32);
	__type(value, struct server);
} servers SEC(".maps");

/* The hash below which keys of a server are in the sample. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVERS);
	__type(key, u32);
	__type(value, u64);
} thresholds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct name);
	__type(value, struct command);
} commands SEC(".maps");

/* 40,000 events, for a second. User space reduces the sample before. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} events SEC(".maps");

/* How far the commands of a connection were followed. */
struct stream {
	u64 number; /* in the header that is being read */
	u32 skip;   /* bytes of the current argument that are left out, with its line end */
	u32 args;   /* arguments of the command that have not begun */
	u32 index;  /* of the next one */
	u32 db;
	u32 waiting; /* keys of commands since MULTI, and 1; 0 outside of a transaction */
	struct command command;
	u8 header; /* the first byte of the header that is being read, or 0 */
	u8 broken; /* 1: the connection does not speak RESP, or some bytes were not seen */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stream);
} streams SEC(".maps");

/*
 * The bytes of one reception, and what was found in them. It is in a map because the
 * verifier would follow each value of what is on the stack. The program is not entered
 * again on the CPU while it runs.
 */
struct cursor {
	u64 at;
	u64 threshold;
	u32 left;
	u32 slot;
	struct stream s;
	struct server found;
	u64 key[WORDS + 1];
	u8 header[HEADER_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cursor);
} cursors SEC(".maps");

/* Clang drops types that only a ring buffer uses; bpf2go needs them. */
const struct event *unused_event __attribute__((unused));
const enum access *unused_access __attribute__((unused));
const enum keys *unused_keys __attribute__((unused));

static __always_inline struct cursor *the_cursor(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cursors, &zero);
}

/*
 * The hash of the key at the cursor. A function of its own, so that the verifier follows it
 * once. The number of the database is part of the secret.
 */
__noinline u64 hash_key(u32 len, u32 db)
{
	struct cursor *c = the_cursor();
	struct sip s;
	u32 i;

	if (!c || len > MAX_KEY)
		return 0;
	sip_begin(&s, secret[0] ^ db, secret[1]);
	for (i = 0; i < WORDS; i++) {
		if (i >= len / 8)
			break;
		sip_word(&s, c->key[i]);
	}
	i = len / 8;
	if (i > WORDS)
		return 0;
	/* the bytes after the key are those of an earlier one */
	sip_word(&s, (c->key[i] & ((1ULL << (len % 8 * 8)) - 1)) | (u64)len << 56);
	return sip_end(&s);
}

static __always_inline void emit(struct cursor *c, u64 hash, u32 access)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		c->found.lost++;
		return;
	}
	e->hash = hash;
	e->slot = c->slot;
	e->access = access;
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

/* Commands of a transaction wait for EXEC. What was counted of them is wrong after DISCARD. */
static __always_inline void transact(struct cursor *c, u32 keys)
{
	if (keys == KEYS_MULTI) {
		c->s.waiting = 1;
		return;
	}
	if (keys == KEYS_DISCARD && c->s.waiting)
		c->found.uncounted += c->s.waiting - 1;
	if (keys == KEYS_DISCARD || keys == KEYS_EXEC)
		c->s.waiting = 0;
}

/*
 * Reads 1 to max bytes at the cursor; false if there are more or fewer. Without the
 * barrier clang compares the length once, less one, and the verifier of 6.12 does not
 * see that it is bounded.
 */
static __always_inline bool read_bytes(struct cursor *c, void *to, u32 len, u32 max)
{
	if (!len || len > c->left)
		return false;
	barrier_var(len);
	return len <= max && !bpf_probe_read_user(to, len, (void *)c->at);
}

/* The name of a command: len bytes at the cursor. */
static __always_inline void begin_command(struct cursor *c, u32 len)
{
	struct command *known = NULL;
	struct command none = {};
	struct name name = {};
	u64 *words = (u64 *)&name;

	c->s.command = none;
	if (read_bytes(c, &name, len, NAME_SIZE)) {
		words[0] |= 0x2020202020202020ULL;
		words[1] |= 0x2020202020202020ULL;
		known = bpf_map_lookup_elem(&commands, &name);
	}
	if (!known) {
		c->found.uncounted++;
		return;
	}
	c->s.command = *known;
	transact(c, known->keys);
	if (known->access == ACCESS_FLUSH)
		emit(c, 0, ACCESS_FLUSH);
}

static __always_inline void access_key(struct cursor *c, u32 len)
{
	u64 hash;

	if (len > MAX_KEY || len > c->left || bpf_probe_read_user(c->key, len, (void *)c->at)) {
		c->found.uncounted++;
		return;
	}
	if (c->s.command.access == ACCESS_READ)
		c->found.reads++;
	else
		c->found.writes++;
	if (c->s.waiting)
		c->s.waiting++;
	hash = hash_key(len, c->s.db);
	if (hash < c->threshold)
		emit(c, hash, c->s.command.access);
}

/* The number of a database is below 10 almost always; those of two digits are told apart, too. */
static __always_inline void select_db(struct cursor *c, u32 len)
{
	u8 digits[4] = {};

	if (!read_bytes(c, digits, len, sizeof(digits)))
		return;
	c->s.db = (u32)digits[0] << 24 | (u32)digits[1] << 16 | (u32)digits[2] << 8 | digits[3];
	if (len == 1 && digits[0] == '0')
		c->s.db = 0;
}

static __always_inline void argument(struct cursor *c, u32 len)
{
	u32 i = c->s.index, keys = c->s.command.keys;

	if (!i)
		begin_command(c, len);
	else if (keys == KEYS_ALL || (keys == KEYS_FIRST && i == 1) || (keys == KEYS_PAIRS && i & 1))
		access_key(c, len);
	else if (keys == KEYS_DB && i == 1)
		select_db(c, len);
	c->s.index = i + 1;
	c->s.args--;
	c->s.skip = len + 2;
}

static __always_inline void skip(struct cursor *c)
{
	u32 n = c->s.skip < c->left ? c->s.skip : c->left;

	c->at += n;
	c->left -= n;
	c->s.skip -= n;
}

/* A header has ended: "*2" or "$7". */
static __always_inline void end_header(struct cursor *c)
{
	u64 n = c->s.number;

	if (c->s.header == '*') {
		c->s.args = n;
		c->s.index = 0;
		c->s.broken = n > MAX_ARGS;
	} else if (n <= MAX_BULK) {
		argument(c, n);
		skip(c);
	} else {
		c->s.broken = 1;
	}
	c->s.header = 0;
}

/* Reads n bytes of a header. Returns true if it ends among them. */
static __always_inline bool read_header(struct cursor *c, u32 n)
{
	struct stream *s = &c->s;
	bool ends = false;
	u32 i;

	for (i = 0; i < HEADER_SIZE; i++) {
		u8 b = c->header[i];

		if (i >= n || ends || s->broken)
			break;
		if (!s->header) {
			s->broken = b != (s->args ? '$' : '*');
			s->header = b;
			s->number = 0;
		} else if (b == '\n') {
			ends = true;
		} else if ((u8)(b - '0') <= 9) {
			s->number = s->number * 10 + (b - '0');
		} else if (b != '\r') {
			s->broken = 1;
		}
	}
	c->at += i;
	c->left -= i;
	return ends;
}

static long step(u64 unused, void *ctx)
{
	struct cursor *c = the_cursor();
	u32 n;

	if (!c)
		return 1;
	if (c->s.skip) {
		skip(c);
		return !c->left;
	}
	n = c->left;
	if (n > HEADER_SIZE)
		n = HEADER_SIZE;
	if (!n || bpf_probe_read_user(c->header, n, (void *)c->at)) {
		c->s.broken = 1;
		return 1;
	}
	if (read_header(c, n))
		end_header(c);
	return !c->left || c->s.broken;
}

/* The address of the bytes that the current task has received, 0 if it is not known: io_uring. */
static __always_inline u64 received_at(struct task_struct *task)
{
	s32 nr = task_syscall(task);
	u64 args[3] = {};

	if (in_compat_syscall(task) || (nr != NR_read && nr != NR_recvfrom))
		return 0;
	task_syscall_args(task, args);
	return args[1];
}

/* Whether the bytes begin a command. A broken stream goes on there. */
static __always_inline bool begins_command(u64 at)
{
	u8 first = 0;

	return at && !bpf_probe_read_user(&first, 1, (void *)at) && first == '*';
}

static __always_inline void add(struct server *to, const struct server *found)
{
	if (found->reads)
		__sync_fetch_and_add(&to->reads, found->reads);
	if (found->writes)
		__sync_fetch_and_add(&to->writes, found->writes);
	if (found->uncounted)
		__sync_fetch_and_add(&to->uncounted, found->uncounted);
	if (found->lost)
		__sync_fetch_and_add(&to->lost, found->lost);
}

static __always_inline void follow(struct cursor *c, struct stream *s)
{
	struct stream fresh = {};

	c->s = *s;
	if (c->s.broken || !c->at) {
		fresh.db = s->db;
		c->s = fresh;
		c->s.broken = !begins_command(c->at);
	}
	if (!c->s.broken) {
		bpf_loop(MAX_STEPS, step, NULL, 0);
		if (c->left)
			c->s.broken = 1;
	}
	if (c->s.broken)
		c->found.uncounted++;
	*s = c->s;
}

/* The current process has received bytes. */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int ret, int flags)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u32 *slot = bpf_map_lookup_elem(&watched, &tgid);
	struct server *server, none = {};
	struct cursor *c = the_cursor();
	struct stream *s;
	u64 *threshold;

	if (!slot || !c || ret <= 0 || flags & MSG_PEEK)
		return 0;
	server = bpf_map_lookup_elem(&servers, slot);
	threshold = bpf_map_lookup_elem(&thresholds, slot);
	s = bpf_sk_storage_get(&streams, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!server || !threshold || !s)
		return 0;
	c->at = received_at(bpf_get_current_task_btf());
	c->left = ret;
	c->slot = *slot;
	c->threshold = *threshold;
	c->found = none;
	follow(c, s);
	add(server, &c->found);
	/* No part of a key stays in a map. */
	__builtin_memset(c->key, 0, sizeof(c->key));
	__builtin_memset(c->header, 0, sizeof(c->header));
	return 0;
}
