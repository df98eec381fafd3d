/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Which functions a thread is in: that of a loop during a long tick, and any that is busy.
 * A clock on each CPU samples the threads that run, and the switches that happen anyway the
 * loops that block.
 *
 * V8 links its frames by frame pointers, but the C++ that they call (node, libc, OpenSSL)
 * has none, and its stack also holds what is left of frames that have returned. V8 itself
 * keeps where its frames begin, for its garbage collector, in the isolate:
 *
 *	exit_frame	the frame that called C++, 0 in JavaScript
 *	fast_caller	the same, for calls that cannot collect garbage
 *	entry_frame_at	the first frame that C++ called, 0 outside of JavaScript
 *
 * JavaScript keeps the address of the isolate in a register. C++ that has changed this
 * register has saved it on the stack, where it is found: the isolate has a pointer to itself.
 */
#ifndef HEADROOM_FRAMES_H
#define HEADROOM_FRAMES_H

#include "v8.bpf.h"
#include "python.bpf.h"

#define STACK_BYTES (STACK_WORDS * 8)
#define STACK_PAGE 4096
/* What a stack may take: the limit of main threads. */
#define MAX_STACK (8 << 20)
/* The entry frame saves the exit frame of the C++ before it below its marker and five registers. */
#define ENTRY_SAVED_EXIT 64
/*
 * Captures of a loop that is about to block, of each class of system calls: one in
 * CAPTURE_EVERY, and CAPTURE_BURST more at once. The unit is 2^20 ns, about 1 ms. Short
 * sleeps are many in some classes (V8 waits for its helpers in futex) and must not use up
 * what the others have.
 */
#define CAPTURE_EVERY 100
#define CAPTURE_BURST 3
#define CAPTURE_SHIFT 20
/*
 * A thread that the clock finds BUSY_HITS times in a window of 2^30 ns is busy in the next
 * one. One in BUSY_EVERY of the hits of busy threads is a sample: about 25 a second. The
 * whole host has at most about BUSY_SAMPLES in a window, so that all samples together take
 * less than 1 % of a core: each takes up to 0.1 ms.
 */
#define BUSY_SHIFT 30
#define BUSY_HITS 50
#define BUSY_EVERY 4
#define BUSY_SAMPLES 100
/* Threads of watched processes that are no loops, of which the clock remembers something. */
#define MAX_HOT_THREADS 1024
/* Samples of a thread without a state of its runtime, after which it is no longer sampled. */
#define MAX_STATELESS 10

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LAYOUTS);
	__type(key, u32);
	__type(value, struct v8_layout);
} layouts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} stacks SEC(".maps");

u64 lost_stacks = 0;

/* A thread of a watched process that is no loop. */
struct hot_thread {
	struct pulse pulse;
	u32 tgid;
	u32 stateless; /* samples in which it had no state of its runtime */
	u64 vm;	       /* as in struct loop */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_HOT_THREADS);
	__type(key, u32);
	__type(value, struct hot_thread);
} hot_threads SEC(".maps");

/* Hits of busy threads on all CPUs in the current window, and one in how many is a sample. */
u32 busy_window = 0;
u32 busy_hits = 0;
u32 busy_every = 0;

/* What precedes a frame's saved frame pointer: the type of a frame of V8's own, or a context. */
static __always_inline bool is_typed(u64 marker)
{
	return !(marker & 1) && marker && marker < 2 * MAX_FRAME_TYPE;
}

static __always_inline bool is_entry(const struct v8_layout *layout, u64 marker)
{
	return marker == 2 * (u64)layout->entry_frame || marker == 2 * (u64)layout->construct_entry_frame;
}

static __always_inline bool on_stack(u64 address, u64 sp)
{
	return !(address & 7) && address >= sp && address - sp < MAX_STACK;
}

/* Whether a word is the isolate's address in its register: the isolate has a pointer to itself. */
static __always_inline bool is_isolate(struct stack_scratch *s, u64 word)
{
	if (!word || word & 7 || word >> 47)
		return false;
	return v8_word(word + s->walk.layout.self) == word - V8_ISOLATE_BIAS;
}

