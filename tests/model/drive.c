/* SPDX-License-Identifier: MIT */
/*
 * tests/model/drive.c: see drive.h: choosing operations at random and comparing machine and model.
 */
#include "drive.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LO ((uint64_t)FIRST * 4096)

static const char *const op_names[OP_KINDS] = {"map", "unmap", "protect", "remap", "discard",
	"sync", "brk", "write", "read", "fault", "truncate", "host write", "punch", "advise",
	"mark", "lock", "lock all", "fork", "exit"};

void run_differ(struct run *t, const char *fmt, ...)
{
	va_list ap;

	if (t->broken)
		return;
	t->broken = true;
	fprintf(stderr,
		"seed %llu step %d, %s space %d addr %#llx len %#llx prot %d flags %d object %d: ",
		(unsigned long long)t->seed, t->step, op_names[t->op.kind], t->op.space,
		(unsigned long long)t->op.addr, (unsigned long long)t->op.len, t->op.prot,
		t->op.flags, t->op.object);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

uint64_t run_below(struct run *t, uint64_t n)
{
	return pg_random_below(&t->rnd, n);
}

bool run_chance(struct run *t, unsigned percent)
{
	return run_below(t, 100) < percent;
}

/* ---- comparing */

struct listing {
	struct pg_region region[PAGES];
	int n;
};

static bool list_one(void *ctx, const struct pg_region *r)
{
	struct listing *l = ctx;

	l->region[l->n++] = *r;
	return l->n < PAGES;
}

static int resident_in(struct m_space *s, const struct m_region *r)
{
	int n = 0;

	for (int p = r->start; p < r->end; p++)
		n += s->page[p].entry == FILE_PAGE || s->page[p].entry == ANON;
	return n;
}

static void compare_region(
	struct run *t, struct m_space *ms, const struct m_region *m, const struct pg_region *r)
{
	if (r->start.v != LO + (uint64_t)m->start * 4096 ||
		r->end.v != LO + (uint64_t)m->end * 4096)
		run_differ(t, "region %d..%d in the model, %lld..%lld", m->start, m->end,
			(long long)((r->start.v - LO) >> 12), (long long)((r->end.v - LO) >> 12));
	if (r->prot != m->prot || r->max_prot != m->max_prot || r->flags != m->flags ||
		r->kind != m->kind || strcmp(r->name, m->name))
		run_differ(t, "region at %d: prot %d/%d flags %d/%d kind %d/%d name %s/%s",
			m->start, m->prot, r->prot, m->flags, r->flags, m->kind, r->kind, m->name,
			r->name);
	if (m->object >= 0 && !t->r->object[m->object])
		t->r->object[m->object] = r->object; /* made by map just now */
	if (r->object != (m->object >= 0 ? t->r->object[m->object] : NULL) ||
		r->offset != (m->object >= 0 ? (uint64_t)m->index * 4096 : 0))
		run_differ(t, "region at %d: object or offset", m->start);
	if (r->resident_pages != (uint64_t)resident_in(ms, m))
		run_differ(t, "region at %d: %d resident in the model, %llu", m->start,
			resident_in(ms, m), (unsigned long long)r->resident_pages);
}

static enum m_entry entry_kind(struct run *t, pg_pfn f)
{
	if (pg_pfn_is_none(f))
		return NONE;
	if (f.v == pg_vm_zero_page(t->r->vm).v)
		return ZERO;
	return pg_frames_row(t->r->vm->frames, f)->state == PG_FRAME_ANON ? ANON : FILE_PAGE;
}

static void compare_page(struct run *t, int i, int p)
{
	struct m_space *ms = &t->m->space[i];
	const struct m_page *m = &ms->page[p];
	pg_pte e;
	pg_pfn f = pg_space_resident(t->r->space[i], (pg_va){LO + (uint64_t)p * 4096}, &e);
	const uint8_t *want, *got;

	if (entry_kind(t, f) != m->entry ||
		(m->entry != NONE && !!(e & PG_PTE_RW) != m->writable)) {
		run_differ(t, "space %d page %d: entry %d writable %d in the model, %d %d", i, p,
			m->entry, m->writable, entry_kind(t, f), !!(e & PG_PTE_RW));
		return;
	}
	if (m->entry == NONE)
		return;
	want = model_bytes(t->m, ms, p);
	got = pg_frames_bytes(t->r->vm->frames, f);
	for (unsigned k = 0; k < PROBES; k++) {
		if (got[probe_at[k]] != want[k])
			run_differ(t, "space %d page %d byte %u: %02x in the model, %02x", i, p,
				probe_at[k], want[k], got[probe_at[k]]);
	}
}

static void compare_stats(struct run *t, int i)
{
	struct m_space *m = &t->m->space[i];
	uint64_t vsz = 0, anon = 0, file = 0, shmem = 0;
	struct pg_space_stats st;

	pg_space_stats(t->r->space[i], &st);
	for (int k = 0; k < m->regions; k++) {
		struct m_region *r = &m->region[k];

		vsz += (uint64_t)(r->end - r->start) * 4096;
		for (int p = r->start; p < r->end; p++) {
			anon += m->page[p].entry == ANON;
			if (m->page[p].entry == FILE_PAGE)
				*(t->m->object[r->object].shmem ? &shmem : &file) += 1;
		}
	}
	if (st.vsz_bytes != vsz || st.rss_anon_pages != anon || st.rss_file_pages != file ||
		st.rss_shmem_pages != shmem || st.rss_pages != anon + file + shmem)
		run_differ(t, "space %d: VSZ or RSS", i);
	if (memcmp(st.faults, m->faults, sizeof st.faults) || st.faults_refused != m->refused ||
		st.copies != m->copies || st.pages_in != m->pages_in || st.minor != m->minor ||
		st.major != m->major || st.faults_by_kernel != m->by_kernel)
		run_differ(t, "space %d: counts of faults", i);
}

/* What /proc/PID/smaps would say, from the model's entries. Dirty and clean are taken together. */
static void compare_figures(struct run *t, int i, const struct m_region *r)
{
	struct m_space *m = &t->m->space[i];
	struct pg_region_figures got, want = {0};

	for (int p = r->start; p < r->end; p++) {
		enum m_entry e = m->page[p].entry;
		uint64_t n, share;

		if (e != ANON && e != FILE_PAGE)
			continue;
		n = (uint64_t)m_sharers(t->m, m, p);
		share = (4096ull << 12) / n;
		want.rss += 4096;
		want.pss += share;
		*(n > 1 ? &want.shared_clean : &want.private_clean) += 4096;
		want.anonymous += e == ANON ? 4096 : 0;
		want.lazy_free += e == ANON && m->page[p].anon->lazy ? 4096 : 0;
		want.pss_locked += r->flags & PG_MAP_LOCKED ? share : 0;
		*(e == ANON                             ? &want.pss_anon
			: t->m->object[r->object].shmem ? &want.pss_shmem
							: &want.pss_file) += share;
	}
	if (!pg_space_measure(t->r->space[i], (pg_va){LO + (uint64_t)r->start * 4096}, &got) ||
		got.rss != want.rss || got.pss != want.pss ||
		got.shared_clean + got.shared_dirty != want.shared_clean ||
		got.private_clean + got.private_dirty != want.private_clean ||
		got.anonymous != want.anonymous || got.lazy_free != want.lazy_free ||
		got.pss_locked != want.pss_locked || got.pss_anon != want.pss_anon ||
		got.pss_file != want.pss_file || got.pss_shmem != want.pss_shmem ||
		(got.swap && !t->swaps))
		run_differ(t,
			"space %d region at %d: figures: rss %lld pss %lld lazy %lld in the model, "
			"%lld %lld %lld",
			i, r->start, (long long)want.rss, (long long)want.pss,
			(long long)want.lazy_free, (long long)got.rss, (long long)got.pss,
			(long long)got.lazy_free);
}

static void compare_space(struct run *t, int i)
{
	struct m_space *m = &t->m->space[i];
	struct listing l = {.n = 0};
	const char *bad = pg_space_check(t->r->space[i]);

	if (bad)
		run_differ(t, "space %d: %s", i, bad);
	pg_space_each_region(t->r->space[i], list_one, &l);
	if (l.n != m->regions)
		run_differ(t, "space %d: %d regions in the model, %d", i, m->regions, l.n);
	for (int k = 0; k < l.n && !t->broken; k++)
		compare_region(t, m, &m->region[k], &l.region[k]);
	for (int p = 0; p < PAGES && !t->broken; p++)
		compare_page(t, i, p);
	compare_stats(t, i);
	for (int k = 0; k < m->regions && !t->broken; k++)
		compare_figures(t, i, &m->region[k]);
}

static void compare_files(struct run *t)
{
	for (int o = 0; o < FILES; o++) {
		for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
			for (unsigned k = 0; k < PROBES; k++) {
				uint64_t at = i * 4096 + probe_at[k];

				if (t->r->file[o].bytes[at] != t->m->object[o].disk[i][k])
					run_differ(t,
						"file %d byte %#llx on disk: %02x in the model, "
						"%02x",
						o, (unsigned long long)at,
						t->m->object[o].disk[i][k],
						t->r->file[o].bytes[at]);
			}
		}
	}
}

