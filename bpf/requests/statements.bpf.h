/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The statements of calls to PostgreSQL, as hashes with a secret. Two calls have the
 * same hash if their statements differ in literals only: numbers and strings are left
 * out, lists of them count as one, and white space and comments do not count.
 *
 *	SELECT t FROM o1 WHERE id IN (7, 8) -- page 3
 *	SELECT t FROM o1 WHERE id IN ($1)
 *
 * A second hash has the literals and parameters too: two calls with the same one ask the
 * same. words.bpf.h tells what a statement does.
 *
 * A prepared statement has the hash that its text had when it was parsed. If that was
 * not seen, its name stands for it, on its connection only.
 *
 * A text that is longer than the buffer has no hash, and neither has one whose parameters
 * are. No part of a text stays in a map.
 */
#ifndef HEADROOM_STATEMENTS_H
#define HEADROOM_STATEMENTS_H

#include "../lib/siphash.bpf.h"
#include "protocol.bpf.h"
#include "types.h"

/* ORMs list the columns of each table: a query over three tables has 1 to 2 KB. */
#define MAX_TEXT 2048

/* What is read of a call, with its parameters. A power of 2. */
#define MAX_SENT 4096

/* The pieces that it can be in: node.js sends each message of a query as one. */
#define MAX_PIECES 8

/* Messages of one call that are followed. */
#define MAX_MESSAGES 16

/* The type of a message and its length. */
#define HEADER_SIZE 5

/* The secret, drawn at each start. */
const volatile u64 secret[2];

/* Statements of all upstreams: a service has some hundreds. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct statement_key);
	__type(value, struct statement);
} statements SEC(".maps");

/* Prepared statements, by the hash of their name and connection. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct known);
} prepared SEC(".maps");

/* Where the bytes of a message belong to. */
enum scan_state {
	SCAN_PORTAL, /* the name of a portal */
	SCAN_NAME,   /* the name of a statement */
	SCAN_BETWEEN,
	SCAN_WORD,
	SCAN_NUMBER,
	SCAN_STRING,
	SCAN_ESCAPED,	 /* a string in which a backslash is special */
	SCAN_BACKSLASH,	 /* after one */
	SCAN_IDENTIFIER, /* "name" */
	SCAN_DOLLAR,
	SCAN_DASH,
	SCAN_SLASH,
	SCAN_LINE,  /* a comment */
	SCAN_BLOCK, /* a comment */
	SCAN_STAR,  /* after a star in one */
};

/* What was seen last. */
enum scan_last {
	LAST_OTHER,
	LAST_LITERAL,
};

/*
 * The message that is scanned. It is in a map because the verifier would follow each
 * value of what is on the stack. The program is not entered again on the CPU while it runs.
 */
struct scan {
	struct sip sum;	   /* of the statement, or its name */
	struct sip values; /* of literals and parameters */
	u64 name;	   /* the hash of the statement's name */
	u64 before;	   /* the word before the current one: words.bpf.h */
	u64 table;
	u32 name_size;
	u32 from; /* where the current run of bytes begins */
	u8 state; /* enum scan_state */
	u8 last;  /* enum scan_last */
	u8 comma; /* 1: after a literal, not hashed yet */
	u8 ends;  /* 1: with the name of the statement */
	u8 done;
	u8 failed;  /* dollar quotes */
	u8 kind;    /* enum call_kind */
	u8 expects; /* enum scan_expects */
	u8 tables;  /* those that were named */
	u8 several; /* 1: more than one table, or one that is not known */
	u8 with;    /* 1: WITH, which can also write */
	u8 more;    /* 1: more than one statement */
	u8 text[2 * MAX_SENT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scan);
} scans SEC(".maps");

/* What a text is overwritten with. */
const volatile u8 zeros[MAX_SENT] = {};

/* Eight bytes of the text. Those after its end are zero. */
static __always_inline u64 eight(struct scan *s, u32 at)
{
	return *(u64 *)(s->text + (at & (MAX_SENT - 1)));
}

/*
 * This function and some others are not static, so that the verifier checks each once, and
 * not for all that is known where it is called: that would be most of a million instructions.
 */
__noinline int add_word(struct sip *sum, u64 word)
{
	if (sum)
		sip_word(sum, word);
	return 0;
}

/*
 * A run of bytes, such as a word, is hashed in units of eight, and its rest with the number
 * of bytes and a mark in the highest byte: no run is the beginning of another one.
 */
static __always_inline void run_byte(struct scan *s, struct sip *sum, u32 at)
{
	if (at != s->from && !((at - s->from) & 7))
		add_word(sum, eight(s, at - 8));
}

