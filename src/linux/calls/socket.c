/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/socket.c: system calls on sockets: the host's, with addresses copied and data pinned.
 *
 * Called through table.c. Options that carry pointers are refused. The host takes all guests for one process: which one is at the
 * other end of a Unix socket, and who sent what, is files/peer.c's to say.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/files/peer.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_MOST sizeof(struct sockaddr_storage)
#define OPTION_MOST 4096u
#define CONTROL_MOST 65536u
#define PIECES 256

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#define SCM_PIDFD_TYPE 0x04

int64_t pg_sys_socket(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_socket, (int)a[0], (int)a[1], (int)a[2], 0, 0, 0));
}

int64_t pg_sys_listen(struct pg_thread *me, const uint64_t *a)
{
	int64_t r = pg_fd_ok((int)a[0]) ? PG_QUICK(SYS_listen, (int)a[0], (int)a[1], 0, 0, 0, 0)
					: -EBADF;

	if (r == 0)
		pg_peer_listens(me, (int)a[0]);
	return r;
}

int64_t pg_sys_shutdown(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? PG_QUICK(SYS_shutdown, (int)a[0], (int)a[1], 0, 0, 0, 0)
				   : -EBADF;
}

/* An address from the guest. */
static int get_name(struct pg_thread *me, uint64_t at, uint64_t len, struct sockaddr_storage *name)
{
	memset(name, 0, sizeof(*name));
	if ((int)len < 0 || (uint32_t)len > NAME_MOST)
		return -EINVAL;
	return pg_guest_read(me, name, at, (uint32_t)len);
}

/* An address to the guest: as much as it has room for; the true length to *len_at. */
static int put_name(struct pg_thread *me, uint64_t at, uint64_t len_at, int room,
	const struct sockaddr_storage *name, socklen_t len)
{
	uint64_t n = (uint64_t)room < len ? (uint64_t)room : len;

	if (at != 0 && pg_guest_write(me, at, name, n) != 0)
		return -EFAULT;
	return pg_guest_write(me, len_at, &len, sizeof(len));
}

int64_t pg_sys_bind(struct pg_thread *me, const uint64_t *a)
{
	struct sockaddr_storage name;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	r = get_name(me, a[1], a[2], &name);
	if (r == 0)
		r = PG_HOST(me, SYS_bind, (int)a[0], (uintptr_t)&name, (uint32_t)a[2], 0, 0, 0);
	if (r == 0 && name.ss_family == AF_UNIX)
		pg_peer_bound(me, (int)a[0]);
	return r;
}

int64_t pg_sys_connect(struct pg_thread *me, const uint64_t *a)
{
	struct sockaddr_storage name;
	int err;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	err = get_name(me, a[1], a[2], &name);
	if (err != 0)
		return err;
	pg_peer_connects(me, (int)a[0], &name, (uint32_t)a[2]);
	return PG_HOST(me, SYS_connect, (int)a[0], (uintptr_t)&name, (uint32_t)a[2], 0, 0, 0);
}

/* Calls that give an address back: accept, getsockname, getpeername. */
static int64_t ask_name(struct pg_thread *me, long number, const uint64_t *a, int flags)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int room = 0;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if (a[1] != 0 || number != SYS_accept4) {
		if (pg_guest_read(me, &room, a[2], sizeof(room)) != 0)
			return -EFAULT;
		if (room < 0)
			return -EINVAL;
	}
	r = PG_HOST(me, number, (int)a[0], (uintptr_t)&name, (uintptr_t)&len, flags, 0, 0);
	if (number == SYS_accept4)
		r = pg_fd_given(r);
	if (number == SYS_accept4 && r >= 0 && name.ss_family == AF_UNIX)
		pg_peer_accepted(me, (int)a[0], (int)r);
	if (r >= 0 && (a[1] != 0 || number != SYS_accept4) &&
		put_name(me, a[1], a[2], room, &name, len) != 0)
		return -EFAULT;
	return r;
}

int64_t pg_sys_accept(struct pg_thread *me, const uint64_t *a)
{
	return ask_name(me, SYS_accept4, a, 0);
}