void run_compare_events(struct run *t)
{
	struct model *m = t->m;
	struct rig *r = t->r;

	for (int i = 0; i < m->events && i < r->events; i++) {
		const struct m_event *a = &m->event[i], *b = &r->event[i];

		if (a->page != b->page || a->end != b->end || a->grew != b->grew ||
			(a->end == PG_FAULT_RESUME && (a->fcase != b->fcase || a->kind != b->kind)))
			run_differ(t,
				"fault %d: page %d end %d case %s kind %d in the model, page %d "
				"end %d case %s kind %d",
				i, a->page, a->end, pg_fault_case_name(a->fcase), a->kind, b->page,
				b->end, pg_fault_case_name(b->fcase), b->kind);
	}
	if (m->events != r->events)
		run_differ(t, "%d faults in the model, %d", m->events, r->events);
}

void run_compare(struct run *t)
{
	for (int o = FILES + 1; o < OBJECTS; o++) {
		if (!t->m->object[o].used)
			t->r->object[o] = NULL;
	}
	for (int i = 0; i < SPACES && !t->broken; i++) {
		if (t->m->space[i].used != (t->r->space[i] != NULL))
			run_differ(t, "space %d is there in one only", i);
		else if (t->r->space[i])
			compare_space(t, i);
	}
	compare_files(t);
}

