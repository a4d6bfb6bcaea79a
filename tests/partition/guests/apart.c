/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/apart.c: a child sleeps while its parent takes the memory behind its own block; then the child looks at its memory. apart BYTES
 *
 * It sleeps in read() until the parent is done; that it has got there, its state in /proc says.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void until_asleep(pid_t pid)
{
	char path[64], line[256];

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	for (int seen = 0; seen < 25; usleep(4000)) {
		int fd = open(path, O_RDONLY);
		long n = read(fd, line, sizeof line - 1);
		char *c;

		close(fd);
		line[n > 0 ? n : 0] = 0;
		c = strrchr(line, ')');
		if (c == NULL)
			_exit(7);
		seen = c[2] == 'S' ? seen + 1 : 0;
	}
}

int main(int argc, char **argv)
{
	long more = argc > 1 ? atol(argv[1]) : 0;
	unsigned char *own = malloc(100000);
	int status, there[2], go[2];
	pid_t pid;
	char c;

	if (own == NULL || pipe(there) != 0 || pipe(go) != 0)
		return 2;
	memset(own, 1, 100000);
	pid = fork();
	if (pid == 0) {
		memset(own, 2, 100000);
		close(go[1]); /* the parent's end ends it too */
		if (write(there[1], "x", 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(8);
		for (int i = 0; i < 100000; i++)
			if (own[i] != 2)
				_exit(1);
		_exit(5);
	}
	if (pid < 0 || read(there[0], &c, 1) != 1)
		return 2;
	until_asleep(pid);
	if (sbrk(more) == (void *)-1)
		return 3;
	memset((char *)sbrk(0) - more, 3, (size_t)more);
	if (write(go[1], "x", 1) != 1)
		return 8;
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
