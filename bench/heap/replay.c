/* SPDX-License-Identifier: MIT */
/*
 * bench/heap/replay.c: plays a recorded stream of allocations (heap/record.h) to whatever malloc the process has:
 * bench_replay FILE [sample]. One thread does what all the recorded ones did, in the recorded order.
 *
 * Without `sample`: repeats the stream until half a second has passed and prints operations and processor seconds. With it:
 * prints live bytes asked for and bytes of heap at the moment of the largest heap, then at the end of the stream, out of 200
 * samples (mallinfo2), and malloc_stats of the end on standard error.
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "heap/record.h"

/* A row of the stream, addresses made into numbers of slots. */
struct step {
	uint32_t op, slot;
	uint64_t size, align;
};

static struct step *steps;
static size_t count, slot_count;
static void **slots;
static uint64_t *slot_sizes;

/* Memory of the tool itself must not come from the allocator that it measures. */
static void *own(size_t bytes)
{
	void *p = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("bench_replay");
		exit(1);
	}
	return p;
}

/* A hash of addresses in use, to slots. */
static struct {
	uint64_t address;
	uint32_t slot;
} * table;
static size_t table_size;

static size_t place(uint64_t address)
{
	size_t i = (address >> 4) * 0x9e3779b97f4a7c15u >> 20 & (table_size - 1);

	while (table[i].address && table[i].address != address)
		i = (i + 1) & (table_size - 1);
	return i;
}

static void forget(size_t i)
{
	table[i].address = 0;
	for (size_t k = (i + 1) & (table_size - 1); table[k].address;
		k = (k + 1) & (table_size - 1)) {
		uint64_t address = table[k].address;
		uint32_t slot = table[k].slot;
		table[k].address = 0;
		size_t at = place(address);
		table[at].address = address;
		table[at].slot = slot;
	}
}

static void load(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (long)sizeof(struct pg_record)) {
		fprintf(stderr, "bench_replay: %s: not a recording\n", path);
		exit(1);
	}
	size_t rows = (size_t)st.st_size / sizeof(struct pg_record);
	const struct pg_record *r = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	steps = own(rows * sizeof *steps);
	for (table_size = 1024; table_size < 4 * rows; table_size *= 2)
		;
	table = own(table_size * sizeof *table);
	uint32_t *unused = own(rows * sizeof *unused);
	size_t unused_count = 0;
	for (size_t i = 0; i < rows; i++) {
		struct step s = {r[i].op, 0, r[i].size, r[i].align};
		if (r[i].in) {
			size_t k = place(r[i].in);
			if (!table[k].address)
				continue; /* from before the recording */
			s.slot = table[k].slot;
			forget(k);
			if (s.op == PG_RECORD_FREE)
				unused[unused_count++] = s.slot;
		} else {
			s.slot = unused_count ? unused[--unused_count] : (uint32_t)slot_count++;
		}
		if (r[i].out) {
			size_t k = place(r[i].out);
			table[k].address = r[i].out;
			table[k].slot = s.slot;
		}
		steps[count++] = s;
	}
	slots = own(slot_count * sizeof *slots);
	slot_sizes = own(slot_count * sizeof *slot_sizes);
}

static uint64_t live, peak_live, peak_heap, live_at_peak;

static void sample(void)
{
	struct mallinfo2 m = mallinfo2();

	if (m.arena + m.hblkhd > peak_heap) {
		peak_heap = m.arena + m.hblkhd;
		live_at_peak = live;
	}
}

static void play(int sampling)
{
	size_t every = count / 200 + 1;

	for (size_t i = 0; i < count; i++) {
		const struct step *s = &steps[i];
		void **p = &slots[s->slot];
		switch (s->op) {
		case PG_RECORD_MALLOC:
			*p = malloc(s->size);
			break;
		case PG_RECORD_CALLOC:
			*p = calloc(1, s->size);
			break;
		case PG_RECORD_MEMALIGN:
			*p = memalign(s->align, s->size);
			break;
		case PG_RECORD_REALLOC:
			*p = realloc(*p, s->size);
			break;
		default:
			free(*p);
			*p = NULL;
		}
		if (s->op != PG_RECORD_FREE && s->size)
			*(volatile char *)*p = 1;
		if (!sampling)
			continue;
		live -= slot_sizes[s->slot];
		slot_sizes[s->slot] = s->op == PG_RECORD_FREE ? 0 : s->size;
		live += slot_sizes[s->slot];
		if (live > peak_live)
			peak_live = live;
		if (i % every == 0)
			sample();
	}
}

static void clear(void)
{
	for (size_t i = 0; i < slot_count; i++) {
		free(slots[i]);
		slots[i] = NULL;
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: bench_replay FILE [sample]\n");
		return 2;
	}
	load(argv[1]);
	if (argc > 2) {
		play(1);
		sample();
		struct mallinfo2 m = mallinfo2();
		printf("%zu %lu %lu %lu %lu %lu\n", count, peak_live, live_at_peak, peak_heap, live,
			m.arena + m.hblkhd);
		fflush(stdout);
		malloc_stats();
		return 0;
	}
	double start = seconds(), took;
	size_t rounds = 0;
	do {
		play(0);
		took = seconds() - start;
		rounds++;
		clear();
	} while (took < 0.5 && rounds < 50);
	printf("%zu %.6f\n", count * rounds, took);
	return 0;
}
