/* SPDX-License-Identifier: MIT */
/*
 * linux/files/terminal.c: controlling terminals and job control at them.
 *
 * Called by ioctl, open, close, read and write, setsid, the end of processes and the service thread. Owns pg_linux.terminals.
 *
 * The host knows one session, Pagoda's: guests are threads of its one process. So which terminal controls which guest session, and which group is
 * in its foreground, is kept here, and what the host's line discipline cannot do for lack of a session is done here: the signals of keys, of
 * changed sizes, of background access and of hang-ups. Bytes, modes and echo stay the host's.
 *
 * Invariants:
 *   1. A terminal is in the list while it controls a session, and no longer.
 *   2. process.terminal is in the list or NULL, and has the process's session.
 *
 * Not here: what is typed at Pagoda's own terminal (linux/service.c); a host program outside that writes to the master of a guest's terminal makes
 * no signals.
 */
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#define BIT(n) (1ull << ((n)-1))
#define SETTLE_TRIES 10
#define SETTLE_US 500

struct pg_terminal {
	struct pg_terminal *next;
	uint32_t dev;   /* as TIOCGDEV tells it */
	int sid;        /* the session that it controls */
	int foreground; /* group; of no guest: the host's */
	bool host;      /* Pagoda's own */
	int first;      /* host: the group that was in front at the start */
	char name[64];  /* of the slave */
};

static struct pg_terminal *find(struct pg_linux *l, uint32_t dev)
{
	struct pg_terminal *t = l->terminals;

	while (t != NULL && t->dev != dev)
		t = t->next;
	return t;
}

/* The device behind a descriptor: the slave's for both ends of a pty. false: no terminal. */
static bool device(int fd, uint32_t *dev, bool *master)
{
	unsigned n;

	if (ioctl(fd, TIOCGDEV, dev) != 0)
		return false;
	*master = ioctl(fd, TIOCGPTN, &n) == 0;
	return true;
}

struct posted {
	int signo;
};

static bool post_one(void *ctx, struct pg_process *p)
{
	const struct posted *x = ctx;

	(void)pg_signal_post(p, x->signo, SI_KERNEL, 0, 0);
	return true;
}

static void post_group(struct pg_linux *l, int pgid, int signo)
{
	struct posted x = {signo};

	if (pgid > 0)
		pg_process_each_of_group(l, pgid, post_one, &x);
}

/* The terminal controls nobody any more. */
static void detach(struct pg_linux *l, struct pg_terminal *t)
{
	struct pg_terminal **at = &l->terminals;

	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->terminal == t)
			p->terminal = NULL;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t);
}

static int control(struct pg_process *p, uint32_t dev, const char *name)
{
	struct pg_terminal *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->dev = dev;
	t->sid = p->sid;
	t->foreground = p->pgid;
	if (strlen(name) < sizeof(t->name))
		strcpy(t->name, name);
	t->next = p->machine->terminals;
	p->machine->terminals = t;
	p->terminal = t;
	return 0;
}

/* --- Pagoda's own terminal ---------------------------------------------------------------------------------- */

static void ask_host(struct pg_linux *l, struct pg_terminal *t)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return;
	t->foreground = (int)pg_guest_pid(l, tcgetpgrp(fd));
	(void)ioctl(fd, TIOCGDEV, &t->dev);
	close(fd);
}

void pg_terminal_init(struct pg_process *p)
{
	if (control(p, 0, "/dev/tty") != 0)
		return;
	p->terminal->host = true;
	ask_host(p->machine, p->terminal);
	p->terminal->first = p->terminal->foreground;
	if (p->terminal->dev == 0)
		detach(p->machine, p->terminal);
}

void pg_terminals_free(struct pg_linux *l)
{
	while (l->terminals != NULL)
		detach(l, l->terminals);
}

int pg_terminal_host_foreground(const struct pg_linux *l)
{
	const struct pg_terminal *t = l->terminals;

	while (t != NULL && !t->host)
		t = t->next;
	return t != NULL ? t->foreground : 0;
}

