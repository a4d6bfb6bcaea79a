/* SPDX-License-Identifier: MIT */
/*
 * trace/demangle.c: libiberty asked for one name.
 *
 * Called by symbols.c and variables.c, see demangle.h. The schemes are told apart by how a name begins: "_Z" of the Itanium C++ ABI (5.1), which
 * older Rust uses too, with a hash at the end; "_R" of Rust since RFC 2603; "_D" and a digit of D.
 *
 * Owns nothing.
 */
#include "trace/demangle.h"

#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

/* A name longer than that is shown as it is: some of C++'s take megabytes when written out. */
#define MOST_OUT ((size_t)64 << 10)

struct text {
	char *at; /* owned; NUL-ended */
	size_t n, cap;
	bool failed;
};

static void add(const char *more, size_t n, void *opaque)
{
	struct text *t = opaque;

	if (t->failed || n > MOST_OUT - t->n) {
		t->failed = true;
		return;
	}
	if (t->n + n + 1 > t->cap) {
		size_t cap = 2 * (t->n + n) + 64;
		char *grown = realloc(t->at, cap);
		if (!grown) {
			t->failed = true;
			return;
		}
		t->at = grown;
		t->cap = cap;
	}
	memcpy(t->at + t->n, more, n);
	t->n += n;
	t->at[t->n] = '\0';
}

/* libiberty writes "f [clone .isra.0] [clone .cold]" for what the symbol table calls "f.isra.0.cold". */
static void plain_clones(char *text)
{
	static const char open[] = " [clone ";
	char *from = strstr(text, open), *to = from;

	while (from && strncmp(from, open, sizeof open - 1) == 0) {
		from += sizeof open - 1;
		while (*from && *from != ']')
			*to++ = *from++;
		from += *from == ']';
	}
	if (to)
		memmove(to, from, strlen(from) + 1);
}

char *pg_demangle(const char *name)
{
	const char *version = strchr(name, '@');
	char *plain = version ? strndup(name, (size_t)(version - name)) : NULL;
	struct text t = {0};
	int there = 0;

	if (version && !plain)
		return NULL;
	if (plain)
		name = plain;
	if (name[0] == '_' && (name[1] == 'Z' || name[1] == 'R'))
		there = rust_demangle_callback(name, DMGL_NO_OPTS, add, &t);
	if (!there && name[0] == '_' && name[1] == 'Z') {
		t.n = 0;
		there = cplus_demangle_v3_callback(name, DMGL_NO_OPTS, add, &t);
	} else if (!there && name[0] == '_' && name[1] == 'D' && name[2] >= '0' && name[2] <= '9') {
		char *d = dlang_demangle(name, DMGL_NO_OPTS);
		t.n = 0;
		if (d)
			add(d, strlen(d), &t);
		there = d != NULL;
		free(d);
	}
	free(plain);
	if (!there || t.failed || t.n == 0) {
		free(t.at);
		return NULL;
	}
	plain_clones(t.at);
	return t.at;
}

#define LONG_ARGUMENTS 16

/* Bytes of "<...>" at text, both brackets included; 0: it is not closed. */
static size_t bracketed(const char *text)
{
	size_t depth = 0;

	for (size_t i = 0; text[i]; i++) {
		if (text[i] == '-' && text[i + 1] == '>')
			i++;
		else if (strncmp(text + i, "operator<", 9) == 0 ||
			 strncmp(text + i, "operator>", 9) == 0)
			i += 8 + strspn(text + i + 8, "<>=");
		else if (text[i] == '<')
			depth++;
		else if (text[i] == '>' && --depth == 0)
			return i + 1;
		if (depth == 0)
			return 0;
	}
	return 0;
}

const char *pg_brief_name(const char *name, char *text, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; name[i] && n + 1 < cap;) {
		/* template arguments follow a name, or in Rust "::"; a Rust path may begin with a bracket, and keeps it */
		bool arguments = name[i] == '<' && i && !strchr(" (<,&*", name[i - 1]);
		size_t length = arguments ? bracketed(name + i) : 0;

		if (strncmp(name + i, "operator", 8) == 0) {
			length = 8 + strspn(name + i + 8, "<>=-");
			if (length > cap - 1 - n)
				length = cap - 1 - n;
			memcpy(text + n, name + i, length);
			n += length;
			i += length;
		} else if (length > LONG_ARGUMENTS + 2 && cap - n > 5) {
			memcpy(text + n, "<...>", 5);
			n += 5;
			i += length;
		} else {
			text[n++] = name[i++];
		}
	}
	text[n] = '\0';
	return text;
}
