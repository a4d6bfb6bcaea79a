/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/block.c: a static program in a contiguous block: how large the block is, and the copy of its segments.
 *
 * Called by exec.c on a partition machine. Calls space/block.h. Owns nothing.
 *
 *   origin                                                                        end of the block
 *   | image: all segments, the gaps between them too | heap room | stack room, arguments, environment |
 *
 * Nothing is mapped and nothing is shared: the segments are read into the block, all of which is memory from the start. There is no
 * relocation: that is the base register's work; so only programs that are linked for fixed addresses can run, without a loader.
 */
#include "linux/exec/load.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES ((uint64_t)64 << 10) /* a block grows by these, if it can */
#define AUXV_BYTES 4096                 /* beside strings and pointers on the first stack */

static int fail(const struct pg_block_program *b, int err, const char *why)
{
	pg_linux_fail(b->me->machine, "%s: %s", b->file, why);
	return err;
}

/* Bytes that the program finds on its stack. */
static uint64_t stack_use(const struct pg_block_program *b)
{
	char *const *lists[2] = {b->argv, b->envp};
	uint64_t n = AUXV_BYTES;

	for (int i = 0; i < 2; i++)
		for (char *const *s = lists[i]; *s != NULL; s++)
			n += strlen(*s) + 1 + sizeof(uint64_t);
	return n;
}

/* By what an address of code in the image and its offset in the file differ, modulo 2^64. */
static uint64_t code_shift(const struct pg_elf *e)
{
	for (unsigned i = 0; i < e->segments; i++)
		if (e->segment[i].prot & PG_EXEC)
			return e->segment[i].offset - (e->segment[i].vaddr - e->lo);
	return 0;
}

static uint64_t pages_of(uint64_t bytes)
{
	return pg_align_up(bytes, PG_PAGE_SIZE) >> PG_PAGE_SHIFT;
}

int pg_block_program_shape(const struct pg_block_program *b, struct pg_block_shape *shape)
{
	const struct pg_partition_options *o = &b->me->machine->partition->o;
	uint64_t memory = pg_frames_total(pg_vm_frames(b->me->machine->vm));
	uint64_t wanted = b->bytes != 0 ? b->bytes : o->bytes, most;
	const struct pg_elf *e = b->elf;

	if (e->interp[0] != '\0')
		return fail(b, -ENOEXEC,
			"is dynamically linked, and there is nothing to map libraries with: a "
			"partition takes static programs (link it with -static -no-pie)");
	if (e->position_free)
		return fail(b, -ENOEXEC,
			"is position-independent: a partition takes programs of fixed addresses "
			"(link it with -static -no-pie)");
	if (e->hi > b->address_top)
		return fail(b, -ENOMEM, "its segments lie outside the address space");
	*shape = (struct pg_block_shape){.origin = {e->lo},
		.image_pages = (e->hi - e->lo) >> PG_PAGE_SHIFT,
		.stack_pages = pages_of(o->stack_bytes + stack_use(b)),
		.step_pages = STEP_BYTES >> PG_PAGE_SHIFT,
		.code_shift = code_shift(e),
		.name = b->path};
	shape->pages = shape->image_pages + shape->stack_pages + pages_of(o->heap_bytes);
	if (wanted != 0) {
		uint64_t least = shape->image_pages + pages_of(stack_use(b)) + 1;

		shape->pages = pages_of(wanted);
		if (shape->pages < least) {
			pg_linux_fail(b->me->machine,
				"%s: needs %llu KiB for its image, arguments and a page of stack, "
				"more than the %llu KiB of its partition",
				b->file, (unsigned long long)least * 4,
				(unsigned long long)shape->pages * 4);
			return -ENOMEM;
		}
		if (shape->stack_pages > shape->pages - shape->image_pages)
			shape->stack_pages = shape->pages - shape->image_pages;
	}
	if (shape->pages > memory) {
		pg_linux_fail(b->me->machine,
			"%s: needs %llu KiB in one piece, more than the %llu KiB of memory",
			b->file, (unsigned long long)shape->pages * 4,
			(unsigned long long)memory * 4);
		return -EFBIG;
	}
	most = (b->address_top - e->lo) >> PG_PAGE_SHIFT;
	shape->span_pages = o->fixed ? shape->pages : memory < most ? memory : most;
	return shape->span_pages < shape->pages
		       ? fail(b, -ENOMEM, "its segments lie outside the address space")
		       : 0;
}

static int copy_segment(
	const struct pg_block_program *b, const struct pg_elf_segment *g, struct pg_space *s)
{
	const uint64_t piece = (uint64_t)64 << 10;
	uint8_t *buf = malloc(piece);
	int err = buf != NULL ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < g->filesz && err == 0;) {
		uint64_t n = g->filesz - at < piece ? g->filesz - at : piece;
		ssize_t got = pread(b->fd, buf, n, (off_t)(g->offset + at));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = fail(b, -errno, strerror(errno));
		else if (got == 0)
			err = fail(b, -ENOEXEC, "the file ends inside a segment");
		else if (pg_space_write(s, (pg_va){g->vaddr + at}, buf, (uint64_t)got, 0) !=
			 (uint64_t)got)
			err = fail(b, -ENOMEM, "its segments do not fit");
		at += got > 0 ? (uint64_t)got : 0;
	}
	free(buf);
	return err;
}

int pg_block_program_load(
	const struct pg_block_program *b, const struct pg_block_shape *shape, struct pg_space *s)
{
	struct pg_linux *l = b->me->machine;
	struct pg_partition_figures f;
	int err;

	l->partition->loading = b->file;
	err = pg_block_place(s, shape);
	l->partition->loading = NULL;
	if (err == -ENOSPC) {
		pg_partition_figures_of(l, &f);
		pg_linux_fail(l,
			"%s: no hole of %llu KiB: the largest of %llu is %llu KiB, %llu KiB are "
			"free "
			"in all",
			b->file, (unsigned long long)shape->pages * 4, (unsigned long long)f.holes,
			(unsigned long long)f.largest * 4, (unsigned long long)f.free * 4);
		return err;
	}
	if (err != 0)
		return fail(b, err, "no memory to load it");
	for (unsigned i = 0; i < b->elf->segments && err == 0; i++)
		err = copy_segment(b, &b->elf->segment[i], s);
	return err;
}
