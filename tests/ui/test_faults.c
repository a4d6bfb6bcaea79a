/* SPDX-License-Identifier: MIT */
/*
 * Tallies and texts of page faults, over a real address space: every kind of fault is made by hand,
 * so that what must be counted is known. Guards T1 and T2 of trace/faults.c; R12.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/linux.h"
#include "space/space.h"
#include "trace/faultlog.h"
#include "trace/faults.h"

#define CODE 0x400000u /* where the file that is code is mapped, from its page 2 on */
#define FILE_AT 0x500000u
#define ANON 0x600000u
#define FILE_PAGES 8

/* linux/ would move the descriptor; here nobody is to be kept from seeing it. */
int pg_linux_own_fd(int fd)
{
	return fd;
}

struct world {
	struct pg_vm *vm;
	struct pg_space *space;
	struct pg_object *code, *data;
	struct pg_symbols *symbols;
	struct pg_fault_trace *trace;
	struct pg_faultlog lines, steps;
	char *line_text, *step_text;
	size_t line_size, step_size;
};

static int page_read(void *ctx, uint64_t index, void *buf)
{
	memset(buf, (int)index + 1, PG_PAGE_SIZE);
	return 0;
}

static uint64_t file_size(void *ctx)
{
	return FILE_PAGES * PG_PAGE_SIZE;
}

static const struct pg_pager pager = {.name = "test", .read = page_read, .size = file_size};

static void on_fault(void *ctx, const struct pg_fault_event *e)
{
	struct world *w = ctx;

	pg_fault_trace_add(w->trace, e);
	pg_faultlog_write(&w->lines, e);
	pg_faultlog_write(&w->steps, e);
}

static void map(struct world *w, uint64_t at, uint64_t pages, pg_prot prot, struct pg_object *o,
	uint64_t offset)
{
	pg_va a = {at};
	assert_int_equal(pg_space_map(w->space, &a, pages * PG_PAGE_SIZE, prot,
				 PG_READ | PG_WRITE | PG_EXEC, PG_MAP_FIXED_FREE, o, offset, NULL),
		0);
}

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	bool existed;

	assert_non_null(w);
	const struct pg_vm_config config = {
		.memory_bytes = 4 << 20,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64,
		.hooks = {.ctx = w, .fault = on_fault},
	};
	const struct pg_space_config space = {
		.lo = {0x10000}, .hi = {0x7ffffffff000}, .mmap_top = {0x7ffff0000000}};
	assert_int_equal(pg_vm_create(&config, &w->vm), 0);
	assert_int_equal(pg_space_create(w->vm, &space, &w->space), 0);
	assert_int_equal(pg_object_open(w->vm, (struct pg_object_key){1, 1}, "/lib/code", &pager,
				 NULL, 0, &w->code, &existed),
		0);
	assert_int_equal(pg_object_open(w->vm, (struct pg_object_key){1, 2}, "/data/file", &pager,
				 NULL, 0, &w->data, &existed),
		0);
	map(w, CODE, 2, PG_READ | PG_EXEC, w->code, 2 * PG_PAGE_SIZE);
	map(w, FILE_AT, 4, PG_READ | PG_WRITE, w->data, 0);
	map(w, ANON, 16, PG_READ | PG_WRITE, NULL, 0);
	assert_int_equal(pg_symbols_create(&w->symbols), 0);
	assert_int_equal(pg_fault_trace_create(&w->trace), 0);
	w->lines.out = open_memstream(&w->line_text, &w->line_size);
	w->steps.out = open_memstream(&w->step_text, &w->step_size);
	w->lines.symbols = w->steps.symbols = w->symbols;
	w->steps.explain = true;
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	fclose(w->lines.out);
	fclose(w->steps.out);
	free(w->line_text);
	free(w->step_text);
	pg_fault_trace_destroy(w->trace);
	pg_symbols_destroy(w->symbols);
	pg_space_destroy(w->space);
	pg_object_unref(w->code);
	pg_object_unref(w->data);
	pg_vm_destroy(w->vm);
	free(w);
	return 0;
}