__noinline int end_run(struct scan *s, struct sip *sum, u32 at, u32 mark)
{
	u32 n;

	if (!s || !sum)
		return 0;
	n = (at - s->from) & 7;
	run_byte(s, sum, at);
	add_word(sum, (eight(s, at - n) & ((1ULL << (8 * n)) - 1)) | (u64)(n + mark) << 56);
	return 0;
}

/* The marks of runs, and of single characters. */
#define MARK_WORD 0x10
#define MARK_NAME 0x20 /* "name" */
#define MARK_VALUE 0x30
#define MARK_CHARACTER ((u64)0x40 << 56)

#include "words.bpf.h"

static __always_inline bool is_word(u8 b)
{
	return (u8)((b | 0x20) - 'a') < 26 || (u8)(b - '0') < 10 || b == '_' || b >= 0x80;
}

static __always_inline void literal(struct scan *s)
{
	s->comma = 0;
	if (s->last != LAST_LITERAL)
		add_word(&s->sum, '?' | MARK_CHARACTER);
	s->last = LAST_LITERAL;
}

/* Anything but a literal begins. */
static __always_inline void token(struct scan *s)
{
	if (s->comma)
		add_word(&s->sum, ',' | MARK_CHARACTER);
	s->comma = 0;
	s->last = LAST_OTHER;
}

__noinline int character(struct scan *s, u8 b)
{
	if (!s)
		return 0;
	token(s);
	add_word(&s->sum, b | MARK_CHARACTER);
	if (s->expects || b == ';')
		punctuation(s, b);
	return 0;
}

/* A byte that begins something, or stands for itself. */
__noinline int scan_between(struct scan *s, u8 b, u32 at)
{
	if (!s)
		return 0;
	s->state = SCAN_BETWEEN;
	if (b == ' ' || (u8)(b - '\t') < 5)
		return 0;
	s->from = at;
	if (is_word(b)) {
		s->state = (u8)(b - '0') < 10 ? SCAN_NUMBER : SCAN_WORD;
		if (s->state == SCAN_NUMBER)
			literal(s);
		else
			token(s);
	} else if (b == '\'') {
		s->state = SCAN_STRING;
		literal(s);
	} else if (b == '$') {
		s->state = SCAN_DOLLAR;
	} else if (b == '-') {
		s->state = SCAN_DASH;
	} else if (b == '/') {
		s->state = SCAN_SLASH;
	} else if (b == '"') {
		s->state = SCAN_IDENTIFIER;
		s->from = at + 1;
		token(s);
	} else if (b == ',' && s->last == LAST_LITERAL) {
		s->comma = 1;
	} else {
		character(s, b);
	}
	return 0;
}

/* A byte after a character that can begin something longer. */
__noinline int scan_second(struct scan *s, u8 b, u32 at)
{
	u8 state;

	if (!s)
		return 0;
	state = s->state;
	if (state == SCAN_DOLLAR) { /* a parameter, $1; others quote a string */
		s->failed |= (u8)(b - '0') >= 10;
		s->state = SCAN_NUMBER;
		literal(s);
	} else if (state == SCAN_DASH && b == '-') {
		s->state = SCAN_LINE;
	} else if (state == SCAN_SLASH && b == '*') {
		s->state = SCAN_BLOCK;
	} else {
		character(s, state == SCAN_DASH ? '-' : '/');
		scan_between(s, b, at);
	}
	return 0;
}

static __always_inline void scan_string(struct scan *s, u8 b, u32 at)
{
	u8 state = s->state;

	run_byte(s, &s->values, at);
	if (state == SCAN_BACKSLASH) {
		s->state = SCAN_ESCAPED;
	} else if (state == SCAN_ESCAPED && b == '\\') {
		s->state = SCAN_BACKSLASH;
	} else if (b == '\'') {
		s->state = SCAN_BETWEEN;
		end_run(s, &s->values, at, MARK_VALUE);
	}
}

__noinline int scan_comment(struct scan *s, u8 b)
{
	u8 state;

	if (!s)
		return 0;
	state = s->state;
	if (state == SCAN_LINE)
		s->state = b == '\n' ? SCAN_BETWEEN : SCAN_LINE;
	else if (b == '/' && state == SCAN_STAR)
		s->state = SCAN_BETWEEN;
	else
		s->state = b == '*' ? SCAN_STAR : SCAN_BLOCK;
	return 0;
}

