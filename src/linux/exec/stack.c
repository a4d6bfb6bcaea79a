/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/stack.c: the first stack of a program: strings, pointers and the auxiliary vector.
 *
 * Called by map.c and exec.c on the new space; calls space/. Byte for byte as Linux lays it out, so that stack addresses are
 * those that the program has natively. From the top of the stack region downwards:
 *
 *   8 zero bytes, the executed file's name, the environment's strings, the arguments' strings,
 *   (random gap with address-space randomisation), "x86_64", 16 random bytes,
 *   auxv, envp[] and 0, argv[] and 0, argc  <- rsp, a multiple of 16
 *
 * Where Linux has an entry that does not hold here (vDSO, restartable sequences), there is an AT_IGNORE in its
 * place: nobody looks at it, and what follows lies where it lies natively.
 *
 * Source: Linux fs/binfmt_elf.c create_elf_tables(), fs/exec.c.
 */
#include "linux/exec/load.h"
#include "linux/machine/machine.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define MAX_STRING (32 * PG_PAGE_SIZE) /* of one argument, with its NUL: Linux's MAX_ARG_STRLEN */
#define STACK_INITIAL 131072           /* mapped below the strings at once */
#define AUX_RSEQ_FEATURE_SIZE 27
#define AUX_RSEQ_ALIGN 28
#define AUX_MINSIGSTKSZ 51

/* The work in hand. `error` is sticky: -EFAULT or -ENOMEM of any write. */
struct build {
	struct pg_thread *me;
	struct pg_space *space;
	uint64_t sp;
	int error;
};

static void put(struct build *b, uint64_t at, const void *src, uint64_t n)
{
	if (b->error == 0 && pg_space_write(b->space, (pg_va){at}, src, n, 0) != n)
		b->error = -ENOMEM;
}

static void push(struct build *b, const void *src, uint64_t n)
{
	b->sp -= n;
	put(b, b->sp, src, n);
}

static unsigned count(char *const *v)
{
	unsigned n = 0;

	while (v[n] != NULL)
		n++;
	return n;
}

/* Pushes strings so that v[0] is the lowest. */
static void push_strings(struct build *b, char *const *v)
{
	for (unsigned i = count(v); i-- > 0;)
		push(b, v[i], strlen(v[i]) + 1);
}

static int check_sizes(const struct pg_stack_in *in, uint64_t *bytes, const char **why)
{
	char *const *lists[2] = {in->argv, in->envp};
	const uint64_t most_ever = (uint64_t)6 << 20, least = 131072;
	uint64_t most = in->stack_limit / 4, sum = strlen(in->execfn) + 1;

	if (most > most_ever)
		most = most_ever;
	if (most < least)
		most = least;
	for (unsigned i = 0; i < 2; i++) {
		for (char *const *s = lists[i]; *s != NULL; s++) {
			uint64_t n = strlen(*s) + 1;

			if (n > MAX_STRING) {
				*why = "an argument or environment string is longer than 128 KiB";
				return -E2BIG;
			}
			sum += n + sizeof(uint64_t);
		}
	}
	*bytes = sum;
	if (sum > most) {
		*why = "arguments and environment are too long";
		return -E2BIG;
	}
	return 0;
}

struct aux {
	uint64_t v[64];
	unsigned n;
};

static void aux_add(struct aux *x, uint64_t type, uint64_t value)
{
	PG_ASSERT(x->n + 2 <= sizeof(x->v) / sizeof(x->v[0]));
	x->v[x->n++] = type;
	x->v[x->n++] = value;
}

static void aux_fill(struct aux *x, const struct pg_stack_in *in, uint64_t random, uint64_t execfn,
	uint64_t platform)
{
	uint32_t cpuid[4];

	pg_cpu_guest_cpuid(1, 0, cpuid);
	if (getauxval(AT_SYSINFO_EHDR) != 0)
		aux_add(x, AT_IGNORE, 0);
	aux_add(x, AUX_MINSIGSTKSZ, pg_sigframe_min_stack());
	aux_add(x, AT_HWCAP, cpuid[3]);
	aux_add(x, AT_PAGESZ, PG_PAGE_SIZE);
	aux_add(x, AT_CLKTCK, (uint64_t)sysconf(_SC_CLK_TCK));
	aux_add(x, AT_PHDR, in->phdr);
	aux_add(x, AT_PHENT, sizeof(Elf64_Phdr));
	aux_add(x, AT_PHNUM, in->phnum);
	aux_add(x, AT_BASE, in->base);
	aux_add(x, AT_FLAGS, 0);
	aux_add(x, AT_ENTRY, in->entry);
	aux_add(x, AT_UID, getuid());
	aux_add(x, AT_EUID, geteuid());
	aux_add(x, AT_GID, getgid());
	aux_add(x, AT_EGID, getegid());
	aux_add(x, AT_SECURE, 0);
	aux_add(x, AT_RANDOM, random);
	aux_add(x, AT_HWCAP2, getauxval(AT_HWCAP2) & 2); /* rdfsbase and its kin */
	aux_add(x, AT_EXECFN, execfn);
	aux_add(x, AT_PLATFORM, platform);
	if (getauxval(AUX_RSEQ_FEATURE_SIZE) != 0)
		aux_add(x, AT_IGNORE, 0);
	if (getauxval(AUX_RSEQ_ALIGN) != 0)
		aux_add(x, AT_IGNORE, 0);
	aux_add(x, AT_NULL, 0);
}

