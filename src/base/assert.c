/* SPDX-License-Identifier: MIT */
/*
 * base/assert.c: the end of the line for a bug of our own. Called by PG_ASSERT only.
 */
#include "base/types.h"

#include <stdio.h>
#include <stdlib.h>

static int message_fd = 2;

void pg_bug_messages_to(int fd)
{
	message_fd = fd;
}

void pg_bug(const char *file, int line, const char *what)
{
	dprintf(message_fd, "pagoda: internal error at %s:%d: %s\n", file, line, what);
	abort();
}
