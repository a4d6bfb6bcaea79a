/* SPDX-License-Identifier: MIT */
/*
 * linux/files/descriptors.c: whose descriptors are whose: the guest's below a limit, Pagoda's own above it.
 *
 * Called by process/thread.c and process/process.c (tables), objects.c (pagers), and by whoever gets a descriptor from the host. Calls the host.
 * Owns the numbers of the pagers' descriptors; the keeper, a host thread in Pagoda's own table; and the holder, one in a table of its own.
 *
 * Invariants:
 *   D1 every descriptor of Pagoda's own is at or above pg_linux_fd_limit(), every one of the guest's below.
 *   D2 closing a pager's descriptor never drops a guest's fcntl lock: once the guest has taken one, they are
 *      kept until the guest ends (closing any descriptor of a file drops a process's locks on it).
 */
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OWN_FDS 512 /* how many numbers are kept for Pagoda at the top */
#define LEAST_FDS                                                                                  \
	256 /* half are Pagoda's then, of these half are for pagers: the others must not run into them */
#define OWN_FDS_FROM                                                                               \
	16384 /* not higher than this: the host's table of descriptors grows with the number */

/* The hard limit is never changed while Pagoda lives, so neither is what follows from it. */
static int compute_fd_limit(void)
{
	struct rlimit r;
	uint64_t top;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return 512;
	top = r.rlim_max;
	if (top >= OWN_FDS_FROM + OWN_FDS)
		return OWN_FDS_FROM;
	if (top >= 2 * OWN_FDS)
		return (int)(top - OWN_FDS);
	return (int)(top / 2);
}

bool pg_fds_suffice(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max >= LEAST_FDS;
}

int pg_linux_fd_limit(void)
{
	static _Atomic int limit; /* a constant, remembered */

	if (limit == 0)
		limit = compute_fd_limit();
	return limit;
}

/* A copy of fd among our own numbers, close-on-exec; the old one stays open. Or a negative errno. */
static int own_copy(int fd)
{
	int limit = pg_linux_fd_limit(), n;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return -errno;
	if (r.rlim_cur < r.rlim_max) {
		struct rlimit up = {r.rlim_max, r.rlim_max};

		if (setrlimit(RLIMIT_NOFILE, &up) != 0)
			return -errno;
	}
	n = fcntl(fd, F_DUPFD_CLOEXEC, limit);
	if (n < 0)
		n = -errno;
	if (r.rlim_cur < r.rlim_max)
		(void)setrlimit(RLIMIT_NOFILE, &r);
	return n;
}

int pg_linux_own_fd(int fd)
{
	int n;

	if (fd >= pg_linux_fd_limit())
		return fd;
	n = own_copy(fd);
	if (n >= 0)
		close(fd);
	return n;
}

bool pg_fd_ok(int fd)
{
	return fd >= 0 && fd < pg_linux_fd_limit();
}

int64_t pg_fd_given(int64_t fd)
{
	if (fd >= 0 && !pg_fd_ok((int)fd)) {
		close((int)fd);
		return -EMFILE;
	}
	return fd;
}

bool pg_fd_path(int fd, char *out, size_t cap)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", fd);
	n = readlink(link, out, cap - 1);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

/* --- tables of descriptors, and who keeps what ------------------------------------------------------- */

/*
 * A pager's descriptor has a number of its own, in the upper half of those above the limit, the same in every table that has it. The first
 * process's table has them all: the keeper, a thread in that table, gives a copy to whoever asks.
 */
struct order {
	enum { KEEP, GIVE, RING, DROP, LEAVE } what; /* RING: writes a byte to it */
	int fd;
};

/* With a hard limit below 2 * OWN_FDS as many are kept as the guest has: compute_fd_limit(). */
static int pager_from(void)
{
	int limit = pg_linux_fd_limit();

	return limit + (limit < OWN_FDS ? limit : OWN_FDS) / 2;
}

static int pager_number(unsigned n)
{
	return pager_from() + (int)n;
}

static unsigned pager_index(int fd)
{
	return (unsigned)(fd - pager_from());
}

static bool has(const struct pg_fds *f, unsigned n)
{
	return n / 64 < f->words && (f->has[n / 64] >> (n % 64) & 1);
}

