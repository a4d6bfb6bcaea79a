/* SPDX-License-Identifier: MIT */
/*
 * cpu/group.c: which accesses of a run may share one check.
 *
 * Called by decode.c's caller, translate.c, after a run is decoded. Emits nothing.
 *
 * Accesses off one unchanged base register (or off rsp, whose changes by push, pop and constants are known) with no other
 * access between them touch bytes [base + low, base + low + span). If all of these lie in the page of the
 * most recently used entry, the first access hits, and so does every later one, without changing any state: one check
 * answers for all and the counts stay exact. If the check fails for any reason, run.c executes the group from a
 * second translation in which each access has its own check (pg_translate_fragment).
 *
 * Invariants:
 *   1. A group has at least two members; only members access memory in it.
 *   2. Between its first and last member no instruction uses SA or SB.
 *   3. Conditional branches may lie in it: a member that is not reached was checked for nothing. But none makes stores
 *      of a group that would have loads only: the page may never be written.
 */
#include "cpu/translate.h"

#define MAX_SPAN 512

/* A shared check's subject: which register, and the value it has changed by since the group began. */
struct subject {
	unsigned base;
	int64_t delta;
};

static bool writes(const struct pg_insn *in, unsigned reg)
{
	return reg < 16 && (in->written_gprs >> reg & 1);
}

/*
 * Is this instruction one access off a plain base? Its offset from what the base was when the group began, its
 * size, and how the base changes by it.
 */
static bool simple_access(const struct pg_insn *in, unsigned *base, int64_t *off, unsigned *size,
	bool *store, int64_t *change)
{
	uint16_t stolen = in->stolen_in | in->stolen_out;
	*change = 0;
	switch ((enum pg_kind)in->kind) {
	case K_MEM: {
		const ZydisDecodedOperandMem *m = &in->ops[in->mem].mem;
		if (m->index != ZYDIS_REGISTER_NONE || in->zi.address_width != 64 ||
			m->base == ZYDIS_REGISTER_NONE || m->base == ZYDIS_REGISTER_RIP ||
			m->segment == ZYDIS_REGISTER_FS || m->segment == ZYDIS_REGISTER_GS ||
			(stolen & (stolen - 1)) != 0)
			return false;
		*base = pg_gpr_of(m->base);
		*off = m->disp.has_displacement ? m->disp.value : 0;
		*size = in->size;
		*store = in->writes;
		return true;
	}
	case K_PUSH:
		if (in->mem >= 0)
			return false;
		*size = in->zi.operand_width == 16 ? 2 : 8;
		*base = H_RSP;
		*off = -(int64_t)*size;
		*store = true;
		*change = -(int64_t)*size;
		return true;
	case K_POP:
		if (in->mem >= 0 || pg_gpr_of(in->ops[0].reg.value) == H_RSP)
			return false;
		*size = in->zi.operand_width == 16 ? 2 : 8;
		*base = H_RSP;
		*off = 0;
		*store = false;
		*change = *size;
		return true;
	case K_CALL:
		*size = 8;
		*base = H_RSP;
		*off = -8;
		*store = true;
		return true;
	case K_RET:
		*size = 8;
		*base = H_RSP;
		*off = 0;
		*store = false;
		return true;
	default:
		return false;
	}
}

/* May it stand between members? It must not use SA or SB, nor change the base but by a known amount. */
static bool may_stand_between(
	const struct pg_translator *tr, const struct pg_insn *in, struct subject *s)
{
	uint16_t used = in->stolen_in | in->stolen_out;
	if (in->kind == K_NOTHING)
		return true;
	if (in->kind == K_JCC) /* counters in memory use SA */
		return tr->e->vector_counts || pg_tr_fast(tr);
	if (in->kind == K_LEA) {
		const ZydisDecodedOperandMem *m = &in->ops[1].mem;
		unsigned b = pg_gpr_of(m->base), x = pg_gpr_of(m->index);
		if (b == SA || b == SB || x == SA || x == SB)
			return false;
	} else if (in->kind != K_COPY) {
		return false;
	}
	if (used & (1u << SA | 1u << SB))
		return false;
	if (!writes(in, s->base))
		return true;
	if ((in->zi.mnemonic == ZYDIS_MNEMONIC_ADD || in->zi.mnemonic == ZYDIS_MNEMONIC_SUB) &&
		in->zi.operand_width == 64 && in->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		int64_t by = in->ops[1].imm.value.s;
		s->delta += in->zi.mnemonic == ZYDIS_MNEMONIC_ADD ? by : -by;
		return s->delta > -MAX_SPAN && s->delta < MAX_SPAN;
	}
	return false;
}

/* Looks for a group that begins at tr->insn[i]; marks it. Returns the index behind its last member, or i + 1. */
static unsigned find_group(struct pg_translator *tr, unsigned i)
{
	struct pg_insn *first = &tr->insn[i];
	struct subject s = {0, 0};
	unsigned size, members = 1, last = i;
	int64_t off, change, low, high;
	bool store, any_store, branch = false;
	if (!simple_access(first, &s.base, &off, &size, &store, &change))
		return i + 1;
	/* Fast mode probes a register once for all its uses anyway, if it is in its host register. */
	if (first->kind == K_CALL || first->kind == K_RET ||
		(pg_tr_fast(tr) && !pg_is_stolen(s.base)))
		return i + 1;
	low = off;
	high = off + size;
	any_store = store;
	first->group_off = (int16_t)off;
	s.delta = change;
	bool open = !(first->kind == K_MEM && writes(first, s.base));
	for (unsigned k = i + 1; open && k < tr->n; k++) {
		struct pg_insn *in = &tr->insn[k];
		unsigned base;
		if (!simple_access(in, &base, &off, &size, &store, &change)) {
			if (!may_stand_between(tr, in, &s))
				break;
			branch |= in->kind == K_JCC;
			continue;
		}
		if (branch && store && !any_store)
			break;
		off += s.delta;
		if (base != s.base || off < -MAX_SPAN || off > MAX_SPAN)
			break;
		int64_t l = off < low ? off : low, h = off + size > high ? off + size : high;
		if (h - l > MAX_SPAN)
			break;
		low = l;
		high = h;
		any_store |= store;
		in->group_off = (int16_t)off;
		s.delta += change;
		members++;
		last = k;
		if (in->kind == K_CALL || in->kind == K_RET ||
			(in->kind == K_MEM && writes(in, s.base)))
			break;
	}
	if (members < 2)
		return i + 1;
	for (unsigned k = i; k <= last; k++) {
		struct pg_insn *in = &tr->insn[k];
		unsigned base;
		if (!simple_access(in, &base, &off, &size, &store, &change))
			continue;
		in->group = k == i ? GROUP_FIRST : GROUP_MEMBER;
		in->group_off = (int16_t)(in->group_off - low);
		in->group_base = (uint8_t)s.base;
	}
	first->group_low = (int16_t)low;
	first->group_span = (uint16_t)(high - low);
	first->group_store = any_store;
	first->group_last = (uint8_t)last;
	return last + 1;
}

void pg_find_groups(struct pg_translator *tr)
{
	for (unsigned i = 0; i < tr->n;)
		i = find_group(tr, i);
}
