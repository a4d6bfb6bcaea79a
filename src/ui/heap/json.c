/* SPDX-License-Identifier: MIT */
/*
 * ui/heap/json.c: a heap as JSON: every area, chunk, list and site, and the timeline. docs/heap.md lists the members.
 *
 * Called by ui/heap/heap.c.
 */
#include "ui/write/json.h"
#include "ui/heap/heap.h"

static const char *const area_kinds[] = {"break", "arena", "mapped", "segment", "calls"};

static void share_or_null(struct json *j, const char *key, double v)
{
	if (v < 0)
		string(j, key, NULL);
	else
		fraction(j, key, v);
}

static void totals(struct json *j, const struct pg_heap_picture *p)
{
	open_(j, "totals", '{');
	number(j, "heap_bytes", p->heap_bytes);
	for (int i = 0; i < PG_CHUNK_STATES; i++) {
		open_(j, pg_heap_state_names[i], '{');
		number(j, "chunks", p->count[i]);
		number(j, "bytes", p->bytes[i]);
		close_(j, '}');
	}
	number(j, "known_blocks", p->known_blocks);
	number(j, "known_requested_bytes", p->known_requested);
	number(j, "known_usable_bytes", p->known_usable);
	share_or_null(j, "internal_fragmentation", pg_heap_internal(p));
	number(j, "holes", p->holes);
	number(j, "hole_bytes", p->hole_bytes);
	number(j, "largest_hole_bytes", p->largest_hole);
	share_or_null(j, "external_fragmentation", pg_heap_external(p));
	number(j, "pages", p->pages);
	number(j, "resident_pages", p->resident);
	number(j, "swapped_pages", p->swapped);
	number(j, "idle_pages", p->idle);
	number(j, "free_pages", p->idle_inside);
	close_(j, '}');
	open_(j, "calls", '{');
	number(j, "made", p->calls);
	number(j, "failed", p->failed);
	number(j, "live_blocks", p->table_blocks);
	number(j, "live_bytes", p->table_bytes);
	number(j, "peak_live_bytes", p->peak_bytes);
	number(j, "peak_at_call", p->peak_call);
	close_(j, '}');
	open_(j, "events", '{');
	number_if(j, "splits", p->splits, p->cuts_known);
	number_if(j, "coalesces", p->coalesces, p->cuts_known);
	number_if(j, "cut_from_top", p->from_top, p->cuts_known);
	number_if(j, "joined_to_top", p->to_top, p->cuts_known);
	close_(j, '}');
}

static void chunk(struct json *j, const struct pg_heap_picture *p, const struct pg_heap_area *a,
	const struct pg_heap_chunk *c)
{
	uint64_t first = a->start & ~PG_PAGE_MASK, page = (c->address - first) >> PG_PAGE_SHIFT;
	uint64_t last = (c->address + c->size - 1 - first) >> PG_PAGE_SHIFT, there = 0;

	for (uint64_t i = page; a->there && i <= last; i++)
		there += a->there[i];
	open_(j, NULL, '{');
	address(j, "address", c->address);
	number(j, "bytes", c->size);
	string(j, "state", pg_heap_state_names[c->state]);
	address(j, "block", c->block);
	number(j, "usable", c->usable);
	number_if(j, "requested", c->requested, c->requested != PG_HEAP_UNKNOWN);
	number(j, "page", page);
	number(j, "pages", last - page + 1);
	number_if(j, "resident_pages", there, a->there != NULL);
	number_if(j, "call", c->call, c->call != 0);
	number_if(j, "thread", c->thread, c->thread != 0);
	number_if(j, "site", c->site, c->site != PG_HEAP_NONE);
	number_if(j, "list", c->list, c->list != PG_HEAP_NONE);
	if (c->next != PG_HEAP_NONE)
		address(j, "next", p->chunks[c->next].address);
	else
		string(j, "next", NULL);
	close_(j, '}');
}

static void areas(struct json *j, const struct pg_heap_picture *p)
{
	open_(j, "areas", '[');
	for (uint32_t i = 0; i < p->area_count; i++) {
		const struct pg_heap_area *a = &p->areas[i];

		open_(j, NULL, '{');
		string(j, "name", a->name);
		string(j, "kind", area_kinds[a->kind]);
		address(j, "start", a->start);
		address(j, "end", a->end);
		number(j, "pages", a->pages);
		number(j, "resident_pages", a->resident);
		number(j, "swapped_pages", a->swapped);
		number(j, "idle_pages", a->idle);
		number(j, "free_pages", a->idle_inside);
		open_(j, "chunks", '[');
		for (uint32_t k = a->first; k < a->first + a->count; k++)
			chunk(j, p, a, &p->chunks[k]);
		close_(j, ']');
		close_(j, '}');
	}
	close_(j, ']');
}

