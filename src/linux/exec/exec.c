/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/exec.c: a program becomes the guest: its file found, checked, mapped into a new space.
 *
 * Called by linux/linux.c (the first program), linux/jobs.c (those of a scheduler) and calls/clone.c (execve). Calls find.c, map.c or, on a partition
 * machine, block.c, stack.c; then process/, files/ and cpu/.
 * Everything of the new program is made in a space of its own beside the old one, and only then the
 * guest changes over: a failure leaves the old program as it was.
 */
#include "linux/calls/calls.h"
#include "linux/exec/load.h"
#include "linux/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The program in a contiguous block, its stack at the end. */
static int load_block(struct pg_load *x)
{
	struct pg_thread *me = x->me;
	const struct pg_block_program b = {.me = me,
		.file = x->filename,
		.path = x->exe.path,
		.fd = x->exe.fd,
		.elf = &x->exe.elf,
		.argv = x->argv,
		.envp = x->args->envp,
		.bytes = x->args->block_bytes,
		.address_top = x->top};
	struct pg_space_config c = {.lo.v = PG_MMAP_MIN_ADDR,
		.hi.v = x->top,
		.mmap_top.v = x->top,
		.stack_limit_bytes = me->proc->limits[RLIMIT_STACK].rlim_cur};
	struct pg_stack_in in = {.auxv = x->auxv,
		.auxv_bytes = &x->auxv_bytes,
		.execfn = x->args->filename,
		.argv = x->argv,
		.envp = x->args->envp,
		.stack_limit = c.stack_limit_bytes,
		.phnum = x->exe.elf.phnum,
		.mapped = true};
	struct pg_block_shape shape;
	const char *why = "";
	int err = pg_block_program_shape(&b, &shape);

	if (x->args->size != NULL)
		*x->args->size = shape.pages << PG_PAGE_SHIFT;
	if (err != 0 || x->args->size != NULL)
		return err == -EFBIG && me->proc->execed ? -ENOMEM : err;
	err = pg_space_create(me->machine->vm, &c, &x->space);
	if (err != 0)
		return pg_load_fail(x, err, x->filename, "no memory to load it");
	err = pg_block_program_load(&b, &shape, x->space);
	if (err != 0)
		return err == -ENOSPC && !me->machine->partition->spawning ? -ENOMEM : err;
	me->loading = x->space;
	pg_load_note_bounds(x);
	x->layout.mmap_top = c.mmap_top.v;
	in.space = x->space;
	in.top = shape.origin.v + (shape.span_pages << PG_PAGE_SHIFT);
	in.phdr = x->layout.phdr;
	in.entry = x->layout.entry;
	err = pg_stack_build(me, &in, &x->layout, &x->sp, &why);
	if (err != 0)
		return pg_load_fail(x, err, x->filename, why);
	pg_space_set_brk_start(x->space, (pg_va){x->layout.brk_start});
	x->entry = x->layout.entry;
	return 0;
}

/* --- changing over -------------------------------------------------------------------------------- */

