/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Reads what V8 knows of a function, from the objects in the memory of the process:
 * JSFunction, SharedFunctionInfo, then ScopeInfo (its name and position) and Script
 * (the name of its file). They are read while the thread stands still, because the
 * collector moves objects. Each object's type is checked before a field is read.
 */
#ifndef HEADROOM_V8_H
#define HEADROOM_V8_H

#include "types.h"

/* Constants of V8 without pointer compression, the same in 10.2 to 13.6. */
#define V8_TAG_MASK 3
#define V8_TAG 1
#define V8_MAP_TYPE 12	    /* Map::instance_type */
#define V8_FIRST_FIELD 8    /* of an object, after its map */
#define V8_STRING_LENGTH 12 /* String::length */
#define V8_STRING_DATA 16   /* SeqString's characters; ConsString::first, ThinString::actual */
#define V8_CONS_SECOND 24   /* ConsString::second */
#define V8_SCRIPT_NAME 16   /* Script::name */
#define V8_ISOLATE_BIAS 128 /* of the isolate's address in its register */
#define V8_FIRST_NONSTRING 128
#define V8_REPRESENTATION 7
#define V8_SEQ 0
#define V8_CONS 1
#define V8_THIN 5
#define V8_ONE_BYTE 8
/* ScopeInfo keeps the names of more locals in a table. */
#define V8_MAX_INLINE_LOCALS 75
#define V8_MAX_LOCALS 4096

/* Of ScopeInfo::flags. */
#define V8_SCOPE_TYPE 0xf
#define V8_SAVED_CLASS (1 << 10)
#define V8_FUNCTION_NAME (3 << 12)
#define V8_INFERRED_NAME (1 << 14)

/* Of StateTag (v8-unwinder.h). */
#define V8_STATE_GC 1
#define V8_LAST_STATE 10

/* Processes whose functions are read, of each runtime. */
#define MAX_LAYOUTS 1024
/* Frames that are walked. */
#define MAX_WALK 128
/* The words of the stack that are searched for the isolate. */
#define STACK_WORDS 1024

/* Parts of a name: "module" + "." + "exports" + ".handler". */
#define V8_NAME_PARTS 6

/* A text under construction, with room for a part that begins at its end. */
struct v8_text {
	u32 length; /* bytes */
	u32 wide;   /* UTF-16 */
	char bytes[2 * CODE_FILE];
};

/* A walk from frame to frame. */
struct walk {
	u64 fp;	    /* of the next frame */
	u64 sfi;    /* of the function read last */
	u64 script; /* whose name is that of the function read last */
	struct v8_layout layout;
};

/* The same in CPython. */
struct py_walk {
	u64 thread; /* PyThreadState */
	u64 frame;  /* the next one */
	u64 code;   /* of the function read last */
	struct py_layout layout;
};

/*
 * What a capture works on. It is in a map, not on the stack, also because the verifier then
 * takes each step of a walk for the same.
 */
struct stack_scratch {
	u64 vm; /* the state of the thread: V8's isolate, PyThreadState */
	struct walk walk;
	struct py_walk py;
	struct stack_sample sample;
	struct v8_text text;
	u64 words[STACK_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stack_scratch);
} stack_scratch SEC(".maps");

static __always_inline struct v8_text *v8_scratch_text(void)
{
	u32 zero = 0;
	struct stack_scratch *s = bpf_map_lookup_elem(&stack_scratch, &zero);

	return s ? &s->text : NULL;
}

static __always_inline u64 v8_word(u64 at)
{
	u64 v = 0;

	if (bpf_probe_read_user(&v, sizeof(v), (void *)at))
		return 0;
	return v;
}

static __always_inline bool v8_is_object(u64 v)
{
	return (v & V8_TAG_MASK) == V8_TAG && v >> 47 == 0;
}

/* The field of an object at a byte offset. */
static __always_inline u64 v8_field(u64 object, u32 offset)
{
	return v8_word(object - V8_TAG + offset);
}

/*
 * The following functions are not static: the verifier checks such a function once, and
 * not in every combination of the branches that lead to it.
 */

/* The type of an object, 0 if v is none. */
__noinline u32 v8_type(u64 v)
{
	u16 type = 0;
	u64 map;

	if (!v8_is_object(v))
		return 0;
	map = v8_field(v, 0);
	if (!v8_is_object(map) || bpf_probe_read_user(&type, sizeof(type), (void *)(map - V8_TAG + V8_MAP_TYPE)))
		return 0;
	return type;
}

static __always_inline bool v8_is_string(u32 type, u32 representation)
{
	return type && type < V8_FIRST_NONSTRING && (type & V8_REPRESENTATION) == representation;
}

/* The string that a string of this type stands for. */
static __always_inline u64 v8_actual(u64 string, u32 *type)
{
	*type = v8_type(string);
	if (!v8_is_string(*type, V8_THIN))
		return string;
	string = v8_field(string, V8_STRING_DATA);
	*type = v8_type(string);
	return string;
}

/* Appends a string that lies in one piece to the text. 0: it is none, or too long. */
__noinline int v8_append(u64 string, u32 type)
{
	struct v8_text *t = v8_scratch_text();
	u32 length = 0, at, wide = !(type & V8_ONE_BYTE);

	if (!t || !v8_is_string(type, V8_SEQ))
		return 0;
	if (bpf_probe_read_user(&length, sizeof(length), (void *)(string - V8_TAG + V8_STRING_LENGTH)))
		return 0;
	if (!length)
		return 1;
	at = t->length;
	if (length > CODE_FILE || at > CODE_FILE || (at && t->wide != wide))
		return 0;
	t->wide = wide;
	length += length & -wide;
	if (length > CODE_FILE || at + length > CODE_FILE)
		return 0;
	if (bpf_probe_read_user(t->bytes + at, length, (void *)(string - V8_TAG + V8_STRING_DATA)))
		return 0;
	t->length = at + length;
	return 1;
}

/* Reads a string in one piece or in a few, such as the name of a method. 0: it is none. */
__noinline int v8_read_text(u64 string)
{
	struct v8_text *t = v8_scratch_text();
	u32 i, type;
	u64 part;

	if (!t)
		return 0;
	t->length = t->wide = 0;
	for (i = 0; i < V8_NAME_PARTS; i++) {
		string = v8_actual(string, &type);
		if (!v8_is_string(type, V8_CONS))
			return v8_append(string, type);
		part = v8_actual(v8_field(string, V8_STRING_DATA), &type);
		if (!v8_append(part, type))
			return 0;
		string = v8_field(string, V8_CONS_SECOND);
	}
	return 0;
}

#endif