void pg_terminal_stat(const struct pg_process *p, uint32_t *dev, int *foreground)
{
	*dev = p->terminal != NULL ? p->terminal->dev : 0;
	*foreground = p->terminal != NULL ? p->terminal->foreground : -1;
}

static struct pg_process *of_group(struct pg_linux *l, int pgid)
{
	struct pg_process *p = l->processes;

	while (p != NULL && p->pgid != pgid)
		p = p->next;
	return p;
}

static bool in_front(struct pg_process *p)
{
	struct pg_terminal *t = p->terminal;

	/* another host group was in front: the host's shell may have changed that */
	if (t->host && t->foreground != p->pgid && of_group(p->machine, t->foreground) == NULL)
		ask_host(p->machine, t);
	return t->foreground == p->pgid || t->foreground <= 0;
}

/* --- access from the background --------------------------------------------------------------------------------- */

static bool deaf(const struct pg_thread *me, int signo)
{
	return (me->sig.blocked & BIT(signo)) || me->proc->sig.act[signo].handler == 1;
}

/* The caller's group is told that it is in the background: 0 if it may go on, -EIO, or that the call is to be begun anew. */
static int64_t background(struct pg_thread *me, int signo)
{
	if (in_front(me->proc))
		return 0;
	if (deaf(me, signo))
		return signo == SIGTTIN ? -EIO : 0;
	if (pg_signal_orphaned_group(me->proc))
		return -EIO;
	post_group(me->machine, me->proc->pgid, signo);
	me->poke = 1;
	return -PG_ERESTARTSYS;
}

static bool is_own(const struct pg_thread *me, int fd, bool slave)
{
	uint32_t dev;
	bool master;

	return me->proc->terminal != NULL && device(fd, &dev, &master) &&
	       dev == me->proc->terminal->dev && !(slave && master);
}

int64_t pg_terminal_before_read(struct pg_thread *me, int fd)
{
	if (me->proc->terminal == NULL || in_front(me->proc) || !is_own(me, fd, true))
		return 0;
	return background(me, SIGTTIN);
}

int64_t pg_terminal_before_write(struct pg_thread *me, int fd)
{
	struct termios t;

	if (me->proc->terminal == NULL || in_front(me->proc) || !is_own(me, fd, true) ||
		tcgetattr(fd, &t) != 0 || !(t.c_lflag & TOSTOP))
		return 0;
	return background(me, SIGTTOU);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

/* The signal of a key; 0: none. */
static int key_signal(const struct termios *t, uint8_t c)
{
	if (c == t->c_cc[VINTR])
		return SIGINT;
	if (c == t->c_cc[VQUIT])
		return SIGQUIT;
	return c == t->c_cc[VSUSP] ? SIGTSTP : 0;
}

/*
 * Waits until the host's line discipline has seen what was written to the master fd. At a key that makes a signal it throws away what the
 * slave wrote and nobody has read yet, and it does so some time after the write: what the signal's receivers answer must come later. Polling the
 * slave lets it finish, unless there was input before; that goes with the key, so it is waited for (for a moment: input behind the key
 * looks the same).
 */
static void settle(int fd)
{
	struct pollfd p = {
		.fd = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), .events = POLLIN};

	if (p.fd < 0)
		return;
	for (unsigned i = 0; i < SETTLE_TRIES && poll(&p, 1, 0) > 0; i++)
		usleep(SETTLE_US);
	close(p.fd);
}

void pg_terminal_written(
	struct pg_thread *me, int fd, const struct iovec *v, unsigned count, uint64_t done)
{
	struct pg_terminal *to;
	struct termios t;
	uint8_t buf[256];
	uint32_t dev;
	bool master, quoted = false, settled = false;

