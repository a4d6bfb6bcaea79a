/* SPDX-License-Identifier: MIT */
/*
 * tests/model/threads.c: two ways in which threads may use the library, for the thread sanitizer.
 *
 *   threads [STEPS]
 *
 * Machines of their own need no lock at all, for there is no state but in handles: each of THREADS threads drives
 * one. One machine is used by THREADS threads, each with a space of its own and one shared object, who hold one
 * lock, the machine's, around each call. Built with -fsanitize=thread where the compiler has it; without, it checks contents
 * only. Guards design decision 4 and docs/invariants.md, "The machine lock".
 */
#include "space/space.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define PAGE 4096ull
#define PAGES 64u

struct job {
	struct pg_vm *vm;
	struct pg_object *shared; /* NULL: none */
	pthread_mutex_t *lock;    /* NULL: the machine is this thread's alone */
	unsigned number, steps;
	uint32_t seed;
	bool failed;
};

static struct pg_vm *machine(void)
{
	struct pg_vm_config c = {
		.memory_bytes = 4 << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct pg_vm *vm;

	if (pg_vm_create(&c, &vm))
		abort();
	return vm;
}

static uint32_t draw(struct job *j, uint32_t n)
{
	j->seed = j->seed * 1664525u + 1013904223u;
	return (j->seed >> 8) % n;
}

static void enter(struct job *j)
{
	if (j->lock)
		pthread_mutex_lock(j->lock);
}

static void leave(struct job *j)
{
	if (j->lock)
		pthread_mutex_unlock(j->lock);
}

static struct pg_space *space(struct job *j)
{
	struct pg_space_config c = {
		.lo = {65536}, .hi = {0x7ffffffff000}, .mmap_top = {0x7ffff7fff000}};
	struct pg_space *s;

	if (pg_space_create(j->vm, &c, &s))
		abort();
	return s;
}

/* One call on a private area at a; what was written to the page is what is read, in a fork too. */
static void step(struct job *j, struct pg_space *s, pg_va a, pg_va shared)
{
	pg_va at = {a.v + draw(j, PAGES) * PAGE};
	uint32_t value = draw(j, 1 << 20), got = 0;
	struct pg_space *child;

	switch (draw(j, 6)) {
	case 0:
		j->failed |= pg_space_discard(s, at, PAGE) != 0;
		break;
	case 1:
		child = space(j);
		j->failed |= pg_space_fork(s, child) != 0 ||
			     pg_space_write(child, at, &value, sizeof value, 0) != sizeof value;
		pg_space_destroy(child);
		break;
	case 2:
		if (j->shared)
			j->failed |= pg_space_write(s, (pg_va){shared.v + j->number * PAGE}, &value,
					     sizeof value, 0) != sizeof value ||
				     pg_space_read(s, &got, (pg_va){shared.v + j->number * PAGE},
					     sizeof got, 0) != sizeof got ||
				     got != value;
		break;
	default:
		j->failed |= pg_space_write(s, at, &value, sizeof value, 0) != sizeof value ||
			     pg_space_read(s, &got, at, sizeof got, 0) != sizeof got ||
			     got != value;
		break;
	}
}

static void *run(void *ctx)
{
	struct job *j = ctx;
	pg_va a = {0}, shared = {0};
	struct pg_space *s;

	enter(j);
	s = space(j);
	if (pg_space_map(s, &a, PAGES * PAGE, PG_READ | PG_WRITE, 7, 0, NULL, 0, NULL) ||
		(j->shared && pg_space_map(s, &shared, THREADS * PAGE, PG_READ | PG_WRITE, 7,
				      PG_MAP_SHARED, j->shared, 0, NULL)))
		abort();
	leave(j);
	for (unsigned i = 0; i < j->steps && !j->failed; i++) {
		enter(j);
		step(j, s, a, shared);
		leave(j);
	}
	enter(j);
	if (pg_space_check(s))
		j->failed = true;
	pg_space_destroy(s);
	leave(j);
	return NULL;
}

/* All jobs at once; true: none failed. */
static bool run_all(struct job *jobs)
{
	pthread_t thread[THREADS];
	bool ok = true;

	for (unsigned i = 0; i < THREADS; i++) {
		if (pthread_create(&thread[i], NULL, run, &jobs[i]))
			abort();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		ok = ok && !jobs[i].failed;
	}
	return ok;
}

int main(int argc, char **argv)
{
	unsigned steps = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 2000;
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct job jobs[THREADS];
	struct pg_object *shared;
	struct pg_vm *vm;
	bool existed, ok;

	for (unsigned i = 0; i < THREADS; i++)
		jobs[i] = (struct job){.vm = machine(), .number = i, .steps = steps, .seed = i};
	ok = run_all(jobs);
	for (unsigned i = 0; i < THREADS; i++)
		pg_vm_destroy(jobs[i].vm);
	printf("machines of their own: %s\n", ok ? "right" : "wrong");
	vm = machine();
	if (pg_object_open(vm, (struct pg_object_key){0, 0}, "shared", NULL, NULL, THREADS * PAGE,
		    &shared, &existed))
		abort();
	for (unsigned i = 0; i < THREADS; i++)
		jobs[i] = (struct job){.vm = vm,
			.shared = shared,
			.lock = &lock,
			.number = i,
			.steps = steps,
			.seed = i + 100};
	ok = run_all(jobs) && ok;
	pg_object_unref(shared);
	pg_vm_destroy(vm);
	printf("one machine and its lock: %s\n", ok ? "right" : "wrong");
	return ok ? 0 : 1;
}
