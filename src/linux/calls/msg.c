/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/msg.c: System V message queues.
 *
 * Called through table.c. The queues are the machine's; what lies in them is Pagoda's memory and costs the machine no frames, as
 * what lies in a pipe does not. Source of the order of checks and of who gets what: Linux ipc/msg.c, 6.18.
 *
 * Owns the table of queues, with the messages in each and who waits for it.
 *
 * Invariants:
 *   M1 bytes and count of a queue are those of the messages in it.
 *   M2 no message in a queue is one that a receiver in the list waits for: who sends looks there first.
 *   M3 a waiting receiver or sender lives on the stack of the thread that sleeps in it.
 */
#include "linux/calls/ipc.h"
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <time.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct message {
	struct message *next;
	int64_t type;
	uint64_t bytes;
	uint8_t text[];
};

enum mode { ANY, EQUAL, NOT_EQUAL, LESS_OR_EQUAL, NUMBER };

/* Who waits for a message. */
struct receiver {
	struct receiver *next;
	struct pg_thread *thread;
	enum mode mode;
	int64_t type;
	uint64_t most;           /* longer ones are an error for it */
	struct message *message; /* what it got: owned */
	bool over;               /* it is out of the list; message or result say how it ended */
	int result;              /* -EAGAIN: to look again */
};

/* Who waits for room. */
struct sender {
	struct sender *next;
	struct pg_thread *thread;
	bool over, removed;
};

struct queue {
	struct pg_ipc_object ipc; /* first */
	uint64_t stime, rtime, ctime;
	int send_pid, receive_pid;
	uint64_t bytes, count, most_bytes;
	struct message *messages, **end; /* oldest first */
	struct receiver *receivers;
	struct sender *senders;
};

struct pg_msg {
	struct pg_ipc_ids ids;
	uint64_t most_bytes, queue_bytes, most_queues;
	uint64_t bytes, count; /* of all queues */
};

static struct pg_msg *table_of(struct pg_linux *l)
{
	if (l->msg != NULL)
		return l->msg;
	l->msg = calloc(1, sizeof(*l->msg));
	if (l->msg == NULL)
		return NULL;
	*l->msg = (struct pg_msg){.most_bytes = 8192, .queue_bytes = 16384, .most_queues = 32000};
	pg_ipc_limits("msgmax", &l->msg->most_bytes, 1);
	pg_ipc_limits("msgmnb", &l->msg->queue_bytes, 1);
	pg_ipc_limits("msgmni", &l->msg->most_queues, 1);
	if (l->msg->most_queues > PG_IPC_ID_STEP)
		l->msg->most_queues = PG_IPC_ID_STEP;
	return l->msg;
}

static struct queue *find(struct pg_linux *l, int id)
{
	return id >= 0 && l->msg != NULL ? (struct queue *)pg_ipc_by_id(&l->msg->ids, id) : NULL;
}

/* --- waking -------------------------------------------------------------------------------------------------- */

static void end_receiver(struct receiver **at, struct message *m, int result)
{
	struct receiver *r = *at;

	*at = r->next;
	r->over = true;
	r->message = m;
	r->result = result;
	pg_thread_wake(r->thread);
}

/* All receivers look again, or learn that the queue is gone. */
static void wake_receivers(struct queue *q, int result)
{
	while (q->receivers != NULL)
		end_receiver(&q->receivers, NULL, result);
}

static void wake_senders(struct queue *q, bool removed)
{
	while (q->senders != NULL) {
		struct sender *s = q->senders;

		q->senders = s->next;
		s->over = true;
		s->removed = removed;
		pg_thread_wake(s->thread);
	}
}

/* --- queues -------------------------------------------------------------------------------------------------- */

static void queue_free(struct pg_linux *l, struct queue *q)
{
	wake_receivers(q, -EIDRM);
	wake_senders(q, true);
	while (q->messages != NULL) {
		struct message *m = q->messages;

		q->messages = m->next;
		free(m);
	}
	l->msg->bytes -= q->bytes;
	l->msg->count -= q->count;
	pg_ipc_remove(&l->msg->ids, &q->ipc);
	free(q);
}

void pg_msg_end(struct pg_linux *l)
{
	while (l->msg != NULL && l->msg->ids.first != NULL)
		queue_free(l, (struct queue *)l->msg->ids.first);
	free(l->msg);
	l->msg = NULL;
}

