/* SPDX-License-Identifier: MIT */
/*
 * tests/model/example_embed.c: libpagoda in a program of your own. The README shows it, the check
 * runs it.
 *
 * A machine with 1 MiB of memory, an address space of 128 TiB on it, a file of two lines mapped
 * into it, and every page fault told as it happens.
 *
 *   cc example_embed.c $(pkg-config --cflags --libs pagoda)
 */
#include <pagoda/pagoda.h>

#include <stdio.h>
#include <string.h>

static char file[] = "a file of\ntwo lines\n";

static int file_read(void *ctx, uint64_t index, void *buf)
{
	memset(buf, 0, PG_PAGE_SIZE);
	if (index == 0)
		memcpy(buf, ctx, strlen(ctx));
	return 0;
}

static int file_write(void *ctx, uint64_t index, const void *buf)
{
	if (index == 0)
		memcpy(ctx, buf, strlen(ctx));
	return 0;
}

static uint64_t file_size(void *ctx)
{
	return strlen(ctx);
}

static const struct pg_pager pager = {"example", file_read, file_write, file_size, NULL};

static void tell(void *ctx, const struct pg_fault_event *e)
{
	printf("fault at %#llx: case %s, %s\n", (unsigned long long)e->va.v,
		e->end == PG_FAULT_RESUME ? pg_fault_case_name(e->fcase) : "none",
		e->end == PG_FAULT_RESUME ? pg_fault_kind_name(e->kind) : "refused");
}

/* What a guest would do: a heap page, a line of the file changed, a wild pointer. 0 if all went
 * well. */
static int guest(struct pg_space *s, struct pg_object *o)
{
	struct pg_space_stats st;
	pg_va heap = {0}, text = {0};
	char line[32];

	if (pg_space_map(s, &heap, 1ull << 40, PG_READ | PG_WRITE, 7, 0, NULL, 0, "heap") ||
		pg_space_map(
			s, &text, PG_PAGE_SIZE, PG_READ | PG_WRITE, 7, PG_MAP_SHARED, o, 0, NULL))
		return 1;
	heap.v += 123456789; /* anywhere in the terabyte */
	if (pg_space_write(s, heap, "hello", 6, 0) != 6 ||
		pg_space_read(s, line, heap, 6, 0) != 6 || strcmp(line, "hello"))
		return 1;
	if (pg_space_write(s, text, "A", 1, 0) != 1 || pg_space_sync(s, text, PG_PAGE_SIZE) != 0 ||
		file[0] != 'A')
		return 1;
	if (pg_space_read(s, line, (pg_va){0x1000}, 1, 0) != 0)
		return 1;
	pg_space_stats(s, &st);
	printf("virtual %llu KiB, resident %llu KiB, page table %llu KiB\n",
		(unsigned long long)st.vsz_bytes >> 10,
		(unsigned long long)(st.rss_pages * PG_PAGE_SIZE) >> 10,
		(unsigned long long)(st.table.node_frames * PG_PAGE_SIZE) >> 10);
	return 0;
}

int main(void)
{
	struct pg_vm_config machine = {.memory_bytes = 1 << 20,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64,
		.hooks = {.fault = tell}};
	struct pg_space_config layout = {
		.lo = {0x10000}, .hi = {0x7ffffffff000}, .mmap_top = {0x7ffff7fff000}};
	struct pg_object *o;
	struct pg_space *s;
	struct pg_vm *vm;
	bool existed;
	int failed = 1;

	if (pg_vm_create(&machine, &vm))
		return 1;
	if (!pg_object_open(vm, (struct pg_object_key){1, 2}, "example.txt", &pager, file, 0, &o,
		    &existed)) {
		if (!pg_space_create(vm, &layout, &s)) {
			failed = guest(s, o);
			pg_space_destroy(s);
		}
		pg_object_unref(o);
	}
	pg_vm_destroy(vm);
	return failed;
}
