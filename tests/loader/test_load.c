/* SPDX-License-Identifier: MIT */
/*
 * tests/loader/test_load.c: exec over the real memory system and an engine that never runs: what a loaded program's
 * space holds, and what is said of files that cannot be loaded.
 *
 * Guards R14 (layout), the auxiliary vector, and "bad input: a one-line error naming the cause". The files are made here, byte by
 * byte; expectations come from the ABI and from what Linux does natively, not from the code.
 */
#include "linux/linux.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- an engine that only holds registers ---------------------------------------------------------------------- */

struct pg_engine {
	int unused;
};

struct pg_cpu {
	struct pg_cpu_regs regs;
	struct pg_xsave x;
};

static int fake_create(const struct pg_engine_config *c, struct pg_engine **out, const char **why)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? 0 : -ENOMEM;
}

static void fake_destroy(struct pg_engine *e)
{
	free(e);
}

static int fake_cpu_create(struct pg_engine *e, struct pg_space *s, struct pg_cpu **out)
{
	*out = aligned_alloc(64, sizeof(**out));
	memset(*out, 0xee, sizeof(**out));
	(*out)->regs.x = &(*out)->x;
	return 0;
}

static void fake_cpu_destroy(struct pg_cpu *c)
{
	free(c);
}

static struct pg_cpu_regs *fake_regs(struct pg_cpu *c)
{
	return &c->regs;
}

static uint64_t fake_top(const struct pg_engine *e)
{
	return ((uint64_t)1 << 47) - PG_PAGE_SIZE;
}

static const struct pg_engine_ops fake = {
	.name = "fake",
	.create = fake_create,
	.destroy = fake_destroy,
	.cpu_create = fake_cpu_create,
	.cpu_destroy = fake_cpu_destroy,
	.regs = fake_regs,
	.address_top = fake_top,
	.layout_top = fake_top,
};

/* --- the world of one test ------------------------------------------------------------------------------------- */

struct world {
	char dir[64], file[128];
	struct pg_vm *vm;
	struct pg_linux *l;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/pagoda-load-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->file, sizeof(w->file), "%s/program", w->dir);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	if (w->l != NULL)
		pg_linux_destroy(w->l);
	if (w->vm != NULL)
		pg_vm_destroy(w->vm);
	unlink(w->file);
	rmdir(w->dir);
	free(w);
	return 0;
}

