/* SPDX-License-Identifier: MIT */
/*
 * linux/files/files.h: a guest's descriptors, and the files behind its mappings.
 *
 * Called by all folders beside this one but machine/. What is known of Unix sockets is in peer.h.
 *
 * Descriptors: the threads of one guest process share one host table of descriptors, and the number in the guest is that on the
 * host. A forked process gets a copy of the table from the host (unshare), so closing, sharing of offsets, locks and passing
 * are the host's own. The first process's table is that of Pagoda itself.
 */
#ifndef PG_LINUX_FILES_H
#define PG_LINUX_FILES_H

#include "linux/machine/machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

/*
 * The descriptors of a process on the host: one host table. Besides the guest's it holds those of pagers: file N has the
 * same number in every table that has it.
 */
struct pg_fds {
	struct pg_fds *next; /* all of the machine */
	unsigned users;      /* threads */
	bool posix_locks;    /* the guest took fcntl locks: pager fds must not be closed */
	uint64_t *has;       /* owned: bit n: pager descriptor number n is open here */
	unsigned words;
};

/* A host file behind an object: the context of its pager. */
struct pg_file {
	struct pg_file *next; /* in pg_linux.files */
	struct pg_linux *machine;
	struct pg_object_key key;
	int fd;          /* the number under which the tables that have it hold it */
	bool writable;   /* fd may be written */
	bool memory;     /* a file of tmpfs */
	uint8_t *window; /* a mapping of the file, if writes through fd are sealed; owned */
	uint64_t window_bytes;
	uint32_t error_seen; /* told to an fsync of nobody knows which open file: opens.c */
	struct pg_object *
		kept; /* a reference: a page could not be written, and somebody may ask. NULL: no */
	bool open_here; /* a guest has it open: while they are counted */
	bool leaves;    /* the kept reference goes now */
	pthread_mutex_t
		bytes; /* who has it changes the file's bytes; waited for without the machine lock, which may be taken below it */
};

/* --- descriptors.c: tables of descriptors, and Pagoda's own among them ------------------------ */

/* A table of descriptors; from: a copy of that one's record. NULL: no memory. */
struct pg_fds *pg_fds_make(struct pg_linux *l, const struct pg_fds *from);
/* One user less; the last one forgets it. The host's table goes with its last thread. */
void pg_fds_put(struct pg_linux *l, struct pg_fds *f);
/* The keeper of pager descriptors: gives a table what another one opened. */
PG_MUST_CHECK int pg_keeper_begin(struct pg_linux *l);
void pg_keeper_end(struct pg_linux *l);
/* Whether the hard limit leaves room for the guest's descriptors and Pagoda's. */
bool pg_fds_suffice(void);
/* Whether the guest may use this descriptor number. */
bool pg_fd_ok(int fd);
/* A descriptor that the host made, or its error: Pagoda's numbers are not for the guest, -EMFILE. */
int64_t pg_fd_given(int64_t fd);
/* Path of an open descriptor as the host knows it; false if it has none. */
bool pg_fd_path(int fd, char *out, size_t cap);
/* A pager's descriptor in the present table; fetched from the keeper if that has not got it. A negative errno. */
int pg_pager_fd(struct pg_file *f);
/*
 * A file's descriptor for its pager: a copy of fd in the present table and with the keeper, under a number of its own or, not -1, `to`,
 * which the file has already. The number or a negative errno.
 */
int pg_pager_open(struct pg_linux *l, int fd, int to);
/* The file is nobody's any more. */
void pg_pager_close(struct pg_linux *l, int fd);

/* --- descriptors.c: descriptors that only the keeper has -------------------------------------- */

/*
 * A descriptor that only the keeper has: a copy of fd, under a number that the others name it by. Or a negative errno.
 */
PG_MUST_CHECK int pg_keeper_store(struct pg_linux *l, int fd);
/* A copy of it for the running thread's table, the lowest number that is free, close-on-exec. */
PG_MUST_CHECK int pg_keeper_fetch(struct pg_linux *l, int number);
/* Writes a byte to it. */
void pg_keeper_ring(struct pg_linux *l, int number);
void pg_keeper_forget(struct pg_linux *l, int number);

/* --- descriptors.c: the holder, a thread with a table of its own, so that what it closes drops nobody's locks --- */

/* A copy of fd in its table: the number there, or a negative errno. */
PG_MUST_CHECK int pg_holder_store(struct pg_linux *l, int fd);
void pg_holder_forget(struct pg_linux *l, int number);
int pg_holder_tid(const struct pg_linux *l); /* on the host; 0: there is none */
void pg_holder_end(struct pg_linux *l);

