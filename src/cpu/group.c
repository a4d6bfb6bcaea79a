/* SPDX-License-Identifier: MIT */
/*
 * cpu/group.c: which accesses of a run may share one check.
 *
 * Called by decode.c's caller, translate.c, after a run is decoded. Emits nothing.
 *
 * Accesses off one unchanged base register (or off rsp, whose changes by push, pop and constants are known)
 * touch bytes [base + low, base + low + span). If all of these lie in the page of the
 * most recently used entry of its set, or in two pages that both are, the first access hits, and so does every later one, without changing any
 * state: one check answers for all and the counts stay exact. If the check fails for any reason, run.c executes the group from a
 * second translation in which each access has its own check (pg_translate_fragment).
 *
 * Other accesses may lie between if the base is in its host register. A group is *open* there. One that is answered inline changes no state. One that
 * is not, but whose page is of another set (cold code asks, translate.c), changes nothing of the group's. After any other, or if anything else
 * happened meanwhile, the rest up to the end of all open groups is executed from such a second translation too.
 *
 * Invariants:
 *   1. A group has at least two members; if its base is a stolen register, only members access memory in it and between its first and last
 *      member no instruction uses SA or SB.
 *   2. An access stands in at most PG_OPEN_GROUPS groups that it is no member of, and is its instruction's only one.
 *   3. Conditional branches may lie in a group: a member that is not reached was checked for nothing. But none makes stores
 *      of a group that would have loads only: the page may never be written.
 *   4. `until` of an instruction: no group that is open at it, or begins before that row, ends behind it.
 */
#include "cpu/translate.h"

#define MAX_SPAN 512

/* A shared check's subject: which register, and the value it has changed by since the group began. */
struct subject {
	unsigned base;
	int64_t delta;
	bool spread; /* others' accesses may lie between */
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
	uint16_t used = s->spread ? 0 : in->stolen_in | in->stolen_out;
	if (in->kind == K_NOTHING)
		return true;
	if (in->kind == K_JCC) /* counters in memory use SA */
		return tr->e->vector_counts || pg_tr_fast(tr);
	if (in->kind == K_LEA) {
		const ZydisDecodedOperandMem *m = &in->ops[1].mem;
		unsigned b = pg_gpr_of(m->base), x = pg_gpr_of(m->index);
		if (!s->spread && (b == SA || b == SB || x == SA || x == SB))
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

/* May this access of another base stand between members? *change: of rsp. */
static bool may_access_between(const struct pg_insn *in, const struct subject *s, int64_t *change)
{
	int64_t size = in->zi.operand_width == 16 ? 2 : 8;
	*change = 0;
	if (!s->spread || (in->group != GROUP_MEMBER && in->n_open == PG_OPEN_GROUPS))
		return false;
	switch ((enum pg_kind)in->kind) {
	case K_MEM:
	case K_MOFFS:
		return !writes(in, s->base);
	case K_PUSH:
	case K_POP:
		if (in->mem >= 0 ||
			(in->kind == K_POP && writes(in, s->base) && s->base != H_RSP) ||
			(in->kind == K_POP && pg_gpr_of(in->ops[0].reg.value) == H_RSP))
			return false;
		if (s->base == H_RSP)
			*change = in->kind == K_PUSH ? -size : size;
		return true;
	default:
		return false;
	}
}

static bool may_begin(const struct pg_translator *tr, const struct pg_insn *in, unsigned base)
{
	/* Fast mode probes a register once for all its uses anyway, if it is in its host register. */
	return in->group == GROUP_NONE && in->kind != K_CALL && in->kind != K_RET &&
	       !(pg_tr_fast(tr) && !pg_is_stolen(base));
}

/* Looks for a group that begins at tr->insn[i]; marks it. */
static void find_group(struct pg_translator *tr, unsigned i)
{
	struct pg_insn *first = &tr->insn[i];
	struct subject s = {0, 0, false};
	unsigned size, members = 1, last = i;
	int64_t off, change, low, high, delta[PG_BLOCK_INSNS];
	uint32_t member = (uint32_t)1 << i, stranger = 0;
	_Static_assert(PG_BLOCK_INSNS <= 32, "a bit for each instruction");
	bool store, any_store, branch = false;
	if (!simple_access(first, &s.base, &off, &size, &store, &change) ||
		!may_begin(tr, first, s.base))
		return;
	s.spread = tr->e->second_d && !pg_is_stolen(s.base);
	low = off;
	high = off + size;
	any_store = store;
	first->group_off = (int16_t)off;
	s.delta = change;
	bool open = !(first->kind == K_MEM && writes(first, s.base));
	for (unsigned k = i + 1; open && k < tr->n; k++) {
		struct pg_insn *in = &tr->insn[k];
		unsigned base;
		if (simple_access(in, &base, &off, &size, &store, &change) && base == s.base &&
			in->group == GROUP_NONE && !(branch && store && !any_store)) {
			off += s.delta;
			int64_t l = off < low ? off : low,
				h = off + size > high ? off + size : high;
			if (off >= -MAX_SPAN && off <= MAX_SPAN && h - l <= MAX_SPAN) {
				low = l;
				high = h;
				any_store |= store;
				in->group_off = (int16_t)off;
				s.delta += change;
				members++;
				member |= (uint32_t)1 << k;
				last = k;
				if (in->kind == K_CALL || in->kind == K_RET ||
					(in->kind == K_MEM && writes(in, s.base)))
					break;
				continue;
			}
		}
		delta[k] = s.delta;
		if (may_access_between(in, &s, &change)) {
			stranger |= (uint32_t)1 << k;
			s.delta += change;
		} else if (!may_stand_between(tr, in, &s)) {
			break;
		}
		if (s.delta < -MAX_SPAN || s.delta > MAX_SPAN)
			break;
		branch |= in->kind == K_JCC;
	}
	if (members < 2)
		return;
	unsigned align = 1;
	for (unsigned k = i; k <= last; k++) {
		struct pg_insn *in = &tr->insn[k];
		unsigned base;
		if (stranger >> k & 1) {
			if (in->group != GROUP_MEMBER)
				in->open[in->n_open++] = (struct pg_open_group){(uint8_t)s.base,
					(int16_t)(low - delta[k]), (int16_t)(high - delta[k])};
			continue;
		}
		if (!(member >> k & 1))
			continue;
		simple_access(in, &base, &off, &size, &store, &change);
		in->group = k == i ? GROUP_FIRST : GROUP_MEMBER;
		in->group_off = (int16_t)(in->group_off - low);
		in->group_base = (uint8_t)s.base;
		if (size == 0 || (size & (size - 1)) || (unsigned)in->group_off % size)
			align = 0;
		else if (align && size > align)
			align = size;
	}
	first->group_low = (int16_t)low;
	first->group_span = (uint16_t)(high - low);
	first->group_align = (uint16_t)align;
	first->group_store = any_store;
	first->group_last = (uint8_t)last;
	for (unsigned k = i; k < last; k++) {
		if (tr->insn[k].until < last)
			tr->insn[k].until = (uint8_t)last;
	}
}

void pg_find_groups(struct pg_translator *tr)
{
	for (unsigned i = 0; i < tr->n; i++) {
		struct pg_insn *in = &tr->insn[i];
		in->until = (uint8_t)i;
	}
	for (unsigned i = 0; i < tr->n; i++)
		find_group(tr, i);
	for (unsigned i = tr->n; i-- > 0;) {
		struct pg_insn *in = &tr->insn[i];
		for (unsigned k = i + 1; k <= in->until; k++) {
			if (tr->insn[k].until > in->until)
				in->until = tr->insn[k].until;
		}
	}
}
