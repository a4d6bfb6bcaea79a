/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/sysvipc.c: System V semaphores and message queues: results and errors of every command, who waits and who is woken, undos,
 * signals, removal, and the lists in /proc. Guards R10, R16.
 */
#include "cases.h"

#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

/* Keys are the host's when this runs natively: a run takes its own, for another may be going on beside it. */
static int key_of(int n)
{
	static uint32_t random;

	while (random == 0)
		check(getrandom(&random, sizeof random, 0) == sizeof random, "getrandom");
	return (int)(random >> 3 | 1u << 30) + n;
}

union arg {
	int val;
	struct semid_ds *ds;
	unsigned short *all;
	struct seminfo *info;
};

static int sem_with(int n)
{
	int id = semget(IPC_PRIVATE, n, IPC_CREAT | 0600);

	check(id >= 0, "semget");
	return id;
}

static void say_values(const char *name, int id, int n)
{
	printf("%s:", name);
	for (int i = 0; i < n; i++)
		printf(" %d", semctl(id, i, GETVAL));
	printf("\n");
	fflush(stdout);
}

static long op(int id, int n, int by, int flags)
{
	struct sembuf b = {(unsigned short)n, (short)by, (short)flags};

	return semop(id, &b, 1);
}

/* Waits until `n` processes wait for semaphore `which` (or for it to be 0), so that no test goes by time. */
static void until_waiting(int id, int which, int command, int n)
{
	for (int i = 0; i < 20000 && semctl(id, which, command) != n; i++)
		pause_ms(1);
	printf("%s %d\n", command == GETZCNT ? "for zero" : "for more", semctl(id, which, command));
	fflush(stdout);
}

/* --- semaphores: results and errors ----------------------------------------------------------------------------- */

static void case_sem_errors(void)
{
	int id, key = key_of(1);
	struct sembuf b[3] = {{0, 1, 0}, {9, 1, 0}, {0, -5, IPC_NOWAIT}};
	struct timespec bad = {0, -1}, soon = {0, 1000000};
	struct semid_ds ds;
	unsigned short all[4] = {1, 2, 3, 40000};
	union arg u;

	id = semget(key, 0, 0);
	if (id >= 0)
		semctl(id, 0, IPC_RMID);
	say_call("no such key", semget(key, 1, 0));
	say_call("of none", semget(key, 0, IPC_CREAT | 0600));
	say_call("of less than none", semget(key, -1, IPC_CREAT | 0600));
	say_call("of too many", semget(key, 100000, IPC_CREAT | 0600));
	id = semget(key, 3, IPC_CREAT | IPC_EXCL | 0640);
	check(id >= 0, "semget");
	printf("the same %d\n", semget(key, 2, 0) == id);
	say_call("more than it has", semget(key, 4, 0));
	say_call("exclusive", semget(key, 3, IPC_CREAT | IPC_EXCL));
	say_call("no such semaphore", semop(id, b + 1, 1));
	say_call("no operation", semop(id, b, 0));
	say_call("too many operations", semop(id, b, 501));
	say_call("bad address", semop(id, (void *)16, 1));
	say_call("bad id", op(-1, 0, 1, 0));
	say_call("no such id", op(1 << 28, 0, 1, 0));
	say_call("bad time", semtimedop(id, b, 1, &bad));
	say_call("time over", semtimedop(id, &(struct sembuf){0, -1, 0}, 1, &soon));
	say_call("up and more down", semop(id, (struct sembuf[]){{0, 1, 0}, b[2]}, 2));
	say_values("nothing has changed", id, 3);
	say_call("too high", op(id, 1, 32767, 0) == 0 ? op(id, 1, 1, 0) : 0);
	say_call("undo too far", op(id, 1, -32767, SEM_UNDO) == 0 ? op(id, 2, 32767, 0) : -1);
	say_call("value", semctl(id, 1, GETVAL));
	u.val = 32768;
	say_call("set too high", semctl(id, 0, SETVAL, u));
	u.val = -1;
	say_call("set too low", semctl(id, 0, SETVAL, u));
	u.val = 7;
	say_call("set nowhere", semctl(id, 3, SETVAL, u));
	say_call("set", semctl(id, 0, SETVAL, u));
	say_call("get nowhere", semctl(id, -1, GETVAL));
	u.all = all;
	say_call("set all", semctl(id, 0, SETALL, u));
	say_values("all", id, 3);
	all[2] = 40000;
	say_call("set all, too high", semctl(id, 0, SETALL, u));
	say_values("all", id, 3);
	memset(all, 0, sizeof all);
	say_call("get all", semctl(id, 0, GETALL, u));
	printf("%d %d %d %d\n", all[0], all[1], all[2], all[3]);
	say_call("get all to nowhere", semctl(id, 0, GETALL, (union arg){.all = (void *)16}));
	u.ds = &ds;
	say_call("stat", semctl(id, 0, IPC_STAT, u));
	printf("%lu semaphores, mode %o, key %d, changed %d, operated %d\n", ds.sem_nsems,
		ds.sem_perm.mode, ds.sem_perm.__key == key, ds.sem_ctime != 0, ds.sem_otime != 0);
	ds.sem_perm.mode = 0604;
	say_call("set", semctl(id, 0, IPC_SET, u));
	semctl(id, 0, IPC_STAT, u);
	printf("mode %o\n", ds.sem_perm.mode);
	say_call("set to nobody", (ds.sem_perm.uid = (uid_t)-1, semctl(id, 0, IPC_SET, u)));
	say_call("set from nowhere", semctl(id, 0, IPC_SET, (union arg){.ds = (void *)16}));
	say_call("stat of what is not there", semctl(1 << 28, 0, IPC_STAT, u));
	say_call("no such command", semctl(id, 0, 99));
	printf("by me %d\n", semctl(id, 0, GETPID) == getpid());
	say_call("remove", semctl(id, 0, IPC_RMID));
	say_call("remove again", semctl(id, 0, IPC_RMID));
	say_call("value of none", semctl(id, 0, GETVAL));
}