static enum pg_fault_end fault(
	struct world *w, uint64_t at, enum pg_access access, uint64_t pc, bool by_kernel)
{
	return pg_space_fault(w->space, (pg_va){at}, access, pc, by_kernel);
}

static const struct pg_place_row *place(
	const struct pg_place_row *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static void faults_by_place_count_kind_and_cost(void **state)
{
	struct world *w = *state;
	struct pg_place_row *rows;
	size_t count;

	assert_int_equal(fault(w, ANON, PG_READ, CODE, false), PG_FAULT_RESUME);
	assert_int_equal(fault(w, ANON, PG_WRITE, CODE, false), PG_FAULT_RESUME);
	assert_int_equal(fault(w, ANON + 0x1000, PG_WRITE, CODE + 4, true), PG_FAULT_RESUME);
	assert_int_equal(fault(w, FILE_AT, PG_READ, CODE + 4, false), PG_FAULT_RESUME);
	assert_int_equal(fault(w, FILE_AT + 0x1000, PG_WRITE, CODE + 4, false), PG_FAULT_RESUME);
	assert_int_equal(fault(w, FILE_AT, PG_EXEC, CODE + 4, false), PG_FAULT_ACCERR);
	assert_int_equal(fault(w, 0x20000000, PG_READ, CODE + 4, false), PG_FAULT_MAPERR);

	assert_int_equal(pg_fault_trace_places(w->trace, &rows, &count), 0);
	assert_int_equal(count, 2);
	const struct pg_place_row *anon = place(rows, count, "[anonymous]");
	const struct pg_place_row *file = place(rows, count, "/data/file");
	assert_non_null(anon);
	assert_non_null(file);
	assert_true(rows == anon); /* three faults before two */
	assert_false(anon->file);
	assert_true(file->file);
	assert_int_equal(anon->tally.faults, 3);
	assert_int_equal(anon->tally.by_kind[PG_FAULT_ZERO_READ], 1);
	assert_int_equal(anon->tally.by_kind[PG_FAULT_ZERO_FILL], 2);
	assert_int_equal(anon->tally.by_kernel, 1);
	assert_int_equal(anon->tally.pages_in, 0);
	assert_int_equal(anon->tally.frames, 2);
	assert_int_equal(file->tally.faults, 2);
	assert_int_equal(file->tally.by_kind[PG_FAULT_FILE_DISK], 2);
	assert_int_equal(file->tally.pages_in, 2);
	assert_int_equal(file->tally.refused, 1);
	free(rows);
	assert_int_equal(pg_fault_trace_lost(w->trace), 0);
}

static void faults_by_instruction_add_up(void **state)
{
	struct world *w = *state;
	struct pg_function_row *functions;
	struct pg_place_row *places;
	struct pg_tally total;
	uint64_t by_function = 0, by_place = 0;
	size_t function_count, place_count;

	/* 3000 sites, so that the tables grow; in anonymous code and in a file */
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t pc = i % 2 ? CODE + i : ANON + 0x8000 + i;
		assert_int_equal(fault(w, ANON + (i % 8) * 0x1000, PG_WRITE, pc, i % 3 == 0),
			PG_FAULT_RESUME);
	}
	pg_fault_trace_total(w->trace, &total);
	assert_int_equal(total.faults, 3000);
	assert_int_equal(
		pg_fault_trace_functions(w->trace, w->symbols, &functions, &function_count), 0);
	assert_int_equal(pg_fault_trace_places(w->trace, &places, &place_count), 0);
	for (size_t i = 0; i < function_count; i++)
		by_function += functions[i].tally.faults;
	for (size_t i = 0; i < place_count; i++)
		by_place += places[i].tally.faults;
	assert_int_equal(by_function, 3000);
	assert_int_equal(by_place, 3000);
	assert_int_equal(
		function_count, 3000); /* /lib/code is no file of this host: no functions */
	free(functions);
	free(places);
}

