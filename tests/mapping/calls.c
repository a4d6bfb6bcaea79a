/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/calls.c: the steps that change mappings. Each says what it asks for and what it got.
 *
 * Called by mapping.c. Never asks for what would take this program's own memory away: fixed addresses are in the
 * arena or outside of what any program can have.
 */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANY_PROT 8

/* No PROT_EXEC without PROT_READ: processors with protection keys make it unreadable, others do not. */
static int some_prot(void)
{
	static const int usual[ANY_PROT] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_WRITE, PROT_READ, PROT_READ, PROT_READ | PROT_EXEC, PROT_NONE,
		PROT_READ | PROT_WRITE | PROT_EXEC};

	if (chance(4))
		return PROT_WRITE;
	return usual[below(ANY_PROT)];
}

static void keep(int64_t r)
{
	if (r > 0 || r < -4095)
		w.slot[below(SLOTS)] = (uint64_t)r;
}

/* The file behind a mapping: its descriptor or -1 for none; often an offset that continues the neighbours. */
static int some_file(uint64_t a, uint64_t *offset, int *number)
{
	int fd;

	*number = (int)below(FILES);
	*offset = below(FILE_PAGES) * PAGE;
	if (a >= ARENA + HOT * PAGE && a < ARENA + (HOT + FILE_PAGES) * PAGE && chance(60))
		*offset = a / PAGE * PAGE - ARENA - HOT * PAGE;
	fd = w.fd[*number];
	if (has(PART_HOLES) && chance(6)) { /* mprotect may fail in the middle */
		fd = w.fd_read_only;
		*number = 8;
	} else if (has(PART_ZERO) && chance(5)) {
		fd = w.zero;
		*number = 9;
	}
	return fd;
}

void step_map(void)
{
	int flags = chance(35) ? MAP_SHARED : MAP_PRIVATE, prot = some_prot(), fd = -1, number = -1;
	uint64_t a, len, offset = 0;
	int64_t r;

	some_range(&a, &len);
	if (has(PART_FILE) && chance(45))
		fd = some_file(a, &offset, &number);
	else
		flags |= MAP_ANONYMOUS;
	if (has(PART_EDGE) && (flags & MAP_SHARED) && chance(8))
		flags |= MAP_SHARED_VALIDATE;
	flags |= chance(8) ? MAP_NORESERVE : 0;
	if (has(PART_HINT) && chance(8))
		flags |= MAP_STACK; /* says no huge pages */
	flags |= chance(8) ? MAP_POPULATE : 0;
	flags |= chance(4) ? MAP_NONBLOCK : 0;
	if (has(PART_LOCK) && chance(5))
		flags |= MAP_LOCKED;
	if (has(PART_GROW) && chance(25) && (has(PART_EDGE) || (flags & MAP_PRIVATE && fd < 0)))
		flags |= MAP_GROWSDOWN;
	if (!has(PART_PLACE) || chance(75)) {
		flags |= chance(12) ? MAP_FIXED_NOREPLACE : MAP_FIXED;
		if (a < ARENA || a >= ARENA + ARENA_PAGES * PAGE)
			a = ARENA + (HOT + below(HOT_PAGES)) * PAGE;
	} else if (chance(60)) {
		a = 0;
		flags |= chance(15) ? MAP_32BIT : 0;
	}
	say("mmap %s %#lx prot %d flags %#x", a ? where(a) : "0", len, prot, flags);
	if (number >= 0)
		say(" file%d+%lx", number, offset / PAGE);
	r = call(SYS_mmap, a, len, (uint64_t)prot, (uint64_t)flags, (uint64_t)(int64_t)fd, offset);
	say_address_result(r);
	if (!(flags & MAP_FIXED))
		keep(r);
	else if (r == -ENOMEM && has(PART_LIMIT)) /* Linux may have cut regions before it refused */
		say_result(call(SYS_munmap, a, len, 0, 0, 0, 0));
}

void step_unmap(void)
{
	uint64_t a, len;

	some_range(&a, &len);
	say("munmap %s %#lx", where(a), len);
	say_result(call(SYS_munmap, a, len, 0, 0, 0, 0));
}

/* False: the range has a hole, and such ranges are not tried. */
static bool may_try(uint64_t a, uint64_t len)
{
	if (has(PART_HOLES))
		return true;
	len = (len + PAGE - 1) & ~(PAGE - 1);
	if (whole(a & ~(PAGE - 1), (a & ~(PAGE - 1)) + len))
		return true;
	say(" hole");
	return false;
}

void step_protect(void)
{
	int prot = some_prot();
	uint64_t a, len;

	some_range(&a, &len);
	if (has(PART_GROW) && chance(15))
		prot |= PROT_GROWSDOWN;
	say("mprotect %s %#lx %#x", where(a), len, prot);
	if (may_try(a, len))
		say_result(call(SYS_mprotect, a, len, (uint64_t)prot, 0, 0, 0));
}

