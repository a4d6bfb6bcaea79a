/* SPDX-License-Identifier: MIT */
/*
 * tests/model/random.c: random operations on the real machine and on the model, compared after
 * each.
 *
 *   random [SEQUENCES [FIRST_SEED]]      defaults: see main()
 *   random -v 1 SEED                     prints each operation of one sequence
 *
 * Compared: results, addresses chosen, the list of regions with all that a region says, each page's
 * entry (none, zero page, file page, anon; writable), its bytes, the files' bytes on disk, every
 * fault's case, kind and end in order, VSZ, RSS by kind, counts. pg_space_check() after every step.
 * The seed of a failing sequence is printed. Guards R4, R11, R13, R14, R16, R17, R20, R21 and all
 * invariants of src/space.
 */
#include "rig.h"

#include "base/random.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LO ((uint64_t)FIRST * 4096)
#define STEPS 70

static const char *const op_names[OP_KINDS] = {"map", "unmap", "protect", "remap", "discard",
	"sync", "brk", "write", "read", "fault", "truncate", "host write", "fork", "exit"};

struct run {
	struct model *m;
	struct rig *r;
	struct pg_random rnd;
	uint64_t seed;
	int step;
	struct op op;
	bool verbose, broken;
};

static void differ(struct run *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void differ(struct run *t, const char *fmt, ...)
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

static uint64_t below(struct run *t, uint64_t n)
{
	return pg_random_below(&t->rnd, n);
}

static bool chance(struct run *t, unsigned percent)
{
	return below(t, 100) < percent;
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
		differ(t, "region %d..%d in the model, %lld..%lld", m->start, m->end,
			(long long)((r->start.v - LO) >> 12), (long long)((r->end.v - LO) >> 12));
	if (r->prot != m->prot || r->max_prot != m->max_prot || r->flags != m->flags ||
		r->kind != m->kind || strcmp(r->name, m->name))
		differ(t, "region at %d: prot %d/%d flags %d/%d kind %d/%d name %s/%s", m->start,
			m->prot, r->prot, m->flags, r->flags, m->kind, r->kind, m->name, r->name);
	if (m->object >= 0 && !t->r->object[m->object])
		t->r->object[m->object] = r->object; /* made by map just now */
	if (r->object != (m->object >= 0 ? t->r->object[m->object] : NULL) ||
		r->offset != (m->object >= 0 ? (uint64_t)m->index * 4096 : 0))
		differ(t, "region at %d: object or offset", m->start);
	if (r->resident_pages != (uint64_t)resident_in(ms, m))
		differ(t, "region at %d: %d resident in the model, %llu", m->start,
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
		differ(t, "space %d page %d: entry %d writable %d in the model, %d %d", i, p,
			m->entry, m->writable, entry_kind(t, f), !!(e & PG_PTE_RW));
		return;
	}
	if (m->entry == NONE)
		return;
	want = model_bytes(t->m, ms, p);
	got = pg_frames_bytes(t->r->vm->frames, f);
	for (unsigned k = 0; k < PROBES; k++) {
		if (got[probe_at[k]] != want[k])
			differ(t, "space %d page %d byte %u: %02x in the model, %02x", i, p,
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
		differ(t, "space %d: VSZ or RSS", i);
	if (memcmp(st.faults, m->faults, sizeof st.faults) || st.faults_refused != m->refused ||
		st.copies != m->copies || st.pages_in != m->pages_in || st.minor != m->minor ||
		st.major != m->major || st.faults_by_kernel != m->by_kernel)
		differ(t, "space %d: counts of faults", i);
}

static void compare_space(struct run *t, int i)
{
	struct m_space *m = &t->m->space[i];
	struct listing l = {.n = 0};
	const char *bad = pg_space_check(t->r->space[i]);

	if (bad)
		differ(t, "space %d: %s", i, bad);
	pg_space_each_region(t->r->space[i], list_one, &l);
	if (l.n != m->regions)
		differ(t, "space %d: %d regions in the model, %d", i, m->regions, l.n);
	for (int k = 0; k < l.n && !t->broken; k++)
		compare_region(t, m, &m->region[k], &l.region[k]);
	for (int p = 0; p < PAGES && !t->broken; p++)
		compare_page(t, i, p);
	compare_stats(t, i);
}

static void compare_files(struct run *t)
{
	for (int o = 0; o < FILES; o++) {
		for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
			for (unsigned k = 0; k < PROBES; k++) {
				uint64_t at = i * 4096 + probe_at[k];

				if (t->r->file[o].bytes[at] != t->m->object[o].disk[i][k])
					differ(t,
						"file %d byte %#llx on disk: %02x in the model, "
						"%02x",
						o, (unsigned long long)at,
						t->m->object[o].disk[i][k],
						t->r->file[o].bytes[at]);
			}
		}
	}
}

static void compare_events(struct run *t)
{
	struct model *m = t->m;
	struct rig *r = t->r;

	for (int i = 0; i < m->events && i < r->events; i++) {
		const struct m_event *a = &m->event[i], *b = &r->event[i];

		if (a->page != b->page || a->end != b->end || a->grew != b->grew ||
			(a->end == PG_FAULT_RESUME && (a->fcase != b->fcase || a->kind != b->kind)))
			differ(t,
				"fault %d: page %d end %d case %s kind %d in the model, page %d "
				"end %d case %s kind %d",
				i, a->page, a->end, pg_fault_case_name(a->fcase), a->kind, b->page,
				b->end, pg_fault_case_name(b->fcase), b->kind);
	}
	if (m->events != r->events)
		differ(t, "%d faults in the model, %d", m->events, r->events);
}

static void compare_all(struct run *t)
{
	for (int o = FILES + 1; o < OBJECTS; o++) {
		if (!t->m->object[o].used)
			t->r->object[o] = NULL;
	}
	for (int i = 0; i < SPACES && !t->broken; i++) {
		if (t->m->space[i].used != (t->r->space[i] != NULL))
			differ(t, "space %d is there in one only", i);
		else if (t->r->space[i])
			compare_space(t, i);
	}
	compare_files(t);
}

/* ---- choosing */

static uint64_t some_page(struct run *t)
{
	return LO + below(t, PAGES) * 4096;
}

static uint64_t some_len(struct run *t)
{
	return chance(t, 80) ? (below(t, 12) + 1) * 4096 : below(t, 12 * 4096);
}

static void choose_range(struct run *t, struct op *op)
{
	struct m_space *s = &t->m->space[op->space];

	op->addr = some_page(t);
	op->len = some_len(t);
	if (s->regions && chance(t, 80)) { /* around an existing region */
		struct m_region *r = &s->region[below(t, (uint64_t)s->regions)];
		uint64_t pages = (uint64_t)(r->end - r->start);

		op->addr = LO + (uint64_t)r->start * 4096 + below(t, pages) * 4096;
		op->len = (below(t, pages) + 1) * 4096;
		if (chance(t, 30)) {
			op->addr = LO + (uint64_t)r->start * 4096;
			op->len = pages * 4096;
		}
	}
	if (chance(t, 2))
		op->addr += 100;
	if (chance(t, 2))
		op->len = 0;
}

static pg_prot some_prot(struct run *t)
{
	static const pg_prot usual[] = {PG_READ | PG_WRITE, PG_READ | PG_WRITE, PG_READ | PG_WRITE,
		PG_READ, PG_READ | PG_EXEC, 0, PG_READ | PG_WRITE | PG_EXEC, PG_EXEC, PG_WRITE};

	return usual[below(t, sizeof usual)];
}

static void choose_map(struct run *t, struct op *op)
{
	op->addr = chance(t, 30) ? 0 : chance(t, 95) ? some_page(t) : some_page(t) - 8 * 4096 + 17;
	op->len = some_len(t);
	op->prot = some_prot(t);
	op->max_prot = chance(t, 85) ? 7 : (pg_prot)(op->prot | below(t, 8));
	op->flags = chance(t, 25) ? PG_MAP_FIXED : chance(t, 15) ? PG_MAP_FIXED_FREE : 0;
	op->flags |= chance(t, 30) ? PG_MAP_SHARED : 0;
	op->flags |= chance(t, 12) ? PG_MAP_GROWSDOWN : 0;
	op->flags |= chance(t, 8) ? PG_MAP_NORESERVE : 0;
	op->flags |= chance(t, 10) ? PG_MAP_POPULATE : 0;
	op->flags |= chance(t, 4) ? PG_MAP_LOCKED : 0;
	if (chance(t, 45)) {
		op->object = (int)below(t, FILES + 1);
		op->offset = below(t, 12) * 4096;
		if (chance(t, 95))
			op->flags &= ~(unsigned)PG_MAP_GROWSDOWN;
	} else if (chance(t, 90) && (op->flags & PG_MAP_GROWSDOWN)) {
		op->flags &= ~(unsigned)PG_MAP_SHARED;
		op->prot = PG_READ | PG_WRITE;
		op->max_prot = 7;
		op->addr = LO + (40 + below(t, PAGES - 52)) * 4096;
	}
}

static void choose_access(struct run *t, struct op *op)
{
	choose_range(t, op);
	op->access = op->kind == OP_WRITE  ? PG_WRITE
		     : op->kind == OP_READ ? PG_READ
					   : (enum pg_access)(1 << below(t, 3));
	op->addr += chance(t, 60) ? below(t, 4096) : 0;
	if (chance(t, 15)) /* below a region: a stack may grow */
		op->addr -= 4096 * (1 + below(t, 12));
	if (op->len > 4 * 4096 && chance(t, 80))
		op->len = 4 * 4096;
	op->value = (uint8_t)below(t, 256);
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
		[OP_FORK] = 4,
		[OP_EXIT] = 2};
	unsigned sum = 0;
	uint64_t x;
	int k;

	for (k = 0; k < OP_KINDS; k++)
		sum += weight[k];
	x = below(t, sum);
	for (k = 0; x >= weight[k]; k++)
		x -= weight[k];
	return k;
}

static int some_space(struct run *t, bool used)
{
	int n = (int)below(t, SPACES);

	for (int i = 0; i < SPACES; i++, n = (n + 1) % SPACES) {
		if (t->m->space[n].used == used)
			return n;
	}
	return -1;
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
		op->addr = LO + 8 * 4096 + below(t, 20 * 4096) - (chance(t, 10) ? 4096 : 0);
		op->len = chance(t, 80) ? 1 << 20 : 10 * 4096;
		break;
	case OP_WRITE:
	case OP_READ:
	case OP_FAULT:
		choose_access(t, op);
		break;
	case OP_TRUNCATE:
		op->object = (int)below(t, FILES + 1);
		op->len = below(t, OBJECT_PAGES * 4096);
		break;
	case OP_HOST_WRITE:
		op->object = (int)below(t, FILES);
		op->offset = below(t, t->m->object[op->object].size + 1);
		op->len = below(t, t->m->object[op->object].size - op->offset + 1);
		op->value = (uint8_t)below(t, 256);
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
		op->new_len = some_len(t);
		op->may_move = chance(t, 70);
		break;
	}
	return true;
}

