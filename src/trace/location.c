/* SPDX-License-Identifier: MIT */
/*
 * trace/location.c: the stack machine of DWARF expressions.
 *
 * Called by unwind.c and variables.c, see location.h. Values are 64 bits wide and typed operations (DWARF 5, 2.5.1) work on
 * integers only; what is not understood ends the evaluation with PG_LOCATED_UNKNOWN, never with a guess.
 *
 * Owns nothing.
 */
#include "trace/location.h"

#include <dwarf.h>
#include <string.h>

#define DEPTH 64
#define MOST_STEPS 4096 /* an expression may loop */

bool pg_trace_peek(struct pg_space *s, uint64_t at, void *to, size_t n)
{
	return at < (uint64_t)1 << 47 && pg_space_peek(s, to, (pg_va){at}, n) == n;
}

struct machine {
	const struct pg_location_frame *f;
	uint64_t v[DEPTH];
	unsigned n;
	bool value; /* DW_OP_stack_value: what is on top is the value itself */
};

static bool reg(const struct pg_location_frame *f, uint64_t n, uint64_t *out)
{
	if (n >= PG_DWARF_REGS || !(f->known >> n & 1))
		return false;
	*out = f->regs[n];
	return true;
}

/* The base of the frame that DW_OP_fbreg counts from. */
static enum pg_located frame_base(const struct pg_location_frame *f, uint64_t *out)
{
	struct pg_location_frame inner = *f;

	if (!f->base || f->base_count == 0)
		return PG_LOCATED_UNKNOWN;
	inner.base = NULL;
	if (f->base[0].atom >= DW_OP_reg0 && f->base[0].atom <= DW_OP_reg31)
		return reg(f, f->base[0].atom - DW_OP_reg0, out) ? PG_LOCATED_OK
								 : PG_LOCATED_UNREADABLE;
	return pg_location_value(&inner, f->base, f->base_count, NULL, out);
}

static enum pg_located load(struct machine *m, uint64_t at, uint64_t size)
{
	uint64_t v = 0;

	if (size == 0 || size > sizeof v)
		return PG_LOCATED_UNKNOWN;
	if (!pg_trace_peek(m->f->space, at, &v, size))
		return PG_LOCATED_UNREADABLE;
	m->v[m->n++] = v;
	return PG_LOCATED_OK;
}

/* Operations on the two topmost values: v[n - 2] op v[n - 1], the result in r. */
static bool binary(unsigned atom, uint64_t a, uint64_t b, uint64_t *r)
{
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	switch (atom) {
	case DW_OP_and:
		*r = a & b;
		return true;
	case DW_OP_or:
		*r = a | b;
		return true;
	case DW_OP_xor:
		*r = a ^ b;
		return true;
	case DW_OP_plus:
		*r = a + b;
		return true;
	case DW_OP_minus:
		*r = a - b;
		return true;
	case DW_OP_mul:
		*r = a * b;
		return true;
	case DW_OP_div:
		if (b == 0 || (sb == -1 && sa == INT64_MIN))
			return false;
		*r = (uint64_t)(sa / sb);
		return true;
	case DW_OP_mod:
		if (b == 0)
			return false;
		*r = a % b;
		return true;
	case DW_OP_shl:
		*r = b < 64 ? a << b : 0;
		return true;
	case DW_OP_shr:
		*r = b < 64 ? a >> b : 0;
		return true;
	case DW_OP_shra:
		*r = (uint64_t)(sa >> (b < 64 ? b : 63));
		return true;
	case DW_OP_eq:
		*r = sa == sb;
		return true;
	case DW_OP_ne:
		*r = sa != sb;
		return true;
	case DW_OP_lt:
		*r = sa < sb;
		return true;
	case DW_OP_le:
		*r = sa <= sb;
		return true;
	case DW_OP_gt:
		*r = sa > sb;
		return true;
	case DW_OP_ge:
		*r = sa >= sb;
		return true;
	default:
		return false;
	}
}

/* The operation that a branch to byte `offset` of the expression leads to. */
static size_t branch(const Dwarf_Op *ops, size_t count, uint64_t offset)
{
	size_t i = 0;

	while (i < count && ops[i].offset != offset)
		i++;
	return i;
}

