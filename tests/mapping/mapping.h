/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/mapping.h: one guest program that makes random sequences of mapping calls and says what came of each.
 *
 * It knows nothing of Pagoda. run.py runs it natively and under Pagoda with the same seeds and compares what it says, line by
 * line. All addresses are said relative to the places below, which are the same on both sides.
 *
 *   mapping.c   options, sequences, the processes of a sequence
 *   place.c     random numbers, what is said, addresses and ranges
 *   calls.c     the steps that change mappings
 *   access.c    the steps that touch memory: by instruction, with a handler for the signal, and by system call
 *   files.c     the files of a sequence and the steps that change them
 *   look.c      the steps that only look: maps, smaps, mincore, contents
 *   family.c    fork, exit, wait; System V shared memory
 *
 * Each step draws its numbers from the seed and its own number alone, so steps can be left out (--steps) and
 * the others stay as they are; that is how run.py shrinks a case.
 *
 * Two kinds of figures. What must be equal is said by say(). What may lawfully be more on Linux, since Linux maps
 * neighbours around a fault of a file (fault-around) and reads ahead, is said by atmost_*(): Pagoda's figure must not be above it.
 */
#ifndef TESTS_MAPPING_H
#define TESTS_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ul
#define ARENA 0x8000000000ul /* fixed addresses are in [ARENA, ARENA + ARENA_PAGES pages) */
#define ARENA_PAGES 2048ul
#define HOT                                                                                        \
	1000ul /* most are in HOT_PAGES pages from here; what is around is for stacks to grow into */
#define HOT_PAGES 56ul
#define FREE_BYTES (1ul << 30) /* what the system places lies in these below the first place */
#define WALL (64 * PAGE)       /* without rights, above the first place */
#define LOW_FROM 0x40000000ul  /* what MAP_32BIT gives */
#define LOW_TO 0x80000000ul
#define HEAP_BYTES (16ul << 20)
#define CUTS 8
#define SLOTS 4
#define FILES 4
#define FILE_PAGES 40ul
#define PROCESSES 4
#define NO_FILE (-1)

/* What a sequence may do; run.py says which of them (--class). */
enum part {
	PART_BASE = 1 << 0, /* mmap, munmap, mprotect, mremap in place, touches, mincore, msync */
	PART_PLACE =
		1 << 1, /* mappings that the system places, MAP_32BIT; mremap that moves there */
	PART_FILE = 1 << 2,     /* file mappings; reads and writes of the files */
	PART_TRUNCATE = 1 << 3, /* files that shrink and grow while mapped */
	PART_HOLE = 1 << 4,     /* fallocate: holes, zeroed ranges */
	PART_SYSCALL = 1 << 5,  /* system calls with buffers that may be bad */
	PART_FETCH = 1 << 6,    /* code in mapped pages */
	PART_BRK = 1 << 7,
	PART_ADVISE = 1 << 8, /* madvise: the kinds that act at once */
	PART_LOCK = 1 << 9,   /* mlock family, MAP_LOCKED */
	PART_GROW = 1 << 10,  /* MAP_GROWSDOWN, RLIMIT_STACK */
	PART_LIMIT = 1 << 11, /* RLIMIT_AS, RLIMIT_DATA */
	PART_MOVE = 1 << 12,  /* mremap: FIXED, DONTUNMAP, old size 0 */
	PART_HOLES =
		1 << 13, /* calls on ranges with holes where Linux does the part before the hole */
	PART_SMAPS = 1 << 14, /* Rss, Anonymous, Locked in smaps */
	PART_FLAGS = 1 << 15, /* VmFlags, Pss and dirty pages in smaps */
	PART_FORK = 1 << 16,
	PART_SHM = 1 << 17,   /* System V shared memory */
	PART_VM = 1 << 18,    /* process_vm_readv, process_vm_writev */
	PART_GUARD = 1 << 19, /* MADV_GUARD_INSTALL, MADV_GUARD_REMOVE */
	PART_EDGE =
		1 << 20, /* addresses and lengths at the edges of the address space, bad flags */
	PART_SEAL = 1 << 21, /* seals of memory files */
	PART_HINT =
		1
		<< 23, /* madvise: the kinds that are kept with the region and so cut it; MAP_STACK */
	PART_ZERO = 1 << 24,   /* mappings of /dev/zero */
	PART_REMOVE = 1 << 25, /* MADV_REMOVE; what holes do to pages in memory */
	PART_SHORT =
		1 << 26, /* reads that end before the buffer does: what is behind is not touched */
	PART_SWEEP = 1 << 22, /* contents of every page, looked at during the sequence too */
};

