/* SPDX-License-Identifier: MIT */
/*
 * ui/main.c: the pagoda program: its commands.
 *
 * Calls each command of the table, and ui/words/options.c for the words behind run. To add a command, add a row and a function.
 */
#include <stdio.h>
#include <string.h>

#include "ui/compare/compare.h"
#include "ui/heap/heap.h"
#include "ui/partition/partition.h"
#include "ui/run/run.h"
#include "ui/size/size.h"
#include "ui/stack/stack.h"
#include "ui/words/options.h"

static int command_run(int argc, char **argv);
static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct {
	const char *name;
	int (*main)(int argc, char **argv); /* argv[0] is the first word behind the command */
	void (*help)(FILE *out);            /* NULL: there is no more to say than `summary` */
	const char *summary;
} commands[] = {
	{"run", command_run, pg_options_help,
		"run a program on Pagoda's memory; run --help lists the options"},
	{"compare", pg_compare_command, pg_compare_help,
		"run a program under several forms of page table; compare --help says more"},
	{"size", pg_size_command, pg_size_help,
		"find out how much memory a program needs; size --help says more"},
	{"heap", pg_heap_command, pg_heap_help,
		"draw the heap of a program; heap --help says more"},
	{"partition", pg_partition_command, pg_partition_help,
		"programs in contiguous memory, streams of requests; partition --help says more"},
	{"stack", pg_stack_command, pg_stack_help,
		"the stacks of a running program; stack --help says more"},
	{"help", command_help, NULL, "this text, or the help of a command"},
	{"version", command_version, NULL, "the version"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void help(FILE *out)
{
	fputs("usage: pagoda COMMAND [ARGUMENTS...]\n"
	      "\n"
	      "A complete virtual memory system in user space: frames, page tables, TLB, demand\n"
	      "paging and page cache of its own, under unmodified Linux programs.\n"
	      "\n",
		out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\nTry: pagoda run --memory 64M -- ls -l\n", out);
}

static int command_run(int argc, char **argv)
{
	struct pg_options options;
	char why[512];

	switch (pg_options_parse(argc, argv, &options, stdout, why, sizeof why)) {
	case PG_OPTIONS_RUN:
		return pg_run_command(&options);
	case PG_OPTIONS_HELP:
		pg_options_help(stdout);
		return 0;
	case PG_OPTIONS_LIST:
		return 0;
	case PG_OPTIONS_BAD:
	case PG_OPTIONS_EMPTY:
		break;
	}
	fprintf(stderr, "pagoda: %s\n", why);
	return 2;
}

static int command_help(int argc, char **argv)
{
	if (argc == 0) {
		help(stdout);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, argv[0]) != 0)
			continue;
		if (commands[i].help)
			commands[i].help(stdout);
		else
			printf("pagoda %s: %s\n", commands[i].name, commands[i].summary);
		return 0;
	}
	fprintf(stderr, "pagoda: no command '%s'; pagoda help lists them\n", argv[0]);
	return 2;
}

static int command_version(int argc, char **argv)
{
	puts("pagoda " PG_VERSION);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("pagoda: no command given; pagoda help lists them\n", stderr);
		return 2;
	}
	const char *word = argv[1];
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	else if (strcmp(word, "--version") == 0)
		word = "version";
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, word) == 0)
			return commands[i].main(argc - 2, argv + 2);
	if (word[0] == '-')
		fprintf(stderr,
			"pagoda: no option '%s' before a command; pagoda help lists the commands\n",
			word);
	else
		fprintf(stderr,
			"pagoda: no command '%s'; pagoda help lists them, pagoda run -- %s runs "
			"it\n",
			word, word);
	return 2;
}
