/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What the programs keep and Go reads. Times are ns of CLOCK_MONOTONIC. No
 * implicit padding.
 */
#ifndef HEADROOM_REQUESTS_TYPES_H
#define HEADROOM_REQUESTS_TYPES_H

#include "duration.bpf.h"

enum conn_flags {
	CONN_LEFT_OUT = 1, /* of a protocol whose messages are not requests and answers */
	CONN_GOODBYE = 2,  /* the client closed right after its last bytes */
	CONN_STREAM = 4,   /* the client goes on sending without an answer */
	CONN_CLOSING = 8,  /* the client sends no more */
	CONN_CLOSED = 16,  /* the process sends no more */
	CONN_EARLIER = 32, /* the request in flight arrived before the probe started */
};

/* One connection that a listener accepted, or will accept. */
struct conn {
	u64 since;     /* when the first bytes of the request in flight arrived; 0: there is none */
	u32 seq;       /* tcp_sock.write_seq at since: an answer advances it */
	u32 tgid;      /* the process that last sent on it, or has it open; 0: not known yet */
	u32 slot;      /* of struct server, if tgid is known */
	u16 port;      /* of the listener; 0: this entry is free */
	u8 looks;      /* sends whose first bytes were compared with protocols */
	u8 flags;      /* enum conn_flags */
	u32 inspected; /* the last pass over open files that found it */
	u32 unread;    /* 1: its process had not read the request then */
};

/* A process that serves, and the port of its listener. */
struct server_key {
	u32 tgid;
	u32 port;
};

/* The requests that one process answered on one port. */
struct server {
	struct server_key key;
	u64 start_boottime; /* of the process */
	u64 unanswered;	    /* requests whose connection was closed without an answer */
	struct duration durations[DURATION_BUCKETS];
};

/* The connections that wanted to wait in the accept queue of a listener at a time. */
struct burst {
	u32 drops;   /* sock.sk_drops when the queue was last empty */
	u32 queue;   /* its length after the last connection */
	u32 most;    /* connections, since the last reading */
	u32 reading; /* to which most belongs */
};

enum protocol {
	PROTOCOL_UNKNOWN,
	PROTOCOL_POSTGRES,
	PROTOCOL_REDIS,
};

enum client_flags {
	CLIENT_OPAQUE = 1,   /* to the port of a database, encrypted or unreadable */
	CLIENT_ASKED = 2,    /* it has asked PostgreSQL for encryption */
	CLIENT_IN_USE = 4,   /* used is set */
	CLIENT_WAS_READ = 8, /* the receiving program has seen an answer on it */
};

/* What a call to PostgreSQL does, as far as its statement tells. */
enum call_kind {
	CALL_UNKNOWN, /* it can write anything: a procedure, several statements, a text that was not seen */
	CALL_READ,    /* it selects from tables */
	CALL_WRITE,
	CALL_OTHER, /* neither: it begins a transaction, locks rows, calls a function, prepares a statement */
};

/* A statement without its literals. */
struct known {
	u64 hash;
	u64 table; /* the only one that it reads or writes; 0: several, or not known */
	u32 kind;  /* enum call_kind */
	u32 pad;
};

/* A process that calls, and the address that it calls. IPv4 is ::ffff:a.b.c.d. */
struct upstream_key {
	u32 addr[4]; /* in network order */
	u32 tgid;
	u32 port;
};

/* One connection that a process of this host opened. */
struct client {
	u64 since;		 /* when the call without an answer was sent; 0: there is none */
	u64 arrived;		 /* when the first bytes of its answer arrived, until they are read */
	u64 used;		 /* since when it is in use, if CLIENT_IN_USE */
	u64 idle;		 /* since when it is in a transaction and nothing is sent; 0: it is not */
	u64 statement;		 /* the hash of the call's statement; 0: it is not known */
	u64 read;		 /* that of the statement with its values, if a cache could have the answer; or 0 */
	u64 version;		 /* writes to what the call reads, when it was sent */
	u64 received;		 /* tcp_sock.bytes_received then */
	u64 took;		 /* time until the answer of the read arrived, until it is read; or 0 */
	struct known unnamed;	 /* the unnamed statement that it has prepared */
	struct upstream_key key; /* tgid is 0 until it is known; port 0: this entry is free */
	u32 seq;		 /* tcp_sock.write_seq when bytes last arrived */
	u32 entry;		 /* one more than the index of struct upstream; 0: none */
	u8 protocol;		 /* enum protocol */
	u8 flags;		 /* enum client_flags */
	u8 looks;		 /* sends and receptions whose bytes belonged to no known protocol */
	u8 pad[5];
};

/* The calls of one process to one address. */
struct upstream {
	struct upstream_key key;
	u64 start_boottime; /* of the process */
	u64 busy_since;	    /* when the first of the calls without an answer was sent */
	u64 busy;	    /* time with at least one call without an answer, until busy_since */
	u64 used;	    /* time for which connections were in use, of those uses that have ended */
	u64 uses;
	u64 idle;	/* time of used in a transaction with nothing sent */
	u64 late;	/* from the arrival of answers until they were read */
	u64 unreadable; /* receptions whose bytes are not known */
	u64 reads;	/* calls whose answer a cache could have */
	u64 read_ns;	/* their time */
	u64 writes;
	u64 unclear;   /* calls of CALL_UNKNOWN */
	u64 dropped;   /* reads of the sample for which the ring buffer had no room */
	u32 active;    /* calls without an answer */
	u32 protocol;  /* enum protocol */
	u32 confirmed; /* 1: an answer was of this protocol too */
	u32 rtt;       /* least round trip, in µs; 0: not known */
	struct duration durations[DURATION_BUCKETS];
};

/* A statement without its literals, as a hash, of one entry of upstreams. */
struct statement_key {
	u64 hash;
	u32 slot;
	u32 pad;
};

struct statement {
	u64 calls;
	u64 ns;
};

/* A call of the sample whose answer a cache could have. */
struct read {
	u64 key;     /* the hash of the statement with its values */
	u64 version; /* another one: what it reads was written */
	u64 at;	     /* when the answer was read */
	u64 ns;
	u32 bytes; /* of the answer */
	u32 slot;  /* of struct upstream */
};

/* Events dropped because a map was full. */
struct losses {
	u64 connections;
	u64 servers;
	u64 ports;
	u64 clients;
	u64 upstreams;
};

#endif