int64_t pg_sys_msgget(struct pg_thread *me, const uint64_t *a)
{
	struct pg_msg *t = table_of(me->machine);
	int key = (int)a[0], flags = (int)a[1], err;
	struct pg_ipc_object *found;
	struct queue *q;

	if (t == NULL)
		return -ENOMEM;
	err = pg_ipc_get(&t->ids, key, flags, &found);
	if (err != 0)
		return err;
	if (found != NULL)
		return pg_ipc_permitted(found, flags) ? found->id : -EACCES;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	err = pg_ipc_add(&t->ids, &q->ipc, key, flags, (int)t->most_queues);
	if (err != 0) {
		free(q);
		return err;
	}
	q->end = &q->messages;
	q->most_bytes = t->queue_bytes;
	q->ctime = (uint64_t)time(NULL);
	return q->ipc.id;
}

/* --- sending ------------------------------------------------------------------------------------------------- */

static bool matches(const struct message *m, int64_t type, enum mode mode)
{
	switch (mode) {
	case EQUAL:
		return m->type == type;
	case NOT_EQUAL:
		return m->type != type;
	case LESS_OR_EQUAL:
		return m->type <= type;
	default:
		return true;
	}
}

/* Gives m to the first receiver that waits for it and has room; one that has no room learns of it. */
static bool hand_over(struct queue *q, struct message *m)
{
	for (struct receiver **at = &q->receivers; *at != NULL;) {
		struct receiver *r = *at;

		if (!matches(m, r->type, r->mode)) {
			at = &r->next;
		} else if (r->most < m->bytes) {
			end_receiver(at, NULL, -E2BIG);
		} else {
			q->receive_pid = r->thread->proc->pid;
			q->rtime = (uint64_t)time(NULL);
			end_receiver(at, m, 0);
			return true;
		}
	}
	return false;
}

/* Waits for room: 0 to look again, or the call's error. */
static int64_t wait_for_room(struct pg_thread *me, struct queue *q)
{
	struct sender s = {.thread = me}, **at = &q->senders;
	const int id = q->ipc.id;

	while (*at != NULL)
		at = &(*at)->next;
	*at = &s;
	while (!s.over) {
		if (pg_signal_waiting(me)) {
			q = find(me->machine, id);
			for (at = &q->senders; *at != &s;)
				at = &(*at)->next;
			*at = s.next;
			return -PG_ERESTARTNOHAND;
		}
		pg_thread_sleep(me, UINT64_MAX);
	}
	return s.removed ? -EIDRM : 0;
}

/* m becomes the queue's, unless the result is an error. */
static int64_t send(struct pg_thread *me, int id, struct message *m, int flags)
{
	struct queue *q = find(me->machine, id);
	int64_t r;

	if (q == NULL)
		return -EINVAL;
	for (;;) {
		if (!pg_ipc_permitted(&q->ipc, 0222))
			return -EACCES;
		if (m->bytes + q->bytes <= q->most_bytes && q->count + 1 <= q->most_bytes)
			break;
		if (flags & IPC_NOWAIT)
			return -EAGAIN;
		r = wait_for_room(me, q);
		if (r != 0)
			return r;
		q = find(me->machine, id);
		if (q == NULL)
			return -EIDRM;
	}
	q->send_pid = me->proc->pid;
	q->stime = (uint64_t)time(NULL);
	if (hand_over(q, m))
		return 0;
	*q->end = m;
	q->end = &m->next;
	q->bytes += m->bytes;
	q->count++;
	me->machine->msg->bytes += m->bytes;
	me->machine->msg->count++;
	return 0;
}

int64_t pg_sys_msgsnd(struct pg_thread *me, const uint64_t *a)
{
	struct pg_msg *t = table_of(me->machine);
	struct message *m;
	int64_t type, r;

	if (t == NULL)
		return -ENOMEM;
	if (pg_guest_read(me, &type, a[1], sizeof(type)) != 0)
		return -EFAULT;
	if (a[2] > t->most_bytes || (int)a[0] < 0 || type < 1)
		return -EINVAL;
	m = malloc(sizeof(*m) + a[2]);
	if (m == NULL)
		return -ENOMEM;
	*m = (struct message){.type = type, .bytes = a[2]};
	r = pg_guest_read(me, m->text, a[1] + sizeof(type), a[2]) != 0
		    ? -EFAULT
		    : send(me, (int)a[0], m, (int)a[3]);
	if (r != 0)
		free(m);
	return r;
}

/* --- receiving ----------------------------------------------------------------------------------------------- */

