/* SPDX-License-Identifier: MIT */
/*
 * tests/heapview/bystander.c: preloaded into a real program, says mallinfo2() as known.c does when the program is about to end, to the
 * file of the environment variable BYSTANDER, and ends it there.
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("BYSTANDER");
	char text[400];

	if (!path)
		return;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct mallinfo2 m = mallinfo2();
	int n = snprintf(text, sizeof text,
		"info arena %zu ordblks %zu smblks %zu hblks %zu hblkhd %zu fsmblks %zu "
		"uordblks %zu fordblks %zu keepcost %zu\n",
		m.arena, m.ordblks, m.smblks, m.hblks, m.hblkhd, m.fsmblks, m.uordblks, m.fordblks,
		m.keepcost);
	if (write(fd, text, (size_t)n) != n)
		_exit(3);
	_exit(0);
}
