/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/mapping.c: options, sequences, and the processes of a sequence.
 *
 *   mapping [--seed N] [--count N] [--length N] [--parts HEX] [--only N,N,...] [--dir DIRECTORY] [--brief]
 *
 * Runs the sequences of seeds N, N + 1, ...; each is `length` steps. Without --brief it says all; with it one line a sequence: the seed, a hash of
 * what is said, and the figures that may be more on Linux (mapping.h). --only leaves out all steps but those.
 *
 * The first process leads: it chooses who makes a step, sends the step's number through a pipe and waits for the text,
 * so that processes act one after the other. A step is a pure function of the seed, its number and what is
 * mapped. After a sequence all is put back: places unmapped, the break, limits and locks.
 *
 * Exit status 0, or 3 if something went wrong that is no result of a step.
 */
#include "mapping.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct world w = {.shm = -1};

static struct {
	uint64_t seed, count, length;
	const char *directory;
	bool brief;
	unsigned char *only; /* by step; NULL: all */
} options = {.seed = 1, .count = 1, .length = 40, .directory = "."};

#define STEPS_MAX 4096
#define FIRST 10u
static unsigned char only[STEPS_MAX];
static struct rlimit limits[3];
static const int limited[3] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK};

static void fail(const char *what)
{
	dprintf(2, "mapping: %s, seed %lu step %u: %s\n", what, w.seed, w.step, strerror(errno));
	_exit(3);
}

/* ---- steps */

static const struct kind {
	void (*run)(void);
	unsigned part, weight;
} kinds[] = {
	{step_map, PART_BASE, 22},
	{step_unmap, PART_BASE, 6},
	{step_protect, PART_BASE, 10},
	{step_remap, PART_BASE, 6},
	{step_advise, PART_BASE, 7},
	{step_sync, PART_BASE, 2},
	{step_mincore, PART_BASE, 4},
	{step_touch, PART_BASE, 24},
	{step_string, PART_BASE, 5},
	{step_fetch, PART_FETCH, 4},
	{step_move, PART_MOVE, 6},
	{step_guard, PART_GUARD, 4},
	{step_lock, PART_LOCK, 6},
	{step_brk, PART_BRK, 5},
	{step_limit, PART_LIMIT, 4},
	{step_edge, PART_EDGE, 4},
	{step_read, PART_SYSCALL, 3},
	{step_write, PART_SYSCALL, 3},
	{step_vector, PART_SYSCALL, 2},
	{step_other, PART_SYSCALL, 3},
	{step_vm, PART_VM, 3},
	{step_truncate, PART_TRUNCATE, 5},
	{step_hole, PART_HOLE, 4},
	{step_file_write, PART_FILE, 3},
	{step_file_read, PART_FILE, 2},
	{step_seal, PART_SEAL, 1},
	{step_shm, PART_SHM, 6},
	{step_smaps, PART_SMAPS, 3},
	{step_contents, PART_SWEEP, 2},
};

#define KINDS (sizeof kinds / sizeof *kinds)

static void run_step(void)
{
	uint64_t sum = 0, at;
	unsigned i;

	draw_start(w.seed, w.step + 1);
	for (i = 0; i < KINDS; i++)
		sum += has(kinds[i].part) ? kinds[i].weight : 0;
	at = below(sum);
	for (i = 0;; i++) {
		uint64_t n = has(kinds[i].part) ? kinds[i].weight : 0;

		if (at < n)
			break;
		at -= n;
	}
	if (w.step < FIRST && chance(50))
		i = 0; /* else most of what follows would find nothing mapped */
	kinds[i].run();
	say_maps();
}

/* ---- processes */

enum order { ORDER_STEP, ORDER_FORK, ORDER_END, ORDER_EXIT, ORDER_WAIT };

struct command {
	enum order order;
	unsigned step, process; /* FORK: whose number the child has */
};

static struct {
	bool alive;
	unsigned parent;
	int command[2], reply[2];
	pid_t pid; /* known to its parent */
} family[PROCESSES];

static void obey(const struct command *c);

static void get(int fd, void *to, size_t n)
{
	struct pollfd p = {fd, POLLIN, 0};

	while (n) {
		ssize_t got;

		if (w.process == 0 && poll(&p, 1, 600000) == 0)
			fail("a process does not answer");
		got = read(fd, to, n);
		if (got <= 0 && errno != EINTR)
			fail("pipe");
		to = (char *)to + got;
		n -= (size_t)got;
	}
}

