/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/counts_groups.c: accesses that the translator answers together, for the comparison of the misses of small TLBs with
 * count_native's: frames of functions that lie across pages, fields of a record off one register with other records' between them, in the
 * same set and in others, behind conditional branches, and code that goes to and fro between pages. R23.
 *
 * All memory is in .bss at fixed addresses, so natively the pages are the same. Each page is written once at first, by an access that lies in it alone, so that
 * each fault repeats one lookup.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

#define PAGES 96
static u8 memory[PAGES * 4096] __attribute__((aligned(65536)));
static u8 stack[16 * 4096] __attribute__((aligned(65536)));
static u64 seed;

#define NEVER_INLINE __attribute__((noinline, noclone))

struct record {
	u64 a;
	u32 b, c;
	u8 d, e;
	u64 f __attribute__((packed));
	u64 g[6];
};

static inline u64 draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 33;
}

/* Records of two pages that share a set, or not, at any offset: now and then one lies across pages. */
static inline struct record *pick(u64 r)
{
	u64 page = r % (PAGES - 1), at = (r >> 8) % 4096;
	if ((r >> 20) % 3 == 0)
		at = 4096 - (r >> 8) % sizeof(struct record);
	at &= ~(u64)((r >> 24) & 7);
	return (struct record *)(memory + page * 4096 + at % 4096);
}

/* Two and three records in turn. */
static NEVER_INLINE u64 mix(struct record *x, struct record *y, struct record *z)
{
	u64 s = x->a + y->a;
	x->b = (u32)s;
	s += y->c + x->g[1];
	y->g[0] = s;
	if (x->d & 1) {
		s += x->g[2] + z->a;
		x->g[3] = s;
	}
	z->f = s;
	x->e ^= (u8)y->e;
	s += z->g[4] + x->g[5] + y->g[5];
	if (s & 64)
		return s + x->f;
	z->g[0] += 1;
	return s ^ z->g[1] ^ x->a;
}

/* A chain: what is loaded says where the next access is. */
static NEVER_INLINE u64 chase(struct record *x, u64 n)
{
	u64 s = 0;
	while (n--) {
		struct record *y = pick(x->a ^ s ^ draw());
		y->a += n;
		y->b++;
		s += y->g[0] + x->g[0] + x->c;
		x = y;
	}
	return s;
}

/* A frame of its own size in each depth, so that frames end everywhere. */
static NEVER_INLINE u64 deep(u64 n, u64 a, u64 b, u64 c, u64 d)
{
	volatile u8 room[n % 7 * 8 + 1];
	room[n % 7] = (u8)a;
	if (n == 0)
		return mix(pick(a), pick(b), pick(c)) + d;
	u64 x = deep(n - 1, b + n, c ^ a, d + room[0], a + 3);
	return x + mix(pick(x), pick(x + 77), pick(a + 5)) + a * b + c - d + room[n % 7];
}

/* Each in a page of the code of its own, with a loop in it that stays there or not. */
#define FAR(name, next)                                                                            \
	static NEVER_INLINE __attribute__((aligned(4096))) u64 name(struct record *x, u64 n)       \
	{                                                                                          \
		u64 s = n;                                                                         \
		for (u64 i = 0; i < n % 8; i++) {                                                  \
			s += x->g[i % 6];                                                          \
			x->g[(i + 1) % 6] = s;                                                     \
			if (s % 5 == 0)                                                            \
				s ^= mix(x, x, pick(s));                                           \
		}                                                                                  \
		return n ? next(x + (s & 1), n - 1) + s : s;                                       \
	}
static u64 (*volatile first)(struct record *, u64);
FAR(far0, first)
FAR(far1, far0)
FAR(far2, far1)
FAR(far3, far2)
FAR(far4, far3)
FAR(far5, far4)
FAR(far6, far5)
FAR(far7, far6)
FAR(far8, far7)
FAR(far9, far8)
static u64 (*const all[])(struct record *, u64) = {
	far0, far1, far2, far3, far4, far5, far6, far7, far8, far9};

static NEVER_INLINE __attribute__((aligned(4096), used)) void work(void)
{
	u64 s = 1;
	for (u64 i = 0; i < PAGES; i++)
		*(volatile u8 *)(memory + i * 4096 + 8) = (u8)i;
	for (u64 i = 0; i < 15; i++)
		*(volatile u8 *)(stack + i * 4096 + 8) = (u8)i;
	for (u64 i = 0; i < 40; i++) {
		s += chase(pick(s), i % 13);
		s ^= mix(pick(draw()), pick(draw()), pick(draw()));
		if (i % 10 == 0)
			s += deep(i % 97, s, i, s >> 3, s ^ i);
		first = all[i % 10];
		s += all[draw() % 10](pick(draw()), i % 14);
	}
	__asm__ volatile("syscall" : : "a"(231), "D"(0) : "rcx", "r11", "memory");
	__builtin_unreachable();
}

/* The stack that the program was given is not touched: it lies elsewhere natively. */
__asm__(".globl _start\n_start:\n\tlea stack+65536(%rip), %rsp\n\tmovb $1, -8(%rsp)\n\tcall "
	"work\n");