/* The type that a typed operation names, if it is an integer of at most 8 bytes: its size; else 0. */
static unsigned integer_type(const struct pg_location_frame *f, const Dwarf_Op *op, bool *is_signed)
{
	Dwarf_Die die;
	Dwarf_Attribute a;
	Dwarf_Word encoding, size;

	*is_signed = false;
	if (!f->attribute || dwarf_getlocation_die(f->attribute, op, &die) != 0)
		return 0;
	if (dwarf_formudata(dwarf_attr(&die, DW_AT_encoding, &a), &encoding) != 0 ||
		dwarf_formudata(dwarf_attr(&die, DW_AT_byte_size, &a), &size) != 0)
		return 0;
	*is_signed = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
	if (encoding == DW_ATE_float || encoding == DW_ATE_complex_float)
		return 0;
	return size <= 8 ? (unsigned)size : 0;
}

static uint64_t as_integer(uint64_t v, unsigned size, bool is_signed)
{
	unsigned gone = 64 - 8 * size;

	if (is_signed)
		return (uint64_t)((int64_t)(v << gone) >> gone);
	return v << gone >> gone;
}

static enum pg_located typed(struct machine *m, const Dwarf_Op *op)
{
	const struct pg_location_frame *f = m->f;
	bool is_signed;
	unsigned size;
	uint64_t v;

	switch (op->atom) {
	case DW_OP_regval_type:
	case DW_OP_GNU_regval_type:
		if (!reg(f, op->number, &v))
			return op->number < PG_DWARF_REGS ? PG_LOCATED_UNREADABLE
							  : PG_LOCATED_UNKNOWN;
		size = integer_type(f, op, &is_signed);
		if (size == 0)
			return PG_LOCATED_UNKNOWN;
		m->v[m->n++] = as_integer(v, size, is_signed);
		return PG_LOCATED_OK;
	case DW_OP_deref_type:
	case DW_OP_GNU_deref_type:
		size = integer_type(f, op, &is_signed);
		if (size == 0 || m->n == 0)
			return PG_LOCATED_UNKNOWN;
		m->n--;
		return load(m, m->v[m->n], size);
	default: /* convert, reinterpret; type 0: the generic type */
		if (m->n == 0)
			return PG_LOCATED_UNKNOWN;
		if (op->number == 0)
			return PG_LOCATED_OK;
		size = integer_type(f, op, &is_signed);
		if (size == 0)
			return PG_LOCATED_UNKNOWN;
		m->v[m->n - 1] = as_integer(m->v[m->n - 1], size, is_signed);
		return PG_LOCATED_OK;
	}
}

static enum pg_located entry_value(struct machine *m, const Dwarf_Op *op)
{
	const struct pg_location_frame *f = m->f;
	Dwarf_Attribute inner;
	Dwarf_Op *ops;
	size_t count;

	if (!f->entry || !f->attribute || dwarf_getlocation_attr(f->attribute, op, &inner) != 0 ||
		dwarf_getlocation(&inner, &ops, &count) != 0)
		return PG_LOCATED_OPTIMISED;
	return f->entry(f->ctx, ops, count, &m->v[m->n++]);
}

/* One operation that is no branch. */
static enum pg_located step(struct machine *m, const Dwarf_Op *op)
{
	const struct pg_location_frame *f = m->f;
	uint64_t v = 0, *top = m->n ? &m->v[m->n - 1] : NULL;
	unsigned atom = op->atom, needs = 0;
	enum pg_located end;

