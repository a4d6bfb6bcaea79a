/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/inherit.c: what children and other programs have of a process: descriptors and their offsets, directory, mask,
 * locks, sessions and terminals. Guards R16.
 */
#include "cases.h"

#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>

static const char *self;

static int moves(void *arg)
{
	int fd = (int)(long)arg;
	char text[4] = "";

	say_call("child reads", read(fd, text, 3));
	printf("child has %s at %ld\n", text, (long)lseek(fd, 0, SEEK_CUR));
	say_call("child appends", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_APPEND));
	return 0;
}

/* One open file, two processes: the offset and the flags are the file's. */
static void case_offsets(void)
{
	int fd = open("offsets", O_RDWR | O_CREAT | O_TRUNC, 0600), other;
	char text[4] = "";

	check(write(fd, "abcdefghi", 9) == 9, "write");
	lseek(fd, 1, SEEK_SET);
	other = open("offsets", O_RDONLY);
	reap("child", child(moves, (void *)(long)fd));
	printf("parent at %ld, other at %ld, append %d\n", (long)lseek(fd, 0, SEEK_CUR),
		(long)lseek(other, 0, SEEK_CUR), (fcntl(fd, F_GETFL) & O_APPEND) != 0);
	say_call("parent reads", read(dup(fd), text, 3));
	printf("parent has %s\n", text);
	unlink("offsets");
}

static int closes(void *arg)
{
	int *fd = arg;

	close(fd[0]);
	fd[1] = dup2(fd[1], 77);
	chdir("/");
	umask(0);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 100});
	return 0;
}

static void case_tables(void)
{
	int fd[2] = {open("/dev/null", O_RDONLY), open("/dev/null", O_RDONLY)};
	struct rlimit limit;
	char before[256], after[256];

	umask(027);
	check(getcwd(before, sizeof before) != NULL, "getcwd");
	reap("child", child(closes, fd));
	say_call("still open", fcntl(fd[0], F_GETFD));
	say_call("not open", fcntl(77, F_GETFD));
	check(getcwd(after, sizeof after) != NULL, "getcwd");
	getrlimit(RLIMIT_NOFILE, &limit);
	printf("directory kept %d, mask %o, limit kept %d\n", strcmp(before, after) == 0,
		umask(022), limit.rlim_cur != 100);
}

static int in_subdirectory(void *arg)
{
	FILE *f;

	check(chdir("sub") == 0, "chdir");
	umask(077);
	f = fopen("made", "w");
	fputs("x", f);
	fclose(f);
	return access("made", R_OK) == 0 ? 0 : 1;
}

static void case_cwd(void)
{
	struct stat st;

	mkdir("sub", 0700);
	reap("child", child(in_subdirectory, NULL));
	say_call("made", stat("sub/made", &st));
	printf("mode %o\n", st.st_mode & 0777);
	say_call("not here", access("made", F_OK));
	unlink("sub/made");
	rmdir("sub");
}

static int looks(int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		int fd = atoi(argv[i]);

		printf("descriptor %d: %s\n", i - 2, fcntl(fd, F_GETFD) >= 0 ? "open" : "closed");
	}
	printf("variable %s, mask %o\n", getenv("INHERIT"), umask(0));
	return 4;
}

static void case_cloexec(void)
{
	int fd[4];
	char text[4][8];
	char *const argv[] = {(char *)self, "look", text[0], text[1], text[2], text[3], NULL};
	char *const env[] = {"INHERIT=yes", NULL};
	pid_t p;

	fd[0] = open("/dev/null", O_RDONLY);
	fd[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd[2] = fcntl(fd[0], F_DUPFD_CLOEXEC, 50);
	fd[3] = fcntl(fd[1], F_DUPFD, 60);
	for (int i = 0; i < 4; i++)
		snprintf(text[i], sizeof text[i], "%d", fd[i]);
	umask(031);
	fflush(stdout);
	p = fork();
	if (p == 0) {
		execve(self, argv, env);
		_exit(127);
	}
	reap("exec", p);
	umask(022);
	printf("here still %d %d\n", fcntl(fd[1], F_GETFD), fcntl(fd[2], F_GETFD));
}

struct locks {
	struct gate held, let_go;
	int fd;
};

static int holds(void *arg)
{
	struct locks *l = arg;
	struct flock lock = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};

	say_call("child locks", fcntl(l->fd, F_SETLK, &lock));
	let(&l->held);
	await(&l->let_go);
	return 0;
}

