/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Reads what CPython knows of the functions that a thread is in: PyThreadState, found by
 * the thread's pointer (pthread_self), then its frames, and of each PyCodeObject the name,
 * the file and the first line. They are read while the thread stands still. Each object's
 * type is checked before a field is read, and a thread's state must name the thread and
 * its interpreter, so that a wrong layout reads nothing.
 */
#ifndef HEADROOM_PYTHON_H
#define HEADROOM_PYTHON_H

#include "v8.bpf.h"

/* Threads of an interpreter that are searched. */
#define PY_MAX_THREADS 256
/* PyObject and str, the same in 3.11 to 3.13; the length is PyASCIIObject::length. */
#define PY_TYPE 8
#define PY_LENGTH 16
#define PY_STATE 32
/* Of PyASCIIObject::state. */
#define PY_KIND(state) ((state) >> 2 & 7)
#define PY_COMPACT (1 << 5)
#define PY_ASCII (1 << 6)
#define PY_LATIN1 1
#define PY_UTF16 2
/* The owner of a frame: its thread, in the stack of Python's frames. */
#define PY_THREAD 0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LAYOUTS);
	__type(key, u32);
	__type(value, struct py_layout);
} py_layouts SEC(".maps");

static __always_inline bool py_is(u64 object, u64 type)
{
	return object && !(object & 7) && v8_word(object + PY_TYPE) == type;
}

#if defined(__TARGET_ARCH_x86)
/* The part of the kernel's task_struct and thread_struct that only this file reads. */
struct thread_struct___x86 {
	unsigned long fsbase;
};

struct task_struct___x86 {
	struct thread_struct___x86 thread;
};
#endif

/* The pointer to its own data that libc gives to a thread, which is its pthread_self. */
static __always_inline u64 thread_pointer(struct task_struct *t)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ((struct task_struct___x86 *)t, thread.fsbase);
#else
	return 0;
#endif
}

static __always_inline struct stack_scratch *py_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&stack_scratch, &zero);
}

/* Reads a str into the text. 0: it is none, too long, or has characters beyond UTF-16. */
__noinline int py_read_text(u64 string)
{
	struct stack_scratch *s = py_scratch();
	u64 head[3]; /* length, hash, state */
	u32 length, at;

	if (!s)
		return 0;
	s->text.length = 0;
	if (!py_is(string, s->py.layout.text_type) ||
	    bpf_probe_read_user(head, sizeof(head), (void *)(string + PY_LENGTH)))
		return 0;
	if (!(head[2] & PY_COMPACT) || head[0] > CODE_FILE)
		return 0;
	at = head[2] & PY_ASCII ? s->py.layout.ascii_text : s->py.layout.other_text;
	s->text.wide = PY_KIND(head[2]) == PY_UTF16;
	if (!s->text.wide && PY_KIND(head[2]) != PY_LATIN1)
		return 0;
	length = head[0];
	if (s->text.wide)
		length *= 2;
	if (length > CODE_FILE || bpf_probe_read_user(s->text.bytes, length, (void *)(string + at)))
		return 0;
	s->text.length = length;
	return length != 0;
}

/* The name within its module, or the plain name if that is too long. */
static __always_inline void py_read_name(struct stack_scratch *s, struct code_frame *f, u64 code)
{
	const struct py_layout *layout = &s->py.layout;

	if (!py_read_text(v8_word(code + layout->code_qualname)) || s->text.length > CODE_NAME) {
		if (!py_read_text(v8_word(code + layout->code_name)) || s->text.length > CODE_NAME)
			return;
	}
	f->name_length = s->text.length;
	f->flags |= CODE_NAMED;
	if (s->text.wide)
		f->flags |= CODE_NAME_WIDE;
	__builtin_memcpy(f->name, s->text.bytes, CODE_NAME);
}

static __always_inline void py_read_file(struct stack_scratch *s, struct code_frame *f, u64 code)
{
	if (!py_read_text(v8_word(code + s->py.layout.code_file)))
		return;
	f->file_length = s->text.length;
	f->flags |= CODE_SCRIPT;
	if (s->text.wide)
		f->flags |= CODE_FILE_WIDE;
	__builtin_memcpy(f->file, s->text.bytes, CODE_FILE);
}

