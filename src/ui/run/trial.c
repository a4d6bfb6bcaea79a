/* SPDX-License-Identifier: MIT */
/*
 * ui/run/trial.c: see trial.h. Owns the input kept, the outputs kept, and the process while it runs.
 */
#include "ui/run/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ui/run/run.h"

int pg_trials_begin(struct pg_trials *t)
{
	struct stat st;
	char bytes[65536];
	ssize_t n = 0;

	*t = (struct pg_trials){.input = -1, .start = lseek(STDIN_FILENO, 0, SEEK_CUR)};
	if (fstat(STDIN_FILENO, &st) || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		return 0;
	t->input = memfd_create("pagoda-input", MFD_CLOEXEC);
	while (t->input >= 0 && (n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0)
		for (ssize_t done = 0; done < n;) {
			ssize_t k = write(t->input, bytes + done, (size_t)(n - done));

			if (k < 0)
				return -errno;
			done += k;
		}
	return t->input < 0 || n < 0 ? -errno : 0;
}

void pg_trials_end(struct pg_trials *t)
{
	if (t->input >= 0)
		close(t->input);
	t->input = -1;
}

/* In the process of the trial: streams in place, the run, the end. */
static void child(const struct pg_trials *t, const struct pg_options *o, const struct pg_trial *x)
{
	int status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (t->input >= 0)
		dup2(t->input, STDIN_FILENO);
	lseek(STDIN_FILENO, t->input >= 0 ? 0 : t->start, SEEK_SET); /* of no use to a terminal */
	if (dup2(x->out, STDOUT_FILENO) < 0 || dup2(x->err, STDERR_FILENO) < 0)
		_exit(2);
	status = pg_run_command(o);
	fflush(NULL);
	_exit(status);
}

/* Waits for the process, limit_s seconds; true if it is over. */
static bool wait_for(pid_t pid, double limit_s)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int ready = 1;

	if (limit_s > 0 && p.fd >= 0)
		do
			ready = poll(&p, 1, limit_s > 2e6 ? -1 : (int)(limit_s * 1000) + 1);
		while (ready < 0 && errno == EINTR);
	if (p.fd >= 0)
		close(p.fd);
	return ready != 0;
}

int pg_trial_run(
	const struct pg_trials *t, const struct pg_options *o, double limit_s, struct pg_trial *out)
{
	pid_t pid;
	int end = 0;

	*out = (struct pg_trial){.out = memfd_create("pagoda-output", MFD_CLOEXEC),
		.err = memfd_create("pagoda-errors", MFD_CLOEXEC)};
	if (out->out < 0 || out->err < 0)
		return -errno;
	fcntl(out->out, F_SETFL, O_APPEND);
	fcntl(out->err, F_SETFL, O_APPEND);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(t, o, out);
	if (!wait_for(pid, limit_s)) {
		out->stopped = true;
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &end, 0) < 0 && errno == EINTR)
		;
	out->status = WIFEXITED(end) ? WEXITSTATUS(end) : 128 + WTERMSIG(end);
	return 0;
}

void pg_trial_end(struct pg_trial *t)
{
	if (t->out >= 0)
		close(t->out);
	if (t->err >= 0)
		close(t->err);
	t->out = t->err = -1;
}

void pg_trial_show(int from, int to)
{
	char bytes[65536];
	ssize_t n;
	off_t at = 0;

	while ((n = pread(from, bytes, sizeof bytes, at)) > 0) {
		at += n;
		for (ssize_t done = 0, k; done < n; done += k) {
			k = write(to, bytes + done, (size_t)(n - done));
			if (k < 0)
				return;
		}
	}
}

static bool same_bytes(int a, int b)
{
	char x[16384], y[16384];
	ssize_t n, m;

	for (off_t at = 0;; at += n) {
		n = pread(a, x, sizeof x, at);
		m = pread(b, y, sizeof y, at);
		if (n != m || n < 0 || memcmp(x, y, (size_t)n))
			return false;
		if (n == 0)
			return true;
	}
}

bool pg_trial_same(const struct pg_trial *a, const struct pg_trial *b)
{
	return a->status == b->status && same_bytes(a->out, b->out) && same_bytes(a->err, b->err);
}