static void case_locks(void)
{
	struct locks l = {
		gate_open(), gate_open(), open("locks", O_RDWR | O_CREAT | O_TRUNC, 0600)};
	struct flock ask = {.l_type = F_WRLCK, .l_start = 0, .l_len = 100}, low = ask;
	pid_t p = child(holds, &l);

	await(&l.held);
	say_call("ask", fcntl(l.fd, F_GETLK, &ask));
	printf("held by the child %d: type %d from %ld, %ld bytes\n", ask.l_pid == p, ask.l_type,
		(long)ask.l_start, (long)ask.l_len);
	low.l_len = 10;
	say_call("below it", fcntl(l.fd, F_SETLK, &low));
	low.l_len = 11;
	say_call("into it", fcntl(l.fd, F_SETLK, &low));
	let(&l.let_go);
	say_call("waits for it", fcntl(l.fd, F_SETLKW, &low));
	reap("child", p);
	close(l.fd);
	unlink("locks");
}

static int flocks(void *arg)
{
	struct locks *l = arg;
	int again = open("locks", O_RDWR);

	say_call("inherited, unlocked by the child", flock(l->fd, LOCK_UN));
	say_call("its own", flock(again, LOCK_EX | LOCK_NB));
	let(&l->held);
	await(&l->let_go);
	return 0;
}

static void case_flock(void)
{
	struct locks l = {
		gate_open(), gate_open(), open("locks", O_RDWR | O_CREAT | O_TRUNC, 0600)};
	pid_t p;

	say_call("flock", flock(l.fd, LOCK_EX));
	p = child(flocks, &l);
	await(&l.held);
	say_call("held by the child", flock(l.fd, LOCK_SH | LOCK_NB));
	let(&l.let_go);
	say_call("waits for it", flock(l.fd, LOCK_SH));
	reap("child", p);
	unlink("locks");
}

static volatile sig_atomic_t got;

static void on_signal(int number, siginfo_t *info, void *context)
{
	got = number;
}

static void until(int number)
{
	for (int i = 0; i < 50000 && got != number; i++)
		pause_ms(2);
	printf("%s came\n", got == number ? sigabbrev_np(number) : "nothing");
	fflush(stdout);
	got = 0;
}

static int pty_main;

static int reads_in_background(void *arg)
{
	char c;

	setpgid(0, 0);
	signal(SIGTTIN, SIG_DFL);
	return read((int)(long)arg, &c, 1) != 1;
}

static int session(void *arg)
{
	const char *name = arg;
	struct winsize size = {30, 90, 0, 0};
	struct termios t;
	char line[32] = "";
	int tty, status = 0;
	pid_t p;

	printf("new session %d\n", setsid() == getpid());
	printf("leader of group and session %d %d\n", getpgrp() == getpid(), getsid(0) == getpid());
	say_call("again", setsid());
	tty = open(name, O_RDWR);
	check(tty >= 0, "tty");
	printf("controlling terminal: foreground %d, session %d\n", tcgetpgrp(tty) == getpgrp(),
		tcgetsid(tty) == getsid(0));
	handle(SIGINT, on_signal, SA_RESTART);
	handle(SIGWINCH, on_signal, SA_RESTART);
	(void)!write(pty_main, "line one\n", 9);
	say_call("read", read(tty, line, sizeof line - 1));
	printf("\"%.8s\"\n", line);
	(void)!write(pty_main, "\x03", 1);
	until(SIGINT);
	ioctl(pty_main, TIOCSWINSZ, &size);
	until(SIGWINCH);
	memset(&size, 0, sizeof size);
	ioctl(tty, TIOCGWINSZ, &size);
	printf("%d lines, %d columns\n", size.ws_row, size.ws_col);
	tcgetattr(tty, &t);
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	say_call("raw", tcsetattr(tty, TCSANOW, &t));
	p = child(reads_in_background, (void *)(long)tty);
	check(waitpid(p, &status, WUNTRACED) == p, "wait");
	printf("a background reader stops: %d by %s\n", WIFSTOPPED(status),
		WIFSTOPPED(status) ? sigabbrev_np(WSTOPSIG(status)) : "");
	signal(SIGTTOU, SIG_IGN);
	say_call("to the foreground", tcsetpgrp(tty, p));
	printf("it is %d\n", tcgetpgrp(tty) == p);
	kill(p, SIGCONT);
	(void)!write(pty_main, "k", 1);
	reap("reader", p);
	say_call("back", tcsetpgrp(tty, getpgrp()));
	return 0;
}

