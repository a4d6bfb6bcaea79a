/* SPDX-License-Identifier: MIT */
/*
 * tests/scale/bench_swap.c: what a page costs on its way out and back, beside the store alone and beside Linux without swap.
 * Run by `make bench-swap`, not by the check.
 *
 *   bench_swap [FOLDER]    the folder of files (default: /var/tmp)
 *
 * Tables, microseconds a page, the best of ROUNDS:
 *
 *   out and back   all pages of a space to the store and back by faults in order; the store alone, in the same clusters
 *   Linux          a shared mapping of a file: msync and MADV_PAGEOUT, and faults that bring it back
 *   at one half    a program that writes all its pages again and again, in half the memory that it uses, against: the same with all
 *                  memory, and the store alone for as many pages in as many calls
 *
 * Two times, and each table says which. *Processor*: ours and the kernel's for us; files are in the host's page cache, so
 * devices are not waited for. *Elapsed*: of a swap file past the page cache (O_DIRECT), the device waited for; on a machine with other work to do it
 * is longer. Where the folder's file system has no O_DIRECT, those rows say so.
 */
#include "reclaim/reclaim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGES 4096u /* 16 MiB */
#define ROUNDS 3

/* What is measured, and by which clock. */
struct kind {
	const char *store;
	clockid_t clock;
};

static const struct kind kinds[] = {
	{"256M", CLOCK_PROCESS_CPUTIME_ID},
	{"lz4:256M", CLOCK_PROCESS_CPUTIME_ID},
	{"zstd:256M", CLOCK_PROCESS_CPUTIME_ID},
	{"direct:256M", CLOCK_MONOTONIC},
};
static clockid_t clock_now;
static const char *folder = "/var/tmp";