/* A word or a number ends before what is at. */
static __always_inline void scan_end(struct scan *s, u32 at)
{
	if (s->state == SCAN_WORD) {
		end_run(s, &s->sum, at, MARK_WORD);
		end_word(s, at);
	} else if (s->state == SCAN_NUMBER) {
		end_run(s, &s->values, at, MARK_VALUE);
	}
}

/* The end of a name, or of the text. */
__noinline int scan_zero(struct scan *s, u32 at)
{
	if (!s)
		return 0;
	if (s->state == SCAN_PORTAL) {
		s->state = SCAN_NAME;
		s->from = at + 1;
	} else if (s->state == SCAN_NAME) {
		s->name_size = at - s->from;
		end_run(s, &s->sum, at, MARK_NAME);
		s->name = sip_end(&s->sum);
		s->done = s->ends;
		s->state = SCAN_BETWEEN;
		sip_begin(&s->sum, secret[0], secret[1]);
	} else {
		scan_end(s, at);
		s->done = 1;
	}
	return 0;
}

static __always_inline void scan_byte(struct scan *s, u8 b, u32 at)
{
	u8 state = s->state;

	if (!b) {
		scan_zero(s, at);
	} else if (state == SCAN_WORD && is_word(b)) {
		run_byte(s, &s->sum, at);
	} else if (state == SCAN_NUMBER && (is_word(b) || b == '.')) {
		run_byte(s, &s->values, at);
	} else if (state == SCAN_WORD || state == SCAN_NUMBER) {
		bool escapes =
			state == SCAN_WORD && b == '\'' && at - s->from == 1 && (eight(s, s->from) & 0xdf) == 'E';

		scan_end(s, at);
		scan_between(s, b, at);
		if (escapes)
			s->state = SCAN_ESCAPED;
	} else if (state == SCAN_BETWEEN) {
		scan_between(s, b, at);
	} else if (state == SCAN_IDENTIFIER && b == '"') {
		end_run(s, &s->sum, at, MARK_NAME);
		end_word(s, at);
		s->state = SCAN_BETWEEN;
	} else if (state == SCAN_IDENTIFIER || state == SCAN_NAME) {
		run_byte(s, &s->sum, at);
	} else if (state == SCAN_DOLLAR || state == SCAN_DASH || state == SCAN_SLASH) {
		scan_second(s, b, at);
	} else if (state == SCAN_STRING || state == SCAN_ESCAPED || state == SCAN_BACKSLASH) {
		scan_string(s, b, at);
	} else if (state != SCAN_PORTAL) {
		scan_comment(s, b);
	}
}

struct scanned {
	struct scan *s;
};

static long scan_next(u64 i, struct scanned *in)
{
	struct scan *s = in->s;
	u32 at = i + HEADER_SIZE;

	scan_byte(s, s->text[at & (MAX_SENT - 1)], at);
	return s->done != 0;
}

/* Copies up to MAX_SENT bytes of what the current task has sent to the text. Returns how many. */
__noinline u32 copy_sent(struct scan *s)
{
	struct sent sent = sent_of(bpf_get_current_task_btf());
	struct vector v;
	u32 i, size = 0, n;

	if (!s)
		return 0;
	for (i = 0; i < MAX_PIECES; i++) {
		v = piece_of(&sent, i);
		if (!v.base)
			break;
		n = v.length < MAX_SENT - size ? v.length : MAX_SENT - size;
		if (!n)
			continue;
		barrier_var(n);
		barrier_var(size);
		if (n > MAX_SENT || size >= MAX_SENT || bpf_probe_read_user(s->text + size, n, (void *)v.base))
			break;
		size += n;
	}
	return size;
}

static __always_inline void clear_text(struct scan *s, u32 size)
{
	barrier_var(size);
	if (size <= MAX_SENT)
		bpf_probe_read_kernel(s->text, size, (void *)zeros);
}

/* The messages of a call. */
struct messages {
	struct scan *s;
	u32 at;
	u32 size;
	u32 executed; /* EXECUTE */
};

/* The length of the message at a place, with its type. */
static __always_inline u32 message_size(struct scan *s, u32 at)
{
	return __builtin_bswap32((u32)(eight(s, at) >> 8)) + 1;
}

static long message_next(u64 i, struct messages *m)
{
	u32 at = m->at, size;

	if (at + HEADER_SIZE > m->size)
		return 1;
	size = message_size(m->s, at);
	if (size < HEADER_SIZE || size > MAX_SENT)
		return 1;
	if ((u8)eight(m->s, at) == 'E')
		m->executed++;
	m->at = at + size;
	return 0;
}

