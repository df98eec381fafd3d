/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The statements of calls to PostgreSQL, as hashes with a secret. Two calls have the
 * same hash if their statements differ in literals only: numbers and strings are left
 * out, lists of them count as one, and white space and comments do not count.
 *
 *	SELECT t FROM o1 WHERE id IN (7, 8) -- page 3
 *	SELECT t FROM o1 WHERE id IN ($1)
 *
 * A prepared statement has the hash that its text had when it was parsed. If that was
 * not seen, its name stands for it, on its connection only.
 *
 * A text that is longer than the buffer, or whose end is in another piece of memory,
 * has no hash. No part of a text stays in a map.
 */
#ifndef HEADROOM_STATEMENTS_H
#define HEADROOM_STATEMENTS_H

#include "../lib/siphash.bpf.h"
#include "protocol.bpf.h"
#include "types.h"

/* ORMs list the columns of each table: a query over three tables has 1 to 2 KB. A power of 2. */
#define MAX_TEXT 2048

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

/* The hashes of prepared statements, by that of their name and connection. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u64);
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

/* What was kept last. */
enum scan_kept {
	KEPT_OTHER,
	KEPT_WORD,
	KEPT_LITERAL,
};

/*
 * The message that is scanned. It is in a map because the verifier would follow each
 * value of what is on the stack. The program is not entered again on the CPU while it runs.
 */
struct scan {
	struct sip sip;
	u64 word; /* kept bytes that are not hashed yet */
	u64 name; /* the hash of the statement's name */
	u32 kept; /* bytes */
	u32 name_size;
	u8 state;  /* enum scan_state */
	u8 last;   /* enum scan_kept */
	u8 comma;  /* 1: after a literal, not kept yet */
	u8 single; /* the word, if it has one letter */
	u8 ends;   /* 1: with the name of the statement */
	u8 done;
	u8 failed; /* dollar quotes */
	u8 pad;
	u8 text[MAX_TEXT];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scan);
} scans SEC(".maps");

/* What a text is overwritten with. */
const volatile u8 zeros[MAX_TEXT] = {};

static __always_inline void scan_begin(struct scan *s, u64 salt)
{
	sip_begin(&s->sip, secret[0] ^ salt, secret[1]);
	s->word = 0;
	s->kept = 0;
}

static __always_inline u64 scan_end(struct scan *s)
{
	sip_word(&s->sip, s->word | (u64)s->kept << 56);
	return sip_end(&s->sip);
}

static __always_inline void keep(struct scan *s, u8 b)
{
	u32 at = s->kept++ & 7;

	s->word |= (u64)b << (8 * at);
	if (at < 7)
		return;
	sip_word(&s->sip, s->word);
	s->word = 0;
}

static __always_inline bool is_word(u8 b)
{
	return (u8)((b | 0x20) - 'a') < 26 || (u8)(b - '0') < 10 || b == '_' || b >= 0x80;
}

static __always_inline void literal(struct scan *s)
{
	s->comma = 0;
	if (s->last != KEPT_LITERAL)
		keep(s, '?');
	s->last = KEPT_LITERAL;
}

static __always_inline void token(struct scan *s, u8 b, u8 kind)
{
	if (s->comma)
		keep(s, ',');
	else if (kind == KEPT_WORD && s->last == KEPT_WORD)
		keep(s, ' ');
	s->comma = 0;
	s->last = kind;
	keep(s, b);
}

/* A byte that begins something, or stands for itself. */
static __always_inline void scan_between(struct scan *s, u8 b)
{
	s->state = SCAN_BETWEEN;
	if (b == ' ' || (u8)(b - '\t') < 5)
		return;
	if ((u8)(b - '0') < 10) {
		s->state = SCAN_NUMBER;
		literal(s);
	} else if (is_word(b)) {
		s->state = SCAN_WORD;
		s->single = b;
		token(s, b, KEPT_WORD);
	} else if (b == '\'') {
		s->state = SCAN_STRING;
		literal(s);
	} else if (b == '$') {
		s->state = SCAN_DOLLAR;
	} else if (b == '-') {
		s->state = SCAN_DASH;
	} else if (b == '/') {
		s->state = SCAN_SLASH;
	} else if (b == ',' && s->last == KEPT_LITERAL) {
		s->comma = 1;
	} else {
		s->state = b == '"' ? SCAN_IDENTIFIER : SCAN_BETWEEN;
		token(s, b, KEPT_OTHER);
	}
}

/* A byte after a character that can begin something longer. */
static __always_inline void scan_second(struct scan *s, u8 b)
{
	u8 state = s->state;

	if (state == SCAN_DOLLAR) { /* a parameter, $1; others quote a string */
		s->failed |= (u8)(b - '0') >= 10;
		s->state = SCAN_NUMBER;
		literal(s);
	} else if (state == SCAN_DASH && b == '-') {
		s->state = SCAN_LINE;
	} else if (state == SCAN_SLASH && b == '*') {
		s->state = SCAN_BLOCK;
	} else {
		token(s, state == SCAN_DASH ? '-' : '/', KEPT_OTHER);
		scan_between(s, b);
	}
}

