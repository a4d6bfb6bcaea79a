/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_calls.c: the calls of malloc and its relatives as they happen: the table of live blocks, the timeline, the moment.
 *
 * Called by ui/heap/heap.c with the hooks of pg_linux. Every function of the interface that a loaded file defines is watched at its first
 * instruction; there the return address is on the stack and is watched too. The outermost call of a thread counts: what
 * `operator new` or calloc call inside themselves is theirs.
 *
 * Invariants:
 *   C1 a call under way is in calls until its thread is at its return address with the stack as it was, or has left it below.
 *   C2 live_bytes is the sum of `requested` over the table of live blocks; so are the sums of the origins.
 */
#include "trace/heap_impl.h"

#include "trace/faults.h"

/* What a function does with its arguments, which are in rdi, rsi, rdx. */
enum does { TAKES, TAKES_PRODUCT, TAKES_ALIGNED, TAKES_OUT, RESIZES, RESIZES_PRODUCT, GIVES };

static const struct {
	const char *name;
	enum does does;
} functions[] = {
	{"malloc", TAKES},
	{"calloc", TAKES_PRODUCT},
	{"realloc", RESIZES},
	{"reallocarray", RESIZES_PRODUCT},
	{"free", GIVES},
	{"cfree", GIVES},
	{"memalign", TAKES_ALIGNED},
	{"aligned_alloc", TAKES_ALIGNED},
	{"posix_memalign", TAKES_OUT},
	{"valloc", TAKES},
	{"pvalloc", TAKES},
	/* C++: operator new, new[], delete, delete[] and their forms; Itanium C++ ABI, 5.1 */
	{"_Znwm", TAKES},
	{"_Znam", TAKES},
	{"_ZnwmRKSt9nothrow_t", TAKES},
	{"_ZnamRKSt9nothrow_t", TAKES},
	{"_ZnwmSt11align_val_t", TAKES},
	{"_ZnamSt11align_val_t", TAKES},
	{"_ZnwmSt11align_val_tRKSt9nothrow_t", TAKES},
	{"_ZnamSt11align_val_tRKSt9nothrow_t", TAKES},
	{"_ZdlPv", GIVES},
	{"_ZdaPv", GIVES},
	{"_ZdlPvm", GIVES},
	{"_ZdaPvm", GIVES},
	{"_ZdlPvRKSt9nothrow_t", GIVES},
	{"_ZdaPvRKSt9nothrow_t", GIVES},
	{"_ZdlPvSt11align_val_t", GIVES},
	{"_ZdaPvSt11align_val_t", GIVES},
	{"_ZdlPvmSt11align_val_t", GIVES},
	{"_ZdaPvmSt11align_val_t", GIVES},
};
#define FUNCTIONS (sizeof functions / sizeof functions[0])

/* A heap of at most so many chunks is looked at whenever that may tell something. */
#define SMALL 2048
/* Looks at a larger one see so many chunks for each call, on average. */
#define CHUNKS_A_CALL 2

/* --- pictures and the timeline ----------------------------------------------------------------------------------------- */

static uint64_t instructions(struct pg_heap_watch *w)
{
	struct pg_linux_stats st;

	pg_linux_stats(w->linux, &st);
	return st.cpu.has_tlb ? st.cpu.instructions : 0;
}

static void add_sample(struct pg_heap_watch *w, const struct pg_heap_picture *p)
{
	if (w->sample_count == PG_HEAP_SAMPLES) { /* every second one goes */
		for (uint32_t i = 0; 2 * i < PG_HEAP_SAMPLES; i++)
			w->samples[i] = w->samples[2 * i];
		w->sample_count = PG_HEAP_SAMPLES / 2;
		w->stride *= 2;
	}
	w->samples[w->sample_count++] = (struct pg_heap_sample){
		.calls = w->calls_made,
		.instructions = instructions(w),
		.live_blocks = w->live.n,
		.live_bytes = w->live_bytes,
		.used_bytes = p->bytes[PG_CHUNK_USED],
		.known_requested = p->known_requested,
		.known_usable = p->known_usable,
		.hole_bytes = p->hole_bytes,
		.largest_hole = p->largest_hole,
		.cached_bytes = p->bytes[PG_CHUNK_CACHED],
		.top_bytes = p->bytes[PG_CHUNK_TOP],
		.heap_bytes = p->heap_bytes,
		.resident_pages = p->resident,
		.idle_pages = p->idle,
		.splits = w->cuts.splits,
		.coalesces = w->cuts.coalesces,
	};
}

