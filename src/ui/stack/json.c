/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/json.c: stacks as JSON: everything that the text says, and depth over time.
 *
 * Called by stack.c. docs/json.md says what the members are.
 */
#include <inttypes.h>

#include "trace/location.h"
#include "ui/stack/stack.h"
#include "ui/write/json.h"

static void write_variable(struct pg_json *j, const struct pg_variable *v)
{
	pg_json_open(j, NULL, '{');
	pg_json_string(j, "name", v->name);
	pg_json_string(j, "kind", v->argument ? "argument" : "local");
	pg_json_string(j, "type", v->type);
	pg_json_number_if(j, "bytes", v->bytes, v->bytes != 0);
	if (v->located == PG_LOCATED_OK)
		pg_json_string(j, "value", v->value);
	else
		pg_json_string(j, "value", NULL);
	if (v->located != PG_LOCATED_OK)
		pg_json_string(j, "why_none", v->value);
	if (v->at)
		pg_json_address(j, "address", v->at);
	pg_json_close(j, '}');
}

static void write_scope(
	struct pg_json *j, const struct pg_scope *s, const struct pg_picture_frame *f)
{
	pg_json_open(j, NULL, '{');
	pg_json_string(j, "function", s->function);
	pg_json_string(j, "symbol", s->symbol);
	pg_json_boolean(j, "inlined", s->inlined);
	pg_json_boolean(j, "signal_frame", f->f.signal);
	if (!s->inlined)
		pg_json_number(j, "offset", s->offset);
	pg_json_string(j, "file", s->module[0] ? s->module : NULL);
	pg_json_string(j, "source", s->source);
	pg_json_number_if(j, "line", (uint64_t)s->line, s->source && s->line > 0);
	pg_json_open(j, "variables", '[');
	for (size_t i = 0; i < s->count; i++)
		write_variable(j, &s->variables[i]);
	pg_json_close(j, ']');
	pg_json_close(j, '}');
}

static void write_frame(struct pg_json *j, const struct pg_picture_frame *f)
{
	static const char *const by[] = {
		[PG_UNWIND_END] = "outermost",
		[PG_UNWIND_CFI] = "call frame information",
		[PG_UNWIND_BASE] = "base pointer",
		[PG_UNWIND_CALLED] = "return address on top",
		[PG_UNWIND_LOST] = "not found",
	};

	pg_json_open(j, NULL, '{');
	pg_json_number(j, "level", f->level);
	pg_json_address(j, "pc", f->f.pc);
	pg_json_address(j, "low", f->f.regs[PG_DWARF_RSP]);
	if (f->f.cfa)
		pg_json_address(j, "high", f->f.cfa);
	else
		pg_json_string(j, "high", NULL);
	if (f->f.return_at) {
		pg_json_address(j, "return_address", f->return_address);
		pg_json_address(j, "return_address_at", f->f.return_at);
	}
	if (f->f.saved_rbp_at) {
		pg_json_address(j, "saved_rbp", f->saved_rbp);
		pg_json_address(j, "saved_rbp_at", f->f.saved_rbp_at);
	}
	pg_json_string(j, "caller_by", by[f->f.by]);
	pg_json_open(j, "scopes", '[');
	for (size_t i = 0; i < f->scope_count; i++)
		write_scope(j, &f->scopes[i], f);
	pg_json_close(j, ']');
	pg_json_close(j, '}');
}

static void write_picture(struct pg_json *j, const struct pg_picture *t)
{
	static const char marks[] = {[PG_PICTURE_UNTOUCHED] = '.',
		[PG_PICTURE_RESIDENT] = '#',
		[PG_PICTURE_SWAPPED] = 's'};

	pg_json_open(j, NULL, '{');
	pg_json_number(j, "tid", (uint64_t)t->tid);
	pg_json_string(j, "name", t->name);
	pg_json_boolean(j, "current", t->here);
	pg_json_number(j, "frames_in_all", t->depth);
	pg_json_address(j, "stack_pointer", t->sp);
	if (t->cycle_names) {
		pg_json_open(j, "repeated", '{');
		pg_json_string(j, "chain", t->cycle_names);
		pg_json_number(j, "calls", t->cycle.length);
		pg_json_number(j, "times", t->cycle.turns);
		pg_json_close(j, '}');
	}
	if (t->high > t->low) {
		pg_json_address(j, "mapping_low", t->low);
		pg_json_address(j, "mapping_high", t->high);
		pg_json_boolean(j, "grows", t->grows);
		pg_json_boolean(j, "alternate_signal_stack", t->alternate);
		pg_json_address(j, "floor", t->floor);
		if (t->guard_high > t->guard_low) {
			pg_json_address(j, "guard_low", t->guard_low);
			pg_json_address(j, "guard_high", t->guard_high);
		}
		pg_json_address(j, "pages_from", t->pages_from);
		pg_json_number(j, "pages", t->page_count);
		pg_json_number(j, "pages_resident", t->resident);
		pg_json_number(j, "pages_swapped", t->swapped);
		pg_json_number(j, "pages_resident_below", t->resident_below);
		pg_json_key(j, "page_map");
		fputc('"', j->out);
		for (size_t i = 0; i < t->page_count; i++)
			fputc(marks[t->pages[i]], j->out);
		fputc('"', j->out);
	}
	pg_json_open(j, "frames", '[');
	for (size_t i = 0; i < t->count; i++)
		write_frame(j, &t->frames[i]);
	pg_json_close(j, ']');
	pg_json_close(j, '}');
}

