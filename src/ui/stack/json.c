/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/json.c: stacks as JSON: everything that the text says, and depth over time.
 *
 * Called by stack.c. docs/json.md says what the members are.
 */
#include <string.h>

#include "trace/location.h"
#include "ui/stack/stack.h"
#include "ui/write/json.h"

static void write_variable(struct json *j, const struct pg_variable *v)
{
	open_(j, NULL, '{');
	string(j, "name", v->name);
	string(j, "kind", v->argument ? "argument" : "local");
	string(j, "type", v->type);
	number_if(j, "bytes", v->bytes, v->bytes != 0);
	if (v->located == PG_LOCATED_OK)
		string(j, "value", v->value);
	else
		string(j, "value", NULL);
	if (v->located != PG_LOCATED_OK)
		string(j, "why_none", v->value);
	if (v->at)
		address(j, "address", v->at);
	close_(j, '}');
}

static void write_scope(struct json *j, const struct pg_scope *s, const struct pg_picture_frame *f)
{
	open_(j, NULL, '{');
	string(j, "function", s->function);
	string(j, "symbol", s->symbol);
	boolean(j, "inlined", s->inlined);
	boolean(j, "signal_frame", f->f.signal);
	if (!s->inlined)
		number(j, "offset", s->offset);
	string(j, "file", s->module[0] ? s->module : NULL);
	string(j, "source", s->source);
	number_if(j, "line", (uint64_t)s->line, s->source && s->line > 0);
	open_(j, "variables", '[');
	for (size_t i = 0; i < s->count; i++)
		write_variable(j, &s->variables[i]);
	close_(j, ']');
	close_(j, '}');
}

static void write_frame(struct json *j, const struct pg_picture_frame *f)
{
	static const char *const by[] = {
		[PG_UNWIND_END] = "outermost",
		[PG_UNWIND_CFI] = "call frame information",
		[PG_UNWIND_BASE] = "base pointer",
		[PG_UNWIND_CALLED] = "return address on top",
		[PG_UNWIND_LOST] = "not found",
	};

	open_(j, NULL, '{');
	number(j, "level", f->level);
	address(j, "pc", f->f.pc);
	address(j, "low", f->f.regs[PG_DWARF_RSP]);
	if (f->f.cfa)
		address(j, "high", f->f.cfa);
	else
		string(j, "high", NULL);
	if (f->f.return_at) {
		address(j, "return_address", f->return_address);
		address(j, "return_address_at", f->f.return_at);
	}
	if (f->f.saved_rbp_at) {
		address(j, "saved_rbp", f->saved_rbp);
		address(j, "saved_rbp_at", f->f.saved_rbp_at);
	}
	string(j, "caller_by", by[f->f.by]);
	open_(j, "scopes", '[');
	for (size_t i = 0; i < f->scope_count; i++)
		write_scope(j, &f->scopes[i], f);
	close_(j, ']');
	close_(j, '}');
}

static void write_picture(struct json *j, const struct pg_picture *t)
{
	static const char marks[] = {[PG_PICTURE_UNTOUCHED] = '.',
		[PG_PICTURE_RESIDENT] = '#',
		[PG_PICTURE_SWAPPED] = 's'};

	open_(j, NULL, '{');
	number(j, "tid", (uint64_t)t->tid);
	string(j, "name", t->name);
	boolean(j, "current", t->here);
	number(j, "frames_in_all", t->depth);
	address(j, "stack_pointer", t->sp);
	if (t->cycle_names) {
		open_(j, "repeated", '{');
		string(j, "chain", t->cycle_names);
		number(j, "calls", t->cycle.length);
		number(j, "times", t->cycle.turns);
		close_(j, '}');
	}
	if (t->high > t->low) {
		address(j, "mapping_low", t->low);
		address(j, "mapping_high", t->high);
		boolean(j, "grows", t->grows);
		boolean(j, "alternate_signal_stack", t->alternate);
		address(j, "floor", t->floor);
		if (t->guard_high > t->guard_low) {
			address(j, "guard_low", t->guard_low);
			address(j, "guard_high", t->guard_high);
		}
		address(j, "pages_from", t->pages_from);
		number(j, "pages", t->page_count);
		number(j, "pages_resident", t->resident);
		number(j, "pages_swapped", t->swapped);
		number(j, "pages_resident_below", t->resident_below);
		begin(j, "page_map");
		fputc('"', j->out);
		for (size_t i = 0; i < t->page_count; i++)
			fputc(marks[t->pages[i]], j->out);
		fputc('"', j->out);
	}
	open_(j, "frames", '[');
	for (size_t i = 0; i < t->count; i++)
		write_frame(j, &t->frames[i]);
	close_(j, ']');
	close_(j, '}');
}

