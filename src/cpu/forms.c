/* SPDX-License-Identifier: MIT */
/*
 * cpu/forms.c: what is known of instructions of the same form, so that each is decoded by Zydis once.
 *
 * Called by decode.c. The *form* of an instruction is its bytes without displacement and immediate: prefixes, opcode, ModRM and SIB.
 * Everything that the translator wants to know of an instruction follows from its form, but the two numbers, and the
 * count of a shift, of which flags depend. A program has some hundred to some thousand forms; looking one up that is in the host's cache takes a tenth of
 * decoding it.
 *
 * Only forms of common opcodes are kept (`one_byte` and below say which): of all others, and of what is executed in C, nothing is known
 * here. Where the fields lie in the bytes: Intel SDM vol. 2, ch. 2 and appendix A.
 *
 * Invariants:
 *   F1 What pg_form_find() gives equals, in the parts that are kept, what decode.c makes of the same bytes without it (tests/cpu/test_forms.c).
 *      Nobody looks at other parts of an instruction that is not executed in C.
 *   F2 A form's bytes have a length that they alone determine, so no form is the beginning of another.
 */
#include "cpu/forms.h"

#include <stdlib.h>

/* What follows an opcode. */
enum {
	X = 0,      /* not kept */
	N = 1,      /* nothing */
	M = 2,      /* ModRM */
	I8 = 4,     /* an immediate of 8 bits */
	IZ = 8,     /* of 16 bits with an operand-size prefix, else of 32 */
	IV = 16,    /* likewise, or of 64 with REX.W */
	J = 32,     /* a displacement of 32 bits to jump */
	TEST = 64,  /* an immediate, as large as the operand, if ModRM.reg is 0 or 1 */
	ZERO = 128, /* kept if ModRM.reg is 0 */
};

/* clang-format off */
static const uint8_t one_byte[256] = {
	/* 0 */ M, M, M, M, I8, IZ, X, X, M, M, M, M, I8, IZ, X, X,
	/* 1 */ M, M, M, M, I8, IZ, X, X, M, M, M, M, I8, IZ, X, X,
	/* 2 */ M, M, M, M, I8, IZ, X, X, M, M, M, M, I8, IZ, X, X,
	/* 3 */ M, M, M, M, I8, IZ, X, X, M, M, M, M, I8, IZ, X, X,
	/* 4 */ X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	/* 5 */ N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
	/* 6 */ X, X, X, M, X, X, X, X, IZ, M | IZ, I8, M | I8, X, X, X, X,
	/* 7 */ I8, I8, I8, I8, I8, I8, I8, I8, I8, I8, I8, I8, I8, I8, I8, I8,
	/* 8 */ M | I8, M | IZ, X, M | I8, M, M, M, M, M, M, M, M, X, M, X, X,
	/* 9 */ N, N, N, N, N, N, N, N, N, N, X, X, X, X, X, X,
	/* a */ X, X, X, X, X, X, X, X, I8, IZ, X, X, X, X, X, X,
	/* b */ I8, I8, I8, I8, I8, I8, I8, I8, IV, IV, IV, IV, IV, IV, IV, IV,
	/* c */ M | I8, M | I8, X, N, X, X, M | I8 | ZERO, M | IZ | ZERO, X, N, X, X, X, X, X, X,
	/* d */ M, M, M, M, X, X, X, X, M, M, M, M, M, M, M, M,
	/* e */ X, X, X, X, X, X, X, X, J, J, X, I8, X, X, X, X,
	/* f */ X, X, X, X, X, N, M | I8 | TEST, M | IZ | TEST, N, N, X, X, X, X, M, M,
};

/* Behind 0f. */
static const uint8_t two_byte[256] = {
	/* 0 */ X, X, X, X, X, X, X, X, X, X, X, X, X, M, X, X,
	/* 1 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 2 */ X, X, X, X, X, X, X, X, M, M, M, M, M, M, M, M,
	/* 3 */ X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	/* 4 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 5 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 6 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 7 */ M | I8, M | I8, M | I8, M | I8, M, M, M, X, X, X, X, X, M, M, M, M,
	/* 8 */ J, J, J, J, J, J, J, J, J, J, J, J, J, J, J, J,
	/* 9 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* a */ X, X, X, M, M | I8, M, X, X, X, X, X, M, M | I8, M, X, M,
	/* b */ M, M, X, M, X, X, M, M, M, X, M | I8, M, M, M, M, M,
	/* c */ M, M, M | I8, M, M | I8, M | I8, M | I8, X, N, N, N, N, N, N, N, N,
	/* d */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* e */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* f */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, X,
};
/* clang-format on */