/* Looks at the whole heap, for the timeline if its next sample is due, and for what the table of chunks has lost. */
static void sample(struct pg_heap_watch *w, bool due)
{
	struct pg_heap_picture *p = pg_heap_picture_make(w, false);

	if (!p) {
		w->no_memory = true;
		return;
	}
	pg_heap_cuts_compare(w, p);
	if (due) {
		add_sample(w, p);
		w->next_sample = w->calls_made + w->stride;
	}
	if (p->chunk_count > SMALL &&
		w->next_sample < w->calls_made + p->chunk_count / CHUNKS_A_CALL)
		w->next_sample = w->calls_made + p->chunk_count / CHUNKS_A_CALL;
	w->next_look =
		w->calls_made + (p->chunk_count > SMALL ? p->chunk_count / CHUNKS_A_CALL : 0);
	pg_heap_picture_free(p);
}

/* The picture is of now. */
static void take_picture(struct pg_heap_watch *w, const char *moment)
{
	struct pg_heap_picture *p = pg_heap_picture_make(w, true);

	if (!p) {
		w->no_memory = true;
		return;
	}
	pg_heap_cuts_compare(w, p);
	p->pid = w->pid;
	p->calls = w->calls_made;
	p->instructions = instructions(w);
	p->splits = w->cuts.splits;
	p->coalesces = w->cuts.coalesces;
	p->from_top = w->cuts.from_top;
	p->to_top = w->cuts.to_top;
	p->cuts_known = w->cuts.valid;
	snprintf(p->moment, sizeof p->moment, "%s", moment);
	snprintf(p->program, sizeof p->program, "%s", w->program);
	pg_heap_picture_free(w->picture);
	w->picture = p;
	w->pictured_bytes = w->live_bytes;
}

/* --- blocks ------------------------------------------------------------------------------------------------------------- */

/* The index of a path in modules; PG_HEAP_NONE: no memory. */
static uint32_t module_of(struct pg_heap_watch *w, const char *path)
{
	for (uint32_t i = 0; i < w->module_count; i++) {
		if (strcmp(w->modules[i], path) == 0)
			return i;
	}
	char *copy = strdup(path);
	if (!copy ||
		!pg_heap_room(&w->modules, w->module_count, &w->module_room, sizeof *w->modules)) {
		free(copy);
		return PG_HEAP_NONE;
	}
	w->modules[w->module_count] = copy;
	return w->module_count++;
}

static bool same_places(
	const struct pg_heap_origin *o, const struct pg_heap_place *places, uint32_t depth)
{
	for (uint32_t i = 0; i < depth && o->depth == depth; i++) {
		if (o->places[i].module != places[i].module ||
			o->places[i].offset != places[i].offset)
			return false;
	}
	return o->depth == depth;
}

/* The origin of these return addresses, made if it is new: a library may have been loaded elsewhere. PG_HEAP_NONE: no memory. */
static uint32_t find_origin(struct pg_heap_watch *w, const uint64_t *back, uint32_t depth)
{
	struct pg_heap_place places[PG_HEAP_DEPTH], *copy;

	for (uint32_t i = 0; i < depth; i++) {
		const char *path;
		uint64_t offset;
		if (!pg_trace_file_of(pg_linux_space(w->linux), back[i], &path, &offset)) {
			path = "";
			offset = back[i];
		}
		places[i] = (struct pg_heap_place){module_of(w, path), offset};
		if (places[i].module == PG_HEAP_NONE)
			return PG_HEAP_NONE;
	}
	for (uint32_t at = 0; at < w->origin_count; at++) {
		if (same_places(&w->origins[at], places, depth))
			return at;
	}
	copy = malloc(depth * sizeof *copy);
	if (!copy ||
		!pg_heap_room(&w->origins, w->origin_count, &w->origin_room, sizeof *w->origins)) {
		free(copy);
		return PG_HEAP_NONE;
	}
	memcpy(copy, places, depth * sizeof *copy);
	w->origins[w->origin_count] = (struct pg_heap_origin){.places = copy, .depth = depth};
	return w->origin_count++;
}

