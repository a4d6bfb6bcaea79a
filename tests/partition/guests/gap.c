/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/gap.c: three children; the middle one ends; then the parent wants more memory than any hole has. gap BYTES
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int end[3][2], status, sum = 0;
	long more = argc > 1 ? atol(argv[1]) : 0;
	pid_t pid[3];
	char c;

	for (int i = 0; i < 3; i++) {
		if (pipe(end[i]) != 0)
			return 2;
		pid[i] = fork();
		if (pid[i] < 0)
			return 3;
		if (pid[i] == 0) {
			for (int k = 0; k <= i; k++)
				close(end[k][1]);
			(void)!read(end[i][0], &c, 1); /* until the parent closes the other end */
			_exit(i + 1);
		}
	}
	close(end[1][1]);
	waitpid(pid[1], &status, 0);
	sum = WEXITSTATUS(status);
	if (sbrk(more) == (void *)-1) {
		puts("refused");
	} else {
		memset((char *)sbrk(0) - more, 1, (size_t)more);
		puts("grown");
	}
	close(end[0][1]);
	close(end[2][1]);
	while (wait(&status) > 0)
		sum += WEXITSTATUS(status);
	printf("%d\n", sum);
	return 0;
}