	if (m->n + 1 >= DEPTH)
		return PG_LOCATED_UNKNOWN;
	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) {
		m->v[m->n++] = atom - DW_OP_lit0;
		return PG_LOCATED_OK;
	}
	if ((atom >= DW_OP_breg0 && atom <= DW_OP_breg31) || atom == DW_OP_bregx) {
		uint64_t n = atom == DW_OP_bregx ? op->number : atom - DW_OP_breg0;
		if (!reg(f, n, &v))
			return PG_LOCATED_UNREADABLE;
		m->v[m->n++] = v + (atom == DW_OP_bregx ? op->number2 : op->number);
		return PG_LOCATED_OK;
	}
	switch (atom) {
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		m->v[m->n++] = op->number;
		return PG_LOCATED_OK;
	case DW_OP_addr:
		m->v[m->n++] = op->number + f->load;
		return PG_LOCATED_OK;
	case DW_OP_call_frame_cfa:
		if (!f->has_cfa)
			return PG_LOCATED_UNREADABLE;
		m->v[m->n++] = f->cfa;
		return PG_LOCATED_OK;
	case DW_OP_fbreg:
		end = frame_base(f, &v);
		m->v[m->n++] = v + op->number;
		return end;
	case DW_OP_entry_value:
	case DW_OP_GNU_entry_value:
		return entry_value(m, op);
	case DW_OP_stack_value:
		m->value = true;
		return m->n ? PG_LOCATED_OK : PG_LOCATED_UNKNOWN;
	case DW_OP_nop:
		return PG_LOCATED_OK;
	case DW_OP_regval_type:
	case DW_OP_GNU_regval_type:
	case DW_OP_deref_type:
	case DW_OP_GNU_deref_type:
	case DW_OP_convert:
	case DW_OP_GNU_convert:
	case DW_OP_reinterpret:
	case DW_OP_GNU_reinterpret:
		return typed(m, op);
	case DW_OP_dup:
	case DW_OP_drop:
	case DW_OP_deref:
	case DW_OP_deref_size:
	case DW_OP_abs:
	case DW_OP_neg:
	case DW_OP_not:
	case DW_OP_plus_uconst:
		needs = 1;
		break;
	case DW_OP_pick:
		if (op->number >= m->n)
			return PG_LOCATED_UNKNOWN;
		v = m->v[m->n - 1 - op->number];
		m->v[m->n++] = v;
		return PG_LOCATED_OK;
	case DW_OP_rot:
		needs = 3;
		break;
	default:
		needs = 2;
		break;
	}
	if (m->n < needs)
		return PG_LOCATED_UNKNOWN;
	switch (atom) {
	case DW_OP_dup:
		m->v[m->n++] = *top;
		return PG_LOCATED_OK;
	case DW_OP_drop:
		m->n--;
		return PG_LOCATED_OK;
	case DW_OP_deref:
	case DW_OP_deref_size:
		v = *top;
		m->n--;
		return load(m, v, atom == DW_OP_deref ? 8 : op->number);
	case DW_OP_abs:
		if ((int64_t)*top < 0)
			*top = 0 - *top;
		return PG_LOCATED_OK;
	case DW_OP_neg:
		*top = 0 - *top;
		return PG_LOCATED_OK;
	case DW_OP_not:
		*top = ~*top;
		return PG_LOCATED_OK;
	case DW_OP_plus_uconst:
		*top += op->number;
		return PG_LOCATED_OK;
	case DW_OP_over:
		v = top[-1];
		m->v[m->n++] = v;
		return PG_LOCATED_OK;
	case DW_OP_swap:
		v = *top;
		*top = top[-1];
		top[-1] = v;
		return PG_LOCATED_OK;
	case DW_OP_rot:
		v = *top;
		*top = top[-1];
		top[-1] = top[-2];
		top[-2] = v;
		return PG_LOCATED_OK;
	default:
		if (!binary(atom, top[-1], *top, &v))
			return PG_LOCATED_UNKNOWN;
		m->n--;
		m->v[m->n - 1] = v;
		return PG_LOCATED_OK;
	}
}

static enum pg_located execute(struct machine *m, const Dwarf_Op *ops, size_t count)
{
	for (size_t i = 0, steps = 0; i < count; steps++) {
		const Dwarf_Op *op = &ops[i++];
		enum pg_located end;

		if (steps == MOST_STEPS)
			return PG_LOCATED_UNKNOWN;
		if (op->atom == DW_OP_bra || op->atom == DW_OP_skip) {
			if (op->atom == DW_OP_bra && (m->n == 0 || m->v[--m->n] == 0))
				continue;
			/* elfutils gives the distance from behind the operation, which is 3 bytes long */
			i = branch(ops, count, op->offset + 3 + (uint64_t)(int16_t)op->number);
			continue;
		}
		end = step(m, op);
		if (end != PG_LOCATED_OK)
			return end;
	}
	return PG_LOCATED_OK;
}