static void put_file(const struct world *w, const void *bytes, size_t n, mode_t mode)
{
	int fd = open(w->file, O_CREAT | O_WRONLY | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int load(struct world *w, const char *path, uint64_t memory)
{
	static const char *const argv[] = {"program", "one", "two words", NULL};
	static const char *const envp[] = {"PATH=/nowhere", "A=b", NULL};
	struct pg_vm_config vc = {
		.memory_bytes = memory, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct pg_linux_config c = {.engine = &fake,
		.mmu = pg_mmu_config_default,
		.path = path,
		.argv = argv,
		.envp = envp,
		.stack_limit_bytes = 8u << 20,
		.seeded = true,
		.seed = 1};
	const char *why = "";

	assert_int_equal(pg_vm_create(&vc, &w->vm), 0);
	c.vm = w->vm;
	assert_int_equal(pg_linux_create(&c, &w->l, &why), 0);
	return pg_linux_load(w->l);
}

/* --- images ------------------------------------------------------------------------------------------------------ */

/* A program of two segments: [0, 0x1000) read and execute, [0x1000, 0x1200) of the file at 0x2000, 0x3000 long. */
struct image {
	Elf64_Ehdr h;
	Elf64_Phdr p[3];
	uint8_t rest[0x1200 - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
};

static void make(struct image *m, uint16_t type, uint64_t base)
{
	memset(m, 0, sizeof(*m));
	memcpy(m->h.e_ident, ELFMAG, SELFMAG);
	m->h.e_ident[EI_CLASS] = ELFCLASS64;
	m->h.e_ident[EI_DATA] = ELFDATA2LSB;
	m->h.e_ident[EI_VERSION] = EV_CURRENT;
	m->h.e_type = type;
	m->h.e_machine = EM_X86_64;
	m->h.e_version = EV_CURRENT;
	m->h.e_entry = base + 0x200;
	m->h.e_phoff = sizeof(m->h);
	m->h.e_ehsize = sizeof(m->h);
	m->h.e_phentsize = sizeof(Elf64_Phdr);
	m->h.e_phnum = 3;
	m->p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_vaddr = base,
		.p_filesz = 0x1000,
		.p_memsz = 0x1000,
		.p_align = 0x1000};
	m->p[1] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W,
		.p_offset = 0x1000,
		.p_vaddr = base + 0x2000,
		.p_filesz = 0x200,
		.p_memsz = 0x3000,
		.p_align = 0x1000};
	m->p[2] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
	memset(m->rest, 0xa5, sizeof(m->rest));
}

static uint64_t word(struct world *w, uint64_t at)
{
	uint64_t v = 0;

	assert_int_equal(
		pg_space_read(pg_linux_space(w->l), &v, (pg_va){at}, sizeof(v), 0), sizeof(v));
	return v;
}

static void string_is(struct world *w, uint64_t at, const char *want)
{
	char got[256] = "";

	assert_int_equal(
		pg_space_read_string(pg_linux_space(w->l), got, sizeof(got), (pg_va){at}, 0),
		strlen(want));
	assert_string_equal(got, want);
}

static void region_is(struct world *w, uint64_t start, uint64_t end, pg_prot prot, bool file)
{
	struct pg_region r;

	assert_true(pg_space_find(pg_linux_space(w->l), (pg_va){start}, false, &r));
	assert_int_equal(r.start.v, start);
	assert_int_equal(r.end.v, end);
	assert_int_equal(r.prot, prot);
	assert_int_equal(r.object != NULL, file);
}

/* The auxiliary vector's entry, or UINT64_MAX. */
static uint64_t aux(struct world *w, uint64_t type)
{
	uint64_t at = pg_linux_regs(w->l)->gpr[PG_RSP];

	at += 8 * (1 + word(w, at) + 1);
	while (word(w, at) != 0)
		at += 8;
	for (at += 8; word(w, at) != AT_NULL; at += 16)
		if (word(w, at) == type)
			return word(w, at + 8);
	return UINT64_MAX;
}

/* --- what is loaded -------------------------------------------------------------------------------------------------- */

/* R14: text, data and bss at their addresses; the page in which data ends is zeroed behind it. */
static void load_fixed_program_maps_segments(void **state)
{
	struct world *w = *state;
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	put_file(w, &m, sizeof(m), 0700);
	assert_int_equal(load(w, w->file, 4u << 20), 0);
	region_is(w, 0x400000, 0x401000, PG_READ | PG_EXEC, true);
	region_is(w, 0x402000, 0x403000, PG_READ | PG_WRITE, true);
	region_is(w, 0x403000, 0x405000, PG_READ | PG_WRITE, false);
	assert_int_equal(word(w, 0x4021f8), 0xa5a5a5a5a5a5a5a5);
	assert_int_equal(word(w, 0x402200), 0);
	assert_int_equal(word(w, 0x402ff8), 0);
	assert_int_equal(word(w, 0x403000), 0);
	assert_int_equal(pg_linux_regs(w->l)->rip, 0x400200);
	assert_int_equal(pg_linux_layout(w->l)->brk_start, 0x405000);
	assert_null(pg_space_check(pg_linux_space(w->l)));
}

/* R14: without an interpreter a position-free program lies among the mappings, its heap at 2/3 of the address space. */
static void load_static_pie_lies_among_mappings(void **state)
{
	struct world *w = *state;
	const struct pg_linux_layout *y;
	struct image m;

	make(&m, ET_DYN, 0);
	put_file(w, &m, sizeof(m), 0700);
	assert_int_equal(load(w, w->file, 4u << 20), 0);
	y = pg_linux_layout(w->l);
	assert_int_equal(y->mmap_top, 0x7ffff7fff000);
	assert_int_equal(y->exe_base, 0x7ffff7fff000 - 0x5000);
	assert_int_equal(y->brk_start, 0x555555555000);
	region_is(w, y->exe_base, y->exe_base + 0x1000, PG_READ | PG_EXEC, true);
}

/* The stack as the ABI has it: argc, argv, envp, auxv, 16-byte aligned, 132 KiB below the top at once. */
static void load_stack_holds_arguments_and_auxv(void **state)
{
	struct world *w = *state;
	const struct pg_cpu_regs *r;
	struct image m;
	uint64_t sp;

	make(&m, ET_EXEC, 0x400000);
	put_file(w, &m, sizeof(m), 0700);
	assert_int_equal(load(w, w->file, 4u << 20), 0);
	r = pg_linux_regs(w->l);
	sp = r->gpr[PG_RSP];
	assert_int_equal(sp & 15, 0);
	for (unsigned i = 0; i < PG_GPRS; i++)
		if (i != PG_RSP)
			assert_int_equal(r->gpr[i], 0);
	assert_int_equal(word(w, sp), 3);
	string_is(w, word(w, sp + 8), "program");
	string_is(w, word(w, sp + 16), "one");
	string_is(w, word(w, sp + 24), "two words");
	assert_int_equal(word(w, sp + 32), 0);
	string_is(w, word(w, sp + 40), "PATH=/nowhere");
	string_is(w, word(w, sp + 48), "A=b");
	assert_int_equal(word(w, sp + 56), 0);
	string_is(w, aux(w, AT_EXECFN), w->file);
	/* the file's name ends 8 bytes below the top */
	assert_int_equal(aux(w, AT_EXECFN) + strlen(w->file) + 1, 0x7ffffffff000 - 8);
	string_is(w, aux(w, AT_PLATFORM), "x86_64");
	assert_int_equal(aux(w, AT_PAGESZ), 4096);
	assert_int_equal(aux(w, AT_PHDR), 0x400040);
	assert_int_equal(aux(w, AT_PHENT), 56);
	assert_int_equal(aux(w, AT_PHNUM), 3);
	assert_int_equal(aux(w, AT_BASE), 0);
	assert_int_equal(aux(w, AT_ENTRY), 0x400200);
	assert_int_equal(aux(w, AT_SECURE), 0);
	assert_int_equal(aux(w, AT_SYSINFO_EHDR), UINT64_MAX);
	assert_int_not_equal(word(w, aux(w, AT_RANDOM)), 0);
	region_is(w, 0x7ffffffff000 - 0x21000, 0x7ffffffff000, PG_READ | PG_WRITE, false);
}

/* "#!" as Linux: the interpreter, its one argument, the script, the rest. */
static void load_script_runs_its_interpreter(void **state)
{
	static const char script[] = "#! /bin/true  -x -y \necho\n";
	struct world *w = *state;
	uint64_t sp;

	put_file(w, script, sizeof(script) - 1, 0700);
	assert_int_equal(load(w, w->file, 4u << 20), 0);
	sp = pg_linux_regs(w->l)->gpr[PG_RSP];
	assert_int_equal(word(w, sp), 5);
	string_is(w, word(w, sp + 8), "/bin/true");
	string_is(w, word(w, sp + 16), "-x -y");
	string_is(w, word(w, sp + 24), w->file);
	string_is(w, word(w, sp + 32), "one");
	assert_string_equal(pg_linux_comm(w->l), "program");
}

/* --- what is refused ---------------------------------------------------------------------------------------------------- */

static void refused(struct world *w, int err, const char *words)
{
	assert_int_equal(load(w, w->file, 4u << 20), err);
	if (strstr(pg_linux_error(w->l), words) == NULL)
		fail_msg("'%s' does not say '%s'", pg_linux_error(w->l), words);
	if (strstr(pg_linux_error(w->l), w->file) == NULL)
		fail_msg("'%s' does not name the file", pg_linux_error(w->l));
	assert_null(pg_linux_space(w->l));
}

static void load_missing_file_is_named(void **state)
{
	refused(*state, -ENOENT, "no such file");
}

static void load_text_without_interpreter_is_refused(void **state)
{
	put_file(*state, "hello\n", 6, 0700);
	refused(*state, -ENOEXEC, "a text without a #! line");
}

static void load_bytes_are_not_elf(void **state)
{
	put_file(*state, "\x7f\0\1\2", 4, 0700);
	refused(*state, -ENOEXEC, "not an ELF file");
}

static void load_empty_file_is_not_elf(void **state)
{
	put_file(*state, "", 0, 0700);
	refused(*state, -ENOEXEC, "empty");
}

static void load_truncated_header_is_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	put_file(*state, &m, 40, 0700);
	refused(*state, -ENOEXEC, "truncated");
}

static void load_truncated_program_headers_are_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	put_file(*state, &m, sizeof(m.h) + 60, 0700);
	refused(*state, -ENOEXEC, "truncated");
}

