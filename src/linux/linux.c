/* SPDX-License-Identifier: MIT */
/*
 * linux/linux.c: one machine's Linux from create to destroy.
 *
 * Called by ui/ through linux.h. Owns the handle and the engine. Calls all that is to be made and to be destroyed.
 *
 * What is not here: loading (exec/), the loop that runs guests (loop.c), processes, threads and signals (process/), system calls (calls/),
 * what is asked of a machine that is there (present.c), the host's signals (service.c).
 */
#include "linux/calls/calls.h"
#include "linux/exec/exec.h"
#include "linux/files/files.h"
#include "linux/files/peer.h"
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_MAX_REGIONS 65530 /* vm.max_map_count */

/* --- small services -------------------------------------------------------------------------------- */

void pg_linux_fail(struct pg_linux *l, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(l->error, sizeof(l->error), format, ap);
	va_end(ap);
}

void pg_linux_unknown(struct pg_thread *me, const char *format, ...)
{
	struct pg_linux *l = me->machine;
	const struct pg_syscall *s = pg_syscall_get(me->number);
	char line[256], **more;
	va_list ap;

	if (l->hooks.unknown == NULL)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (unsigned i = 0; i < l->told_count; i++)
		if (strcmp(l->told[i], line) == 0)
			return;
	more = realloc(l->told, (l->told_count + 1) * sizeof(*more));
	if (more != NULL) {
		l->told = more;
		more[l->told_count] = strdup(line);
		if (more[l->told_count] != NULL)
			l->told_count++;
	}
	l->hooks.unknown(l->hooks.ctx, me->number, s != NULL ? s->name : "", line);
}

/* --- create and destroy ------------------------------------------------------------------------------ */

static void forward_fault(void *ctx, const struct pg_fault_event *e)
{
	const struct pg_linux *l = ctx;

	if (l->hooks.fault != NULL)
		l->hooks.fault(l->hooks.ctx, e);
}

static void forward_code(void *ctx, pg_pfn f)
{
	const struct pg_linux *l = ctx;

	l->ops->code_written(l->engine, f);
}

/* What must be known of the host: which of its files no guest call may reach, its limits, its clock. */
static void look_at_host(struct pg_linux *l)
{
	struct stat st;

	l->host_pid = getpid();
	if (stat("/proc/self/", &st) == 0)
		l->proc_dev = (uint64_t)st.st_dev;
	if (fstat(pg_frames_fd(pg_vm_frames(l->vm)), &st) == 0) {
		l->frames_dev = (uint64_t)st.st_dev;
		l->frames_ino = (uint64_t)st.st_ino;
	}
	if (stat("/proc/self/exe", &st) == 0) {
		l->pagoda_dev = (uint64_t)st.st_dev;
		l->pagoda_ino = (uint64_t)st.st_ino;
	}
	if (getrlimit(RLIMIT_FSIZE, &l->file_limit) != 0)
		l->file_limit = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	l->vdso_bytes = pg_host_vdso_bytes();
	l->start_ns = pg_host_clock_ns(CLOCK_MONOTONIC);
}

void pg_linux_first_limits(const struct pg_linux *l, struct rlimit64 *limits)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit r;

		limits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
		if (getrlimit((__rlimit_resource_t)i, &r) == 0)
			limits[i] = (struct rlimit64){r.rlim_cur, r.rlim_max};
	}
	limits[RLIMIT_FSIZE] = (struct rlimit64){l->file_limit.rlim_cur, l->file_limit.rlim_max};
	if (l->stack_limit != 0) {
		limits[RLIMIT_STACK].rlim_cur = l->stack_limit;
		if (limits[RLIMIT_STACK].rlim_max < l->stack_limit)
			limits[RLIMIT_STACK].rlim_max = l->stack_limit;
	}
}

/* The descriptor of the machine's memory goes where no guest call reaches it. */
static int hide_frames(struct pg_linux *l)
{
	struct pg_frames *fs = pg_vm_frames(l->vm);
	int fd = pg_linux_own_fd(pg_frames_fd(fs));

	if (fd < 0)
		return fd;
	pg_frames_set_fd(fs, fd);
	return 0;
}