/* Whose call this is, at the entry; PG_HEAP_NONE: no memory. */
static uint32_t origin_now(
	struct pg_heap_watch *w, const struct pg_cpu_regs *regs, uint64_t called_from)
{
	uint64_t pcs[PG_HEAP_DEPTH + 1] = {regs->rip, called_from}, hash = 1;
	uint32_t depth = 1;

	if (w->config.depth > 1) {
		size_t n = pg_unwind_chain(
			w->unwinder, pg_linux_space(w->linux), regs, pcs, w->config.depth + 1);
		if (n > 1 && pcs[1] == called_from)
			depth = (uint32_t)n - 1;
		pcs[1] = called_from;
	}
	for (uint32_t i = 1; i <= depth; i++) {
		hash = (hash ^ pcs[i]) * 0x9e3779b97f4a7c15u; /* as in trace/faults.c */
		hash ^= hash >> 29;
	}
	for (;; hash++) {
		struct pg_heap_chain *c = hash ? pg_heap_table_find(&w->origin_of, hash) : NULL;
		if (c &&
			(c->depth != depth || memcmp(c->back, pcs + 1, depth * sizeof pcs[0]) != 0))
			continue;
		if (c)
			return c->origin;
		uint32_t origin = find_origin(w, pcs + 1, depth);
		c = origin != PG_HEAP_NONE ? pg_heap_table_put(&w->origin_of, hash ? hash : 1)
					   : NULL;
		if (!c) {
			w->no_memory = true;
			return origin;
		}
		*c = (struct pg_heap_chain){.origin = origin, .depth = depth};
		memcpy(c->back, pcs + 1, depth * sizeof pcs[0]);
		return origin;
	}
}

static void forget_block(struct pg_heap_watch *w, uint64_t block)
{
	const struct pg_heap_live *l = pg_heap_table_find(&w->live, block);

	if (!l)
		return;
	w->live_bytes -= l->requested;
	if (l->site != PG_HEAP_NONE) {
		w->origins[l->site].live_blocks--;
		w->origins[l->site].live_bytes -= l->requested;
	}
	pg_heap_table_remove(&w->live, block);
	pg_heap_table_remove(&w->mapped, block);
}

static void note_block(
	struct pg_heap_watch *w, uint64_t block, uint64_t requested, uint32_t site, int tid)
{
	forget_block(w, block); /* its free was not seen */
	struct pg_heap_live *l = pg_heap_table_put(&w->live, block);
	if (!l) {
		w->no_memory = true;
		return;
	}
	*l = (struct pg_heap_live){requested, w->calls_made, site, (uint32_t)tid};
	w->live_bytes += requested;
	if (!w->pagoda_root && pg_heap_glibc_mapped(w, &w->memory, block) &&
		!pg_heap_table_put(&w->mapped, block))
		w->no_memory = true;
	if (w->live_bytes > w->peak_bytes) {
		w->peak_bytes = w->live_bytes;
		w->peak_call = w->calls_made;
	}
	if (site == PG_HEAP_NONE)
		return;
	struct pg_heap_origin *o = &w->origins[site];
	o->calls++;
	o->live_blocks++;
	o->live_bytes += requested;
	if (o->live_bytes > o->peak_bytes)
		o->peak_bytes = o->live_bytes;
}

/* --- calls ---------------------------------------------------------------------------------------------------------------- */

