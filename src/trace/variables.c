/* SPDX-License-Identifier: MIT */
/*
 * trace/variables.c: from a frame to its functions and their variables, through the debug information.
 *
 *   pc -> module -> compile unit -> innermost scope -> lexical blocks and inlined functions outwards -> variables ->
 *   location description at pc -> bytes -> text
 *
 * Called by picture.c; everything runs in elfutils' thread (module.h). Where an argument is said to be what it was when the function
 * was entered (DW_OP_entry_value), the call site in the caller's debug information is asked what was passed (DWARF 5, 3.4), if that
 * names the function it calls: behind a tail call the caller's call site speaks of another one.
 *
 * Owns nothing but what it returns.
 */
#include "trace/variables.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/faults.h"
#include "trace/module.h"
#include "trace/value.h"

/* Where a frame is in the debug information. */
struct place {
	struct pg_space *space;
	const struct pg_unwind_frame *frames;
	size_t i, n;
	Dwarf_Die *cu;
	Dwarf_Addr pc;    /* that it is looked up by, as the DWARF counts */
	uint64_t load;    /* guest address = DWARF's + load */
	Dwarf_Die *chain; /* malloc'd: the innermost scope, then outwards */
	int chained;
	Dwarf_Die function; /* the one that was called */
	bool has_function;
	struct pg_symbols *symbols;
};

struct list {
	struct pg_scope *scopes;
	size_t n;
	bool failed;
};

void pg_scopes_free(struct pg_scope *scopes, size_t count)
{
	for (size_t i = 0; scopes && i < count; i++) {
		for (size_t k = 0; k < scopes[i].count; k++) {
			free(scopes[i].variables[k].name);
			free(scopes[i].variables[k].type);
			free(scopes[i].variables[k].value);
		}
		free(scopes[i].variables);
		free(scopes[i].function);
		free(scopes[i].symbol);
		free((void *)(uintptr_t)scopes[i].module);
		free(scopes[i].source);
	}
	free(scopes);
}

/* False: no debug information there. */
static bool find_place(struct place *p)
{
	const struct pg_unwind_frame *f = &p->frames[p->i];
	uint64_t pc = pg_unwind_lookup(f), offset, elf;
	Dwarf_Die *scopes = NULL;
	Dwarf_Addr bias;
	const char *path;

	if (!pg_trace_file_of(p->space, pc, &path, &offset))
		return false;
	struct pg_module *m = pg_symbols_module(p->symbols, path);
	if (!m || !pg_module_address(m, offset, &elf))
		return false;
	p->cu = dwfl_module_addrdie(m->module, elf + m->bias, &bias);
	if (!p->cu)
		return false;
	p->pc = elf + m->bias - bias;
	p->load = pc - p->pc;
	int n = dwarf_getscopes(p->cu, p->pc, &scopes);
	if (n <= 0)
		return false;
	/* what lies around the innermost scope in the code, which for inlined ones is not where they were defined */
	p->chained = dwarf_getscopes_die(&scopes[0], &p->chain);
	free(scopes);
	if (p->chained <= 0)
		return false;
	for (int i = 0; i < p->chained && !p->has_function; i++)
		if (dwarf_tag(&p->chain[i]) == DW_TAG_subprogram) {
			p->function = p->chain[i];
			p->has_function = true;
		}
	return p->has_function;
}

/* --- what was passed ------------------------------------------------------------------------------ */

static void set_location(const struct place *p, struct pg_location_frame *l)
{
	const struct pg_unwind_frame *f = &p->frames[p->i];
	Dwarf_Attribute a;
	Dwarf_Op *ops;
	size_t count;

	*l = (struct pg_location_frame){.space = p->space,
		.regs = f->regs,
		.known = f->known,
		.cfa = f->cfa,
		.has_cfa = f->cfa != 0,
		.load = p->load};
	Dwarf_Die function = p->function;
	if (p->has_function && dwarf_attr_integrate(&function, DW_AT_frame_base, &a) &&
		dwarf_getlocation_addr(&a, p->pc, &ops, &count, 1) == 1) {
		l->base = ops;
		l->base_count = count;
	}
}