/* Notes that the table has number n. -ENOMEM. */
static int note(struct pg_fds *f, unsigned n)
{
	if (n / 64 >= f->words) {
		unsigned words = n / 64 + 8;
		uint64_t *more = realloc(f->has, words * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		memset(more + f->words, 0, (words - f->words) * sizeof(*more));
		f->has = more;
		f->words = words;
	}
	f->has[n / 64] |= (uint64_t)1 << (n % 64);
	return 0;
}

struct pg_fds *pg_fds_make(struct pg_linux *l, const struct pg_fds *from)
{
	struct pg_fds *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	if (from != NULL && from->words != 0) {
		f->has = malloc(from->words * sizeof(*f->has));
		if (f->has == NULL) {
			free(f);
			return NULL;
		}
		memcpy(f->has, from->has, from->words * sizeof(*f->has));
		f->words = from->words;
	}
	/* locks are not inherited, so posix_locks begins as false */
	f->next = l->fds;
	l->fds = f;
	return f;
}

void pg_fds_put(struct pg_linux *l, struct pg_fds *f)
{
	struct pg_fds **at = &l->fds;

	if (f->users > 0 && --f->users != 0)
		return;
	if (l->init != NULL && f == l->first_fds)
		return; /* Pagoda's own: the keeper lives in it */
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	free(f->has);
	free(f);
}

static int send_order(int to, struct order o, int fd)
{
	struct iovec v = {&o, sizeof(o)};
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		h.msg_control = control;
		h.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* not sendmsg(): see holder_begin() */
	return syscall(SYS_sendmsg, to, &h, MSG_NOSIGNAL) == (long)sizeof(o) ? 0 : -errno;
}

/* *fd: what came with it, or -1. */
static int receive_order(int from, struct order *o, int *fd)
{
	struct iovec v = {o, sizeof(*o)};
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr h = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = syscall(SYS_recvmsg, from, &h, MSG_CMSG_CLOEXEC); /* see holder_begin() */
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*o))
		return n < 0 ? -errno : -EPIPE;
	c = CMSG_FIRSTHDR(&h);
	if (c != NULL && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return 0;
}

/* Puts a descriptor at number `to`, above the guest's limit. The old one is closed. */
static int move_to(int fd, int to)
{
	struct rlimit r;
	int n;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
	n = dup3(fd, to, O_CLOEXEC);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

/* Every order is answered, with what became of it: nobody may use a number before the keeper has done with it. */
static void *keep(void *arg)
{
	struct pg_linux *l = arg;
	struct order o;
	int fd, err;

	while (receive_order(l->keeper_end, &o, &fd) == 0) {
		if (o.what == LEAVE)
			break;
		err = 0;
		if (o.what == KEEP)
			err = fd < 0 ? -EBADF : move_to(fd, o.fd);
		else if (o.what == DROP)
			PG_QUICK(SYS_close, o.fd, 0, 0, 0, 0, 0); /* see holder_begin() */
		else if (o.what == RING)
			err = write(o.fd, "", 1) == 1 ? 0 : -errno;
		else
			err = send_order(l->keeper_end, o, o.fd);
		if (o.what != GIVE || err < 0) {
			o.fd = err < 0 ? err : 0;
			(void)send_order(l->keeper_end, o, -1);
		}
	}
	return NULL;
}

/* Makes the keeper do it. *got: the descriptor that it gave, for GIVE. 0 or a negative errno. */
static int order(struct pg_linux *l, struct order o, int fd, int *got)
{
	int given = -1, err;

	pthread_mutex_lock(&l->keeper_lock);
	err = send_order(l->keeper_ask, o, fd);
	if (err == 0)
		err = receive_order(l->keeper_ask, &o, &given);
	pthread_mutex_unlock(&l->keeper_lock);
	if (err == 0 && given < 0 && (o.what == GIVE || o.fd < 0))
		err = o.fd < 0 ? o.fd : -EBADF;
	if (got != NULL)
		*got = given;
	return err;
}

int pg_keeper_begin(struct pg_linux *l)
{
	int s[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) != 0)
		return -errno;
	l->keeper_ask = pg_linux_own_fd(s[0]);
	l->keeper_end = pg_linux_own_fd(s[1]);
	err = l->keeper_ask < 0 || l->keeper_end < 0 ? -EMFILE
						     : -pthread_create(&l->keeper, NULL, keep, l);
	if (err != 0) {
		if (l->keeper_ask >= 0)
			close(l->keeper_ask);
		if (l->keeper_end >= 0)
			close(l->keeper_end);
		l->keeper_ask = l->keeper_end = -1;
	}
	return err;
}

void pg_keeper_end(struct pg_linux *l)
{
	if (l->keeper_ask < 0)
		return;
	pg_holder_end(l);
	(void)send_order(l->keeper_ask, (struct order){LEAVE, 0}, -1);
	pthread_join(l->keeper, NULL);
	close(l->keeper_ask);
	close(l->keeper_end);
	l->keeper_ask = l->keeper_end = -1;
}