/* What a process runs. */
enum runtime {
	RUNTIME_NONE,
	RUNTIME_V8,
	RUNTIME_PYTHON,
};

/* What of a stack is searched for the isolate. */
struct isolate_search {
	struct stack_scratch *s;
	u64 found;
};

static long look_for_isolate(u32 i, struct isolate_search *q)
{
	if (i >= STACK_WORDS)
		return 1;
	if (!is_isolate(q->s, q->s->words[i]))
		return 0;
	q->found = q->s->words[i];
	return 1;
}

/* Copies the stack, up to where it ends. Returns the number of words. */
static __always_inline u32 read_stack(struct stack_scratch *s, u64 sp)
{
	u32 have = STACK_PAGE - (sp & (STACK_PAGE - 1));

	if (bpf_probe_read_user(s->words, have, (void *)sp))
		return 0;
	if (!bpf_probe_read_user((char *)s->words + have, STACK_BYTES - STACK_PAGE, (void *)(sp + have)))
		have += STACK_BYTES - STACK_PAGE;
	return have / 8;
}

/* Where V8 keeps the state of the thread, 0 if that is not known. */
static __always_inline u64 find_isolate(struct stack_scratch *s, u64 in_register, u64 sp)
{
	struct isolate_search q = { .s = s };

	if (is_isolate(s, s->vm))
		return s->vm;
	if (is_isolate(s, in_register))
		q.found = in_register;
	else
		bpf_loop(read_stack(s, sp), look_for_isolate, &q, 0);
	s->vm = q.found;
	return q.found;
}

/* Reads a name into f. It is "" if the string is none. */
static __always_inline bool read_name(struct stack_scratch *s, struct code_frame *f, u64 string)
{
	if (!v8_read_text(string) || !s->text.length || s->text.length > CODE_NAME)
		return false;
	f->name_length = s->text.length;
	if (s->text.wide)
		f->flags |= CODE_NAME_WIDE;
	__builtin_memcpy(f->name, s->text.bytes, CODE_NAME);
	return true;
}

/* The name, and where the function begins and ends in its file. */
static __always_inline void read_scope(struct stack_scratch *s, struct code_frame *f, u64 scope)
{
	const struct v8_layout *layout = &s->walk.layout;
	u64 flags = v8_field(scope, V8_FIRST_FIELD) >> (layout->flags_shift & 63);
	u64 locals = v8_field(scope, V8_FIRST_FIELD + 2 * 8) >> 32;
	u64 at = scope - V8_TAG + V8_FIRST_FIELD + 8 * (u64)layout->first_vars;
	u64 positions = at - 2 * 8;

	if ((flags & V8_SCOPE_TYPE) != layout->function_scope || locals > V8_MAX_LOCALS)
		return;
	at += 8 * (locals + (locals < V8_MAX_INLINE_LOCALS ? locals : 1));
	if (flags & V8_SAVED_CLASS)
		at += 8;
	if (flags & V8_FUNCTION_NAME) {
		if (read_name(s, f, v8_word(at)))
			f->flags |= CODE_NAMED;
		at += 2 * 8;
	}
	if (flags & V8_INFERRED_NAME) {
		if (!(f->flags & CODE_NAMED) && read_name(s, f, v8_word(at)))
			f->flags |= CODE_INFERRED;
		at += 8;
	}
	if (!layout->positions_first)
		positions = at;
	f->start = v8_word(positions) >> 32;
	f->end = v8_word(positions + 8) >> 32;
	if (f->end > f->start)
		f->flags |= CODE_POSITION;
}