static void case_sem_info(void)
{
	struct seminfo i = {0}, s = {0};
	union arg u = {.info = &i};
	int id = sem_with(5), highest;
	struct semid_ds ds;

	printf("info %d\n", semctl(0, 0, IPC_INFO, u) >= 0);
	printf("%d %d %d %d %d %d %d %d %d %d\n", i.semmap, i.semmni, i.semmns, i.semmnu, i.semmsl,
		i.semopm, i.semume, i.semusz, i.semvmx, i.semaem);
	u.info = &s;
	highest = semctl(0, 0, SEM_INFO, u);
	printf("sets %d, semaphores %d, place %d\n", s.semusz >= 1, s.semaem >= 5, highest >= 0);
	u.ds = &ds;
	printf("by place %d\n", semctl(id % 32768, 0, SEM_STAT, u) == id);
	printf("by place %d\n", semctl(id % 32768, 0, SEM_STAT_ANY, u) == id);
	say_call("by no place", semctl(32767, 0, SEM_STAT, u));
	say_call("remove", semctl(id, 0, IPC_RMID));
}

static int as_nobody(void *arg)
{
	int id = *(int *)arg, key = key_of(2);
	struct semid_ds ds;
	union arg u = {.ds = &ds};

	if (setgid(65534) != 0 || setuid(65534) != 0) {
		perror("setuid");
		return 1;
	}
	say_call("get for nothing", semget(key, 0, 0) == id ? 0 : -1);
	say_call("get to read", semget(key, 0, 0444) == id ? 0 : -1);
	say_call("get to write", semget(key, 0, 0222));
	say_call("value", semctl(id, 0, GETVAL));
	say_call("set", semctl(id, 0, SETVAL, (union arg){.val = 1}));
	say_call("up", op(id, 0, 1, 0));
	say_call("wait for zero", op(id, 0, 0, IPC_NOWAIT));
	say_call("stat", semctl(id, 0, IPC_STAT, u));
	say_call("change", semctl(id, 0, IPC_SET, u));
	say_call("remove", semctl(id, 0, IPC_RMID));
	return 0;
}

/* Natively and here the test is root's: who is not, may less. */
static void case_sem_rights(void)
{
	int key = key_of(2), id = semget(key, 0, 0);

	if (id >= 0)
		semctl(id, 0, IPC_RMID);
	id = semget(key, 1, IPC_CREAT | 0604);
	check(id >= 0, "semget");
	reap("nobody", child(as_nobody, &id));
	say_call("remove", semctl(id, 0, IPC_RMID));
}

