/* SPDX-License-Identifier: MIT */
/*
 * linux/linux.c: one machine's Linux from create to destroy, and the loop that runs its guest.
 *
 * Called by ui/ through linux.h. Calls cpu/ to run the guest until it stops, and by why it stopped the system call
 * table (table.c) or a signal (signal.c). Owns the handle, the engine, the CPU and the space.
 *
 * What is not here: loading (exec.c), system calls (sys_*.c), signals (signal.c).
 */
#include "linux/internal.h"

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

void pg_linux_unknown(struct pg_linux *l, const char *format, ...)
{
	const struct pg_syscall *s = pg_syscall_get(l->number);
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
	l->hooks.unknown(l->hooks.ctx, l->number, s != NULL ? s->name : "", line);
}

static void end_place(struct pg_linux *l)
{
	l->ended = true;
	l->end.pc = l->regs->rip;
	l->end.sp = l->regs->gpr[PG_RSP];
}

void pg_linux_exit(struct pg_linux *l, int code)
{
	if (l->ended)
		return;
	end_place(l);
	l->end.exited = true;
	l->end.code = code & 255;
	l->end.pc = l->pc;
}

void pg_linux_killed(struct pg_linux *l, int signo)
{
	if (l->ended)
		return;
	end_place(l);
	l->end.exited = false;
	l->end.signal = signo;
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
	l->vdso_bytes = pg_host_vdso_bytes();
	l->start_ns = pg_host_clock_ns(CLOCK_MONOTONIC);
	l->start_ticks = pg_host_clock_ns(CLOCK_BOOTTIME) / 10000000u;
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit r;

		l->limits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
		if (getrlimit((__rlimit_resource_t)i, &r) == 0)
			l->limits[i] = (struct rlimit64){r.rlim_cur, r.rlim_max};
	}
	if (l->stack_limit != 0) {
		l->limits[RLIMIT_STACK].rlim_cur = l->stack_limit;
		if (l->limits[RLIMIT_STACK].rlim_max < l->stack_limit)
			l->limits[RLIMIT_STACK].rlim_max = l->stack_limit;
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
	l->ops = c->engine;
	l->hooks = c->hooks;
	l->aslr = c->aslr;
	l->seeded = c->seeded;
	l->max_regions = c->max_regions != 0 ? c->max_regions : DEFAULT_MAX_REGIONS;
	l->stack_limit = c->stack_limit_bytes;
	pthread_mutex_init(&l->lock, NULL);
	pg_signal_init(l);
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
	pg_thread_free(l); /* the ticker goes before the CPU that it interrupts */
	if (l->cpu != NULL)
		l->ops->cpu_destroy(l->cpu);
	if (l->space != NULL)
		pg_space_destroy(l->space);
	if (l->engine != NULL) {
		struct pg_vm_hooks none = {0};

		pg_vm_set_hooks(l->vm, &none);
		l->ops->destroy(l->engine);
	}
	pg_files_close_kept(l);
	pg_signal_free(l);
	for (unsigned i = 0; i < l->told_count; i++)
		free(l->told[i]);
	free(l->told);
	free(l->path);
	pg_strings_free(l->argv);
	pg_strings_free(l->envp);
	pthread_mutex_destroy(&l->lock);
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
static int search_path(struct pg_linux *l, char out[PATH_MAX])
{
	const char *p = environment(l->envp, "PATH");
	int err = -ENOENT;

	if (strchr(l->path, '/') != NULL) {
		if (strlen(l->path) >= PATH_MAX)
			return -ENAMETOOLONG;
		snprintf(out, PATH_MAX, "%s", l->path);
		return 0;
	}
	for (p = p != NULL ? p : "/bin:/usr/bin";; p++) {
		size_t n = strcspn(p, ":");
		struct stat st;

		snprintf(out, PATH_MAX, "%.*s%s%s", (int)n, p, n != 0 ? "/" : "", l->path);
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

int pg_linux_load(struct pg_linux *l)
{
	char filename[PATH_MAX];
	struct pg_exec_args x = {.filename = filename, .argv = l->argv, .envp = l->envp};
	int err;

	if (l->space != NULL)
		return -EINVAL;
	l->error[0] = '\0';
	err = search_path(l, filename);
	if (err == -ENOENT)
		pg_linux_fail(l, "%s: no such program in PATH", l->path);
	else if (err == -EACCES)
		pg_linux_fail(l, "%s: found in PATH, but not executable", l->path);
	else if (err != 0)
		pg_linux_fail(l, "%.64s...: name too long", l->path);
	if (err != 0)
		return err;
	pthread_mutex_lock(&l->lock);
	err = pg_exec(l, &x);
	pthread_mutex_unlock(&l->lock);
	if (err == 0 && l->oom) {
		pg_linux_fail(l, "%s: the machine has too little memory to load it", filename);
		err = -ENOMEM;
	}
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
static bool entry_is_there(struct pg_linux *l, pg_va a)
{
	struct pg_region r;

	if (!pg_guest_range_ok(l, a.v, 1))
		return a.v >= ((uint64_t)1 << 47) - PG_PAGE_SIZE;
	if (!pg_space_find(l->space, a, false, &r) || r.prot == 0)
		return false;
	return !pg_pfn_is_none(pg_space_resident(l->space, a, NULL));
}

/* A page fault that space/ refused becomes a signal, with the numbers Linux leaves in the thread. */
static void refuse_fault(struct pg_linux *l, const struct pg_exit_info *i)
{
	struct pg_signals *s = &l->sig;
	int signo = SIGSEGV, code = SEGV_MAPERR;

	l->end.access = i->fault_access;
	l->end.why = i->fault_end;
	switch (i->fault_end) {
	case PG_FAULT_OOM:
		l->oom = true;
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
	case PG_FAULT_RESUME:
		break;
	}
	s->own.trapno = 14;
	s->own.cr2 = i->fault_va.v;
	/* user mode; write; fetch. "Present" is set where an entry was there without the right. */
	s->own.error_code =
		4 | (i->fault_access == PG_WRITE ? 2 : 0) | (i->fault_access == PG_EXEC ? 16 : 0);
	if (entry_is_there(l, i->fault_va))
		s->own.error_code |= 1;
	pg_signal_force(l, signo, code, i->fault_va.v);
}

/* Which floating-point exception: the SSE status if one is unmasked there, else the x87's. */
static int fp_code(const struct pg_linux *l, uint64_t *trapno)
{
	const uint8_t *x = l->regs->x->bytes;
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

static void note_bytes(struct pg_linux *l, const struct pg_exit_info *i)
{
	l->end.length = i->length <= sizeof(l->end.bytes) ? i->length : sizeof(l->end.bytes);
	memcpy(l->end.bytes, i->bytes, l->end.length);
}

static void trap(struct pg_linux *l, uint64_t trapno, int signo, int code, uint64_t addr)
{
	l->sig.own.trapno = trapno;
	l->sig.own.error_code = 0;
	pg_signal_force(l, signo, code, addr);
}

static void handle(struct pg_linux *l, enum pg_exit why, const struct pg_exit_info *i)
{
	uint64_t rip = l->regs->rip, trapno;
	int code;

	switch (why) {
	case PG_EXIT_SYSCALL:
		l->pc = rip - 2;
		pg_syscall_run(l);
		break;
	case PG_EXIT_FAULT:
		refuse_fault(l, i);
		break;
	case PG_EXIT_GP:
		trap(l, 13, SIGSEGV, SI_KERNEL, 0);
		break;
	case PG_EXIT_DIVIDE:
		trap(l, 0, SIGFPE, FPE_INTDIV, rip);
		break;
	case PG_EXIT_FP:
		code = fp_code(l, &trapno);
		trap(l, trapno, SIGFPE, code, rip);
		break;
	case PG_EXIT_BREAKPOINT:
		trap(l, 3, SIGTRAP, SI_KERNEL, 0);
		break;
	case PG_EXIT_STEP:
		trap(l, 1, SIGTRAP, TRAP_TRACE, rip);
		break;
	case PG_EXIT_UNSUPPORTED:
		l->end.unhandled = true;
		note_bytes(l, i);
		trap(l, 6, SIGILL, ILL_ILLOPN, rip);
		break;
	case PG_EXIT_ILLEGAL:
		note_bytes(l, i);
		trap(l, 6, SIGILL, ILL_ILLOPN, rip);
		break;
	case PG_EXIT_SS:
		trap(l, 12, SIGBUS, SI_KERNEL, 0);
		break;
	case PG_EXIT_ALIGN:
		trap(l, 17, SIGBUS, BUS_ADRALN, 0);
		break;
	case PG_EXIT_INTERRUPTED:
	case PG_EXIT_BUDGET:
		break;
	}
}

void pg_linux_leave(struct pg_linux *l)
{
	if (l->leave_told)
		return;
	l->leave_told = true;
	if (l->hooks.leave != NULL)
		l->hooks.leave(l->hooks.ctx);
}

int pg_linux_run(struct pg_linux *l, struct pg_linux_end *out)
{
	int err;

	if (l->space == NULL || l->cpu == NULL || l->ended)
		return -EINVAL;
	err = pg_sighost_begin(l);
	if (err != 0)
		return err;
	pthread_mutex_lock(&l->lock);
	while (!l->ended) {
		struct pg_exit_info info = {0};
		enum pg_exit why;

		if (l->oom) {
			l->end.oom = true;
			pg_linux_killed(l, SIGKILL);
			break;
		}
		if (l->thread->wait.on || l->yield || (l->turn_over && l->threads > 1)) {
			pg_thread_schedule(l);
			continue;
		}
		if (l->sig.in.poke ||
			(pg_signal_pending(l, l->thread->tid) & ~l->sig.own.blocked) != 0 ||
			l->sig.own.restart != 0 || l->sig.own.restore_mask) {
			pg_signal_deliver(l);
			continue;
		}
		why = l->ops->run(l->cpu, 0, &info);
		handle(l, why, &info);
	}
	pg_linux_leave(l);
	pthread_mutex_unlock(&l->lock);
	pg_sighost_end(l);
	*out = l->end;
	return 0;
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

/* Adds the present space's figures to *space; the cpu's are never reset, so *cpu takes them as they are. */
void pg_linux_add_stats(struct pg_linux *l, struct pg_cpu_stats *cpu, struct pg_space_stats *space)
{
	struct pg_space_stats now = {0};
	const struct pg_space_stats before = *space;

	if (cpu != NULL && l->cpu != NULL)
		l->ops->stats(l->cpu, cpu);
	if (l->space != NULL)
		pg_space_stats(l->space, &now);
	*space = now;
	space->vsz_peak_bytes = larger(now.vsz_peak_bytes, before.vsz_peak_bytes);
	space->rss_peak_pages = larger(now.rss_peak_pages, before.rss_peak_pages);
	space->regions_peak = larger(now.regions_peak, before.regions_peak);
	space->table.node_frames_peak =
		larger(now.table.node_frames_peak, before.table.node_frames_peak);
	for (unsigned i = 0; i < PG_FAULT_KINDS; i++)
		space->faults[i] += before.faults[i];
	space->faults_by_kernel += before.faults_by_kernel;
	space->faults_refused += before.faults_refused;
	space->copies += before.copies;
	space->pages_in += before.pages_in;
	space->minor += before.minor;
	space->major += before.major;
}

void pg_linux_stats(struct pg_linux *l, struct pg_linux_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->space = l->space_before;
	pg_linux_add_stats(l, &out->cpu, &out->space);
	out->system_calls = l->calls;
	out->signals = l->sig.delivered;
	out->execs = l->execs;
	out->bytes_read = l->bytes_read;
	out->bytes_written = l->bytes_written;
}

struct pg_space *pg_linux_space(struct pg_linux *l)
{
	return l->space;
}

const struct pg_cpu_regs *pg_linux_regs(const struct pg_linux *l)
{
	return l->regs;
}

const char *pg_linux_program(const struct pg_linux *l)
{
	return l->exe;
}

const char *pg_linux_comm(const struct pg_linux *l)
{
	return l->comm;
}

const struct pg_linux_layout *pg_linux_layout(const struct pg_linux *l)
{
	return &l->layout;
}
