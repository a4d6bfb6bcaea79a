/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/record.c: streams of requests in files.
 *
 *   text          "pagoda stream 1", then a line for each request: TIME BYTES LIFETIME [PRIORITY]; a lifetime of "-" has no end.
 *                 Times do not fall. Empty lines, and what follows a #, are skipped.
 *   malloc record heap/record.h: a call is a unit of time; a request arrives with the call that allocates it and leaves with
 *                 the call that frees it. All have priority 0.
 *
 * Called by ui/partition/simulate.c and ui/partition/run.c. Owns nothing but what it hands out.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heap/record.h"
#include "ui/partition/internal.h"

#define HEADER "pagoda stream 1"

struct reader {
	const char *path;
	FILE *in;
	struct pg_partition_record *out;
	uint64_t room;
};

static int add(struct reader *r, struct pg_stream_request request)
{
	struct pg_partition_record *out = r->out;

	if (out->n == r->room) {
		uint64_t room = r->room ? 2 * r->room : 4096;
		struct pg_stream_request *more = realloc(out->requests, room * sizeof *more);

		if (!more)
			return pg_partition_complain("%s: %s", r->path, strerror(ENOMEM));
		out->requests = more;
		r->room = room;
	}
	out->requests[out->n++] = request;
	return 0;
}

/* ---- text */

/* A number that is not negative at *at, which moves behind it and the space that must follow. False: there is none. */
static bool take_number(char **at, double *out)
{
	char *end;

	if (!isdigit((unsigned char)**at))
		return false;
	*out = strtod(*at, &end);
	if (!isfinite(*out) || (*end && !isspace((unsigned char)*end)))
		return false;
	*at = end + strspn(end, " \t\r\n");
	return true;
}

static int read_line(struct reader *r, char *at, uint64_t line)
{
	struct pg_stream_request q = {0};
	double before = r->out->n ? r->out->requests[r->out->n - 1].time : 0, bytes, priority = 0;

	if (!take_number(&at, &q.time))
		return pg_partition_complain(
			"%s:%" PRIu64 ": the time is not a number", r->path, line);
	if (q.time < before)
		return pg_partition_complain(
			"%s:%" PRIu64 ": the time is less than that before", r->path, line);
	if (!take_number(&at, &bytes) || bytes < 1 || bytes > 0x1p40 || bytes != floor(bytes))
		return pg_partition_complain("%s:%" PRIu64
					     ": the size is not a whole number from 1 to 2^40",
			r->path, line);
	if (*at == '-' && (!at[1] || isspace((unsigned char)at[1]))) {
		q.lifetime = INFINITY;
		at += 1 + strspn(at + 1, " \t\r\n");
	} else if (!take_number(&at, &q.lifetime)) {
		return pg_partition_complain(
			"%s:%" PRIu64 ": the lifetime is neither a number nor -", r->path, line);
	}
	if (*at && (!take_number(&at, &priority) || priority >= PG_STREAM_PRIORITIES ||
			   priority != floor(priority)))
		return pg_partition_complain("%s:%" PRIu64
					     ": the priority is not a whole number from 0 to 9",
			r->path, line);
	if (*at)
		return pg_partition_complain("%s:%" PRIu64 ": more than four words", r->path, line);
	q.bytes = (uint64_t)bytes;
	q.priority = (unsigned)priority;
	return add(r, q);
}

static int read_text(struct reader *r)
{
	char *text = NULL;
	size_t room = 0;
	bool header = false;
	int status = 0;

	for (uint64_t line = 1; !status && getline(&text, &room, r->in) >= 0; line++) {
		char *at = text + strspn(text, " \t\r\n");
		size_t length;

		at[strcspn(at, "#")] = 0;
		for (length = strlen(at); length && isspace((unsigned char)at[length - 1]);)
			at[--length] = 0;
		if (!*at)
			continue;
		if (header) {
			status = read_line(r, at, line);
			continue;
		}
		header = !strcmp(at, HEADER);
		if (!header)
			status = pg_partition_complain("%s:%" PRIu64 ": neither '" HEADER
						       "' nor a record of calls of malloc",
				r->path, line);
	}
	if (!status && ferror(r->in))
		status = pg_partition_complain("%s: %s", r->path, strerror(errno));
	free(text);
	return status;
}

/* ---- records of malloc */

/* Blocks that are there: address to request; open addressing, key 0 is empty. */
struct live {
	struct {
		uint64_t address, request;
	} * at; /* owned: [size] */
	uint64_t size, n;
};

static uint64_t slot_of(const struct live *l, uint64_t address)
{
	uint64_t i = (address * 0x9e3779b97f4a7c15u >> 20) & (l->size - 1);

	while (l->at[i].address && l->at[i].address != address)
		i = (i + 1) & (l->size - 1);
	return i;
}

static bool live_grow(struct live *l)
{
	struct live more = {.size = l->size ? 2 * l->size : 4096, .n = l->n};

	more.at = calloc(more.size, sizeof *more.at);
	if (!more.at)
		return false;
	for (uint64_t i = 0; i < l->size; i++)
		if (l->at[i].address)
			more.at[slot_of(&more, l->at[i].address)] = l->at[i];
	free(l->at);
	*l = more;
	return true;
}