/* The call site that returns to `pc` below die. */
static bool find_call_site(Dwarf_Die *die, Dwarf_Addr pc, Dwarf_Die *out, unsigned depth)
{
	Dwarf_Die child;
	Dwarf_Attribute a;

	if (depth > 32)
		return false;
	for (int more = dwarf_child(die, &child); more == 0;
		more = dwarf_siblingof(&child, &child)) {
		int tag = dwarf_tag(&child);
		Dwarf_Addr at = 0;

		if (tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) {
			if (dwarf_formaddr(dwarf_attr(&child,
						   tag == DW_TAG_call_site ? DW_AT_call_return_pc
									   : DW_AT_low_pc,
						   &a),
				    &at) == 0 &&
				at == pc) {
				*out = child;
				return true;
			}
		} else if (tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine) {
			if (find_call_site(&child, pc, out, depth + 1))
				return true;
		}
	}
	return false;
}

/* Does the call site name the function that runs? */
static bool calls(Dwarf_Die *site, Dwarf_Die *function)
{
	Dwarf_Attribute a;
	Dwarf_Die origin;
	int attribute =
		dwarf_tag(site) == DW_TAG_call_site ? DW_AT_call_origin : DW_AT_abstract_origin;

	if (!dwarf_formref_die(dwarf_attr(site, (unsigned)attribute, &a), &origin))
		return false;
	const char *one = dwarf_diename(&origin), *other = dwarf_diename(function);
	return one && other && strcmp(one, other) == 0;
}

/* The register that the first operation of a location names; -1: none. */
static int register_of(const Dwarf_Op *ops, size_t count)
{
	if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)
		return ops[0].atom - DW_OP_reg0;
	return -1;
}

static enum pg_located entry_value(void *ctx, const Dwarf_Op *ops, size_t count, uint64_t *value)
{
	const struct place *callee = ctx;
	struct place p = *callee;
	Dwarf_Die function = callee->function, site, parameter;
	Dwarf_Attribute a;
	Dwarf_Op *found;
	size_t n;
	int wanted = register_of(ops, count);
	enum pg_located end = PG_LOCATED_OPTIMISED;

	*value = 0;
	p.chain = NULL;
	p.has_function = false;
	if (wanted < 0 || ++p.i >= p.n || callee->frames[callee->i].signal || !find_place(&p))
		goto out;
	/* the DWARF's own count of the return address */
	if (!find_call_site(&p.function, p.frames[p.i].pc - p.load, &site, 0) ||
		!calls(&site, &function))
		goto out;
	for (int more = dwarf_child(&site, &parameter); more == 0;
		more = dwarf_siblingof(&parameter, &parameter)) {
		struct pg_location_frame l;
		int tag = dwarf_tag(&parameter);

		if (tag != DW_TAG_call_site_parameter && tag != DW_TAG_GNU_call_site_parameter)
			continue;
		if (dwarf_getlocation(dwarf_attr(&parameter, DW_AT_location, &a), &found, &n) !=
				0 ||
			register_of(found, n) != wanted)
			continue;
		if (dwarf_getlocation(
			    dwarf_attr(&parameter,
				    tag == DW_TAG_call_site_parameter ? DW_AT_call_value
								      : DW_AT_GNU_call_site_value,
				    &a),
			    &found, &n) != 0)
			break;
		set_location(&p, &l);
		l.attribute = &a;
		l.entry = entry_value; /* what the caller was passed itself */
		l.ctx = &p;
		end = pg_location_value(&l, found, n, NULL, value);
		if (end == PG_LOCATED_UNREADABLE)
			end = PG_LOCATED_OPTIMISED;
		break;
	}
out:
	free(p.chain);
	return end;
}

/* --- variables ------------------------------------------------------------------------------------ */

static const char *why_not(enum pg_located l)
{
	switch (l) {
	case PG_LOCATED_OPTIMISED:
		return "<optimised out>";
	case PG_LOCATED_UNREADABLE:
		return "<not in memory>";
	default:
		return "<not understood>";
	}
}

/* The bytes of a variable whose value is a constant of the debug information. */
static bool constant(Dwarf_Die *die, uint8_t *to, size_t size, size_t *got)
{
	Dwarf_Attribute a;
	Dwarf_Block block;
	Dwarf_Sword v;

	if (!dwarf_attr_integrate(die, DW_AT_const_value, &a))
		return false;
	if (dwarf_formblock(&a, &block) == 0) {
		*got = block.length < size ? (size_t)block.length : size;
		memcpy(to, block.data, *got);
		return true;
	}
	const char *s = dwarf_formstring(&a);
	if (s) {
		*got = strnlen(s, size);
		memcpy(to, s, *got);
		return true;
	}
	if (dwarf_formsdata(&a, &v) != 0)
		return false;
	*got = size < 8 ? size : 8;
	memcpy(to, &v, *got);
	return true;
}