/* ---- the runs */

static void step(struct run *t)
{
	struct outcome want, got;

	while (!choose(t, &t->op))
		;
	if (t->verbose)
		printf("%d: %s space %d addr %#llx (%lld) len %#llx new %#llx prot %d/%d flags %d "
		       "object %d offset %#llx access %d\n",
			t->step, op_names[t->op.kind], t->op.space, (unsigned long long)t->op.addr,
			(long long)(t->op.addr - LO) >> 12, (unsigned long long)t->op.len,
			(unsigned long long)t->op.new_len, t->op.prot, t->op.max_prot, t->op.flags,
			t->op.object, (unsigned long long)t->op.offset, t->op.access);
	want = model_apply(t->m, &t->op);
	got = rig_apply(t->r, &t->op);
	if (got.result != want.result || (want.result == 0 && got.addr != want.addr))
		differ(t, "result %lld at %#llx in the model, %lld at %#llx",
			(long long)want.result, (unsigned long long)want.addr,
			(long long)got.result, (unsigned long long)got.addr);
	compare_events(t);
	compare_all(t);
}

static bool sequence(uint64_t seed, bool verbose)
{
	static struct model m;
	static struct rig r;
	struct run t = {.m = &m, .r = &r, .seed = seed, .verbose = verbose};
	int max_regions;

	pg_random_seed(&t.rnd, seed);
	max_regions = chance(&t, 20) ? 12 : 0;
	model_init(&m, max_regions);
	rig_init(&r, 4 << 20, &pg_table_radix, max_regions);
	for (int o = 0; o < FILES; o++) {
		int n = (int)below(&t, OBJECT_PAGES * 4);

		if (n < OBJECT_PAGES)
			m.object[o].broken[n] = r.file[o].broken[n] = true;
		for (uint64_t i = 0; i < r.file[o].size; i++)
			r.file[o].bytes[i] = (uint8_t)(i * 11 + i / 4096 + (uint64_t)o);
		for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
			for (unsigned k = 0; k < PROBES; k++)
				m.object[o].byte[i][k] = m.object[o].disk[i][k] =
					r.file[o].bytes[i * 4096 + probe_at[k]];
		}
	}
	for (t.step = 0; t.step < STEPS && !t.broken; t.step++)
		step(&t);
	if (!t.broken)
		rig_free(&r);
	model_free(&m);
	return !t.broken;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");
	uint64_t n, first;

	argv += verbose;
	argc -= verbose;
	n = argc > 1 ? strtoull(argv[1], NULL, 0) : 1500;
	first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	for (uint64_t seed = first; seed < first + n; seed++) {
		if (!sequence(seed, verbose))
			return 1;
	}
	printf("%llu sequences of %d operations, seeds %llu to %llu: no difference\n",
		(unsigned long long)n, STEPS, (unsigned long long)first,
		(unsigned long long)(first + n - 1));
	return 0;
}
