/* SPDX-License-Identifier: MIT */
/*
 * trace/symbols.c: files to functions and lines, through elfutils.
 *
 * A byte of a file is turned into an ELF address by the program headers; libdwfl then searches the
 * symbol tables (.symtab, .dynsym, separate debug files) and the line table. Distributions strip
 * their programs, so most functions have no name; their first address is still in .eh_frame_hdr,
 * the sorted table that unwinding uses (Linux Standard Base, Core, 10.6.2). That is enough to count
 * faults by function.
 *
 * Owns: a list of files, one Dwfl each, kept until destroy; a file that cannot be read is
 * remembered as such. Its descriptors are moved out of the guest's way (pg_linux_own_fd), because
 * lines may be wanted while the guest runs. Guest processes have tables of descriptors of their own: so all that opens files
 * is done by a thread of ours, which stays in Pagoda's.
 *
 * Not here: what is counted (faults.c), how it is shown (ui/).
 */
#include "trace/symbols.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/linux.h"
#include "trace/module.h"

struct pg_symbols {
	struct pg_module *files; /* owned; most recently used first. The worker's */
	/* One question at a time: the machine lock is held by whoever asks. */
	pthread_t worker;
	pthread_mutex_t lock;
	pthread_cond_t change;
	enum { IDLE, ASKED, ANSWERED, LEAVING } state;
	void (*question)(void *arg); /* what the worker is to do */
	void *arg;                   /* borrowed */
};

static char *debuginfo_path = NULL; /* elfutils' default search path */

/* As elfutils' own, but the descriptor goes where the guest cannot see it. */
static int find_debuginfo(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
	const char *file, const char *link, GElf_Word crc, char **found)
{
	int fd = dwfl_standard_find_debuginfo(module, user, name, base, file, link, crc, found);
	if (fd < 0)
		return fd;
	int own = pg_linux_own_fd(fd);
	return own < 0 ? fd : own;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debuginfo_path,
};

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* Finds the search table of .eh_frame_hdr, in the one encoding that linkers write. */
static void find_starts(struct pg_module *f)
{
	enum { ENC_PCREL_S4 = 0x1b, ENC_U4 = 0x03, ENC_DATAREL_S4 = 0x3b, HEADER = 12 };
	size_t count, size;
	const uint8_t *raw = (const uint8_t *)elf_rawfile(f->elf, &size);

	if (!raw || elf_getphdrnum(f->elf, &count) != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr p;
		if (!gelf_getphdr(f->elf, (int)i, &p) || p.p_type != PT_GNU_EH_FRAME)
			continue;
		if (p.p_filesz < HEADER || p.p_offset > size || p.p_filesz > size - p.p_offset)
			return;
		const uint8_t *h = raw + p.p_offset;
		if (h[0] != 1 || h[1] != ENC_PCREL_S4 || h[2] != ENC_U4 || h[3] != ENC_DATAREL_S4)
			return;
		uint32_t n = load32(h + 8);
		if (n > (p.p_filesz - HEADER) / 8)
			return;
		f->hdr_address = p.p_vaddr;
		f->starts = h + HEADER;
		f->start_count = n;
		return;
	}
}

static struct pg_module *open_file(struct pg_symbols *s, const char *path)
{
	struct pg_module **link = &s->files;
	for (struct pg_module *f; (f = *link) != NULL; link = &f->next) {
		if (strcmp(f->path, path) != 0)
			continue;
		*link = f->next; /* to the front */
		f->next = s->files;
		s->files = f;
		return f;
	}

	struct pg_module *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->path = strdup(path);
	if (!f->path) {
		free(f);
		return NULL;
	}
	f->next = s->files;
	s->files = f;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return f;
	int own = pg_linux_own_fd(fd);
	Dwfl *dwfl = own >= 0 ? dwfl_begin(&callbacks) : NULL;
	if (!dwfl) {
		close(own >= 0 ? own : fd);
		return f;
	}
	dwfl_report_begin(dwfl);
	f->module = dwfl_report_offline(
		dwfl, path, path, own); /* takes the descriptor if it succeeds */
	if (!f->module)
		close(own);
	if (dwfl_report_end(dwfl, NULL, NULL) == 0 && f->module)
		f->elf = dwfl_module_getelf(f->module, &f->bias);
	if (!f->elf || gelf_getclass(f->elf) != ELFCLASS64) {
		dwfl_end(dwfl);
		return f;
	}
	f->dwfl = dwfl;
	find_starts(f);
	return f;
}