int64_t pg_sys_accept4(struct pg_thread *me, const uint64_t *a)
{
	return ask_name(me, SYS_accept4, a, (int)a[3]);
}

int64_t pg_sys_getsockname(struct pg_thread *me, const uint64_t *a)
{
	return ask_name(me, SYS_getsockname, a, 0);
}

int64_t pg_sys_getpeername(struct pg_thread *me, const uint64_t *a)
{
	return ask_name(me, SYS_getpeername, a, 0);
}

/* Whether an option's value holds addresses that the host would follow. */
static bool has_pointers(int level, int name)
{
	const int attach_filter = 26, attach_bpf = 50, reuseport_cbpf = 51, zerocopy_receive = 35;

	if (level == SOL_SOCKET)
		return name == attach_filter || name == attach_bpf || name == reuseport_cbpf;
	/* netfilter's tables (64 and up of IP and IPv6), TCP_ZEROCOPY_RECEIVE */
	return ((level == 0 || level == 41) && name >= 64 && name < 100) ||
	       (level == 6 && name == zerocopy_receive);
}

int64_t pg_sys_setsockopt(struct pg_thread *me, const uint64_t *a)
{
	uint8_t value[OPTION_MOST];
	int len = (int)a[4];

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if (has_pointers((int)a[1], (int)a[2])) {
		pg_linux_unknown(me, "socket option %d of level %d is not there: ENOPROTOOPT",
			(int)a[2], (int)a[1]);
		return -ENOPROTOOPT;
	}
	if (len < 0 || (unsigned)len > sizeof(value))
		return -EINVAL;
	if (a[3] != 0 && pg_guest_read(me, value, a[3], (unsigned)len) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_setsockopt, (int)a[0], (int)a[1], (int)a[2],
		a[3] != 0 ? (uintptr_t)value : 0, len, 0);
}

/* The guest's number for the host's, in what SO_PEERCRED gave. */
static void peer_credentials(struct pg_thread *me, int fd, uint8_t *value, int len)
{
	int pid, known;

	if (len < (int)sizeof(pid))
		return;
	memcpy(&pid, value, sizeof(pid));
	known = pid == me->machine->host_pid ? pg_peer_of(me, fd) : 0;
	pid = known != 0 ? known : (int)pg_guest_pid(me->machine, pid);
	memcpy(value, &pid, sizeof(pid));
}

/* SO_PEERPIDFD of a socket whose other end is the guest `pid`. */
static int64_t peer_pidfd(struct pg_thread *me, int pid, const uint64_t *a)
{
	struct pg_process *p = pg_process_find(me->machine, pid);
	const int bytes = sizeof(int);
	int fd = p != NULL ? pg_pidfd_make(p, 0, 0) : -ESRCH;

	if (fd < 0)
		return fd;
	if (pg_guest_write(me, a[3], &fd, sizeof(fd)) == 0 &&
		pg_guest_write(me, a[4], &bytes, sizeof(bytes)) == 0)
		return 0;
	close(fd);
	return -EFAULT;
}

int64_t pg_sys_getsockopt(struct pg_thread *me, const uint64_t *a)
{
	uint8_t value[OPTION_MOST];
	int len;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if (has_pointers((int)a[1], (int)a[2]))
		return -ENOPROTOOPT;
	if (pg_guest_read(me, &len, a[4], sizeof(len)) != 0)
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	if ((unsigned)len > sizeof(value))
		len = sizeof(value);
	if (pg_guest_read(me, value, a[3], (unsigned)len) != 0)
		memset(value, 0, sizeof(value));
	if ((int)a[1] == SOL_SOCKET && (int)a[2] == SO_PEERPIDFD && len >= (int)sizeof(int) &&
		pg_peer_of(me, (int)a[0]) != 0)
		return peer_pidfd(me, pg_peer_of(me, (int)a[0]), a);
	r = PG_QUICK(SYS_getsockopt, (int)a[0], (int)a[1], (int)a[2], (uintptr_t)value,
		(uintptr_t)&len, 0);
	if (r == 0 && (int)a[1] == SOL_SOCKET && (int)a[2] == SO_PEERCRED)
		peer_credentials(me, (int)a[0], value, len);
	if (r == 0 && pg_guest_write(me, a[3], value, (unsigned)len) != 0)
		return -EFAULT;
	return r != 0 ? r : pg_guest_write(me, a[4], &len, sizeof(len));
}

