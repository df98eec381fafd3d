/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What a statement of PostgreSQL does, and with which table, told by its words:
 *
 *	SELECT … FROM t			reads t
 *	SELECT … FROM t JOIN u		reads, and which tables is not followed
 *	INSERT INTO t, UPDATE t, DELETE FROM t
 *
 * Whatever is not certain counts as more: as any table, or as a statement that can write.
 * What functions and triggers write is not seen.
 */
#ifndef HEADROOM_WORDS_H
#define HEADROOM_WORDS_H

/* What the next word can be. */
enum scan_expects {
	EXPECTS_NOTHING,
	EXPECTS_VERB,	 /* the first word of the statement */
	EXPECTS_TABLE,	 /* the name of a table */
	EXPECTS_ALIAS,	 /* a table was named: a point, a comma or a bracket change what it is */
	EXPECTS_ALIAS_2, /* the same after one word, such as AS, and after two */
	EXPECTS_ALIAS_3,
	EXPECTS_END,
};

/* A word of up to eight letters, in lower case, as a number. */
#define WORD_OF(...) word_of((const u8[8]){ __VA_ARGS__ })
#define SELECT WORD_OF('s', 'e', 'l', 'e', 'c', 't')
#define WITH WORD_OF('w', 'i', 't', 'h')
#define INSERT WORD_OF('i', 'n', 's', 'e', 'r', 't')
#define UPDATE WORD_OF('u', 'p', 'd', 'a', 't', 'e')
#define DELETE WORD_OF('d', 'e', 'l', 'e', 't', 'e')
#define MERGE WORD_OF('m', 'e', 'r', 'g', 'e')
#define FROM WORD_OF('f', 'r', 'o', 'm')
#define INTO WORD_OF('i', 'n', 't', 'o')
#define ONLY WORD_OF('o', 'n', 'l', 'y')
#define JOIN WORD_OF('j', 'o', 'i', 'n')
#define FOR WORD_OF('f', 'o', 'r')
#define KEY WORD_OF('k', 'e', 'y')
#define SHARE WORD_OF('s', 'h', 'a', 'r', 'e')

static __always_inline u64 word_of(const u8 c[8])
{
	return c[0] | (u64)c[1] << 8 | (u64)c[2] << 16 | (u64)c[3] << 24 | (u64)c[4] << 32 | (u64)c[5] << 40 |
	       (u64)c[6] << 48 | (u64)c[7] << 56;
}

#define LOWER_CASE 0x2020202020202020ULL

/* The word that ends before at, as a number; 0 if it is longer. */
static __always_inline u64 word_before(struct scan *s, u32 at)
{
	u32 n = at - s->from;

	return n - 1 < 8 ? (eight(s, s->from) | LOWER_CASE) & (~0ULL >> (64 - 8 * n)) : 0;
}

/* Names that are longer are told apart by their beginning and length. */
#define TABLE_WORDS 4

/* A number for the name that ends before at, without case: as a word, or in quotes. */
static __always_inline u64 name_before(struct scan *s, u32 at)
{
	u32 n = at - s->from, i, left;
	u64 name = secret[0] ^ n, word;

	for (i = 0; i < TABLE_WORDS; i++) {
		left = n - 8 * i;
		if (8 * i >= n)
			break;
		word = eight(s, s->from + 8 * i) | LOWER_CASE;
		if (left < 8)
			word &= ~0ULL >> (64 - 8 * left);
		name = (name ^ word) * (secret[1] | 1);
		name ^= name >> 32;
	}
	return name;
}

/* Statements that change no table. Of others, such as CALL or COPY, that is not known. */
static __always_inline bool is_harmless(u64 verb)
{
	return verb == WORD_OF('b', 'e', 'g', 'i', 'n') || verb == WORD_OF('s', 't', 'a', 'r', 't') ||
	       verb == WORD_OF('c', 'o', 'm', 'm', 'i', 't') || verb == WORD_OF('e', 'n', 'd') ||
	       verb == WORD_OF('r', 'o', 'l', 'l', 'b', 'a', 'c', 'k') || verb == WORD_OF('a', 'b', 'o', 'r', 't') ||
	       verb == WORD_OF('r', 'e', 'l', 'e', 'a', 's', 'e') || verb == WORD_OF('s', 'e', 't') ||
	       verb == WORD_OF('r', 'e', 's', 'e', 't') || verb == WORD_OF('s', 'h', 'o', 'w') ||
	       verb == WORD_OF('d', 'i', 's', 'c', 'a', 'r', 'd') || verb == WORD_OF('l', 'i', 's', 't', 'e', 'n') ||
	       verb == WORD_OF('f', 'e', 't', 'c', 'h') || verb == WORD_OF('c', 'l', 'o', 's', 'e');
}

