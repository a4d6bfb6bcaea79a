/* SPDX-License-Identifier: MIT */
/*
 * tests/scale/bench_fork.c: what a fork costs, beside Linux in the same run. Run by `make bench`, not by the
 * check.
 *
 *   bench_fork [MIB]     a space with MIB (1024) resident: fork, the copies that follow, the child's end
 *
 * ns for each resident page, best of ROUNDS. The library's figures are those of its calls; Linux's
 * include entering the kernel, and for fork and exit all else that a process is.
 */
#include "space/space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 3
#define PAGE 4096ull

enum what { FORK, COPY, REUSE, END, FIGURES };

static const char *const names[FIGURES] = {"fork, for each resident page",
	"first write in the child: a copy", "first write in the parent after it: none",
	"end of the child, for each of its pages"};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_fork: %s failed\n", what);
	exit(1);
}

static struct pg_space *space_new(struct pg_vm *vm)
{
	struct pg_space_config c = {
		.lo = {65536}, .hi = {0x7ffffffff000}, .mmap_top = {0x7ffff7fff000}};
	struct pg_space *s;

	must(pg_space_create(vm, &c, &s) == 0, "making a space");
	return s;
}

static void write_all(struct pg_space *s, pg_va a, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		must(pg_space_fault(s, (pg_va){a.v + i * PAGE}, PG_WRITE, 0, false) ==
				PG_FAULT_RESUME,
			"a fault");
}

static void ours(struct pg_space *parent, struct pg_vm *vm, pg_va a, uint64_t pages,
	uint64_t copied, double t[FIGURES])
{
	struct pg_space *child = space_new(vm);
	double at = now_ns();

	must(pg_space_fork(parent, child) == 0, "fork");
	t[FORK] = (now_ns() - at) / (double)pages;
	at = now_ns();
	write_all(child, a, copied);
	t[COPY] = (now_ns() - at) / (double)copied;
	at = now_ns();
	write_all(parent, a, copied);
	t[REUSE] = (now_ns() - at) / (double)copied;
	at = now_ns();
	pg_space_destroy(child);
	t[END] = (now_ns() - at) / (double)pages;
}

/* The times are the child's own for what it does, handed back through shared memory. */
static void host(volatile char *p, uint64_t pages, uint64_t copied, double t[FIGURES])
{
	double *shared =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double at = now_ns(), end;
	pid_t pid = fork();

	must(pid >= 0 && shared != MAP_FAILED, "the host's fork");
	if (pid == 0) {
		double from = now_ns();

		for (uint64_t i = 0; i < copied; i++)
			p[i * PAGE] = 2;
		shared[0] = (now_ns() - from) / (double)copied;
		shared[1] = now_ns();
		_exit(0);
	}
	t[FORK] = (now_ns() - at) / (double)pages;
	must(waitpid(pid, NULL, 0) == pid, "waiting");
	end = now_ns();
	t[COPY] = shared[0];
	t[END] = (end - shared[1]) / (double)pages;
	at = now_ns();
	for (uint64_t i = 0; i < copied; i++)
		p[i * PAGE] = 3;
	t[REUSE] = (now_ns() - at) / (double)copied;
	munmap(shared, PAGE);
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 0) : 1024;
	uint64_t pages = mib << 8, copied = pages / 8;
	struct pg_vm_config c = {.memory_bytes = (mib + mib / 4 + 16) << 20,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64};
	double best[2][FIGURES] = {{0}};
	struct pg_space *parent;
	struct pg_vm *vm;
	pg_va a = {0};
	char *p;

	must(mib > 0 && pg_vm_create(&c, &vm) == 0, "making the machine");
	parent = space_new(vm);
	must(pg_space_map(parent, &a, pages * PAGE, PG_READ | PG_WRITE, 7, 0, NULL, 0, NULL) == 0,
		"map");
	write_all(parent, a, pages);
	p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED && madvise(p, pages * PAGE, MADV_NOHUGEPAGE) == 0, "the host's mmap");
	for (uint64_t i = 0; i < pages; i++)
		p[i * PAGE] = 1;
	for (int round = 0; round < ROUNDS; round++) {
		double t[2][FIGURES];

		ours(parent, vm, a, pages, copied, t[0]);
		host(p, pages, copied, t[1]);
		for (int who = 0; who < 2; who++) {
			for (int k = 0; k < FIGURES; k++) {
				if (!round || t[who][k] < best[who][k])
					best[who][k] = t[who][k];
			}
		}
	}
	printf("%-42s %9s %9s %7s   ns each; %llu MiB resident, an eighth of it written\n", "",
		"library", "Linux", "ratio", (unsigned long long)mib);
	for (int k = 0; k < FIGURES; k++)
		printf("%-42s %9.1f %9.1f %7.2f\n", names[k], best[0][k], best[1][k],
			best[0][k] / best[1][k]);
	pg_space_destroy(parent);
	pg_vm_destroy(vm);
	return 0;
}