/* ---- choosing */

static uint64_t some_page(struct run *t)
{
	return LO + run_below(t, PAGES) * 4096;
}

static uint64_t some_len(struct run *t)
{
	return run_chance(t, 80) ? (run_below(t, 12) + 1) * 4096 : run_below(t, 12 * 4096);
}

static void choose_range(struct run *t, struct op *op)
{
	struct m_space *s = &t->m->space[op->space];

	op->addr = some_page(t);
	op->len = some_len(t);
	if (s->regions && run_chance(t, 80)) { /* around an existing region */
		struct m_region *r = &s->region[run_below(t, (uint64_t)s->regions)];
		uint64_t pages = (uint64_t)(r->end - r->start);

		op->addr = LO + (uint64_t)r->start * 4096 + run_below(t, pages) * 4096;
		op->len = (run_below(t, pages) + 1) * 4096;
		if (run_chance(t, 30)) {
			op->addr = LO + (uint64_t)r->start * 4096;
			op->len = pages * 4096;
		}
	}
	if (run_chance(t, 2))
		op->addr += 100;
	if (run_chance(t, 2))
		op->len = 0;
}

static pg_prot some_prot(struct run *t)
{
	static const pg_prot usual[] = {PG_READ | PG_WRITE, PG_READ | PG_WRITE, PG_READ | PG_WRITE,
		PG_READ, PG_READ | PG_EXEC, 0, PG_READ | PG_WRITE | PG_EXEC, PG_EXEC, PG_WRITE};

	return usual[run_below(t, sizeof usual)];
}