/* --- semaphores: waiting ------------------------------------------------------------------------------------------ */

struct waits {
	int id, order, which, by;
};

static int waits_and_tells(void *arg)
{
	struct waits *w = arg;
	long r = op(w->id, w->which, w->by, 0);

	if (r != 0)
		printf("waiter %d: %s\n", w->order, strerrorname_np(errno));
	/* semaphore 2 counts who has come: the order in which they were let through is theirs */
	else
		check(op(w->id, 2, 1, 0) == 0, "semop");
	fflush(stdout);
	return r == 0 ? 0 : 1;
}

static void case_sem_wait(void)
{
	int id = sem_with(3);
	struct waits w[4] = {{id, 0, 0, -2}, {id, 1, 0, -1}, {id, 2, 0, -3}, {id, 3, 1, 0}};
	pid_t p[4];

	semctl(id, 1, SETVAL, (union arg){.val = 1});
	for (int i = 0; i < 3; i++) {
		p[i] = child(waits_and_tells, &w[i]);
		until_waiting(id, 0, GETNCNT, i + 1);
	}
	p[3] = child(waits_and_tells, &w[3]);
	until_waiting(id, 1, GETZCNT, 1);
	/* one more: the second, which needs no more, passes the first */
	say_call("one", op(id, 0, 1, 0));
	reap("second", p[1]);
	say_values("values", id, 2);
	say_call("two", op(id, 0, 2, 0));
	reap("first", p[0]);
	say_values("values", id, 2);
	printf("the last one %d\n", semctl(id, 0, GETPID) == p[0]);
	say_call("zero", op(id, 1, -1, 0));
	reap("fourth", p[3]);
	say_call("three", semctl(id, 0, SETVAL, (union arg){.val = 4}));
	reap("third", p[2]);
	say_values("values", id, 3);
	say_call("remove", semctl(id, 0, IPC_RMID));
}

static int waits_for_two(void *arg)
{
	struct sembuf b[2] = {{0, -1, 0}, {1, -1, 0}};

	return semop(*(int *)arg, b, 2) != 0;
}

/* Two semaphores at once, or none. */
static void case_sem_together(void)
{
	int id = sem_with(2);
	pid_t p = child(waits_for_two, &id);

	until_waiting(id, 0, GETNCNT, 1);
	say_call("first", op(id, 0, 1, 0));
	until_waiting(id, 1, GETNCNT, 1);
	say_values("untouched", id, 2);
	say_call("second", op(id, 1, 1, 0));
	reap("both", p);
	say_values("taken", id, 2);
	say_call("remove", semctl(id, 0, IPC_RMID));
}

static volatile sig_atomic_t signals;

static void on_signal(int n)
{
	signals = n;
}

static int is_interrupted(void *arg)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGUSR1, &a, NULL);
	say_call("interrupted", op(*(int *)arg, 0, -1, 0));
	printf("signal %d\n", signals == SIGUSR1);
	return 0;
}

static int is_removed(void *arg)
{
	return op(*(int *)arg, 0, -1, 0) < 0 ? errno : 0;
}

static int is_killed(void *arg)
{
	return op(*(int *)arg, 0, -1, 0) != 0;
}

static void case_sem_ends(void)
{
	int id = sem_with(1);
	pid_t p = child(is_interrupted, &id);

	until_waiting(id, 0, GETNCNT, 1);
	kill(p, SIGUSR1);
	reap("interrupted", p);
	p = child(is_killed, &id);
	until_waiting(id, 0, GETNCNT, 1);
	kill(p, SIGKILL);
	reap("killed", p);
	printf("waiting %d\n", semctl(id, 0, GETNCNT));
	p = child(is_removed, &id);
	until_waiting(id, 0, GETNCNT, 1);
	say_call("remove", semctl(id, 0, IPC_RMID));
	reap("removed", p); /* with EIDRM, 43 */
}

/* --- semaphores: undo --------------------------------------------------------------------------------------------- */

