/* SPDX-License-Identifier: MIT */
/*
 * trace/faultlog.c: page faults as text.
 *
 * A struct pg_fault_event comes in through the machine's fault hook, text goes to a FILE that ui/
 * opened. The seven steps are those of space/fault.h; the case names are those of the diagram in
 * space/fault.c.
 *
 * Owns nothing.
 *
 * Not here: tallies (faults.c), the summary (ui/run/summary.c).
 */
#include "trace/faultlog.h"

#include <inttypes.h>

#include "space/object.h"
#include "space/space.h"
#include "trace/faults.h"

const char *pg_access_name(enum pg_access a)
{
	switch (a) {
	case PG_READ:
		return "read";
	case PG_WRITE:
		return "write";
	case PG_EXEC:
		return "exec";
	}
	return "access";
}

/* How a refused fault ends, e.g. "SIGSEGV, no region there". */
static const char *end_text(enum pg_fault_end end)
{
	switch (end) {
	case PG_FAULT_RESUME:
		return "resumed";
	case PG_FAULT_MAPERR:
		return "SIGSEGV, no region there";
	case PG_FAULT_ACCERR:
		return "SIGSEGV, the region does not allow it";
	case PG_FAULT_STACK:
		return "SIGSEGV, stack overflow";
	case PG_FAULT_BUS:
		return "SIGBUS, beyond the end of the file or unreadable";
	case PG_FAULT_OOM:
		return "out of memory, no frame left";
	case PG_FAULT_LIMIT:
		return "SIGSEGV, beyond the limit";
	}
	return "ended";
}

const char *pg_rights_text(pg_prot prot, bool shared, char text[5])
{
	text[0] = prot & PG_READ ? 'r' : '-';
	text[1] = prot & PG_WRITE ? 'w' : '-';
	text[2] = prot & PG_EXEC ? 'x' : '-';
	text[3] = shared ? 's' : 'p';
	text[4] = '\0';
	return text;
}

const char *pg_region_label(const struct pg_region *r)
{
	if (r->object) {
		const char *name = pg_object_name(r->object);
		if (name && name[0])
			return name;
	}
	if (r->name && r->name[0])
		return r->name;
	switch (r->kind) {
	case PG_REGION_HEAP:
		return "[heap]";
	case PG_REGION_STACK:
		return "[stack]";
	default:
		return "[anonymous]";
	}
}

/* Who did it: "main+0x12", "system call in main+0x12", or "exec" while a program was loaded. */
static const char *culprit(
	struct pg_faultlog *l, const struct pg_fault_event *e, char *text, size_t cap)
{
	const char *path = NULL;
	uint64_t offset = 0;

	if (e->by_kernel && e->pc == 0)
		return "exec";
	size_t used = (size_t)snprintf(text, cap, "%s", e->by_kernel ? "system call in " : "");
	pg_trace_file_of(e->space, e->pc, &path, &offset);
	pg_symbols_format(l->symbols, path, offset, e->pc, text + used, cap - used);
	return text;
}

/* A machine of blocks has no pages to bring in: what it mends is a stack that needs more of its block. */
static bool is_of_block(const struct pg_fault_event *e)
{
	return e->fcase == PG_CASE_NONE && e->end == PG_FAULT_RESUME;
}

/* Why a fault became a signal, in the words of one column. */
static const char *refused_kind(enum pg_fault_end end)
{
	switch (end) {
	case PG_FAULT_MAPERR:
		return "nothing mapped";
	case PG_FAULT_ACCERR:
		return "not allowed";
	case PG_FAULT_STACK:
		return "stack overflow";
	case PG_FAULT_BUS:
		return "no such page";
	case PG_FAULT_OOM:
		return "no frame left";
	case PG_FAULT_LIMIT:
		return "beyond the limit";
	case PG_FAULT_RESUME:
		break;
	}
	return "refused";
}

static const char *line_kind(const struct pg_fault_event *e)
{
	if (e->end != PG_FAULT_RESUME)
		return refused_kind(e->end);
	return is_of_block(e) ? "stack of the block" : pg_fault_kind_name(e->kind);
}

static void write_line(struct pg_faultlog *l, const struct pg_fault_event *e)
{
	char who[256], frame[24] = "-";

	if (l->count == 0)
		fprintf(l->out, "# %6s %-6s %-14s  %-4s %-17s %-9s %s\n", "fault", "access",
			"address", "case", "kind", "frame", "region <- caused by");
	l->count++;
	if (!pg_pfn_is_none(e->frame))
		snprintf(frame, sizeof frame, "%" PRIu32, e->frame.v);
	fprintf(l->out, "%8" PRIu64 " %-6s 0x%012" PRIx64 "  %-4s %-17s %-9s %s <- %s\n", l->count,
		pg_access_name(e->access), e->va.v, pg_fault_case_name(e->fcase), line_kind(e),
		frame, e->region ? pg_region_label(e->region) : "[none]",
		culprit(l, e, who, sizeof who));
}

