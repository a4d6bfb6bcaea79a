/* SPDX-License-Identifier: MIT */
/*
 * tests/cpu/test_threads.c: CPUs of one engine under several host threads: turns, requests to stop, others that run while one waits for a
 * page, and the code cache that starts again when it is full, whoever fills it. Called by the check.
 */
#include "side.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define FILE_PAGES 60
#define LONG_OFF 0x400000ull /* from the code */
#define LONG_PAGES 128
#define LONG_OPS 2040 /* instructions of two bytes in a page */
#define LONG_SUM ((uint32_t)3 * LONG_PAGES * LONG_OPS)

static const uint8_t read_pages[] = READ_PAGES;

/* --- host threads ------------------------------------------------------------------------------ */

struct crowd {
	struct world w;
	pthread_mutex_t lock; /* the machine lock */
	struct pg_cpu *endless;
	volatile int stop;
	unsigned interrupted;
};

struct member {
	struct crowd *crowd;
	struct side side;
	pthread_t thread;
	unsigned turns;
};

/* Runs turn by turn, each with a slice of another length, until its rounds are done. */
static void *member_run(void *arg)
{
	struct member *m = arg;
	struct crowd *k = m->crowd;
	struct world *w = &k->w;
	for (unsigned i = 0; i < m->turns; i++) {
		uint64_t rounds = 1 + i * 37 % 900;
		pthread_mutex_lock(&k->lock);
		struct pg_cpu_regs *r = w->ops->regs(m->side.cpu);
		struct pg_exit_info info;
		r->gpr[PG_RDI] = rounds;
		r->gpr[PG_RBX] = w->data;
		r->gpr[PG_R8] = w->code + PAGE + FUNCTION;
		r->rip = w->code;
		enum pg_exit why;
		while ((why = w->ops->run(m->side.cpu, 0, &info)) == PG_EXIT_INTERRUPTED) {
			__atomic_fetch_add(&k->interrupted, 1, __ATOMIC_RELEASE);
			pthread_mutex_unlock(&k->lock);
			pthread_mutex_lock(&k->lock);
		}
		uint64_t should = model(m->side.flags, &m->side.word, rounds);
		if (why != PG_EXIT_SYSCALL || r->gpr[PG_RAX] != should)
			m->turns = 0; /* seen by the test */
		pthread_mutex_unlock(&k->lock);
	}
	return NULL;
}

static void host_threads_take_turns_and_are_interrupted(void **state)
{
	struct crowd k = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct member m[3];
	world_begin(&k.w, (enum mode)(uintptr_t)*state);
	for (unsigned i = 0; i < 3; i++) {
		side_make(&k.w, &m[i].side, i != 1);
		m[i].crowd = &k;
		m[i].turns = 150;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&m[i].thread, NULL, member_run, &m[i]), 0);
	for (unsigned i = 0; i < 300; i++) {
		const struct timespec t = {0, 20000 + i % 7 * 9000};
		nanosleep(&t, NULL);
		k.w.ops->interrupt(m[i % 3].side.cpu);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(m[i].thread, NULL);
		assert_int_equal(m[i].turns, 150);
	}
	struct pg_cpu_stats all = totals_of(&k.w), sum = {0};
	for (unsigned i = 0; i < 3; i++) {
		sum.instructions += stats_of(&k.w, m[i].side.cpu).instructions;
		side_end(&k.w, &m[i].side);
	}
	assert_int_equal(all.instructions, sum.instructions);
	world_end(&k.w);
}

