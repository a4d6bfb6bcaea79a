/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/meminfo.c: the files of /proc that speak of the machine's memory: meminfo, swaps, vmstat, pressure/memory.
 *
 * Called by proc.c. Reads frame/, space/, reclaim/ and the stores. Formats are Linux's, to the blank; lines for which
 * there is no figure here are left out, but no line is made up.
 *
 * Source of the formats: Linux fs/proc/meminfo.c, mm/swapfile.c (swap_show), mm/vmstat.c (vmstat_text), kernel/sched/psi.c; proc(5).
 */
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"
#include "linux/proc/text.h"
#include "reclaim/reclaim.h"
#include "store/store.h"

#include <string.h>

/* Pages of all living processes' spaces, with what those that ended left in the sums. */
static struct pg_space_stats all_spaces(struct pg_linux *l)
{
	struct pg_linux_stats st;

	pg_linux_stats(l, &st);
	return st.space;
}

/* --- memory ---------------------------------------------------------------------------------------------------------- */

struct memory {
	uint64_t total, free, cache, anon, table, mapped, shmem, available; /* pages */
	uint64_t swap, swap_used, swap_cached;
};

/* Of a store: *total is what it holds and what fits beside that whatever its bytes are, so that for compressed memory it moves. */
static uint64_t swap_of(struct pg_store *s, uint64_t *total)
{
	struct pg_store_room room = {0};

	if (s != NULL)
		pg_store_room(s, &room);
	*total = room.used + room.free;
	return room.used;
}

uint64_t pg_proc_swap(struct pg_linux *l, uint64_t *total)
{
	return swap_of(l->reclaim != NULL ? pg_reclaim_store(l->reclaim) : NULL, total);
}

static void get_memory(struct pg_linux *l, struct memory *m)
{
	struct pg_frames_stats fs;

	*m = (struct memory){0};
	pg_vm_frames_stats(l->vm, &fs);
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next) {
		struct pg_space_stats st;

		if (p->mm == NULL || p->state == PG_ZOMBIE)
			continue;
		pg_space_stats(p->mm->space, &st);
		m->mapped += st.rss_file_pages;
		m->shmem += st.rss_shmem_pages;
	}
	m->total = fs.total;
	m->free = fs.by_state[PG_FRAME_FREE];
	m->cache = fs.by_state[PG_FRAME_CACHE];
	m->anon = fs.by_state[PG_FRAME_ANON];
	m->table = fs.by_state[PG_FRAME_TABLE];
	if (m->mapped > m->cache)
		m->mapped = m->cache; /* a page that many map is mapped once */
	if (m->shmem > m->cache)
		m->shmem = m->cache;
	m->available = m->free + m->cache - m->shmem;
	if (l->reclaim != NULL) {
		m->swap_used = pg_proc_swap(l, &m->swap);
		m->swap_cached = pg_reclaim_swap_cached(l->reclaim);
	}
}

void pg_proc_meminfo(struct pg_proc_text *t)
{
	struct memory m;

	get_memory(t->machine, &m);
#define PAGES_KB(n) PG_KB((n)*PG_PAGE_SIZE)
	fprintf(t->out,
		"MemTotal:       %8llu kB\nMemFree:        %8llu kB\nMemAvailable:   %8llu kB\n"
		"Buffers:        %8u kB\nCached:         %8llu kB\nSwapCached:     %8llu kB\n"
		"Active:         %8llu kB\nInactive:       %8u kB\nSwapTotal:      %8llu kB\n"
		"SwapFree:       %8llu kB\nAnonPages:      %8llu kB\nMapped:         %8llu kB\n"
		"Shmem:          %8llu kB\nPageTables:     %8llu kB\nCommitLimit:    %8llu kB\n"
		"Committed_AS:   %8llu kB\n",
		PAGES_KB(m.total), PAGES_KB(m.free), PAGES_KB(m.available), 0u, PAGES_KB(m.cache),
		PAGES_KB(m.swap_cached), PAGES_KB(m.anon + m.cache), 0u, PAGES_KB(m.swap),
		PAGES_KB(m.swap - m.swap_used), PAGES_KB(m.anon), PAGES_KB(m.mapped),
		PAGES_KB(m.shmem), PAGES_KB(m.table), PG_KB(pg_vm_commit_limit(t->machine->vm)),
		PG_KB(pg_vm_committed(t->machine->vm)));
}

/* --- swap ------------------------------------------------------------------------------------------------------------- */