static __always_inline void read_script(struct stack_scratch *s, struct code_frame *f, u32 n, u64 script)
{
	struct code_frame *last;

	/* Functions that call each other are often in the same file. */
	if (n && script == s->walk.script) {
		last = &s->sample.frames[n - 1];
		f->flags |= last->flags & (CODE_SCRIPT | CODE_FILE_WIDE);
		f->file_length = last->file_length;
		__builtin_memcpy(f->file, last->file, CODE_FILE);
		return;
	}
	s->walk.script = script;
	if (v8_type(script) != s->walk.layout.script)
		return;
	f->flags |= CODE_SCRIPT;
	if (!v8_read_text(v8_field(script, V8_SCRIPT_NAME)) || s->text.length > CODE_FILE)
		return;
	f->file_length = s->text.length;
	if (s->text.wide)
		f->flags |= CODE_FILE_WIDE;
	__builtin_memcpy(f->file, s->text.bytes, CODE_FILE);
}

/* Reads the function of a frame. False: it is none. */
static __always_inline bool read_function(struct stack_scratch *s, u64 function)
{
	const struct v8_layout *layout = &s->walk.layout;
	struct stack_sample *sample = &s->sample;
	u32 n = sample->head.count, type = v8_type(function);
	u64 sfi = v8_field(function, layout->function_shared), scope;
	struct code_frame *f;

	if (type < layout->first_function || type > layout->last_function || v8_type(sfi) != layout->shared)
		return false;
	if (sfi == s->walk.sfi || n >= STACK_FRAMES)
		return true; /* it has called itself */
	s->walk.sfi = sfi;
	f = &sample->frames[n];
	f->start = f->end = 0;
	f->flags = f->name_length = f->file_length = 0;
	scope = v8_field(sfi, layout->shared_scope);
	if (v8_type(scope) == layout->scope_info)
		read_scope(s, f, scope);
	else if (read_name(s, f, scope))
		f->flags |= CODE_NAMED; /* one of V8's own */
	read_script(s, f, n, v8_field(sfi, layout->shared_script));
	sample->head.count = n + 1;
	return true;
}

/* Reads one frame, and goes to its caller. Non-zero ends the walk. */
static long walk_frame(u32 i, struct stack_scratch **scratch)
{
	struct stack_scratch *s = *scratch;
	u64 frame[4], caller, fp = s->walk.fp;

	/* function, marker or context, the caller's frame, where it returns to */
	if (bpf_probe_read_user(frame, sizeof(frame), (void *)(fp - 16)))
		goto unreadable;
	caller = frame[2];
	if (is_typed(frame[1])) {
		if (is_entry(&s->walk.layout, frame[1])) {
			caller = v8_word(fp - ENTRY_SAVED_EXIT);
			if (!caller)
				return 1; /* the first */
		}
	} else if (!v8_is_object(frame[1]) || !read_function(s, frame[0])) {
		goto unreadable;
	}
	if (!on_stack(caller, fp + 8))
		goto unreadable;
	s->walk.fp = caller;
	return s->sample.head.count >= STACK_FRAMES;

unreadable:
	s->sample.head.result = STACK_UNREADABLE;
	return 1;
}

/* Walks the frames of a thread whose stack ends at sp. */
static __always_inline u8 walk_frames(struct stack_scratch *s, u64 isolate, u64 sp, u64 fp)
{
	const struct v8_layout *layout = &s->walk.layout;
	u64 entry = v8_word(isolate + layout->entry_frame_at);
	u64 start = v8_word(isolate + layout->exit_frame);

	if (!entry)
		return STACK_OUTSIDE;
	if (!start)
		start = v8_word(isolate + layout->fast_caller);
	if (!start)
		start = fp;
	if (!on_stack(entry, sp) || !on_stack(start, sp) || start > entry)
		return STACK_UNREADABLE;
	s->walk.fp = start;
	s->walk.sfi = 0;
	s->sample.head.result = STACK_READ;
	bpf_loop(MAX_WALK, walk_frame, &s, 0);
	return s->sample.head.result;
}