/* --- objects.c: files as objects -------------------------------------------------------------- */

/*
 * The object of an open host file; a reference for the caller. writable: the descriptor may be written and shared
 * mappings of it will be. name: what maps show. -ENODEV for what cannot be mapped.
 */
PG_MUST_CHECK int pg_files_object(struct pg_thread *me, int fd, const struct stat *st,
	bool writable, const char *name, struct pg_object **out);
/* The object of the file, if it is mapped: borrowed, or NULL. */
struct pg_object *pg_files_find(struct pg_thread *me, const struct stat *st);
/*
 * Writes the file's dirty pages of bytes [start, end) to the host's file. tell: the error, or one that happened at another time
 * and that the open file behind fd has not been told of; else 0, and it will be told later. Gives up the machine lock.
 */
PG_MUST_CHECK int pg_files_sync(
	struct pg_thread *me, int fd, uint64_t start, uint64_t end, bool tell);
/* The same for all files that are mapped, or those on the device of *on; errors are left to be told later. */
void pg_files_sync_all(struct pg_thread *me, const struct stat *on);
/* The host brings the file that has this key, if one is mapped, to its disk. 0 or the host's error. */
PG_MUST_CHECK int pg_files_to_disk(struct pg_thread *me, struct pg_object_key key);
/*
 * The file is about to be sealed against writes, but for mappings that exist: its pager keeps one, to write back through. 0 or -errno.
 */
PG_MUST_CHECK int pg_files_keep_writable(struct pg_thread *me, const struct stat *st);
/* Whether the file's object is kept though nobody maps it; here: notes that a guest has it open. */
bool pg_files_kept(struct pg_thread *me, const struct stat *st, bool here);
/* begin: nobody is known to have a kept file open. Else: those that nobody has open are let go. */
void pg_files_let_go(struct pg_linux *l, bool begin);

/* --- opens.c: open files, and what each was told of failed write-backs ------------------------ */

/* fd's open file, as long as it is being mapped; NULL: nothing is known of it. */
struct pg_open_file *pg_open_hold(struct pg_thread *me, int fd);
/* It is mapped, or not: regions count it now. */
void pg_open_drop(struct pg_open_file *f);
/* A new open file: it is not told of what others were told before. */
void pg_open_opened(struct pg_thread *me, int fd, const struct stat *st);
/* The error that fd's open file has not been told of, now it is; 0: none. else_seen: where the host cannot tell open files apart. */
int pg_open_error(struct pg_thread *me, int fd, const struct stat *st, struct pg_object *object,
	uint32_t *else_seen);
/* The same of all files of its file system. */
int pg_open_fs_error(struct pg_thread *me, int fd, const struct stat *st);
/* A page of a file on this device could not be written. */
void pg_open_write_failed(struct pg_linux *l, uint64_t dev, int err);
/* Whether pg_open_closed() is to be called when fd is closed. */
bool pg_open_closing(struct pg_thread *me, int fd);
/* Descriptors were closed: what nobody has open is forgotten. */
void pg_open_closed(struct pg_thread *me);
void pg_open_end(struct pg_linux *l);

/* --- owner.c: who gets the signals of a descriptor -------------------------------------------- */

/* F_SETOWN_EX, F_GETOWN_EX, and F_SETSIG (set) or F_GETSIG, with guests' numbers. 0 or the call's error. */
int64_t pg_owner_set(struct pg_thread *me, int fd, const struct f_owner_ex *who);
int64_t pg_owner_get(struct pg_thread *me, int fd, struct f_owner_ex *who);
int64_t pg_owner_signal(struct pg_thread *me, int fd, bool set, int sig);
/* O_ASYNC was set on fd. */
void pg_owner_async(struct pg_thread *me, int fd);
/* The host's SIGURG, or PG_HOST_IO for descriptor fd, came. False: no guest is meant. */
bool pg_owner_signalled(struct pg_linux *l, int signo, int fd, int code, uint64_t band);
void pg_owners_end(struct pg_linux *l);

/* --- io.c: bytes between descriptors and memory ----------------------------------------------- */

/* Reads or writes guest memory from or to a descriptor; offset -1: the descriptor's own. As preadv2/pwritev2. */
int64_t pg_io_read(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags);
int64_t pg_io_write(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags);
/* r, and the signal that goes with it if it is -EPIPE: the host ignores SIGPIPE for us. */
int64_t pg_io_signal(struct pg_thread *me, int64_t r);
/*
 * RLIMIT_FSIZE of the calling process, of which the host knows nothing. pg_io_limit() looks at a write of *n bytes at `offset` (-1: where the
 * descriptor is; flags as pwritev2's) and cuts *n; pg_io_limit_size() at a change of a regular file's size from st_size to `size`. 0, or -EFBIG
 * with SIGXFSZ posted. What is no regular file has no limit.
 */
