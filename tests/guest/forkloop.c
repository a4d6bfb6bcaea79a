/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/forkloop.c: forks, exits and waits. tests/programs/forks_long.py watches Pagoda from outside while it does. R16.
 *
 * forkloop FORKS SECONDS: ends with the first of both. Prints how many, and the machine's free memory after the first thousand and at the
 * end, in KiB.
 */
#include "guest.h"

#include <sys/wait.h>
#include <time.h>

static unsigned long free_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long n = 0;
	char line[128];

	check(f != NULL, "/proc/meminfo");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "MemFree: %lu", &n) == 1)
			break;
	fclose(f);
	return n;
}

int main(int argc, char **argv)
{
	unsigned long most = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000, done, first = 0;
	time_t end = time(NULL) + (argc > 2 ? atol(argv[2]) : 60);
	volatile char *data = calloc(4, PAGE);
	int status;

	check(data != NULL, "calloc");
	for (done = 0; done < most && time(NULL) < end; done++) {
		pid_t k = fork();

		check(k >= 0, "fork");
		if (k == 0) {
			data[(done % 4) * PAGE] = 1; /* a page of its own */
			_exit((int)(done & 127));
		}
		check(waitpid(k, &status, 0) == k && WIFEXITED(status) &&
				WEXITSTATUS(status) == (int)(done & 127),
			"wait");
		if (done == 998 || done == 999) /* the first time brings its own code in */
			first = free_kib();
	}
	printf("%lu forks, free %lu then %lu\n", done, first, free_kib());
	return 0;
}
