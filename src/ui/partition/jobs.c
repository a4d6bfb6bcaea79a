/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/jobs.c: the job file of `pagoda partition run`.
 *
 *   NAME [KEY=VALUE]... : PROGRAM [ARGUMENT]...
 *
 * Called by ui/partition/run.c through jobs.h. Calls ui/write/format.h. Words are separated by blanks; "..." holds blanks, '...'
 * everything; a backslash takes the next character as it is, but not in '...'. A # where a word could begin ends the line.
 */
#include "ui/partition/jobs.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ui/write/format.h"

#define MOST_CLOCK ((uint64_t)1 << 60)

struct reader {
	const char *path;
	unsigned line;
	struct pg_jobs *jobs;
	char *error;
	size_t room;
};

static int fail(const struct reader *r, int e, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The line's error. Returns e. */
static int fail(const struct reader *r, int e, const char *format, ...)
{
	va_list args;
	int n = snprintf(r->error, r->room, "%s:%u: ", r->path, r->line);

	va_start(args, format);
	if (n >= 0 && (size_t)n < r->room)
		vsnprintf(r->error + n, r->room - (size_t)n, format, args);
	va_end(args);
	return e;
}

/* ---- words */

struct words {
	char **at; /* owned, as each word: [n], then NULL */
	size_t n;
	size_t colon; /* the first word that is ':' and was not quoted; SIZE_MAX: none */
};

static void words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->at[i]);
	free(w->at);
}

/* The text of the word at *at into out, which has room for all of the line; *at moves behind it. 0 or the reader's error. */
static int unquote(const struct reader *r, const char **at, char *out, bool *quoted)
{
	const char *s = *at;
	char quote = 0;

	*quoted = false;
	for (; *s && (quote || !isspace((unsigned char)*s)); s++) {
		if (quote ? *s == quote : *s == '"' || *s == '\'') {
			quote = quote ? 0 : *s;
			*quoted = true;
		} else if (*s == '\\' && quote != '\'') {
			if (!*++s)
				return fail(r, -EINVAL, "a backslash ends the line");
			*out++ = *s;
			*quoted = true;
		} else {
			*out++ = *s;
		}
	}
	if (quote)
		return fail(r, -EINVAL, "a %c is not closed", quote);
	*out = 0;
	*at = s;
	return 0;
}

static int split(const struct reader *r, const char *text, struct words *w)
{
	size_t most = strlen(text) / 2 + 1; /* words */
	char *word = malloc(strlen(text) + 1);
	int e = 0;

	*w = (struct words){.at = calloc(most + 1, sizeof *w->at), .colon = SIZE_MAX};
	if (!word || !w->at)
		e = fail(r, -ENOMEM, "%s", strerror(ENOMEM));
	while (!e) {
		bool quoted;

		text += strspn(text, " \t\r\n\v\f");
		if (!*text || *text == '#')
			break;
		e = unquote(r, &text, word, &quoted);
		if (e)
			break;
		if (!quoted && !strcmp(word, ":") && w->colon == SIZE_MAX)
			w->colon = w->n;
		w->at[w->n] = strdup(word);
		if (!w->at[w->n])
			e = fail(r, -ENOMEM, "%s", strerror(ENOMEM));
		else
			w->n++;
	}
	free(word);
	return e;
}

/* ---- keys */

bool pg_jobs_clock(const char *text, uint64_t *out)
{
	static const char letters[] = "kMG";
	size_t n = strlen(text);
	const char *letter = n ? strchr(letters, text[n - 1]) : NULL;
	char digits[32];
	uint64_t scale = 1;

	if (n == 0 || n >= sizeof digits || !isdigit((unsigned char)*text))
		return false;
	strcpy(digits, text);
	if (letter) {
		digits[n - 1] = 0;
		for (const char *l = letters; l <= letter; l++)
			scale *= 1000;
	}
	if (pg_parse_number(digits, out) != 0 || *out > MOST_CLOCK / scale)
		return false;
	*out *= scale;
	return true;
}

static int take_file(const struct reader *r, char **to, const char *key, const char *value)
{
	if (!*value)
		return fail(r, -EINVAL, "%s= wants the name of a file", key);
	*to = strdup(value);
	return *to ? 0 : fail(r, -ENOMEM, "%s", strerror(ENOMEM));
}

