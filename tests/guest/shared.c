/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/shared.c: memory that processes share: System V, POSIX, memory files and their seals, process_vm_*.
 * Guards R10, R20.
 */
#include "cases.h"

#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/uio.h>

static int attaches(void *arg)
{
	int id = *(int *)arg;
	char *p = shmat(id, NULL, 0), *q;
	struct shmid_ds ds;

	check(p != (void *)-1, "shmat");
	printf("child sees %s\n", p);
	strcpy(p + PAGE, "from the child");
	q = shmat(id, NULL, SHM_RDONLY);
	printf("twice: %s\n", q + PAGE);
	shmctl(id, IPC_STAT, &ds);
	printf("attached %lu\n", (unsigned long)ds.shm_nattch);
	say_call("detach", shmdt(q));
	return 0;
}

static void case_sysv(void)
{
	int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
	struct shmid_ds ds;
	char *p;

	check(id >= 0, "shmget");
	p = shmat(id, NULL, 0);
	check(p != (void *)-1, "shmat");
	strcpy(p, "from the parent");
	reap("child", child(attaches, &id));
	printf("parent sees %s\n", p + PAGE);
	shmctl(id, IPC_STAT, &ds);
	printf("size %zu attached %lu mode %o\n", ds.shm_segsz, (unsigned long)ds.shm_nattch,
		ds.shm_perm.mode & 0777);
	say_call("remove", shmctl(id, IPC_RMID, NULL));
	shmctl(id, IPC_STAT, &ds);
	printf("marked %d\n", (ds.shm_perm.mode & SHM_DEST) != 0);
	printf("still %s\n", p);
	say_call("detach", shmdt(p));
	say_call("gone", shmctl(id, IPC_STAT, &ds));
	say_call("attach what is gone", (long)shmat(id, NULL, 0) == -1 ? -1 : 0);
	say_call("detach nothing", shmdt(p));
}

static int posix_child(void *arg)
{
	int fd = shm_open(arg, O_RDWR, 0);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	check(p != MAP_FAILED, "mmap");
	printf("child sees %s\n", p);
	strcpy(p, "changed");
	return 0;
}

static void case_posix(void)
{
	char name[64], *p;
	struct timespec t;
	int fd;

	clock_gettime(CLOCK_REALTIME, &t); /* a name that no other run has */
	snprintf(name, sizeof name, "/pagoda-%lx-%lx", (unsigned long)t.tv_sec,
		(unsigned long)t.tv_nsec);
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0, "shm_open");
	check(ftruncate(fd, PAGE) == 0, "ftruncate");
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	strcpy(p, "original");
	reap("child", child(posix_child, name));
	printf("parent sees %s\n", p);
	say_call("unlink", shm_unlink(name));
	say_call("gone", shm_open(name, O_RDWR, 0));
	printf("still %s\n", p);
}

