/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/deadline.c: a case that does not end is noticed, at no cost for those that do.
 *
 * A timer ticks every second; an action that has been armed for PATIENCE ticks is late, which
 * no case is on a loaded machine, too. Called by the sides around what they run. State: one armed action, this process.
 * The handler asks for the alternate stack, because the engine runs guest code on the guest's stack pointer.
 */
#include "insn.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE 15 /* ticks */

static void (*volatile action)(void *);
static void *volatile action_arg;
static volatile unsigned armed_count, seen_count, late;

static void on_tick(int sig)
{
	(void)sig;
	if (!action || armed_count != seen_count) {
		seen_count = armed_count;
		late = 0;
		return;
	}
	if (++late < PATIENCE)
		return;
	if (late >= PATIENCE + 20) {
		static const char text[] = "insn: a case neither ended nor could be interrupted\n";
		if (write(2, text, sizeof text - 1) < 0)
			_exit(98);
		_exit(99);
	}
	action(action_arg);
}

void insn_deadline(void (*f)(void *), void *arg)
{
	action_arg = arg;
	armed_count++;
	action = f;
}

void insn_deadline_init(void)
{
	static uint8_t stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
	stack_t old;
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval every = {{1, 0}, {1, 0}};
	if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
		sigaltstack(&ss, NULL);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}
