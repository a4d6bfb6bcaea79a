/* SPDX-License-Identifier: MIT */
/* cpu/forms.h: what is known of instructions of the same form. See forms.c. */
#ifndef PG_CPU_FORMS_H
#define PG_CPU_FORMS_H

#include "cpu/translate.h"

#define FORMS_BITS 13
#define FORMS_BYTES ((uint32_t)4 << 20) /* room for some 10,000; when it is full it begins anew */

/*
 * Of a struct pg_insn these parts are kept, and its visible operands, one at least; of the rest of Zydis' long record nobody asks. Offsets, in bytes.
 */
enum {
	PG_FORM_HEAD = offsetof(struct pg_insn, zi.avx), /* from 0 */
	PG_FORM_META = offsetof(struct pg_insn, zi.meta),
	PG_FORM_META_END = offsetof(struct pg_insn, zi.raw),
	PG_FORM_TAIL = offsetof(struct pg_insn, zi.raw.modrm) / 8 * 8,
	PG_FORM_TAIL_END = offsetof(struct pg_insn, ops),
};

/* A form: what is known of the first instruction of it that came. */
struct pg_form {
	uint64_t form;  /* the bytes, see forms.c */
	uint8_t length; /* of the instruction */
	uint8_t mem,
		imm; /* the operands that displacement and immediate belong to; UINT8_MAX: none */
	uint8_t n_ops;
	_Alignas(8) uint8_t head[PG_FORM_HEAD];
	uint8_t meta[PG_FORM_META_END - PG_FORM_META];
	_Alignas(8) uint8_t tail[PG_FORM_TAIL_END - PG_FORM_TAIL];
	ZydisDecodedOperand ops[];
};

struct pg_forms {
	uint32_t slots[1 << FORMS_BITS]; /* by hash: offset in room, 0: none */
	uint32_t used;                   /* bytes of room */
	uint8_t *room;                   /* [FORMS_BYTES]; owned */
};

/* NULL: no memory. */
struct pg_forms *pg_forms_create(void);
void pg_forms_free(struct pg_forms *f);
/*
 * If the form of the instruction at `bytes`, of which n are at hand, is known: fills the parts of `in` that are kept (its rip excepted) as
 * decode.c would, but for the flags of a shift, and returns true.
 */
bool pg_form_find(struct pg_forms *forms, const uint8_t *bytes, unsigned n, struct pg_insn *in);
/* Remembers the form of `in`, which was decoded and classified, if it is one that is kept. */
void pg_form_keep(struct pg_forms *forms, const struct pg_insn *in);

#endif