static void choose_map(struct run *t, struct op *op)
{
	op->addr = run_chance(t, 30)   ? 0
		   : run_chance(t, 95) ? some_page(t)
				       : some_page(t) - 8 * 4096 + 17;
	op->len = some_len(t);
	op->prot = some_prot(t);
	op->max_prot = run_chance(t, 85) ? 7 : (pg_prot)(op->prot | run_below(t, 8));
	op->flags = run_chance(t, 25) ? PG_MAP_FIXED : run_chance(t, 15) ? PG_MAP_FIXED_FREE : 0;
	op->flags |= run_chance(t, 30) ? PG_MAP_SHARED : 0;
	op->flags |= run_chance(t, 12) ? PG_MAP_GROWSDOWN : 0;
	op->flags |= run_chance(t, 8) ? PG_MAP_NORESERVE : 0;
	op->flags |= run_chance(t, 10) ? PG_MAP_POPULATE : 0;
	op->flags |= run_chance(t, 4) ? PG_MAP_LOCKED : 0;
	if (run_chance(t, 45)) {
		op->object = (int)run_below(t, FILES + 1);
		op->offset = run_below(t, 12) * 4096;
		if (run_chance(t, 95))
			op->flags &= ~(unsigned)PG_MAP_GROWSDOWN;
	} else if (run_chance(t, 90) && (op->flags & PG_MAP_GROWSDOWN)) {
		op->flags &= ~(unsigned)PG_MAP_SHARED;
		op->prot = PG_READ | PG_WRITE;
		op->max_prot = 7;
		op->addr = LO + (40 + run_below(t, PAGES - 52)) * 4096;
	}
}

static void choose_access(struct run *t, struct op *op)
{
	choose_range(t, op);
	op->access = op->kind == OP_WRITE  ? PG_WRITE
		     : op->kind == OP_READ ? PG_READ
					   : (enum pg_access)(1 << run_below(t, 3));
	op->addr += run_chance(t, 60) ? run_below(t, 4096) : 0;
	if (run_chance(t, 15)) /* below a region: a stack may grow */
		op->addr -= 4096 * (1 + run_below(t, 12));
	if (op->len > 4 * 4096 && run_chance(t, 80))
		op->len = 4 * 4096;
	op->value = (uint8_t)run_below(t, 256);
	op->len += op->len == 0;
}

static int pick_kind(struct run *t)
{
	static const unsigned weight[OP_KINDS] = {[OP_MAP] = 22,
		[OP_UNMAP] = 6,
		[OP_PROTECT] = 12,
		[OP_REMAP] = 8,
		[OP_DISCARD] = 4,
		[OP_SYNC] = 4,
		[OP_BRK] = 5,
		[OP_WRITE] = 14,
		[OP_READ] = 7,
		[OP_FAULT] = 24,
		[OP_TRUNCATE] = 2,
		[OP_HOST_WRITE] = 3,
		[OP_PUNCH] = 2,
		[OP_ADVISE] = 8,
		[OP_MARK] = 4,
		[OP_LOCK] = 4,
		[OP_LOCK_ALL] = 1,
		[OP_FORK] = 4,
		[OP_EXIT] = 2};
	unsigned sum = 0;
	uint64_t x;
	int k;

	for (k = 0; k < OP_KINDS; k++)
		sum += weight[k];
	x = run_below(t, sum);
	for (k = 0; x >= weight[k]; k++)
		x -= weight[k];
	return k;
}

static int some_space(struct run *t, bool used)
{
	int n = (int)run_below(t, SPACES);

	for (int i = 0; i < SPACES; i++, n = (n + 1) % SPACES) {
		if (t->m->space[n].used == used)
			return n;
	}
	return -1;
}

static unsigned some_locks(struct run *t)
{
	return run_chance(t, 50)   ? 0
	       : run_chance(t, 70) ? PG_MAP_LOCKED
				   : (unsigned)(PG_MAP_LOCKED | PG_MAP_LOCKONFAULT);
}