struct region {
	uint64_t start, end, offset;
	char rights[5];
	int file; /* its number, NO_FILE; -2: shared memory without a file; -3: another file */
	bool heap, stack, anon; /* anon: private, without a file */
};

struct world {
	uint64_t seed;
	unsigned parts;
	unsigned step, process;
	uint64_t cut[CUTS];   /* pages at which ranges like to begin and end */
	uint64_t slot[SLOTS]; /* results of earlier calls */
	uint64_t top;         /* what the system places first ends here */
	uint64_t brk;         /* the break at the start */
	uint64_t vsz, data;   /* bytes at the start of the sequence */
	int fd[FILES], fd_read_only, scratch, zero;
	int pipe[2];
	int shm;       /* a System V segment or -1 */
	int shm_maker; /* the process that made it */
	bool *stale;   /* figures of pages of files are not comparable any more; of all processes */
};

extern struct world w;

/* ---- place.c */
void out_clear(void);
const char *out_text(size_t *bytes);
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
void say_raw(const char *text, size_t bytes);
void atmost_count(uint64_t n);   /* ours must be <= */
void atmost_bits(uint64_t bits); /* ours must be a part of */
uint64_t hash(uint64_t h, const void *data, size_t bytes);
#define HASH 0xcbf29ce484222325ul

void draw_start(uint64_t seed, uint64_t step);
uint64_t below(uint64_t n);
bool chance(unsigned percent);
bool has(unsigned part);

const char *where(uint64_t address); /* valid until the eighth call after */
uint64_t some_page(void);            /* an address at the start of a page */
uint64_t some_address(void);
uint64_t some_length(void);
void some_range(uint64_t *address, uint64_t *bytes);
uint64_t edge_address(void); /* outside of what a program can have */
uint64_t edge_length(void);
void say_result(int64_t r);         /* a number, or the error's name */
void say_address_result(int64_t r); /* an address, or the error's name */
int64_t call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* ---- look.c */
unsigned regions(struct region *out, unsigned cap); /* those in the places above, low to high */
void say_maps(void);                                /* if they changed */
void forget_maps(void);
void step_mincore(void);
void step_smaps(void);
void step_contents(void);
void look_at_end(void);
bool whole(uint64_t start, uint64_t end); /* no hole in it */
uint64_t vm_size(const char *key);        /* of /proc/self/status, in bytes */

/* ---- access.c */
void access_start(void);
bool peek(uint64_t address, uint64_t *word); /* false: a signal, which was said */
bool poke(uint64_t address, uint64_t word);
void say_signal(void);
void step_touch(void);
void step_string(void);
void step_fetch(void);
void step_read(void);
void step_write(void);
void step_vector(void);
void step_other(void);
void step_vm(void);

/* ---- calls.c */
void step_map(void);
void step_unmap(void);
void step_protect(void);
void step_remap(void);
void step_move(void);
void step_advise(void);
void step_guard(void);
void step_sync(void);
void step_lock(void);
void step_brk(void);
void step_limit(void);
void step_edge(void);

/* ---- files.c */
bool files_open(const char *directory);
void files_close(void);
int file_of(uint64_t inode); /* its number or -3 */
void step_truncate(void);
void step_hole(void);
void step_file_write(void);
void step_file_read(void);
void step_seal(void);
void say_files(void);

/* ---- family.c */
void step_shm(void);
void shm_end(void);

#endif