/* How many statements the messages run. More than can be followed are several. */
static __always_inline u32 executed(struct scan *s, u32 size)
{
	struct messages m = { .s = s, .size = size };

	bpf_loop(MAX_MESSAGES, message_next, &m, 0);
	return m.at == size ? m.executed : 2;
}

struct rest {
	struct scan *s;
	u32 at;
};

static long rest_next(u64 i, struct rest *r)
{
	add_word(&r->s->values, eight(r->s, r->at + i * 8));
	return 0;
}

/* Adds what follows a text or a name: the parameters, and what is the same for all calls. */
static __always_inline void add_parameters(struct scan *s, u32 at, u32 size)
{
	struct rest r = { .s = s, .at = at };

	if (size > at)
		bpf_loop((size - at + 7) / 8, rest_next, &r, 0);
	add_word(&s->values, size - at);
}

static __always_inline void scan_begin(struct scan *s, u8 type, u32 index)
{
	s->state = type == 'Q' ? SCAN_BETWEEN : type == 'P' ? SCAN_NAME : SCAN_PORTAL;
	s->ends = type == 'B';
	s->last = s->comma = s->done = s->failed = 0;
	s->kind = CALL_UNKNOWN;
	s->expects = EXPECTS_VERB;
	s->tables = s->several = s->with = s->more = 0;
	s->name_size = 0;
	s->from = HEADER_SIZE;
	s->before = s->table = 0;
	sip_begin(&s->sum, secret[0] ^ (type == 'Q' ? 0 : index), secret[1]);
	sip_begin(&s->values, secret[0], secret[1]);
}

/* What was known of the statement that a Bind names. */
static __always_inline struct known bound(struct client *c, struct scan *s)
{
	struct known by_name = { .hash = s->name }, *found;

	if (!s->name_size)
		return c->unnamed;
	found = bpf_map_lookup_elem(&prepared, &s->name);
	return found ? *found : by_name;
}

/* What the call in the text does: its hash is 0 if it is not known. */
static __always_inline struct known scanned(struct client *c, struct scan *s, u8 type)
{
	struct known k = {};

	if (type == 'B')
		return s->done ? bound(c, s) : k;
	set_action(&k, s);
	if (!s->done || s->failed)
		return k;
	k.hash = sip_end(&s->sum);
	if (type == 'P' && !s->name_size)
		c->unnamed = k;
	else if (type == 'P')
		bpf_map_update_elem(&prepared, &s->name, &k, BPF_ANY);
	return k;
}

/*
 * The statement that the current task has sent; its hash is 0 if it is not known. index is
 * that of its connection, and sent the number of bytes. Sets key to the hash of the
 * statement with its values, or 0.
 */
static __always_inline struct known statement_of(struct client *c, u32 index, u32 sent, u64 *key)
{
	struct known k = {};
	u32 zero = 0, size, first, n, runs = 1;
	struct scan *s = bpf_map_lookup_elem(&scans, &zero);
	struct scanned in = { .s = s };
	u8 type;

	*key = 0;
	if (!s)
		return k;
	size = copy_sent(s);
	type = s->text[0];
	if (size <= HEADER_SIZE || (type != 'Q' && type != 'P' && type != 'B')) {
		k.kind = CALL_OTHER; /* the rest of a copy, or a message that runs nothing */
		goto out;
	}
	first = message_size(s, 0);
	n = (first < size ? first : size) - HEADER_SIZE;
	scan_begin(s, type, index);
	n = bpf_loop(n < MAX_TEXT ? n : MAX_TEXT, scan_next, &in, 0);
	k = scanned(c, s, type);
	if (type != 'Q')
		runs = executed(s, size);
	else if (first != size)
		runs = 2;
	if (s->done && !s->failed && size == sent && runs == 1 && k.kind == CALL_READ) {
		add_parameters(s, HEADER_SIZE + n, size);
		add_word(&s->values, k.hash);
		*key = sip_end(&s->values);
	}
	/* A long Bind ends beyond the buffer, as does what follows a long text: they run one statement. */
	if (size == sent && runs != 1)
		k.kind = runs ? CALL_UNKNOWN : CALL_OTHER;
out:
	clear_text(s, size);
	return k;
}

static __always_inline void count_statement(u64 hash, u32 slot, u64 ns)
{
	struct statement_key key = { .hash = hash, .slot = slot };
	struct statement *s = bpf_map_lookup_elem(&statements, &key), first = { .calls = 1, .ns = ns };

	if (!s) {
		bpf_map_update_elem(&statements, &key, &first, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&s->calls, 1);
	__sync_fetch_and_add(&s->ns, ns);
}

#endif
