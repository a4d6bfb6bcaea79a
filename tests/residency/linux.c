/* SPDX-License-Identifier: MIT */
/*
 * tests/residency/linux.c: looks at the same program on Linux: stopped by ptrace at its announcement, seen through
 * /proc/PID/smaps (regions), pagemap (pages), mem (bytes) and status.
 *
 * Sources: proc(5); Linux Documentation/admin-guide/mm/pagemap.rst: bit 63 present, bit 62 in swap, bit 61 a page of a
 * file or of shared memory. Whether a present private page is the page of zeros it does not say.
 */
#include "look.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_FILE ((uint64_t)1 << 61)
#define VSYSCALL 0xffffffffff600000 /* not in pagemap: an address of the kernel */

static void become(const char *program, const char *file)
{
	const char *const argv[] = {program, file, NULL};
	struct rlimit limit;

	getrlimit(RLIMIT_STACK, &limit);
	limit.rlim_cur = LOOK_STACK_LIMIT;
	if (setrlimit(RLIMIT_STACK, &limit) != 0 || personality(ADDR_NO_RANDOMIZE) == -1 ||
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0 || /* single pages, as on Pagoda */
		ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(126);
	execve(program, (char *const *)argv, (char *const *)look_environment);
	_exit(127);
}

/* Lets the child go on to its next stop at a system call; false if it ended. */
static bool next_stop(pid_t child, int *status)
{
	if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0)
		return false;
	return waitpid(child, status, 0) == child && WIFSTOPPED(*status);
}

static int open_of(pid_t child, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)child, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static FILE *file_of(pid_t child, const char *name)
{
	int fd = open_of(child, name);

	return fd < 0 ? NULL : fdopen(fd, "r");
}

static void see_regions(struct look *l, pid_t child)
{
	FILE *f = file_of(child, "smaps");
	struct look_region *r = NULL;
	char line[1024];

	while (f && fgets(line, sizeof line, f)) {
		uint64_t start, end, offset, kb;
		char rights[5];
		int at = 0;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &start, &end,
			    rights, &offset, &at) == 4) {
			r = look_add_region(l);
			r->start = start;
			r->end = end;
			r->offset = offset;
			memcpy(r->rights, rights, sizeof rights);
			line[strcspn(line, "\n")] = '\0';
			snprintf(r->name, sizeof r->name, "%s", at ? line + at : "");
		} else if (r && sscanf(line, "Rss: %" SCNu64 " kB", &kb) == 1) {
			r->resident = kb * 1024 / LOOK_PAGE;
		}
	}
	if (!r)
		look_trouble(l, "no smaps");
	if (f)
		fclose(f);
}

static void see_pages(struct look *l, pid_t child)
{
	int fd = open_of(child, "pagemap");

	if (fd < 0)
		look_trouble(l, "no pagemap: %s", strerror(errno));
	for (size_t i = 0; fd >= 0 && i < l->region_count; i++) {
		const struct look_region *r = &l->regions[i];

		for (uint64_t a = r->start; r->start < VSYSCALL && a < r->end; a += LOOK_PAGE) {
			uint64_t e;

			if (pread(fd, &e, sizeof e, (off_t)(a / LOOK_PAGE * sizeof e)) !=
				sizeof e) {
				look_trouble(l, "pagemap of %" PRIx64 ": %s", a, strerror(errno));
				break;
			}
			if (!(e & PAGEMAP_PRESENT))
				continue;
			struct look_page *p = look_add_page(l);
			p->address = a;
			p->frame = e & PAGEMAP_FILE ? LOOK_CACHE : LOOK_PRIVATE;
		}
	}
	if (fd >= 0)
		close(fd);
}

/* After the regions and pages: reading may bring pages in. */
static void see_places(struct look *l, pid_t child, uint64_t address, uint64_t count)
{
	int fd = open_of(child, "mem");
	size_t bytes = count * sizeof *l->places;

	if (fd < 0 || count > PLACES_MAX ||
		pread(fd, l->places, bytes, (off_t)address) != (ssize_t)bytes) {
		look_trouble(l, "no table of places");
		count = 0;
	}
	l->place_count = count;
	for (size_t i = 0; i < count; i++) {
		struct look_page *p = look_at(l, l->places[i].address);

		if (p)
			p->has_bytes = pread(fd, p->bytes, LOOK_PAGE, (off_t)p->address) ==
				       (ssize_t)LOOK_PAGE;
	}
	if (fd >= 0)
		close(fd);
}

/*
 * Takes AT_SYSINFO_EHDR out of the auxiliary vector of a program that has just been loaded (its type becomes AT_IGNORE), so
 * that its C library looks for no vDSO, as it does on Pagoda: looking reads constants that nothing else reads.
 */
static bool hide_vdso(pid_t child)
{
	struct user_regs_struct regs;
	uint64_t at, word;
	int ends = 0; /* of argv, then of envp */

	if (ptrace(PTRACE_GETREGS, child, NULL, &regs) != 0)
		return false;
	for (at = regs.rsp + 8; ends < 2; at += 8) {
		errno = 0;
		word = (uint64_t)ptrace(PTRACE_PEEKDATA, child, (void *)at, NULL);
		if (errno != 0)
			return false;
		ends += word == 0;
	}
	for (;; at += 16) {
		errno = 0;
		word = (uint64_t)ptrace(PTRACE_PEEKDATA, child, (void *)at, NULL);
		if (errno != 0)
			return false;
		if (word == AT_NULL)
			return true; /* there was none */
		if (word == AT_SYSINFO_EHDR && ptrace(PTRACE_POKEDATA, child, (void *)at,
						       (void *)(uint64_t)AT_IGNORE) != 0)
			return false;
	}
}

static void see_size(struct look *l, pid_t child)
{
	FILE *f = file_of(child, "status");
	char line[256];
	uint64_t kb;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmSize: %" SCNu64 " kB", &kb) == 1)
			l->vsz_bytes = kb * 1024;
	if (f)
		fclose(f);
}

void look_linux(const char *program, const char *file, struct look *out)
{
	struct user_regs_struct regs;
	int status = 0;
	pid_t child;

	memset(out, 0, sizeof *out);
	child = fork();
	if (child == 0)
		become(program, file);
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
		look_trouble(out, "%s cannot be traced", program);
		return;
	}
	if (!hide_vdso(child))
		look_trouble(out, "the auxiliary vector of %s cannot be changed", program);
	while (out->looks == 0 && next_stop(child, &status)) {
		if (ptrace(PTRACE_GETREGS, child, NULL, &regs) != 0)
			break;
		if (regs.orig_rax != PLACES_CALL)
			continue;
		out->looks++;
		see_regions(out, child);
		see_pages(out, child);
		see_size(out, child);
		see_places(out, child, regs.rdi, regs.rsi);
	}
	if (out->looks != 1)
		look_trouble(out, "%s did not announce itself", program);
	else if (ptrace(PTRACE_CONT, child, NULL, NULL) == 0 &&
		 waitpid(child, &status, 0) == child && WIFEXITED(status)) {
		out->status = WEXITSTATUS(status);
		return;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	look_trouble(out, "%s did not end well", program);
}