/* Requests after different waits, each when the one before was seen. */
static void *request_always(void *arg)
{
	struct member *m = arg;
	unsigned spin = 1;
	while (!m->crowd->stop) {
		for (volatile unsigned i = 0; i < spin; i++)
			;
		spin = spin * 5 % 4099;
		unsigned seen = __atomic_load_n(&m->crowd->interrupted, __ATOMIC_ACQUIRE);
		m->crowd->w.ops->interrupt(m->side.cpu);
		while (!m->crowd->stop &&
			__atomic_load_n(&m->crowd->interrupted, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
	}
	return NULL;
}

/* One program alone, with calls, returns, jumps both ways and flags across them: wherever it is stopped, it goes on as if it was not. */
static void a_program_is_stopped_everywhere(void **state)
{
	for (unsigned flags = 0; flags < 2; flags++) {
		struct crowd k = {.lock = PTHREAD_MUTEX_INITIALIZER};
		struct member m = {.crowd = &k, .turns = 400};
		pthread_t t;
		world_begin(&k.w, (enum mode)(uintptr_t)*state);
		side_make(&k.w, &m.side, flags);
		assert_int_equal(pthread_create(&t, NULL, request_always, &m), 0);
		member_run(&m);
		k.stop = 1;
		pthread_join(t, NULL);
		assert_int_not_equal(m.turns, 0);
		assert_null(k.w.ops->check(k.w.engine));
		side_end(&k.w, &m.side);
		world_end(&k.w);
	}
}

/* --- waiting for pages, and the code cache full ------------------------------------------------- */

/* The machine lock is given away while a page is read: others run, on the same window in fast mode. */
struct slow_file {
	pthread_mutex_t *lock;
	unsigned reads;
};

static int slow_read(void *ctx, uint64_t index, void *buf)
{
	struct slow_file *f = ctx;
	const struct timespec t = {0, 1000 + f->reads++ * 7919 % 40000};
	uint64_t *words = buf;
	pthread_mutex_unlock(f->lock);
	nanosleep(&t, NULL);
	memset(buf, 0, PAGE);
	words[0] = index * index + 1;
	pthread_mutex_lock(f->lock);
	return 0;
}

static uint64_t slow_size(void *ctx)
{
	return FILE_PAGES * PAGE;
}

static const struct pg_pager slow_pager = {.name = "slow", .read = slow_read, .size = slow_size};

struct reader {
	struct crowd *crowd;
	struct pg_cpu *cpu;
	struct pg_object *object;
	struct slow_file file;
	pthread_t thread;
	uint64_t at, sum;
	bool steps;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	struct crowd *k = r->crowd;
	struct pg_exit_info info;
	enum pg_exit why;
	pthread_mutex_lock(&k->lock);
	struct pg_cpu_regs *regs = k->w.ops->regs(r->cpu);
	regs->gpr[PG_RAX] = 0;
	regs->gpr[PG_RBX] = r->at;
	regs->gpr[PG_RDI] = FILE_PAGES;
	regs->rip = k->w.code;
	do {
		why = k->w.ops->run(r->cpu, r->steps ? 3 : 0, &info);
		pthread_mutex_unlock(&k->lock);
		pthread_mutex_lock(&k->lock);
	} while (why == PG_EXIT_BUDGET || why == PG_EXIT_INTERRUPTED);
	r->sum = why == PG_EXIT_SYSCALL ? regs->gpr[PG_RAX] : 0;
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

/* LONG_PAGES pages of `op` eax to the word at rbx, then a system call: more than a small code cache holds. */
static void put_long(struct world *w, struct pg_space *s, uint8_t op)
{
	uint8_t page[PAGE];
	map_at(s, w->code + LONG_OFF, LONG_PAGES * PAGE, RX, 0, NULL);
	for (unsigned i = 0; i < LONG_PAGES; i++) {
		for (unsigned k = 0; k < LONG_OPS; k++) {
			page[2 * k] = op;
			page[2 * k + 1] = 0x03;
		}
		memset(page + 2 * LONG_OPS, 0x90, PAGE - 2 * LONG_OPS);
		if (i + 1 == LONG_PAGES) { /* jmp r9, to the last two bytes: syscall */
			memcpy(page + 2 * LONG_OPS, "\x41\xff\xe1", 3);
			memcpy(page + PAGE - 2, "\x0f\x05", 2);
		}
		put(s, w->code + LONG_OFF + i * PAGE, page, PAGE, RX);
	}
}

/* Runs it once; the word is then what it was and add. */
static bool run_long(struct world *w, struct pg_cpu *c, struct pg_space *s, pthread_mutex_t *lock,
	uint64_t word, uint32_t add)
{
	struct pg_cpu_regs *r = w->ops->regs(c);
	struct pg_exit_info info;
	uint32_t is, was;
	enum pg_exit why;
	if (pg_space_read(s, &was, (pg_va){word}, 4, 0) != 4)
		return false;
	r->gpr[PG_RAX] = 3;
	r->gpr[PG_RBX] = word;
	r->gpr[PG_R9] = w->code + LONG_OFF + LONG_PAGES * PAGE - 2;
	r->rip = w->code + LONG_OFF;
	while ((why = w->ops->run(c, 0, &info)) == PG_EXIT_INTERRUPTED && lock) {
		pthread_mutex_unlock(lock);
		sched_yield();
		pthread_mutex_lock(lock);
	}
	return why == PG_EXIT_SYSCALL && pg_space_read(s, &is, (pg_va){word}, 4, 0) == 4 &&
	       is == was + add;
}

/* code.c: the cache starts again when it is full, whoever fills it, and nobody notices. */
static void full_code_cache_starts_again(void **state)
{
	struct world w;
	struct pg_space *s[2];
	struct pg_cpu *c[2];
	uint64_t made[3];
	world_begin_with(&w, (enum mode)(uintptr_t)*state,
		(struct pg_engine_config){.code_bytes = 4u << 20});
	for (unsigned i = 0; i < 2; i++) {
		s[i] = make_space(&w, RX);
		put_long(&w, s[i], i ? 0x29 : 0x01);
		c[i] = make_cpu(&w, s[i]);
	}
	for (unsigned k = 0; k < 3; k++) {
		assert_true(run_long(&w, c[0], s[0], NULL, w.data, LONG_SUM));
		assert_true(run_long(&w, c[1], s[1], NULL, w.data, -LONG_SUM));
		world_check(&w);
		made[k] = totals_of(&w).blocks_translated;
	}
	assert_true(made[2] > made[1] && made[1] > made[0]); /* it was full each time */
	if (w.mode != MODE_FAST)
		assert_int_equal(stats_of(&w, c[0]).stores, 3ull * LONG_PAGES * LONG_OPS);
	for (unsigned i = 0; i < 2; i++) {
		w.ops->cpu_destroy(c[i]);
		pg_space_destroy(s[i]);
	}
	world_end(&w);
}

struct filler {
	struct crowd *crowd;
	struct pg_space *space;
	struct pg_cpu *cpu;
	pthread_t thread;
	bool ok;
};

static void *filler_run(void *arg)
{
	struct filler *f = arg;
	struct crowd *k = f->crowd;
	for (unsigned i = 0; i < 2 && f->ok; i++) {
		pthread_mutex_lock(&k->lock);
		f->ok = run_long(&k->w, f->cpu, f->space, &k->lock, k->w.data, LONG_SUM);
		pthread_mutex_unlock(&k->lock);
	}
	return NULL;
}

static void others_run_while_one_waits_for_a_page(void **state)
{
	enum { READERS = 5 };
	struct crowd k = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct reader r[READERS];
	uint64_t should = 0;
	bool existed;
	/* Three in one space, two in another. */
	world_begin_with(&k.w, (enum mode)(uintptr_t)*state,
		(struct pg_engine_config){.code_bytes = 4u << 20});
	struct pg_space *s[2] = {make_space(&k.w, RX), make_space(&k.w, RX)};
	for (unsigned i = 0; i < 2; i++)
		put(s[i], k.w.code, read_pages, sizeof(read_pages), RX);
	/* And one that fills the code cache again and again, which may not start again while they stand in it. */
	struct filler f = {.crowd = &k, .space = s[0], .cpu = make_cpu(&k.w, s[0]), .ok = true};
	put_long(&k.w, s[0], 0x01);
	for (uint64_t i = 0; i < FILE_PAGES; i++)
		should += i * i + 1;
	for (unsigned i = 0; i < READERS; i++) {
		r[i] = (struct reader){.crowd = &k,
			.cpu = make_cpu(&k.w, s[i / 3]),
			.file = {&k.lock, i},
			.at = (1ull << 33) + i * FILE_PAGES * PAGE,
			.steps = i % 2};
		assert_int_equal(pg_object_open(k.w.vm, (struct pg_object_key){1, 1 + i}, "slow",
					 &slow_pager, &r[i].file, 0, &r[i].object, &existed),
			0);
		map_at(s[i / 3], r[i].at, FILE_PAGES * PAGE, PG_READ, PG_MAP_SHARED, r[i].object);
	}
	assert_int_equal(pthread_create(&f.thread, NULL, filler_run, &f), 0);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_run, &r[i]), 0);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].sum, should);
	}
	pthread_join(f.thread, NULL);
	assert_true(f.ok);
	k.w.ops->cpu_destroy(f.cpu);
	world_check(&k.w);
	struct pg_cpu_stats one = stats_of(&k.w, r[0].cpu);
	for (unsigned i = 0; i < READERS; i++) {
		struct pg_cpu_stats st = stats_of(&k.w, r[i].cpu);
		assert_int_equal(st.instructions, one.instructions);
		assert_int_equal(st.loads, one.loads);
		k.w.ops->cpu_destroy(r[i].cpu);
		pg_object_unref(r[i].object);
	}
	pg_space_destroy(s[0]);
	pg_space_destroy(s[1]);
	world_end(&k.w);
}

