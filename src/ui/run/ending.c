/* SPDX-License-Identifier: MIT */
/*
 * ui/run/ending.c: how a guest ended, in one sentence.
 *
 * Called by ui/run/run.c (the line on standard error) and ui/run/summary.c. Reads struct pg_report only.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include "trace/faultlog.h"
#include "ui/run/report.h"
#include "ui/write/format.h"

const char *pg_signal_name(int signo, char *text)
{
	const char *name = sigabbrev_np(signo);

	if (name)
		snprintf(text, PG_FORMAT_BYTES, "SIG%s", name);
	else
		snprintf(text, PG_FORMAT_BYTES, "signal %d", signo);
	return text;
}

static void append(char *text, size_t cap, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void append(char *text, size_t cap, const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + length, cap - length, format, args);
	va_end(args);
}

/* What a page fault that no mapping answers was about. */
static void append_access(const struct pg_report *r, char *text, size_t cap)
{
	const struct pg_linux_end *e = &r->end;

	if (e->why == PG_FAULT_STACK)
		append(text, cap,
			": stack overflow, %s of 0x%" PRIx64 " beyond the limit of the stack",
			pg_access_name(e->access), e->addr);
	else if (r->overflow)
		append(text, cap,
			": stack overflow, %s of 0x%" PRIx64 " in the guard below a thread's stack",
			pg_access_name(e->access), e->addr);
	else if (e->why == PG_FAULT_LIMIT)
		append(text, cap, ": %s of 0x%" PRIx64 ", beyond the limit",
			pg_access_name(e->access), e->addr);
	else if (e->why == PG_FAULT_ACCERR)
		append(text, cap, ": %s of 0x%" PRIx64 ", which %s does not allow",
			pg_access_name(e->access), e->addr, r->what ? r->what : "its region");
	else if (e->why == PG_FAULT_BUS && r->what && r->anonymous)
		append(text, cap,
			": %s of 0x%" PRIx64 " in %s, a page that the store could not give back",
			pg_access_name(e->access), e->addr, r->what);
	else if (e->why == PG_FAULT_BUS)
		append(text, cap, ": %s of 0x%" PRIx64 " beyond the end of %s",
			pg_access_name(e->access), e->addr, r->what ? r->what : "its file");
	else
		append(text, cap, ": %s of 0x%" PRIx64 ", where nothing is mapped",
			pg_access_name(e->access), e->addr);
}

bool pg_ending_text(const struct pg_report *r, char *text, size_t cap)
{
	const struct pg_linux_end *e = &r->end;
	char name[PG_FORMAT_BYTES];

	if (e->exited)
		return false;
	if (e->oom) {
		char size[PG_FORMAT_BYTES];
		snprintf(text, cap, "killed: out of memory, all frames of %s are in use",
			pg_format_size(r->options->memory_bytes, size));
		if (r->where)
			append(text, cap, ", in %s", r->where);
		return true;
	}
	if (e->stopped) {
		snprintf(text, cap, "stopped: more than %" PRIu64 " page faults that read",
			r->options->most_major);
		return true;
	}
	snprintf(text, cap, "killed by %s", pg_signal_name(e->signal, name));
	if (e->frame_failed)
		append(text, cap, ": no room on the stack for a signal handler's frame");
	else if (e->fault && e->access != 0)
		append_access(r, text, cap);
	else if (e->signal == SIGILL && e->fault) {
		append(text, cap,
			e->unhandled ? ": an instruction that Pagoda does not handle yet"
				     : ": an illegal instruction");
		for (int i = 0; i < e->length; i++)
			append(text, cap, "%s%02x", i ? " " : ", bytes ", e->bytes[i]);
	} else if (e->signal == SIGFPE && e->fault)
		append(text, cap, ": %s",
			e->si_code == FPE_INTDIV ? "division by zero or overflow"
						 : "floating-point exception");
	else if (e->signal == SIGSEGV && e->fault)
		append(text, cap,
			": general protection, an address or instruction that no program may use");
	if (e->fault && r->where)
		append(text, cap, ", in %s", r->where);
	if (r->repeated)
		append(text, cap, "; %s", r->repeated);
	return true;
}
