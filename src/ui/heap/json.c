/* SPDX-License-Identifier: MIT */
/*
 * ui/heap/json.c: a heap as JSON: every area, chunk, list and site, and the timeline. docs/heap.md lists the members.
 *
 * Called by ui/heap/heap.c.
 */
#include "ui/write/json.h"
#include "ui/heap/heap.h"

static const char *const area_kinds[] = {"break", "arena", "mapped", "segment", "calls"};

static void totals(struct pg_json *j, const struct pg_heap_picture *p)
{
	pg_json_open(j, "totals", '{');
	pg_json_number(j, "heap_bytes", p->heap_bytes);
	for (int i = 0; i < PG_CHUNK_STATES; i++) {
		pg_json_open(j, pg_heap_state_names[i], '{');
		pg_json_number(j, "chunks", p->count[i]);
		pg_json_number(j, "bytes", p->bytes[i]);
		pg_json_close(j, '}');
	}
	pg_json_number(j, "known_blocks", p->known_blocks);
	pg_json_number(j, "known_requested_bytes", p->known_requested);
	pg_json_number(j, "known_usable_bytes", p->known_usable);
	pg_json_fraction_if(
		j, "internal_fragmentation", pg_heap_internal(p), pg_heap_internal(p) >= 0);
	pg_json_number(j, "holes", p->holes);
	pg_json_number(j, "hole_bytes", p->hole_bytes);
	pg_json_number(j, "largest_hole_bytes", p->largest_hole);
	pg_json_fraction_if(
		j, "external_fragmentation", pg_heap_external(p), pg_heap_external(p) >= 0);
	pg_json_number(j, "pages", p->pages);
	pg_json_number(j, "resident_pages", p->resident);
	pg_json_number(j, "swapped_pages", p->swapped);
	pg_json_number(j, "idle_pages", p->idle);
	pg_json_number(j, "free_pages", p->idle_inside);
	pg_json_close(j, '}');
	pg_json_open(j, "calls", '{');
	pg_json_number(j, "made", p->calls);
	pg_json_number(j, "failed", p->failed);
	pg_json_number(j, "live_blocks", p->table_blocks);
	pg_json_number(j, "live_bytes", p->table_bytes);
	pg_json_number(j, "peak_live_bytes", p->peak_bytes);
	pg_json_number(j, "peak_at_call", p->peak_call);
	pg_json_close(j, '}');
	pg_json_open(j, "events", '{');
	pg_json_number_if(j, "splits", p->splits, p->cuts_known);
	pg_json_number_if(j, "coalesces", p->coalesces, p->cuts_known);
	pg_json_number_if(j, "cut_from_top", p->from_top, p->cuts_known);
	pg_json_number_if(j, "joined_to_top", p->to_top, p->cuts_known);
	pg_json_close(j, '}');
}

static void chunk(struct pg_json *j, const struct pg_heap_picture *p, const struct pg_heap_area *a,
	const struct pg_heap_chunk *c)
{
	uint64_t first = a->start & ~PG_PAGE_MASK, page = (c->address - first) >> PG_PAGE_SHIFT;
	uint64_t last = (c->address + c->size - 1 - first) >> PG_PAGE_SHIFT, there = 0;

	for (uint64_t i = page; a->there && i <= last; i++)
		there += a->there[i];
	pg_json_open(j, NULL, '{');
	pg_json_address(j, "address", c->address);
	pg_json_number(j, "bytes", c->size);
	pg_json_string(j, "state", pg_heap_state_names[c->state]);
	pg_json_address(j, "block", c->block);
	pg_json_number(j, "usable", c->usable);
	pg_json_number_if(j, "requested", c->requested, c->requested != PG_HEAP_UNKNOWN);
	pg_json_number(j, "page", page);
	pg_json_number(j, "pages", last - page + 1);
	pg_json_number_if(j, "resident_pages", there, a->there != NULL);
	pg_json_number_if(j, "call", c->call, c->call != 0);
	pg_json_number_if(j, "thread", c->thread, c->thread != 0);
	pg_json_number_if(j, "site", c->site, c->site != PG_HEAP_NONE);
	pg_json_number_if(j, "list", c->list, c->list != PG_HEAP_NONE);
	if (c->next != PG_HEAP_NONE)
		pg_json_address(j, "next", p->chunks[c->next].address);
	else
		pg_json_string(j, "next", NULL);
	pg_json_close(j, '}');
}

