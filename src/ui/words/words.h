/* SPDX-License-Identifier: MIT */
/*
 * ui/words/words.h: the words behind a command: its own options, options of run, and what follows them.
 *
 * Called by all commands but `pagoda run`, whose options are options.c's. Each gives a table of its own options.
 */
#ifndef PG_UI_WORDS_H
#define PG_UI_WORDS_H

#include "trace/chosen.h"
#include "ui/words/options.h"

/* An option: "--name VALUE" or "--name=VALUE"; "" is the value if the words end there. One of take to refused is set. */
struct pg_word {
	const char *name;
	int (*take)(void *ctx, const char *value); /* 0, or the exit status after a complaint */
	bool *flag;                                /* gets true; the option has no value */
	const char **file;                         /* gets the value, a name that is not empty */
	uint64_t *number;                          /* gets the value, from least to most */
	const char *refused;                       /* why this option of run is not handed on */
	uint64_t least, most;
	const char **said; /* NULL, or gets the name when the option is there */
};

/* Rows for commands that make several runs: options of run that belong to one. */
#define PG_WORD_OF_ONE(option)                                                                     \
	{                                                                                          \
		option, .refused = "it belongs to one run: use pagoda run"                         \
	}
#define PG_WORDS_OF_ONE                                                                            \
	PG_WORD_OF_ONE("--output"), PG_WORD_OF_ONE("--trace-faults"), PG_WORD_OF_ONE("--explain"), \
		PG_WORD_OF_ONE("--trace-calls"), PG_WORD_OF_ONE("--map"), PG_WORD_OF_ONE("--top")

/* What is left when the command's own options are taken. */
struct pg_words {
	char **words; /* owned array, the strings borrowed */
	int count;
};

/*
 * Takes the options of a command from argv[argc], the words behind its name. runs: the command runs a program, so options of run may stand
 * among its own, and *rest is "--quiet", these, and the program and its arguments, for pg_words_options(). Else *rest is what follows the
 * options. ctx is for take. 0; -1: help was asked for, and printed; or the exit status, after a complaint. *rest is the caller's, always.
 */
int pg_words_take(const char *command, const struct pg_word *options, size_t n, void *ctx,
	bool runs, void (*help)(FILE *out), int argc, char **argv, struct pg_words *rest);
void pg_words_free(struct pg_words *w);

/* The value of --process, a program's name or a number of a process. 0, or the exit status. */
int pg_words_process(const char *command, const char *text, struct pg_chosen *out);

/* The options of a run. 0; -1: a list was asked for, and printed; or the exit status, after a complaint. */
int pg_words_options(const char *command, const struct pg_words *w, struct pg_options *out);

#endif
