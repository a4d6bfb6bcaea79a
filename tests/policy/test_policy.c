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

/* The contract, under random calls: pages() is a count, pick gives what it may, everything known can be picked. */
static void every_policy_random_calls_keep_the_contract(void **state)
{
	for (int i = 0; pg_policies[i]; i++) {
		enum { OUT, KNOWN, PICKED } is[FRAMES] = {OUT};
		struct pg_page_key key[FRAMES];
		struct machine m;
		struct pg_policy *p = make(pg_policies[i]->name, &m);
		struct pg_random r;
		uint64_t known = 0, next = 1, picked = 0;

		pg_random_seed(&r, 7 + (uint64_t)i);
		for (int step = 0; step < 20000; step++) {
			uint32_t f = (uint32_t)pg_random_below(&r, FRAMES);
			pg_pfn v;

			switch (pg_random_below(&r, 12)) {
			case 0:
			case 1:
			case 2:
			case 3:
				if (is[f] != OUT)
					break;
				/* An old key or a new one, of a file or private; not one in memory. */
				key[f].object = pg_random_below(&r, 2);
				key[f].index = pg_random_one_in(&r, 2) ? next++
								       : pg_random_below(&r, next);
				for (uint32_t k = 0; k < FRAMES; k++)
					if (k != f && is[k] != OUT &&
						pg_page_key_equal(key[k], key[f]))
						key[f] = (struct pg_page_key){2, next++};
				p->ops->added(p, (pg_pfn){f},
					&(struct pg_page_info){key[f],
						(enum pg_page_why)pg_random_below(&r, 3),
						pg_random_one_in(&r, 2)
							? PG_DISTANCE_NONE
							: pg_random_below(&r, 200)});
				is[f] = KNOWN;
				known++;
				m.accessed[f] = pg_random_one_in(&r, 2);
				m.dirty[f] = pg_random_one_in(&r, 2);
				break;
			case 4:
			case 5:
			case 6:
				v = p->ops->pick(p);
				if (pg_pfn_is_none(v)) {
					assert_int_equal(known, picked);
					break;
				}
				assert_int_equal(is[v.v], KNOWN);
				is[v.v] = PICKED;
				picked++;
				break;
			case 7:
			case 8:
				if (is[f] != PICKED)
					break;
				picked--;
				if (pg_random_one_in(&r, 3)) {
					p->ops->kept(p, (pg_pfn){f});
					is[f] = KNOWN;
				} else {
					p->ops->evicted(p, (pg_pfn){f}, key[f]);
					is[f] = OUT;
					known--;
				}
				break;
			case 9:
				if (is[f] == OUT || !pg_random_one_in(&r, 3))
					break;
				picked -= is[f] == PICKED;
				p->ops->removed(p, (pg_pfn){f});
				is[f] = OUT;
				known--;
				break;
			case 10:
				if (is[f] != OUT && p->ops->touched)
					p->ops->touched(p, (pg_pfn){f});
				m.accessed[f] = true;
				m.dirty[f] |= pg_random_one_in(&r, 2);
				break;
			default:
				if (p->ops->tick && pg_random_one_in(&r, 4))
					p->ops->tick(p);
				/* Frames come and go; all known pages fit at any time. */
				m.capacity = known + pg_random_below(&r, FRAMES - known + 1);
				m.capacity += m.capacity == 0;
			}
			assert_int_equal(p->ops->pages(p), known);
			if (step % 16 == 0)
				check(p);
		}
		for (; picked < known; picked++) { /* all of them, none twice */
			pg_pfn v = p->ops->pick(p);

			assert_false(pg_pfn_is_none(v));
			assert_int_equal(is[v.v], KNOWN);
			is[v.v] = PICKED;
		}
		assert_true(pg_pfn_is_none(p->ops->pick(p)));
		check(p);
		p->ops->destroy(p);
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