static void case_seals(void)
{
	int fd = memfd_create("seals", MFD_ALLOW_SEALING), none = memfd_create("none", 0);
	char *p;

	check(ftruncate(fd, 2 * PAGE) == 0, "ftruncate");
	say_call("not allowed", fcntl(none, F_ADD_SEALS, F_SEAL_GROW));
	say_call("none", fcntl(none, F_GET_SEALS));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say_call("write, while mapped", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	p[0] = 7;
	munmap(p, PAGE);
	say_call("shrink", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	say_call("truncate down", ftruncate(fd, PAGE));
	say_call("truncate up", ftruncate(fd, 3 * PAGE));
	say_call("grow", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	say_call("truncate up", ftruncate(fd, 4 * PAGE));
	say_call("write beyond", pwrite(fd, "x", 1, 4 * PAGE));
	say_call("future write", fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say_call("map to write", p == MAP_FAILED ? -1 : 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	say_call("map to read", p == MAP_FAILED ? -1 : p[0]);
	say_call("mprotect", mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	say_call("map private", p == MAP_FAILED ? -1 : p[0]);
	say_call("write", pwrite(fd, "x", 1, 0));
	say_call("write, sealed", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	say_call("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	say_call("no more", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	say_call("all", fcntl(fd, F_GET_SEALS));
}

struct vm {
	struct gate ready, done;
	char *place;
};

static int is_read(void *arg)
{
	struct vm *v = arg;

	strcpy(v->place, "of the child");
	let(&v->ready);
	await(&v->done);
	printf("child has %s\n", v->place + PAGE);
	return 0;
}

static void case_vm(void)
{
	struct vm v = {gate_open(), gate_open(), map_anon(4 * PAGE, PROT_READ | PROT_WRITE)};
	char text[32] = "", hello[] = "of the parent";
	struct iovec here = {text, 13}, there = {v.place, 13};
	pid_t p;

	munmap(v.place + 3 * PAGE, PAGE);
	strcpy(v.place, "own");
	p = child(is_read, &v);
	await(&v.ready);
	say_call("readv", process_vm_readv(p, &here, 1, &there, 1, 0));
	printf("read %s, own %s\n", text, v.place);
	here.iov_base = hello;
	here.iov_len = there.iov_len = sizeof hello;
	there.iov_base = v.place + PAGE;
	say_call("writev", process_vm_writev(p, &here, 1, &there, 1, 0));
	there.iov_base = v.place + 3 * PAGE;
	say_call("not there", process_vm_readv(p, &here, 1, &there, 1, 0));
	there.iov_base = v.place + 3 * PAGE - 4;
	say_call("in part", process_vm_readv(p, &here, 1, &there, 1, 0));
	say_call("nobody", process_vm_readv(1 << 21, &here, 1, &there, 1, 0));
	let(&v.done);
	reap("child", p);
}

static int posts(void *arg)
{
	struct sembuf up = {0, 2, 0};

	pause_ms(20);
	say_call("post", semop(*(int *)arg, &up, 1));
	return 0;
}

static void case_semaphore(void)
{
	int id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
	struct sembuf down = {0, -2, 0}, now = {0, -1, IPC_NOWAIT};
	pid_t p;

	check(id >= 0, "semget");
	say_call("not now", semop(id, &now, 1));
	p = child(posts, &id);
	check(semop(id, &down, 1) == 0, "semop");
	reap("child", p);
	say_call("value", semctl(id, 0, GETVAL));
	say_call("remove", semctl(id, 0, IPC_RMID));
}

static int writes_back(void *arg)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *(int *)arg, 0);

	check(p != MAP_FAILED, "mmap");
	strcpy(p + PAGE, "by exit");
	return 0;
}

/* What a process stored in a shared file mapping is in the file after it ended. */
static void case_file(void)
{
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char text[16] = "", *p;

	check(ftruncate(fd, 2 * PAGE) == 0, "ftruncate");
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	reap("child", child(writes_back, &fd));
	say_call("read", pread(fd, text, 8, PAGE));
	printf("file %s, mapping %s\n", text, p + PAGE);
	say_call("truncate", ftruncate(fd, PAGE));
	say_call("grow", ftruncate(fd, 2 * PAGE));
	printf("mapping %d\n", p[PAGE]);
	unlink("file");
}

/* A file that is written and cut off by calls while another process stores through its mapping and has that written back. */
struct mapped {
	volatile uint64_t *words; /* two pages */
	volatile int *stop;
};

static sigjmp_buf cut_off;

static void on_bus(int sig)
{
	siglongjmp(cut_off, sig);
}

static int stores(void *arg)
{
	const struct mapped *m = arg;
	volatile uint64_t n = 0;

	signal(SIGBUS, on_bus);
	(void)!sigsetjmp(cut_off, 1);
	while (!*m->stop) {
		m->words[100] = ++n;
		m->words[PAGE / 8 + 100] = n; /* the second page is not always there */
		msync((void *)(uintptr_t)m->words, 2 * PAGE, MS_SYNC);
	}
	return 0;
}

static void case_writes(void)
{
	char name[64];
	int fd = temporary_file(name, sizeof name), lost = 0, unseen = 0, grown = 0;
	struct mapped m;
	struct stat st;
	pid_t p;

	unlink(name);
	check(ftruncate(fd, 2 * PAGE) == 0, "ftruncate");
	m.words = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	m.stop = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(m.words != MAP_FAILED && m.stop != MAP_FAILED, "mmap");
	p = child(stores, &m);
	for (uint64_t i = 1; i <= 2000; i++) {
		uint64_t got = 0;

		check(pwrite(fd, &i, sizeof i, 0) == sizeof i, "pwrite");
		check(pread(fd, &got, sizeof got, 0) == sizeof got, "pread");
		lost += got != i;
		unseen += m.words[0] != i;
		if (i % 4 == 0) {
			check(ftruncate(fd, PAGE) == 0 && fstat(fd, &st) == 0, "ftruncate");
			grown += st.st_size != (off_t)PAGE;
			check(ftruncate(fd, 2 * PAGE) == 0, "ftruncate");
		}
	}
	*m.stop = 1;
	reap("the one that stores", p);
	printf("writes lost %d, not seen %d, grown again %d\n", lost, unseen, grown);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"sysv", case_sysv}, {"posix", case_posix},
		{"seals", case_seals}, {"vm", case_vm}, {"semaphore", case_semaphore},
		{"file", case_file}, {"writes", case_writes}, {NULL, NULL}};

	return run_cases(cases, argc, argv);
}
