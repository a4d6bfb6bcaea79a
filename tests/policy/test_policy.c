/* SPDX-License-Identifier: MIT */
/*
 * tests/policy/test_policy.c: the contract of policy.h for every policy of the registry, under random calls; worked examples
 * of textbooks and of Linux's own description. Rows R11, R12.
 */
#include "base/random.h"
#include "reclaim/policy.h"
#include "reclaim/simulate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 64u

/* A machine of bits. */
struct machine {
	bool accessed[FRAMES], dirty[FRAMES];
	bool always; /* every page is accessed again as soon as it was looked at */
	uint64_t capacity, looks;
};

static bool accessed(void *ctx, pg_pfn f)
{
	struct machine *m = ctx;
	bool was = m->accessed[f.v];

	assert_true(f.v < FRAMES);
	m->looks++;
	m->accessed[f.v] = m->always;
	return was;
}

static bool dirty(void *ctx, pg_pfn f)
{
	return ((struct machine *)ctx)->dirty[f.v];
}

static uint64_t capacity(void *ctx)
{
	return ((struct machine *)ctx)->capacity;
}

static struct pg_policy *make(const char *name, struct machine *m)
{
	struct pg_policy_env env = {m, accessed, dirty, capacity, 1};
	const char *args;
	const struct pg_policy_ops *ops = pg_policy_find(name, &args);
	struct pg_policy *p = NULL;

	memset(m, 0, sizeof(*m));
	m->capacity = FRAMES;
	assert_non_null(ops);
	assert_int_equal(ops->create(&env, FRAMES, args, &p), 0);
	p->ops = ops; /* as whoever creates a policy does */
	return p;
}

static void check(const struct pg_policy *p)
{
	const char *broken = p->ops->check(p);

	if (broken)
		print_error("%s: %s\n", p->ops->name, broken);
	assert_null(broken);
}

/* The page comes in by a fault, whose access sets the bit. */
static void load(struct pg_policy *p, struct machine *m, uint32_t f, struct pg_page_key key)
{
	struct pg_page_info info = {key, PG_PAGE_DEMAND, PG_DISTANCE_NONE};

	m->accessed[f] = m->dirty[f] = false;
	p->ops->added(p, (pg_pfn){f}, &info);
	m->accessed[f] = true;
}

static struct pg_page_key file_page(uint64_t index)
{
	return (struct pg_page_key){1, index};
}

static void registry_names_are_distinct_and_described(void **state)
{
	const char *args;

	for (int i = 0; pg_policies[i]; i++) {
		assert_true(
			strlen(pg_policies[i]->summary) > 5 && strlen(pg_policies[i]->source) > 5);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(pg_policies[i]->name, pg_policies[k]->name);
		assert_ptr_equal(pg_policy_find(pg_policies[i]->name, &args), pg_policies[i]);
		assert_string_equal(args, "");
	}
	assert_null(pg_policy_find("lru", &args)); /* no operating system can */
	assert_null(pg_policy_find("", &args));
}

static void create_unknown_arguments_are_refused(void **state)
{
	struct machine m;
	struct pg_policy_env env = {&m, accessed, dirty, capacity, 1};

	for (int i = 0; pg_policies[i]; i++) {
		struct pg_policy *p;

		assert_int_equal(pg_policies[i]->create(&env, FRAMES, "nonsense=1", &p), -EINVAL);
	}
}

/* A policy under random calls, and what it must know. */
struct trial {
	struct machine m;
	struct pg_policy *p;
	struct pg_random r;
	enum { OUT, KNOWN, PICKED } is[FRAMES];
	struct pg_page_key key[FRAMES];
	uint64_t known, picked, next; /* next: a key that was never there */
};

/* An old key or a new one, of a file or private; not one in memory. */
static void random_add(struct trial *t, uint32_t f)
{
	struct pg_page_key *key = &t->key[f];

	key->object = pg_random_below(&t->r, 2);
	key->index = pg_random_one_in(&t->r, 2) ? t->next++ : pg_random_below(&t->r, t->next);
	for (uint32_t k = 0; k < FRAMES; k++)
		if (k != f && t->is[k] != OUT && pg_page_key_equal(t->key[k], *key))
			*key = (struct pg_page_key){2, t->next++};
	t->p->ops->added(t->p, (pg_pfn){f},
		&(struct pg_page_info){*key, (enum pg_page_why)pg_random_below(&t->r, 3),
			pg_random_one_in(&t->r, 2) ? PG_DISTANCE_NONE
						   : pg_random_below(&t->r, 200)});
	t->is[f] = KNOWN;
	t->known++;
	t->m.accessed[f] = pg_random_one_in(&t->r, 2);
	t->m.dirty[f] = pg_random_one_in(&t->r, 2);
}

