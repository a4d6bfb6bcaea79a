/* SPDX-License-Identifier: MIT */
/*
 * linux/linux.c: one machine's Linux from create to destroy, and the loop that runs a guest thread.
 *
 * Called by ui/ through linux.h, the loop by process/thread.c. Calls cpu/ to run the guest until it stops, and by why it stopped the
 * system call table (calls/table.c) or a signal (process/signal.c). Owns the handle and the engine.
 *
 * What is not here: loading (exec/exec.c), processes and threads (process/process.c, process/thread.c), system calls (calls/), signals (process/signal.c).
 */
#include "linux/files/peer.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
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

/* splitmix64 for the seed, xoshiro256** for the stream (Blackman, Vigna 2018). */
static void seed_random(struct pg_linux *l, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15u);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		l->random_state[i] = z ^ (z >> 31);
	}
}

static uint64_t rotate(uint64_t v, unsigned n)
{
	return (v << n) | (v >> (64 - n));
}

static uint64_t next_random(struct pg_linux *l)
{
	uint64_t *s = l->random_state, r = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return r;
}

void pg_linux_random(struct pg_linux *l, void *buf, uint64_t n)
{
	uint8_t *p = buf;

	while (n > 0) {
		uint64_t part = n < 8 ? n : 8, r = 0;

		if (l->seeded) {
			r = next_random(l);
		} else {
			ssize_t got = getrandom(&r, sizeof(r), 0);

			if (got != (ssize_t)sizeof(r))
				r = next_random(l); /* seeded from the clock in create */
		}
		memcpy(p, &r, part);
		p += part;
		n -= part;
	}
}

uint64_t pg_linux_random_below(struct pg_linux *l, uint64_t bound)
{
	uint64_t r;

	pg_linux_random(l, &r, sizeof(r));
	return bound != 0 ? r % bound : 0;
}

void pg_strings_free(char **v)
{
	if (v == NULL)
		return;
	for (char **s = v; *s != NULL; s++)
		free(*s);
	free(v);
}

char **pg_strings_copy(const char *const *v)
{
	size_t n = 0;
	char **out;

	while (v != NULL && v[n] != NULL)
		n++;
	out = calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out != NULL && i < n; i++) {
		out[i] = strdup(v[i]);
		if (out[i] == NULL) {
			pg_strings_free(out);
			return NULL;
		}
	}
	return out;
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
	seed_random(l, c->seeded ? c->seed : pg_host_clock_ns(CLOCK_REALTIME));
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

/* --- load ---------------------------------------------------------------------------------------------- */