static void live_remove(struct live *l, uint64_t i)
{
	l->n--;
	for (uint64_t k = (i + 1) & (l->size - 1);; k = (k + 1) & (l->size - 1)) {
		l->at[i].address = 0;
		if (!l->at[k].address)
			return;
		/* What stood behind the gap moves up if it would be found there. */
		if (slot_of(l, l->at[k].address) == i) {
			l->at[i] = l->at[k];
			i = k;
		}
	}
}

/* The block at `address`, if there is one, leaves at `now`. */
static void leave(struct reader *r, struct live *l, uint64_t address, double now)
{
	uint64_t i;

	if (!address || !l->n)
		return;
	i = slot_of(l, address);
	if (!l->at[i].address)
		return; /* allocated before the record began */
	r->out->requests[l->at[i].request].lifetime = now - r->out->requests[l->at[i].request].time;
	live_remove(l, i);
}

static int arrive(struct reader *r, struct live *l, const struct pg_record *row, double now)
{
	uint64_t i;

	if (2 * l->n >= l->size && !live_grow(l))
		return pg_partition_complain("%s: %s", r->path, strerror(ENOMEM));
	i = slot_of(l, row->out);
	if (l->at[i].address)
		return pg_partition_complain(
			"%s: call %.0f gives a block that was not freed", r->path, now + 1);
	l->at[i].address = row->out;
	l->at[i].request = r->out->n;
	l->n++;
	return add(
		r, (struct pg_stream_request){
			   .time = now, .lifetime = INFINITY, .bytes = row->size ? row->size : 1});
}

static int read_calls(struct reader *r)
{
	struct live live = {0};
	struct pg_record row;
	size_t got;
	int status = 0;

	for (double now = 0; !status && (got = fread(&row, 1, sizeof row, r->in)) > 0; now++) {
		if (got != sizeof row)
			status =
				pg_partition_complain("%s: call %.0f is cut off", r->path, now + 1);
		else if (row.op < PG_RECORD_MALLOC || row.op > PG_RECORD_FREE ||
			 row.size > (uint64_t)1 << 40)
			status = pg_partition_complain(
				"%s: call %.0f is no call of malloc", r->path, now + 1);
		if (status)
			break;
		leave(r, &live, row.in, now);
		if (row.op != PG_RECORD_FREE && row.out)
			status = arrive(r, &live, &row, now);
	}
	if (!status && ferror(r->in))
		status = pg_partition_complain("%s: %s", r->path, strerror(errno));
	free(live.at);
	return status;
}

/* ---- the peak */

struct change {
	double time;
	double bytes; /* negative: they leave */
};

/* By time; at one time those who leave go first, as in frame/partition_stream.c. */
static int by_time(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int find_peak(const struct reader *r)
{
	struct pg_partition_record *out = r->out;
	struct change *all = malloc(2 * out->n * sizeof *all);
	double now = 0, peak = 0;

	if (!all)
		return pg_partition_complain("%s: %s", r->path, strerror(ENOMEM));
	for (uint64_t i = 0; i < out->n; i++) {
		const struct pg_stream_request *q = &out->requests[i];

		all[2 * i] = (struct change){q->time, (double)q->bytes};
		all[2 * i + 1] = (struct change){q->time + q->lifetime, -(double)q->bytes};
	}
	qsort(all, 2 * out->n, sizeof *all, by_time);
	for (uint64_t i = 0; i < 2 * out->n; i++) {
		now += all[i].bytes;
		if (now > peak)
			peak = now;
		if (all[i].bytes > peak) /* who stays for no time is there too */
			peak = all[i].bytes;
	}
	free(all);
	out->peak_bytes = (uint64_t)peak;
	return 0;
}

/* ---- the interface */

int pg_partition_record_read(const char *path, struct pg_partition_record *out)
{
	struct reader r = {.path = path, .out = out};
	int first, status;

	*out = (struct pg_partition_record){0};
	r.in = fopen(path, "re");
	if (!r.in)
		return pg_partition_complain("cannot read %s: %s", path, strerror(errno));
	first = getc(r.in);
	if (first != EOF)
		ungetc(first, r.in);
	status = first >= PG_RECORD_MALLOC && first <= PG_RECORD_FREE ? read_calls(&r)
								      : read_text(&r);
	fclose(r.in);
	if (!status && out->n < 2)
		status = pg_partition_complain("%s has less than two requests", path);
	if (!status)
		status = find_peak(&r);
	return status;
}

void pg_partition_record_head(FILE *out)
{
	fputs(HEADER "\n# time bytes lifetime priority\n", out);
}

void pg_partition_record_line(const struct pg_stream_request *q, FILE *out)
{
	fprintf(out, "%.17g %" PRIu64 " ", q->time, q->bytes);
	if (isfinite(q->lifetime))
		fprintf(out, "%.17g %u\n", q->lifetime, q->priority);
	else
		fprintf(out, "- %u\n", q->priority);
}

int pg_partition_record_write(const char *path, const struct pg_stream *s)
{
	struct pg_stream_source source;
	struct pg_stream_request q;
	struct pg_output o = {.path = path};
	int status, e = pg_stream_begin(&source, s);

	if (e)
		return pg_partition_complain("--write-stream: %s", strerror(-e));
	status = pg_output_begin("partition", &o);
	if (status)
		return status;
	pg_partition_record_head(o.file);
	while (pg_stream_next(&source, &q))
		pg_partition_record_line(&q, o.file);
	return pg_output_end("partition", &o);
}
