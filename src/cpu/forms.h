/* SPDX-License-Identifier: MIT */
/* cpu/forms.h: what is known of instructions of the same form. See forms.c. */
#ifndef PG_CPU_FORMS_H
#define PG_CPU_FORMS_H

#include "cpu/translate.h"

#define FORMS_BITS 12
#define FORMS_BYTES ((uint32_t)1 << 20) /* room for some 1,600; when it is full it begins anew */

/* A form: the struct pg_insn of the first instruction of it that came, without operands that it has not. */
struct pg_form {
	uint64_t form;  /* the bytes, see forms.c */
	uint32_t bytes; /* of insn */
	uint8_t length; /* of the instruction */
	uint8_t mem,
		imm; /* the operands that displacement and immediate belong to; UINT8_MAX: none */
	_Alignas(8) uint8_t insn[];
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
 * If the form of the instruction at `bytes`, of which n are at hand, is known: fills `in` (its rip excepted) as decode.c would, but
 * for the flags of a shift, and returns true.
 */
bool pg_form_find(struct pg_forms *forms, const uint8_t *bytes, unsigned n, struct pg_insn *in);
/* Remembers the form of `in`, which was decoded and classified, if it is one that is kept. */
void pg_form_keep(struct pg_forms *forms, const struct pg_insn *in);

#endif