/* An instruction's fields. */
struct fields {
	uint64_t form;                                         /* its bytes, the first lowest */
	unsigned disp_at, disp_size, imm_at, imm_size, length; /* bytes */
};

/* Takes the n bytes of an instruction apart. False: not one that is kept, or not all of it is there. */
static bool take_apart(const uint8_t *b, unsigned n, struct fields *f)
{
	unsigned i = 0, map = 0, what;
	bool narrow = false, wide = false, prefixed = false;
	if (n < 1)
		return false;
	for (; i < n; i++) {
		if (b[i] == 0x66)
			narrow = true;
		else if (b[i] != 0xf2 && b[i] != 0xf3 && b[i] != 0xf0 && b[i] != 0x2e &&
			 b[i] != 0x3e && b[i] != 0x64)
			break;
		prefixed = true;
	}
	if (i + 1 < n && (b[i] == 0xc5 || b[i] == 0xc4)) { /* VEX; both are nothing else here */
		unsigned k = b[i] == 0xc5 ? 2 : 3;
		map = b[i] == 0xc5 ? 1 : b[i + 1] & 31;
		if (prefixed || i + k >= n || map < 1 || map > 3)
			return false;
		i += k;
		what = map == 3 ? M | I8 : M;
		if (map == 1 && b[i] == 0x77)
			return false;
		if (map == 1 && (two_byte[b[i]] & I8))
			what = M | I8;
		i++;
	} else {
		if (i < n && (b[i] & 0xf0) == 0x40)
			wide = b[i++] & 8;
		if (i + 1 < n && b[i] == 0x0f) {
			i++;
			if (b[i] == 0x38 || b[i] == 0x3a) {
				what = b[i] == 0x38 ? M : M | I8;
				if (++i >= n)
					return false;
			} else {
				what = two_byte[b[i]];
			}
		} else if (i < n) {
			what = one_byte[b[i]];
		} else {
			return false;
		}
		i++;
	}
	if (what == X || ((what & J) && narrow))
		return false;
	f->disp_size = 0;
	if (what & M) {
		if (i >= n)
			return false;
		unsigned mod = b[i] >> 6, reg = b[i] >> 3 & 7, rm = b[i] & 7;
		if ((what & ZERO) && reg != 0)
			return false;
		if ((what & TEST) && reg > 1)
			what = M;
		i++;
		if (mod != 3 && rm == 4) {
			if (i >= n)
				return false;
			if (mod == 0 && (b[i] & 7) == 5)
				f->disp_size = 4;
			i++;
		}
		if (mod == 1)
			f->disp_size = 1;
		else if (mod == 2 || (mod == 0 && rm == 5))
			f->disp_size = 4;
	}
	if (i > 8)
		return false;
	f->form = 0;
	memcpy(&f->form, b, i);
	f->disp_at = i;
	f->imm_at = i + f->disp_size;
	f->imm_size = what & I8         ? 1
		      : what & IV       ? (wide            ? 8
						  : narrow ? 2
							   : 4)
		      : what & (IZ | J) ? (narrow && !wide ? 2 : 4)
					: 0;
	f->length = f->imm_at + f->imm_size;
	return f->length <= n && f->length <= 15;
}

/* A number of `size` bytes, extended to 64 bits. */
static uint64_t number(const uint8_t *b, unsigned size, bool is_signed)
{
	uint64_t v = 0;
	memcpy(&v, b, size);
	if (size < 8 && is_signed && (v >> (8 * size - 1) & 1))
		v |= ~(uint64_t)0 << (8 * size);
	return v;
}

struct pg_forms *pg_forms_create(void)
{
	struct pg_forms *f = calloc(1, sizeof(*f));
	if (f)
		f->room = malloc(FORMS_BYTES);
	if (f && !f->room) {
		free(f);
		return NULL;
	}
	return f;
}