/* argc, argv, envp, auxv from sp upwards. strings: where argv[0] lies. */
static void put_vectors(
	struct build *b, const struct pg_stack_in *in, const struct aux *x, uint64_t strings)
{
	unsigned argc = count(in->argv), envc = count(in->envp), n = 0;
	uint64_t words = 1 + argc + 1 + envc + 1, s = strings;
	uint64_t *w = malloc((words + x->n) * sizeof(*w));

	if (w == NULL) {
		b->error = -ENOMEM;
		return;
	}
	w[n++] = argc;
	for (unsigned i = 0; i < argc; i++) {
		w[n++] = s;
		s += strlen(in->argv[i]) + 1;
	}
	w[n++] = 0;
	for (unsigned i = 0; i < envc; i++) {
		w[n++] = s;
		s += strlen(in->envp[i]) + 1;
	}
	w[n++] = 0;
	memcpy(w + n, x->v, x->n * sizeof(*w));
	n += x->n;
	b->sp = (b->sp - words * sizeof(*w) - x->n * sizeof(*w)) & ~(uint64_t)15;
	put(b, b->sp, w, n * sizeof(*w));
	free(w);
}

/* Maps the stack region: what `bytes` of strings need, and Linux's first 128 KiB below. */
static int map_stack(const struct pg_stack_in *in, uint64_t bytes)
{
	uint64_t size = pg_align_up(bytes + sizeof(uint64_t), PG_PAGE_SIZE), limit;
	pg_va at;
	pg_prot prot = PG_READ | PG_WRITE | (in->exec_stack ? PG_EXEC : 0);

	limit = pg_align_down(in->stack_limit, PG_PAGE_SIZE);
	if (size + STACK_INITIAL <= limit)
		size += STACK_INITIAL;
	else if (limit > size)
		size = limit;
	at.v = in->top - size;
	return pg_space_map(in->space, &at, size, prot, PG_READ | PG_WRITE | PG_EXEC,
		PG_MAP_FIXED_FREE | PG_MAP_GROWSDOWN, NULL, 0, "[stack]");
}

int pg_stack_build(struct pg_thread *me, const struct pg_stack_in *in,
	struct pg_linux_layout *layout, uint64_t *sp, const char **why)
{
	struct build b = {.me = me, .space = in->space, .sp = in->top - sizeof(uint64_t)};
	struct aux x = {.n = 0};
	uint64_t execfn, strings, platform, random, bytes;
	uint8_t r[16];
	int err = check_sizes(in, &bytes, why);

	if (err != 0)
		return err;
	/* pointers are not in the strings' pages when Linux sizes the region */
	bytes -= (count(in->argv) + (uint64_t)count(in->envp)) * sizeof(uint64_t);
	err = in->mapped ? 0 : map_stack(in, bytes);
	if (err != 0) {
		*why = "no room for its stack";
		return err;
	}
	push(&b, in->execfn, strlen(in->execfn) + 1);
	execfn = b.sp;
	layout->env_end = execfn;
	push_strings(&b, in->envp);
	layout->env_start = layout->args_end = b.sp;
	push_strings(&b, in->argv);
	strings = layout->args_start = b.sp;
	if (me->machine->aslr)
		b.sp -= pg_linux_random_below(me->machine, 8192);
	b.sp &= ~(uint64_t)15;
	push(&b, "x86_64", sizeof("x86_64"));
	platform = b.sp;
	pg_linux_random(me->machine, r, sizeof(r));
	push(&b, r, sizeof(r));
	random = b.sp;
	aux_fill(&x, in, random, execfn, platform);
	put_vectors(&b, in, &x, strings);
	if (b.error != 0) {
		*why = "not enough memory for its stack";
		return b.error;
	}
	layout->stack_top = in->top;
	layout->stack_start = *sp = b.sp;
	*in->auxv_bytes = x.n * (uint32_t)sizeof(uint64_t);
	memcpy(in->auxv, x.v, *in->auxv_bytes);
	return 0;
}