/* The path of a swap file that has one, else the store's specification; blanks as Linux writes them. */
static int put_name(FILE *out, const char *name)
{
	int n = 0;
	size_t len;

	if (strncmp(name, "file:", 5) == 0 || strncmp(name, "direct:/", 8) == 0)
		name = strchr(name, ':') + 1;
	len = strlen(name);
	if (name[0] == '/' && strrchr(name, ':') != NULL)
		len = (size_t)(strrchr(name, ':') - name);
	for (size_t i = 0; i < len; i++)
		n += strchr(" \t\n\\", name[i]) != NULL
			     ? fprintf(out, "\\%03o", (unsigned char)name[i])
			     : fprintf(out, "%c", name[i]);
	return n;
}

static void put_swap(FILE *out, struct pg_store *s, int priority)
{
	uint64_t total, used = swap_of(s, &total);
	int n = put_name(out, pg_store_name(s));

	fprintf(out, "%*sfile\t\t%llu\t%s%llu\t%s%d\n", n < 40 ? 40 - n : 1, " ", PAGES_KB(total),
		PAGES_KB(total) < 10000000 ? "\t" : "", PAGES_KB(used),
		PAGES_KB(used) < 10000000 ? "\t" : "", priority);
}

/* A line for each store of a stack, the one that is tried first with the highest priority: -2, -3, ... as swapon(8) gives. */
void pg_proc_swaps(struct pg_proc_text *t)
{
	struct pg_store *s =
		t->machine->reclaim != NULL ? pg_reclaim_store(t->machine->reclaim) : NULL;
	struct pg_store *part;

	fputs("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", t->out);
	if (s == NULL)
		return;
	if (pg_store_part(s, 1) == NULL) {
		put_swap(t->out, s, -2);
		return;
	}
	for (unsigned i = 0; (part = pg_store_part(s, i)) != NULL; i++)
		put_swap(t->out, part, -2 - (int)i);
}

/* --- counters ----------------------------------------------------------------------------------------------------------- */

void pg_proc_vmstat(struct pg_proc_text *t)
{
	struct pg_linux *l = t->machine;
	struct pg_space_stats s = all_spaces(l);
	struct pg_reclaim_stats r = {0};
	struct memory m;

	get_memory(l, &m);
	if (l->reclaim != NULL)
		pg_reclaim_stats(l->reclaim, &r);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"nr_free_pages", m.free},
		{"nr_unevictable", r.locked},
		{"nr_anon_pages", m.anon},
		{"nr_mapped", m.mapped},
		{"nr_file_pages", m.cache},
		{"nr_shmem", m.shmem},
		{"workingset_refault_anon", r.refaults - r.refaults_file},
		{"workingset_refault_file", r.refaults_file},
		{"nr_page_table_pages", m.table},
		{"nr_swapcached", m.swap_cached},
		{"pgpgin", s.pages_in * 4}, /* kB */
		{"pgpgout", (r.swap_out + r.file_written) * 4},
		{"pswpin", r.swap_in},
		{"pswpout", r.swap_out},
		{"pgfault", s.minor + s.major},
		{"pgmajfault", s.major},
		{"pglazyfreed", r.lazy_dropped},
		{"pgsteal_kswapd", r.reclaimed - r.reclaimed_direct},
		{"pgsteal_direct", r.reclaimed_direct},
		{"pgscan_kswapd", r.scanned - r.scanned_direct},
		{"pgscan_direct", r.scanned_direct},
		{"pgsteal_anon", r.swap_out + r.swap_dropped + r.lazy_dropped},
		{"pgsteal_file", r.file_dropped + r.file_written},
		{"allocstall_normal", r.runs_direct},
		{"oom_kill", l->oom_kills},
		{"swap_ra", r.swap_ahead},
		{"swap_ra_hit", r.swap_ahead_used},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(t->out, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
}

void pg_proc_pressure(struct pg_proc_text *t)
{
	struct pg_reclaim_pressure p[2] = {{0}};

	if (t->machine->reclaim != NULL)
		pg_reclaim_pressure(t->machine->reclaim, p);
	for (unsigned i = 0; i < 2; i++)
		fprintf(t->out, "%s avg10=%u.%02u avg60=%u.%02u avg300=%u.%02u total=%llu\n",
			i ? "full" : "some", p[i].avg[0] / 100, p[i].avg[0] % 100,
			p[i].avg[1] / 100, p[i].avg[1] % 100, p[i].avg[2] / 100, p[i].avg[2] % 100,
			(unsigned long long)p[i].total_ns / 1000);
}
