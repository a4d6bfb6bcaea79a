/* SPDX-License-Identifier: MIT */
/*
 * tests/loader/fuzz_elf.c: hostile ELF headers against linux/exec/elf.c (requirement: never a crash of Pagoda).
 *
 * LLVMFuzzerTestOneInput() is libFuzzer's entry: build this file and elf.c with `clang -fsanitize=fuzzer,address
 * -DPG_FUZZ_ENTRY_ONLY` for a long run. Without it main() is the check's short one: it replays the seeds (programs of
 * this system named on the command line, and an image made here), then mutates them a fixed number of times with a fixed
 * seed, so that a failure repeats.
 *
 * What is checked of every input that is accepted: the invariants E1 to E6 of elf.h; of one that is refused: that a
 * reason is given and nothing is kept.
 */
#include "linux/exec/elf.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *data;
	size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t read_input(void *ctx, uint64_t off, void *buf, uint64_t n)
{
	const struct input *in = ctx;

	if (off >= in->size)
		return 0;
	if (n > in->size - off)
		n = in->size - off;
	memcpy(buf, in->data + off, n);
	return (int64_t)n;
}

#define MUST(cond, name)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "fuzz_elf: %s is broken: %s\n", name, #cond);              \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void check_accepted(const struct pg_elf *e)
{
	size_t n = strnlen(e->interp, sizeof(e->interp));

	MUST(e->segments > 0, "E1");
	for (unsigned i = 0; i < e->segments; i++) {
		const struct pg_elf_segment *s = &e->segment[i];

		MUST(s->memsz > 0, "E1");
		MUST(s->filesz <= s->memsz, "E2");
		MUST(s->offset + s->filesz >= s->offset, "E2");
		MUST(s->vaddr + s->memsz > s->vaddr, "E2");
		MUST(pg_align_up(s->vaddr + s->memsz, PG_PAGE_SIZE) <= PG_ELF_TOP, "E2");
		MUST(s->filesz == 0 || ((s->vaddr ^ s->offset) & PG_PAGE_MASK) == 0, "E3");
		MUST(s->vaddr >= e->lo && s->vaddr + s->memsz <= e->hi, "E4");
	}
	MUST(e->lo < e->hi && ((e->lo | e->hi) & PG_PAGE_MASK) == 0, "E4");
	MUST((e->max_align & (e->max_align - 1)) == 0, "E5");
	MUST(n < sizeof(e->interp), "E6");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	static struct pg_elf e;
	const char *why = NULL;
	int err = pg_elf_parse(read_input, &in, &e, &why);

	if (err == 0) {
		check_accepted(&e);
		pg_elf_free(&e);
	} else {
		MUST(err < 0 && why != NULL && why[0] != '\0', "a refusal's reason");
		MUST(e.segment == NULL && e.segments == 0, "a refusal keeps nothing");
	}
	return 0;
}

#ifndef PG_FUZZ_ENTRY_ONLY

#define SEED_BYTES 2048 /* headers lie there; what follows is only mapped */
#define ROUNDS 300000

static uint64_t random_state = 0x70a60da;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((random_state >> 33) * n) >> 31);
}

/* A PIE with an interpreter, two segments and a stack entry. */
static size_t make_image(uint8_t *out)
{
	Elf64_Ehdr h = {.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_entry = 0x1000,
		.e_phoff = sizeof(h),
		.e_ehsize = sizeof(h),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 4};
	Elf64_Phdr p[4] = {
		{.p_type = PT_INTERP, .p_offset = 512, .p_filesz = 8},
		{.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_filesz = 1024,
			.p_memsz = 1024,
			.p_align = 4096},
		{.p_type = PT_LOAD,
			.p_flags = PF_R | PF_W,
			.p_offset = 1024,
			.p_vaddr = 0x3400,
			.p_filesz = 512,
			.p_memsz = 0x5000,
			.p_align = 4096},
		{.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W},
	};

	memset(out, 0, SEED_BYTES);
	memcpy(h.e_ident, ELFMAG, SELFMAG);
	h.e_ident[EI_CLASS] = ELFCLASS64;
	h.e_ident[EI_DATA] = ELFDATA2LSB;
	h.e_ident[EI_VERSION] = 1;
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), p, sizeof(p));
	memcpy(out + 512, "/lib/ld", 8);
	return SEED_BYTES;
}

/* Numbers at which arithmetic on headers goes wrong. */
static uint64_t nasty(void)
{
	static const uint64_t v[] = {0, 1, 2, 7, 8, 55, 56, 57, 0xfff, 0x1000, 0x1001, 0x7fffffff,
		0x80000000, 0xffffffff, 0x100000000, 0x7ffffffff000, 0x800000000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000, 0xffffffffffffffff};

	return v[random_below(sizeof(v) / sizeof(v[0]))];
}

static void mutate(uint8_t *p, size_t *n)
{
	unsigned changes = 1 + random_below(4);

	for (unsigned i = 0; i < changes; i++) {
		size_t at = random_below(2) ? random_below(64 + 8 * PG_ELF_PHDR_BYTES)
					    : random_below((uint32_t)*n);
		uint64_t v = nasty();
		size_t width = (size_t)1 << random_below(4);

		if (*n < 16)
			return;
		switch (random_below(8)) {
		case 0:
			*n = random_below((uint32_t)*n) + 1;
			break;
		case 1:
		case 2:
			p[at % *n] ^= (uint8_t)(1u << random_below(8));
			break;
		case 3:
			p[at % *n] = (uint8_t)random_below(256);
			break;
		default:
			at &= ~(width - 1);
			if (at + width <= *n)
				memcpy(p + at, &v, width);
			break;
		}
	}
}

int main(int argc, char **argv)
{
	uint8_t(*seed)[SEED_BYTES] = calloc((size_t)argc, sizeof(*seed));
	size_t *size = calloc((size_t)argc, sizeof(*size));
	unsigned seeds = 0;

	if (seed == NULL || size == NULL)
		return 2;
	size[seeds++] = make_image(seed[0]);
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");

		if (f == NULL)
			continue;
		size[seeds] = fread(seed[seeds], 1, SEED_BYTES, f);
		fclose(f);
		if (size[seeds] != 0)
			seeds++;
	}
	for (unsigned i = 0; i < seeds; i++)
		LLVMFuzzerTestOneInput(seed[i], size[i]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned k = random_below(seeds);
		size_t n = size[k];
		uint8_t *copy = malloc(n); /* exactly so large that reading beyond it is seen */

		if (copy == NULL)
			return 2;
		memcpy(copy, seed[k], n);
		mutate(copy, &n);
		LLVMFuzzerTestOneInput(copy, n);
		free(copy);
	}
	printf("fuzz_elf: %u seeds, %u mutations\n", seeds, ROUNDS);
	free(seed);
	free(size);
	return 0;
}

#endif
