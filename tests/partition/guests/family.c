/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/family.c: children that grow, wait and look whether their memory is theirs. Same output natively. family [CHILDREN [KIB]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int child(unsigned char mark, unsigned char *old, size_t size)
{
	size_t had = 0;
	unsigned char *more = NULL;

	memset(old, mark, size);
	for (int round = 1; round <= 8; round++) {
		more = realloc(more, round * size / 4);
		if (more == NULL)
			return 90;
		memset(more + had, mark + round, round * size / 4 - had);
		had = round * size / 4;
		usleep(3000);
		for (size_t i = 0; i < size; i++)
			if (old[i] != mark)
				return 91;
		for (int k = 1; k <= round; k++)
			if (more[k * size / 4 - 1] != (unsigned char)(mark + k))
				return 92;
	}
	return mark;
}

int main(int argc, char **argv)
{
	int children = argc > 1 ? atoi(argv[1]) : 3, status, sum = 0;
	size_t size = (argc > 2 ? (size_t)atoi(argv[2]) : 200) << 10;
	unsigned char *memory = malloc(size);

	if (memory == NULL)
		return 3;
	memset(memory, 0x55, size);
	for (int i = 1; i <= children; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 4;
		}
		if (pid == 0)
			_exit(child((unsigned char)i, memory, size));
	}
	for (int i = 0; i < children; i++) {
		if (wait(&status) < 0 || !WIFEXITED(status))
			return 5;
		sum += WEXITSTATUS(status);
	}
	for (size_t i = 0; i < size; i++)
		if (memory[i] != 0x55)
			return 6;
	printf("%d children, sum %d\n", children, sum);
	return 0;
}