int pg_io_limit(struct pg_thread *me, int fd, int64_t offset, int flags, uint64_t *n);
int pg_io_limit_size(struct pg_thread *me, const struct stat *st, uint64_t size);
/*
 * Coherence around host calls on a descriptor (sendfile, copy_file_range): the bytes [start, end) of its file. before_write:
 * also before one that resizes it. Not 0: what the
 * host would read is not what guests stored, because it could not be written: why.
 */
int pg_io_before_read(struct pg_thread *me, int fd, uint64_t start, uint64_t end);
/*
 * A host call is about to change the file's bytes or size: until the end nothing of it is written back. In between there are the
 * host call and what tells of it, pg_io_after_write(), pg_io_truncated() or pg_io_punched(), and no page fault. What begin returns, NULL if the
 * file is not mapped, is for end. May give up the machine lock.
 */
struct pg_object *pg_io_begin_change(struct pg_thread *me, const struct stat *st);
void pg_io_end_change(struct pg_object *o);
void pg_io_after_write(struct pg_thread *me, int fd, uint64_t start, uint64_t end);
void pg_io_truncated(struct pg_thread *me, int fd);
void pg_io_punched(struct pg_thread *me, int fd, uint64_t start, uint64_t end);

/* --- path.c: names ---------------------------------------------------------------------------- */

/*
 * Reads a path from the guest and turns the guest's /proc names into the host's: /proc/1000 into /proc/self,
 * .../exe into the program. 0 or a negative errno.
 */
PG_MUST_CHECK int pg_path_get(struct pg_thread *me, uint64_t va, char out[PATH_MAX]);
/* The same for a string at hand. */
PG_MUST_CHECK int pg_path_map(struct pg_thread *me, const char *in, char out[PATH_MAX]);
/* A name below /proc that speaks of a guest. */
struct pg_proc_name {
	struct pg_process *proc;  /* NULL: of nobody */
	struct pg_thread *thread; /* where one is named; else NULL */
	bool task_list;           /* the directory /proc/N/task itself */
	const char *rest;         /* behind the directory, in the path; "": the directory */
};
/* Whether `in` names /proc/N, /proc/self or anything in it. */
bool pg_path_proc(struct pg_thread *me, const char *in, struct pg_proc_name *out);
/* The program that an exe link names: "" for a zombie, NULL if the path is no such link. It is not followed. */
const char *pg_path_exe_link(struct pg_thread *me, const char *path);

/* --- terminal.c: controlling terminals -------------------------------------------------------- */

/* Pagoda's own terminal, if it has one, is the first process's. */
void pg_terminal_init(struct pg_process *p);
void pg_terminals_free(struct pg_linux *l);
/* The group in the foreground of Pagoda's own terminal; 0: not known. */
int pg_terminal_host_foreground(const struct pg_linux *l);
/* As fields tty_nr and tpgid of /proc/PID/stat. */
void pg_terminal_stat(const struct pg_process *p, uint32_t *dev, int *foreground);
/* Before a read or write: 0 to go on, or the call's result: the caller's group is in the background. */
int64_t pg_terminal_before_read(struct pg_thread *me, int fd);
int64_t pg_terminal_before_write(struct pg_thread *me, int fd);
/* `done` bytes of v were written to fd: if it is a pty's master, keys among them send their signals. */
void pg_terminal_written(
	struct pg_thread *me, int fd, const struct iovec *v, unsigned count, uint64_t done);
/* /dev/tty becomes the name of the caller's terminal. 0 or -ENXIO. */
int pg_terminal_path(struct pg_thread *me, char path[PATH_MAX]);
/* What was opened may become the session's terminal. */
void pg_terminal_opened(struct pg_thread *me, int fd, int flags);
/* Descriptors were closed: the sessions of those whose master is gone are hung up. */
void pg_terminal_closed(struct pg_linux *l);
/* Its descriptors are closed: a leader's session loses the terminal. */
void pg_terminal_process_ends(struct pg_process *p);
/* Whether the request was seen to here; then *result is the call's. */
bool pg_terminal_ioctl(
	struct pg_thread *me, int fd, unsigned request, uint64_t arg, int64_t *result);

#endif