/* What remap, advise, mark and lock want beside a range. */
static void choose_rest(struct run *t, struct op *op)
{
	op->new_len = run_chance(t, 40) ? op->len : some_len(t);
	op->advice = (enum pg_advice)run_below(t, PG_ADVISE_GUARD_REMOVE + 1);
	if (op->kind == OP_REMAP) {
		op->flags = run_chance(t, 70) ? PG_REMAP_MAYMOVE : 0;
		op->flags |= run_chance(t, 30) ? PG_REMAP_FIXED : 0;
		op->flags |= run_chance(t, 20) ? PG_REMAP_DONTUNMAP : 0;
		op->to = run_chance(t, 20) ? 0 : some_page(t) + (run_chance(t, 2) ? 9 : 0);
		if ((op->flags & PG_REMAP_DONTUNMAP) && run_chance(t, 90))
			op->new_len = op->len;
	} else if (op->kind == OP_MARK) {
		op->flags = 0x100u << run_below(t, 8);
		if (run_chance(t, 40)) {
			op->clear = op->flags;
			op->flags = 0;
		}
	} else if (op->kind == OP_LOCK) {
		op->flags = some_locks(t);
		op->addr += run_chance(t, 20) ? 77 : 0;
	}
}

/* False: this operation is not possible now. */
static bool choose(struct run *t, struct op *op)
{
	*op = (struct op){.kind = (enum op_kind)pick_kind(t), .object = -1};
	op->space = some_space(t, true);
	switch (op->kind) {
	case OP_MAP:
		choose_map(t, op);
		break;
	case OP_BRK:
		op->addr = LO + 8 * 4096 + run_below(t, 20 * 4096) - (run_chance(t, 10) ? 4096 : 0);
		op->len = run_chance(t, 80) ? 1 << 20 : 10 * 4096;
		break;
	case OP_WRITE:
	case OP_READ:
	case OP_FAULT:
		choose_access(t, op);
		break;
	case OP_TRUNCATE:
		op->object = (int)run_below(t, FILES + 1);
		op->len = run_below(t, OBJECT_PAGES * 4096);
		break;
	case OP_HOST_WRITE:
		op->object = (int)run_below(t, FILES);
		op->offset = run_below(t, t->m->object[op->object].size + 1);
		op->len = run_below(t, t->m->object[op->object].size - op->offset + 1);
		if (run_below(t, 4) == 0) { /* it may grow by it */
			op->offset = run_below(t, OBJECT_PAGES * 4096);
			op->len = run_below(t, OBJECT_PAGES * 4096 - op->offset) % 6000;
		}
		op->value = (uint8_t)run_below(t, 256);
		break;
	case OP_PUNCH:
		op->object = (int)run_below(t, FILES + 1);
		op->offset = run_below(t, 14 * 4096);
		op->len = run_below(t, 6 * 4096);
		break;
	case OP_LOCK_ALL:
		op->flags = some_locks(t);
		op->clear = some_locks(t);
		break;
	case OP_FORK:
		op->other = some_space(t, false);
		return op->other >= 0;
	case OP_EXIT:
		for (int i = 0, n = 0; i < SPACES; i++) {
			n += t->m->space[i].used;
			if (n == 2)
				return true;
		}
		return false;
	default:
		choose_range(t, op);
		op->prot = some_prot(t);
		choose_rest(t, op);
		break;
	}
	return true;
}

void run_choose(struct run *t)
{
	while (!choose(t, &t->op))
		;
	if (t->verbose)
		printf("%d: %s space %d addr %#llx (%lld) len %#llx new %#llx prot %d/%d flags %d "
		       "object %d offset %#llx access %d\n",
			t->step, op_names[t->op.kind], t->op.space, (unsigned long long)t->op.addr,
			(long long)(t->op.addr - LO) >> 12, (unsigned long long)t->op.len,
			(unsigned long long)t->op.new_len, t->op.prot, t->op.max_prot, t->op.flags,
			t->op.object, (unsigned long long)t->op.offset, t->op.access);
}

void run_begin(struct run *t, uint64_t seed, uint64_t memory, const struct pg_table_form *form)
{
	int max_regions, top;

	t->seed = seed;
	t->broken = false;
	pg_random_seed(&t->rnd, seed);
	max_regions = run_chance(t, 20) ? 12 : 0;
	top = run_chance(t, 80) ? TOP : 30;
	model_init(t->m, max_regions, top);
	rig_init(t->r, memory, form, max_regions, top);
	for (int o = 0; o < FILES; o++) {
		int n = (int)run_below(t, OBJECT_PAGES * 4);

		if (n < OBJECT_PAGES)
			t->m->object[o].broken[n] = t->r->file[o].broken[n] = true;
		for (uint64_t i = 0; i < t->r->file[o].size; i++)
			t->r->file[o].bytes[i] = (uint8_t)(i * 11 + i / 4096 + (uint64_t)o);
		for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
			for (unsigned k = 0; k < PROBES; k++)
				t->m->object[o].byte[i][k] = t->m->object[o].disk[i][k] =
					t->r->file[o].bytes[i * 4096 + probe_at[k]];
		}
	}
}