/* --- data ------------------------------------------------------------------------------------------------------- */

/* A descriptor of the sender came along (SO_PASSPIDFD): the host's is of Pagoda, and is exchanged. */
static void received_pidfd(struct pg_thread *me, int fd, struct cmsghdr *c)
{
	struct pg_process *p = pg_process_find(me->machine, pg_peer_sender(me, fd, NULL));
	int host, ours;

	memcpy(&host, CMSG_DATA(c), sizeof(host));
	ours = p != NULL && host >= 0 ? pg_pidfd_make(p, 0, 0) : -1;
	if (ours < 0)
		return;
	(void)dup3(ours, host, O_CLOEXEC);
	close(ours);
}

/*
 * The sender's number in what was received. False: the message is from outside of the machine.
 */
static bool received_credentials(struct pg_thread *me, int fd, struct msghdr *h)
{
	struct cmsghdr *c = h->msg_controllen != 0 ? CMSG_FIRSTHDR(h) : NULL;
	bool inside = true;

	for (; c != NULL; c = CMSG_NXTHDR(h, c)) {
		struct ucred who;
		int known;

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_PIDFD_TYPE &&
			c->cmsg_len >= CMSG_LEN(sizeof(int)))
			received_pidfd(me, fd, c);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
			c->cmsg_len < CMSG_LEN(sizeof(who)))
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		inside = who.pid == me->machine->host_pid;
		known = inside ? pg_peer_sender(me, fd, NULL) : 0;
		who.pid = known != 0 ? known : (int)pg_guest_pid(me->machine, who.pid);
		memcpy(CMSG_DATA(c), &who, sizeof(who));
	}
	return inside;
}

/*
 * One message to or from the guest's iovecs, in one host call: h has name and control in host memory already. Bytes moved or a
 * negative errno. as: the process that is said to send. A message that is longer than what can be pinned at once is cut, as by a small socket buffer.
 */
static int64_t one_message(struct pg_thread *me, int fd, struct msghdr *h, const struct iovec *v,
	unsigned n, uint64_t total, int flags, bool in, int as)
{
	struct iovec host[PIECES];
	unsigned pieces = 0;
	enum pg_access access = in ? PG_WRITE : PG_READ;
	struct pg_peer_sending sending = {0};
	uint64_t got = 0, most = pg_guest_pin_bytes(me), theirs;
	uint8_t *copy = NULL;
	int64_t r;

	/* bytes of two senders are not given at once to one who asks for the sender */
	if (in && h->msg_controllen != 0 && pg_peer_sender(me, fd, &theirs) != 0 && theirs < most)
		most = theirs;
	if (total != 0 && me->machine->partition != NULL) {
		/* it may wait: nothing of a contiguous block is pinned meanwhile */
		got = total < most ? total : most;
		copy = malloc(got);
		if (copy == NULL)
			return -ENOMEM;
		if (!in)
			got = pg_guest_copy(me, v, n, 0, PG_READ, copy, got);
		host[0] = (struct iovec){copy, got};
		pieces = 1;
		if (got == 0) {
			free(copy);
			return -EFAULT;
		}
	} else if (total != 0) {
		got = pg_guest_pin(me, v, n, 0, most, access, host, &pieces, PIECES);
		if (got == 0)
			return -EFAULT;
	}
	h->msg_iov = host;
	h->msg_iovlen = pieces;
	if (!in)
		sending = pg_peer_sends(me, fd, as, got, h->msg_name, h->msg_namelen);
	r = PG_HOST(me, in ? SYS_recvmsg : SYS_sendmsg, fd, (uintptr_t)h, flags, 0, 0, 0);
	if (copy == NULL)
		pg_guest_unpin(me, access, host, pieces);
	else if (in && r > 0 &&
		 pg_guest_copy(
			 me, v, n, 0, PG_WRITE, copy, (uint64_t)r < got ? (uint64_t)r : got) == 0)
		r = -EFAULT;
	free(copy);
	if (!in)
		pg_peer_sent(me, &sending, r);
	else if (r >= 0 && received_credentials(me, fd, h) && !(flags & MSG_PEEK))
		pg_peer_received(me, fd, r);
	if (r > 0 && in)
		me->machine->bytes_read += (uint64_t)r;
	else if (r > 0)
		me->machine->bytes_written += (uint64_t)r;
	return in || (flags & MSG_NOSIGNAL) ? r : pg_io_signal(me, r);
}