static __always_inline void scan_skipped(struct scan *s, u8 b)
{
	u8 state = s->state;

	if (state == SCAN_BACKSLASH)
		s->state = SCAN_ESCAPED;
	else if (state == SCAN_ESCAPED && b == '\\')
		s->state = SCAN_BACKSLASH;
	else if (state <= SCAN_ESCAPED)
		s->state = b == '\'' ? SCAN_BETWEEN : state;
	else if (state == SCAN_LINE)
		s->state = b == '\n' ? SCAN_BETWEEN : SCAN_LINE;
	else if (b == '/' && state == SCAN_STAR)
		s->state = SCAN_BETWEEN;
	else
		s->state = b == '*' ? SCAN_STAR : SCAN_BLOCK;
}

/* The end of a name, or of the text. */
static __always_inline void scan_zero(struct scan *s)
{
	if (s->state == SCAN_PORTAL) {
		s->state = SCAN_NAME;
	} else if (s->state == SCAN_NAME) {
		s->name_size = s->kept;
		s->name = scan_end(s);
		s->done = s->ends;
		s->state = SCAN_BETWEEN;
		scan_begin(s, 0);
	} else {
		s->done = 1;
	}
}

static __always_inline void scan_byte(struct scan *s, u8 b)
{
	u8 state = s->state;

	if (!b) {
		scan_zero(s);
	} else if (state == SCAN_WORD && is_word(b)) {
		s->single = 0;
		keep(s, b);
	} else if (state == SCAN_WORD) {
		scan_between(s, b);
		if (s->state == SCAN_STRING && (s->single | 0x20) == 'e')
			s->state = SCAN_ESCAPED;
	} else if (state == SCAN_BETWEEN) {
		scan_between(s, b);
	} else if (state == SCAN_NUMBER) {
		if (!is_word(b) && b != '.')
			scan_between(s, b);
	} else if (state == SCAN_IDENTIFIER || state == SCAN_NAME) {
		keep(s, b);
		if (state == SCAN_IDENTIFIER && b == '"')
			s->state = SCAN_BETWEEN;
	} else if (state == SCAN_DOLLAR || state == SCAN_DASH || state == SCAN_SLASH) {
		scan_second(s, b);
	} else if (state != SCAN_PORTAL) {
		scan_skipped(s, b);
	}
}

struct scanned {
	struct scan *s;
};

static long scan_next(u64 i, struct scanned *in)
{
	struct scan *s = in->s;

	scan_byte(s, s->text[i & (MAX_TEXT - 1)]);
	return s->done != 0;
}

/* Scans size bytes. Returns false if what is looked for does not end there. */
static __always_inline bool scan_text(struct scan *s, u64 at, u32 size)
{
	struct scanned in = { .s = s };

	if (!size || size > MAX_TEXT || bpf_probe_read_user(s->text, size, (void *)at))
		return false;
	bpf_loop(size, scan_next, &in, 0);
	bpf_probe_read_kernel(s->text, size, (void *)zeros);
	return s->done && !s->failed;
}

/*
 * The hash of the statement that the current task has sent; 0 if it is not known. index
 * is that of its connection.
 */
static __always_inline u64 statement_of(struct client *c, u32 index, struct task_struct *task)
{
	struct vector v = sent_from(task);
	u32 zero = 0, size;
	u8 h[HEADER_SIZE] = {};
	struct scan *s = bpf_map_lookup_elem(&scans, &zero);
	u64 hash, *known;

	if (!s || v.length <= HEADER_SIZE || bpf_probe_read_user(h, sizeof(h), (void *)v.base))
		return 0;
	if (h[0] != 'Q' && h[0] != 'P' && h[0] != 'B')
		return 0;
	size = ((u32)h[1] << 24 | (u32)h[2] << 16 | (u32)h[3] << 8 | h[4]) + 1;
	if (size > v.length)
		size = v.length;
	size -= HEADER_SIZE;
	if (size > MAX_TEXT)
		size = MAX_TEXT;
	s->state = h[0] == 'Q' ? SCAN_BETWEEN : h[0] == 'P' ? SCAN_NAME : SCAN_PORTAL;
	s->ends = h[0] == 'B';
	s->last = s->comma = s->single = s->done = s->failed = 0;
	s->name_size = 0;
	scan_begin(s, h[0] == 'Q' ? 0 : index);
	if (!scan_text(s, v.base + HEADER_SIZE, size))
		return 0;
	if (h[0] == 'B') {
		if (!s->name_size)
			return c->unnamed;
		known = bpf_map_lookup_elem(&prepared, &s->name);
		return known ? *known : s->name;
	}
	hash = scan_end(s);
	if (h[0] == 'P' && !s->name_size)
		c->unnamed = hash;
	else if (h[0] == 'P')
		bpf_map_update_elem(&prepared, &s->name, &hash, BPF_ANY);
	return hash;
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