enum pg_located pg_location_value(const struct pg_location_frame *f, const Dwarf_Op *ops,
	size_t count, const uint64_t *start, uint64_t *value)
{
	struct machine m = {.f = f};
	enum pg_located end;

	*value = 0;
	if (start)
		m.v[m.n++] = *start;
	if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31)
		return reg(f, ops[0].atom - DW_OP_reg0, value) ? PG_LOCATED_OK
							       : PG_LOCATED_UNREADABLE;
	end = execute(&m, ops, count);
	if (end == PG_LOCATED_OK && m.n == 0)
		end = PG_LOCATED_UNKNOWN;
	if (end == PG_LOCATED_OK)
		*value = m.v[m.n - 1];
	return end;
}

static bool is_piece(const Dwarf_Op *op)
{
	return op->atom == DW_OP_piece || op->atom == DW_OP_bit_piece;
}

/* One simple location: no pieces. */
static enum pg_located read_simple(const struct pg_location_frame *f, const Dwarf_Op *ops,
	size_t count, uint8_t *to, size_t size, size_t *got, uint64_t *at)
{
	struct machine m = {.f = f};
	unsigned atom = count ? ops[0].atom : 0;
	enum pg_located end;
	uint64_t v;

	*got = 0;
	if (count == 0)
		return PG_LOCATED_OPTIMISED;
	if ((atom >= DW_OP_reg0 && atom <= DW_OP_reg31) || atom == DW_OP_regx) {
		uint64_t n = atom == DW_OP_regx ? ops[0].number : atom - DW_OP_reg0;

		if (n >= PG_DWARF_REGS)
			return PG_LOCATED_UNKNOWN; /* of the vector unit */
		if (!reg(f, n, &v))
			return PG_LOCATED_OPTIMISED; /* a callee may have changed it: nobody keeps it */
		*got = size < 8 ? size : 8;
		memcpy(to, &v, *got);
		return PG_LOCATED_OK;
	}
	if (atom == DW_OP_implicit_value) {
		Dwarf_Block block;

		if (!f->attribute ||
			dwarf_getlocation_implicit_value(f->attribute, ops, &block) != 0)
			return PG_LOCATED_UNKNOWN;
		*got = size < block.length ? size : (size_t)block.length;
		memcpy(to, block.data, *got);
		return PG_LOCATED_OK;
	}
	if (atom == DW_OP_implicit_pointer || atom == DW_OP_GNU_implicit_pointer)
		return PG_LOCATED_OPTIMISED;
	end = execute(&m, ops, count);
	if (end != PG_LOCATED_OK)
		return end;
	if (m.n == 0)
		return PG_LOCATED_OPTIMISED;
	v = m.v[m.n - 1];
	if (m.value) {
		*got = size < 8 ? size : 8;
		memcpy(to, &v, *got);
		return PG_LOCATED_OK;
	}
	*at = v;
	if (!pg_trace_peek(f->space, v, to, size))
		return PG_LOCATED_UNREADABLE;
	*got = size;
	return PG_LOCATED_OK;
}

enum pg_located pg_location_read(const struct pg_location_frame *f, const Dwarf_Op *ops,
	size_t count, void *to, size_t size, size_t *got, uint64_t *at)
{
	uint8_t *p = to;
	size_t i = 0, first = 0, part;
	uint64_t ignored = 0;

	*got = 0;
	*at = 0;
	while (i < count && !is_piece(&ops[i]))
		i++;
	if (i == count)
		return read_simple(f, ops, count, p, size, got, at);
	for (; i < count && *got < size; i++) {
		enum pg_located end;
		size_t n;

		if (!is_piece(&ops[i]))
			continue;
		if (ops[i].atom == DW_OP_bit_piece)
			return PG_LOCATED_UNKNOWN;
		n = (size_t)ops[i].number;
		if (n > size - *got)
			n = size - *got;
		end = read_simple(f, ops + first, i - first, p + *got, n, &part, &ignored);
		if (end != PG_LOCATED_OK)
			return end;
		if (part != n)
			return PG_LOCATED_UNKNOWN;
		*got += n;
		first = i + 1;
	}
	return PG_LOCATED_OK;
}