/* The ELF address of a byte of the file; false if no segment loads it. */
static bool address_of(const struct pg_module *f, uint64_t offset, uint64_t *address)
{
	size_t count;
	if (elf_getphdrnum(f->elf, &count) != 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr p;
		if (gelf_getphdr(f->elf, (int)i, &p) && p.p_type == PT_LOAD &&
			offset >= p.p_offset && offset - p.p_offset < p.p_filesz) {
			*address = p.p_vaddr + (offset - p.p_offset);
			return true;
		}
	}
	return false;
}

/* The greatest function start at or below address, by the unwind table; address itself if it knows
 * none. */
static uint64_t start_of(const struct pg_module *f, uint64_t address)
{
	uint32_t low = 0, high = f->start_count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		uint64_t start = f->hdr_address +
				 (uint64_t)(int64_t)(int32_t)load32(f->starts + 8 * (size_t)mid);
		if (start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return address;
	return f->hdr_address +
	       (uint64_t)(int64_t)(int32_t)load32(f->starts + 8 * (size_t)(low - 1));
}

/* How many of the functions found so far begin at or below address. */
static size_t span_at(const struct pg_module *f, uint64_t address)
{
	size_t low = 0, high = f->span_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (f->spans[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Keeps a function that was found, if it overlaps none that is there; `at` is span_at() of an address in it. */
static void keep_span(
	struct pg_module *f, size_t at, uint64_t start, uint64_t size, const char *name)
{
	if ((at && f->spans[at - 1].end > start) ||
		(at < f->span_count && f->spans[at].start < start + size))
		return;
	if (f->span_count == f->span_cap) {
		size_t cap = f->span_cap ? 2 * f->span_cap : 64;
		void *more = realloc(f->spans, cap * sizeof *f->spans);
		if (!more)
			return;
		f->spans = more;
		f->span_cap = cap;
	}
	memmove(f->spans + at + 1, f->spans + at, (f->span_count - at) * sizeof *f->spans);
	f->spans[at] = (struct pg_module_span){start, start + size, name};
	f->span_count++;
}

static bool find(
	struct pg_symbols *s, const char *path, uint64_t file_offset, struct pg_symbol *out)
{
	uint64_t address;

	*out = (struct pg_symbol){0};
	struct pg_module *f = open_file(s, path);
	if (!f || !f->dwfl || !address_of(f, file_offset, &address))
		return false;

	GElf_Sym symbol = {0};
	GElf_Off offset = 0;
	GElf_Word section;
	size_t at = span_at(f, address);
	const char *name;
	if (at && address < f->spans[at - 1].end) {
		name = f->spans[at - 1].name;
		offset = address - f->spans[at - 1].start;
		symbol.st_size = f->spans[at - 1].end - f->spans[at - 1].start;
	} else {
		name = dwfl_module_addrinfo(
			f->module, address + f->bias, &offset, &symbol, &section, NULL, NULL);
		if (name && name[0] && offset < symbol.st_size)
			keep_span(f, at, address - offset, symbol.st_size, name);
	}
	/* A symbol without a size is a guess that may be megabytes off: believe its neighbours less
	 * than the unwind table. */
	uint64_t start = f->starts ? start_of(f, address) : address;
	if (name && name[0] && (symbol.st_size != 0 || !f->starts || address - offset >= start)) {
		out->function = name;
		out->address = address - offset;
		out->offset = offset;
	} else {
		out->address = start;
		out->offset = address - start;
	}

	Dwfl_Line *line = dwfl_module_getsrc(f->module, address + f->bias);
	if (line)
		out->source = dwfl_lineinfo(line, NULL, &out->line, NULL, NULL, NULL);
	if (!out->source)
		out->line = 0;
	return true;
}

/* The question for names: addresses of s->wanted, and of the byte at s->file_offset. */
/* A question of pg_symbols_find() or, with wanted, of pg_symbols_lookup(). */
struct asked {
	struct pg_symbols *s;
	const char *path; /* borrowed */
	uint64_t file_offset;
	struct pg_symbol *out;
	struct pg_symbol_wanted *wanted;
	size_t count;
	uint64_t vaddr; /* answer: of file_offset */
	bool found;
};

static void find_asked(void *arg)
{
	struct asked *q = arg;

	q->found = find(q->s, q->path, q->file_offset, q->out);
}

static void find_names(void *arg)
{
	struct asked *q = arg;
	struct pg_module *f = open_file(q->s, q->path);

	if (!f || !f->dwfl || !address_of(f, q->file_offset, &q->vaddr))
		return;
	q->found = true;
	int count = dwfl_module_getsymtab(f->module);
	for (int i = 1; i < count; i++) {
		GElf_Sym symbol;
		GElf_Addr address;
		GElf_Word section;
		const char *name = dwfl_module_getsym_info(
			f->module, i, &symbol, &address, &section, NULL, NULL);
		if (!name || symbol.st_shndx == SHN_UNDEF)
			continue;
		int type = GELF_ST_TYPE(symbol.st_info);
		if (type != STT_FUNC && type != STT_OBJECT)
			continue;
		for (size_t k = 0; k < q->count; k++) {
			if (strcmp(q->wanted[k].name, name) == 0)
				q->wanted[k].address = address - f->bias;
		}
	}
}

/* --- the thread that has the descriptors ---------------------------------------------------------- */

static void *work(void *arg)
{
	struct pg_symbols *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->state != ASKED && s->state != LEAVING)
			pthread_cond_wait(&s->change, &s->lock);
		if (s->state == LEAVING)
			break;
		s->question(s->arg);
		s->state = ANSWERED;
		pthread_cond_broadcast(&s->change);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int pg_symbols_create(struct pg_symbols **out)
{
	struct pg_symbols *s = calloc(1, sizeof *s);
	sigset_t all, before;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->change, NULL);
	/* no signal is this thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&s->worker, NULL, work, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		free(s);
		return -error;
	}
	*out = s;
	return 0;
}

void pg_symbols_destroy(struct pg_symbols *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->state = LEAVING;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->worker, NULL);
	while (s->files) {
		struct pg_module *f = s->files;
		s->files = f->next;
		if (f->dwfl)
			dwfl_end(f->dwfl);
		free(f->path);
		free(f->spans);
		free(f);
	}
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void pg_symbols_ask(struct pg_symbols *s, void (*question)(void *arg), void *arg)
{
	if (pthread_equal(pthread_self(), s->worker)) {
		question(arg);
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->question = question;
	s->arg = arg;
	s->state = ASKED;
	pthread_cond_broadcast(&s->change);
	while (s->state != ANSWERED)
		pthread_cond_wait(&s->change, &s->lock);
	s->state = IDLE;
	pthread_mutex_unlock(&s->lock);
}

struct pg_module *pg_symbols_module(struct pg_symbols *s, const char *path)
{
	struct pg_module *f = open_file(s, path);

	return f && f->dwfl ? f : NULL;
}

bool pg_module_address(const struct pg_module *f, uint64_t offset, uint64_t *address)
{
	return address_of(f, offset, address);
}

bool pg_symbols_find(
	struct pg_symbols *s, const char *path, uint64_t file_offset, struct pg_symbol *out)
{
	struct asked q = {.s = s, .path = path, .file_offset = file_offset, .out = out};

	pg_symbols_ask(s, find_asked, &q);
	return q.found;
}

bool pg_symbols_lookup(struct pg_symbols *s, const char *path, uint64_t file_offset, uint64_t at,
	struct pg_symbol_wanted *wanted, size_t n, uint64_t *base)
{
	struct asked q = {
		.s = s, .path = path, .file_offset = file_offset, .wanted = wanted, .count = n};

	for (size_t i = 0; i < n; i++)
		wanted[i].address = 0;
	pg_symbols_ask(s, find_names, &q);
	*base = at - q.vaddr;
	return q.found;
}

const char *pg_symbols_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

const char *pg_symbols_format(struct pg_symbols *s, const char *path, uint64_t file_offset,
	uint64_t address, char *text, size_t cap)
{
	struct pg_symbol found;

	if (!path || !path[0])
		snprintf(text, cap, "0x%" PRIx64, address);
	else if (!pg_symbols_find(s, path, file_offset, &found))
		snprintf(text, cap, "%s+0x%" PRIx64, pg_symbols_base_name(path), file_offset);
	else if (found.function)
		snprintf(text, cap, "%s+0x%" PRIx64, found.function, found.offset);
	else
		snprintf(text, cap, "%s+0x%" PRIx64, pg_symbols_base_name(path),
			found.address + found.offset);
	return text;
}
