/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/apart.c: a child sleeps while its parent takes the memory behind its own block; then the child looks at its memory. apart BYTES
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long more = argc > 1 ? atol(argv[1]) : 0;
	unsigned char *own = malloc(100000);
	int status;
	pid_t pid;

	if (own == NULL)
		return 2;
	memset(own, 1, 100000);
	pid = fork();
	if (pid == 0) {
		memset(own, 2, 100000);
		usleep(300000);
		for (int i = 0; i < 100000; i++)
			if (own[i] != 2)
				_exit(1);
		_exit(5);
	}
	usleep(50000); /* the child sleeps by now */
	if (pid < 0 || sbrk(more) == (void *)-1)
		return 3;
	memset((char *)sbrk(0) - more, 3, (size_t)more);
	if (wait(&status) != pid)
		return 4;
	for (int i = 0; i < 100000; i++)
		if (own[i] != 1)
			return 5;
	for (long i = 1; i <= more; i++)
		if (((unsigned char *)sbrk(0))[-i] != 3)
			return 6;
	printf("%d\n", WEXITSTATUS(status));
	return 0;
}
