/* SPDX-License-Identifier: MIT */
/* tests/heapview/own.c: an allocator that `pagoda heap` does not know, to be preloaded: blocks one behind the other, none used again. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ROOM (64ul << 20)

static char room[ROOM] __attribute__((aligned(4096)));
static size_t used;

void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void *aligned_alloc(size_t align, size_t n);
int posix_memalign(void **p, size_t align, size_t n);
size_t malloc_usable_size(void *p);
void free(void *p);

static void *take(size_t align, size_t n)
{
	size_t at = (used + sizeof n + align - 1) / align * align;

	if (n > ROOM - at)
		return NULL;
	memcpy(room + at - sizeof n, &n, sizeof n);
	used = at + n;
	return room + at;
}

void *malloc(size_t n)
{
	return take(16, n);
}

void *calloc(size_t n, size_t size)
{
	return take(16, n * size);
}

void *aligned_alloc(size_t align, size_t n)
{
	return take(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	*p = take(align, n);
	return *p ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *p)
{
	size_t n;

	memcpy(&n, (char *)p - sizeof n, sizeof n);
	return n;
}

void *realloc(void *p, size_t n)
{
	void *q = take(16, n);
	size_t before = p ? malloc_usable_size(p) : 0;

	if (p && q)
		memcpy(q, p, before < n ? before : n);
	return q;
}

void free(void *p)
{
	(void)p;
}
