/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/shares.c: what threads and processes share and cease to share (unshare, kcmp), and prctl. Guards R16.
 */
#include "cases.h"

#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* --- unshare ------------------------------------------------------------------------------------------------------ */

struct other {
	struct gate go, done;
	int fd;
	char directory[256];
};

static void *parts(void *arg)
{
	struct other *o = arg;

	await(&o->go);
	say_call("files", unshare(CLONE_FILES));
	close(o->fd);
	say_call("closed here", fcntl(o->fd, F_GETFD));
	say_call("directory", unshare(CLONE_FS));
	check(chdir("/") == 0, "chdir");
	umask(077);
	say_call("undos", unshare(CLONE_SYSVSEM));
	say_call("memory, of several threads", unshare(CLONE_VM));
	say_call("handlers, of several threads", unshare(CLONE_SIGHAND));
	let(&o->done);
	return NULL;
}

static void case_unshare(void)
{
	struct other o = {gate_open(), gate_open(), open("/dev/null", O_RDONLY), ""};
	char after[256];
	pthread_t t;

	say_call("nothing", unshare(0));
	say_call("alone", unshare(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD));
	say_call("no such flag", unshare(CLONE_PARENT));
	umask(022);
	check(getcwd(o.directory, sizeof o.directory) != NULL, "getcwd");
	pthread_create(&t, NULL, parts, &o);
	let(&o.go);
	await(&o.done);
	pthread_join(t, NULL);
	say_call("open here", fcntl(o.fd, F_GETFD));
	check(getcwd(after, sizeof after) != NULL, "getcwd");
	printf("directory %s, mask %03o\n", strcmp(o.directory, after) == 0 ? "as before" : after,
		umask(022));
}

/* --- kcmp --------------------------------------------------------------------------------------------------------- */

static long same(pid_t a, pid_t b, int what, int x, int y)
{
	long r = syscall(SYS_kcmp, a, b, what, x, y);

	/* which of two is the smaller differs from run to run */
	return r > 0 ? 1 : r;
}

static pid_t thread_id;

static void *is_compared(void *arg)
{
	struct other *o = arg;

	thread_id = gettid();
	let(&o->done);
	await(&o->go);
	return NULL;
}

static int is_other(void *arg)
{
	struct other *o = arg;

	o->fd = dup2(o->fd, 60);
	let(&o->done);
	await(&o->go);
	return 0;
}

static void case_kcmp(void)
{
	struct other o = {gate_open(), gate_open(), open("/dev/null", O_RDONLY), ""};
	int again = open("/dev/null", O_RDONLY), copy = dup(o.fd);
	pid_t self = getpid(), p = child(is_other, &o);
	pthread_t t;

	await(&o.done);
	pthread_create(&t, NULL, is_compared, &o);
	await(&o.done);
	say_call("one file", same(self, self, KCMP_FILE, o.fd, copy));
	say_call("two opens", same(self, self, KCMP_FILE, o.fd, again));
	say_call("the child's copy", same(self, p, KCMP_FILE, o.fd, 60));
	say_call("not open", same(self, p, KCMP_FILE, o.fd, 61));
	for (int what = KCMP_VM; what <= KCMP_SYSVSEM; what++) {
		printf("kind %d\n", what);
		if (what == KCMP_IO)
			continue;
		say_call("  the thread's", same(self, thread_id, what, 0, 0));
		if (what != KCMP_SYSVSEM)
			say_call("  the child's", same(self, p, what, 0, 0));
	}
	say_call("no such kind", same(self, p, 99, 0, 0));
	say_call("nobody", same(self, 1 << 21, KCMP_VM, 0, 0));
	let(&o.go);
	let(&o.go);
	pthread_join(t, NULL);
	reap("child", p);
}

/* --- prctl -------------------------------------------------------------------------------------------------------- */

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif

static int says_inherited(void *arg)
{
	say_call("huge pages, child", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	say_call("new rights, child", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	say_call("slack, child", prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	say_call("subreaper, child", (prctl(PR_GET_CHILD_SUBREAPER, arg), *(int *)arg));
	return 0;
}

static void case_prctl(void)
{
	unsigned long auxv[64] = {0}, entry = 0;
	char name[32] = "";
	int value = -1;

	say_call("name", prctl(PR_SET_NAME, "a name that is too long"));
	say_call("name", prctl(PR_GET_NAME, name));
	printf("%s\n", name);
	say_call("death signal", prctl(PR_SET_PDEATHSIG, 99));
	say_call("death signal", prctl(PR_SET_PDEATHSIG, SIGUSR1));
	say_call("death signal", prctl(PR_GET_PDEATHSIG, &value));
	printf("%d\n", value);
	say_call("dumpable", prctl(PR_GET_DUMPABLE));
	say_call("dumpable", prctl(PR_SET_DUMPABLE, 2));
	say_call("dumpable", prctl(PR_SET_DUMPABLE, 0));
	say_call("dumpable", prctl(PR_GET_DUMPABLE));
	prctl(PR_SET_DUMPABLE, 1);
	say_call("timing", prctl(PR_GET_TIMING));
	say_call("timing", prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP));
	say_call("huge pages", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	say_call("huge pages", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	say_call("huge pages", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 9));
	say_call("huge pages", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	say_call("new rights", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	say_call("new rights", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	say_call("new rights", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	say_call("slack", prctl(PR_SET_TIMERSLACK, 70000));
	say_call("slack", prctl(PR_GET_TIMERSLACK));
	say_call("subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1));
	say_call("subreaper", prctl(PR_GET_CHILD_SUBREAPER, &value));
	printf("%d\n", value);
	say_call("tsc", prctl(PR_GET_TSC, &value));
	printf("%d\n", value);
	say_call("keep capabilities", prctl(PR_GET_KEEPCAPS));
	say_call("secure bits", prctl(PR_GET_SECUREBITS));
	say_call("capability", prctl(PR_CAPBSET_READ, 0));
	say_call("no capability", prctl(PR_CAPBSET_READ, 99));
	say_call("seccomp", prctl(PR_GET_SECCOMP));
	say_call("machine checks", prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
	say_call("endianness", prctl(PR_GET_ENDIAN, &value));
	say_call("name of a mapping", prctl(PR_SET_VMA, 9, 0, 0, 0));
	say_call("none", prctl(9999));
	if (linux_since(6, 4)) {
		check(prctl(PR_GET_AUXV, auxv, sizeof auxv, 0, 0) > 0, "PR_GET_AUXV");
		for (int i = 0; i < 64 && auxv[i] != 0; i += 2)
			entry = auxv[i] == AT_ENTRY ? auxv[i + 1] : entry;
		printf("entry %d\n", entry == getauxval(AT_ENTRY));
	}
	say_call("address of the word", prctl(PR_GET_TID_ADDRESS, &entry));
	printf("set %d\n", entry != 0);
	reap("child", child(says_inherited, &value));
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"unshare", case_unshare}, {"kcmp", case_kcmp},
		{"prctl", case_prctl}, {NULL, NULL}};

	return run_cases(cases, argc, argv);
}
