/* SPDX-License-Identifier: MIT */
/*
 * linux/files/peer.c: which guest is at the other end of a Unix socket: SO_PEERCRED, and the process ids of SCM_CREDENTIALS.
 *
 * Called by calls/socket.c, calls/fd.c (socketpair) and io.c around the host's calls. To the host all guests are one process, so the host says
 * Pagoda's number for each of them. Here is kept, for each Unix socket that a guest made a pair of, bound, connected or accepted,
 * who did so; and, for what lies in its queue, who sent it.
 *
 * A socket is known by its inode. Which socket an accepted one is connected to is asked of the host (sock_diag(7)); where it does not say,
 * because the other end is closed already, the connections to a listener are taken in their order, as the host hands them out.
 *
 * Who sent what: a record is a process and an amount, bytes of a stream or messages; the records of a socket are in the order of its queue.
 * They lie with the socket that receives, or, before a connection is accepted, with the one that sends. Before the host sends, the amount is
 * added, since the receiver may be awake before the sender is back; what was not sent is taken off again.
 *
 * What is not known: messages from outside of the machine that a guest takes from a datagram socket without looking at their sender,
 * between messages of guests; and what is moved with splice. docs/QUIRKS.md says so.
 *
 * Invariants:
 *   U1 no record has amount 0.
 *   U2 what a guest sent and nobody has received is in one record.
 */
#include "linux/files/peer.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define BUCKETS 256
#define PURGE_AT 1024

struct record {
	struct record *next;
	int pid;
	uint64_t amount;
};

struct entry {
	struct entry *next; /* of the bucket */
	uint64_t ino;
	bool stream;
	int pid;             /* what SO_PEERCRED says; 0: not known */
	int self;            /* who connected it */
	uint64_t to;         /* the socket that receives what is sent here; 0: not known (yet) */
	uint64_t target;     /* the listener that it was connected to; 0: none */
	uint64_t order;      /* of connecting */
	bool accepted;       /* a connection that was taken from its listener */
	struct record *sent; /* see above; oldest first */
	/* of one that is bound */
	struct sockaddr_un name;
	socklen_t name_len;          /* 0: not bound */
	uint64_t file_dev, file_ino; /* of the name in the file system; 0: none */
};

struct pg_peers {
	struct entry *bucket[BUCKETS];
	unsigned count, purge_at;
	uint64_t order;
};

/* --- the table ----------------------------------------------------------------------------------------------- */

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? (uint64_t)st.st_ino : 0;
}

static struct entry *find(const struct pg_linux *l, uint64_t ino)
{
	struct entry *e = l->peers != NULL && ino != 0 ? l->peers->bucket[ino % BUCKETS] : NULL;

	while (e != NULL && e->ino != ino)
		e = e->next;
	return e;
}

static void entry_free(struct entry *e)
{
	while (e->sent != NULL) {
		struct record *r = e->sent;

		e->sent = r->next;
		free(r);
	}
	free(e);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The inodes of all Unix sockets of the host, in order: malloc'ed, or NULL. */
static uint64_t *all_inodes(size_t *n)
{
	FILE *f = fopen("/proc/net/unix", "re");
	uint64_t *list = NULL;
	char line[512];
	size_t cap = 0;

	*n = 0;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		unsigned long long ino;

		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %llu", &ino) != 1 || ino == 0)
			continue;
		if (*n == cap) {
			uint64_t *more = realloc(list, (cap = cap * 2 + 64) * sizeof(*list));

			if (more == NULL)
				break;
			list = more;
		}
		list[(*n)++] = ino;
	}
	if (f != NULL)
		fclose(f);
	if (list != NULL)
		qsort(list, *n, sizeof(*list), compare);
	return list;
}