void run_end(struct run *t)
{
	if (!t->broken)
		rig_free(t->r);
	model_free(t->m);
}

/* ---- when memory is short */

bool op_is_access(const struct op *op)
{
	return op->kind == OP_READ || op->kind == OP_WRITE || op->kind == OP_FAULT;
}

/* True if the page's private copy has been dropped after madvise(MADV_FREE). */
static bool dropped(struct pg_space *s, int p)
{
	struct region *r = pg_region_at(s, LO + (uint64_t)p * 4096);
	struct pg_anon *a =
		r ? pg_sparse_get(&r->anons, pg_region_index(r, (uint64_t)p + FIRST), NULL) : NULL;

	return a && pg_anon_is_empty(a);
}

/* A page that was given up may be gone. */
static void forgive_lazy(struct run *t, int i, int p)
{
	struct m_page *m = &t->m->space[i].page[p];

	if (!m->anon || !m->anon->lazy || !dropped(t->r->space[i], p))
		return;
	if (--m->anon->refs == 0)
		free(m->anon);
	m->anon = NULL;
	m->entry = NONE;
}

/* Makes the model forget what a machine short of memory may drop, or may have brought in before. */
static void forgive_space(struct run *t, int i)
{
	struct m_space *m = &t->m->space[i];
	struct pg_space_stats st;

	for (int p = 0; p < PAGES; p++) {
		pg_pte e;
		pg_pfn f = pg_space_resident(t->r->space[i], (pg_va){LO + (uint64_t)p * 4096}, &e);

		if ((m->page[p].entry == FILE_PAGE || t->op.kind == OP_REMAP || t->swaps ||
			    (m->page[p].anon && m->page[p].anon->lazy)) &&
			pg_pfn_is_none(f))
			m->page[p].entry = NONE;
		forgive_lazy(t, i, p);
		if (m->page[p].writable && !(e & PG_PTE_RW))
			m->page[p].writable = false; /* a fork that failed protects pages first */
		if (t->swaps && m->page[p].entry == ANON && m->page[p].anon->refs == 1 &&
			(e & PG_PTE_RW))
			m->page[p].writable = true; /* its entry was made anew */
	}
	pg_space_stats(t->r->space[i], &st);
	memcpy(m->faults, st.faults, sizeof m->faults);
	m->refused = st.faults_refused;
	m->copies = st.copies;
	m->pages_in = st.pages_in;
	m->minor = st.minor;
	m->major = st.major;
	m->by_kernel = st.faults_by_kernel;
}

/* Dirty pages that no table names may have been written back when a child that failed went. */
static void forgive_file(struct run *t, int o)
{
	struct m_object *m = &t->m->object[o];

	for (int i = 0; i < OBJECT_PAGES; i++) {
		for (int k = 0; m->dirty[i] && k < PROBES; k++) {
			uint8_t now = t->r->file[o].bytes[i * 4096 + (int)probe_at[k]];

			if (now == m->byte[i][k])
				m->disk[i][k] = now;
		}
	}
}

void run_forgive_disk(struct run *t)
{
	for (int o = 0; o < FILES; o++)
		forgive_file(t, o);
}

/* What was stored behind the end of a file, in its last page, is lost when that page is written back and dropped. */
static void forgive_tail(struct run *t, int o)
{
	struct m_object *m = &t->m->object[o];
	uint64_t last = m->size / 4096;
	pg_pfn f = last < OBJECT_PAGES ? pg_object_page(t->r->object[o], last) : PG_PFN_NONE;

	for (int k = 0; last < OBJECT_PAGES && k < PROBES; k++) {
		const uint8_t *now =
			pg_pfn_is_none(f) ? NULL : pg_frames_bytes(t->r->vm->frames, f);

		if (probe_at[k] >= m->size % 4096 && (!now || now[probe_at[k]] == 0))
			m->byte[last][k] = 0;
	}
}