/* What msgrcv's type and flags mean; *type becomes the number to compare with. */
static enum mode mode_of(int64_t *type, int flags)
{
	if (flags & MSG_COPY)
		return NUMBER;
	if (*type == 0)
		return ANY;
	if (*type < 0) {
		*type = *type == INT64_MIN ? INT64_MAX : -*type;
		return LESS_OR_EQUAL;
	}
	return flags & MSG_EXCEPT ? NOT_EQUAL : EQUAL;
}

/* The message that is meant: where it hangs in the queue; NULL: none. */
static struct message **choose(struct queue *q, int64_t type, enum mode mode)
{
	struct message **found = NULL;
	int64_t n = 0;

	for (struct message **at = &q->messages; *at != NULL; at = &(*at)->next, n++) {
		if (!matches(*at, type, mode) || (mode == NUMBER && n != type))
			continue;
		if (mode != LESS_OR_EQUAL || (*at)->type == 1)
			return at;
		found = at; /* the lowest type, and of it the oldest */
		type = (*at)->type - 1;
	}
	return found;
}

static struct message *take_out(struct pg_thread *me, struct queue *q, struct message **at)
{
	struct message *m = *at;

	*at = m->next;
	if (m->next == NULL)
		q->end = at;
	m->next = NULL;
	q->count--;
	q->bytes -= m->bytes;
	q->rtime = (uint64_t)time(NULL);
	q->receive_pid = me->proc->pid;
	me->machine->msg->count--;
	me->machine->msg->bytes -= m->bytes;
	wake_senders(q, false);
	return m;
}

static struct message *copy_of(const struct message *m)
{
	struct message *c = malloc(sizeof(*c) + m->bytes);

	if (c != NULL) {
		memcpy(c, m, sizeof(*c) + m->bytes);
		c->next = NULL;
	}
	return c;
}

/* Sleeps until a sender has a message for r: 0 with *out, which may be NULL: to look again; or the call's error. */
static int64_t wait_for_message(
	struct pg_thread *me, struct queue *q, struct receiver *r, struct message **out)
{
	struct receiver **at = &q->receivers;
	const int id = q->ipc.id;

	while (*at != NULL)
		at = &(*at)->next;
	*at = r;
	while (!r->over) {
		if (pg_signal_waiting(me)) {
			q = find(me->machine, id);
			for (at = &q->receivers; *at != r;)
				at = &(*at)->next;
			*at = r->next;
			return -PG_ERESTARTNOHAND;
		}
		pg_thread_sleep(me, UINT64_MAX);
	}
	*out = r->message;
	return r->result == -EAGAIN ? 0 : r->result;
}

/* The message, the caller's; or an error. */
static int64_t receive(
	struct pg_thread *me, int id, uint64_t room, int64_t type, int flags, struct message **out)
{
	enum mode mode = mode_of(&type, flags);
	struct queue *q = find(me->machine, id);

	*out = NULL;
	if (q == NULL)
		return -EINVAL;
	while (*out == NULL) {
		struct receiver r = {.thread = me, .mode = mode, .type = type};
		struct message **at;
		int64_t err;

		if (!pg_ipc_permitted(&q->ipc, 0444))
			return -EACCES;
		at = choose(q, type, mode);
		if (at != NULL) {
			if (room < (*at)->bytes && !(flags & MSG_NOERROR))
				return -E2BIG;
			if (flags & MSG_COPY && room < (*at)->bytes)
				return -EINVAL;
			*out = flags & MSG_COPY ? copy_of(*at) : take_out(me, q, at);
			return *out != NULL ? 0 : -ENOMEM;
		}
		if (flags & IPC_NOWAIT)
			return -ENOMSG;
		r.most = flags & MSG_NOERROR ? INT64_MAX : room;
		err = wait_for_message(me, q, &r, out);
		if (err != 0)
			return err;
		q = find(me->machine, id);
		if (q == NULL && *out == NULL)
			return -EIDRM;
	}
	return 0;
}

int64_t pg_sys_msgrcv(struct pg_thread *me, const uint64_t *a)
{
	uint64_t room = a[2];
	int flags = (int)a[4];
	struct message *m;
	int64_t r;

	if (table_of(me->machine) == NULL)
		return -ENOMEM;
	if ((int)a[0] < 0 || (int64_t)room < 0)
		return -EINVAL;
	if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT)))
		return -EINVAL;
	r = receive(me, (int)a[0], room, (int64_t)a[3], flags, &m);
	if (r != 0)
		return r;
	if (m->bytes < room)
		room = m->bytes;
	if (pg_guest_write(me, a[1], &m->type, sizeof(m->type)) != 0 ||
		pg_guest_write(me, a[1] + sizeof(m->type), m->text, room) != 0)
		r = -EFAULT;
	free(m);
	return r != 0 ? r : (int64_t)room;
}

