/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/ioctl.c: ioctl.
 *
 * Called through table.c. An ioctl's argument may hold pointers that the host would follow into Pagoda: so only those
 * whose argument is known are passed on, by the table below; all others are ENOTTY, and named.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

enum way {
	NONE = 0, /* no argument, or a number */
	IN = 1,   /* the guest's bytes are read */
	OUT = 2,  /* bytes are written for the guest */
};

struct known {
	unsigned request;
	uint16_t bytes;
	uint8_t way;
	bool pid; /* the argument is one process id */
};

/* The kernel's struct termios has 36 bytes, the C library's 60; struct termio 18, termios2 44. */
static const struct known requests[] = {
	{TCGETS, 36, OUT},
	{TCSETS, 36, IN},
	{TCSETSW, 36, IN},
	{TCSETSF, 36, IN},
	{TCGETA, 18, OUT},
	{TCSETA, 18, IN},
	{TCSETAW, 18, IN},
	{TCSETAF, 18, IN},
	{0x802c542a /* TCGETS2 */, 44, OUT},
	{0x402c542b /* TCSETS2 */, 44, IN},
	{0x402c542c /* TCSETSW2 */, 44, IN},
	{0x402c542d /* TCSETSF2 */, 44, IN},
	{TIOCGLCKTRMIOS, 36, OUT},
	{TIOCSLCKTRMIOS, 36, IN},
	{TCSBRK, 0, NONE},
	{TCXONC, 0, NONE},
	{TCFLSH, 0, NONE},
	{TCSBRKP, 0, NONE},
	{TIOCSBRK, 0, NONE},
	{TIOCCBRK, 0, NONE},
	{TIOCEXCL, 0, NONE},
	{TIOCNXCL, 0, NONE},
	{TIOCVHANGUP, 0, NONE},
	{TIOCOUTQ, 4, OUT},
	{TIOCGWINSZ, sizeof(struct winsize), OUT},
	{TIOCMGET, 4, OUT},
	{TIOCMSET, 4, IN},
	{TIOCMBIS, 4, IN},
	{TIOCMBIC, 4, IN},
	{TIOCGETD, 4, OUT},
	{TIOCSETD, 4, IN},
	{TIOCPKT, 4, IN},
	{TIOCGPTN, 4, OUT},
	{TIOCSPTLCK, 4, IN},
	{TIOCGPTLCK, 4, OUT},
	{FIONREAD, 4, OUT},
	{FIONBIO, 4, IN},
	{FIOASYNC, 4, IN},
	{FIOCLEX, 0, NONE},
	{FIONCLEX, 0, NONE},
	{FIOQSIZE, 8, OUT},
	{FS_IOC_GETFLAGS, 4, OUT},
	{FS_IOC_SETFLAGS, 4, IN},
	{FS_IOC_GETVERSION, 4, OUT},
	{FIGETBSZ, 4, OUT},
	{FICLONE, 0, NONE},
	{FICLONERANGE, sizeof(struct file_clone_range), IN},
	{BLKGETSIZE, 8, OUT},
	{BLKGETSIZE64, 8, OUT},
	{BLKSSZGET, 4, OUT},
	{BLKROGET, 4, OUT},
	{BLKBSZGET, 4, OUT},
	{RNDGETENTCNT, 4, OUT},
	{SIOCATMARK, 4, OUT},
	{SIOCGPGRP, 4, OUT, true},
	{SIOCSPGRP, 4, IN, true},
	{SIOCGIFINDEX, sizeof(struct ifreq), IN | OUT},
	{SIOCGIFFLAGS, sizeof(struct ifreq), IN | OUT},
	{SIOCGIFMTU, sizeof(struct ifreq), IN | OUT},
	{SIOCGIFADDR, sizeof(struct ifreq), IN | OUT},
	{SIOCGIFHWADDR, sizeof(struct ifreq), IN | OUT},
};

static int64_t run(struct pg_thread *me, int fd, const struct known *k, uint64_t arg)
{
	uint8_t buf[64] = {0};
	uint64_t host = arg;
	int64_t r;
	int32_t pid;

	PG_ASSERT(k->bytes <= sizeof(buf));
	if (k->way != NONE)
		host = (uintptr_t)buf;
	if ((k->way & IN) && pg_guest_read(me, buf, arg, k->bytes) != 0)
		return -EFAULT;
	if (k->pid && (k->way & IN)) {
		memcpy(&pid, buf, sizeof(pid));
		pid = (int32_t)pg_host_pid(me->machine, pid);
		memcpy(buf, &pid, sizeof(pid));
	}
	if ((k->request == FICLONE && !pg_fd_ok((int)arg)) ||
		(k->request == FICLONERANGE &&
			!pg_fd_ok((int)((struct file_clone_range *)buf)->src_fd)))
		return -EBADF;
	r = PG_HOST(me, SYS_ioctl, fd, k->request, host, 0, 0, 0);
	if (r < 0 || !(k->way & OUT))
		return r;
	if (k->pid) {
		memcpy(&pid, buf, sizeof(pid));
		pid = (int32_t)pg_guest_pid(me->machine, pid);
		memcpy(buf, &pid, sizeof(pid));
	}
	return pg_guest_write(me, arg, buf, k->bytes) != 0 ? -EFAULT : r;
}

int64_t pg_sys_ioctl(struct pg_thread *me, const uint64_t *a)
{
	int fd = (int)a[0];
	unsigned request = (unsigned)a[1];
	int64_t r;

	if (!pg_fd_ok(fd) || fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	if (pg_terminal_ioctl(me, fd, request, a[2], &r))
		return r;
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].request == request)
			return run(me, fd, &requests[i], a[2]);
	if (request == TIOCSCTTY || request == TIOCNOTTY || request == TIOCGPGRP ||
		request == TIOCSPGRP || request == TIOCGSID || request == TIOCSWINSZ)
		return -ENOTTY; /* no terminal */
	pg_linux_unknown(me, "ioctl 0x%x is not there: ENOTTY", request);
	return -ENOTTY;
}