/* Takes over which pages of objects are in memory. */
static void forgive_objects(struct run *t)
{
	for (int o = 0; o < OBJECTS; o++) {
		for (int i = 0; t->m->object[o].used && t->r->object[o] && i < OBJECT_PAGES; i++) {
			t->m->object[o].cached[i] =
				!pg_pfn_is_none(pg_object_page(t->r->object[o], (uint64_t)i));
			if (!t->m->object[o].cached[i])
				model_forget_tail(&t->m->object[o], i);
		}
	}
}

void run_forgive(struct run *t)
{
	for (int o = 0; o < FILES && t->swaps; o++)
		forgive_tail(t, o);
	if (t->op.kind == OP_FORK || t->swaps)
		run_forgive_disk(t);
	for (int i = 0; i < SPACES; i++) {
		if (t->r->space[i])
			forgive_space(t, i);
	}
	forgive_objects(t);
}

/* A byte beyond the file's end, or copied from there: lost whenever the page leaves the cache. */
static bool in_tail(struct run *t, int i, int p, unsigned at)
{
	struct m_region *r = model_region(&t->m->space[i], p);

	return r->object >= 0 && !t->m->object[r->object].shmem &&
	       (uint64_t)(r->index + p - r->start) * 4096 + at >= t->m->object[r->object].size;
}

/* The page is in a slot of the store and in no frame. */
static bool in_store(struct pg_space *s, int p)
{
	struct region *r = pg_region_at(s, LO + (uint64_t)p * 4096);
	uint64_t index = r ? pg_region_index(r, (uint64_t)p + FIRST) : 0;
	struct pg_anon *a = r ? pg_sparse_get(&r->anons, index, NULL) : NULL;

	if (a)
		return pg_pfn_is_none(a->pfn) && !pg_slot_is_none(a->slot);
	return r && r->pub.object && pg_sparse_get(&r->pub.object->slots, index, NULL);
}

/* Rights and contents of every page, by reading them. */
static void compare_contents(struct run *t, int i)
{
	for (int p = 0; p < PAGES; p++) {
		struct m_region *m = model_region(&t->m->space[i], p);
		pg_va a = {LO + (uint64_t)p * 4096};
		uint8_t want[PROBES], got[4096];
		struct pg_region r;
		bool there = pg_space_find(t->r->space[i], a, false, &r), readable, is_read;

		if (there != (m != NULL) || (m && (r.prot != m->prot || r.max_prot != m->max_prot ||
							  r.flags != m->flags))) {
			run_differ(t, "space %d page %d: region or rights after a failure", i, p);
			return;
		}
		if (!m)
			continue; /* not to be touched: a stack above would grow */
		is_read = pg_space_read(t->r->space[i], got, a, 4096, 0) == 4096;
		for (int o = 0; o < FILES && t->swaps; o++)
			forgive_tail(t, o);
		forgive_lazy(t, i, p);
		readable = model_peek(t->m, &t->m->space[i], p, want);
		if (t->lossy && readable && !is_read && in_store(t->r->space[i], p))
			continue;
		if (readable != is_read) {
			run_differ(t, "space %d page %d: readable or not after a failure", i, p);
			return;
		}
		for (int k = 0; readable && k < PROBES; k++) {
			if (got[probe_at[k]] != want[k] && !in_tail(t, i, p, probe_at[k]))
				run_differ(t,
					"space %d page %d byte %u after a failure: %02x in the "
					"model, %02x",
					i, p, probe_at[k], want[k], got[probe_at[k]]);
		}
	}
}

void run_compare_contents(struct run *t)
{
	forgive_objects(t);
	for (int i = 0; i < SPACES && !t->broken; i++) {
		const char *bad = t->r->space[i] ? pg_space_check(t->r->space[i]) : NULL;

		if (bad)
			run_differ(t, "space %d after a failure: %s", i, bad);
		else if (t->r->space[i])
			compare_contents(t, i);
	}
}