static void note_thread(struct pg_heap_watch *w, int tid, uint64_t fs_base)
{
	for (uint32_t i = 0; i < w->thread_count; i++) {
		if (w->threads[i].fs_base == fs_base) {
			w->threads[i].tid = tid;
			return;
		}
	}
	if (!pg_heap_room(&w->threads, w->thread_count, &w->thread_room, sizeof *w->threads))
		w->no_memory = true;
	else
		w->threads[w->thread_count++] = (struct pg_heap_thread){tid, fs_base};
}

static bool look_at_thread(void *ctx, const struct pg_linux_thread *t)
{
	if (t->regs)
		note_thread(ctx, t->tid, t->regs->fs_base);
	return true;
}

void pg_heap_watch_threads(struct pg_heap_watch *w)
{
	const struct pg_cpu_regs *now =
		pg_linux_regs(w->linux); /* a process's last thread is in no list */

	pg_linux_each_thread(w->linux, w->pid, look_at_thread, w);
	if (now)
		note_thread(w, pg_linux_tid(w->linux), now->fs_base);
}

/* Forgets the calls of a thread that lie below its stack pointer: it has jumped out of them. */
static void drop_calls(struct pg_heap_watch *w, int tid, uint64_t sp)
{
	for (uint32_t i = 0; i < w->call_count;) {
		if (w->calls[i].tid == tid && w->calls[i].sp < sp)
			w->calls[i] = w->calls[--w->call_count];
		else
			i++;
	}
}

static struct pg_heap_call *call_of(struct pg_heap_watch *w, int tid)
{
	for (uint32_t i = 0; i < w->call_count; i++) {
		if (w->calls[i].tid == tid)
			return &w->calls[i];
	}
	return NULL;
}

/* The peak is taken when it is about to pass: a block goes, and there were more bytes than in the last picture by a hundredth. */
static void look_at_peak(struct pg_heap_watch *w, uint64_t block)
{
	if (w->config.when != PG_HEAP_AT_PEAK || w->live_bytes < w->peak_bytes ||
		w->live_bytes <= w->pictured_bytes + w->pictured_bytes / 100 ||
		!pg_heap_table_find(&w->live, block))
		return;
	take_picture(w, "at the peak");
}

static void enter(struct pg_heap_watch *w, uint8_t function, const struct pg_cpu_regs *regs)
{
	int tid = pg_linux_tid(w->linux);
	uint64_t sp = regs->gpr[PG_RSP];
	enum does does = functions[function].does;
	bool good = true;

	pg_heap_memory_begin(&w->memory, pg_linux_space(w->linux));
	uint64_t back = pg_heap_word(&w->memory, sp, &good);
	if (!good)
		return;
	drop_calls(w, tid, sp);
	const struct pg_heap_call *outer = call_of(w, tid);
	if (outer && !(outer->sp == sp && outer->back != back))
		return; /* inside another one, or jumped to by it */
	if (outer)
		drop_calls(w, tid, sp + 1);
	struct pg_heap_call c = {.tid = tid,
		.function = function,
		.sp = sp,
		.back = back,
		.arg = {regs->gpr[PG_RDI], regs->gpr[PG_RSI], regs->gpr[PG_RDX]}};
	bool gives = does == GIVES || does == RESIZES || does == RESIZES_PRODUCT;
	if (does == GIVES && c.arg[0] == 0)
		return;
	note_thread(w, tid, regs->fs_base);
	if (gives && c.arg[0] && w->from_start && !pg_heap_table_find(&w->live, c.arg[0]) &&
		w->misuses++ == 0) {
		w->misuse_block = c.arg[0];
		w->misuse_site = origin_now(w, regs, back);
	}
	if (gives && c.arg[0]) {
		const struct pg_heap_marks *marks = pg_heap_marks_now(w);
		look_at_peak(w, c.arg[0]);
		pg_heap_memory_begin(&w->memory, pg_linux_space(w->linux));
		c.known = marks && marks->chunk(w, &w->memory, c.arg[0], &c.chunk, &c.chunk_size,
					   &c.free_before);
	}
	c.fast = pg_heap_glibc_fast(w, &w->memory);
	c.site = does == GIVES ? PG_HEAP_NONE : origin_now(w, regs, back);
	if (pg_linux_watch(w->linux, back) != 0 ||
		!pg_heap_room(&w->calls, w->call_count, &w->call_room, sizeof *w->calls)) {
		w->no_memory = true;
		return;
	}
	w->calls[w->call_count++] = c;
}

