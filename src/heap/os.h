/* SPDX-License-Identifier: MIT */
/*
 * heap/os.h: what the allocator asks of the system: memory, the environment before main, a few words on stderr.
 *
 * Used by every file of heap/. None of it allocates, so all may be called from inside malloc, before constructors
 * have run, and with any lock held.
 */
#ifndef PG_HEAP_OS_H
#define PG_HEAP_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_HEAP_OS_PAGE 4096ul

#define PG_LIKELY(x) __builtin_expect(!!(x), 1)
#define PG_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* n rounded up to a multiple of unit, a power of two. */
static inline size_t pg_os_round(size_t n, size_t unit)
{
	return (n + unit - 1) & ~(unit - 1);
}

/* bytes of zeroed private memory, a multiple of the page; 0 with errno ENOMEM. */
uintptr_t pg_os_map(size_t bytes);

/* The same at an address that is a multiple of align, a power of two of at least a page. */
uintptr_t pg_os_map_aligned(size_t bytes, size_t align);

void pg_os_unmap(uintptr_t address, size_t bytes);

/* Gives a mapping another size, moving it if it must; 0 and nothing changed when there is no room. */
uintptr_t pg_os_remap(uintptr_t address, size_t bytes, size_t new_bytes);

/* Gives the memory of whole pages back; they read as zero from now on. errno is kept. */
void pg_os_purge(uintptr_t address, size_t bytes);

/*
 * The value that the program was started with for an environment variable, also before the C library has set
 * `environ`. NULL: not set.
 */
const char *pg_os_environment(const char *name);

/* Random per process, from the kernel; never 0. */
uint64_t pg_os_secret(void);

/* The program runs with rights that its caller does not have: no variable may make it write files. */
bool pg_os_privileged(void);

/*
 * This thread is in fork(), holds every lock of the allocator, and passes them: a handler of pthread_atfork() that
 * runs after ours may allocate.
 */
extern __thread bool pg_os_forking __attribute__((tls_model("initial-exec")));

static inline void pg_lock(pthread_mutex_t *m)
{
	if (PG_LIKELY(!pg_os_forking))
		pthread_mutex_lock(m);
}

static inline void pg_unlock(pthread_mutex_t *m)
{
	if (PG_LIKELY(!pg_os_forking))
		pthread_mutex_unlock(m);
}

/*
 * One line on standard error, put together of format's text and, in turn, %s (const char *), %x (uint64_t, as 0x...)
 * and %d (uint64_t, decimal), behind "pagoda-malloc: ".
 */
void pg_os_say(const char *format, ...);

/* pg_os_say() and abort(): what the program did cannot be repaired. */
_Noreturn void pg_os_die(const char *format, ...);

#endif