static void site_of_a_file_is_its_byte_wherever_mapped(void **state)
{
	struct world *w = *state;
	struct pg_function_row *rows;
	size_t count;

	map(w, 0x700000, 2, PG_READ | PG_EXEC, w->code, 2 * PG_PAGE_SIZE);
	assert_int_equal(fault(w, ANON, PG_WRITE, CODE + 0x123, false), PG_FAULT_RESUME);
	assert_int_equal(fault(w, ANON + 0x1000, PG_WRITE, 0x700123, false), PG_FAULT_RESUME);
	assert_int_equal(pg_space_unmap(w->space, (pg_va){CODE}, 2 * PG_PAGE_SIZE), 0);
	assert_int_equal(pg_fault_trace_functions(w->trace, w->symbols, &rows, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].module, "/lib/code");
	assert_true(rows[0].address == 2 * PG_PAGE_SIZE + 0x123);
	assert_int_equal(rows[0].tally.faults, 2);
	free(rows);
}

static void pc_outside_regions_is_nowhere(void **state)
{
	struct world *w = *state;
	struct pg_function_row *rows;
	size_t count;

	assert_int_equal(fault(w, 0x123456000, PG_EXEC, 0x123456000, false), PG_FAULT_MAPERR);
	assert_int_equal(pg_fault_trace_functions(w->trace, w->symbols, &rows, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].module, "[nowhere]");
	assert_int_equal(rows[0].tally.refused, 1);
	free(rows);
}

static void lines_say_what_happened(void **state)
{
	struct world *w = *state;

	assert_int_equal(fault(w, ANON + 0x10, PG_WRITE, CODE + 0x10, false), PG_FAULT_RESUME);
	assert_int_equal(fault(w, FILE_AT, PG_READ, CODE + 0x10, true), PG_FAULT_RESUME);
	assert_int_equal(fault(w, 0x20000000, PG_READ, CODE, false), PG_FAULT_MAPERR);
	fflush(w->lines.out);
	char *line = strtok(w->line_text, "\n");
	assert_int_equal(line[0], '#');
	line = strtok(NULL, "\n");
	assert_non_null(strstr(line, "write  0x000000600010  3B"));
	assert_non_null(strstr(line, "[anonymous] <- code+0x2010"));
	line = strtok(NULL, "\n");
	assert_non_null(strstr(line, "read   0x000000500000  2A"));
	assert_non_null(strstr(line, "/data/file <- system call in code+0x2010"));
	line = strtok(NULL, "\n");
	assert_non_null(strstr(line, "nothing mapped"));
	assert_non_null(strstr(line, "[none]"));
	assert_null(strtok(NULL, "\n"));
}

static void steps_end_where_the_fault_did(void **state)
{
	struct world *w = *state;

	assert_int_equal(fault(w, FILE_AT + 0x1000, PG_WRITE, CODE, false), PG_FAULT_RESUME);
	fflush(w->steps.out);
	for (int step = 1; step <= 7; step++) {
		char text[8];
		snprintf(text, sizeof text, "\n  %d ", step);
		assert_non_null(strstr(w->step_text, text));
	}
	assert_non_null(strstr(w->step_text, "case 2B"));
	assert_non_null(strstr(w->step_text, "copied from frame"));
	size_t length = strlen(w->step_text);
	/* the page is there: a fetch from an absent one brings it in first */
	assert_int_equal(fault(w, FILE_AT + 0x1000, PG_EXEC, CODE, false), PG_FAULT_ACCERR);
	fflush(w->steps.out);
	assert_non_null(strstr(w->step_text + length, "  2 trap      terminate: SIGSEGV"));
	/* an absent page is brought in before the fetch from it is refused */
	length = strlen(w->step_text);
	assert_int_equal(fault(w, FILE_AT, PG_EXEC, CODE, false), PG_FAULT_ACCERR);
	fflush(w->steps.out);
	assert_non_null(
		strstr(w->step_text + length, "  2 trap      no valid entry; exec is not allowed"));
	const char *refused = strstr(w->step_text + length, "fault 4");
	assert_non_null(refused);
	assert_null(strstr(refused, "  3 "));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)
	const struct CMUnitTest tests[] = {
		CASE(faults_by_place_count_kind_and_cost),
		CASE(faults_by_instruction_add_up),
		CASE(site_of_a_file_is_its_byte_wherever_mapped),
		CASE(pc_outside_regions_is_nowhere),
		CASE(lines_say_what_happened),
		CASE(steps_end_where_the_fault_did),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