/* window.c invariant 3: while threads of the only space wait for pages another space comes, and runs. */
static void a_space_comes_while_others_wait(void **state)
{
	enum { READERS = 3 };
	for (unsigned late = 0; late < 40; late++) {
		struct crowd k = {.lock = PTHREAD_MUTEX_INITIALIZER};
		struct reader r[READERS];
		struct member m = {.crowd = &k, .turns = 20};
		uint64_t should = 0;
		bool existed;
		world_begin(&k.w, (enum mode)(uintptr_t)*state);
		struct pg_space *s = make_space(&k.w, RX);
		put(s, k.w.code, read_pages, sizeof(read_pages), RX);
		for (uint64_t i = 0; i < FILE_PAGES; i++)
			should += i * i + 1;
		for (unsigned i = 0; i < READERS; i++) {
			r[i] = (struct reader){.crowd = &k,
				.cpu = make_cpu(&k.w, s),
				.file = {&k.lock, i},
				.at = (1ull << 33) + i * FILE_PAGES * PAGE};
			assert_int_equal(
				pg_object_open(k.w.vm, (struct pg_object_key){1, 1 + i}, "slow",
					&slow_pager, &r[i].file, 0, &r[i].object, &existed),
				0);
			map_at(s, r[i].at, FILE_PAGES * PAGE, PG_READ, PG_MAP_SHARED, r[i].object);
		}
		for (unsigned i = 0; i < READERS; i++)
			assert_int_equal(pthread_create(&r[i].thread, NULL, reader_run, &r[i]), 0);
		const struct timespec t = {0, late * 50000};
		nanosleep(&t, NULL);
		pthread_mutex_lock(&k.lock);
		side_make(&k.w, &m.side, late % 2);
		pthread_mutex_unlock(&k.lock);
		member_run(&m);
		assert_int_equal(m.turns, 20);
		for (unsigned i = 0; i < READERS; i++) {
			pthread_join(r[i].thread, NULL);
			assert_int_equal(r[i].sum, should);
		}
		world_check(&k.w);
		for (unsigned i = 0; i < READERS; i++) {
			k.w.ops->cpu_destroy(r[i].cpu);
			pg_object_unref(r[i].object);
		}
		side_end(&k.w, &m.side);
		pg_space_destroy(s);
		world_end(&k.w);
	}
}

