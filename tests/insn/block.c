/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/block.c: cases of several instructions: straight line with forward branches, small
 * loops, and code that changes code.
 *
 * A block keeps two to four registers as pointers and one as a small index, so that many of its
 * accesses share a base: what a translator merges, it merges here. Called by generate.c.
 */
#include "insn.h"

#include <string.h>

/* Classes that blocks draw from, by weight. No class whose instructions end a block for certain. */
static const uint8_t mix[] = {CLASS_ALU, CLASS_ALU, CLASS_ALU, CLASS_ALU, CLASS_ALU, CLASS_SHIFT,
	CLASS_SHIFT, CLASS_BIT, CLASS_MULDIV, CLASS_STACK, CLASS_STRING, CLASS_ATOMIC, CLASS_X87,
	CLASS_MMX, CLASS_SSE, CLASS_SSE, CLASS_SSE, CLASS_AVX, CLASS_AVX, CLASS_MASKED};

#define RCX 1
#define RSP 4

static void draw_plan(struct insn_case *c, struct rng *r, struct insn_plan *p)
{
	p->count = 2 + rng_below(r, 3);
	p->keep = 1u << RSP;
	for (unsigned i = 0; i < p->count; i++) {
		/* often those that a translator may have stolen */
		unsigned g = rng_chance(r, 40) ? 12 + rng_below(r, 4) : rng_below(r, 16);
		p->base[i] = (uint8_t)g;
		p->keep |= (uint16_t)(1u << g);
		if (g == RSP)
			c->before.gpr[g] = 0x30000800 + 8 * rng_below(r, 0x300);
		else
			c->before.gpr[g] = insn_aim(r, 64, !rng_chance(r, 6));
	}
	/* two pointers into one page, sometimes */
	if (rng_chance(r, 40) && p->base[0] != RSP && p->base[1] != RSP)
		c->before.gpr[p->base[1]] = c->before.gpr[p->base[0]] ^ rng_below(r, 256);
	p->index = 0xff;
	unsigned g = rng_below(r, 16);
	if (g != RSP && !(p->keep >> g & 1)) {
		p->index = (uint8_t)g;
		p->keep |= (uint16_t)(1u << g);
		c->before.gpr[g] = rng_below(r, 16);
	}
	/* string instructions should find something, too */
	if (!(p->keep >> 6 & 1))
		c->before.gpr[6] = insn_aim(r, 64, true);
	if (!(p->keep >> 7 & 1))
		c->before.gpr[7] = insn_aim(r, 64, true);
	if (!(p->keep >> RCX & 1))
		c->before.gpr[RCX] = rng_below(r, 40);
}

static bool append(struct insn_case *c, const uint8_t *bytes, unsigned n)
{
	if (c->count == INSN_MAX || c->code_len + n > INSN_CODE)
		return false;
	c->insn[c->count].at = (uint16_t)c->code_len;
	c->insn[c->count++].len = (uint8_t)n;
	memcpy(c->code + c->code_len, bytes, n);
	c->code_len += n;
	return true;
}

/*
 * A transfer through a register or the stack, in two instructions: the first holds the target as a 32-bit
 * immediate, filled in later. False when there is no room.
 */
static bool append_indirect(struct insn_case *c, struct rng *r, const struct insn_plan *p)
{
	uint8_t load[6] = {0}, go[4] = {0};
	unsigned g = rng_below(r, 16), kind = rng_below(r, 3), n = 0, m = 0;
	if (c->count + 2 > INSN_MAX || c->code_len + 10 > INSN_CODE)
		return false;
	/* rsi and rdi stay what string instructions want: one that overwrites itself is nobody's business */
	if (kind == 2 || p->keep >> g & 1 || g == 6 || g == 7) { /* push imm32; ret */
		load[n++] = 0x68;
		n += 4;
		go[m++] = 0xc3;
	} else { /* mov r32, imm32; jmp or call r64 */
		if (g >= 8)
			load[n++] = 0x41;
		load[n++] = (uint8_t)(0xb8 | (g & 7));
		n += 4;
		if (g >= 8)
			go[m++] = 0x41;
		go[m++] = 0xff;
		go[m++] = (uint8_t)((kind ? 0xd0 : 0xe0) | (g & 7));
	}
	return append(c, load, n) && append(c, go, m);
}

static unsigned not_second(unsigned to, const unsigned *loads, unsigned n_loads)
{
	for (unsigned i = 0; i < n_loads; i++)
		if (to == loads[i] + 1)
			return to + 1;
	return to;
}

static void set_absolute(struct insn_case *c, unsigned load, unsigned to)
{
	uint32_t va = (uint32_t)c->before.rip + (to < c->count ? c->insn[to].at : c->code_len);
	memcpy(c->code + c->insn[load].at + c->insn[load].len - 4, &va, 4);
}

/* A conditional or plain jump, its target filled in later: rel8 or rel32. */
static void append_jump(struct insn_case *c, struct rng *r, bool plain)
{
	uint8_t b[6] = {0};
	unsigned cc = rng_below(r, 16);
	if (rng_chance(r, 30)) {
		if (plain) {
			b[0] = rng_chance(r, 40) ? 0xe8 : 0xe9; /* a call is a jump that pushes */
			append(c, b, 5);
		} else {
			b[0] = 0x0f;
			b[1] = (uint8_t)(0x80 | cc);
			append(c, b, 6);
		}
	} else {
		b[0] = plain ? 0xeb : (uint8_t)(0x70 | cc);
		if (!plain && rng_chance(r, 10))
			b[0] = 0xe3; /* jrcxz */
		append(c, b, 2);
	}
}

