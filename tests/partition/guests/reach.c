/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/reach.c: a child stores to an address, or to so many bytes beyond the break with +BYTES; the parent tells what became of it. reach ADDRESS|+BYTES
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	uintptr_t at;
	int status;
	pid_t pid;

	if (argc < 2)
		return 2;
	at = strtoul(argv[1], NULL, 0) + (argv[1][0] == '+' ? (uintptr_t)sbrk(0) : 0);
	pid = fork();
	if (pid == 0) {
		*(volatile char *)at = 1;
		_exit(0);
	}
	if (pid < 0 || wait(&status) != pid)
		return 3;
	if (WIFSIGNALED(status))
		printf("child: %s\n", strsignal(WTERMSIG(status)));
	else
		printf("child: lived\n");
	puts("parent: lives");
	return 0;
}
