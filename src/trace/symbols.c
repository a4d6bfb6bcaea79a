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
#include "trace/demangle.h"
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
	bool mangled;                /* names are shown as the files have them */
};

static char *debuginfo_path = NULL; /* elfutils' default search path */

/*
 * As elfutils' own: by the build id below /usr/lib/debug, then by .gnu_debuglink beside the file, in .debug and below /usr/lib/debug (no
 * server is asked: ui/run/run.c sees to that). But the descriptor goes where the guest cannot see it.
 */
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

static void find_parts(struct pg_module *f);
static void make_index(struct pg_module *f);

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
	find_parts(f);
	make_index(f);
	return f;
}

/* Keeps where the file's segments and sections lie. */
static void find_parts(struct pg_module *f)
{
	size_t count;
	Elf_Scn *scn = NULL;

	if (elf_getphdrnum(f->elf, &count) == 0 && count)
		f->segments = calloc(count, sizeof *f->segments);
	for (size_t i = 0; f->segments && i < count; i++) {
		GElf_Phdr p;
		if (gelf_getphdr(f->elf, (int)i, &p) && p.p_type == PT_LOAD)
			f->segments[f->segment_count++] =
				(struct pg_module_segment){p.p_offset, p.p_filesz, p.p_vaddr};
	}
	if (elf_getshdrnum(f->elf, &count) == 0 && count)
		f->sections = calloc(count, sizeof *f->sections);
	while (f->sections && (scn = elf_nextscn(f->elf, scn)) != NULL) {
		GElf_Shdr h;
		if (gelf_getshdr(scn, &h) && (h.sh_flags & SHF_ALLOC) && f->section_count < count)
			f->sections[f->section_count++] =
				(struct pg_module_section){h.sh_addr, h.sh_addr + h.sh_size};
	}
}