/* Whose descriptors the caller sees: the running thread's; nobody's when the machine is taken down: then it is the first table. */
static struct pg_fds *present_table(struct pg_linux *l)
{
	return l->current != NULL ? l->current->fds : l->first_fds;
}

int pg_pager_fd(struct pg_file *f)
{
	struct pg_linux *l = f->machine;
	struct pg_fds *t = present_table(l);
	unsigned n = pager_index(f->fd);
	int fd = -1, err;

	if (t == NULL || t == l->first_fds || has(t, n))
		return f->fd;
	err = note(t, n);
	if (err != 0)
		return err;
	err = order(l, (struct order){GIVE, f->fd}, -1, &fd);
	if (err == 0)
		err = move_to(fd, f->fd);
	if (err < 0)
		t->has[n / 64] &= ~((uint64_t)1 << (n % 64));
	return err < 0 ? err : f->fd;
}

/* A number that no table uses. */
static int new_number(struct pg_linux *l)
{
	for (unsigned i = 0; i < sizeof(l->own_numbers) / sizeof(l->own_numbers[0]); i++)
		if (l->own_numbers[i] != UINT64_MAX) {
			unsigned n = i * 64 + (unsigned)__builtin_ctzll(~l->own_numbers[i]);

			l->own_numbers[i] |= (uint64_t)1 << (n % 64);
			return pager_number(n);
		}
	return -EMFILE;
}

int pg_pager_open(struct pg_linux *l, int fd, int to)
{
	struct pg_fds *t = present_table(l);
	bool new = to < 0;
	int copy, err;

	if (new)
		to = new_number(l);
	if (to < 0)
		return to;
	err = t != NULL && t != l->first_fds ? note(t, pager_index(to)) : 0;
	copy = err == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (err == 0)
		err = copy < 0 ? -errno : move_to(copy, to);
	if (err == -EBADF) /* beyond the hard limit */
		err = -EMFILE;
	if (err >= 0 && t != l->first_fds) {
		err = order(l, (struct order){KEEP, to}, to, NULL);
		/* others may hold the file's older descriptor, which could not be written */
		for (struct pg_fds *k = l->fds; k != NULL && !new; k = k->next)
			if (k != t && has(k, pager_index(to)))
				k->has[pager_index(to) / 64] &=
					~((uint64_t)1 << (pager_index(to) % 64));
	}
	if (err < 0 && new)
		l->own_numbers[pager_index(to) / 64] &= ~((uint64_t)1 << (pager_index(to) % 64));
	return err < 0 ? err : to;
}

/*
 * In the present table and at the keeper its descriptor is closed, unless that would drop a guest's
 * fcntl locks; other tables lose theirs with their process. The number is used again only when no table has it.
 */
void pg_pager_close(struct pg_linux *l, int fd)
{
	struct pg_fds *t = present_table(l);
	unsigned n = pager_index(fd);
	bool kept = false;

	for (struct pg_fds *k = l->fds; k != NULL; k = k->next)
		if (k != t && k != l->first_fds && has(k, n))
			kept = true;
	if (t != NULL && t != l->first_fds && has(t, n)) {
		if (t->posix_locks) {
			kept = true;
		} else {
			close(fd);
			t->has[n / 64] &= ~((uint64_t)1 << (n % 64));
		}
	}
	if (l->first_fds != NULL && l->first_fds->posix_locks)
		kept = true;
	else if (t == l->first_fds || l->keeper_ask < 0)
		close(fd);
	else
		(void)order(l, (struct order){DROP, fd}, -1, NULL);
	if (!kept)
		l->own_numbers[n / 64] &= ~((uint64_t)1 << (n % 64));
}

/* --- descriptors that only the keeper has ------------------------------------------------------------ */

int pg_keeper_store(struct pg_linux *l, int fd)
{
	int to = new_number(l), err;

	if (to < 0)
		return to;
	err = order(l, (struct order){KEEP, to}, fd, NULL);
	if (err < 0)
		l->own_numbers[pager_index(to) / 64] &= ~((uint64_t)1 << (pager_index(to) % 64));
	return err < 0 ? err : to;
}

int pg_keeper_fetch(struct pg_linux *l, int number)
{
	int fd, err = order(l, (struct order){GIVE, number}, -1, &fd);

	return err < 0 ? err : fd;
}

void pg_keeper_ring(struct pg_linux *l, int number)
{
	(void)order(l, (struct order){RING, number}, -1, NULL);
}

void pg_keeper_forget(struct pg_linux *l, int number)
{
	unsigned n = pager_index(number);

	if (l->keeper_ask < 0)
		close(number);
	else
		(void)order(l, (struct order){DROP, number}, -1, NULL);
	l->own_numbers[n / 64] &= ~((uint64_t)1 << (n % 64));
}

