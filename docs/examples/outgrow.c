/* SPDX-License-Identifier: MIT */
/*
 * A heap that outgrows its block beside a neighbour: outgrow MIB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t bytes = (argc > 1 ? (size_t)atoi(argv[1]) : 1) << 20;
	char *memory;

	if (fork() == 0) {
		sleep(1); /* a neighbour, in the block behind ours */
		_exit(0);
	}
	memory = malloc(bytes);
	if (memory == NULL) {
		puts("refused");
	} else {
		memset(memory, 1, bytes);
		printf("%zu bytes\n", bytes);
	}
	wait(NULL);
	return 0;
}
