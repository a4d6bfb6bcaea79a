/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_socket.c: system calls on sockets: the host's, with addresses copied and data pinned.
 *
 * Called through table.c. Options that carry pointers are refused.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

#include <errno.h>
#include <fcntl.h>
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

int64_t pg_sys_socket(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_socket, (int)a[0], (int)a[1], (int)a[2], 0, 0, 0));
}

int64_t pg_sys_listen(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? PG_QUICK(SYS_listen, (int)a[0], (int)a[1], 0, 0, 0, 0)
				   : -EBADF;
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

/* bind and connect. */
static int64_t named(struct pg_thread *me, long number, const uint64_t *a)
{
	struct sockaddr_storage name;
	int err;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	err = get_name(me, a[1], a[2], &name);
	return err != 0 ? err
			: PG_HOST(me, number, (int)a[0], (uintptr_t)&name, (uint32_t)a[2], 0, 0, 0);
}

int64_t pg_sys_bind(struct pg_thread *me, const uint64_t *a)
{
	return named(me, SYS_bind, a);
}

int64_t pg_sys_connect(struct pg_thread *me, const uint64_t *a)
{
	return named(me, SYS_connect, a);
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
	r = PG_QUICK(SYS_getsockopt, (int)a[0], (int)a[1], (int)a[2], (uintptr_t)value,
		(uintptr_t)&len, 0);
	if (r == 0 && pg_guest_write(me, a[3], value, (unsigned)len) != 0)
		return -EFAULT;
	return r != 0 ? r : pg_guest_write(me, a[4], &len, sizeof(len));
}

/* --- data ------------------------------------------------------------------------------------------------------- */

/*
 * One message to or from the guest's iovecs, in one host call: h has name and control in host memory already. Bytes moved or a
 * negative errno. A message that is longer than what can be pinned at once is cut, as by a small socket buffer.
 */
static int64_t one_message(struct pg_thread *me, int fd, struct msghdr *h, const struct iovec *v,
	unsigned n, uint64_t total, int flags, bool in)
{
	struct iovec host[PIECES];
	unsigned pieces = 0;
	enum pg_access access = in ? PG_WRITE : PG_READ;
	uint64_t got = 0;
	uint8_t *copy = NULL;
	int64_t r;

	if (total != 0 && me->machine->partition != NULL) {
		/* it may wait: nothing of a contiguous block is pinned meanwhile */
		got = total < pg_guest_pin_bytes(me) ? total : pg_guest_pin_bytes(me);
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
		got = pg_guest_pin(
			me, v, n, 0, pg_guest_pin_bytes(me), access, host, &pieces, PIECES);
		if (got == 0)
			return -EFAULT;
	}
	h->msg_iov = host;
	h->msg_iovlen = pieces;
	r = PG_HOST(me, in ? SYS_recvmsg : SYS_sendmsg, fd, (uintptr_t)h, flags, 0, 0, 0);
	if (copy == NULL)
		pg_guest_unpin(me, access, host, pieces);
	else if (in && r > 0 &&
		 pg_guest_copy(
			 me, v, n, 0, PG_WRITE, copy, (uint64_t)r < got ? (uint64_t)r : got) == 0)
		r = -EFAULT;
	free(copy);
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
	return one_message(me, (int)a[0], &h, &v, 1, a[2], (int)a[3], false);
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
	r = one_message(me, (int)a[0], &h, &v, 1, a[2], (int)a[3], true);
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
static bool control_ok(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_len < CMSG_LEN(0))
			return false;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (!pg_fd_ok(fd))
				return false;
		}
	}
	return true;
}

/* sendmsg or recvmsg on the guest's struct at `at`; its result fields are written back when received. */
static int64_t message(struct pg_thread *me, int fd, uint64_t at, int flags, bool in)
{
	struct guest_message g;
	struct sockaddr_storage name;
	struct msghdr h = {0};
	struct iovec *v;
	uint64_t total, control_len;
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
		if (r == 0 && !control_ok(&h))
			r = -EBADF;
	}
	if (r == 0)
		r = one_message(me, fd, &h, v, (unsigned)g.iov_len, total, flags, in);
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