static int takes_and_ends(void *arg)
{
	int id = *(int *)arg;

	say_call("take 3 of 5", op(id, 0, -3, SEM_UNDO));
	say_call("give 2", op(id, 1, 2, SEM_UNDO));
	say_call("give 1, take 1", op(id, 0, 1, 0));
	say_values("in the child", id, 2);
	fflush(stdout);
	return 0;
}

static int takes_and_execs(void *arg)
{
	op(*(int *)arg, 0, -1, SEM_UNDO);
	execl("/bin/true", "true", NULL);
	return 1;
}

static int set_to_nothing(void *arg)
{
	int id = *(int *)arg;

	op(id, 0, -2, SEM_UNDO);
	semctl(id, 0, SETVAL, (union arg){.val = 9});
	return 0;
}

static int shares_undo(void *arg)
{
	return op(*(int *)arg, 0, -1, SEM_UNDO) != 0;
}

static char stack[65536] __attribute__((aligned(16)));

static int clones(void *arg)
{
	int id = *(int *)arg;
	pid_t p = clone(shares_undo, stack + sizeof stack, CLONE_VM | CLONE_SYSVSEM | SIGCHLD, arg);

	reap("clone", p);
	say_values("the clone has ended, its undo is shared", id, 1);
	fflush(stdout);
	return 0;
}

static void case_sem_undo(void)
{
	int id = sem_with(2);
	pid_t p;

	semctl(id, 0, SETVAL, (union arg){.val = 5});
	p = child(takes_and_ends, &id);
	reap("taker", p);
	say_values("undone", id, 2);
	printf("by the child %d\n", semctl(id, 1, GETPID) == p);
	reap("exec", child(takes_and_execs, &id));
	say_values("after exec and exit", id, 1);
	reap("set", child(set_to_nothing, &id));
	say_values("a value that is set has no undo", id, 1);
	reap("clones", child(clones, &id));
	say_values("and now", id, 1);
	/* an undo that does not fit goes as far as it can */
	p = child(is_killed, &id);
	reap("one taken for good", p);
	say_values("left", id, 1);
	say_call("remove", semctl(id, 0, IPC_RMID));
}

/* A lock that many processes take in turn: a counter in shared memory comes out right. */
struct counting {
	int id;
	volatile long *n;
};

static int counts(void *arg)
{
	struct counting *c = arg;

	for (int i = 0; i < 300; i++) {
		long v;

		check(op(c->id, 0, -1, SEM_UNDO) == 0, "semop");
		v = *c->n;
		if (i % 50 == 0)
			sched_yield();
		*c->n = v + 1;
		check(op(c->id, 0, 1, SEM_UNDO) == 0, "semop");
	}
	return 0;
}

static void case_sem_lock(void)
{
	struct counting c = {sem_with(1),
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
	pid_t p[4];

	semctl(c.id, 0, SETVAL, (union arg){.val = 1});
	for (int i = 0; i < 4; i++)
		p[i] = child(counts, &c);
	for (int i = 0; i < 4; i++)
		reap("counter", p[i]);
	printf("counted %ld\n", *c.n);
	say_call("remove", semctl(c.id, 0, IPC_RMID));
}

/* --- queues ----------------------------------------------------------------------------------------------------------- */

struct message {
	long type;
	char text[128];
};

static int queue(void)
{
	int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);

	check(id >= 0, "msgget");
	return id;
}

static long put(int id, long type, const char *text, int flags)
{
	struct message m = {.type = type};

	strcpy(m.text, text);
	return msgsnd(id, &m, strlen(text), flags);
}

/* Receives, and says what; g: when somebody opened it. */
static void get_then(struct gate *g, const char *name, int id, size_t room, long type, int flags)
{
	struct message m;
	ssize_t r;
	int err;

	memset(&m, 0, sizeof m);
	r = msgrcv(id, &m, room, type, flags);
	err = errno;
	if (g != NULL)
		await(g);
	errno = err;
	if (r < 0)
		printf("%s: %s\n", name, strerrorname_np(errno));
	else
		printf("%s: %zd type %ld \"%s\"\n", name, r, m.type, m.text);
	fflush(stdout);
}

static void get(const char *name, int id, size_t room, long type, int flags)
{
	get_then(NULL, name, id, room, type, flags);
}