static const char *environment(char *const *envp, const char *name)
{
	size_t n = strlen(name);

	for (; *envp != NULL; envp++)
		if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

/* As execvp(3): the first executable in PATH. 0 and `out`, or -ENOENT, -EACCES. */
static int search_path(const char *path, char *const *envp, char out[PATH_MAX])
{
	const char *p = environment(envp, "PATH");
	int err = -ENOENT;

	if (strchr(path, '/') != NULL) {
		if (strlen(path) >= PATH_MAX)
			return -ENAMETOOLONG;
		snprintf(out, PATH_MAX, "%s", path);
		return 0;
	}
	for (p = p != NULL ? p : "/bin:/usr/bin";; p++) {
		size_t n = strcspn(p, ":");
		struct stat st;

		snprintf(out, PATH_MAX, "%.*s%s%s", (int)n, p, n != 0 ? "/" : "", path);
		if (stat(out, &st) == 0 && S_ISREG(st.st_mode)) {
			if (faccessat(AT_FDCWD, out, X_OK, AT_EACCESS) == 0)
				return 0;
			err = -EACCES;
		}
		p += n;
		if (*p == '\0')
			return err;
	}
}

int pg_linux_find_program(
	struct pg_linux *l, const char *path, char *const *envp, char out[PATH_MAX])
{
	int err = search_path(path, envp, out);

	if (err == -ENOENT)
		pg_linux_fail(l, "%s: no such program in PATH", path);
	else if (err == -EACCES)
		pg_linux_fail(l, "%s: found in PATH, but not executable", path);
	else if (err != 0)
		pg_linux_fail(l, "%.64s...: name too long", path);
	return err;
}

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

/* --- run ------------------------------------------------------------------------------------------------- */

/*
 * Whether Linux would say "protection" and not "not present" in the error code: a page that is there without the
 * right (without any right it is not there), and every address of the kernel, about which it tells nothing.
 */
static bool entry_is_there(struct pg_thread *me, pg_va a)
{
	struct pg_region r;

	if (!pg_guest_range_ok(me, a.v, 1))
		return a.v >= ((uint64_t)1 << 47) - PG_PAGE_SIZE;
	if (!pg_space_find(me->mm->space, a, false, &r) || r.prot == 0)
		return false;
	return !pg_pfn_is_none(pg_space_resident(me->mm->space, a, NULL));
}

/* A page fault that space/ refused becomes a signal, with the numbers Linux leaves in the thread. */
static void refuse_fault(struct pg_thread *me, const struct pg_exit_info *i)
{
	struct pg_signals_own *s = &me->sig;
	int signo = SIGSEGV, code = SEGV_MAPERR;

	me->proc->end.access = i->fault_access;
	me->proc->end.why = i->fault_end;
	switch (i->fault_end) {
	case PG_FAULT_OOM:
		me->oom = true;
		return;
	case PG_FAULT_ACCERR:
		code = SEGV_ACCERR;
		break;
	case PG_FAULT_BUS:
		signo = SIGBUS;
		code = BUS_ADRERR;
		break;
	case PG_FAULT_MAPERR:
	case PG_FAULT_STACK:
	case PG_FAULT_LIMIT:
	case PG_FAULT_RESUME:
		break;
	}
	s->trapno = 14;
	s->cr2 = i->fault_va.v;
	/* user mode; write; fetch. "Present" is set where an entry was there without the right. */
	s->error_code =
		4 | (i->fault_access == PG_WRITE ? 2 : 0) | (i->fault_access == PG_EXEC ? 16 : 0);
	if (entry_is_there(me, i->fault_va))
		s->error_code |= 1;
	pg_signal_force(me, signo, code, i->fault_va.v);
}

/* Which floating-point exception: the SSE status if one is unmasked there, else the x87's. */
static int fp_code(const struct pg_thread *me, uint64_t *trapno)
{
	const uint8_t *x = me->regs->x->bytes;
	uint32_t mxcsr;
	uint16_t cw, sw, e;

	memcpy(&mxcsr, x + 24, sizeof(mxcsr));
	memcpy(&cw, x, sizeof(cw));
	memcpy(&sw, x + 2, sizeof(sw));
	e = (uint16_t)(mxcsr & ~(mxcsr >> 7) & 0x3f);
	*trapno = 19;
	if (e == 0) {
		e = sw & ~cw & 0x3f;
		*trapno = 16;
	}
	if (e & 0x01)
		return FPE_FLTINV;
	if (e & 0x04)
		return FPE_FLTDIV;
	if (e & 0x08)
		return FPE_FLTOVF;
	if (e & 0x12)
		return FPE_FLTUND;
	return e & 0x20 ? FPE_FLTRES : 0;
}

static void note_bytes(struct pg_thread *me, const struct pg_exit_info *i)
{
	me->proc->end.length =
		i->length <= sizeof(me->proc->end.bytes) ? i->length : sizeof(me->proc->end.bytes);
	memcpy(me->proc->end.bytes, i->bytes, me->proc->end.length);
}

static void trap(struct pg_thread *me, uint64_t trapno, int signo, int code, uint64_t addr)
{
	me->sig.trapno = trapno;
	me->sig.error_code = 0;
	pg_signal_force(me, signo, code, addr);
}

static void handle(struct pg_thread *me, enum pg_exit why, const struct pg_exit_info *i)
{
	uint64_t rip = me->regs->rip, trapno;
	int code;

	switch (why) {
	case PG_EXIT_SYSCALL:
		me->pc = rip - 2;
		pg_syscall_run(me);
		if (me->machine->partition != NULL && !me->proc->exiting && !me->must_end)
			pg_partition_turn(me);
		break;
	case PG_EXIT_FAULT:
		refuse_fault(me, i);
		break;
	case PG_EXIT_GP:
		trap(me, 13, SIGSEGV, SI_KERNEL, 0);
		break;
	case PG_EXIT_DIVIDE:
		trap(me, 0, SIGFPE, FPE_INTDIV, rip);
		break;
	case PG_EXIT_FP:
		code = fp_code(me, &trapno);
		trap(me, trapno, SIGFPE, code, rip);
		break;
	case PG_EXIT_BREAKPOINT:
		trap(me, 3, SIGTRAP, SI_KERNEL, 0);
		break;
	case PG_EXIT_STEP:
		trap(me, 1, SIGTRAP, TRAP_TRACE, rip);
		break;
	case PG_EXIT_UNSUPPORTED:
		me->proc->end.unhandled = true;
		note_bytes(me, i);
		trap(me, 6, SIGILL, ILL_ILLOPN, rip);
		break;
	case PG_EXIT_ILLEGAL:
		note_bytes(me, i);
		trap(me, 6, SIGILL, ILL_ILLOPN, rip);
		break;
	case PG_EXIT_SS:
		trap(me, 12, SIGBUS, SI_KERNEL, 0);
		break;
	case PG_EXIT_ALIGN:
		trap(me, 17, SIGBUS, BUS_ADRALN, 0);
		break;
	case PG_EXIT_INTERRUPTED:
	case PG_EXIT_BUDGET:
		break;
	}
}

/* Nothing runs before it goes on; whoever stops it again or ends it is seen too. */
static void while_stopped(struct pg_thread *me)
{
	while (me->proc->stopped && !me->proc->exiting && !me->must_end) {
		me->poke = 0;
		pg_thread_sleep(me, UINT64_MAX);
	}
}

void pg_linux_go(struct pg_thread *me)
{
	struct pg_process *p = me->proc;
	struct pg_linux *l = me->machine;

	if (l->partition != NULL)
		pg_partition_turn(me);
	while (!me->exiting && !me->must_end && !p->exiting) {
		struct pg_exit_info info = {0};
		enum pg_exit why;

		if (l->lock.wanted)
			pg_lock_turn(me);
		if (l->stopping) {
			pg_process_stop_all(me);
			continue;
		}
		if (me->oom) {
			pg_process_oom(me);
			continue;
		}
		if (p->stopped) {
			while_stopped(me);
			continue;
		}
		if (me->mm->paused_until != 0) {
			pg_pause_wait(me);
			continue;
		}
		if (me->poke || me->sig.restart != 0 || me->sig.restore_mask ||
			(pg_signal_pending(me) & ~me->sig.blocked) != 0) {
			me->poke = 0;
			pg_signal_deliver(me);
			continue;
		}
		why = l->ops->run(me->cpu, 0, &info);
		handle(me, why, &info);
	}
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

/* --- figures and the present state ------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void pg_linux_add_space(struct pg_space_stats *sum, const struct pg_space_stats *more)
{
	sum->vsz_bytes = more->vsz_bytes;
	sum->rss_pages = more->rss_pages;
	sum->rss_anon_pages = more->rss_anon_pages;
	sum->rss_file_pages = more->rss_file_pages;
	sum->rss_shmem_pages = more->rss_shmem_pages;
	sum->regions = more->regions;
	sum->vsz_peak_bytes = larger(sum->vsz_peak_bytes, more->vsz_peak_bytes);
	sum->rss_peak_pages = larger(sum->rss_peak_pages, more->rss_peak_pages);
	sum->regions_peak = larger(sum->regions_peak, more->regions_peak);
	sum->table.node_frames_peak =
		larger(sum->table.node_frames_peak, more->table.node_frames_peak);
	sum->table.node_frames = more->table.node_frames;
	sum->table.entries = more->table.entries;
	/* One table for the machine, if any: the same in all spaces. */
	sum->table.shared_frames = more->table.shared_frames;
	sum->table.shared_frames_peak =
		larger(sum->table.shared_frames_peak, more->table.shared_frames_peak);
	sum->table.displaced += more->table.displaced;
	sum->table.restored += more->table.restored;
	for (unsigned i = 0; i < PG_FAULT_KINDS; i++)
		sum->faults[i] += more->faults[i];
	sum->faults_by_kernel += more->faults_by_kernel;
	sum->faults_refused += more->faults_refused;
	sum->copies += more->copies;
	sum->pages_in += more->pages_in;
	sum->swap_in += more->swap_in;
	sum->swap_out += more->swap_out;
	sum->refaults += more->refaults;
	sum->swap_ahead += more->swap_ahead;
	sum->swap_ahead_used += more->swap_ahead_used;
	sum->swap_ahead_wasted += more->swap_ahead_wasted;
	sum->file_ahead += more->file_ahead;
	sum->file_ahead_used += more->file_ahead_used;
	sum->file_ahead_wasted += more->file_ahead_wasted;
	sum->scanned += more->scanned;
	sum->reclaimed += more->reclaimed;
	sum->direct_reclaims += more->direct_reclaims;
	sum->stall_ns += more->stall_ns;
	sum->minor += more->minor;
	sum->major += more->major;
}

void pg_linux_add_cpu(struct pg_cpu_stats *sum, const struct pg_cpu_stats *more)
{
	struct pg_mmu_stats *m = &sum->mmu;
	const struct pg_mmu_stats *n = &more->mmu;

	sum->instructions += more->instructions;
	sum->loads += more->loads;
	sum->stores += more->stores;
	sum->fetch_runs += more->fetch_runs;
	sum->page_crossings += more->page_crossings;
	sum->data_lookups += more->data_lookups;
	sum->fetch_lookups += more->fetch_lookups;
	/* of the engine, not of a CPU */
	sum->blocks_translated = larger(sum->blocks_translated, more->blocks_translated);
	sum->code_bytes = larger(sum->code_bytes, more->code_bytes);
	sum->guest_bytes_translated =
		larger(sum->guest_bytes_translated, more->guest_bytes_translated);
	sum->translations_dropped = larger(sum->translations_dropped, more->translations_dropped);
	sum->has_tlb = more->has_tlb;
	for (unsigned i = 0; i < 2; i++)
		m->slow_lookups[i] += n->slow_lookups[i];
	for (unsigned i = 0; i < PG_TLBS; i++)
		m->misses[i] += n->misses[i];
	m->fetch_misses += n->fetch_misses;
	m->l2_lookups += n->l2_lookups;
	m->walks += n->walks;
	m->walk_refs += n->walk_refs;
	m->walk_refs_saved += n->walk_refs_saved;
	for (unsigned i = 0; i < PG_WALK_LENGTHS; i++)
		m->walk_lengths[i] += n->walk_lengths[i];
	m->dirty_walks += n->dirty_walks;
	m->faulting_lookups += n->faulting_lookups;
	m->shootdowns += n->shootdowns;
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

void pg_linux_stats(struct pg_linux *l, struct pg_linux_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (l->execs != 0 && l->ops->totals != NULL)
		l->ops->totals(l->engine, &out->cpu);
	out->space = l->space_before;
	out->signals = l->signals;
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next) {
		struct pg_space_stats space;

		pg_process_stats(p, NULL, &space);
		pg_linux_add_space(&out->space, &space);
		out->signals += p->sig.delivered;
	}
	out->system_calls = l->calls;
	out->execs = l->execs;
	out->forks = l->forks;
	out->bytes_read = l->bytes_read;
	out->bytes_written = l->bytes_written;
	out->oom_kills = l->oom_kills;
}

/* Whom the questions of the floors above are about: who runs, else the first process. */
static const struct pg_mm *present(const struct pg_linux *l)
{
	if (l->current != NULL && l->current->mm != NULL)
		return l->current->mm;
	return l->init != NULL ? l->init->mm : NULL;
}

struct pg_space *pg_linux_space(struct pg_linux *l)
{
	const struct pg_mm *mm = present(l);

	return mm != NULL ? mm->space : NULL;
}

const struct pg_cpu_regs *pg_linux_regs(const struct pg_linux *l)
{
	const struct pg_thread *t = l->current;

	if (t == NULL && l->init != NULL)
		t = l->init->thread;
	return t != NULL ? t->regs : NULL;
}

void pg_linux_each_thread(struct pg_linux *l, int pid,
	bool (*f)(void *ctx, const struct pg_linux_thread *t), void *ctx)
{
	const struct pg_process *p = pg_process_find(l, pid);

	for (const struct pg_thread *t = p != NULL ? p->thread : NULL; t != NULL; t = t->next) {
		struct pg_linux_thread told = {.tid = t->tid, .name = t->comm, .regs = t->regs};

		if (!(t->sig.alt_flags & SS_DISABLE)) {
			told.alt_sp = t->sig.alt_sp;
			told.alt_size = t->sig.alt_size;
		}
		if (t->regs != NULL && !f(ctx, &told))
			return;
	}
}

struct pg_space *pg_linux_space_of(struct pg_linux *l, int pid)
{
	const struct pg_process *p = pg_process_find(l, pid);

	return p != NULL && p->mm != NULL ? p->mm->space : NULL;
}

int pg_linux_pid(const struct pg_linux *l)
{
	return l->current != NULL ? l->current->proc->pid : PG_LINUX_PID;
}

int pg_linux_tid(const struct pg_linux *l)
{
	return l->current != NULL ? l->current->tid : PG_LINUX_PID;
}

int pg_linux_watch(struct pg_linux *l, uint64_t rip)
{
	return l->ops->watch(l->engine, rip);
}

const char *pg_linux_program(const struct pg_linux *l)
{
	const struct pg_mm *mm = present(l);

	return mm != NULL ? mm->exe : "";
}

const char *pg_linux_comm(const struct pg_linux *l)
{
	const struct pg_thread *t = l->current;

	if (t == NULL && l->init != NULL)
		t = l->init->thread;
	return t != NULL ? t->comm : "";
}

const struct pg_linux_layout *pg_linux_layout(const struct pg_linux *l)
{
	static const struct pg_linux_layout none;
	const struct pg_mm *mm = present(l);

	return mm != NULL ? &mm->layout : &none;
}
