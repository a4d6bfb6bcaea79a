/* SPDX-License-Identifier: MIT */
/*
 * heap/os.c: what the allocator asks of the system (os.h says what each promises).
 *
 * Not here: the program break, which the document's heap moves itself (list.c).
 */
#include "heap/os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;

/* Where the kernel put argc; set by the dynamic linker, or by the start-up code of a static program. */
extern void *__libc_stack_end __attribute__((weak));

__thread bool pg_os_forking __attribute__((tls_model("initial-exec")));

static void *map_at(uintptr_t hint, size_t bytes)
{
	return mmap(
		(void *)hint, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

uintptr_t pg_os_map(size_t bytes)
{
	void *p = map_at(0, bytes);

	if (p != MAP_FAILED)
		return (uintptr_t)p;
	errno = ENOMEM;
	return 0;
}

uintptr_t pg_os_map_aligned(size_t bytes, size_t align)
{
	static uintptr_t
		below; /* a guess: where the last one was; a stale value only costs a call */
	uintptr_t hint = __atomic_load_n(&below, __ATOMIC_RELAXED);

	hint = hint > bytes ? (hint - bytes) & ~(align - 1) : 0;
	uintptr_t p = (uintptr_t)map_at(hint, bytes);
	if (p == (uintptr_t)MAP_FAILED) {
		errno = ENOMEM;
		return 0;
	}
	if (p % align != 0) {
		munmap((void *)p, bytes);
		if (bytes + align < bytes)
			return errno = ENOMEM, 0;
		p = (uintptr_t)map_at(0, bytes + align - PG_HEAP_OS_PAGE);
		if (p == (uintptr_t)MAP_FAILED) {
			errno = ENOMEM;
			return 0;
		}
		uintptr_t start = pg_os_round(p, align), end = p + bytes + align - PG_HEAP_OS_PAGE;
		if (start > p)
			munmap((void *)p, start - p);
		if (end > start + bytes)
			munmap((void *)(start + bytes), end - (start + bytes));
		p = start;
	}
	__atomic_store_n(&below, p, __ATOMIC_RELAXED);
	return p;
}

void pg_os_unmap(uintptr_t address, size_t bytes)
{
	int saved = errno;

	/* At the limit of mappings a hole cannot be made; the memory at least can be given back. */
	if (munmap((void *)address, bytes) != 0)
		madvise((void *)address, bytes, MADV_DONTNEED);
	errno = saved;
}

uintptr_t pg_os_remap(uintptr_t address, size_t bytes, size_t new_bytes)
{
	void *p = mremap((void *)address, bytes, new_bytes, MREMAP_MAYMOVE);

	return p == MAP_FAILED ? 0 : (uintptr_t)p;
}

void pg_os_purge(uintptr_t address, size_t bytes)
{
	int saved = errno;

	/* Memory that the program has locked cannot be given back; what is promised is that it reads as zero. */
	if (madvise((void *)address, bytes, MADV_DONTNEED) != 0)
		memset((void *)address, 0, bytes);
	errno = saved;
}

const char *pg_os_environment(const char *name)
{
	char **e = environ;
	size_t length = strlen(name);

	if (!e && &__libc_stack_end && __libc_stack_end) {
		long *top = __libc_stack_end;
		e = (char **)(top + 1 + *top + 1); /* argc, argv, NULL, environment */
	}
	for (; e && *e; e++) {
		if (strncmp(*e, name, length) == 0 && (*e)[length] == '=')
			return *e + length + 1;
	}
	return NULL;
}

uint64_t pg_os_secret(void)
{
	const char *random = (const char *)getauxval(AT_RANDOM); /* 16 bytes */
	uint64_t secret = 0x9e3779b97f4a7c15u;

	if (random)
		memcpy(&secret, random + 8, sizeof secret);
	return secret | 1;
}

bool pg_os_privileged(void)
{
	return getauxval(AT_SECURE) != 0;
}

/* --- messages ----------------------------------------------------------------------------------- */

static size_t put_number(char *out, uint64_t n, unsigned base)
{
	char digits[24];
	size_t count = 0, length = 0;

	do {
		digits[count++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (count)
		out[length++] = digits[--count];
	return length;
}

static void say(const char *format, va_list args)
{
	char line[512];
	size_t n = 0;
	int saved = errno;

	for (const char *from = "pagoda-malloc: "; *from; from++)
		line[n++] = *from;
	for (; *format && n < sizeof line - 32; format++) {
		if (*format != '%') {
			line[n++] = *format;
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *s = va_arg(args, const char *); *s && n < sizeof line - 32;
				s++)
				line[n++] = *s;
			break;
		case 'x':
			line[n++] = '0';
			line[n++] = 'x';
			n += put_number(line + n, va_arg(args, uint64_t), 16);
			break;
		default:
			n += put_number(line + n, va_arg(args, uint64_t), 10);
			break;
		}
	}
	line[n++] = '\n';
	for (size_t done = 0; done < n;) {
		ssize_t wrote = write(STDERR_FILENO, line + done, n - done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			break;
		done += (size_t)wrote;
	}
	errno = saved;
}

void pg_os_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void pg_os_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	abort();
}