/* --- the holder ------------------------------------------------------------------------------------------ */

/*
 * Closing a descriptor of a file drops the fcntl locks that the process of that table has on it. So those that nobody but Pagoda wants are in a table
 * in which nobody locks.
 */
struct pg_holder {
	pthread_t thread;
	_Atomic int tid;
	int ask, end; /* ask: in the first table; end: only the holder's */
};

/* Only the end of the socket stays in its table. */
static int empty_table(int but)
{
	if (unshare(CLONE_FILES) != 0 &&
		syscall(SYS_close_range, ~0u, ~0u, 2 /* CLOSE_RANGE_UNSHARE */) != 0)
		return -errno;
	if ((but > 0 && syscall(SYS_close_range, 0, but - 1, 0) != 0) ||
		syscall(SYS_close_range, but + 1, ~0u, 0) != 0)
		return -errno;
	return 0;
}

static void *hold(void *arg)
{
	struct pg_holder *h = arg;
	struct order o = {.what = KEEP, .fd = empty_table(h->end)};
	int fd;

	h->tid = gettid();
	if (send_order(h->end, o, -1) != 0 || o.fd != 0)
		return NULL;
	while (receive_order(h->end, &o, &fd) == 0 && o.what != LEAVE) {
		if (o.what == KEEP)
			o.fd = fd < 0 ? -EMFILE : fd;
		else
			PG_QUICK(SYS_close, o.fd, 0, 0, 0, 0, 0);
		(void)send_order(h->end, o, -1);
	}
	return NULL;
}

/* One order to the holder, from whatever table: by a copy of the socket that the keeper gives. Its answer. */
static int holder_order(struct pg_linux *l, struct order o, int fd)
{
	bool first = present_table(l) == l->first_fds;
	int ask = l->holder->ask, none, err = 0;

	if (!first)
		err = order(l, (struct order){GIVE, l->holder->ask}, -1, &ask);
	if (err != 0)
		return err;
	pthread_mutex_lock(&l->keeper_lock);
	err = send_order(ask, o, fd);
	if (err == 0)
		err = receive_order(ask, &o, &none);
	pthread_mutex_unlock(&l->keeper_lock);
	if (!first)
		PG_QUICK(SYS_close, ask, 0, 0, 0, 0, 0);
	return err != 0 ? err : o.fd;
}

/* Starts it. The other end of its socket is with the keeper, for whoever has an order. */
static int holder_begin(struct pg_linux *l)
{
	struct pg_holder *h = calloc(1, sizeof(*h));
	sigset_t all, before;
	struct order o;
	int s[2], err, none;

	if (h == NULL)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) != 0) {
		free(h);
		return -errno;
	}
	h->end = pg_linux_own_fd(s[1]); /* the thread begins in this table, and leaves it */
	h->ask = pg_keeper_store(l, s[0]);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* no signal is for it */
	err = h->end < 0 || h->ask < 0 ? -EMFILE : -pthread_create(&h->thread, NULL, hold, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err == 0) {
		err = receive_order(s[0], &o, &none);
		err = err != 0 ? err : o.fd;
		if (err != 0)
			pthread_join(h->thread, NULL);
	}
	/* not close(): the thread sanitizer takes equal numbers in two tables for one descriptor */
	if (h->end >= 0)
		PG_QUICK(SYS_close, h->end, 0, 0, 0, 0, 0);
	PG_QUICK(SYS_close, s[0], 0, 0, 0, 0, 0);
	if (err != 0) {
		if (h->ask >= 0)
			pg_keeper_forget(l, h->ask);
		free(h);
		return err;
	}
	l->holder = h;
	return 0;
}

int pg_holder_store(struct pg_linux *l, int fd)
{
	int err = l->holder == NULL ? holder_begin(l) : 0;

	return err != 0 ? err : holder_order(l, (struct order){KEEP, 0}, fd);
}

void pg_holder_forget(struct pg_linux *l, int number)
{
	if (l->holder != NULL)
		(void)holder_order(l, (struct order){DROP, number}, -1);
}

int pg_holder_tid(const struct pg_linux *l)
{
	return l->holder != NULL ? l->holder->tid : 0;
}

void pg_holder_end(struct pg_linux *l)
{
	struct pg_holder *h = l->holder;

	if (h == NULL)
		return;
	l->holder = NULL;
	(void)send_order(h->ask, (struct order){LEAVE, 0}, -1);
	pthread_join(h->thread, NULL);
	pg_keeper_forget(l, h->ask);
	free(h);
}