static void put(int fd, const void *from, size_t n)
{
	while (n) {
		ssize_t done = write(fd, from, n);

		if (done <= 0 && errno != EINTR)
			fail("pipe");
		from = (const char *)from + done;
		n -= (size_t)done;
	}
}

__attribute__((noreturn)) static void serve(unsigned number)
{
	struct command c;
	const char *text;
	size_t bytes;

	w.process = number;
	for (;;) {
		get(family[number].command[0], &c, sizeof c);
		w.step = c.step;
		out_clear();
		obey(&c);
		text = out_text(&bytes);
		put(family[number].reply[1], &bytes, sizeof bytes);
		put(family[number].reply[1], text, bytes);
		if (c.order == ORDER_EXIT) {
			shm_end();
			_exit(0);
		}
	}
}

static void obey(const struct command *c)
{
	int status;

	switch (c->order) {
	case ORDER_STEP:
		run_step();
		break;
	case ORDER_FORK:
		family[c->process].pid = fork();
		if (family[c->process].pid == 0)
			serve(c->process);
		say("fork %u", c->process);
		if (family[c->process].pid < 0)
			say_result(-errno);
		break;
	case ORDER_END:
		look_at_end();
		break;
	case ORDER_EXIT:
		say("exit");
		break;
	default:
		say("wait %u", c->process);
		status = 0;
		if (waitpid(family[c->process].pid, &status, 0) != family[c->process].pid)
			say_result(-errno);
		say(" status %#x", status);
	}
}

/* Process p does it; its text is here afterwards. False: it did not say success. */
static bool order(unsigned p, enum order o, unsigned process)
{
	static char text[1 << 20];
	struct command c = {o, w.step, process};
	size_t bytes;

	out_clear();
	if (p == 0) {
		obey(&c);
	} else {
		put(family[p].command[1], &c, sizeof c);
		get(family[p].reply[0], &bytes, sizeof bytes);
		get(family[p].reply[0], text, bytes);
		say_raw(text, bytes);
	}
	return true;
}

/* ---- what is said */

static char gathered[1 << 20];
static size_t gathered_bytes;
static uint64_t gathered_hash;

static void tell(bool head)
{
	size_t bytes;
	const char *text = out_text(&bytes), *end = text + bytes, *line;

	if (!options.brief) {
		if (head)
			dprintf(1, "%u.%u ", w.step, w.process);
		put(1, text, bytes);
		put(1, "\n", 1);
		return;
	}
	for (; text < end; text = line + 1) {
		line = memchr(text, '\n', (size_t)(end - text));
		if (!line)
			line = end;
		if (*text == '~') {
			if (gathered_bytes + (size_t)(line - text) + 2 > sizeof gathered)
				fail("too many figures");
			gathered[gathered_bytes++] = ' ';
			gathered[gathered_bytes++] = text[1];
			memcpy(gathered + gathered_bytes, text + 3, (size_t)(line - text) - 3);
			gathered_bytes += (size_t)(line - text) - 3;
		} else {
			gathered_hash = hash(gathered_hash, text, (size_t)(line - text));
		}
	}
}

/* ---- sequences */

static void begin(uint64_t seed)
{
	w.seed = seed;
	w.step = 0;
	*w.stale = false;
	draw_start(seed, 0);
	for (int i = 0; i < CUTS; i++)
		w.cut[i] = HOT + below(HOT_PAGES);
	memset(w.slot, 0, sizeof w.slot);
	forget_maps();
	if (!files_open(options.directory))
		fail("files");
	w.vsz = vm_size("VmSize:");
	w.data = vm_size("VmData:");
	gathered_bytes = 0;
	gathered_hash = HASH;
}

static void unmap_all(void)
{
	static struct region r[600];
	unsigned n;

	for (int i = 0; i < 3; i++)
		setrlimit(limited[i], limits + i);
	munlockall();
	munmap((void *)ARENA, ARENA_PAGES * PAGE);
	n = regions(r, 600);
	for (unsigned i = 0; i < n; i++)
		if (!r[i].heap)
			munmap((void *)r[i].start, r[i].end - r[i].start);
	syscall(SYS_brk, w.brk);
	if (regions(r, 600) != 0)
		fail("something is left");
}