static void areas(struct pg_json *j, const struct pg_heap_picture *p)
{
	pg_json_open(j, "areas", '[');
	for (uint32_t i = 0; i < p->area_count; i++) {
		const struct pg_heap_area *a = &p->areas[i];

		pg_json_open(j, NULL, '{');
		pg_json_string(j, "name", a->name);
		pg_json_string(j, "kind", area_kinds[a->kind]);
		pg_json_address(j, "start", a->start);
		pg_json_address(j, "end", a->end);
		pg_json_number(j, "pages", a->pages);
		pg_json_number(j, "resident_pages", a->resident);
		pg_json_number(j, "swapped_pages", a->swapped);
		pg_json_number(j, "idle_pages", a->idle);
		pg_json_number(j, "free_pages", a->idle_inside);
		pg_json_open(j, "chunks", '[');
		for (uint32_t k = a->first; k < a->first + a->count; k++)
			chunk(j, p, a, &p->chunks[k]);
		pg_json_close(j, ']');
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

static void lists(struct pg_json *j, const struct pg_heap_picture *p)
{
	pg_json_open(j, "lists", '[');
	for (uint32_t i = 0; i < p->list_count; i++) {
		const struct pg_heap_list *l = &p->lists[i];

		pg_json_open(j, NULL, '{');
		pg_json_string(j, "name", l->name);
		pg_json_number(j, "chunks", l->count);
		pg_json_number(j, "bytes", l->bytes);
		if (l->first != PG_HEAP_NONE)
			pg_json_address(j, "first", p->chunks[l->first].address);
		else
			pg_json_string(j, "first", NULL);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

static void sites(struct pg_json *j, const struct pg_heap_picture *p)
{
	pg_json_open(j, "sites", '[');
	for (uint32_t i = 0; i < p->site_count; i++) {
		const struct pg_heap_site *s = &p->sites[i];

		pg_json_open(j, NULL, '{');
		pg_json_number(j, "calls", s->calls);
		pg_json_number(j, "live_blocks", s->live_blocks);
		pg_json_number(j, "live_bytes", s->live_bytes);
		pg_json_number(j, "peak_live_bytes", s->peak_bytes);
		pg_json_number(j, "resident_pages", s->resident_pages);
		pg_json_number(j, "resident_pages_alone", s->alone_pages);
		pg_json_open(j, "frames", '[');
		for (uint32_t k = 0; k < s->depth; k++) {
			const struct pg_heap_frame *f = &s->frames[k];

			pg_json_open(j, NULL, '{');
			pg_json_string(j, "function", f->function);
			pg_json_string(j, "symbol", f->symbol);
			pg_json_string(j, "module", f->module);
			pg_json_string(j, "source", f->source);
			pg_json_number_if(j, "line", (uint64_t)f->line, f->source && f->line > 0);
			pg_json_close(j, '}');
		}
		pg_json_close(j, ']');
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

static void timeline(struct pg_json *j, const struct pg_heap_picture *p)
{
	pg_json_open(j, "timeline", '[');
	for (uint32_t i = 0; i < p->sample_count; i++) {
		const struct pg_heap_sample *s = &p->samples[i];

		pg_json_open(j, NULL, '{');
		pg_json_number(j, "calls", s->calls);
		pg_json_number_if(j, "instructions", s->instructions, p->instructions != 0);
		pg_json_number(j, "live_blocks", s->live_blocks);
		pg_json_number(j, "live_bytes", s->live_bytes);
		pg_json_number(j, "heap_bytes", s->heap_bytes);
		pg_json_number(j, "used_bytes", s->used_bytes);
		pg_json_number(j, "known_requested_bytes", s->known_requested);
		pg_json_number(j, "known_usable_bytes", s->known_usable);
		pg_json_number(j, "hole_bytes", s->hole_bytes);
		pg_json_number(j, "largest_hole_bytes", s->largest_hole);
		pg_json_number(j, "cached_bytes", s->cached_bytes);
		pg_json_number(j, "top_bytes", s->top_bytes);
		pg_json_number(j, "resident_pages", s->resident_pages);
		pg_json_number(j, "idle_pages", s->idle_pages);
		pg_json_number_if(j, "splits", s->splits, p->cuts_known);
		pg_json_number_if(j, "coalesces", s->coalesces, p->cuts_known);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

void pg_heap_json(const struct pg_heap_show *s, FILE *out)
{
	const struct pg_heap_picture *p = s->p;
	struct pg_json j = pg_json_begin(out, 1);

	pg_json_strings(&j, "command", s->command);
	pg_json_string(&j, "program", p->program);
	pg_json_number(&j, "process", (uint64_t)p->pid);
	pg_json_string(&j, "allocator", p->allocator);
	pg_json_string(&j, "moment", p->moment);
	pg_json_number_if(&j, "instructions", p->instructions, p->instructions != 0);
	if (p->misuses) {
		pg_json_open(&j, "misuse", '{');
		pg_json_number(&j, "calls", p->misuses);
		pg_json_address(&j, "first", p->misuse_block);
		pg_json_number_if(&j, "site", p->misuse_site, p->misuse_site != PG_HEAP_NONE);
		pg_json_close(&j, '}');
	}
	pg_json_number(&j, "under_way", p->under_way);
	pg_json_string(&j, "note", p->note[0] ? p->note : NULL);
	pg_json_string(&j, "problem", p->problem[0] ? p->problem : NULL);
	totals(&j, p);
	areas(&j, p);
	lists(&j, p);
	sites(&j, p);
	timeline(&j, p);
	pg_json_end(&j);
}