/* Forgets sockets that are closed everywhere. A client that is closed and not yet accepted is still asked for. */
static void purge(struct pg_peers *t)
{
	size_t n;
	uint64_t *list = all_inodes(&n);

	for (unsigned i = 0; i < BUCKETS && list != NULL; i++)
		for (struct entry **at = &t->bucket[i]; *at != NULL;) {
			struct entry *e = *at;

			if ((e->target != 0 && !e->accepted) ||
				bsearch(&e->ino, list, n, sizeof(*list), compare) != NULL) {
				at = &e->next;
				continue;
			}
			*at = e->next;
			entry_free(e);
			t->count--;
		}
	free(list);
	t->purge_at = t->count * 2 > PURGE_AT ? t->count * 2 : PURGE_AT;
}

/* The entry of a Unix socket, made if there is none. NULL: it is none, or there is no memory. */
static struct entry *entry_of(struct pg_linux *l, int fd)
{
	int domain = 0, type = 0;
	socklen_t n = sizeof(int);
	uint64_t ino = inode_of(fd);
	struct entry *e = find(l, ino);

	if (e != NULL || ino == 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) != 0 ||
		domain != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0)
		return e;
	if (l->peers == NULL)
		l->peers = calloc(1, sizeof(*l->peers));
	if (l->peers == NULL)
		return NULL;
	if (l->peers->count >= l->peers->purge_at)
		purge(l->peers);
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->ino = ino;
	e->stream = type == SOCK_STREAM;
	e->next = l->peers->bucket[ino % BUCKETS];
	l->peers->bucket[ino % BUCKETS] = e;
	l->peers->count++;
	return e;
}

void pg_peers_end(struct pg_linux *l)
{
	for (unsigned i = 0; l->peers != NULL && i < BUCKETS; i++)
		while (l->peers->bucket[i] != NULL) {
			struct entry *e = l->peers->bucket[i];

			l->peers->bucket[i] = e->next;
			entry_free(e);
		}
	free(l->peers);
	l->peers = NULL;
}

/* --- names --------------------------------------------------------------------------------------------------- */

static bool in_file_system(const struct sockaddr_un *name, socklen_t len)
{
	return len > offsetof(struct sockaddr_un, sun_path) && name->sun_path[0] != '\0';
}

/* The file of a name; {0, 0}: none. */
static void file_of(const struct sockaddr_un *name, socklen_t len, uint64_t *dev, uint64_t *ino)
{
	char path[sizeof(name->sun_path) + 1] = "";
	struct stat st;

	*dev = *ino = 0;
	if (!in_file_system(name, len))
		return;
	memcpy(path, name->sun_path, len - offsetof(struct sockaddr_un, sun_path));
	if (stat(path, &st) == 0) {
		*dev = (uint64_t)st.st_dev + 1;
		*ino = (uint64_t)st.st_ino;
	}
}

/* The guest's socket that has this name; NULL: nobody's, or one of outside. */
static struct entry *named(
	const struct pg_linux *l, const struct sockaddr_storage *s, socklen_t len)
{
	const struct sockaddr_un *name = (const struct sockaddr_un *)s;
	uint64_t dev, ino;

	if (l->peers == NULL || s->ss_family != AF_UNIX || len > sizeof(*name))
		return NULL;
	file_of(name, len, &dev, &ino);
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct entry *e = l->peers->bucket[i]; e != NULL; e = e->next) {
			if (e->name_len == 0)
				continue;
			if (dev != 0 ? e->file_dev == dev && e->file_ino == ino
				     : e->file_dev == 0 && e->name_len == len &&
						memcmp(&e->name, name, len) == 0)
				return e;
		}
	return NULL;
}

void pg_peer_bound(struct pg_thread *me, int fd)
{
	struct entry *e = entry_of(me->machine, fd), *old;
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (e == NULL || getsockname(fd, (struct sockaddr *)&name, &len) != 0 ||
		len > sizeof(e->name))
		return;
	while ((old = named(me->machine, &name, len)) != NULL)
		old->name_len =
			0; /* it is closed, or its file is gone: else this had not been bound */
	memcpy(&e->name, &name, len);
	e->name_len = len;
	file_of(&e->name, len, &e->file_dev, &e->file_ino);
}