static void fill(int id)
{
	static const struct {
		long type;
		const char *text;
	} all[] = {
		{3, "three"}, {1, "one"}, {2, "two"}, {5, "five"}, {2, "two again"}, {4, "four"}};

	for (int i = 0; i < 6; i++)
		check(put(id, all[i].type, all[i].text, 0) == 0, "msgsnd");
}

static void case_msg_types(void)
{
	int id = queue();

	fill(id);
	get("copy of the fourth", id, 100, 3, MSG_COPY | IPC_NOWAIT);
	get("copy of what is not there", id, 100, 6, MSG_COPY | IPC_NOWAIT);
	get("copy that waits", id, 100, 0, MSG_COPY);
	get("copy, except", id, 100, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT);
	get("copy with little room", id, 2, 0, MSG_COPY | IPC_NOWAIT | MSG_NOERROR);
	get("of type 2", id, 100, 2, 0);
	get("not of type 3", id, 100, 3, MSG_EXCEPT);
	get("at most 4", id, 100, -4, 0);
	get("at most 4", id, 100, -4, 0);
	get("too long", id, 2, 0, 0);
	get("cut", id, 2, 0, MSG_NOERROR);
	get("of type 9", id, 100, 9, IPC_NOWAIT);
	get("the first", id, 100, 0, 0);
	get("none", id, 100, 0, IPC_NOWAIT);
	put(id, 7, "", 0);
	get("empty", id, 0, 0, 0);
	put(id, 7, "x", 0);
	get("at most what there is not", id, 10, -6, IPC_NOWAIT);
	get("at most anything", id, 10, (long)1 << 63, IPC_NOWAIT);
	say_call("remove", msgctl(id, IPC_RMID, NULL));
}

static void case_msg_errors(void)
{
	int key = key_of(3), id = msgget(key, 0);
	struct message m = {.type = 1};
	static char large[9000];
	struct msqid_ds ds;

	if (id >= 0)
		msgctl(id, IPC_RMID, NULL);
	say_call("no such key", msgget(key, 0));
	id = msgget(key, IPC_CREAT | IPC_EXCL | 0640);
	check(id >= 0, "msgget");
	say_call("exclusive", msgget(key, IPC_CREAT | IPC_EXCL));
	printf("the same %d\n", msgget(key, IPC_CREAT | 0600) == id);
	say_call("type 0", put(id, 0, "x", 0));
	say_call("negative type", put(id, -1, "x", 0));
	*(long *)(void *)large = 1;
	say_call("too large", msgsnd(id, large, 8193, 0));
	say_call("size below 0", msgsnd(id, large, (size_t)-1, 0));
	say_call("no type to read", msgsnd(id, (void *)16, 1, 0));
	say_call("no text to read",
		syscall(SYS_msgsnd, id, (char *)map_anon(PAGE, PROT_READ | PROT_WRITE) + PAGE - 8,
			0, 0));
	say_call("no such queue", msgsnd(1 << 28, &m, 1, 0));
	say_call("queue below 0", msgsnd(-1, &m, 1, 0));
	get("no such queue", 1 << 28, 10, 0, 0);
	get("room below 0", id, (size_t)-1, 0, 0);
	say_call("as large as may be", msgsnd(id, large, 8192, 0));
	say_call("the queue is full", msgsnd(id, large, 8192, 0));
	say_call("more", msgsnd(id, large, 1, IPC_NOWAIT));
	say_call("stat", msgctl(id, IPC_STAT, &ds));
	printf("%lu bytes in %lu of %lu, mode %o\n", ds.__msg_cbytes, ds.msg_qnum, ds.msg_qbytes,
		ds.msg_perm.mode);
	printf("sent by me %d, received by %d\n", ds.msg_lspid == getpid(), ds.msg_lrpid);
	say_call("nowhere to go", msgrcv(id, (void *)16, 9000, 0, 0));
	ds.msg_qbytes = 20;
	ds.msg_perm.mode = 0600;
	say_call("smaller", msgctl(id, IPC_SET, &ds));
	say_call("stat", msgctl(id, IPC_STAT, &ds));
	printf("%lu bytes in %lu of %lu, mode %o\n", ds.__msg_cbytes, ds.msg_qnum, ds.msg_qbytes,
		ds.msg_perm.mode);
	say_call("no command", msgctl(id, 99, &ds));
	say_call("stat of none", msgctl(1 << 28, IPC_STAT, &ds));
	say_call("stat to nowhere", syscall(SYS_msgctl, id, IPC_STAT, 16));
	say_call("remove", msgctl(id, IPC_RMID, NULL));
	say_call("remove again", msgctl(id, IPC_RMID, NULL));
}