void step_remap(void)
{
	uint64_t a, len, to = chance(4) ? some_length() : (1 + below(16)) * PAGE;
	bool move = has(PART_PLACE) && chance(50);
	int64_t r;

	some_range(&a, &len);
	say("mremap %s %#lx to %#lx%s", where(a), len, to, move ? " may move" : "");
	r = call(SYS_mremap, a, len, to, move ? MREMAP_MAYMOVE : 0, 0, 0);
	say_address_result(r);
	if (move)
		keep(r);
}

/* The forms that say where to, leave something behind, or copy a shared mapping. */
void step_move(void)
{
	uint64_t a, len, to, new_len, flags = MREMAP_MAYMOVE;
	int64_t r;

	some_range(&a, &len);
	to = some_page();
	new_len = chance(50) ? len : (1 + below(12)) * PAGE;
	if (chance(70) || !has(PART_PLACE))
		flags |= MREMAP_FIXED;
	if (chance(30)) {
		flags |= MREMAP_DONTUNMAP;
		if (chance(85))
			new_len = len;
	} else if (chance(10)) {
		len = 0;
	}
	if (chance(2))
		flags &= ~(uint64_t)MREMAP_MAYMOVE;
	if (chance(2))
		to += 1 + below(PAGE - 1);
	say("mremap %s %#lx to %s %#lx flags %lx", where(a), len,
		flags & MREMAP_FIXED ? where(to) : "any", new_len, flags);
	if (has(PART_LIMIT) &&
		(flags & MREMAP_FIXED)) { /* refused, Linux has unmapped the place by then */
		say(" not with limits");
		return;
	}
	if (len == 0 && (flags & MREMAP_FIXED) && a >= to && a < to + new_len)
		return; /* Linux takes away what it is to copy, and then finds nothing */
	r = call(SYS_mremap, a, len, new_len, flags, to, 0);
	say_address_result(r);
	if (!(flags & MREMAP_FIXED))
		keep(r);
}

static const struct {
	int advice;
	unsigned part;
	unsigned weight;
	bool stale; /* what is in memory of files afterwards is the system's choice */
} advices[] = {
	{MADV_DONTNEED, PART_BASE, 16, false},
	{MADV_NORMAL, PART_HINT, 1, false},
	{MADV_RANDOM, PART_HINT, 1, false},
	{MADV_SEQUENTIAL, PART_HINT, 1, false},
	{MADV_WILLNEED, PART_ADVISE, 2, false},
	{MADV_FREE, PART_ADVISE, 3, false},
	{MADV_REMOVE, PART_REMOVE, 6, false},
	{MADV_DONTFORK, PART_HINT, 2, false},
	{MADV_DOFORK, PART_HINT, 1, false},
	{MADV_DONTDUMP, PART_HINT, 1, false},
	{MADV_DODUMP, PART_HINT, 1, false},
	{MADV_WIPEONFORK, PART_HINT, 2, false},
	{MADV_KEEPONFORK, PART_HINT, 1, false},
	{MADV_HUGEPAGE, PART_HINT, 1, false},
	{MADV_NOHUGEPAGE, PART_HINT, 1, false},
	{MADV_COLD, PART_ADVISE, 2, false},
	{MADV_PAGEOUT, PART_ADVISE, 1, true},
	{MADV_POPULATE_READ, PART_ADVISE, 5, false},
	{MADV_POPULATE_WRITE, PART_ADVISE, 5, false},
	{24 /* MADV_DONTNEED_LOCKED */, PART_LOCK, 3, false},
	{-1, PART_EDGE, 1, false},
	{99, PART_EDGE, 1, false},
};

void step_advise(void)
{
	uint64_t a, len, sum = 0;
	unsigned i;

	for (i = 0; i < sizeof advices / sizeof *advices; i++)
		sum += has(advices[i].part) ? advices[i].weight : 0;
	sum = below(sum);
	for (i = 0;; i++) {
		uint64_t n = has(advices[i].part) ? advices[i].weight : 0;

		if (sum < n)
			break;
		sum -= n;
	}
	some_range(&a, &len);
	say("madvise %s %#lx %d", where(a), len, advices[i].advice);
	if (!may_try(a, len))
		return;
	*w.stale |= advices[i].stale;
	say_result(call(SYS_madvise, a, len, (uint64_t)(int64_t)advices[i].advice, 0, 0, 0));
}

void step_guard(void)
{
	uint64_t a, len;
	int advice = chance(60) ? 102 /* MADV_GUARD_INSTALL */ : 103 /* MADV_GUARD_REMOVE */;

	some_range(&a, &len);
	say("madvise %s %#lx %d", where(a), len, advice);
	if (may_try(a, len))
		say_result(call(SYS_madvise, a, len, (uint64_t)advice, 0, 0, 0));
}

void step_sync(void)
{
	static const int flags[] = {MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_INVALIDATE, 0};
	int f = flags[below(sizeof flags / sizeof *flags)];
	uint64_t a, len;

	some_range(&a, &len);
	say("msync %s %#lx %d", where(a), len, f);
	if (may_try(a, len))
		say_result(call(SYS_msync, a, len, (uint64_t)f, 0, 0, 0));
}

