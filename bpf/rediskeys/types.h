/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What the program and Go share. No implicit padding. */
#ifndef HEADROOM_REDISKEYS_TYPES_H
#define HEADROOM_REDISKEYS_TYPES_H

/* The longest name in the table of commands. */
#define NAME_SIZE 16

/* What a command does with its keys. */
enum access {
	ACCESS_READ,
	ACCESS_WRITE,
	ACCESS_DELETE,
	ACCESS_FLUSH, /* deletes all keys, and names none */
};

/* Which arguments of a command are keys. */
enum keys {
	KEYS_NONE,
	KEYS_FIRST,
	KEYS_ALL,
	KEYS_PAIRS, /* the first, the third …: a value follows each */
	KEYS_DB,    /* none: the first is the number of a database */
	KEYS_MULTI, /* none: the commands that follow wait for EXEC */
	KEYS_EXEC,
	KEYS_DISCARD, /* none: those that wait do not run */
};

/* The name of a command, each byte | 0x20, which makes it lower case. */
struct name {
	u8 bytes[NAME_SIZE];
};

struct command {
	u8 access; /* enum access */
	u8 keys;   /* enum keys */
};

/* An access to a key in the sample. */
struct event {
	u64 hash;
	u32 slot; /* of struct server */
	u32 access;
};

/* What one process has received. */
struct server {
	u64 reads;     /* of keys */
	u64 writes;    /* and deletions */
	u64 uncounted; /* commands whose keys are not known, and receptions that are no commands */
	u64 lost;      /* events dropped because the ring buffer was full */
};

#endif
