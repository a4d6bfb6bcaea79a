/* SPDX-License-Identifier: MIT */
/*
 * linux/files/peer.h: which guest is at the other end of a Unix socket, and who sent what lies in it. See peer.c.
 *
 * The machine lock is held in all of it. A descriptor is one of the running thread's table.
 */
#ifndef PG_LINUX_FILES_PEER_H
#define PG_LINUX_FILES_PEER_H

#include "linux/machine/machine.h"

#include <sys/socket.h>

/* What guests do with Unix sockets. Of sockets of other families nothing is kept. */
void pg_peer_pair(struct pg_thread *me, const int fds[2]);
void pg_peer_bound(struct pg_thread *me, int fd);
void pg_peer_listens(struct pg_thread *me, int fd);
/* Before the host connects: the other end may look before the call is over. */
void pg_peer_connects(
	struct pg_thread *me, int fd, const struct sockaddr_storage *name, socklen_t len);
void pg_peer_accepted(struct pg_thread *me, int listener, int fd);
void pg_peers_end(struct pg_linux *l);

/* The process that SO_PEERCRED means, if the host says that it is in the machine; 0: not known. */
int pg_peer_of(struct pg_thread *me, int fd);

/*
 * Before and after a guest sends: as process `as` (0: none of the machine), bytes to whom the socket is connected, or name[len]. result: the host's, or an
 * error.
 */
struct pg_peer_sending {
	void *record;
	uint64_t to, amount;
	bool stream;
};
struct pg_peer_sending pg_peer_sends(struct pg_thread *me, int fd, int as, uint64_t bytes,
	const struct sockaddr_storage *name, socklen_t len);
void pg_peer_sent(struct pg_thread *me, const struct pg_peer_sending *s, int64_t result);
/* Who sent what will be received next; *amount: so many bytes are that one's. 0: not known. */
int pg_peer_sender(struct pg_thread *me, int fd, uint64_t *amount);
/* Bytes of a stream, or a message, were taken out. */
void pg_peer_received(struct pg_thread *me, int fd, int64_t result);

#endif
