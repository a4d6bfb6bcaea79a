/* SPDX-License-Identifier: MIT */
/*
 * Decoding by form (cpu/forms.c): what is taken from the form equals what Zydis says of the same bytes, for random instructions of the
 * opcodes that are kept and with random displacements and immediates. The oracle is decode.c with nothing remembered.
 */
#include "cpu/forms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct world {
	struct pg_engine *e;
	struct pg_translator *tr;
	struct pg_code_page page;
	uint64_t random;
};

static int make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->e = calloc(1, sizeof(*w->e));
	w->tr = calloc(1, sizeof(*w->tr));
	w->page.copy = calloc(1, PG_PAGE_SIZE);
	w->page.vpn = 1; /* not that of what is decoded: nothing looks ahead */
	w->tr->e = w->e;
	w->tr->page = &w->page;
	w->tr->forms = pg_forms_create();
	w->random = 1;
	assert_non_null(w->tr->forms);
	ZydisDecoderInit(&w->e->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(&w->e->decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	*state = w;
	return 0;
}

static int unmake(void **state)
{
	struct world *w = *state;
	pg_forms_free(w->tr->forms);
	free(w->page.copy);
	free(w->tr);
	free(w->e);
	free(w);
	return 0;
}

static uint8_t draw(struct world *w)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (uint8_t)(w->random >> 56);
}

static void forget(struct pg_forms *f)
{
	memset(f->slots, 0, sizeof(f->slots));
	f->used = 0;
}

static const struct pg_insn *decode(struct world *w, const uint8_t bytes[15])
{
	memcpy(w->page.copy, bytes, 15);
	assert_int_equal(pg_decode_run(w->tr, 0, 1), 1);
	return &w->tr->insn[0];
}

/* Bytes that are an instruction more often than not. */
static void draw_insn(struct world *w, uint8_t b[15])
{
	static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x2e, 0x3e, 0x67, 0x65};
	unsigned n = 0;
	while (draw(w) < 64 && n < 3)
		b[n++] = prefixes[draw(w) % sizeof(prefixes)];
	unsigned what = draw(w);
	if (what < 50) {
		b[n++] = 0xc4;
		b[n++] = (uint8_t)((draw(w) & 0xe0) | (1 + draw(w) % 3));
		b[n++] = draw(w);
	} else if (what < 80) {
		b[n++] = 0xc5;
		b[n++] = draw(w);
	} else {
		if (what < 160)
			b[n++] = (uint8_t)(0x40 | (draw(w) & 15));
		if (what & 1)
			b[n++] = 0x0f;
		if ((what & 7) == 1)
			b[n++] = what & 8 ? 0x38 : 0x3a;
	}
	while (n < 15)
		b[n++] = draw(w);
}

/* F1 */
static void forms_random_instructions_as_decoded(void **state)
{
	struct world *w = *state;
	unsigned same = 0, kept = 0;
	struct pg_insn *plain = malloc(sizeof(*plain));
	for (unsigned turn = 0; turn < 60000; turn++) {
		uint8_t b[15];
		draw_insn(w, b);
		forget(w->tr->forms);
		const struct pg_insn *first = decode(w, b);
		if (w->tr->forms->used == 0)
			continue;
		kept++;
		/* Other numbers in the same form. */
		unsigned length = first->length;
		unsigned form = length - (first->zi.raw.disp.size + first->zi.raw.imm[0].size) / 8u;
		for (unsigned i = length; i > form; i--)
			b[i - 1] = draw(w);
		struct pg_insn *by_form = calloc(1, sizeof(*by_form));
		bool found = pg_form_find(w->tr->forms, b, 15, by_form);
		const struct pg_insn *now = decode(w, b);
		uint32_t hard = now->hard, soft = now->soft;
		assert_true(found);
		assert_int_equal(by_form->length, now->length);
		memcpy(plain, now, sizeof(*plain));
		forget(w->tr->forms);
		const struct pg_insn *anew = decode(w, b);
		/* What a run makes of it, from a form or not: flags of shifts included. */
		assert_int_equal(anew->length, plain->length);
		assert_int_equal(anew->hard, hard);
		assert_int_equal(anew->soft, soft);
		memset(plain->bytes + plain->length, 0, sizeof(plain->bytes) - plain->length);
		struct pg_insn *other = (struct pg_insn *)(void *)anew;
		memset(other->bytes + other->length, 0, sizeof(other->bytes) - other->length);
		assert_memory_equal(other, plain, PG_FORM_HEAD);
		assert_memory_equal((uint8_t *)other + PG_FORM_META,
			(uint8_t *)plain + PG_FORM_META, PG_FORM_META_END - PG_FORM_META);
		assert_memory_equal((uint8_t *)other + PG_FORM_TAIL,
			(uint8_t *)plain + PG_FORM_TAIL, PG_FORM_TAIL_END - PG_FORM_TAIL);
		assert_memory_equal(other->ops, plain->ops,
			other->zi.operand_count_visible * sizeof(other->ops[0]));
		same++;
		free(by_form);
	}
	free(plain);
	assert_true(kept > 20000);
	assert_int_equal(same, kept);
}

/* A count of a shift decides what becomes of the flags, and is no part of the form. */
static void forms_shift_by_zero_keeps_flags(void **state)
{
	struct world *w = *state;
	const uint8_t by_5[15] = {0xc1, 0xe0, 5}, by_0[15] = {0xc1, 0xe0, 0};
	forget(w->tr->forms);
	assert_int_equal(decode(w, by_5)->killed, FL_ALL);
	assert_int_equal(decode(w, by_0)->killed, 0);
	assert_int_equal(decode(w, by_5)->killed, FL_ALL);
}

/* The register of a blend's last operand is in its immediate: no form of it is kept. */
static void forms_register_in_immediate_not_kept(void **state)
{
	struct world *w = *state;
	const uint8_t blend[15] = {0xc4, 0xe3, 0x69, 0x4a, 0xcb, 0x40};
	forget(w->tr->forms);
	assert_int_equal(decode(w, blend)->kind, K_COPY);
	assert_int_equal(w->tr->forms->used, 0);
}

/* An instruction that goes on behind the page is not taken from its form. */
static void forms_cut_off_not_found(void **state)
{
	struct world *w = *state;
	const uint8_t call[15] = {0xe8, 1, 2, 3, 4};
	struct pg_insn in = {0};
	forget(w->tr->forms);
	decode(w, call);
	assert_true(pg_form_find(w->tr->forms, call, 5, &in));
	for (unsigned n = 0; n < 5; n++)
		assert_false(pg_form_find(w->tr->forms, call, n, &in));
}

/* When there is no room for another form all are forgotten, and come again. */
static void forms_full_begins_anew(void **state)
{
	struct world *w = *state;
	const uint8_t push[15] = {0x53};
	struct pg_insn in = {0};
	forget(w->tr->forms);
	w->tr->forms->used = FORMS_BYTES - 32;
	decode(w, push);
	assert_true(w->tr->forms->used < 2048);
	assert_true(pg_form_find(w->tr->forms, push, 1, &in));
	assert_int_equal(in.kind, K_PUSH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(forms_random_instructions_as_decoded, make, unmake),
		cmocka_unit_test_setup_teardown(forms_shift_by_zero_keeps_flags, make, unmake),
		cmocka_unit_test_setup_teardown(forms_register_in_immediate_not_kept, make, unmake),
		cmocka_unit_test_setup_teardown(forms_cut_off_not_found, make, unmake),
		cmocka_unit_test_setup_teardown(forms_full_begins_anew, make, unmake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