/* Closes the guest's close-on-exec descriptors. */
static void close_on_exec(void)
{
	int limit = pg_linux_fd_limit(),
	    dir = open("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool all = true;
	char buf[4096];

	while (dir >= 0 && all) {
		int64_t n = PG_QUICK(SYS_getdents64, dir, (uintptr_t)buf, sizeof(buf), 0, 0, 0);

		if (n <= 0)
			break;
		for (int64_t i = 0; i < n;) {
			uint16_t len;
			int fd = atoi(buf + i + 19);

			memcpy(&len, buf + i + 16, sizeof(len));
			if (buf[i + 19] != '.' && fd != dir && fd < limit &&
				(fcntl(fd, F_GETFD) & FD_CLOEXEC))
				close(fd);
			i += len;
		}
	}
	if (dir >= 0)
		close(dir);
}

static void reset_registers(struct pg_thread *me, uint64_t entry, uint64_t sp)
{
	struct pg_xsave *xs = me->regs->x;
	const uint16_t fcw = 0x37f;
	const uint32_t mxcsr = 0x1f80;

	memset(me->regs->gpr, 0, sizeof(me->regs->gpr));
	me->regs->gpr[PG_RSP] = sp;
	me->regs->rip = entry;
	me->regs->rflags = 0x202;
	me->regs->fs_base = me->regs->gs_base = 0;
	memset(xs, 0, sizeof(*xs));
	memcpy(xs->bytes, &fcw, sizeof(fcw));
	memcpy(xs->bytes + 24, &mxcsr, sizeof(mxcsr));
}

static int change_over(struct pg_load *x)
{
	struct pg_thread *me = x->me;
	const char *base = strrchr(x->args->filename, '/');
	bool first = me->proc->mm == NULL;
	struct pg_mm *mm;

	if (me->must_end)
		return -EINTR; /* another thread was quicker, this one is to end */
	mm = pg_mm_make(x->space);
	if (mm == NULL)
		return pg_load_fail(x, -ENOMEM, x->filename, "no memory for its process");
	if (first) {
		int err = me->machine->ops->cpu_create(me->machine->engine, x->space, &me->cpu);

		if (err != 0) {
			free(mm);
			return pg_load_fail(
				x, err, x->filename, "no memory for the guest's processor");
		}
		me->regs = me->machine->ops->regs(me->cpu);
	} else {
		pg_thread_alone(me);
		pg_thread_farewell(me);
		me->tid = me->proc->pid;
	}
	x->space = NULL;
	pg_process_new_mm(me, mm);
	if (!first) {
		pg_timers_delete(me->proc, false);
		pg_fds_own(me);
		close_on_exec();
		pg_open_closed(me);
		pg_terminal_closed(me->machine);
	}
	me->clear_tid = me->robust_list = me->robust_len = 0;
	me->proc->execed = true;
	pg_mem_limits(me->proc);
	mm->layout = x->layout;
	memcpy(mm->auxv, x->auxv, x->auxv_bytes);
	mm->auxv_bytes = x->auxv_bytes;
	snprintf(me->mm->exe, sizeof(me->mm->exe), "%s", x->exe.path);
	me->mm->exe_dev = (uint64_t)x->exe.st.st_dev;
	me->mm->exe_ino = (uint64_t)x->exe.st.st_ino;
	snprintf(me->comm, sizeof(me->comm), "%.15s", base != NULL ? base + 1 : x->args->filename);
	if (!first)
		pg_cred_exec(me);
	pg_signal_exec(me);
	reset_registers(me, x->entry, x->sp);
	me->machine->execs++;
	me->proc->execs++;
	if (me->machine->hooks.exec != NULL)
		me->machine->hooks.exec(me->machine->hooks.ctx, me->mm->exe);
	return 0;
}

int pg_exec(struct pg_thread *me, const struct pg_exec_args *args)
{
	struct pg_load *x = calloc(1, sizeof(*x));
	int err;

	if (x == NULL) {
		pg_linux_fail(me->machine, "%s: no memory to load it", args->filename);
		return -ENOMEM;
	}
	x->me = me;
	x->args = args;
	x->exe.fd = x->interp.fd = -1;
	x->layout.address_top = me->machine->ops->address_top(me->machine->engine);
	x->top = me->machine->ops->layout_top(me->machine->engine);
	snprintf(x->filename, sizeof(x->filename), "%s", args->filename);
	x->argv = pg_strings_copy((const char *const *)args->argv);
	err = x->argv != NULL ? pg_load_find_program(x)
			      : pg_load_fail(x, -ENOMEM, args->filename, "no memory to load it");
	if (err == 0 && x->me->machine->partition != NULL) {
		err = load_block(x);
	} else {
		if (err == 0)
			err = pg_load_find_interp(x);
		if (err == 0)
			err = pg_load_make_space(x);
		if (err == 0)
			err = pg_load_map(x);
	}
	if (err == 0 && args->size == NULL)
		err = change_over(x);
	me->loading = NULL;
	if (x->space != NULL)
		pg_space_destroy(x->space);
	pg_load_close(&x->exe);
	pg_load_close(&x->interp);
	pg_strings_free(x->argv);
	free(x);
	return err;
}
