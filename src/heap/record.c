/* SPDX-License-Identifier: MIT */
/*
 * heap/record.c: writes the file of record.h. Called by front.c for every call while recording.
 *
 * Rows are gathered in one buffer under one lock, and written when it is full, at exit and at fork. A program that is killed
 * loses the last buffer.
 */
#include "heap/record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "heap/os.h"

bool pg_recording;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pg_record rows[2048]; /* guarded by lock, as all below */
static size_t count;
static int file = -1;
static uint16_t threads;
static char path[4096];
static __thread uint16_t my_thread __attribute__((tls_model("initial-exec"))); /* number + 1 */

static void flush(void)
{
	const char *from = (const char *)rows;
	size_t bytes = count * sizeof rows[0];
	int saved = errno;

	while (bytes) {
		ssize_t n = write(file, from, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			pg_os_say("recording ends: the file cannot be written");
			pg_recording = false;
			break;
		}
		from += n;
		bytes -= (size_t)n;
	}
	count = 0;
	errno = saved;
}

static bool open_file(void)
{
	char name[sizeof path + 24];
	char digits[24];
	size_t n = strlen(path), d = 0;
	int saved = errno;

	memcpy(name, path, n);
	name[n++] = '.';
	for (unsigned pid = (unsigned)getpid(); pid; pid /= 10)
		digits[d++] = (char)('0' + pid % 10);
	while (d)
		name[n++] = digits[--d];
	name[n] = 0;
	file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	errno = saved;
	if (file < 0)
		pg_os_say("cannot record: %s cannot be written", name);
	return file >= 0;
}

bool pg_record_start(const char *where)
{
	if (strlen(where) >= sizeof path) {
		pg_os_say("cannot record: the name in PAGODA_MALLOC_RECORD is too long");
		return false;
	}
	strcpy(path, where);
	pg_recording = open_file();
	return pg_recording;
}

static void add(enum pg_record_op op, size_t align, size_t size, const void *in, const void *out)
{
	if (!my_thread)
		my_thread = ++threads;
	rows[count++] = (struct pg_record){.op = (uint8_t)op,
		.thread = (uint16_t)(my_thread - 1),
		.align = (uint32_t)align,
		.size = size,
		.in = (uint64_t)in,
		.out = (uint64_t)out};
	if (count == sizeof rows / sizeof rows[0])
		flush();
}

void pg_record_call(
	enum pg_record_op op, size_t align, size_t size, const void *in, const void *out)
{
	pg_lock(&lock);
	if (pg_recording)
		add(op, align, size, in, out);
	pg_unlock(&lock);
}

void pg_record_realloc_begin(void)
{
	pg_lock(&lock);
}

void pg_record_realloc_end(size_t size, const void *in, const void *out)
{
	if (pg_recording && out)
		add(PG_RECORD_REALLOC, 0, size, in, out);
	pg_unlock(&lock);
}

__attribute__((destructor)) static void at_exit(void)
{
	if (!pg_recording)
		return;
	pg_lock(&lock);
	flush();
	pg_unlock(&lock);
}

void pg_record_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
	if (pg_recording)
		flush();
}

void pg_record_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

void pg_record_fork_child(void)
{
	const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	lock = fresh;
	if (pg_recording) {
		close(file);
		pg_recording = open_file();
	}
}
