/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/text.c: a finished system call as a line of text, for --verbose.
 *
 * Called by table.c when somebody listens. Looks at guest memory only where it is resident: watching brings no page in.
 *
 * The letters of struct pg_syscall.args: d signed, u unsigned, x hexadecimal, o octal, f descriptor, D directory descriptor
 * (AT_FDCWD), p address, s string, b bytes that were written (their number is the next argument), S signal number.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 32 /* bytes of a string or buffer that are shown */

/* The line being made; what does not fit is cut. */
struct line {
	char *out;
	size_t cap, n;
};

static void add(struct line *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *t, const char *format, ...)
{
	va_list ap;
	int n;

	if (t->n >= t->cap)
		return;
	va_start(ap, format);
	n = vsnprintf(t->out + t->n, t->cap - t->n, format, ap);
	va_end(ap);
	if (n > 0)
		t->n += (size_t)n;
	if (t->n > t->cap)
		t->n = t->cap;
}

static void add_bytes(struct line *t, const uint8_t *p, uint64_t n, bool more)
{
	add(t, "\"");
	for (uint64_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			add(t, "\\n");
		else if (p[i] == '\t')
			add(t, "\\t");
		else if (p[i] == '"' || p[i] == '\\')
			add(t, "\\%c", p[i]);
		else if (p[i] >= 32 && p[i] < 127)
			add(t, "%c", p[i]);
		else
			add(t, "\\%o", p[i]);
	}
	add(t, more ? "\"..." : "\"");
}

static void add_string(struct pg_thread *me, struct line *t, uint64_t at)
{
	uint8_t buf[PATH_MAX];
	uint64_t got = 0, n;

	if (at == 0) {
		add(t, "NULL");
		return;
	}
	/* page by page: the string may end before a page that is not there */
	while (got < sizeof(buf)) {
		uint64_t part = PG_PAGE_SIZE - ((at + got) & PG_PAGE_MASK);

		if (part > sizeof(buf) - got)
			part = sizeof(buf) - got;
		n = pg_guest_peek(me, buf + got, at + got, part);
		got += n;
		if (n < part || memchr(buf, '\0', got) != NULL)
			break;
	}
	n = strnlen((const char *)buf, got);
	if (got == 0)
		add(t, "0x%llx", (unsigned long long)at);
	else
		add_bytes(t, buf, n, n == got);
}

static void add_buffer(struct pg_thread *me, struct line *t, uint64_t at, uint64_t len)
{
	uint8_t buf[SHOWN];
	uint64_t n = pg_guest_peek(me, buf, at, len < SHOWN ? len : SHOWN);

	if (n == 0)
		add(t, "0x%llx", (unsigned long long)at);
	else
		add_bytes(t, buf, n, n < len);
}

static void add_argument(struct pg_thread *me, struct line *t, char kind, const uint64_t *v)
{
	switch (kind) {
	case 'd':
		add(t, "%lld", *v <= UINT32_MAX ? (long long)(int32_t)*v : (long long)*v);
		break;
	case 'u':
		add(t, "%llu", (unsigned long long)*v);
		break;
	case 'o':
		add(t, "0%o", (unsigned)*v);
		break;
	case 'f':
	case 'S':
		add(t, "%d", (int)*v);
		break;
	case 'D':
		if ((int)*v == AT_FDCWD)
			add(t, "AT_FDCWD");
		else
			add(t, "%d", (int)*v);
		break;
	case 's':
		add_string(me, t, *v);
		break;
	case 'b':
		add_buffer(me, t, v[0], v[1]);
		break;
	case 'p':
		if (*v == 0) {
			add(t, "NULL");
			break;
		}
		__attribute__((fallthrough));
	default:
		add(t, "0x%llx", (unsigned long long)*v);
		break;
	}
}

void pg_syscall_text(struct pg_thread *me, const struct pg_syscall *s, const char *name,
	const uint64_t *a, bool returned, int64_t result, char *out, size_t cap)
{
	const char *kinds = s != NULL ? s->args : "xxxxxx";
	struct line t = {out, cap - 1, 0};

	out[0] = '\0';
	add(&t, "%s(", name);
	for (unsigned i = 0; i < 6 && kinds[i] != '\0'; i++) {
		if (i != 0)
			add(&t, ", ");
		add_argument(me, &t, kinds[i], &a[i]);
	}
	if (!returned)
		add(&t, ") = ?");
	else if (result < 0 && result > -4096 && strerrorname_np((int)-result) != NULL)
		add(&t, ") = -%s (%s)", strerrorname_np((int)-result),
			strerrordesc_np((int)-result));
	else if (result >= 0 && result < 1 << 30)
		add(&t, ") = %lld", (long long)result);
	else
		add(&t, ") = 0x%llx", (unsigned long long)result);
	out[cap - 1] = '\0';
}