/* --- msgctl -------------------------------------------------------------------------------------------------- */

static int64_t put_stat(struct pg_thread *me, const struct queue *q, int command, uint64_t va)
{
	struct msqid_ds out = {0};

	if (q == NULL)
		return -EINVAL;
	if (command != MSG_STAT_ANY && !pg_ipc_permitted(&q->ipc, 0444))
		return -EACCES;
	out.msg_perm = q->ipc.perm;
	out.msg_stime = (time_t)q->stime;
	out.msg_rtime = (time_t)q->rtime;
	out.msg_ctime = (time_t)q->ctime;
	out.__msg_cbytes = q->bytes;
	out.msg_qnum = q->count;
	out.msg_qbytes = q->most_bytes;
	out.msg_lspid = q->send_pid;
	out.msg_lrpid = q->receive_pid;
	if (pg_guest_write(me, va, &out, sizeof(out)) != 0)
		return -EFAULT;
	return command == IPC_STAT ? 0 : q->ipc.id;
}

static int64_t put_info(struct pg_thread *me, const struct pg_msg *t, int command, uint64_t va)
{
	struct msginfo out = {.msgpool = 512000,
		.msgmap = 16384,
		.msgmax = (int)t->most_bytes,
		.msgmnb = (int)t->queue_bytes,
		.msgmni = (int)t->most_queues,
		.msgssz = 16,
		.msgtql = 16384,
		.msgseg = 0xffff};

	if (command == MSG_INFO) {
		out.msgpool = t->ids.used;
		out.msgmap = (int)t->count;
		out.msgtql = (int)t->bytes;
	}
	if (pg_guest_write(me, va, &out, sizeof(out)) != 0)
		return -EFAULT;
	return pg_ipc_highest(&t->ids);
}

/* IPC_SET and IPC_RMID. */
static int64_t change(struct pg_thread *me, struct queue *q, int command, uint64_t va)
{
	struct msqid_ds in;
	int err;

	if (command == IPC_SET && pg_guest_read(me, &in, va, sizeof(in)) != 0)
		return -EFAULT;
	if (q == NULL)
		return -EINVAL;
	if (!pg_ipc_owned(&q->ipc))
		return -EPERM;
	if (command == IPC_RMID) {
		queue_free(me->machine, q);
		return 0;
	}
	if (in.msg_qbytes > me->machine->msg->queue_bytes && !pg_cred_capable(CAP_SYS_RESOURCE))
		return -EPERM;
	err = pg_ipc_set(&q->ipc, &in.msg_perm);
	if (err != 0)
		return err;
	q->most_bytes = in.msg_qbytes;
	q->ctime = (uint64_t)time(NULL);
	/* rights and room are not what they were: everybody looks again */
	wake_receivers(q, -EAGAIN);
	wake_senders(q, false);
	return 0;
}

int64_t pg_sys_msgctl(struct pg_thread *me, const uint64_t *a)
{
	struct pg_msg *t = table_of(me->machine);
	int id = (int)a[0], command = (int)a[1];

	if (t == NULL)
		return -ENOMEM;
	if (id < 0 || command < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
	case MSG_INFO:
		return put_info(me, t, command, a[2]);
	case IPC_STAT:
		return put_stat(me, find(me->machine, id), command, a[2]);
	case MSG_STAT:
	case MSG_STAT_ANY:
		return put_stat(me, (struct queue *)pg_ipc_by_place(&t->ids, id), command, a[2]);
	case IPC_SET:
	case IPC_RMID:
		return change(me, find(me->machine, id), command, a[2]);
	default:
		return -EINVAL;
	}
}

void pg_msg_list(struct pg_linux *l, FILE *out)
{
	fputs("       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  "
	      "cgid "
	      "     stime      rtime      ctime\n",
		out);
	for (const struct pg_ipc_object *o = l->msg != NULL ? l->msg->ids.first : NULL; o != NULL;
		o = o->next) {
		const struct queue *q = (const struct queue *)o;

		fprintf(out,
			"%10d %10d  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u %10llu %10llu "
			"%10llu\n",
			o->perm.__key, o->id, o->perm.mode, q->bytes, q->count,
			(unsigned)q->send_pid, (unsigned)q->receive_pid, o->perm.uid, o->perm.gid,
			o->perm.cuid, o->perm.cgid, (unsigned long long)q->stime,
			(unsigned long long)q->rtime, (unsigned long long)q->ctime);
	}
}