/* The moment may have come. */
static void look_at_clock(struct pg_heap_watch *w)
{
	char text[64];

	if (w->config.when == PG_HEAP_AT_CALLS && w->calls_made >= w->config.number) {
		snprintf(text, sizeof text, "after %llu allocator calls",
			(unsigned long long)w->calls_made);
		take_picture(w, text);
		w->done = true;
	} else if (w->config.when == PG_HEAP_AT_INSTRUCTIONS) {
		uint64_t now = instructions(w);
		if (now < w->config.number)
			return;
		snprintf(text, sizeof text, "after %llu instructions", (unsigned long long)now);
		take_picture(w, text);
		w->done = true;
	}
}

static uint64_t size_of_call(const struct pg_heap_call *c)
{
	uint64_t product;

	switch (functions[c->function].does) {
	case TAKES:
		return c->arg[0];
	case TAKES_PRODUCT:
		return __builtin_mul_overflow(c->arg[0], c->arg[1], &product) ? UINT64_MAX
									      : product;
	case TAKES_ALIGNED:
	case RESIZES:
		return c->arg[1];
	case TAKES_OUT:
		return c->arg[2];
	case RESIZES_PRODUCT:
		return __builtin_mul_overflow(c->arg[1], c->arg[2], &product) ? UINT64_MAX
									      : product;
	case GIVES:
		break;
	}
	return 0;
}

static void returned(struct pg_heap_watch *w, const struct pg_heap_call *c, uint64_t rax)
{
	enum does does = functions[c->function].does;
	bool resizes = does == RESIZES || does == RESIZES_PRODUCT, good = true;
	uint64_t size = size_of_call(c), block = rax;

	pg_heap_memory_begin(&w->memory, pg_linux_space(w->linux));
	w->calls_made++;
	if (!w->glibc.main && (w->calls_made & (w->calls_made - 1)) == 0)
		pg_heap_glibc_find(w, &w->memory);
	if (does == GIVES) {
		forget_block(w, c->arg[0]);
		if (c->known)
			pg_heap_cuts_gave(w, c->chunk, c->chunk_size, c->free_before);
	} else {
		if (does == TAKES_OUT)
			block = (uint32_t)rax ? 0 : pg_heap_word(&w->memory, c->arg[0], &good);
		bool freed = resizes && size == 0 && c->arg[0] && !block;
		if (!block && !freed)
			w->failed++;
		if (resizes && c->arg[0] && (block || freed)) {
			forget_block(w, c->arg[0]);
			if (block != c->arg[0] && c->known)
				pg_heap_cuts_gave(w, c->chunk, c->chunk_size, c->free_before);
		}
		if (block) {
			note_block(w, block, size, c->site, c->tid);
			pg_heap_cuts_took(w, block);
		}
	}
	if (c->fast && !pg_heap_glibc_fast(w, &w->memory))
		w->cuts.stale = true; /* all fast bins were emptied and joined */
	if (w->done)
		return;
	look_at_clock(w);
	if (w->calls_made >= w->next_sample ||
		(w->cuts.valid && (w->cuts.lost || w->cuts.stale) && w->calls_made >= w->next_look))
		sample(w, w->calls_made >= w->next_sample);
}

void pg_heap_watch_reached(struct pg_heap_watch *w, const struct pg_cpu_regs *regs)
{
	if (!w->pid || pg_linux_pid(w->linux) != w->pid)
		return;
	const uint8_t *function = pg_heap_table_find(&w->functions, regs->rip);
	if (function) {
		enter(w, *function, regs);
		return;
	}
	int tid = pg_linux_tid(w->linux);
	struct pg_heap_call *c = call_of(w, tid);
	if (!c || c->back != regs->rip || c->sp + 8 != regs->gpr[PG_RSP])
		return;
	struct pg_heap_call call = *c;
	*c = w->calls[--w->call_count];
	returned(w, &call, regs->gpr[PG_RAX]);
}