static void set_target(struct insn_case *c, unsigned jump, unsigned to)
{
	unsigned end = c->insn[jump].at + c->insn[jump].len;
	unsigned target = to < c->count ? c->insn[to].at : c->code_len;
	int32_t d = (int32_t)target - (int32_t)end;
	if (c->insn[jump].len == 2) {
		if (d > 127)
			d = 0;
		c->code[end - 1] = (uint8_t)d;
	} else {
		memcpy(c->code + end - 4, &d, 4);
	}
}

/* mov to memory of a whole instruction of the block that comes later (or has been): new immediate. */
static void append_code_store(struct insn_case *c, struct rng *r, unsigned *patch)
{
	/* mov dword [rip + d32], imm32; the displacement is filled in when the victim is known */
	uint8_t b[10] = {0xc7, 0x05};
	uint32_t v = (uint32_t)rng_next(r);
	memcpy(b + 6, &v, 4);
	if (append(c, b, 10))
		*patch = c->count - 1;
}

void insn_generate_block(struct insn_case *c, struct rng *r, enum insn_class k)
{
	struct insn_plan plan;
	unsigned want = 2 + rng_below(r, 19), store = INSN_MAX, victim = INSN_MAX;
	unsigned jumps[INSN_MAX], n_jumps = 0, loads[INSN_MAX], n_loads = 0, counter = 16;

	insn_state_random(c, r);
	draw_plan(c, r, &plan);
	uint64_t page = k == CLASS_SMC ? SMC_VA : CODE_VA;
	c->before.rip = rng_chance(r, 75) ? page + 256 + rng_below(r, 0x2b00)
					  : page + 0x1000 - rng_below(r, 100);
	if (k == CLASS_LOOP) {
		do
			counter = rng_below(r, 16);
		while (plan.keep >> counter & 1);
		plan.keep |= (uint16_t)(1u << counter);
		c->before.gpr[counter] = 2 + rng_below(r, 6);
	}
	unsigned drawn = 0;
	while (c->count < want && drawn++ < 200 && c->code_len < INSN_CODE - 40) {
		if (rng_chance(r, 15)) {
			jumps[n_jumps++] = c->count;
			append_jump(c, r, rng_chance(r, 20));
			continue;
		}
		if (rng_chance(r, 4)) {
			if (append_indirect(c, r, &plan))
				loads[n_loads++] = c->count - 2;
			continue;
		}
		if (k == CLASS_SMC && store == INSN_MAX && rng_chance(r, 40)) {
			append_code_store(c, r, &store);
			continue;
		}
		if (k == CLASS_SMC && victim == INSN_MAX && store < INSN_MAX && rng_chance(r, 30)) {
			/* mov r32, imm32 */
			uint8_t b[5] = {(uint8_t)(0xb8 + rng_below(r, 8)), 1, 2, 3, 4};
			if (plan.keep >> (b[0] & 7) & 1)
				continue;
			victim = c->count;
			append(c, b, 5);
			continue;
		}
		enum insn_class from = (enum insn_class)mix[rng_below(r, sizeof mix)];
		uint8_t bytes[15];
		unsigned n = insn_make(c, r, insn_template_pick(from, r),
			c->before.rip + c->code_len, &plan, bytes);
		if (n)
			append(c, bytes, n);
	}
	if (k == CLASS_LOOP) {
		/* dec or sub, then back: at most eight times around */
		uint8_t dec[3] = {
			(uint8_t)(0x48 | counter >> 3), 0xff, (uint8_t)(0xc8 | (counter & 7))};
		append(c, dec, 3);
		uint8_t jnz[6] = {0x0f, 0x85};
		int32_t d = -(int32_t)(c->code_len + 6);
		memcpy(jnz + 2, &d, 4);
		append(c, jnz, 6);
	}
	unsigned last = k == CLASS_LOOP ? c->count - 2 : c->count;
	/* not to the second of a pair: its register might hold that very address */
	for (unsigned i = 0; i < n_jumps; i++)
		set_target(c, jumps[i],
			not_second(jumps[i] + 1 + rng_below(r, last - jumps[i]), loads, n_loads));
	for (unsigned i = 0; i < n_loads; i++)
		set_absolute(c, loads[i],
			not_second(
				loads[i] + 2 + rng_below(r, last - loads[i] - 1), loads, n_loads));
	if (store < INSN_MAX) {
		/* the immediate of the victim, or somewhere else in these pages */
		uint32_t end = c->insn[store].at + c->insn[store].len;
		uint32_t to = victim < INSN_MAX ? c->insn[victim].at + 1u
						: c->code_len + rng_below(r, 256);
		uint32_t d = to - end;
		memcpy(c->code + c->insn[store].at + 2, &d, 4);
		if (victim == INSN_MAX) {
			static const uint8_t nops[4] = {0x90, 0x90, 0x90, 0x90};
			memcpy(c->code + c->insn[store].at + 6, nops, 4);
		}
	}
	c->run = rng_chance(r, 10) ? RUN_BUDGET_1 : RUN_TO_BREAK;
}
