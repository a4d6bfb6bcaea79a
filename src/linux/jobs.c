/* SPDX-License-Identifier: MIT */
/*
 * linux/jobs.c: programs that a scheduler starts on a partition machine, beside one another and with no parent.
 *
 * Called by ui/ through linux/partition.h. Calls exec/exec.c to load, process/process.c and process/thread.c to make, service.c to run the machine.
 * Owns nothing: a job is a process like others (process/process.c, P2: it is freed when it ends).
 *
 * The first table of descriptors is Pagoda's; a job's host thread begins with a copy of its own, made from that of the thread that starts it:
 * so only the scheduler's thread may.
 */
#include "linux/exec/exec.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/partition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lock's holder, who is no guest, speaks for `t` while it loads it; NULL: for nobody again. */
static void speak_for(struct pg_linux *l, struct pg_thread *t)
{
	pthread_mutex_lock(&l->lock.m);
	l->current = t;
	pthread_mutex_unlock(&l->lock.m);
}

static void unmake(struct pg_linux *l, struct pg_thread *t)
{
	struct pg_process *p = t->proc;

	pg_thread_unmake(t);
	l->alive--;
	pg_process_free(p);
}

/* Loads a program into a process of its own that does not run yet. size not NULL: only says how large its block would be. */
static int load(struct pg_linux *l, const struct pg_partition_job *j, uint64_t *size,
	struct pg_thread **out)
{
	char filename[PATH_MAX];
	struct pg_exec_args x = {.filename = filename, .block_bytes = j->bytes, .size = size};
	int err = pg_linux_find_program(l, j->path, (char *const *)(uintptr_t)j->envp, filename);
	struct pg_thread *t;

	if (err != 0)
		return err;
	err = pg_process_orphan(l, &t);
	if (err != 0) {
		pg_linux_fail(l, "%s: no memory to load it", filename);
		return err;
	}
	x.argv = pg_strings_copy(j->argv);
	x.envp = pg_strings_copy(j->envp);
	speak_for(l, t);
	err = x.argv != NULL && x.envp != NULL ? pg_exec(t, &x) : -ENOMEM;
	speak_for(l, NULL);
	pg_strings_free(x.argv);
	pg_strings_free(x.envp);
	if (err != 0 || size != NULL) {
		unmake(l, t);
		return err;
	}
	*out = t;
	return 0;
}

int pg_partition_size(struct pg_linux *l, const struct pg_partition_job *j, uint64_t *bytes)
{
	l->error[0] = '\0';
	return load(l, j, bytes, NULL);
}

int pg_partition_spawn(struct pg_linux *l, const struct pg_partition_job *j, int *pid)
{
	struct pg_thread *t = NULL;
	int err;

	PG_ASSERT(l->current == NULL && l->jobs);
	l->error[0] = '\0';
	l->partition->spawning = true;
	err = load(l, j, NULL, &t);
	l->partition->spawning = false;
	if (err != 0)
		return err;
	t->std[0] = j->in;
	t->std[1] = j->out;
	t->std[2] = j->err;
	t->new_files = t->new_fs = t->new_std = true;
	*pid = t->proc->pid;
	err = pg_thread_start(t);
	if (err != 0) {
		pg_linux_fail(l, "%s: no thread of the host is left for it", j->path);
		unmake(l, t);
	}
	return err;
}

/* ---- the machine */

struct begin {
	struct pg_linux *l;
	void (*scheduler)(void *ctx);
	void *ctx;
};

static void *schedule(void *arg)
{
	const struct begin *b = arg;
	struct pg_linux *l = b->l;

	b->scheduler(b->ctx);
	pg_lock_take(l, NULL);
	l->jobs = false;
	if (l->thread_count == 0)
		pg_service_ring(l);
	pg_lock_give(l);
	return NULL;
}

int pg_linux_run_jobs(struct pg_linux *l, void (*scheduler)(void *ctx), void *ctx)
{
	struct begin b = {l, scheduler, ctx};
	pthread_t host;
	int err;

	if (l->partition == NULL || l->init != NULL || l->first_fds != NULL)
		return -EINVAL;
	l->first_fds = pg_fds_make(l, NULL);
	if (l->first_fds == NULL)
		return -ENOMEM;
	l->first_fds->users = 1; /* it goes with the machine */
	l->next_pid = PG_LINUX_PID;
	err = pg_service_begin(l);
	if (err != 0)
		return err;
	err = pg_keeper_begin(l);
	l->jobs = true;
	if (err == 0)
		err = -pthread_create(&host, NULL, schedule, &b);
	if (err == 0) {
		pg_service_run(l);
		pthread_join(host, NULL);
	}
	l->jobs = false;
	pg_keeper_end(l);
	pg_service_end(l);
	return err;
}