/* --- files ------------------------------------------------------------------------------------------------------------------ */

static bool look_at_region(void *ctx, const struct pg_region *r)
{
	struct pg_heap_watch *w = ctx;
	struct pg_symbol_wanted wanted[FUNCTIONS + 1];
	const char *path =
		r->object || pg_trace_is_image(pg_linux_space(w->linux), r) ? r->name : NULL;
	uint64_t base;

	if (!(r->prot & PG_EXEC) || !path || path[0] != '/' ||
		pg_heap_table_find(&w->known_files, r->start.v))
		return true;
	for (size_t i = 0; i < FUNCTIONS; i++)
		wanted[i].name = functions[i].name;
	wanted[FUNCTIONS].name = "pg_heap_root";
	if (!pg_heap_table_put(&w->known_files, r->start.v))
		w->no_memory = true;
	if (!pg_symbols_lookup(
		    w->symbols, path, r->offset, r->start.v, wanted, FUNCTIONS + 1, &base))
		return true;
	for (size_t i = 0; i < FUNCTIONS; i++) {
		if (!wanted[i].address)
			continue;
		uint8_t *function = pg_heap_table_put(&w->functions, base + wanted[i].address);
		if (!function || pg_linux_watch(w->linux, base + wanted[i].address) != 0)
			w->no_memory = true;
		else
			*function = (uint8_t)i;
	}
	if (wanted[0].address && !wanted[FUNCTIONS].address && !w->glibc.version)
		pg_heap_glibc_version(w, path);
	if (wanted[FUNCTIONS].address && !w->pagoda_root)
		w->pagoda_root = base + wanted[FUNCTIONS].address;
	return true;
}

void pg_heap_watch_code(struct pg_heap_watch *w)
{
	if (!w->pid || pg_linux_pid(w->linux) != w->pid)
		return;
	/* a library may have taken the place of another */
	pg_heap_table_clear(&w->origin_of);
	pg_heap_table_clear(&w->known_files);
	pg_space_each_region(pg_linux_space(w->linux), look_at_region, w);
}

/* --- the process ---------------------------------------------------------------------------------------------------------------- */

static void forget_program(struct pg_heap_watch *w)
{
	for (uint32_t i = 0; i < w->origin_count; i++)
		free(w->origins[i].places);
	w->origin_count = 0;
	pg_heap_table_clear(&w->functions);
	pg_heap_table_clear(&w->known_files);
	pg_heap_table_clear(&w->live);
	pg_heap_table_clear(&w->mapped);
	pg_heap_table_clear(&w->origin_of);
	pg_heap_table_clear(&w->cuts.table);
	w->cuts = (struct pg_heap_cuts){.table = w->cuts.table};
	w->glibc = (struct pg_heap_glibc){0};
	w->call_count = w->thread_count = w->sample_count = 0;
	w->live_bytes = w->calls_made = w->failed = w->peak_bytes = w->peak_call = 0;
	w->pictured_bytes = w->pagoda_root = 0;
	w->from_start = true;
	w->misuses = 0;
	w->stride = 16;
	w->next_sample = 1;
	w->next_look = 0;
	pg_heap_picture_free(w->picture);
	w->picture = NULL;
}

int pg_heap_watch_create(const struct pg_heap_watch_config *c, struct pg_heap_watch **out)
{
	struct pg_heap_watch *w = calloc(1, sizeof *w);

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->config = *c;
	w->functions.row_bytes = sizeof(uint8_t);
	w->known_files.row_bytes = sizeof(uint8_t);
	w->mapped.row_bytes = sizeof(uint8_t);
	w->live.row_bytes = sizeof(struct pg_heap_live);
	w->origin_of.row_bytes = sizeof(struct pg_heap_chain);
	w->cuts.table.row_bytes = sizeof(struct pg_heap_cut);
	w->samples = calloc(PG_HEAP_SAMPLES, sizeof *w->samples);
	if (!w->samples) {
		free(w);
		return -ENOMEM;
	}
	forget_program(w);
	*out = w;
	return 0;
}