static void write_chain(
	struct pg_json *j, const char *key, const struct pg_call_tree *t, uint32_t node)
{
	uint32_t chain[512], depth = pg_call_tree_chain(t, node, chain, 512);

	pg_json_open(j, key, '[');
	for (uint32_t i = 0; i < depth && i < 512; i++)
		pg_json_string(j, NULL, t->functions[chain[i]].name);
	pg_json_close(j, ']');
}

static void write_thread(
	struct pg_json *j, const struct pg_calls *c, const struct pg_calls_thread *t)
{
	pg_json_open(j, NULL, '{');
	pg_json_number(j, "tid", (uint64_t)t->tid);
	pg_json_number(j, "calls", t->calls);
	pg_json_number(j, "returns", t->returns);
	pg_json_number(j, "depth_max", t->depth_max);
	pg_json_number(j, "depth_max_event", t->depth_max_event);
	pg_json_number(j, "bytes_max", t->bytes_max);
	pg_json_number(j, "bytes_max_event", t->bytes_max_event);
	write_chain(j, "deepest_chain", &c->tree, t->bytes_max_node);
	write_chain(j, "longest_chain", &c->tree, t->depth_max_node);
	pg_json_number(j, "events_per_point", t->line.width);
	/* [point, calls low, calls high, bytes low, bytes high] */
	pg_json_open(j, "points", '[');
	for (unsigned i = 0; i < t->line.count; i++) {
		const struct pg_film_point *p = &t->line.points[i];

		if (!p->set)
			continue;
		pg_json_key(j, NULL);
		fprintf(j->out, "[%u, %" PRIu32 ", %" PRIu32 ", %" PRIu64 ", %" PRIu64 "]", i,
			p->depth_low, p->depth_high, p->bytes_low, p->bytes_high);
	}
	pg_json_close(j, ']');
	pg_json_close(j, '}');
}

static void write_functions(struct pg_json *j, const struct pg_calls *c)
{
	const struct pg_call_tree *t = &c->tree;

	pg_json_open(j, "functions", '[');
	for (uint32_t i = 0; i < t->function_count; i++) {
		const struct pg_call_function *f = &t->functions[i];

		if (!f->calls)
			continue;
		pg_json_open(j, NULL, '{');
		pg_json_string(j, "function", f->name);
		pg_json_string(j, "symbol", f->symbol);
		pg_json_string(j, "file", f->path[0] ? f->path : NULL);
		pg_json_number(j, "calls", f->calls);
		pg_json_number(j, "bytes_max", f->bytes_max);
		pg_json_number(j, "bytes", f->bytes);
		pg_json_number(j, "depth_max", f->depth_max);
		pg_json_number_if(j, "instructions", f->instructions, c->counted);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

void pg_stack_json(const struct pg_stack_result *r, FILE *out)
{
	struct pg_json j = pg_json_begin(out, 1);
	const struct pg_calls *c = r->calls;

	pg_json_strings(&j, "command", r->command);
	pg_json_number(&j, "process", (uint64_t)r->pid);
	pg_json_string(&j, "program", r->program);
	pg_json_string(&j, "moment", r->taken ? r->moment : NULL);
	pg_json_number_if(&j, "instructions", r->instructions, r->instructions != 0);
	pg_json_number_if(&j, "missed_bytes", r->missed, r->missed != 0);
	if (r->overflowed) {
		pg_json_open(&j, "overflow", '{');
		pg_json_number(&j, "frames", r->overflow_depth);
		pg_json_string(&j, "repeated", r->overflow);
		pg_json_close(&j, '}');
	}
	/* the same figures as `pagoda run` gives */
	pg_json_open(&j, "run", '{');
	pg_json_number_if(&j, "instructions", r->run.cpu.instructions, r->run.cpu.has_tlb);
	pg_json_number_if(&j, "data_lookups", r->run.cpu.data_lookups, r->run.cpu.has_tlb);
	pg_json_number_if(&j, "fetch_lookups", r->run.cpu.fetch_lookups, r->run.cpu.has_tlb);
	pg_json_number(&j, "minor_faults", r->run.space.minor);
	pg_json_number(&j, "major_faults", r->run.space.major);
	pg_json_number(&j, "system_calls", r->run.system_calls);
	pg_json_close(&j, '}');
	pg_json_open(&j, "stacks", '[');
	for (size_t i = 0; i < r->thread_count; i++)
		write_picture(&j, &r->threads[i]);
	pg_json_close(&j, ']');
	pg_json_open(&j, "over_time", '{');
	pg_json_number(&j, "events", c->events);
	pg_json_number(&j, "calls", c->calls);
	pg_json_number(&j, "returns", c->returns);
	pg_json_number(&j, "entered_by_jump", c->tails);
	pg_json_number(&j, "left_without_return", c->cut);
	pg_json_number(&j, "returns_to_nobody", c->strays);
	pg_json_number(&j, "stack_switches", c->switches);
	pg_json_number(&j, "signal_handlers", c->handlers);
	pg_json_open(&j, "threads", '[');
	for (unsigned i = 0; i < c->thread_count; i++)
		write_thread(&j, c, c->threads[i]);
	pg_json_close(&j, ']');
	write_functions(&j, c);
	pg_json_close(&j, '}');
	pg_json_end(&j);
}