static int take_key(const struct reader *r, struct pg_job *job, unsigned *seen, char *word)
{
	static const char *const keys[] = {"arrive", "size", "priority", "in", "out", "err"};
	char *value = strchr(word, '=');
	unsigned k = 0;
	uint64_t n;

	if (!value)
		return fail(r, -EINVAL, "'%s' is neither KEY=VALUE nor the ':' before the program",
			word);
	*value++ = 0;
	while (k < 6 && strcmp(keys[k], word) != 0)
		k++;
	if (k == 6)
		return fail(r, -EINVAL,
			"no key '%s'; there are arrive, size, priority, in, out and err", word);
	if (*seen & 1u << k)
		return fail(r, -EINVAL, "%s is given twice", word);
	*seen |= 1u << k;
	switch (k) {
	case 0:
		return pg_jobs_clock(value, &job->arrives)
			       ? 0
			       : fail(r, -EINVAL,
					 "arrive: '%s' is not a number of instructions, such as "
					 "500k or 20M",
					 value);
	case 1:
		return pg_parse_size(value, &job->bytes) == 0 && job->bytes
			       ? 0
			       : fail(r, -EINVAL, "size: '%s' is not a size, such as 2M", value);
	case 2:
		if (pg_parse_number(value, &n) != 0 || n >= PG_JOB_PRIORITIES)
			return fail(
				r, -EINVAL, "priority: '%s' is not a number from 0 to 9", value);
		job->priority = (unsigned)n;
		return 0;
	case 3:
		return take_file(r, &job->in, word, value);
	case 4:
		return take_file(r, &job->out, word, value);
	default:
		return take_file(r, &job->err, word, value);
	}
}

/* ---- lines */

static int check_name(const struct reader *r, const char *name)
{
	if (!*name || strlen(name) > 32)
		return fail(r, -EINVAL, "a name has 1 to 32 characters");
	for (const char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_-.", *s))
			return fail(r, -EINVAL,
				"the name '%s' has other characters than letters, digits, _, - and "
				".",
				name);
	for (size_t i = 0; i + 1 < r->jobs->n; i++)
		if (!strcmp(r->jobs->job[i].name, name))
			return fail(r, -EINVAL, "the name '%s' is that of line %u", name,
				r->jobs->job[i].line);
	return 0;
}

static struct pg_job *add_job(const struct reader *r)
{
	struct pg_jobs *j = r->jobs;

	if ((j->n & (j->n - 1)) == 0) { /* room is the next power of two */
		struct pg_job *more = realloc(j->job, (j->n ? 2 * j->n : 1) * sizeof *more);

		if (!more)
			return NULL;
		j->job = more;
	}
	j->job[j->n] = (struct pg_job){.line = r->line};
	return &j->job[j->n++];
}

/* The job of these words, which lose what it keeps. */
static int take_job(const struct reader *r, struct words *w)
{
	struct pg_job *job;
	unsigned seen = 0;
	int e;

	if (w->colon == SIZE_MAX)
		return fail(r, -EINVAL, "there is no ':' with the program behind it");
	if (w->colon == 0)
		return fail(r, -EINVAL, "the name is missing before the ':'");
	if (w->colon + 1 == w->n || !*w->at[w->colon + 1])
		return fail(r, -EINVAL, "the program is missing behind the ':'");
	if (r->jobs->n == PG_JOBS_MOST)
		return fail(r, -EINVAL, "there are more than %u jobs", PG_JOBS_MOST);
	job = add_job(r);
	if (!job)
		return fail(r, -ENOMEM, "%s", strerror(ENOMEM));
	job->name = strdup(w->at[0]);
	job->argv = calloc(w->n - w->colon, sizeof *job->argv);
	if (!job->name || !job->argv)
		return fail(r, -ENOMEM, "%s", strerror(ENOMEM));
	e = check_name(r, job->name);
	for (size_t i = 1; i < w->colon && !e; i++)
		e = take_key(r, job, &seen, w->at[i]);
	for (size_t i = w->colon + 1; i < w->n; i++) {
		job->argv[i - w->colon - 1] = w->at[i];
		w->at[i] = NULL;
	}
	return e;
}

int pg_jobs_read(const char *path, struct pg_jobs *out, char *error, size_t room)
{
	struct reader r = {.path = path, .jobs = out, .error = error, .room = room};
	FILE *in = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t n;
	int e = 0;

	*out = (struct pg_jobs){0};
	if (!in) {
		e = -errno;
		snprintf(error, room, "cannot read %s: %s", path, strerror(-e));
		return e;
	}
	while (!e && (n = getline(&text, &size, in)) >= 0) {
		struct words w;

		r.line++;
		if (memchr(text, 0, (size_t)n)) {
			e = fail(&r, -EINVAL, "there is a zero byte");
			break;
		}
		e = split(&r, text, &w);
		if (!e && w.n)
			e = take_job(&r, &w);
		words_free(&w);
	}
	if (!e && ferror(in)) {
		e = -errno;
		snprintf(error, room, "cannot read %s: %s", path, strerror(-e));
	}
	if (!e && out->n == 0) {
		e = -EINVAL;
		snprintf(error, room, "%s: there is no job in it", path);
	}
	free(text);
	fclose(in);
	return e;
}

void pg_jobs_free(struct pg_jobs *j)
{
	for (size_t i = 0; i < j->n; i++) {
		struct pg_job *job = &j->job[i];

		for (char **a = job->argv; a && *a; a++)
			free(*a);
		free(job->argv);
		free(job->name);
		free(job->in);
		free(job->out);
		free(job->err);
	}
	free(j->job);
	*j = (struct pg_jobs){0};
}