/* The ELF address of a byte of the file; false if no segment loads it. */
static bool address_of(const struct pg_module *f, uint64_t offset, uint64_t *address)
{
	for (size_t i = 0; i < f->segment_count; i++) {
		const struct pg_module_segment *p = &f->segments[i];
		if (offset >= p->offset && offset - p->offset < p->bytes) {
			*address = p->address + (offset - p->offset);
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

/* --- the index: all symbols of a file by address -------------------------------------------------- */

static int binding_rank(const GElf_Sym *symbol)
{
	switch (GELF_ST_BIND(symbol->st_info)) {
	case STB_GLOBAL:
	case STB_GNU_UNIQUE:
		return 2;
	case STB_WEAK:
		return 1;
	default:
		return 0;
	}
}

/* Of several at one address the one that is to be shown comes last: the better known, then the shorter, then the first in the file. */
static int compare_names(const void *a, const void *b)
{
	const struct pg_module_name *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return x->nth > y->nth ? -1 : 1;
}

/* Sorts the symbols of all tables of the file, and of its separate debug file, by address. The worker only. */
static void make_index(struct pg_module *f)
{
	int count = dwfl_module_getsymtab(f->module);
	Dwarf_Addr bias;

	f->indexed = true;
	f->has_lines = dwfl_module_getdwarf(f->module, &bias) != NULL;
	f->names = count > 0 ? calloc((size_t)count, sizeof *f->names) : NULL;
	for (int i = 1; f->names && i < count; i++) {
		GElf_Sym symbol;
		GElf_Addr address;
		GElf_Word section;
		const char *name = dwfl_module_getsym_info(
			f->module, i, &symbol, &address, &section, NULL, NULL);
		int type = GELF_ST_TYPE(symbol.st_info);

		if (!name || !name[0] || symbol.st_shndx == SHN_UNDEF || type == STT_SECTION ||
			type == STT_FILE || type == STT_TLS)
			continue;
		f->names[f->name_count++] = (struct pg_module_name){.start = address - f->bias,
			.size = symbol.st_size,
			.raw = name,
			.nth = (uint32_t)i,
			.rank = (uint8_t)binding_rank(&symbol)};
	}
	if (f->name_count)
		qsort(f->names, f->name_count, sizeof *f->names, compare_names);
	uint64_t end = 0;
	for (size_t i = 0; i < f->name_count; i++) {
		struct pg_module_name *n = &f->names[i];
		if (n->start + n->size > end)
			end = n->start + n->size;
		n->end_below = end;
	}
}

/* True if a section of the file holds both. */
static bool same_section(const struct pg_module *f, uint64_t a, uint64_t b)
{
	for (size_t i = 0; i < f->section_count; i++)
		if (a >= f->sections[i].start && a < f->sections[i].end)
			return b >= f->sections[i].start && b < f->sections[i].end;
	return false;
}

/*
 * The innermost symbol whose bytes hold `address`; if there is none, the nearest below without a size (assembler does not always say), unless
 * another one ends behind it. NULL: none.
 */
static struct pg_module_name *name_at(const struct pg_module *f, uint64_t address)
{
	size_t low = 0, high = f->name_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (f->names[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	const size_t below = low;
	for (size_t i = below; i-- > 0 && f->names[i].end_below > address;)
		if (address - f->names[i].start < f->names[i].size)
			return &f->names[i];
	for (size_t i = below; i-- > 0;) {
		struct pg_module_name *n = &f->names[i];
		if (n->size == 0 && n->start >= f->names[below - 1].end_below)
			return same_section(f, n->start, address) ? n : NULL;
		if (n->start < f->names[below - 1].end_below)
			break;
	}
	return NULL;
}

/* The function of an ELF address of an indexed file. Any thread that has the machine lock. */
static void name_address(
	const struct pg_symbols *s, struct pg_module *f, uint64_t address, struct pg_symbol *out)
{
	struct pg_module_name *n = name_at(f, address);
	uint64_t start = f->starts ? start_of(f, address) : address;

	/* A symbol without a size is a guess that may be megabytes off: believe its neighbours less
	 * than the unwind table. */
	if (!n || (n->size == 0 && f->starts && n->start < start)) {
		out->address = start;
		out->offset = address - start;
		return;
	}
	if (!n->shown)
		n->shown = s->mangled ? NULL : pg_demangle(n->raw);
	if (!n->shown)
		n->shown = strndup(n->raw, strcspn(n->raw, "@")); /* no version */
	out->symbol = n->raw;
	out->function = n->shown ? n->shown : n->raw;
	out->address = n->start;
	out->offset = address - n->start;
}

static bool find(
	struct pg_symbols *s, const char *path, uint64_t file_offset, struct pg_symbol *out)
{
	uint64_t address;

	*out = (struct pg_symbol){0};
	struct pg_module *f = open_file(s, path);
	if (!f || !f->dwfl || !address_of(f, file_offset, &address))
		return false;
	name_address(s, f, address, out);
	Dwfl_Line *line = f->has_lines ? dwfl_module_getsrc(f->module, address + f->bias) : NULL;
	if (line)
		out->source = dwfl_lineinfo(line, NULL, &out->line, NULL, NULL, NULL);
	if (!out->source)
		out->line = 0;
	return true;
}

/* True if the file was opened before and what it says of this byte needs no file to be read: then *out and *found are filled in. */
static bool find_at_once(struct pg_symbols *s, const char *path, uint64_t file_offset, bool lines,
	struct pg_symbol *out, bool *found)
{
	uint64_t address;

	*out = (struct pg_symbol){0};
	for (struct pg_module *f = s->files; f; f = f->next) {
		if (strcmp(f->path, path) != 0)
			continue;
		*found = f->dwfl && address_of(f, file_offset, &address);
		if (*found && lines && f->has_lines)
			return false;
		if (*found)
			name_address(s, f, address, out);
		return true;
	}
	return false;
}

/* A question of pg_symbols_find(), of pg_symbols_lookup() with wanted, of pg_symbols_named() and pg_symbols_text_in() with name. */
struct asked {
	struct pg_symbols *s;
	const char *path; /* borrowed */
	uint64_t file_offset;
	struct pg_symbol *out;
	struct pg_symbol_wanted *wanted;
	const char *name;
	uint64_t *addresses;
	char *text;
	size_t count, room;
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
	for (size_t i = 0; i < f->name_count; i++)
		for (size_t k = 0; k < q->count; k++)
			if (strcmp(q->wanted[k].name, f->names[i].raw) == 0)
				q->wanted[k].address = f->names[i].start;
}

/* "f" is f, f@@VERSION, and every f(...) of C++. */
static bool is_called(const struct pg_module_name *n, const char *name)
{
	size_t length = strlen(name);
	char *shown;

	if (strncmp(n->raw, name, length) == 0 && (!n->raw[length] || n->raw[length] == '@'))
		return true;
	if (n->raw[0] != '_')
		return false;
	shown = pg_demangle(n->raw);
	bool same = shown && strcmp(shown, name) == 0;
	free(shown);
	return same;
}

static void find_named(void *arg)
{
	struct asked *q = arg;
	struct pg_module *f = open_file(q->s, q->path);

	if (!f || !f->dwfl || !address_of(f, q->file_offset, &q->vaddr))
		return;
	for (size_t i = 0; i < f->name_count && q->count < q->room; i++)
		if (is_called(&f->names[i], q->name) &&
			!(q->count && q->addresses[q->count - 1] == f->names[i].start))
			q->addresses[q->count++] = f->names[i].start;
}

static void find_text(void *arg)
{
	struct asked *q = arg;
	struct pg_module *f = open_file(q->s, q->path);
	const char *raw, *at, *end;
	size_t size, n;

	if (!f || !f->dwfl)
		return;
	raw = elf_rawfile(f->elf, &size);
	at = raw ? memmem(raw, size, q->name, strlen(q->name)) : NULL;
	if (!at)
		return;
	end = memchr(at, '\0', (size_t)(raw + size - at));
	n = (size_t)((end ? end : raw + size) - at);
	if (n > q->room - 1)
		n = q->room - 1;
	memcpy(q->text, at, n);
	q->text[n] = '\0';
	q->found = true;
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
		for (size_t i = 0; i < f->name_count; i++)
			free(f->names[i].shown);
		free(f->path);
		free(f->names);
		free(f->segments);
		free(f->sections);
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

	if (find_at_once(s, path, file_offset, true, out, &q.found))
		return q.found;
	pg_symbols_ask(s, find_asked, &q);
	return q.found;
}

bool pg_symbols_name(
	struct pg_symbols *s, const char *path, uint64_t file_offset, struct pg_symbol *out)
{
	bool found;

	if (find_at_once(s, path, file_offset, false, out, &found))
		return found;
	return pg_symbols_find(s, path, file_offset, out);
}

size_t pg_symbols_named(struct pg_symbols *s, const char *path, uint64_t file_offset, uint64_t at,
	const char *name, uint64_t *addresses, size_t room)
{
	struct asked q = {.s = s,
		.path = path,
		.file_offset = file_offset,
		.name = name,
		.addresses = addresses,
		.room = room};

	pg_symbols_ask(s, find_named, &q);
	for (size_t i = 0; i < q.count; i++)
		addresses[i] += at - q.vaddr;
	return q.count;
}

bool pg_symbols_text_in(
	struct pg_symbols *s, const char *path, const char *prefix, char *text, size_t cap)
{
	struct asked q = {.s = s, .path = path, .name = prefix, .text = text, .room = cap};

	text[0] = '\0';
	pg_symbols_ask(s, find_text, &q);
	return q.found;
}

void pg_symbols_keep_mangled(struct pg_symbols *s)
{
	s->mangled = true;
}

char *pg_symbols_shown(const struct pg_symbols *s, const char *raw)
{
	char *shown = s->mangled ? NULL : pg_demangle(raw);

	return shown ? shown : strdup(raw);
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
	char brief[256];

	if (!path || !path[0])
		snprintf(text, cap, "0x%" PRIx64, address);
	else if (!pg_symbols_name(s, path, file_offset, &found))
		snprintf(text, cap, "%s+0x%" PRIx64, pg_symbols_base_name(path), file_offset);
	else if (found.function)
		snprintf(text, cap, "%s+0x%" PRIx64,
			pg_brief_name(found.function, brief, sizeof brief), found.offset);
	else
		snprintf(text, cap, "%s+0x%" PRIx64, pg_symbols_base_name(path),
			found.address + found.offset);
	return text;
}