/* A loop that nothing else ends: each request is seen, whenever it comes. */
static void *interrupt_it(void *arg)
{
	struct crowd *k = arg;
	unsigned seen = 0, spin = 1;
	while (!k->stop) {
		for (volatile unsigned i = 0; i < spin; i++)
			;
		spin = spin * 5 % 4099;
		k->w.ops->interrupt(k->endless);
		while (!k->stop && __atomic_load_n(&k->interrupted, __ATOMIC_ACQUIRE) == seen)
			sched_yield();
		seen = __atomic_load_n(&k->interrupted, __ATOMIC_ACQUIRE);
	}
	return NULL;
}

static void endless_loop_is_interrupted_each_time(void **state)
{
	/* inc rax; jmp -5. And over two pages: jmp to the next page and back. */
	static const uint8_t tight[] = {0x48, 0xff, 0xc0, 0xeb, 0xfb};
	static const uint8_t there[] = {0xe9, 0xfb, 0x0f, 0, 0},
			     back[] = {0xe9, 0xfb, 0xef, 0xff, 0xff};
	struct crowd k = {0};
	struct pg_exit_info info;
	pthread_t t;
	world_begin(&k.w, (enum mode)(uintptr_t)*state);
	struct pg_space *s = make_space(&k.w, RX);
	put(s, k.w.code + 0x100, tight, sizeof(tight), RX);
	put(s, k.w.code, there, sizeof(there), RX);
	put(s, k.w.code + PAGE, back, sizeof(back), RX);
	struct pg_cpu *c = make_cpu(&k.w, s);
	k.endless = c;
	assert_int_equal(pthread_create(&t, NULL, interrupt_it, &k), 0);
	for (unsigned i = 0; i < 600; i++) {
		struct pg_cpu_regs *r = k.w.ops->regs(c);
		r->rip = k.w.code + (i % 2 ? 0x100 : 0);
		assert_int_equal(k.w.ops->run(c, 0, &info), PG_EXIT_INTERRUPTED);
		__atomic_store_n(&k.interrupted, i + 1, __ATOMIC_RELEASE);
	}
	k.stop = 1;
	pthread_join(t, NULL);
	k.w.ops->cpu_destroy(c);
	pg_space_destroy(s);
	world_end(&k.w);
}