	if (me->machine->terminals == NULL || !device(fd, &dev, &master) || !master)
		return;
	to = find(me->machine, dev);
	if (to == NULL || tcgetattr(fd, &t) != 0 || !(t.c_lflag & ISIG))
		return;
	for (unsigned i = 0; i < count && done != 0; i++)
		for (uint64_t at = 0; at < v[i].iov_len && done != 0;) {
			uint64_t n = v[i].iov_len - at;

			n = n < done ? n : done;
			n = n < sizeof(buf) ? n : sizeof(buf);
			if (pg_guest_read(me, buf, (uintptr_t)v[i].iov_base + at, n) != 0)
				return;
			/* reading may have waited for a page: the terminal may be gone */
			if ((to = find(me->machine, dev)) == NULL)
				return;
			for (uint64_t k = 0; k < n; k++) {
				int signo = quoted || buf[k] == _POSIX_VDISABLE
						    ? 0
						    : key_signal(&t, buf[k]);

				quoted = !quoted && (t.c_lflag & ICANON) && (t.c_lflag & IEXTEN) &&
					 buf[k] == t.c_cc[VLNEXT] && buf[k] != _POSIX_VDISABLE;
				if (signo == 0)
					continue;
				if (!settled && !(t.c_lflag & NOFLSH))
					settle(fd);
				settled = true;
				post_group(me->machine, to->foreground, signo);
			}
			at += n;
			done -= n;
		}
}

/* --- opening, hanging up ------------------------------------------------------------------------------------------- */

int pg_terminal_path(struct pg_thread *me, char path[PATH_MAX])
{
	const struct pg_terminal *t = me->proc->terminal;

	if (strcmp(path, "/dev/tty") != 0)
		return 0;
	if (t == NULL)
		return -ENXIO;
	if (t->name[0] == '\0')
		return -ENXIO;
	strcpy(path, t->name);
	return 0;
}

void pg_terminal_opened(struct pg_thread *me, int fd, int flags)
{
	struct pg_process *p = me->proc;
	char name[PATH_MAX];
	uint32_t dev;
	bool master;

	if ((flags & (O_NOCTTY | O_PATH)) || (flags & O_ACCMODE) == O_WRONLY || p->sid != p->pid ||
		p->terminal != NULL || !device(fd, &dev, &master) || master ||
		find(p->machine, dev) != NULL || !pg_fd_path(fd, name, sizeof(name)))
		return;
	(void)control(p, dev, name); /* no memory: it goes without */
}

void pg_terminal_closed(struct pg_linux *l)
{
	for (struct pg_terminal *t = l->terminals, *next; t != NULL; t = next) {
		struct pg_process *leader;
		struct stat st;

		next = t->next;
		/* the host takes a slave's name away with the last descriptor of its master */
		if (t->host || strncmp(t->name, "/dev/pts/", 9) != 0 || stat(t->name, &st) == 0)
			continue;
		leader = pg_process_find(l, t->sid);
		if (leader != NULL) {
			leader->hung_group = t->foreground;
			(void)pg_signal_post(leader, SIGHUP, SI_KERNEL, 0, 0);
			(void)pg_signal_post(leader, SIGCONT, SI_KERNEL, 0, 0);
		}
		detach(l, t);
	}
}

/* The leader gives its terminal up: for the whole session. */
static void leader_leaves(struct pg_process *p)
{
	int group = p->terminal != NULL ? p->terminal->foreground : p->hung_group;

	if (p->terminal != NULL)
		detach(p->machine, p->terminal);
	p->hung_group = 0;
	post_group(p->machine, group, SIGHUP);
	post_group(p->machine, group, SIGCONT);
}

void pg_terminal_process_ends(struct pg_process *p)
{
	pg_terminal_closed(p->machine);
	if (p->sid == p->pid)
		leader_leaves(p);
	p->terminal = NULL;
}

/* --- ioctl ---------------------------------------------------------------------------------------------------------- */

static int64_t set_controlling(
	struct pg_thread *me, int fd, uint32_t dev, bool master, uint64_t arg)
{
	struct pg_process *p = me->proc;
	struct pg_terminal *t = find(p->machine, dev);
	char name[PATH_MAX];
	unsigned n;

