/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/look.c: the steps that only look: maps, smaps, mincore, contents.
 *
 * Called by mapping.c. Reads /proc/self with plain system calls, so that looking maps nothing.
 */
#include "mapping.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REGIONS 600u
#define STACK_BYTES (16ul << 20) /* what MAP_32BIT gave may have grown down */

static char file[1 << 20];

/* The text of /proc/self/NAME, NUL-ended; "" if it cannot be read. */
static char *proc_text(const char *name)
{
	char path[64];
	size_t n = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof path, "/proc/self/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && n < sizeof file - 1) {
		got = read(fd, file + n, sizeof file - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	file[n] = '\0';
	return file;
}

uint64_t vm_size(const char *key)
{
	char *p = strstr(proc_text("status"), key);

	return p ? strtoull(p + strlen(key), NULL, 10) * 1024 : 0;
}

/* One line of maps; false: not one, or of a place that is not looked at. */
static bool parse(char *line, struct region *r)
{
	char *p = line, *name;
	uint64_t inode;

	r->start = strtoull(p, &p, 16);
	if (p == line || *p != '-')
		return false;
	r->end = strtoull(p + 1, &p, 16);
	if (*p != ' ')
		return false;
	memcpy(r->rights, p + 1, 4);
	r->rights[4] = '\0';
	r->offset = strtoull(p + 5, &p, 16);
	p = strchr(p + 1, ' '); /* behind the device */
	inode = p ? strtoull(p, &p, 10) : 0;
	name = p ? p + strspn(p, " ") : (char *)"";
	r->heap = strncmp(name, "[heap]", 6) == 0;
	r->stack = strncmp(name, "[stack]", 7) == 0;
	r->anon = inode == 0 && name[0] != '/' && r->rights[3] == 'p';
	r->file = NO_FILE;
	if (strncmp(name, "/dev/zero (deleted)", 19) == 0 || strncmp(name, "/SYSV", 5) == 0)
		r->file = -2;
	else if (inode)
		r->file = file_of(inode);
	if (r->end > ARENA && r->start < ARENA + ARENA_PAGES * PAGE)
		return true;
	if (r->end > w.top - FREE_BYTES && r->start < w.top)
		return true;
	if (r->start >= w.brk - PAGE && r->start < w.brk + HEAP_BYTES && has(PART_BRK))
		return true;
	return r->start >= LOW_FROM - STACK_BYTES && r->start < LOW_TO;
}

unsigned regions(struct region *out, unsigned cap)
{
	unsigned n = 0;

	for (char *line = proc_text("maps"), *end; *line && n < cap; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		if (parse(line, out + n))
			n++;
	}
	return n;
}

static struct region last[REGIONS];
static unsigned last_count;

void forget_maps(void)
{
	last_count = 0;
}

static void say_region(const struct region *r)
{
	say("%s-%s %s", where(r->start), where(r->end), r->rights);
	if (r->file >= 0)
		say(" file%d+%lx", r->file, r->offset / PAGE);
	else if (r->file == -2)
		say(" shared+%lx", r->offset / PAGE);
	else if (r->file == -3)
		say(" other");
	if (r->heap)
		say(" heap");
	if (r->stack)
		say(" stack");
}

/*
 * Linux may cut a region at the ends of a mapping that is then refused for a limit. It is the same memory: with limits, what
 * could be one region is shown as one.
 */
static unsigned join(struct region *r, unsigned n)
{
	unsigned to = 0;

	for (unsigned i = 1; i < n; i++) {
		struct region *a = r + to;

		if (a->end == r[i].start && !strcmp(a->rights, r[i].rights) &&
			a->file == r[i].file && a->heap == r[i].heap && a->anon == r[i].anon &&
			(a->file == NO_FILE || a->offset + (a->end - a->start) == r[i].offset))
			a->end = r[i].end;
		else
			r[++to] = r[i];
	}
	return n ? to + 1 : 0;
}

static bool same(const struct region *a, const struct region *b)
{
	return a->start == b->start && a->end == b->end && a->offset == b->offset &&
	       !strcmp(a->rights, b->rights) && a->file == b->file && a->heap == b->heap;
}

void say_maps(void)
{
	static struct region now[REGIONS];
	unsigned n = regions(now, REGIONS);
	unsigned from = 0, back = 0;

	if (has(PART_LIMIT))
		n = join(now, n);
	while (from < n && from < last_count && same(now + from, last + from))
		from++;
	while (back < n - from && back < last_count - from &&
		same(now + n - 1 - back, last + last_count - 1 - back))
		back++;
	if (from + back < n || from + back < last_count) {
		say("\n  maps, %u of %u:", n - from - back, n);
		for (unsigned i = from; i < n - back; i++) {
			say("\n  ");
			say_region(now + i);
		}
	}
	memcpy(last, now, n * sizeof *now);
	last_count = n;
}

bool whole(uint64_t start, uint64_t end)
{
	static struct region now[REGIONS];
	unsigned n = regions(now, REGIONS);

	if (start >= end)
		return true;
	for (unsigned i = 0; i < n; i++) {
		if (now[i].start > start)
			return false;
		if (now[i].end >= end)
			return true;
		if (now[i].end > start)
			start = now[i].end;
	}
	return false;
}

/* Which pages of [a, a + pages) the system has: exact in private memory without a file, at most elsewhere. */
static void in_core(uint64_t a, uint64_t pages)
{
	static unsigned char bytes[ARENA_PAGES + 1];
	static struct region now[REGIONS];
	uint64_t sure = 0, some = 0;
	unsigned n, at = 0;
	int64_t r;

	memset(bytes, 0xee, sizeof bytes);
	r = call(SYS_mincore, a, pages * PAGE, (uintptr_t)bytes, 0, 0, 0);
	say_result(r);
	if (r != 0) {
		if (has(PART_HOLES))
			say(" untouched %d", bytes[0] == 0xee);
		return;
	}
	say(" guard %x", bytes[pages]);
	n = regions(now, REGIONS);
	for (uint64_t i = 0; i < pages; i++) {
		while (at < n && now[at].end <= a + i * PAGE)
			at++;
		if (at < n && now[at].anon)
			sure |= (uint64_t)(bytes[i] & 1) << (i % 64);
		else
			some |= (uint64_t)(bytes[i] & 1) << (i % 64);
		if (i % 64 == 63 || i == pages - 1) {
			if (sure)
				say(" %lx:%lx", i / 64, sure);
			atmost_bits(some);
			sure = some = 0;
		}
	}
}

void step_mincore(void)
{
	uint64_t a, len;

	some_range(&a, &len);
	say("mincore %s %#lx", where(a), len);
	if ((a & (PAGE - 1)) || len == 0)
		say_result(call(SYS_mincore, a, len, (uintptr_t)file, 0, 0, 0));
	else
		in_core(a, (len + PAGE - 1) / PAGE);
}

static uint64_t field(const char *block, const char *key)
{
	const char *p = strstr(block, key);

	return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/* The letters of VmFlags that speak of what a program asked for. */
static void say_flags(const char *block)
{
	static const char *const known =
		"rd wr ex sh mr mw me ms gd lo io sr rr dc de ac nr ht dd sd wf hg nh mg gu";
	const char *p = strstr(block, "VmFlags: ");

	say(" flags");
	for (p = p ? p + 9 : ""; p[0] && p[0] != '\n'; p += 3) {
		char word[3] = {p[0], p[1], '\0'};

		if (strstr(known, word) && strcmp(word, "sd") && strcmp(word, "me"))
			say(" %s", word);
	}
}

/* Rss and its like of every region. */
static void sizes(void)
{
	static char blocks[sizeof file];
	struct region r;
	char *next;

	if (has(PART_LIMIT))
		return; /* regions are not comparable: see join() */
	memcpy(blocks, proc_text("smaps"), sizeof file);
	for (char *block = blocks; *block; block = next) {
		char *end = strchr(block, '\n');
		char *flags = strstr(block, "VmFlags:");

		next = flags ? strchr(flags, '\n') : NULL;
		if (!end || !next)
			break;
		*next++ = '\0';
		*end = '\0';
		if (!parse(block, &r))
			continue;
		end++;
		say("\n  %s size %lu anon %lu swap %lu", where(r.start), field(end, "Size:"),
			field(end, "Anonymous:"), field(end, "Swap:"));
		if (r.anon)
			say(" rss %lu locked %lu", field(end, "Rss:"), field(end, "Locked:"));
		if (has(PART_FLAGS))
			say_flags(end);
		if (has(PART_FLAGS) && r.anon)
			say(" pss %lu dirty %lu", field(end, "Pss:"),
				field(end, "Private_Dirty:") + field(end, "Shared_Dirty:"));
		if (!r.anon)
			atmost_count(field(end, "Rss:"));
	}
}

void step_smaps(void)
{
	say("smaps");
	sizes();
}

/* The first word of a page and a hash of all; or the signal. */
static void contents_of(uint64_t page, uint64_t *h)
{
	uint64_t words[PAGE / 8];

	for (unsigned i = 0; i < PAGE / 8; i++)
		if (!peek(page + i * 8, words + i)) {
			say("\n  %s", where(page));
			say_signal();
			*h = hash(*h, where(page), strlen(where(page)));
			return;
		}
	*h = hash(*h, words, sizeof words);
	say("\n  %s %lx %lx", where(page), words[0], hash(HASH, words, sizeof words) & 0xffffff);
}

/* Every mapped page in the places above, stacks' neighbours too. */
static void contents(void)
{
	static struct region now[REGIONS];
	unsigned n = regions(now, REGIONS);
	uint64_t h = HASH;

	for (unsigned i = 0; i < n; i++)
		for (uint64_t a = now[i].start; a < now[i].end && !now[i].stack; a += PAGE) {
			if (now[i].end - now[i].start > 512 * PAGE && a == now[i].start + 64 * PAGE)
				a = now[i].end - 64 * PAGE;
			contents_of(a, &h);
		}
	say("\n  all %lx", h);
}

void step_contents(void)
{
	say("contents");
	contents();
}

void look_at_end(void)
{
	say("end:");
	if (has(PART_SMAPS))
		sizes();
	say("\n  mincore");
	for (uint64_t p = HOT; p < HOT + HOT_PAGES; p++)
		if (whole(ARENA + p * PAGE, ARENA + (p + 1) * PAGE)) {
			say("\n  %s", where(ARENA + p * PAGE));
			in_core(ARENA + p * PAGE, 1);
		}
	contents();
	say_files();
}