static void write_chain(
	struct json *j, const char *key, const struct pg_call_tree *t, uint32_t node)
{
	uint32_t chain[512], depth = pg_call_tree_chain(t, node, chain, 512);

	open_(j, key, '[');
	for (uint32_t i = 0; i < depth && i < 512; i++)
		string(j, NULL, t->functions[chain[i]].name);
	close_(j, ']');
}

static void write_thread(struct json *j, const struct pg_calls *c, const struct pg_calls_thread *t)
{
	open_(j, NULL, '{');
	number(j, "tid", (uint64_t)t->tid);
	number(j, "calls", t->calls);
	number(j, "returns", t->returns);
	number(j, "depth_max", t->depth_max);
	number(j, "depth_max_event", t->depth_max_event);
	number(j, "bytes_max", t->bytes_max);
	number(j, "bytes_max_event", t->bytes_max_event);
	write_chain(j, "deepest_chain", &c->tree, t->bytes_max_node);
	write_chain(j, "longest_chain", &c->tree, t->depth_max_node);
	number(j, "events_per_point", t->line.width);
	/* [point, calls low, calls high, bytes low, bytes high] */
	open_(j, "points", '[');
	for (unsigned i = 0; i < t->line.count; i++) {
		const struct pg_film_point *p = &t->line.points[i];

		if (!p->set)
			continue;
		begin(j, NULL);
		fprintf(j->out, "[%u, %" PRIu32 ", %" PRIu32 ", %" PRIu64 ", %" PRIu64 "]", i,
			p->depth_low, p->depth_high, p->bytes_low, p->bytes_high);
	}
	close_(j, ']');
	close_(j, '}');
}

static void write_functions(struct json *j, const struct pg_calls *c)
{
	const struct pg_call_tree *t = &c->tree;

	open_(j, "functions", '[');
	for (uint32_t i = 0; i < t->function_count; i++) {
		const struct pg_call_function *f = &t->functions[i];

		if (!f->calls)
			continue;
		open_(j, NULL, '{');
		string(j, "function", f->name);
		string(j, "symbol", f->symbol);
		string(j, "file", f->path[0] ? f->path : NULL);
		number(j, "calls", f->calls);
		number(j, "bytes_max", f->bytes_max);
		number(j, "bytes", f->bytes);
		number(j, "depth_max", f->depth_max);
		number_if(j, "instructions", f->instructions, c->counted);
		close_(j, '}');
	}
	close_(j, ']');
}

void pg_stack_json(const struct pg_stack_result *r, FILE *out)
{
	struct json j = json_begin(out, 1);
	const struct pg_calls *c = r->calls;

	strings(&j, "command", r->command);
	number(&j, "process", (uint64_t)r->pid);
	string(&j, "program", r->program);
	string(&j, "moment", r->taken ? r->moment : NULL);
	number_if(&j, "instructions", r->instructions, r->instructions != 0);
	number_if(&j, "missed_bytes", r->missed, r->missed != 0);
	if (r->overflowed) {
		open_(&j, "overflow", '{');
		number(&j, "frames", r->overflow_depth);
		string(&j, "repeated", r->overflow);
		close_(&j, '}');
	}
	/* the same figures as `pagoda run` gives */
	open_(&j, "run", '{');
	number_if(&j, "instructions", r->run.cpu.instructions, r->run.cpu.has_tlb);
	number_if(&j, "data_lookups", r->run.cpu.data_lookups, r->run.cpu.has_tlb);
	number_if(&j, "fetch_lookups", r->run.cpu.fetch_lookups, r->run.cpu.has_tlb);
	number(&j, "minor_faults", r->run.space.minor);
	number(&j, "major_faults", r->run.space.major);
	number(&j, "system_calls", r->run.system_calls);
	close_(&j, '}');
	open_(&j, "stacks", '[');
	for (size_t i = 0; i < r->thread_count; i++)
		write_picture(&j, &r->threads[i]);
	close_(&j, ']');
	open_(&j, "over_time", '{');
	number(&j, "events", c->events);
	number(&j, "calls", c->calls);
	number(&j, "returns", c->returns);
	number(&j, "entered_by_jump", c->tails);
	number(&j, "left_without_return", c->cut);
	number(&j, "returns_to_nobody", c->strays);
	number(&j, "stack_switches", c->switches);
	number(&j, "signal_handlers", c->handlers);
	open_(&j, "threads", '[');
	for (unsigned i = 0; i < c->thread_count; i++)
		write_thread(&j, c, c->threads[i]);
	close_(&j, ']');
	write_functions(&j, c);
	close_(&j, '}');
	json_end(&j);
}