/* The request comes while the engine looks for the block that it is about to run: from the hook of the page fault. */
static struct {
	struct world *w;
	struct pg_cpu *c;
	unsigned faults;
} on_fault;

static void interrupt_on_fault(void *ctx, const struct pg_fault_event *e)
{
	on_fault.faults++;
	on_fault.w->ops->interrupt(on_fault.c);
}

static void request_during_a_fetch_fault_is_seen(void **state)
{
	static const uint8_t tight[] = {0x48, 0xff, 0xc0, 0xeb, 0xfb};
	struct world w;
	struct pg_object *o;
	struct pg_exit_info info;
	bool existed;
	world_begin(&w, (enum mode)(uintptr_t)*state);
	const struct pg_vm_hooks hooks = {.ctx = &w, .fault = interrupt_on_fault};
	assert_int_equal(pg_object_open(w.vm, (struct pg_object_key){0}, "loop", NULL, NULL, PAGE,
				 &o, &existed),
		0);
	struct pg_space *s = make_space(&w, RX);
	uint64_t at = w.code + 0x40000;
	map_at(s, at, PAGE, RWX, PG_MAP_SHARED, o);
	assert_int_equal(pg_space_write(s, (pg_va){at}, tight, sizeof(tight), 0), sizeof(tight));
	struct pg_cpu *c = make_cpu(&w, s);
	on_fault.w = &w;
	on_fault.c = c;
	on_fault.faults = 0;
	pg_vm_set_hooks(w.vm, &hooks);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pg_space_discard(s, (pg_va){at}, PAGE), 0);
		w.ops->regs(c)->rip = at;
		assert_int_equal(w.ops->run(c, 0, &info), PG_EXIT_INTERRUPTED);
		assert_int_equal(on_fault.faults, i + 1);
	}
	w.ops->cpu_destroy(c);
	pg_space_destroy(s);
	pg_object_unref(o);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL(host_threads_take_turns_and_are_interrupted),
		IN_ALL(a_program_is_stopped_everywhere),
		IN_ALL(full_code_cache_starts_again),
		IN_ALL(others_run_while_one_waits_for_a_page),
		IN_ALL(a_space_comes_while_others_wait),
		IN_ALL(endless_loop_is_interrupted_each_time),
		IN_ALL(request_during_a_fetch_fault_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