int64_t pg_sys_sendto(struct pg_thread *me, const uint64_t *a)
{
	struct sockaddr_storage name;
	struct msghdr h = {0};
	struct iovec v = {(void *)(uintptr_t)a[1], a[2]};

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if (a[4] != 0) {
		int err = get_name(me, a[4], a[5], &name);

		if (err != 0)
			return err;
		h.msg_name = &name;
		h.msg_namelen = (uint32_t)a[5];
	}
	return one_message(me, (int)a[0], &h, &v, 1, a[2], (int)a[3], false, me->proc->pid);
}

int64_t pg_sys_recvfrom(struct pg_thread *me, const uint64_t *a)
{
	struct sockaddr_storage name;
	struct msghdr h = {.msg_name = &name, .msg_namelen = sizeof(name)};
	struct iovec v = {(void *)(uintptr_t)a[1], a[2]};
	int room = 0;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if (a[4] != 0 && pg_guest_read(me, &room, a[5], sizeof(room)) != 0)
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	r = one_message(me, (int)a[0], &h, &v, 1, a[2], (int)a[3], true, 0);
	if (r >= 0 && a[4] != 0 && put_name(me, a[4], a[5], room, &name, h.msg_namelen) != 0)
		return -EFAULT;
	return r;
}

/* The kernel's struct user_msghdr, as the guest has it. */
struct guest_message {
	uint64_t name;
	int32_t name_len;
	uint32_t pad;
	uint64_t iov, iov_len, control, control_len;
	uint32_t flags, pad2;
};

_Static_assert(sizeof(struct guest_message) == 56, "user_msghdr");

/* Descriptors in a control message that is sent: only the guest's own. */
static bool descriptors_ok(const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (!pg_fd_ok(fd))
			return false;
	}
	return true;
}

/*
 * Credentials that are sent: one's own process, or, with the right to, another's; to the host all guests are Pagoda. *as: who that is
 * said to be; 0: the outside world, which the host knows. 0 or -EPERM, -ESRCH.
 */
static int send_credentials(struct pg_thread *me, struct cmsghdr *c, int *as)
{
	struct ucred who;

	if (c->cmsg_len != CMSG_LEN(sizeof(who)))
		return -EINVAL;
	memcpy(&who, CMSG_DATA(c), sizeof(who));
	if (who.pid != me->proc->pid && !pg_cred_capable(CAP_SYS_ADMIN))
		return -EPERM;
	*as = who.pid;
	if (pg_thread_find(me->machine, who.pid) != NULL ||
		pg_process_find(me->machine, who.pid) != NULL)
		who.pid = me->machine->host_pid;
	else if (who.pid == PG_LINUX_PPID)
		who.pid = (pid_t)pg_host_pid(me->machine, who.pid);
	else
		return -ESRCH;
	if (who.pid != me->machine->host_pid)
		*as = 0;
	memcpy(CMSG_DATA(c), &who, sizeof(who));
	return 0;
}

/* Makes a control message the host's. 0 or a negative errno. */
static int send_control(struct pg_thread *me, struct msghdr *h, int *as)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		int err = 0;

		if (c->cmsg_len < CMSG_LEN(0))
			return -EINVAL;
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS && !descriptors_ok(c))
			err = -EBADF;
		else if (c->cmsg_type == SCM_CREDENTIALS)
			err = send_credentials(me, c, as);
		if (err != 0)
			return err;
	}
	return 0;
}