/* --- connections --------------------------------------------------------------------------------------------- */

void pg_peer_pair(struct pg_thread *me, const int fds[2])
{
	struct entry *a = entry_of(me->machine, fds[0]), *b = entry_of(me->machine, fds[1]);

	if (a == NULL || b == NULL)
		return;
	a->pid = b->pid = me->proc->pid;
	a->to = b->ino;
	b->to = a->ino;
}

void pg_peer_listens(struct pg_thread *me, int fd)
{
	struct entry *e = entry_of(me->machine, fd);

	if (e != NULL)
		e->pid = me->proc->pid;
}

void pg_peer_connects(
	struct pg_thread *me, int fd, const struct sockaddr_storage *name, socklen_t len)
{
	struct entry *e = name->ss_family == AF_UNIX ? entry_of(me->machine, fd) : NULL;
	const struct entry *to = e != NULL ? named(me->machine, name, len) : NULL;
	int type = 0;
	socklen_t n = sizeof(type);

	if (e == NULL || e->accepted)
		return;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n);
	e->to = to != NULL && type == SOCK_DGRAM ? to->ino : 0;
	if (type == SOCK_DGRAM)
		return;
	e->self = me->proc->pid;
	e->pid = to != NULL ? to->pid : 0;
	e->target = to != NULL ? to->ino : 0;
	e->order = ++me->machine->peers->order;
}

/* The inode of the socket at the other end, as the host knows it; 0: it does not say. */
static uint64_t ask_host(uint64_t ino)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} ask = {.h = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST},
		.r = {.sdiag_family = AF_UNIX,
			.udiag_states = UINT32_MAX,
			.udiag_ino = (uint32_t)ino,
			.udiag_show = UDIAG_SHOW_PEER,
			.udiag_cookie = {UINT32_MAX, UINT32_MAX}}};
	union {
		struct nlmsghdr h;
		uint8_t bytes[1024];
	} answer;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t n = -1;

	if (s >= 0 && send(s, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask))
		n = recv(s, &answer, sizeof(answer), MSG_DONTWAIT);
	if (s >= 0)
		close(s);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct unix_diag_msg)) ||
		answer.h.nlmsg_type != SOCK_DIAG_BY_FAMILY || answer.h.nlmsg_len > (size_t)n)
		return 0;
	for (size_t at = NLMSG_LENGTH(sizeof(struct unix_diag_msg));
		at + NLA_HDRLEN <= answer.h.nlmsg_len;) {
		struct nlattr a;
		uint32_t peer;

		memcpy(&a, answer.bytes + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN)
			break;
		if (a.nla_type == UNIX_DIAG_PEER && a.nla_len >= NLA_HDRLEN + sizeof(peer)) {
			memcpy(&peer, answer.bytes + at + NLA_HDRLEN, sizeof(peer));
			return peer;
		}
		at += NLA_ALIGN(a.nla_len);
	}
	return 0;
}

/* The connection to the listener that has waited longest. */
static struct entry *oldest_to(const struct pg_linux *l, uint64_t listener)
{
	struct entry *best = NULL;

	for (unsigned i = 0; l->peers != NULL && listener != 0 && i < BUCKETS; i++)
		for (struct entry *e = l->peers->bucket[i]; e != NULL; e = e->next)
			if (e->target == listener && !e->accepted &&
				(best == NULL || e->order < best->order))
				best = e;
	return best;
}

/* Whether the host says that one of its own processes, not a guest, is at the other end. */
static bool outside(const struct pg_linux *l, int fd)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0 || c.pid != l->host_pid;
}

void pg_peer_accepted(struct pg_thread *me, int listener, int fd)
{
	struct pg_linux *l = me->machine;
	struct entry *e, *client;

	if (outside(l, fd))
		return;
	e = entry_of(l, fd);
	client = e != NULL ? find(l, ask_host(e->ino)) : NULL;
	if (client == NULL || client->self == 0)
		client = oldest_to(l, inode_of(listener));
	if (e == NULL || client == NULL || client == e)
		return;
	e->pid = client->self;
	e->to = client->ino;
	e->accepted = client->accepted = true;
	client->to = e->ino;
	e->sent = client->sent; /* it is in our queue now */
	client->sent = NULL;
}