static void lists(struct json *j, const struct pg_heap_picture *p)
{
	open_(j, "lists", '[');
	for (uint32_t i = 0; i < p->list_count; i++) {
		const struct pg_heap_list *l = &p->lists[i];

		open_(j, NULL, '{');
		string(j, "name", l->name);
		number(j, "chunks", l->count);
		number(j, "bytes", l->bytes);
		if (l->first != PG_HEAP_NONE)
			address(j, "first", p->chunks[l->first].address);
		else
			string(j, "first", NULL);
		close_(j, '}');
	}
	close_(j, ']');
}

static void sites(struct json *j, const struct pg_heap_picture *p)
{
	open_(j, "sites", '[');
	for (uint32_t i = 0; i < p->site_count; i++) {
		const struct pg_heap_site *s = &p->sites[i];

		open_(j, NULL, '{');
		number(j, "calls", s->calls);
		number(j, "live_blocks", s->live_blocks);
		number(j, "live_bytes", s->live_bytes);
		number(j, "peak_live_bytes", s->peak_bytes);
		number(j, "resident_pages", s->resident_pages);
		number(j, "resident_pages_alone", s->alone_pages);
		open_(j, "frames", '[');
		for (uint32_t k = 0; k < s->depth; k++) {
			const struct pg_heap_frame *f = &s->frames[k];

			open_(j, NULL, '{');
			string(j, "function", f->function);
			string(j, "symbol", f->symbol);
			string(j, "module", f->module);
			string(j, "source", f->source);
			number_if(j, "line", (uint64_t)f->line, f->source && f->line > 0);
			close_(j, '}');
		}
		close_(j, ']');
		close_(j, '}');
	}
	close_(j, ']');
}

static void timeline(struct json *j, const struct pg_heap_picture *p)
{
	open_(j, "timeline", '[');
	for (uint32_t i = 0; i < p->sample_count; i++) {
		const struct pg_heap_sample *s = &p->samples[i];

		open_(j, NULL, '{');
		number(j, "calls", s->calls);
		number_if(j, "instructions", s->instructions, p->instructions != 0);
		number(j, "live_blocks", s->live_blocks);
		number(j, "live_bytes", s->live_bytes);
		number(j, "heap_bytes", s->heap_bytes);
		number(j, "used_bytes", s->used_bytes);
		number(j, "known_requested_bytes", s->known_requested);
		number(j, "known_usable_bytes", s->known_usable);
		number(j, "hole_bytes", s->hole_bytes);
		number(j, "largest_hole_bytes", s->largest_hole);
		number(j, "cached_bytes", s->cached_bytes);
		number(j, "top_bytes", s->top_bytes);
		number(j, "resident_pages", s->resident_pages);
		number(j, "idle_pages", s->idle_pages);
		number_if(j, "splits", s->splits, p->cuts_known);
		number_if(j, "coalesces", s->coalesces, p->cuts_known);
		close_(j, '}');
	}
	close_(j, ']');
}

void pg_heap_json(const struct pg_heap_show *s, FILE *out)
{
	const struct pg_heap_picture *p = s->p;
	struct json j = json_begin(out, 1);

	strings(&j, "command", s->command);
	string(&j, "program", p->program);
	number(&j, "process", (uint64_t)p->pid);
	string(&j, "allocator", p->allocator);
	string(&j, "moment", p->moment);
	number_if(&j, "instructions", p->instructions, p->instructions != 0);
	if (p->misuses) {
		open_(&j, "misuse", '{');
		number(&j, "calls", p->misuses);
		address(&j, "first", p->misuse_block);
		number_if(&j, "site", p->misuse_site, p->misuse_site != PG_HEAP_NONE);
		close_(&j, '}');
	}
	string(&j, "note", p->note[0] ? p->note : NULL);
	string(&j, "problem", p->problem[0] ? p->problem : NULL);
	totals(&j, p);
	areas(&j, p);
	lists(&j, p);
	sites(&j, p);
	timeline(&j, p);
	json_end(&j);
}