void step_lock(void)
{
	uint64_t a, len, kind = below(100), flags = 1 + below(7);

	some_range(&a, &len);
	if (kind < 35)
		say("mlock %s %#lx", where(a), len);
	else if (kind < 55)
		say("mlock2 %s %#lx 1", where(a), len);
	else if (kind < 85)
		say("munlock %s %#lx", where(a), len);
	else if (kind < 90)
		say("mlockall %lu", flags);
	else
		say("munlockall");
	if (kind < 85 && !may_try(a, len))
		return;
	if (kind < 35)
		say_result(call(SYS_mlock, a, len, 0, 0, 0, 0));
	else if (kind < 55)
		say_result(call(SYS_mlock2, a, len, 1, 0, 0, 0));
	else if (kind < 85)
		say_result(call(SYS_munlock, a, len, 0, 0, 0, 0));
	else if (kind < 90)
		say_result(call(SYS_mlockall, flags, 0, 0, 0, 0, 0));
	else
		say_result(call(SYS_munlockall, 0, 0, 0, 0, 0, 0));
}

void step_brk(void)
{
	uint64_t to = w.brk + below(24 * PAGE);

	if (chance(30))
		to = w.brk + below(24) * PAGE;
	if (chance(5))
		to = below(3); /* below where it began */
	if (has(PART_EDGE) && chance(5))
		to = edge_address();
	say("brk %s", where(to));
	to = (uint64_t)call(SYS_brk, to, 0, 0, 0, 0, 0);
	say(" =%s", where(to));
}

void step_limit(void)
{
	static const char *const name[] = {"AS", "DATA", "STACK"};
	static const int resource[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK};
	unsigned kind = (unsigned)below(has(PART_GROW) ? 3 : 2);
	uint64_t pages = below(60), now = kind == 0 ? w.vsz : kind == 1 ? w.data : 0;
	struct rlimit limit;
	bool none = chance(25);

	getrlimit(resource[kind], &limit);
	limit.rlim_cur =
		none ? limit.rlim_max : now + pages * PAGE + (chance(20) ? below(PAGE) : 0);
	if (kind == 2 && !none)
		limit.rlim_cur = chance(50) ? below(400) * PAGE : 16 * PAGE + below(100);
	say("setrlimit %s %#lx", name[kind], none ? 0 : limit.rlim_cur - now);
	say_result(call(SYS_setrlimit, (uint64_t)resource[kind], (uintptr_t)&limit, 0, 0, 0, 0));
}

/* Arguments that must be refused, and the order in which they are looked at. */
void step_edge(void)
{
	uint64_t a, len, kind = below(12), edge = edge_address(), much = edge_length();
	static unsigned char bytes[64];

	some_range(&a, &len);
	if (a < ARENA || a >= ARENA + ARENA_PAGES * PAGE)
		a = ARENA + HOT * PAGE;
	if (chance(50) && edge >= 0x7ffffffff000)
		a = edge;
	else if (much != 0 && much < 0 - PAGE)
		len = much;
	say("edge%lu %s %#lx", kind, where(a), len);
	switch (kind) {
	case 0:
		say_result(call(SYS_munmap, a, len, 0, 0, 0, 0));
		break;
	case 1:
		say_result(call(SYS_mprotect, a, chance(50) ? much : len, PROT_READ, 0, 0, 0));
		break;
	case 2:
		say_result(call(SYS_mprotect, a, len, chance(50) ? 0x40 : 0x3000001, 0, 0, 0));
		break;
	case 3:
		say_result(call(
			SYS_mmap, a, chance(50) ? 0 : len, 3, MAP_FIXED | MAP_ANONYMOUS, -1, 0));
		break;
	case 4:
		say_result(call(SYS_mmap, a + 1 + below(100), len, 3,
			MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE, -1, 0));
		break;
	case 5:
		say_result(call(SYS_mmap, a, len, 3, MAP_FIXED | MAP_SHARED, 999, below(2) * 77));
		break;
	case 6:
		say_address_result(call(SYS_mmap, a, len, 1, MAP_FIXED | MAP_PRIVATE,
			(uint64_t)w.fd[0], chance(50) ? 77 : 0ul - PAGE));
		break;
	case 7:
		say_result(call(SYS_mremap, a, len, chance(50) ? 0 : much,
			chance(30) ? 8 : below(2), a + PAGE, 0));
		break;
	case 8:
		say_result(call(SYS_madvise, a, chance(50) ? much : len, MADV_WILLNEED, 0, 0, 0));
		break;
	case 9:
		say_result(call(SYS_mincore, a, chance(50) ? len : PAGE,
			chance(50) ? edge : (uintptr_t)bytes, 0, 0, 0));
		break;
	case 10:
		say_result(call(SYS_msync, a, len, below(9), 0, 0, 0));
		break;
	default:
		say_result(call(SYS_munlock, a, chance(50) ? much : len, 0, 0, 0, 0));
	}
}