static __always_inline void send_stack(struct stack_sample *sample)
{
	u32 n = sample->head.count;
	u64 size = sizeof(sample->head);

	if (n <= STACK_FRAMES) {
		barrier_var(n); /* the verifier needs the bound before the multiplication */
		size += n * sizeof(struct code_frame);
	}
	if (bpf_ringbuf_output(&stacks, sample, size, BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&lost_stacks, 1);
}

/* Whether the collector of V8 runs. It stops JavaScript, so that the stack is what it interrupted. */
static __always_inline u8 v8_collector(const struct v8_layout *layout, u64 isolate)
{
	u16 state = 0;

	if (bpf_probe_read_user(&state, sizeof(state), (void *)(isolate + layout->vm_state)) || state > V8_LAST_STATE)
		return COLLECTOR_UNKNOWN;
	return state == V8_STATE_GC ? COLLECTOR_RUNS : COLLECTOR_RESTS;
}

static __always_inline u8 read_v8(struct stack_scratch *s)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(t);
	u64 isolate = find_isolate(s, regs->ISOLATE_REGISTER, regs->STACK_POINTER);

	if (!isolate)
		return STACK_UNREADABLE;
	s->sample.head.collector = v8_collector(&s->walk.layout, isolate);
	return walk_frames(s, isolate, regs->STACK_POINTER, regs->FRAME_POINTER);
}

/* Finds out how the functions of a process are read. */
static __always_inline enum runtime find_layout(struct stack_scratch *s, u32 tgid)
{
	const struct v8_layout *v8 = bpf_map_lookup_elem(&layouts, &tgid);
	const struct py_layout *py;

	if (v8) {
		s->walk.layout = *v8;
		return RUNTIME_V8;
	}
	py = bpf_map_lookup_elem(&py_layouts, &tgid);
	if (!py)
		return RUNTIME_NONE;
	s->py.layout = *py;
	return RUNTIME_PYTHON;
}

/*
 * Captures the functions that the current thread is in. vm is where the state of its runtime
 * was, 0 if that is not known, and becomes where it is.
 */
__noinline int capture(const struct stack_head *head, u64 *vm)
{
	u32 zero = 0;
	struct stack_scratch *s = bpf_map_lookup_elem(&stack_scratch, &zero);
	enum runtime runtime;

	if (!head || !vm || !s)
		return 0;
	runtime = find_layout(s, head->tgid);
	if (runtime == RUNTIME_NONE)
		return 0;
	s->sample.head = *head;
	s->vm = *vm;
	s->sample.head.result = runtime == RUNTIME_V8 ? read_v8(s) : py_walk(s);
	*vm = s->vm;
	send_stack(&s->sample);
	return 0;
}

static __always_inline bool reads_functions_of(u32 tgid)
{
	return bpf_map_lookup_elem(&layouts, &tgid) || bpf_map_lookup_elem(&py_layouts, &tgid);
}

/* How long the tick of a loop that is on the CPU has lasted; 0 if that is not known. */
static __always_inline u64 tick_age(struct loop *l, u64 now)
{
	if (l->shared || l->off || l->seq & 1 || l->kind == WAIT_NONE || now < l->start)
		return 0;
	return now - l->start;
}

/* One in how many hits of busy threads is a sample, so that the host has few of them. */
static __always_inline u32 hits_per_sample(u32 window)
{
	u32 before = busy_window;

	if (before != window && __sync_bool_compare_and_swap(&busy_window, before, window)) {
		busy_every = busy_hits / BUSY_SAMPLES + 1;
		busy_hits = 0;
	}
	__sync_fetch_and_add(&busy_hits, 1);
	return busy_every > BUSY_EVERY ? busy_every : BUSY_EVERY;
}

static __always_inline bool is_busy(struct pulse *p, u32 window)
{
	if (p->window != (u16)window) {
		p->before = p->window + 1 == (u16)window ? p->hits : 0;
		p->hits = 0;
		p->window = window;
	}
	p->hits++;
	return p->before >= BUSY_HITS;
}

/* Returns how many hits of the clock on a busy thread this one stands for; 0: it is no sample. */
static __always_inline u16 busy_sample(struct pulse *p, u32 tgid, u64 now)
{
	u32 window = now >> BUSY_SHIFT, every;

	if (!is_busy(p, window) || !reads_functions_of(tgid))
		return 0;
	every = hits_per_sample(window);
	if (++p->turn < every)
		return 0;
	every = p->turn;
	p->turn = 0;
	return every;
}