void pg_forms_free(struct pg_forms *f)
{
	if (f)
		free(f->room);
	free(f);
}

static uint32_t *slot_of(struct pg_forms *forms, uint64_t form)
{
	return &forms->slots[form * 0x9e3779b97f4a7c15u >> (64 - FORMS_BITS)];
}

bool pg_form_find(struct pg_forms *forms, const uint8_t *bytes, unsigned n, struct pg_insn *in)
{
	struct fields f;
	if (!take_apart(bytes, n, &f))
		return false;
	uint32_t at = *slot_of(forms, f.form);
	if (at == 0)
		return false;
	const struct pg_form *k = (const struct pg_form *)(const void *)(forms->room + at);
	if (k->form != f.form || k->length != f.length)
		return false;
	uint64_t rip = in->rip;
	uint8_t *to = (uint8_t *)in;
	memcpy(to, k->head, sizeof(k->head));
	memcpy(to + PG_FORM_META, k->meta, sizeof(k->meta));
	memcpy(to + PG_FORM_TAIL, k->tail, sizeof(k->tail));
	for (unsigned i = 0; i < k->n_ops; i++)
		in->ops[i] = k->ops[i];
	in->rip = rip;
	memcpy(in->bytes, bytes, f.length);
	if (f.disp_size) {
		in->zi.raw.disp.value = (int64_t)number(bytes + f.disp_at, f.disp_size, true);
		if (k->mem < ZYDIS_MAX_OPERAND_COUNT)
			in->ops[k->mem].mem.disp.value = in->zi.raw.disp.value;
	}
	if (f.imm_size) {
		in->zi.raw.imm[0].value.u =
			number(bytes + f.imm_at, f.imm_size, in->zi.raw.imm[0].is_signed);
		if (k->imm < ZYDIS_MAX_OPERAND_COUNT)
			in->ops[k->imm].imm.value.u = in->zi.raw.imm[0].value.u;
	}
	return true;
}

void pg_form_keep(struct pg_forms *forms, const struct pg_insn *in)
{
	struct fields f;
	const ZydisDecodedInstruction *zi = &in->zi;
	unsigned n_ops = zi->operand_count_visible;
	if (n_ops == 0 && zi->operand_count) /* of ret and others the first is looked at, too */
		n_ops = 1;
	uint32_t all = pg_align_up(sizeof(struct pg_form) + n_ops * sizeof(in->ops[0]), 16);
	if (in->kind == K_COMPLEX || in->kind == K_STOP || !take_apart(in->bytes, in->length, &f))
		return;
	/* Zydis has the last word on where things are. */
	if (f.length != in->length || zi->raw.disp.size != 8 * f.disp_size ||
		zi->raw.imm[0].size != 8 * f.imm_size || zi->raw.imm[1].size != 0)
		return;
	if (forms->used + all > FORMS_BYTES - 16) {
		memset(forms->slots, 0, sizeof(forms->slots));
		forms->used = 0;
	}
	struct pg_form *k = (struct pg_form *)(void *)(forms->room + 16 + forms->used);
	k->form = f.form;
	k->length = in->length;
	k->n_ops = (uint8_t)n_ops;
	k->mem = k->imm = UINT8_MAX;
	for (unsigned i = 0; i < n_ops; i++) {
		const ZydisDecodedOperand *op = &in->ops[i];
		if (op->encoding == ZYDIS_OPERAND_ENCODING_IS4)
			return; /* a register that the immediate names */
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && f.disp_size &&
			op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) {
			k->mem = (uint8_t)i;
		} else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && f.imm_size &&
			   op->encoding != ZYDIS_OPERAND_ENCODING_NONE) {
			if (k->imm != UINT8_MAX || op->imm.value.u != zi->raw.imm[0].value.u)
				return;
			k->imm = (uint8_t)i;
		}
	}
	const uint8_t *from = (const uint8_t *)in;
	memcpy(k->head, from, sizeof(k->head));
	memcpy(k->meta, from + PG_FORM_META, sizeof(k->meta));
	memcpy(k->tail, from + PG_FORM_TAIL, sizeof(k->tail));
	memcpy(k->ops, in->ops, n_ops * sizeof(in->ops[0]));
	*slot_of(forms, f.form) = 16 + forms->used;
	forms->used += all;
}