/* Those whose names are longer than eight letters. */
static __always_inline bool is_harmless_and_long(struct scan *s, u32 at)
{
	u64 first = eight(s, s->from) | LOWER_CASE;

	return at - s->from > 8 && (first == WORD_OF('s', 'a', 'v', 'e', 'p', 'o', 'i', 'n') ||
				    first == WORD_OF('d', 'e', 'a', 'l', 'l', 'o', 'c', 'a'));
}

static __always_inline void verb(struct scan *s, u64 word, u32 at)
{
	s->expects = EXPECTS_NOTHING;
	if (word == SELECT || word == WITH) {
		s->kind = CALL_READ;
		s->with = s->several = s->tables = word == WITH;
	} else if (word == INSERT || word == DELETE) {
		s->kind = CALL_WRITE;
	} else if (word == UPDATE) {
		s->kind = CALL_WRITE;
		s->tables = 1;
		s->expects = EXPECTS_TABLE;
	} else if (is_harmless(word) || is_harmless_and_long(s, at)) {
		s->kind = CALL_OTHER;
	}
}

/* FROM or INTO */
static __always_inline void names_table(struct scan *s, u64 word)
{
	if (s->kind == CALL_READ && word == INTO) { /* SELECT INTO makes a table */
		s->kind = CALL_WRITE;
		s->several = 1;
	} else if (!s->tables) {
		s->tables = 1;
		s->expects = EXPECTS_TABLE;
	} else if (s->kind == CALL_READ) {
		s->several = 1;
	}
}

static __always_inline void keyword(struct scan *s, u64 word)
{
	u64 before = s->before;

	s->before = word;
	if (word == FROM || word == INTO)
		names_table(s, word);
	else if (s->kind != CALL_READ)
		return;
	else if (word == SELECT || word == JOIN)
		s->several = 1;
	else if (s->with && (word == INSERT || word == UPDATE || word == DELETE || word == MERGE))
		s->kind = CALL_UNKNOWN;
	else if ((word == UPDATE || word == SHARE) && (before == FOR || before == KEY))
		s->kind = CALL_OTHER; /* it locks rows */
}

/* A word, or a name in quotes, has ended before at. */
__noinline int end_word(struct scan *s, u32 at)
{
	u64 word;

	if (!s)
		return 0;
	word = word_before(s, at);
	switch (s->expects) {
	case EXPECTS_VERB:
		verb(s, word, at);
		return 0;
	case EXPECTS_TABLE:
		if (word == ONLY)
			return 0;
		s->table = name_before(s, at);
		s->expects = EXPECTS_ALIAS;
		return 0;
	case EXPECTS_END:
		s->more = 1;
		return 0;
	case EXPECTS_ALIAS:
	case EXPECTS_ALIAS_2:
		s->expects++;
		break;
	case EXPECTS_ALIAS_3:
		s->expects = EXPECTS_NOTHING;
		break;
	}
	keyword(s, word);
	return 0;
}

/* A character while something is expected, or a semicolon. */
static __always_inline void punctuation(struct scan *s, u8 b)
{
	u8 expects = s->expects;

	if (b == ';') {
		s->expects = EXPECTS_END;
	} else if (expects == EXPECTS_TABLE) {
		s->several = 1; /* a subquery */
		s->expects = EXPECTS_NOTHING;
	} else if (expects == EXPECTS_ALIAS && b == '.') {
		s->expects = EXPECTS_TABLE;
	} else if (expects == EXPECTS_ALIAS && b == '(' && s->kind == CALL_READ) {
		s->kind = CALL_OTHER; /* a function */
	} else if (b == ',' && expects != EXPECTS_VERB && s->kind == CALL_READ) {
		s->several = 1;
	}
}

/* Sets what the statement does. One that names no table only calls functions. */
static __always_inline void set_action(struct known *k, struct scan *s)
{
	k->kind = s->more ? CALL_UNKNOWN : s->kind == CALL_READ && !s->tables ? CALL_OTHER : s->kind;
	k->table = s->several || k->kind == CALL_UNKNOWN ? 0 : s->table;
}

#endif