static void read_variable(struct place *p, Dwarf_Die *die, struct pg_variable *v)
{
	uint8_t bytes[PG_VALUE_BYTES] = {0};
	struct pg_location_frame l;
	Dwarf_Attribute a;
	Dwarf_Die type, named;
	Dwarf_Op *ops;
	size_t count, got = 0;

	v->located = PG_LOCATED_OPTIMISED;
	v->value = NULL;
	if (!dwarf_formref_die(dwarf_attr_integrate(die, DW_AT_type, &a), &type)) {
		v->located = PG_LOCATED_UNKNOWN;
		v->type = strdup("?");
		v->value = strdup(why_not(v->located));
		return;
	}
	named = type;
	v->type = pg_type_name(&named);
	bool known = pg_type_strip(&type);
	v->bytes = known ? pg_type_bytes(&type) : 0;
	size_t size = v->bytes < sizeof bytes ? (size_t)v->bytes : sizeof bytes;
	if (size == 0) {
		v->located = PG_LOCATED_UNKNOWN;
	} else if (dwarf_attr_integrate(die, DW_AT_location, &a)) {
		set_location(p, &l);
		l.attribute = &a;
		l.entry = entry_value;
		l.ctx = p;
		/* none at this pc: it has no value here */
		if (dwarf_getlocation_addr(&a, p->pc, &ops, &count, 1) == 1)
			v->located = pg_location_read(&l, ops, count, bytes, size, &got, &v->at);
	} else if (constant(die, bytes, size, &got)) {
		v->located = PG_LOCATED_OK;
	}
	if (v->located == PG_LOCATED_OK)
		v->value = pg_value_text(p->space, &type, bytes, got);
	else if (size == 0 && known && dwarf_tag(&type) == DW_TAG_array_type)
		v->value = strdup("{of variable length}");
	else
		v->value = strdup(why_not(v->located));
}

/* Adds the variables that a scope declares itself. */
static bool add_variables(struct place *p, Dwarf_Die *die, struct pg_scope *s)
{
	Dwarf_Die child;

	for (int more = dwarf_child(die, &child); more == 0;
		more = dwarf_siblingof(&child, &child)) {
		int tag = dwarf_tag(&child);
		const char *name;

		if (tag != DW_TAG_variable && tag != DW_TAG_formal_parameter)
			continue;
		name = dwarf_diename(&child);
		if (!name || dwarf_hasattr_integrate(&child, DW_AT_artificial) ||
			dwarf_hasattr(&child, DW_AT_declaration))
			continue;
		struct pg_variable *more_room =
			realloc(s->variables, (s->count + 1) * sizeof *more_room);
		if (!more_room)
			return false;
		s->variables = more_room;
		struct pg_variable *v = &s->variables[s->count++];
		*v = (struct pg_variable){
			.name = strdup(name), .argument = tag == DW_TAG_formal_parameter};
		read_variable(p, &child, v);
		if (!v->name || !v->type || !v->value)
			return false;
	}
	return true;
}

/* Arguments first, in the order of their declaration: inner blocks were added before the function's own. */
static void order(struct pg_scope *s)
{
	struct pg_variable *sorted = malloc((s->count + !s->count) * sizeof *sorted);
	size_t n = 0;

	if (!sorted)
		return;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < s->count; i++)
			if (s->variables[i].argument == (pass == 0))
				sorted[n++] = s->variables[i];
	free(s->variables);
	s->variables = sorted;
}

static struct pg_scope *add_scope(struct list *l, const char *module)
{
	struct pg_scope *more = realloc(l->scopes, (l->n + 1) * sizeof *more);

	if (!more) {
		l->failed = true;
		return NULL;
	}
	l->scopes = more;
	struct pg_scope *s = &more[l->n++];
	*s = (struct pg_scope){.module = strdup(module)};
	l->failed |= !s->module;
	return s;
}