/* sendmsg or recvmsg on the guest's struct at `at`; its result fields are written back when received. */
static int64_t message(struct pg_thread *me, int fd, uint64_t at, int flags, bool in)
{
	struct guest_message g;
	struct sockaddr_storage name;
	struct msghdr h = {0};
	struct iovec *v;
	uint64_t total, control_len;
	int as = me->proc->pid;
	int64_t r;

	if (!pg_fd_ok(fd))
		return -EBADF;
	if (pg_guest_read(me, &g, at, sizeof(g)) != 0)
		return -EFAULT;
	if (g.name_len < 0 || g.control_len > CONTROL_MOST)
		return g.name_len < 0 ? -EINVAL : -ENOBUFS;
	control_len = g.control != 0 ? g.control_len : 0;
	r = pg_guest_iovecs(me, g.iov, g.iov_len, &v, &total);
	if (r != 0)
		return r == -EINVAL ? -EMSGSIZE : r;
	h.msg_control = control_len != 0 ? calloc(1, control_len) : NULL;
	if (control_len != 0 && h.msg_control == NULL)
		r = -ENOMEM;
	h.msg_controllen = control_len;
	if (r == 0 && g.name != 0) {
		h.msg_name = &name;
		h.msg_namelen = in ? sizeof(name) : (uint32_t)g.name_len;
		if (!in)
			r = get_name(me, g.name, (uint32_t)g.name_len, &name);
	}
	if (r == 0 && !in && control_len != 0) {
		r = pg_guest_read(me, h.msg_control, g.control, control_len);
		if (r == 0)
			r = send_control(me, &h, &as);
	}
	if (r == 0)
		r = one_message(me, fd, &h, v, (unsigned)g.iov_len, total, flags, in, as);
	if (r >= 0 && in) {
		uint64_t got = h.msg_controllen;
		uint32_t out_flags = (uint32_t)h.msg_flags;

		if ((g.name != 0 &&
			    put_name(me, g.name, at + offsetof(struct guest_message, name_len),
				    g.name_len, &name, h.msg_namelen) != 0) ||
			(got != 0 && pg_guest_write(me, g.control, h.msg_control, got) != 0) ||
			pg_guest_write(me, at + offsetof(struct guest_message, control_len), &got,
				sizeof(got)) != 0 ||
			pg_guest_write(me, at + offsetof(struct guest_message, flags), &out_flags,
				sizeof(out_flags)) != 0)
			r = -EFAULT;
	}
	free(h.msg_control);
	free(v);
	return r;
}

int64_t pg_sys_sendmsg(struct pg_thread *me, const uint64_t *a)
{
	return message(me, (int)a[0], a[1], (int)a[2], false);
}

int64_t pg_sys_recvmsg(struct pg_thread *me, const uint64_t *a)
{
	return message(me, (int)a[0], a[1], (int)a[2], true);
}

/* Several messages: until one fails or would block; how many were moved. */
static int64_t messages(struct pg_thread *me, const uint64_t *a, bool in)
{
	const uint64_t each = 64; /* struct mmsghdr: the message, its length, padding */
	unsigned n = (unsigned)a[2] < 1024 ? (unsigned)a[2] : 1024, done = 0;
	int flags = (int)a[3];

	while (done < n) {
		uint64_t at = a[1] + done * each;
		int64_t r = message(me, (int)a[0], at, flags & ~MSG_WAITFORONE, in);
		uint32_t len = (uint32_t)r;

		if (r < 0)
			return done != 0 ? (int64_t)done : r;
		if (pg_guest_write(me, at + sizeof(struct guest_message), &len, sizeof(len)) != 0)
			return done != 0 ? (int64_t)done : -EFAULT;
		done++;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return (int64_t)done;
}

int64_t pg_sys_sendmmsg(struct pg_thread *me, const uint64_t *a)
{
	return messages(me, a, false);
}

int64_t pg_sys_recvmmsg(struct pg_thread *me, const uint64_t *a)
{
	if (a[4] != 0) {
		pg_linux_unknown(me, "recvmmsg with a timeout is not there: ENOSYS");
		return -ENOSYS;
	}
	return messages(me, a, true);
}