static void case_session(void)
{
	int status = 0;
	char *name;
	pid_t p;

	pty_main = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	check(pty_main >= 0 && grantpt(pty_main) == 0 && unlockpt(pty_main) == 0, "pty");
	name = ptsname(pty_main);
	p = child(session, name);
	check(waitpid(p, &status, 0) == p, "wait");
	printf("session: exit %d\n", WEXITSTATUS(status));
	close(pty_main);
}

static int hangs(void *arg)
{
	int tty;

	setsid();
	tty = open(arg, O_RDWR);
	handle(SIGHUP, on_signal, 0);
	check(tty >= 0, "tty");
	printf("ready\n");
	fflush(stdout);
	close(pty_main);
	kill(getppid(), SIGUSR1);
	until(SIGHUP);
	printf("read after it: %ld\n", (long)read(tty, (char[1]){0}, 1));
	return 0;
}

static void case_hangup(void)
{
	sigset_t s;
	int number;
	pid_t p;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigprocmask(SIG_BLOCK, &s, NULL);
	pty_main = posix_openpt(O_RDWR | O_NOCTTY);
	check(pty_main >= 0 && grantpt(pty_main) == 0 && unlockpt(pty_main) == 0, "pty");
	p = child(hangs, ptsname(pty_main));
	sigwait(&s, &number);
	close(pty_main);
	reap("child", p);
	sigprocmask(SIG_UNBLOCK, &s, NULL);
}

static int in_group(void *arg)
{
	await((struct gate *)arg);
	return 0;
}

static int hung_pipe;

static void on_hangup(int number)
{
	char c = number == SIGHUP ? 'h' : 'c';

	check(write(hung_pipe, &c, 1) == 1, "write");
}

/* In a group of its own, stopped; at the end it says which signals came. */
static int stops(void *arg)
{
	signal(SIGHUP, on_hangup);
	signal(SIGCONT, on_hangup);
	raise(SIGSTOP);
	close(hung_pipe);
	return 0;
}

/* Makes a stopped group, and ends. */
static int leaves(void *arg)
{
	pid_t k = child(stops, arg);
	int status;

	setpgid(k, k);
	check(waitpid(k, &status, WUNTRACED) == k && WIFSTOPPED(status), "stopped");
	return 1;
}

/* A stopped group whose last link to the session ends is hung up and goes on. */
static void case_orphans(void)
{
	char text[8] = "";
	int fd[2];

	check(pipe(fd) == 0, "pipe");
	hung_pipe = fd[1];
	reap("the one in the middle", child(leaves, NULL));
	close(fd[1]);
	while (read(fd[0], text + strlen(text), 1) == 1)
		;
	puts(strcmp(text, "hc") == 0 || strcmp(text, "ch") == 0 ? "hung up and continued" : text);
}

static void case_groups(void)
{
	struct gate g = gate_open();
	pid_t p = child(in_group, &g);

	printf("group of the parent %d\n", getpgid(p) == getpgrp());
	say_call("its own group", setpgid(p, 0));
	printf("its own %d, session kept %d\n", getpgid(p) == p, getsid(p) == getsid(0));
	say_call("no such group", setpgid(p, 1 << 21));
	say_call("no such process", setpgid(1 << 21, 0));
	say_call("negative", setpgid(p, -1));
	let(&g);
	reap("child", p);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"offsets", case_offsets}, {"tables", case_tables},
		{"cwd", case_cwd}, {"cloexec", case_cloexec}, {"locks", case_locks},
		{"flock", case_flock}, {"groups", case_groups}, {"session", case_session},
		{"hangup", case_hangup}, {"orphans", case_orphans}, {NULL, NULL}};

	self = argv[0];
	if (argc > 1 && strcmp(argv[1], "look") == 0)
		return looks(argc, argv);
	return run_cases(cases, argc, argv);
}