static void try_pick(struct trial *t)
{
	pg_pfn v = t->p->ops->pick(t->p);

	if (pg_pfn_is_none(v)) {
		assert_int_equal(t->known, t->picked);
		return;
	}
	assert_int_equal(t->is[v.v], KNOWN);
	t->is[v.v] = PICKED;
	t->picked++;
}

/* What became of a page that was picked. */
static void random_outcome(struct trial *t, uint32_t f)
{
	t->picked--;
	if (pg_random_one_in(&t->r, 3)) {
		t->p->ops->kept(t->p, (pg_pfn){f});
		t->is[f] = KNOWN;
	} else {
		t->p->ops->evicted(t->p, (pg_pfn){f}, t->key[f]);
		t->is[f] = OUT;
		t->known--;
	}
}

static void random_call(struct trial *t)
{
	uint32_t f = (uint32_t)pg_random_below(&t->r, FRAMES);

	switch (pg_random_below(&t->r, 12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (t->is[f] == OUT)
			random_add(t, f);
		break;
	case 4:
	case 5:
	case 6:
		try_pick(t);
		break;
	case 7:
	case 8:
		if (t->is[f] == PICKED)
			random_outcome(t, f);
		break;
	case 9:
		if (t->is[f] == OUT || !pg_random_one_in(&t->r, 3))
			break;
		t->picked -= t->is[f] == PICKED;
		t->p->ops->removed(t->p, (pg_pfn){f});
		t->is[f] = OUT;
		t->known--;
		break;
	case 10:
		if (t->is[f] != OUT && t->p->ops->touched)
			t->p->ops->touched(t->p, (pg_pfn){f});
		t->m.accessed[f] = true;
		t->m.dirty[f] |= pg_random_one_in(&t->r, 2);
		break;
	default:
		if (t->p->ops->tick && pg_random_one_in(&t->r, 4))
			t->p->ops->tick(t->p);
		/* Frames come and go; all known pages fit at any time. */
		t->m.capacity = t->known + pg_random_below(&t->r, FRAMES - t->known + 1);
		t->m.capacity += t->m.capacity == 0;
	}
}

/* The contract, under random calls: pages() is a count, pick gives what it may, everything known can be picked. */
static void every_policy_random_calls_keep_the_contract(void **state)
{
	for (int i = 0; pg_policies[i]; i++) {
		struct trial t = {.next = 1};

		t.p = make(pg_policies[i]->name, &t.m);
		pg_random_seed(&t.r, 7 + (uint64_t)i);
		for (int step = 0; step < 20000; step++) {
			random_call(&t);
			assert_int_equal(t.p->ops->pages(t.p), t.known);
			if (step % 16 == 0)
				check(t.p);
		}
		while (t.picked < t.known) { /* all of them, none twice */
			uint64_t before = t.picked;

			try_pick(&t);
			assert_int_equal(t.picked, before + 1);
		}
		assert_true(pg_pfn_is_none(t.p->ops->pick(t.p)));
		check(t.p);
		t.p->ops->destroy(t.p);
	}
}

/* A pick ends, soon, when every page is accessed all the time. */
static void every_policy_always_accessed_still_picks(void **state)
{
	for (int i = 0; pg_policies[i]; i++) {
		struct machine m;
		struct pg_policy *p = make(pg_policies[i]->name, &m);

		uint64_t keys[FRAMES];

		for (uint32_t f = 0; f < FRAMES; f++) {
			keys[f] = 1 + f;
			load(p, &m, f, file_page(keys[f]));
		}
		m.always = true;
		memset(m.accessed, true, sizeof(m.accessed));
		for (uint64_t n = 0; n < 40; n++) {
			pg_pfn v;

			m.looks = 0;
			v = p->ops->pick(p);
			assert_false(pg_pfn_is_none(v));
			if (m.looks > 6 * FRAMES)
				fail_msg("%s: %lu looks for one pick", p->ops->name, m.looks);
			p->ops->evicted(p, v, file_page(keys[v.v]));
			keys[v.v] = 1000 + n;
			load(p, &m, v.v, file_page(keys[v.v]));
		}
		check(p);
		p->ops->destroy(p);
	}
}

static pg_pfn pick_one(struct pg_policy *p)
{
	pg_pfn f = p->ops->pick(p);

	assert_false(pg_pfn_is_none(f));
	return f;
}

/* Pages that cannot go do not keep the others from being picked: "worth another try after the others". */
static void every_policy_kept_pages_do_not_stand_in_the_way(void **state)
{
	for (int i = 0; pg_policies[i]; i++) {
		struct machine m;
		struct pg_policy *p = make(pg_policies[i]->name, &m);
		uint64_t keys[FRAMES], came[FRAMES], now = 0;

		for (uint32_t f = 0; f < FRAMES; f++) {
			came[f] = now++;
			keys[f] = now;
			load(p, &m, f, file_page(keys[f]));
		}
		/* The 16 that came last stay, as those that an instruction needs. */
		for (int round = 0; round < 500; round++) {
			uint64_t tries = p->ops->pages(p);
			pg_pfn f = PG_PFN_NONE;

			for (; tries; tries--) {
				f = pick_one(p);
				if (!(came[f.v] + 16 > now))
					break;
				p->ops->kept(p, f);
			}
			if (!tries)
				fail_msg("%s: only pages that cannot go, round %d", p->ops->name,
					round);
			p->ops->evicted(p, f, file_page(keys[f.v]));
			came[f.v] = now++;
			keys[f.v] = now;
			load(p, &m, f.v, file_page(keys[f.v]));
			check(p);
		}
		p->ops->destroy(p);
	}
}

/* On long strings a pick looks at few pages on average, however many frames there are. */
static void every_policy_looks_are_few_a_pick(void **state)
{
	static struct pg_reference refs[60000];
	struct pg_random r;

	pg_random_seed(&r, 3);
	for (size_t i = 0; i < 60000; i++)
		refs[i] = (struct pg_reference){
			{0, 1 + pg_random_below(&r, 4000)}, pg_random_one_in(&r, 3)};
	for (int i = 0; pg_policies[i]; i++)
		for (uint32_t frames = 125; frames <= 2000; frames *= 4) {
			struct pg_simulation out;

			assert_int_equal(pg_policy_simulate(pg_policies[i], "", 1, frames, refs,
						 60000, NULL, &out),
				0);
			assert_true(out.looks <= 12 * out.misses);
			assert_int_equal(out.distinct, 4000);
			assert_int_equal(out.evictions, out.misses - frames);
		}
}

/*
 * A. S. Tanenbaum, Modern Operating Systems, ch. 3, problem on four page frames: loaded at 126, 230, 140, 110; R and M
 * 1 0, 0 1, 0 0, 1 1. Which page do NRU, FIFO and second chance replace? 2, 3, and 2.
 */
static void four_frames_of_the_textbook_give_its_answers(void **state)
{
	static const uint32_t by_load[] = {3, 0, 2, 1};
	static const struct {
		const char *name;
		uint32_t victim;
	} answers[] = {{"nru", 2}, {"fifo", 3}, {"clock", 2}};

	for (int i = 0; i < 3; i++) {
		struct machine m;
		struct pg_policy *p = make(answers[i].name, &m);

		m.capacity = 4;
		for (int k = 0; k < 4; k++)
			load(p, &m, by_load[k], (struct pg_page_key){0, 1 + (uint64_t)k});
		m.accessed[0] = true, m.dirty[0] = false;
		m.accessed[1] = false, m.dirty[1] = true;
		m.accessed[2] = false, m.dirty[2] = false;
		m.accessed[3] = true, m.dirty[3] = true;
		assert_int_equal(pick_one(p).v, answers[i].victim);
		p->ops->destroy(p);
	}
}

/* The classes, from the lowest: neither, modified, referenced, both. Operating System Concepts, 10.4.5.3. */
static void nru_takes_classes_in_order(void **state)
{
	struct machine m;
	struct pg_policy *p = make("nru", &m);

	m.capacity = 8;
	for (uint32_t f = 0; f < 8; f++)
		load(p, &m, f, (struct pg_page_key){0, 1 + f});
	for (uint32_t f = 0; f < 8; f++) { /* classes 3, 2, 1, 0, 3, 2, 1, 0 */
		m.accessed[f] = f % 4 < 2;
		m.dirty[f] = f % 2 == 0;
	}
	assert_int_equal(pick_one(p).v, 3);
	assert_int_equal(pick_one(p).v, 7);
	assert_int_equal(pick_one(p).v, 2);
	assert_int_equal(pick_one(p).v, 6);
	/* The second round has cleared the bits: clean before modified again. */
	assert_int_equal(pick_one(p).v, 1);
	assert_int_equal(pick_one(p).v, 5);
	assert_int_equal(pick_one(p).v % 4, 0);
	assert_int_equal(pick_one(p).v % 4, 0);
	p->ops->destroy(p);
}

/* A. S. Tanenbaum, Modern Operating Systems, figure 3-17: six pages, R bits of five ticks. */
static void aging_counters_are_those_of_the_figure(void **state)
{
	static const uint8_t r[5][6] = {{1, 0, 1, 0, 1, 1}, {1, 1, 0, 0, 1, 0}, {1, 1, 0, 1, 0, 1},
		{1, 0, 0, 0, 1, 0}, {0, 1, 1, 0, 0, 0}};
	/* After them: 01111000 10110000 10001000 00100000 01011000 00101000, so from the lowest: */
	static const uint32_t order[] = {3, 5, 4, 0, 2, 1};
	struct machine m;
	struct pg_policy *p = make("aging", &m);

	m.capacity = 6;
	for (uint32_t f = 0; f < 6; f++) { /* by read-ahead: with counters of 0 */
		struct pg_page_info info = {{0, 1 + f}, PG_PAGE_READAHEAD, PG_DISTANCE_NONE};

		p->ops->added(p, (pg_pfn){f}, &info);
	}
	for (int tick = 0; tick < 5; tick++) {
		for (uint32_t f = 0; f < 6; f++)
			m.accessed[f] = r[tick][f];
		p->ops->tick(p);
		check(p);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(pick_one(p).v, order[i]);
	p->ops->destroy(p);
}

/* random: each page is as likely, and the seed decides. */
static void random_picks_each_page_about_as_often(void **state)
{
	struct machine m;
	struct pg_policy *p = make("random", &m);
	unsigned count[16] = {0};

	for (uint32_t f = 0; f < 16; f++)
		load(p, &m, f, (struct pg_page_key){0, 1 + f});
	for (int i = 0; i < 16000; i++) {
		pg_pfn f = pick_one(p);

		count[f.v]++;
		p->ops->kept(p, f);
	}
	for (int i = 0; i < 16; i++)
		assert_in_range(count[i], 850, 1150); /* 1000 expected, standard deviation 31 */
	p->ops->destroy(p);
}

/* Evicts one page and loads another into its frame; the key that went. keys: by frame. */
static uint64_t replace(struct pg_policy *p, struct machine *m, uint64_t *keys, uint64_t key)
{
	pg_pfn f = pick_one(p);
	uint64_t gone = keys[f.v];

	p->ops->evicted(p, f, file_page(gone));
	keys[f.v] = key;
	load(p, m, f.v, file_page(key));
	return gone;
}

/*
 * Linux, mm/workingset.c: pages that are used once go through the inactive list and leave the active one alone; a page that comes
 * back within the distance of the active list is activated at once.
 */
static void two_list_stream_leaves_the_active_list_alone(void **state)
{
	struct machine m;
	struct pg_policy *p = make("two-list", &m);
	uint64_t keys[FRAMES];

	for (uint32_t f = 0; f < FRAMES; f++) {
		keys[f] = 1 + f;
		load(p, &m, f, file_page(keys[f]));
	}
	/* The first 16 pages are called for twice: active. */
	for (uint32_t f = 0; f < 16; f++) {
		p->ops->touched(p, (pg_pfn){f});
		p->ops->touched(p, (pg_pfn){f});
	}
	for (uint64_t n = 0; n < 500; n++)
		assert_true(replace(p, &m, keys, 1000 + n) > 16);
	check(p);
	p->ops->destroy(p);
}

static void two_list_refault_within_the_working_set_is_activated(void **state)
{
	struct machine m;
	struct pg_policy *p = make("two-list", &m);
	uint64_t keys[FRAMES], gone, n = 0;

	for (uint32_t f = 0; f < FRAMES; f++) {
		keys[f] = 1 + f;
		load(p, &m, f, file_page(keys[f]));
		p->ops->touched(p, (pg_pfn){f}); /* half of them active: the distance that counts */
		if (f % 2)
			p->ops->touched(p, (pg_pfn){f});
	}
	memset(m.accessed, false, sizeof(m.accessed));
	gone = replace(p, &m, keys, 1000);
	for (; n < 10; n++)
		replace(p, &m, keys, 1001 + n);
	replace(p, &m, keys, gone); /* back after 11 evictions; 32 pages are active */
	memset(m.accessed, false, sizeof(m.accessed));
	for (n = 0; n < 40; n++) /* a page on the inactive list would be gone by now */
		assert_int_not_equal(replace(p, &m, keys, 2000 + n), gone);
	p->ops->destroy(p);
	/* One that comes back later than that begins anew. */
	p = make("two-list", &m);
	for (uint32_t f = 0; f < FRAMES; f++) {
		keys[f] = 1 + f;
		load(p, &m, f, file_page(keys[f]));
	}
	memset(m.accessed, false, sizeof(m.accessed));
	gone = replace(p, &m, keys, 1000);
	for (n = 0; n < 10; n++) /* nothing is active: any distance is too far */
		replace(p, &m, keys, 1001 + n);
	replace(p, &m, keys, gone);
	memset(m.accessed, false, sizeof(m.accessed));
	for (n = 0; n < 80 && replace(p, &m, keys, 2000 + n) != gone; n++)
		memset(m.accessed, false, sizeof(m.accessed));
	assert_true(n < 70);
	p->ops->destroy(p);
}

/*
 * Linux, Documentation/mm/multigen_lru.rst: aging moves pages that were accessed into a new generation; eviction takes the
 * oldest. So pages that are used all the time stay, while others come and go.
 */
static void mglru_pages_in_use_stay(void **state)
{
	static struct pg_reference refs[400 * 22];
	static uint8_t missed[400 * 22];
	struct pg_simulation out;
	unsigned hot_misses = 0;
	const char *args;

	for (uint64_t i = 0; i < 400 * 22; i++)
		refs[i].page = file_page(i % 22 < 21 ? 1 + i % 22 : 1000 + i);
	assert_int_equal(pg_policy_simulate(pg_policy_find("mglru", &args), "", 1, 64, refs,
				 400 * 22, missed, &out),
		0);
	for (uint64_t i = 0; i < 400 * 22; i++)
		hot_misses += i % 22 < 21 && missed[i];
	assert_in_range(
		hot_misses, 21, 42); /* when memory is full for the first time all are equal */
}

/* Read ahead and never used goes before what was asked for. */
static void mglru_readahead_goes_first(void **state)
{
	struct machine m;
	struct pg_policy *p = make("mglru", &m);

	for (uint32_t f = 0; f < FRAMES; f++) {
		struct pg_page_info info = {file_page(1 + f), PG_PAGE_READAHEAD, PG_DISTANCE_NONE};

		if (f % 4 == 3)
			p->ops->added(p, (pg_pfn){f}, &info);
		else
			load(p, &m, f, file_page(1 + f));
	}
	for (uint32_t n = 0; n < FRAMES / 4; n++)
		assert_int_equal(pick_one(p).v % 4, 3);
	p->ops->destroy(p);
}

/* A page that was evicted in its test period, or from a queue on probation, and comes back is held longer. */
static void ghosts_bring_pages_back_to_stay(void **state)
{
	static const char *const names[] = {"2q", "clock-pro", "s3-fifo"};

	for (int i = 0; i < 3; i++) {
		struct machine m;
		struct pg_policy *p = make(names[i], &m);
		uint64_t keys[FRAMES], gone, n;

		for (uint32_t f = 0; f < FRAMES; f++) {
			keys[f] = 1 + f;
			load(p, &m, f, file_page(keys[f]));
		}
		for (n = 0; n < 64; n++)
			gone = replace(p, &m, keys, 1000 + n);
		replace(p, &m, keys, gone); /* it left only now */
		for (n = 0; n < 100; n++)
			if (replace(p, &m, keys, 2000 + n) == gone)
				fail_msg("%s: the page left again after %lu others", names[i], n);
		check(p);
		p->ops->destroy(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registry_names_are_distinct_and_described),
		cmocka_unit_test(create_unknown_arguments_are_refused),
		cmocka_unit_test(every_policy_random_calls_keep_the_contract),
		cmocka_unit_test(every_policy_always_accessed_still_picks),
		cmocka_unit_test(every_policy_kept_pages_do_not_stand_in_the_way),
		cmocka_unit_test(every_policy_looks_are_few_a_pick),
		cmocka_unit_test(four_frames_of_the_textbook_give_its_answers),
		cmocka_unit_test(nru_takes_classes_in_order),
		cmocka_unit_test(aging_counters_are_those_of_the_figure),
		cmocka_unit_test(random_picks_each_page_about_as_often),
		cmocka_unit_test(two_list_stream_leaves_the_active_list_alone),
		cmocka_unit_test(two_list_refault_within_the_working_set_is_activated),
		cmocka_unit_test(mglru_pages_in_use_stay),
		cmocka_unit_test(mglru_readahead_goes_first),
		cmocka_unit_test(ghosts_bring_pages_back_to_stay),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