/* The file that a DIE's attribute (DW_AT_call_file) names. */
static const char *file_named(Dwarf_Die *cu, Dwarf_Die *die, unsigned attribute)
{
	Dwarf_Attribute a;
	Dwarf_Word n;
	Dwarf_Files *files;
	size_t count;

	if (dwarf_formudata(dwarf_attr(die, attribute, &a), &n) != 0 ||
		dwarf_getsrcfiles(cu, &files, &count) != 0 || n >= count)
		return NULL;
	return dwarf_filesrc(files, (size_t)n, NULL, NULL);
}

struct question {
	struct place place;
	bool values;
	struct list list;
};

/*
 * The name of a function. Its debug information has one without its class and namespace, and another one for the linker that has them; of C,
 * the first is all there is. What debug information does not say, the symbol table may: symbol, or NULL.
 */
static void name_scope(struct question *q, struct pg_scope *s, const Dwarf_Die *function,
	const struct pg_symbol *symbol)
{
	Dwarf_Die die;
	Dwarf_Attribute a;
	const char *linked = NULL, *plain = NULL;

	if (function) {
		die = *function;
		if (dwarf_attr_integrate(&die, DW_AT_linkage_name, &a) ||
			dwarf_attr_integrate(&die, DW_AT_MIPS_linkage_name, &a))
			linked = dwarf_formstring(&a);
		plain = dwarf_diename(&die);
	}
	if (linked)
		s->function = pg_symbols_shown(q->place.symbols, linked);
	else if (plain)
		s->function = strdup(plain);
	else if (symbol && symbol->function)
		s->function = strdup(symbol->function);
	if (symbol && symbol->symbol)
		s->symbol = strdup(symbol->symbol);
	else if (linked)
		s->symbol = strdup(linked);
}

static void answer(void *arg)
{
	struct question *q = arg;
	struct place *p = &q->place;
	struct list *l = &q->list;
	uint64_t pc = pg_unwind_lookup(&p->frames[p->i]), offset = 0;
	const char *path = "";
	struct pg_symbol symbol = {0};

	if (pg_trace_file_of(p->space, pc, &path, &offset))
		pg_symbols_find(p->symbols, path, offset, &symbol);
	else
		path = "";
	bool debug = find_place(p);
	struct pg_scope *s = add_scope(l, path);
	/* line and file: of the code, and for what lies around an inlined function of where it was inlined */
	const char *source = symbol.source;
	int line = symbol.line;
	for (int i = 0; debug && s && i < p->chained; i++) {
		Dwarf_Die *die = &p->chain[i];
		int tag = dwarf_tag(die);
		Dwarf_Attribute a;
		Dwarf_Word at;

		if (tag != DW_TAG_lexical_block && tag != DW_TAG_inlined_subroutine &&
			tag != DW_TAG_subprogram)
			break;
		if (q->values && !add_variables(p, die, s)) {
			l->failed = true;
			break;
		}
		if (tag != DW_TAG_inlined_subroutine)
			continue;
		name_scope(q, s, die, NULL);
		s->source = source ? strdup(source) : NULL;
		s->line = line;
		s->inlined = true;
		order(s);
		source = file_named(p->cu, die, DW_AT_call_file);
		line = dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &a), &at) == 0 ? (int)at
										       : 0;
		s = add_scope(l, path);
	}
	if (!s)
		return;
	name_scope(q, s, debug ? &p->function : NULL, &symbol);
	s->offset = symbol.offset + (pg_unwind_lookup(&p->frames[p->i]) != p->frames[p->i].pc);
	s->source = source ? strdup(source) : NULL;
	s->line = line;
	order(s);
	free(p->chain);
	p->chain = NULL;
}

int pg_scopes_of(struct pg_symbols *symbols, struct pg_space *space,
	const struct pg_unwind_frame *frames, size_t i, size_t n, bool values,
	struct pg_scope **out, size_t *count)
{
	struct question q = {
		.place = {.space = space, .frames = frames, .i = i, .n = n, .symbols = symbols},
		.values = values};

	pg_symbols_ask(symbols, answer, &q);
	if (q.list.failed) {
		pg_scopes_free(q.list.scopes, q.list.n);
		*out = NULL;
		*count = 0;
		return -ENOMEM;
	}
	*out = q.list.scopes;
	*count = q.list.n;
	return 0;
}