	if (p->sid == p->pid && t != NULL && t->sid == p->sid)
		return 0;
	if (p->sid != p->pid || p->terminal != NULL)
		return -EPERM;
	if (t != NULL) {
		if (arg != 1 || geteuid() != 0 || t->host)
			return -EPERM;
		detach(p->machine, t);
	}
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY && geteuid() != 0)
		return -EPERM;
	if (master && ioctl(fd, TIOCGPTN, &n) == 0)
		snprintf(name, sizeof(name), "/dev/pts/%u", n);
	else if (!pg_fd_path(fd, name, sizeof(name)))
		return -EIO;
	return control(p, dev, name);
}

static int64_t set_foreground(struct pg_thread *me, uint64_t arg)
{
	struct pg_process *p = me->proc, *k;
	struct pg_terminal *t = p->terminal;
	int32_t pgid;

	if (pg_guest_read(me, &pgid, arg, sizeof(pgid)) != 0)
		return -EFAULT;
	if (pgid < 0)
		return -EINVAL;
	k = of_group(p->machine, pgid);
	if (k == NULL && !(t->host && pgid == t->first))
		return -ESRCH;
	if (k != NULL && k->sid != p->sid)
		return -EPERM;
	t->foreground = pgid;
	return 0;
}

static int64_t set_size(struct pg_thread *me, int fd, const struct pg_terminal *t, uint64_t arg)
{
	struct winsize old = {0}, size;

	if (pg_guest_read(me, &size, arg, sizeof(size)) != 0)
		return -EFAULT;
	if (ioctl(fd, TIOCGWINSZ, &old) != 0 || ioctl(fd, TIOCSWINSZ, &size) != 0)
		return -errno;
	/* at Pagoda's own terminal the host says so */
	if (t != NULL && !t->host && memcmp(&old, &size, sizeof(size)) != 0)
		post_group(me->machine, t->foreground, SIGWINCH);
	return 0;
}

/* Requests about sessions and groups, and those that a group in the background may not make. */
static bool concerns(unsigned request)
{
	switch (request) {
	case TIOCSCTTY:
	case TIOCNOTTY:
	case TIOCGPGRP:
	case TIOCSPGRP:
	case TIOCGSID:
	case TIOCSWINSZ:
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
	case 0x402c542b: /* TCSETS2 */
	case 0x402c542c: /* TCSETSW2 */
	case 0x402c542d: /* TCSETSF2 */
	case TCSBRK:
	case TCSBRKP:
	case TCXONC:
	case TCFLSH:
		return true;
	default:
		return false;
	}
}

bool pg_terminal_ioctl(
	struct pg_thread *me, int fd, unsigned request, uint64_t arg, int64_t *result)
{
	struct pg_process *p = me->proc;
	struct pg_terminal *t;
	uint32_t dev;
	bool master, own;
	int32_t value;

	if (!concerns(request) || !device(fd, &dev, &master))
		return false; /* what is no terminal the host refuses */
	t = find(me->machine, dev);
	own = t != NULL && t == p->terminal;
	switch (request) {
	case TIOCSCTTY:
		*result = set_controlling(me, fd, dev, master, arg);
		return true;
	case TIOCNOTTY:
		*result = own ? 0 : -ENOTTY;
		if (own && p->sid == p->pid)
			leader_leaves(p);
		p->terminal = own ? NULL : p->terminal;
		return true;
	case TIOCGPGRP:
	case TIOCGSID:
		if (own)
			(void)in_front(p); /* brings the host's up to date */
		value = t == NULL ? 0 : request == TIOCGSID ? t->sid : t->foreground;
		if ((!master && !own) || (request == TIOCGSID && t == NULL))
			*result = -ENOTTY;
		else
			*result = pg_guest_write(me, arg, &value, sizeof(value));
		return true;
	case TIOCSWINSZ:
		*result = set_size(me, fd, t, arg);
		return true;
	default:
		*result = own ? background(me, SIGTTOU) : 0;
		if (request != TIOCSPGRP)
			return *result != 0;
		if (*result == 0)
			*result = own ? set_foreground(me, arg) : -ENOTTY;
		else if (*result == -EIO)
			*result = -ENOTTY;
		return true;
	}
}
