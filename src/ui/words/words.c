/* SPDX-License-Identifier: MIT */
/*
 * ui/words/words.c: the words behind a command: its own options, options of run, and what follows them.
 *
 * See words.h. Calls ui/words/options.c for options of run, ui/write/output.c to complain.
 */
#include "ui/words/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ui/write/format.h"
#include "ui/write/output.h"

static bool is_option(const char *word, const char *name)
{
	size_t length = strlen(name);

	return !strncmp(word, name, length) && (!word[length] || word[length] == '=');
}

static int take_number(const char *command, const struct pg_word *o, const char *value)
{
	if (pg_parse_number(value, o->number) == 0 && *o->number >= o->least &&
		*o->number <= o->most)
		return 0;
	return pg_complain(command, "%s: '%s' is not a number from %" PRIu64 " to %" PRIu64,
		o->name, value, o->least, o->most);
}

/* The option at argv[*at], which moves behind it. 0 or the exit status. */
static int take_option(
	const char *command, const struct pg_word *o, void *ctx, int argc, char **argv, int *at)
{
	const char *word = argv[*at],
		   *equals = word[strlen(o->name)] ? word + strlen(o->name) : NULL;
	const char *value = "";

	++*at;
	if (o->said)
		*o->said = o->name;
	if (o->refused)
		return pg_complain(command, "%s: %s", word, o->refused);
	if (o->flag) {
		*o->flag = true;
		return equals ? pg_complain(command, "%s takes no value", o->name) : 0;
	}
	if (equals)
		value = equals + 1;
	else if (*at < argc && strcmp(argv[*at], "--") != 0)
		value = argv[(*at)++];
	else
		return pg_complain(command, "%s needs a value", o->name);
	if (o->number)
		return take_number(command, o, value);
	if (o->take)
		return o->take(ctx, value);
	*o->file = value;
	return value[0] ? 0 : pg_complain(command, "%s wants the name of a file", o->name);
}

/* A word that is none of the command's own, at argv[*at]: an option of run goes to *rest with its value. 0 or the exit status. */
static int keep_option(
	const char *command, bool runs, int argc, char **argv, int *at, struct pg_words *rest)
{
	int words = runs ? pg_options_words(argv[*at]) : 0;

	if (!words)
		return pg_complain(
			command, "no option '%s'; pagoda %s --help lists them", argv[*at], command);
	while (words-- && *at < argc)
		rest->words[rest->count++] = argv[(*at)++];
	return 0;
}

int pg_words_take(const char *command, const struct pg_word *options, size_t n, void *ctx,
	bool runs, void (*help)(FILE *out), int argc, char **argv, struct pg_words *rest)
{
	static char quiet[] = "--quiet"; /* as argv's strings never written */
	int at = 0, status = 0;

	rest->count = 0;
	rest->words = calloc((size_t)argc + 2, sizeof *rest->words);
	if (!rest->words)
		return pg_complain(command, "%s", strerror(ENOMEM));
	if (runs)
		rest->words[rest->count++] = quiet;
	while (!status && at < argc && argv[at][0] == '-' && argv[at][1] &&
		strcmp(argv[at], "--")) {
		size_t i = 0;

		if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h")) {
			help(stdout);
			return -1;
		}
		while (i < n && !is_option(argv[at], options[i].name))
			i++;
		if (i < n)
			status = take_option(command, &options[i], ctx, argc, argv, &at);
		else
			status = keep_option(command, runs, argc, argv, &at, rest);
	}
	if (!runs && at < argc && !strcmp(argv[at], "--"))
		at++;
	while (at < argc)
		rest->words[rest->count++] = argv[at++];
	return status;
}

void pg_words_free(struct pg_words *w)
{
	free(w->words);
	*w = (struct pg_words){0};
}

int pg_words_options(const char *command, const struct pg_words *w, struct pg_options *out)
{
	char why[512];

	switch (pg_options_parse(w->count, w->words, out, stdout, why, sizeof why)) {
	case PG_OPTIONS_RUN:
		return 0;
	case PG_OPTIONS_HELP:
	case PG_OPTIONS_LIST:
		return -1;
	case PG_OPTIONS_BAD:
		break;
	case PG_OPTIONS_EMPTY:
		return pg_complain(command,
			"no program given; write pagoda %s [OPTIONS] -- PROGRAM [ARGUMENTS]",
			command);
	}
	return pg_complain(command, "%s", why);
}

int pg_words_process(const char *command, const char *text, struct pg_chosen *out)
{
	uint64_t n;

	*out = (struct pg_chosen){0};
	if (!text[0])
		return pg_complain(command, "--process wants a name or a number");
	if (pg_parse_number(text, &n) != 0)
		out->name = text;
	else if (n == 0 || n > INT32_MAX)
		return pg_complain(command, "--process: there is no process %s", text);
	else
		out->pid = (int)n;
	return 0;
}