static void case_msg_info(void)
{
	struct msginfo i = {0}, s = {0};
	struct msqid_ds ds;
	int id = queue();

	put(id, 1, "four", 0);
	printf("info %d\n", msgctl(0, IPC_INFO, (struct msqid_ds *)&i) >= 0);
	printf("%d %d %d %d %d %d %d %d\n", i.msgpool, i.msgmap, i.msgmax, i.msgmnb, i.msgmni,
		i.msgssz, i.msgtql, i.msgseg);
	printf("info %d\n", msgctl(0, MSG_INFO, (struct msqid_ds *)&s) >= 0);
	printf("queues %d messages %d bytes %d\n", s.msgpool >= 1, s.msgmap >= 1, s.msgtql >= 4);
	printf("by place %d\n", msgctl(id % 32768, MSG_STAT, &ds) == id);
	printf("has %lu\n", ds.msg_qnum);
	say_call("remove", msgctl(id, IPC_RMID, NULL));
}

/* A child speaks when its parent waits for it: what both print has one order. */
static struct gate may_speak;

static void reap_speaker(const char *who, pid_t p)
{
	let(&may_speak);
	reap(who, p);
}

struct receives {
	int id;
	size_t room;
	long type;
	int flags;
	const char *name;
};

static int receives(void *arg)
{
	struct receives *r = arg;

	get_then(&may_speak, r->name, r->id, r->room, r->type, r->flags);
	return 0;
}

static int sends_much(void *arg)
{
	struct message m = {.type = 2};

	long r = msgsnd(*(int *)arg, &m, 10, 0);

	await(&may_speak);
	say_call("waits for room", r);
	return 0;
}

static int receives_signal(void *arg)
{
	get_then(&may_speak, "interrupted", *(int *)arg, 10, 0, 0);
	return 0;
}

static void case_msg_wait(void)
{
	int id = queue();
	struct receives r[] = {{id, 100, 3, 0, "waits for 3"}, {id, 2, 0, 0, "has little room"},
		{id, 100, -2, 0, "waits for at most 2"},
		{id, 100, 3, MSG_EXCEPT, "waits for others"}};
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct msqid_ds ds;
	pid_t p[4];

	may_speak = gate_open();
	p[0] = child(receives, &r[0]);
	until_asleep(p[0]);
	say_call("another", put(id, 4, "four", 0));
	say_call("the one", put(id, 3, "three", 0));
	reap_speaker("receiver", p[0]);
	get("left", id, 100, 0, 0);
	p[1] = child(receives, &r[1]);
	until_asleep(p[1]);
	say_call("too long for it", put(id, 1, "much too long", 0));
	reap_speaker("receiver", p[1]);
	get("still there", id, 100, 0, 0);
	p[2] = child(receives, &r[2]);
	until_asleep(p[2]);
	p[3] = child(receives, &r[3]);
	until_asleep(p[3]);
	say_call("for the second", put(id, 8, "eight", 0));
	reap_speaker("receiver", p[3]);
	say_call("for the first", put(id, 1, "one", 0));
	reap_speaker("receiver", p[2]);
	msgctl(id, IPC_STAT, &ds);
	printf("empty %lu, by the receiver %d\n", ds.msg_qnum, ds.msg_lrpid == p[2]);
	/* a full queue */
	ds.msg_qbytes = 20;
	msgctl(id, IPC_SET, &ds);
	say_call("fill", put(id, 1, "fifteen letters", 0));
	p[0] = child(sends_much, &id);
	until_asleep(p[0]);
	get("room", id, 100, 0, 0);
	reap_speaker("sender", p[0]);
	get("sent", id, 100, 0, 0);
	sigaction(SIGUSR1, &a, NULL);
	p[0] = child(receives_signal, &id);
	until_asleep(p[0]);
	kill(p[0], SIGUSR1);
	reap_speaker("receiver", p[0]);
	r[0].name = "removed";
	p[0] = child(receives, &r[0]);
	until_asleep(p[0]);
	say_call("remove", msgctl(id, IPC_RMID, NULL));
	reap_speaker("receiver", p[0]);
}