void pg_heap_watch_destroy(struct pg_heap_watch *w)
{
	if (!w)
		return;
	forget_program(w);
	for (uint32_t i = 0; i < w->module_count; i++)
		free(w->modules[i]);
	free(w->modules);
	pg_unwinder_destroy(w->unwinder);
	free(w->samples);
	free(w->calls);
	free(w->threads);
	free(w->origins);
	free(w);
}

/* Whether the process that runs is the one to watch, now that it runs a program of this path. */
static bool is_wanted(struct pg_heap_watch *w, const char *path)
{
	if (w->pid)
		return pg_linux_pid(w->linux) == w->pid;
	return pg_chosen_by_exec(&w->config.process, w->linux, path);
}

void pg_heap_watch_exec(struct pg_heap_watch *w, const char *path)
{
	if (!w->linux || w->done || !is_wanted(w, path))
		return;
	forget_program(w);
	w->pid = pg_linux_pid(w->linux);
	w->seen = true;
	snprintf(w->program, sizeof w->program, "%s", path);
	pg_heap_watch_code(w);
}

void pg_heap_watch_begin(struct pg_heap_watch *w, struct pg_linux *l, struct pg_symbols *s)
{
	w->linux = l;
	w->symbols = s;
	if (pg_unwinder_create(s, &w->unwinder) != 0) {
		w->no_memory = true;
		return;
	}
	pg_heap_watch_exec(w, pg_linux_program(l));
}

void pg_heap_watch_fork(struct pg_heap_watch *w, int parent, int child)
{
	/* A child of a fork, asked for by its number: its blocks were its parent's, and who asked for them is not known. */
	if (w->done || w->pid || !pg_chosen_by_fork(&w->config.process, child))
		return;
	w->pid = child;
	w->seen = true;
	w->from_start = false;
	snprintf(w->program, sizeof w->program, "%s", pg_linux_program(w->linux));
	pg_space_each_region(pg_linux_space(w->linux), look_at_region, w);
}

void pg_heap_watch_leave(struct pg_heap_watch *w)
{
	if (w->done || !w->pid || pg_linux_pid(w->linux) != w->pid)
		return;
	sample(w, true);
	if (w->config.when == PG_HEAP_AT_EXIT)
		take_picture(w, "at exit");
	else if (w->config.when == PG_HEAP_AT_PEAK && w->live_bytes >= w->peak_bytes &&
		 w->live_bytes > w->pictured_bytes)
		take_picture(w, "at the peak, which is the end");
}

const struct pg_heap_picture *pg_heap_watch_picture(struct pg_heap_watch *w, char *why, size_t cap)
{
	struct pg_heap_picture *p = w->picture;

	why[0] = 0;
	if (w->no_memory)
		snprintf(why, cap, "no host memory for the picture");
	else if (!w->seen)
		pg_chosen_never(&w->config.process, why, cap);
	else if (!p &&
		 (w->config.when == PG_HEAP_AT_CALLS || w->config.when == PG_HEAP_AT_INSTRUCTIONS))
		snprintf(why, cap,
			"the moment did not come: %s made %llu allocator calls, and ended",
			w->program, (unsigned long long)w->calls_made);
	else if (!p)
		snprintf(why, cap, "%s had no heap", w->program);
	if (why[0])
		return NULL;
	if (!p->samples) {
		p->samples = calloc((size_t)w->sample_count + 1, sizeof *p->samples);
		if (!p->samples) {
			snprintf(why, cap, "no host memory for the picture");
			return NULL;
		}
		memcpy(p->samples, w->samples, w->sample_count * sizeof *p->samples);
		p->sample_count = w->sample_count;
		p->peak_bytes = w->peak_bytes;
		p->peak_call = w->peak_call;
		p->failed = w->failed;
		p->misuses = w->misuses;
		p->misuse_block = w->misuse_block;
		p->misuse_site = w->misuse_site < p->site_count ? w->misuse_site : PG_HEAP_NONE;
		pg_heap_picture_names(w, p);
	}
	return w->no_memory ? NULL : p;
}