/* Reads the function that a code object is the code of. */
static __always_inline void py_read_function(struct stack_scratch *s, u64 code)
{
	struct stack_sample *sample = &s->sample;
	u32 n = sample->head.count;
	struct code_frame *f;

	if (code == s->py.code || n >= STACK_FRAMES)
		return; /* it has called itself */
	s->py.code = code;
	f = &sample->frames[n];
	f->end = 0;
	f->flags = f->name_length = f->file_length = 0;
	f->start = (u32)v8_word(code + s->py.layout.code_line);
	if (f->start && f->start < 1 << 30)
		f->flags |= CODE_LINE;
	py_read_name(s, f, code);
	py_read_file(s, f, code);
	sample->head.count = n + 1;
}

/*
 * Whether a frame of the thread is not in use: CPython 3.11 and 3.12 link the C frame of
 * the interpreter before they set its first frame, which is then what is left of another.
 */
static __always_inline bool py_is_popped(struct stack_scratch *s, u64 frame)
{
	const struct py_layout *layout = &s->py.layout;

	if (!layout->stack_top)
		return false;
	return frame >= v8_word(s->py.thread + layout->stack_top) &&
	       frame < v8_word(s->py.thread + layout->stack_limit);
}

/* Reads one frame, and goes to its caller. Non-zero ends the walk. */
static long py_walk_frame(u32 i, struct stack_scratch **scratch)
{
	struct stack_scratch *s = *scratch;
	const struct py_layout *layout = &s->py.layout;
	u64 frame = s->py.frame, code = v8_word(frame + layout->frame_code);
	u8 owner = 0;

	if (!frame)
		return 1; /* the first function */
	if (frame & 7 || bpf_probe_read_user(&owner, sizeof(owner), (void *)(frame + layout->frame_owner)))
		goto unreadable;
	if (owner != layout->c_owner) {
		if (!py_is(code, layout->code_type) || (owner == PY_THREAD && py_is_popped(s, frame)))
			goto unreadable;
		py_read_function(s, code);
	}
	s->py.frame = v8_word(frame + layout->frame_previous);
	return s->sample.head.count >= STACK_FRAMES;

unreadable:
	s->sample.head.result = STACK_UNREADABLE;
	return 1;
}

/* Whether a word is the state of the thread. */
static __always_inline bool py_is_thread(struct stack_scratch *s, u64 state, u64 pointer, u64 interpreter)
{
	const struct py_layout *layout = &s->py.layout;

	return state && !(state & 7) && v8_word(state + layout->thread_id) == pointer &&
	       v8_word(state + layout->thread_interpreter) == interpreter;
}

/* A search of the threads of an interpreter. */
struct py_search {
	struct stack_scratch *s;
	u64 pointer;
	u64 interpreter;
	u64 at;
	u64 found;
};

static long py_look_for_thread(u32 i, struct py_search *q)
{
	if (!q->at)
		return 1;
	if (py_is_thread(q->s, q->at, q->pointer, q->interpreter)) {
		q->found = q->at;
		return 1;
	}
	q->at = v8_word(q->at + q->s->py.layout.thread_next);
	return 0;
}

/* Where CPython keeps the state of the thread, 0 if that is not known. */
static __always_inline u64 py_find_thread(struct stack_scratch *s)
{
	struct py_search q = { .s = s };
	const struct py_layout *layout = &s->py.layout;

	q.pointer = thread_pointer(bpf_get_current_task_btf());
	q.interpreter = v8_word(layout->interpreter);
	if (!q.pointer || !q.interpreter)
		return 0;
	if (py_is_thread(s, s->vm, q.pointer, q.interpreter))
		return s->vm;
	q.at = v8_word(q.interpreter + layout->threads);
	bpf_loop(PY_MAX_THREADS, py_look_for_thread, &q, 0);
	s->vm = q.found;
	return q.found;
}

/* Walks the frames of the current thread. */
static __always_inline u8 py_walk(struct stack_scratch *s)
{
	const struct py_layout *layout = &s->py.layout;

	s->py.thread = py_find_thread(s);
	if (!s->py.thread)
		return STACK_UNREADABLE;
	s->py.frame = v8_word(s->py.thread + layout->thread_frame);
	if (layout->c_frame)
		s->py.frame = v8_word(s->py.frame + layout->c_frame - 1);
	if (!s->py.frame)
		return STACK_OUTSIDE;
	s->py.code = 0;
	s->sample.head.result = STACK_READ;
	bpf_loop(MAX_WALK, py_walk_frame, &s, 0);
	return s->sample.head.result;
}

#endif
