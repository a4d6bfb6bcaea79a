/* SPDX-License-Identifier: MIT */
/*
 * bench/fork.c: what it costs a program with much memory to fork, and to write to what it shares then, measured by
 * the program itself. Run natively it measures Linux, run by Pagoda it measures Pagoda. bench.py runs it.
 *
 *   fork [MIB]     MIB (1024): private memory that is resident when it forks
 *
 * Prints one line each: a name and a number. Times are nanoseconds a page, the best of ROUNDS, by the clock: the child's are
 * those of its own writes, its end is from its last act until the parent has waited for it. `faults_every` and `faults_some` are the
 * page faults of one child that wrote to every page, or to one in STEP, as its parent is told of them
 * (getrusage): at least the pages it wrote to, and few more.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ull

enum { MIB = 1024, STEP = 8, ROUNDS = 3 };

/* What a child tells its parent, in shared memory. */
struct report {
	double writes_ns; /* of all its writes together */
	double ended_at_ns;
};

struct best {
	double fork_ns, write_ns, end_ns,
		reuse_ns; /* for each page; of reuse: that the parent writes to afterwards */
	long faults;      /* of the child */
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *map(uint64_t bytes, int kind)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | kind, -1, 0);

	if (p == MAP_FAILED) {
		perror("fork: mmap");
		exit(1);
	}
	madvise(p, bytes, MADV_NOHUGEPAGE); /* pages of 4 KiB on both sides */
	return p;
}

static double write_to(volatile uint8_t *p, uint64_t pages, uint64_t step, uint8_t value)
{
	double before = now_ns();

	for (uint64_t i = 0; i < pages; i += step)
		p[i * PAGE] = value;
	return now_ns() - before;
}

static void lower(double *best, double value)
{
	if (*best == 0 || value < *best)
		*best = value;
}

/* One fork whose child writes to one page in `step`. False if something failed. */
static int once(uint8_t *p, uint64_t pages, uint64_t step, struct report *told, struct best *b)
{
	uint64_t written = (pages + step - 1) / step;
	struct rusage u;
	int status;
	double before = now_ns();
	pid_t child = fork();

	if (child < 0)
		return 0;
	if (child == 0) {
		told->writes_ns = write_to(p, pages, step, 2);
		told->ended_at_ns = now_ns();
		_exit(p[0] == 2 ? 0 : 1);
	}
	lower(&b->fork_ns, (now_ns() - before) / (double)pages);
	if (wait4(child, &status, 0, &u) != child || status != 0)
		return 0;
	lower(&b->end_ns, (now_ns() - told->ended_at_ns) / (double)pages);
	lower(&b->write_ns, told->writes_ns / (double)written);
	b->faults = u.ru_minflt + u.ru_majflt;
	for (uint64_t i = 0; i < pages; i++)
		if (p[i * PAGE] != 1)
			return 0;
	lower(&b->reuse_ns, write_to(p, pages, step, 1) / (double)written);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t pages = (argc == 2 ? strtoull(argv[1], NULL, 10) : MIB) * (1048576 / PAGE);
	uint8_t *p = map(pages * PAGE, MAP_PRIVATE);
	struct report *told = map(PAGE, MAP_SHARED);
	struct best every = {0}, some = {0};

	told->writes_ns = 0; /* resident before the first child */
	write_to(p, pages, 1, 1);
	for (int round = 0; round < ROUNDS; round++) {
		if (!once(p, pages, 1, told, &every) || !once(p, pages, STEP, told, &some)) {
			fprintf(stderr,
				"fork: a child failed, or memory is not as it was written\n");
			return 1;
		}
	}
	lower(&some.fork_ns, every.fork_ns);
	printf("fork %.1f\n", some.fork_ns);
	printf("copy_every %.1f\n", every.write_ns);
	printf("copy_some %.1f\n", some.write_ns);
	printf("reuse %.1f\n", every.reuse_ns);
	printf("end_every %.1f\n", every.end_ns);
	printf("end_some %.1f\n", some.end_ns);
	printf("faults_every %ld\n", every.faults);
	printf("faults_some %ld\n", some.faults);
	return 0;
}