static void load_32_bit_program_is_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	m.h.e_ident[EI_CLASS] = ELFCLASS32;
	put_file(*state, &m, sizeof(m), 0700);
	refused(*state, -ENOEXEC, "32-bit");
}

static void load_arm_program_is_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	m.h.e_machine = EM_AARCH64;
	put_file(*state, &m, sizeof(m), 0700);
	refused(*state, -ENOEXEC, "AArch64");
}

static void load_object_file_is_refused(void **state)
{
	struct image m;

	make(&m, ET_REL, 0x400000);
	put_file(*state, &m, sizeof(m), 0700);
	refused(*state, -ENOEXEC, "object file");
}

static void load_file_larger_than_memory_segment_is_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	m.p[1].p_memsz = 0x100;
	put_file(*state, &m, sizeof(m), 0700);
	refused(*state, -EINVAL, "larger in the file");
}

static void load_segment_outside_address_space_is_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	m.p[1].p_vaddr = (uint64_t)1 << 62;
	put_file(*state, &m, sizeof(m), 0700);
	refused(*state, -EINVAL, "outside the address space");
}

static void load_missing_interpreter_is_named(void **state)
{
	struct image m;

	make(&m, ET_DYN, 0);
	m.p[2] =
		(Elf64_Phdr){.p_type = PT_INTERP, .p_offset = 0x800, .p_filesz = 16, .p_memsz = 16};
	memcpy((uint8_t *)&m + 0x800, "/lib/no-such-ld", 16);
	put_file(*state, &m, sizeof(m), 0700);
	refused(*state, -ENOENT, "/lib/no-such-ld");
}