/* Step 3: what was at hand, by the case diagram. */
static const char *case_text(enum pg_fault_case c)
{
	switch (c) {
	case PG_CASE_0:
		return "the page table holds it already: only a translation was stale or forgotten";
	case PG_CASE_1A:
		return "a private page, in a frame: it can be mapped as it is";
	case PG_CASE_1B:
		return "a private page, in a frame that others share, to be written: it must be "
		       "copied";
	case PG_CASE_1C:
		return "a private page, out in the backing store";
	case PG_CASE_2A:
		return "a page of the file, to be mapped where it lies in the page cache";
	case PG_CASE_2B:
		return "a page of the file, private, to be written: it must be copied";
	case PG_CASE_3A:
		return "nothing there yet, and only read: the shared zero page will do";
	case PG_CASE_3B:
		return "nothing there yet, to be written: a page of zeros must be made";
	case PG_CASE_NONE:
	case PG_CASES:
		break;
	}
	return "none";
}

static void explain_page(struct pg_faultlog *l, const struct pg_fault_event *e)
{
	FILE *o = l->out;

	fprintf(o, "  3 find      case %s: %s\n", pg_fault_case_name(e->fcase),
		case_text(e->fcase));
	if (e->frame_new)
		fprintf(o, "  4 frame     frame %" PRIu32 " taken from the free list\n",
			e->frame.v);
	else if (e->pages_in)
		fprintf(o, "  4 frame     frame %" PRIu32 " taken for the page cache\n",
			e->frame.v);
	else
		fprintf(o, "  4 frame     none needed: frame %" PRIu32 " holds the page\n",
			e->frame.v);
	if (!pg_pfn_is_none(e->copied_from))
		fprintf(o, "  5 fill      copied from frame %" PRIu32 "%s\n", e->copied_from.v,
			e->pages_in ? ", into which the file's page was read first" : "");
	else if (e->pages_in)
		fprintf(o, "  5 fill      page %" PRIu64 " read from %s\n", e->index,
			e->region ? pg_region_label(e->region) : "its store");
	else if (e->kind == PG_FAULT_ZERO_FILL)
		fprintf(o, "  5 fill      %" PRIu64 " bytes of zeros\n", PG_PAGE_SIZE);
	else
		fprintf(o, "  5 fill      nothing to do\n");
	fprintf(o, "  6 tables    page 0x%" PRIx64 " -> frame %" PRIu32, pg_vpn_of(e->va).v,
		e->frame.v);
	if (e->nodes_made)
		fprintf(o, "; %" PRIu32 " page-table node%s made", e->nodes_made,
			e->nodes_made == 1 ? "" : "s");
	if (e->by_kernel && e->pc == 0)
		fprintf(o, "\n  7 resume    the loading of the program");
	else
		fprintf(o, "\n  7 resume    the %s at 0x%" PRIx64,
			e->by_kernel ? "system call" : "instruction", e->pc);
	fprintf(o, " (%s)\n", pg_fault_kind_name(e->kind));
}

static void write_steps(struct pg_faultlog *l, const struct pg_fault_event *e)
{
	FILE *o = l->out;
	char who[256], rights[5];
	const struct pg_region *r = e->region;

	l->count++;
	fprintf(o, "fault %" PRIu64 ": %s 0x%" PRIx64 " by %s\n", l->count,
		pg_access_name(e->access), e->va.v, culprit(l, e, who, sizeof who));
	if (!r) {
		fprintf(o, "  1 reference no region holds the address%s\n",
			e->end == PG_FAULT_STACK   ? "; it is below the stack's limit"
			: e->end == PG_FAULT_LIMIT ? "; it is beyond the limit of the block"
						   : "");
		fprintf(o, "  2 trap      terminate: %s\n", end_text(e->end));
		return;
	}
	fprintf(o, "  1 reference region 0x%" PRIx64 "-0x%" PRIx64 " %s %s%s\n", r->start.v,
		r->end.v, pg_rights_text(r->prot, r->flags & PG_MAP_SHARED, rights),
		pg_region_label(r), e->stack_grew ? ", grown down to here" : "");
	if (e->end == PG_FAULT_MAPERR || e->end == PG_FAULT_ACCERR || e->end == PG_FAULT_STACK) {
		fprintf(o, "  2 trap      terminate: %s\n", end_text(e->end));
		return;
	}
	if (is_of_block(e)) {
		fprintf(o,
			"  2 trap      beyond the limit, but the stack may grow to here\n"
			"  - block     its registers allow the stack from 0x%" PRIx64 " on\n"
			"  7 resume    the %s at 0x%" PRIx64 "\n",
			r->start.v, e->by_kernel ? "system call" : "instruction", e->pc);
		return;
	}
	if (e->access == PG_EXEC && r &&
		!(r->prot & PG_EXEC)) /* as Linux does; see space/fault.c */
		fputs("  2 trap      no valid entry; exec is not allowed, which is looked at once "
		      "the page "
		      "is there",
			o);
	else
		fprintf(o, "  2 trap      %s is allowed, but no valid entry allowed it",
			pg_access_name(e->access));
	if (e->walk_refs)
		fprintf(o, " (the walk made %" PRIu64 " reference%s)", e->walk_refs,
			e->walk_refs == 1 ? "" : "s");
	fputc('\n', o);
	if (e->end != PG_FAULT_RESUME) {
		fprintf(o, "  3 find      case %s\n  - ended     %s\n",
			pg_fault_case_name(e->fcase), end_text(e->end));
		return;
	}
	explain_page(l, e);
}

void pg_faultlog_write(struct pg_faultlog *l, const struct pg_fault_event *e)
{
	if (l->explain)
		write_steps(l, e);
	else
		write_line(l, e);
}
