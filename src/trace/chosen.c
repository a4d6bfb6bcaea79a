/* SPDX-License-Identifier: MIT */
/*
 * trace/chosen.c: the process that is looked at is recognised, see chosen.h. Owns nothing.
 */
#include "trace/chosen.h"

#include <stdio.h>
#include <string.h>

#include "trace/symbols.h"

bool pg_chosen_by_exec(const struct pg_chosen *c, const struct pg_linux *l, const char *path)
{
	if (c->name)
		return strcmp(pg_symbols_base_name(path), c->name) == 0 ||
		       strcmp(pg_linux_comm(l), c->name) == 0;
	return pg_linux_pid(l) == (c->pid ? c->pid : PG_LINUX_PID);
}

bool pg_chosen_by_fork(const struct pg_chosen *c, int child)
{
	return !c->name && c->pid == child;
}

const char *pg_chosen_never(const struct pg_chosen *c, char *why, size_t cap)
{
	if (c->name)
		snprintf(why, cap, "no process ran a program of the name %s", c->name);
	else
		snprintf(why, cap, "there was no process %d", c->pid ? c->pid : PG_LINUX_PID);
	return why;
}