int pg_peer_of(struct pg_thread *me, int fd)
{
	const struct entry *e = find(me->machine, inode_of(fd));

	return e != NULL ? e->pid : 0;
}

/* --- who sent what ------------------------------------------------------------------------------------------- */

/* Where the records of what is sent on fd go; NULL: nowhere. */
static struct entry *receiver_of(
	struct pg_thread *me, int fd, const struct sockaddr_storage *name, socklen_t len)
{
	struct entry *e = find(me->machine, inode_of(fd)), *to;

	if (name != NULL && len != 0 && (e == NULL || !e->stream)) {
		to = named(me->machine, name, len);
		if (to != NULL)
			return to;
	}
	to = e != NULL ? find(me->machine, e->to) : NULL;
	return to != NULL ? to : e;
}

struct pg_peer_sending pg_peer_sends(struct pg_thread *me, int fd, int as, uint64_t bytes,
	const struct sockaddr_storage *name, socklen_t len)
{
	struct pg_peer_sending s = {0};
	struct entry *e;
	struct record *r, **at;

	if (me->machine->peers == NULL || as == 0)
		return s;
	e = receiver_of(me, fd, name, len);
	if (e == NULL)
		return s;
	s.stream = e->stream;
	s.amount = e->stream ? bytes : 1;
	if (s.amount == 0)
		return s;
	for (at = &e->sent; *at != NULL && (*at)->next != NULL; at = &(*at)->next)
		;
	r = *at;
	if (r == NULL || r->pid != as) {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			return s;
		r->pid = as;
		if (*at != NULL)
			(*at)->next = r;
		else
			*at = r;
	}
	r->amount += s.amount;
	s.record = r;
	s.to = e->ino;
	return s;
}

void pg_peer_sent(struct pg_thread *me, const struct pg_peer_sending *s, int64_t result)
{
	uint64_t too_much = s->amount;
	struct entry *e;

	if (s->record == NULL)
		return;
	if (result >= 0)
		too_much -=
			s->stream && (uint64_t)result < s->amount ? (uint64_t)result : s->amount;
	if (too_much == 0)
		return; /* the record may be gone: all of it has been received */
	e = find(me->machine, s->to);
	if (e != NULL && e->sent == NULL && find(me->machine, e->to) != NULL)
		e = find(me->machine, e->to); /* accepted meanwhile */
	for (struct record **at = e != NULL ? &e->sent : NULL; at != NULL && *at != NULL;
		at = &(*at)->next) {
		struct record *r = *at;

		if (r != s->record)
			continue;
		r->amount -= too_much < r->amount ? too_much : r->amount;
		if (r->amount == 0) {
			*at = r->next;
			free(r);
		}
		return;
	}
}

int pg_peer_sender(struct pg_thread *me, int fd, uint64_t *amount)
{
	const struct entry *e = me->machine->peers != NULL ? find(me->machine, inode_of(fd)) : NULL;

	if (e == NULL || e->sent == NULL)
		return 0;
	if (amount != NULL)
		*amount = e->stream ? e->sent->amount : UINT64_MAX;
	return e->sent->pid;
}

void pg_peer_received(struct pg_thread *me, int fd, int64_t result)
{
	struct entry *e =
		me->machine->peers != NULL && result >= 0 ? find(me->machine, inode_of(fd)) : NULL;
	uint64_t n;

	if (e == NULL)
		return;
	n = e->stream ? (uint64_t)result : 1;
	while (n != 0 && e->sent != NULL) {
		struct record *r = e->sent;
		uint64_t part = n < r->amount ? n : r->amount;

		r->amount -= part;
		n -= part;
		if (r->amount != 0)
			break;
		e->sent = r->next;
		free(r);
	}
}