int pg_linux_create(const struct pg_linux_config *c, struct pg_linux **out, const char **why)
{
	struct pg_engine_config ec = {.vm = c->vm, .mmu = c->mmu, .fast = c->fast};
	struct pg_vm_hooks hooks;
	struct pg_linux *l;
	int err;

	*why = "no host memory";
	if (c->vm == NULL || c->engine == NULL || c->path == NULL || c->argv == NULL ||
		c->argv[0] == NULL) {
		*why = "the configuration names no machine, engine or program";
		return -EINVAL;
	}
	if (!pg_fds_suffice()) {
		*why = "fewer than 256 descriptors are permitted (the hard limit, ulimit -Hn)";
		return -EMFILE;
	}
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	l->vm = c->vm;
	l->reclaim = c->reclaim;
	l->ops = c->engine;
	if (c->hooks.reached != NULL) {
		ec.reached = c->hooks.reached;
		ec.reached_ctx = c->hooks.ctx;
	}
	if (c->hooks.transferred != NULL) {
		ec.transferred = c->hooks.transferred;
		ec.transferred_ctx = c->hooks.ctx;
	}
	l->hooks = c->hooks;
	l->aslr = c->aslr;
	l->seeded = c->seeded;
	l->max_regions = c->max_regions != 0 ? c->max_regions : DEFAULT_MAX_REGIONS;
	l->stack_limit = c->stack_limit_bytes;
	l->keeper_ask = l->keeper_end = -1;
	pg_lock_init(&l->lock);
	pthread_mutex_init(&l->keeper_lock, NULL);
	l->path = strdup(c->path);
	l->argv = pg_strings_copy(c->argv);
	l->envp = pg_strings_copy(c->envp);
	if (l->path == NULL || l->argv == NULL || l->envp == NULL) {
		pg_linux_destroy(l);
		return -ENOMEM;
	}
	pg_linux_seed(l, c->seeded ? c->seed : pg_host_clock_ns(CLOCK_REALTIME));
	err = hide_frames(l);
	if (err != 0) {
		*why = "no descriptor is left for the machine's memory (raise ulimit -n)";
		pg_linux_destroy(l);
		return err;
	}
	err = l->ops->create(&ec, &l->engine, why);
	if (err != 0) {
		l->engine = NULL;
		pg_linux_destroy(l);
		return err;
	}
	err = pg_partitions_create(l, c->partition);
	if (err != 0) {
		*why = err == -ENOMEM ? "no host memory"
				      : "the memory is not of the kind that was asked for";
		pg_linux_destroy(l);
		return err;
	}
	look_at_host(l);
	hooks = (struct pg_vm_hooks){.ctx = l,
		.fault = l->hooks.fault != NULL ? forward_fault : NULL,
		.code_written = forward_code};
	pg_vm_set_hooks(l->vm, &hooks);
	*why = "";
	*out = l;
	return 0;
}

void pg_linux_destroy(struct pg_linux *l)
{
	if (l == NULL)
		return;
	while (l->processes != NULL) {
		struct pg_process *p = l->processes;

		while (p->thread != NULL) { /* of a program that was loaded and never ran */
			struct pg_thread *t = p->thread;

			pg_thread_unmake(t);
		}
		pg_process_free(p);
	}
	pg_files_let_go(l, true);
	pg_files_let_go(l, false);
	pg_open_end(l);
	if (l->engine != NULL) {
		struct pg_vm_hooks none = {0};

		pg_vm_set_hooks(l->vm, &none);
		l->ops->destroy(l->engine);
	}
	pg_shm_end(l);
	pg_proc_memory_end(l);
	pg_pidfds_end(l);
	pg_owners_end(l);
	pg_peers_end(l);
	pg_sem_end(l);
	pg_msg_end(l);
	pg_terminals_free(l);
	pg_sigfd_free(l);
	pg_partitions_destroy(l);
	free(l->timers);
	if (l->first_fds != NULL) {
		free(l->first_fds->has);
		free(l->first_fds);
	}
	for (unsigned i = 0; i < l->told_count; i++)
		free(l->told[i]);
	free(l->told);
	free(l->path);
	pg_strings_free(l->argv);
	pg_strings_free(l->envp);
	pg_lock_destroy(&l->lock);
	pthread_mutex_destroy(&l->keeper_lock);
	free(l);
}

/* --- load and run --------------------------------------------------------------------------------------- */

int pg_linux_load(struct pg_linux *l)
{
	char filename[PATH_MAX];
	struct pg_exec_args x = {.filename = filename, .argv = l->argv, .envp = l->envp};
	struct pg_thread *first;
	int err;

	if (l->init != NULL)
		return -EINVAL;
	l->error[0] = '\0';
	err = pg_linux_find_program(l, l->path, l->envp, filename);
	if (err != 0)
		return err;
	err = pg_process_init(l, &first);
	if (err != 0) {
		pg_linux_fail(l, "%s: no memory to load it", filename);
		return err;
	}
	pg_linux_first_limits(l, l->init->limits);
	pg_lock_take(l, first);
	err = pg_exec(first, &x);
	if (err == 0 && first->oom) {
		pg_linux_fail(l, "%s: the machine has too little memory to load it", filename);
		err = -ENOMEM;
	}
	if (err != 0) {
		pg_thread_unmake(first);
		l->alive--;
		pg_process_free(l->init);
	}
	pg_lock_give(l);
	return err;
}

const char *pg_linux_error(const struct pg_linux *l)
{
	return l->error;
}

int pg_linux_run(struct pg_linux *l, struct pg_linux_end *out)
{
	int err;

	if (l->init == NULL || l->init->thread == NULL || l->init->thread->host_tid != 0)
		return -EINVAL;
	err = pg_service_begin(l);
	if (err != 0)
		return err;
	l->cpu_look = pg_limit_cpu(
		l); /* nobody runs yet; later a look takes the lock, and that would show in figures */
	err = pg_keeper_begin(l);
	if (err == 0)
		err = pg_thread_start(l->init->thread);
	if (err == 0)
		pg_service_run(l);
	pg_keeper_end(l);
	pg_service_end(l);
	*out = l->init->end;
	return err;
}

int pg_linux_status(const struct pg_linux_end *e)
{
	return e->exited ? e->code : 128 + e->signal;
}

void pg_linux_stop(struct pg_linux *l)
{
	l->stopping = true;
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next) {
			pg_thread_poke(t);
			if (t->cpu != NULL)
				l->ops->interrupt(
					t->cpu); /* one of them runs, and is not to wait for its turn's end */
		}
}

void *pg_linux_wait_begin(struct pg_linux *l)
{
	struct pg_thread *me = l->current;

	pg_block_begin(me);
	return me;
}

void pg_linux_wait_end(struct pg_linux *l, void *waiting)
{
	pg_block_end(waiting);
}