/* Ends the time off the CPU of a loop that the clock finds running: a switch was not seen. */
static __always_inline void end_unseen_off(struct loop *l, u64 now)
{
	/* An odd seq: the clock interrupted a write. */
	if (!l->off || l->shared || l->kind == WAIT_NONE || l->seq & 1)
		return;
	step_seq(l);
	missed_in_current(l, now);
	step_seq(l);
}

static __always_inline struct stack_head head_of(struct loop *l, u8 kind, u64 at)
{
	return (struct stack_head){
		.at = at,
		.tick = l->start,
		.start_boottime = l->start_boottime,
		.tgid = l->tgid,
		.tid = l->tid,
		.kind = kind,
	};
}

/* The clock interrupted the loop. */
static __always_inline void sample_loop(struct loop *l, u64 now)
{
	struct stack_head head;

	end_unseen_off(l, now);
	head = head_of(l, tick_age(l, now) > long_tick_ns ? STACK_ON_CPU : STACK_BUSY, now);
	head.stands_for = busy_sample(&l->pulse, l->tgid, now);
	if (head.stands_for || head.kind == STACK_ON_CPU)
		capture(&head, &l->vm);
}

/* The clock interrupted a thread that is no loop. */
static __always_inline void sample_thread(u32 tgid, u32 tid, u64 now)
{
	struct hot_thread *h, new_thread = { .tgid = tgid };
	struct stack_head head = { .at = now, .tgid = tgid, .tid = tid, .kind = STACK_BUSY };

	if (!reads_functions_of(tgid))
		return;
	h = bpf_map_lookup_elem(&hot_threads, &tid);
	if (!h || h->tgid != tgid) {
		bpf_map_update_elem(&hot_threads, &tid, &new_thread, BPF_ANY);
		return;
	}
	head.stands_for = busy_sample(&h->pulse, tgid, now);
	/* A runtime has threads that run none of its functions, such as those of its collector. */
	if (!head.stands_for || h->stateless >= MAX_STATELESS)
		return;
	capture(&head, &h->vm);
	h->stateless = h->vm ? 0 : h->stateless + 1;
}

/*
 * When the next capture of the class of a system call is due. It may come early by
 * CAPTURE_BURST times CAPTURE_EVERY: the generic cell rate algorithm (ITU-T I.371).
 */
static __always_inline u32 *next_capture(struct loop *l, u32 nr)
{
	u32 class = nr % CAPTURE_CLASSES;

	if (nr == NR_futex)
		class = 0;
	else if (!class)
		class = 1;
	return &l->next_capture[class];
}

static __always_inline bool may_capture_block(struct loop *l, u64 at)
{
	u32 now = at >> CAPTURE_SHIFT, *next = next_capture(l, l->off_nr);
	s32 early = *next - now;

	if (early > CAPTURE_BURST * CAPTURE_EVERY)
		return false;
	*next = (early > 0 ? *next : now) + CAPTURE_EVERY;
	return true;
}

/* The loop leaves the CPU; on_switch has noted why. */
static __always_inline void block_loop(struct loop *l)
{
	struct stack_head head;

	if (l->shared || l->in_wait || l->off < OFF_SLEEPING || l->off == OFF_STOPPED)
		return;
	if (!reads_functions_of(l->tgid) || !may_capture_block(l, l->off_at))
		return;
	l->captured = 1;
	head = head_of(l, STACK_BLOCKED, l->off_at);
	capture(&head, &l->vm);
}

/* The loop gets the CPU after a sleep whose functions were captured. */
static __always_inline void unblock_loop(struct loop *l)
{
	struct stack_head end;

	if (!l->captured)
		return;
	l->captured = 0;
	end = head_of(l, STACK_UNBLOCKED, l->off_at);
	end.ns = bpf_ktime_get_ns() - l->off_at;
	if (bpf_ringbuf_output(&stacks, &end, sizeof(end), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&lost_stacks, 1);
	/* A sleep that makes a long tick was worth its capture. */
	if (end.ns > long_tick_ns)
		*next_capture(l, l->off_nr) -= CAPTURE_EVERY;
}

#endif