static void load_not_executable_is_refused(void **state)
{
	struct image m;

	make(&m, ET_EXEC, 0x400000);
	put_file(*state, &m, sizeof(m), 0600);
	refused(*state, -EACCES, "not executable");
}

static void load_script_of_itself_is_refused(void **state)
{
	struct world *w = *state;
	char script[256];

	snprintf(script, sizeof(script), "#!%s\n", w->file);
	put_file(w, script, strlen(script), 0700);
	refused(w, -ELOOP, "too many scripts");
}

static void load_program_not_in_path_is_named(void **state)
{
	struct world *w = *state;

	assert_int_equal(load(w, "no-such-program", 4u << 20), -ENOENT);
	assert_non_null(strstr(pg_linux_error(w->l), "no-such-program"));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(load_fixed_program_maps_segments),
		CASE(load_static_pie_lies_among_mappings),
		CASE(load_stack_holds_arguments_and_auxv),
		CASE(load_script_runs_its_interpreter),
		CASE(load_missing_file_is_named),
		CASE(load_text_without_interpreter_is_refused),
		CASE(load_bytes_are_not_elf),
		CASE(load_empty_file_is_not_elf),
		CASE(load_truncated_header_is_refused),
		CASE(load_truncated_program_headers_are_refused),
		CASE(load_32_bit_program_is_refused),
		CASE(load_arm_program_is_refused),
		CASE(load_object_file_is_refused),
		CASE(load_file_larger_than_memory_segment_is_refused),
		CASE(load_segment_outside_address_space_is_refused),
		CASE(load_missing_interpreter_is_named),
		CASE(load_not_executable_is_refused),
		CASE(load_script_of_itself_is_refused),
		CASE(load_program_not_in_path_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