static void need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench_swap: %s\n", what);
		exit(1);
	}
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(clock_now, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static const char *clock_name(void)
{
	return clock_now == CLOCK_MONOTONIC ? "elapsed" : "processor";
}

static double less(double a, double b)
{
	return a == 0 || b < a ? b : a;
}

/* A page half of which compresses. */
static void fill(uint64_t *p, uint64_t seed)
{
	for (unsigned i = 0; i < PG_PAGE_SIZE / 8; i++)
		p[i] = i % 2 ? seed : (seed = seed * 6364136223846793005u + 1442695040888963407u);
}

struct machine {
	struct pg_vm *vm;
	struct pg_store *store;
	struct pg_reclaim *r;
	struct pg_space *s;
	pg_va at;
};

static void begin(struct machine *m, const char *spec, uint64_t frames)
{
	const struct pg_store_options so = {.tmp_dir = folder};
	const struct pg_vm_config vc = {.memory_bytes = frames * PG_PAGE_SIZE,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64};
	const struct pg_space_config sc = {
		.lo = {0x10000}, .hi = {(uint64_t)1 << 40}, .mmap_top = {(uint64_t)1 << 39}};
	struct pg_reclaim_config rc = {0};

	*m = (struct machine){0};
	need(pg_vm_create(&vc, &m->vm) == 0, "no machine");
	need(pg_store_create(spec, &so, &m->store, NULL) == 0, "no store");
	rc.store = m->store;
	need(pg_reclaim_create(m->vm, &rc, &m->r) == 0, "no reclaim");
	need(pg_space_create(m->vm, &sc, &m->s) == 0, "no space");
	need(pg_space_map(m->s, &m->at, PAGES * PG_PAGE_SIZE, PG_READ | PG_WRITE, 7, 0, NULL, 0,
		     NULL) == 0,
		"no region");
}

static void end(struct machine *m)
{
	pg_space_destroy(m->s);
	pg_reclaim_destroy(m->r);
	pg_store_destroy(m->store);
	pg_vm_destroy(m->vm);
}

/* Writes all pages whole. */
static void pass(struct machine *m, uint64_t seed)
{
	static uint64_t page[PG_PAGE_SIZE / 8];

	for (uint64_t i = 0; i < PAGES; i++) {
		fill(page, seed + i);
		need(pg_space_write(m->s, (pg_va){m->at.v + i * PG_PAGE_SIZE}, page, sizeof page,
			     0) == sizeof page,
			"a write");
	}
}

/* The store alone: pages out and in, in clusters so large. */
static void store_alone(const char *spec, unsigned out_n, unsigned in_n, double *out, double *in)
{
	const struct pg_store_options so = {.tmp_dir = folder};
	uint8_t *bytes = aligned_alloc(PG_PAGE_SIZE, 256 * PG_PAGE_SIZE);
	static struct pg_store_io io[PAGES];
	struct pg_store *s;
	pg_slot first;
	unsigned got = 0;
	double t;

	need(bytes && pg_store_create(spec, &so, &s, NULL) == 0, "no store");
	for (unsigned n = 0; n < PAGES; n += got) {
		int k = pg_store_reserve(s, PAGES - n < 256 ? PAGES - n : 256, &first);

		need(k > 0, "no slot");
		got = (unsigned)k;
		for (unsigned i = 0; i < got; i++)
			io[n + i] = (struct pg_store_io){.slot = {first.v + i},
				.page = bytes + (n + i) % 256 * PG_PAGE_SIZE};
	}
	for (unsigned i = 0; i < 256; i++)
		fill((uint64_t *)(bytes + i * PG_PAGE_SIZE), i);
	t = now_us();
	for (unsigned i = 0; i < PAGES; i += out_n)
		need(pg_store_write(s, io + i, PAGES - i < out_n ? PAGES - i : out_n) == 0,
			"a write");
	*out = (now_us() - t) / PAGES;
	t = now_us();
	for (unsigned i = 0; i < PAGES; i += in_n)
		need(pg_store_read(s, io + i, PAGES - i < in_n ? PAGES - i : in_n) == 0, "a read");
	*in = (now_us() - t) / PAGES;
	pg_store_destroy(s);
	free(bytes);
}

static void out_and_back(const char *spec)
{
	double out = 0, in = 0, raw_out = 0, raw_in = 0, a, b, t;

	for (unsigned k = 0; k < ROUNDS; k++) {
		struct machine m;
		uint8_t byte;

		begin(&m, spec, PAGES * 2);
		pass(&m, k);
		t = now_us();
		need(pg_reclaim_swap_out_space(m.r, m.s) == PAGES, "not all went");
		out = less(out, (now_us() - t) / PAGES);
		t = now_us();
		for (uint64_t i = 0; i < PAGES; i++)
			need(pg_space_read(m.s, &byte, (pg_va){m.at.v + i * PG_PAGE_SIZE}, 1, 0) ==
					1,
				"a read");
		in = less(in, (now_us() - t) / PAGES);
		end(&m);
		store_alone(spec, 32, 8, &a, &b);
		raw_out = less(raw_out, a);
		raw_in = less(raw_in, b);
	}
	printf("| `%s`, %s | %.2f | %.2f | %.2f | %.2f | %.2f |\n", spec, clock_name(), out, in,
		raw_out, raw_in, (out + in) / (raw_out + raw_in));
}

static void linux_file(void)
{
	double out = 0, in = 0, t;
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s/bench_swap.XXXXXX", folder);
	fd = mkstemp(path);
	need(fd >= 0 && unlink(path) == 0 && ftruncate(fd, PAGES * PG_PAGE_SIZE) == 0, "no file");
	for (unsigned k = 0; k < ROUNDS; k++) {
		volatile uint8_t *p =
			mmap(NULL, PAGES * PG_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		need(p != MAP_FAILED, "no mapping");
		for (uint64_t i = 0; i < PAGES; i++)
			fill((uint64_t *)(p + i * PG_PAGE_SIZE), i + k);
		t = now_us();
		need(msync((void *)p, PAGES * PG_PAGE_SIZE, MS_SYNC) == 0 &&
				madvise((void *)p, PAGES * PG_PAGE_SIZE, MADV_PAGEOUT) == 0,
			"msync");
		out = less(out, (now_us() - t) / PAGES);
		t = now_us();
		for (uint64_t i = 0; i < PAGES; i++)
			(void)p[i * PG_PAGE_SIZE];
		in = less(in, (now_us() - t) / PAGES);
		munmap((void *)p, PAGES * PG_PAGE_SIZE);
	}
	close(fd);
	printf("| Linux, %s: a file, `msync` and `MADV_PAGEOUT`; faults | %.2f | %.2f | | | |\n",
		clock_name(), out, in);
}

/* A program that fills its pages over and over. Microseconds, and what it cost. */
static double run(const char *spec, uint64_t frames, struct pg_reclaim_stats *st)
{
	struct machine m;
	double t;

	begin(&m, spec, frames);
	pass(&m, 0);
	t = now_us();
	for (unsigned k = 1; k < 5; k++)
		pass(&m, k);
	t = now_us() - t;
	pg_reclaim_stats(m.r, st);
	end(&m);
	return t;
}

static void at_one_half(const char *spec)
{
	double half = 0, all = 0, floor_us, a = 0, b = 0, raw_out = 0, raw_in = 0;
	struct pg_reclaim_stats st;

	for (unsigned k = 0; k < ROUNDS; k++) {
		all = less(all, run(spec, PAGES * 5 / 4, &st));
		half = less(half, run(spec, PAGES / 2, &st));
		store_alone(spec,
			(unsigned)(st.swap_out / (st.swap_out_clusters ? st.swap_out_clusters : 1)),
			(unsigned)(st.swap_in / (st.swap_in_clusters ? st.swap_in_clusters : 1)),
			&a, &b);
		raw_out = less(raw_out, a);
		raw_in = less(raw_in, b);
	}
	floor_us = all + raw_out * (double)st.swap_out + raw_in * (double)st.swap_in;
	printf("| `%s`, %s | %llu | %llu | %.0f | %.0f | %.0f | %.2f | %.0f |\n", spec,
		clock_name(), (unsigned long long)st.swap_out, (unsigned long long)st.swap_in,
		all / 1e3, half / 1e3, floor_us / 1e3, half / floor_us, (double)st.some_ns / 1e6);
}

/* False: the folder cannot have it. */
static bool choose(const struct kind *k)
{
	const struct pg_store_options so = {.tmp_dir = folder};
	struct pg_store *s;

	clock_now = k->clock;
	if (pg_store_create(k->store, &so, &s, NULL)) {
		printf("| `%s`: not in %s |\n", k->store, folder);
		return false;
	}
	pg_store_destroy(s);
	return true;
}

int main(int argc, char **argv)
{
	const unsigned n = sizeof kinds / sizeof kinds[0];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		folder = argv[1];
	puts("| microseconds a page | out | back | store alone: out | in | both, by the store "
	     "alone |\n"
	     "|---|---|---|---|---|---|");
	for (unsigned i = 0; i < n; i++)
		if (choose(&kinds[i]))
			out_and_back(kinds[i].store);
	for (unsigned i = 0; i < 2; i++) {
		clock_now = i ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
		linux_file();
	}
	puts("\n| half the memory | pages out | pages in | all memory, ms | half, ms | floor, ms | "
	     "half by floor | stalled, ms |\n"
	     "|---|---|---|---|---|---|---|---|");
	for (unsigned i = 0; i < n; i++)
		if (choose(&kinds[i]))
			at_one_half(kinds[i].store);
	return 0;
}