static unsigned one_without_children(unsigned p)
{
	for (unsigned i = 1; i < PROCESSES; i++)
		if (family[i].alive && family[i].parent == p)
			return one_without_children(i);
	return p;
}

static void end_process(unsigned p)
{
	unsigned who = one_without_children(p);

	order(who, ORDER_EXIT, 0);
	tell(true);
	family[who].alive = false;
	order(family[who].parent, ORDER_WAIT, who);
	tell(true);
}

/* A step of a sequence with processes: perhaps a fork or an end instead. */
static void step(void)
{
	unsigned p, kind, fresh = 0;

	draw_start(~w.seed, w.step + 1);
	p = has(PART_FORK) ? (unsigned)below(PROCESSES) : 0;
	kind = (unsigned)below(100);
	if (!family[p].alive)
		p = 0;
	for (unsigned i = 1; i < PROCESSES; i++)
		if (!family[i].alive)
			fresh = i;
	if (has(PART_FORK) && kind < 10 && fresh) {
		order(p, ORDER_FORK, fresh);
		family[fresh].alive = true;
		family[fresh].parent = p;
	} else if (p && kind < 14) {
		end_process(p);
		return;
	} else {
		order(p, ORDER_STEP, 0);
	}
	tell(true);
}

static void sequence(uint64_t seed)
{
	begin(seed);
	if (!options.brief)
		dprintf(1, "sequence %lu\n", seed);
	for (w.step = 0; w.step < options.length; w.step++)
		if (!options.only || options.only[w.step])
			step();
	for (unsigned p = 0; p < PROCESSES; p++)
		if (family[p].alive) {
			order(p, ORDER_END, 0);
			tell(true);
		}
	for (unsigned p = PROCESSES - 1; p > 0; p--)
		while (family[p].alive)
			end_process(p);
	if (options.brief) {
		dprintf(1, "%lu %016lx", seed, gathered_hash);
		put(1, gathered, gathered_bytes);
		put(1, "\n", 1);
	}
	shm_end();
	files_close();
	unmap_all();
}

/* ---- options */

static void read_only_list(const char *list)
{
	options.only = only;
	while (*list) {
		char *end;
		uint64_t n = strtoul(list, &end, 10);

		if (end == list || n >= STEPS_MAX)
			fail("--only");
		only[n] = 1;
		list = *end ? end + 1 : end;
	}
}

static void read_options(char **argv)
{
	w.parts = PART_BASE;
	for (argv++; *argv; argv++) {
		const char *value = argv[0][0] == '-' && argv[1] ? argv[1] : "";

		if (!strcmp(*argv, "--brief")) {
			options.brief = true;
			continue;
		}
		if (!strcmp(*argv, "--seed"))
			options.seed = strtoul(value, NULL, 10);
		else if (!strcmp(*argv, "--count"))
			options.count = strtoul(value, NULL, 10);
		else if (!strcmp(*argv, "--length"))
			options.length = strtoul(value, NULL, 10);
		else if (!strcmp(*argv, "--parts"))
			w.parts = (unsigned)strtoul(value, NULL, 16);
		else if (!strcmp(*argv, "--dir"))
			options.directory = value;
		else if (!strcmp(*argv, "--only"))
			read_only_list(value);
		else
			fail(*argv);
		argv++;
	}
	if (options.length > STEPS_MAX)
		fail("--length");
}

int main(int argc, char **argv)
{
	void *first;

	(void)argc;
	read_options(argv);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* single pages */
	access_start();
	for (int i = 0; i < 3; i++)
		getrlimit(limited[i], limits + i);
	w.brk = ((uint64_t)syscall(SYS_brk, 0) + PAGE - 1) & ~(PAGE - 1);
	if ((uint64_t)syscall(SYS_brk, w.brk) != w.brk)
		fail("brk");
	w.stale = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w.stale == MAP_FAILED)
		fail("mmap");
	/* What lies above belongs to the system and changes; shared, so that nothing merges with it. */
	first = mmap(NULL, WALL, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (first == MAP_FAILED)
		fail("mmap");
	w.top = (uint64_t)first;
	family[0].alive = true;
	for (unsigned i = 1; i < PROCESSES; i++)
		if (pipe(family[i].command) != 0 || pipe(family[i].reply) != 0)
			fail("pipe");
	for (uint64_t i = 0; i < options.count; i++)
		sequence(options.seed + i);
	return 0;
}