static int answers(void *arg)
{
	int *id = arg;
	struct message m;
	ssize_t n;

	while ((n = msgrcv(id[0], &m, sizeof m.text, 0, 0)) > 0) {
		m.text[0] = (char)(m.text[0] + 1);
		m.type += 10;
		if (msgsnd(id[1], &m, (size_t)n, 0) != 0)
			return 1;
	}
	return n < 0 && (errno == EIDRM || errno == EINVAL) ? 0 : 1;
}

/* A server: every question comes back once. */
static void case_msg_server(void)
{
	int id[2] = {queue(), queue()};
	pid_t p = child(answers, id);
	struct message m;
	unsigned long sum = 0;

	for (int i = 0; i < 400; i++) {
		m.type = i % 7 + 1;
		m.text[0] = (char)i;
		check(msgsnd(id[0], &m, 1 + (size_t)(i % 100), 0) == 0, "msgsnd");
		check(msgrcv(id[1], &m, sizeof m.text, i % 7 + 11, 0) == 1 + i % 100, "msgrcv");
		sum = sum * 31 + (unsigned char)m.text[0];
	}
	printf("sum %lx\n", sum);
	say_call("remove", msgctl(id[0], IPC_RMID, NULL));
	reap("server", p);
	say_call("remove", msgctl(id[1], IPC_RMID, NULL));
}

/* --- /proc ------------------------------------------------------------------------------------------------------------ */

/*
 * The line of the object in a list, its columns that no run has the same taken out. `keep` is x for a column that is shown, p for a
 * process id: what it takes beyond five places does not count.
 */
static void say_line(const char *path, int id, const char *keep)
{
	FILE *f = fopen(path, "r");
	char line[512];

	check(f != NULL && fgets(line, sizeof line, f) != NULL, path);
	printf("%s", line);
	while (fgets(line, sizeof line, f) != NULL) {
		int key, at, column = 0;
		size_t wide = strlen(line);
		char shown[512] = "";

		if (sscanf(line, "%d %d", &key, &at) != 2 || at != id)
			continue;
		for (char *w = strtok(line, " \n"); w != NULL && keep[column] != 0;
			w = strtok(NULL, " \n"), column++)
			if (keep[column] == 'x')
				strcat(strcat(shown, " "), w);
			else if (keep[column] == 'p' && strlen(w) > 5)
				wide -= strlen(w) - 5;
		printf("%zu characters:%s\n", wide, shown);
	}
	fclose(f);
	fflush(stdout);
}

static void case_proc(void)
{
	int s = sem_with(3), q = queue(), m = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0640);
	char *p = shmat(m, NULL, 0);

	put(q, 1, "five!", 0);
	p[0] = p[4500] = 1;
	say_line("/proc/sysvipc/sem", s, "x.xxxxxxx");
	say_line("/proc/sysvipc/msg", q, "x.xxxppxxxx");
	say_line("/proc/sysvipc/shm", m, "x.xxppxxxxx...x");
	shmctl(m, IPC_RMID, NULL);
	say_line("/proc/sysvipc/shm", m, "x.xxppxxxxx");
	semctl(s, 0, IPC_RMID);
	msgctl(q, IPC_RMID, NULL);
	say_line("/proc/sysvipc/sem", s, "x");
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"sem_errors", case_sem_errors},
		{"sem_info", case_sem_info}, {"sem_rights", case_sem_rights},
		{"sem_wait", case_sem_wait}, {"sem_together", case_sem_together},
		{"sem_ends", case_sem_ends}, {"sem_undo", case_sem_undo},
		{"sem_lock", case_sem_lock}, {"msg_types", case_msg_types},
		{"msg_errors", case_msg_errors}, {"msg_info", case_msg_info},
		{"msg_wait", case_msg_wait}, {"msg_server", case_msg_server}, {"proc", case_proc},
		{NULL, NULL}};

	return run_cases(cases, argc, argv);
}
