/* SPDX-License-Identifier: MIT */
/*
 * linux/process/sigframe.c: what lies on a guest's stack while a signal handler runs.
 *
 * Called by signal.c and rt_sigreturn. Calls space/ to write and read the frame, so that it grows the stack and
 * faults as any store.
 *
 * From the interrupted stack pointer (or the top of the alternate stack) downwards: the red zone of 128 bytes (not on the
 * alternate stack), the XSAVE image aligned to 64 with its magic words, struct frame with its return address 8 below a
 * multiple of 16.
 *
 * Nothing that comes back by rt_sigreturn is trusted: rflags are masked, the image is checked before the processor
 * would refuse it.
 *
 * Source: Linux arch/x86/kernel/signal_64.c and fpu/signal.c; uapi asm/sigcontext.h, asm/ucontext.h.
 */
#include "linux/machine/machine.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC1 0x46505853u
#define MAGIC2 0x46505845u
#define SW_BYTES_AT 464 /* in the legacy area: struct _fpx_sw_bytes */
#define XHEADER_AT 512
#define LEGACY_BYTES 512
#define UC_FP_XSTATE 1u
#define UC_SIGCONTEXT_SS 2u
#define UC_STRICT_RESTORE_SS 4u
#define USER_CS 0x33
#define USER_SS 0x2b
#define RED_ZONE 128
#define FLAG_TF 0x100u
#define FLAG_RF 0x10000u
#define FLAG_DF 0x400u
/* what rt_sigreturn may set: AC OF DF TF SF ZF AF PF CF RF and ID is not among them */
#define FLAGS_FREE 0x50dd5u
#define SS_AUTODISARM_FLAG 0x80000000u

struct frame_stack {
	uint64_t sp;
	int32_t flags;
	uint32_t pad;
	uint64_t size;
};

/* struct sigcontext of x86-64. */
struct frame_context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
};

/* struct rt_sigframe. */
struct frame {
	uint64_t pretcode;
	uint64_t uc_flags, uc_link;
	struct frame_stack uc_stack;
	struct frame_context mc;
	uint64_t uc_sigmask;
	uint8_t info[128];
};

_Static_assert(sizeof(struct frame_context) == 256, "sigcontext");
_Static_assert(sizeof(struct frame) == 440, "rt_sigframe");

/* struct _fpx_sw_bytes: tells a reader how much of the image is there. */
struct sw_bytes {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t pad[7];
};

/* What Linux 6.x puts into AT_MINSIGSTKSZ: its largest frame and padding, and the image. */
uint64_t pg_sigframe_min_stack(void)
{
	return pg_align_up(928 + sizeof(uint32_t) + pg_cpu_guest_xsave_bytes(), 16);
}

bool pg_signal_on_alt(const struct pg_thread *me, uint64_t sp)
{
	const struct pg_signals_own *s = &me->sig;

	if (s->alt_flags & SS_AUTODISARM_FLAG)
		return false;
	return !(s->alt_flags & SS_DISABLE) && sp > s->alt_sp && sp - s->alt_sp <= s->alt_size;
}

/* The guest's image with the kernel's marks, at `at`. */
static bool put_image(struct pg_thread *me, uint64_t at, uint32_t size)
{
	uint8_t *image = malloc(size + sizeof(uint32_t));
	struct sw_bytes sw = {.magic1 = MAGIC1,
		.extended_size = size + (uint32_t)sizeof(uint32_t),
		.xfeatures = pg_cpu_guest_xcr0(),
		.xstate_size = size};
	const uint32_t magic2 = MAGIC2;
	uint64_t present;
	bool ok;

	if (image == NULL)
		return false;
	memcpy(image, me->regs->x->bytes, size);
	memcpy(image + SW_BYTES_AT, &sw, sizeof(sw));
	memcpy(&present, image + XHEADER_AT, sizeof(present));
	present |= 3; /* x87 and SSE lie in the legacy area whether used or not */
	memcpy(image + XHEADER_AT, &present, sizeof(present));
	memcpy(image + size, &magic2, sizeof(magic2));
	ok = pg_guest_write(me, at, image, size + sizeof(magic2)) == 0;
	free(image);
	return ok;
}

static void fill_context(
	const struct pg_thread *me, struct frame_context *c, uint64_t fpstate, uint64_t mask)
{
	const struct pg_cpu_regs *r = me->regs;

	*c = (struct frame_context){
		.r8 = r->gpr[PG_R8],
		.r9 = r->gpr[PG_R9],
		.r10 = r->gpr[PG_R10],
		.r11 = r->gpr[PG_R11],
		.r12 = r->gpr[PG_R12],
		.r13 = r->gpr[PG_R13],
		.r14 = r->gpr[PG_R14],
		.r15 = r->gpr[PG_R15],
		.di = r->gpr[PG_RDI],
		.si = r->gpr[PG_RSI],
		.bp = r->gpr[PG_RBP],
		.bx = r->gpr[PG_RBX],
		.dx = r->gpr[PG_RDX],
		.ax = r->gpr[PG_RAX],
		.cx = r->gpr[PG_RCX],
		.sp = r->gpr[PG_RSP],
		.ip = r->rip,
		.flags = r->rflags | 0x202,
		.cs = USER_CS,
		.ss = USER_SS,
		.err = me->sig.error_code,
		.trapno = me->sig.trapno,
		.oldmask = mask,
		.cr2 = me->sig.cr2,
		.fpstate = fpstate,
	};
}

/* The processor's initial x87, SSE and AVX state, with which a handler begins. */
static void clear_state(struct pg_thread *me)
{
	const uint16_t fcw = 0x37f;
	const uint32_t mxcsr = 0x1f80;
	uint32_t mxcsr_mask;

	memcpy(&mxcsr_mask, me->regs->x->bytes + 28, sizeof(mxcsr_mask));
	memset(me->regs->x, 0, sizeof(*me->regs->x));
	memcpy(me->regs->x->bytes, &fcw, sizeof(fcw));
	memcpy(me->regs->x->bytes + 24, &mxcsr, sizeof(mxcsr));
	memcpy(me->regs->x->bytes + 28, &mxcsr_mask, sizeof(mxcsr_mask));
}

bool pg_sigframe_push(struct pg_thread *me, int signo, const struct pg_sigaction *act,
	const union pg_siginfo *info, uint64_t mask_to_save)
{
	struct pg_signals_own *s = &me->sig;
	struct frame f = {0};
	uint32_t size = pg_cpu_guest_xsave_bytes();
	uint64_t sp = me->regs->gpr[PG_RSP] - RED_ZONE, image, at;
	bool nested = pg_signal_on_alt(me, me->regs->gpr[PG_RSP]), entering = false;

	if (!(act->flags & SA_RESTORER_FLAG))
		pg_linux_unknown(me, "signal handler without SA_RESTORER: not on x86-64");
	if ((act->flags & SA_ONSTACK) && !nested && !(s->alt_flags & SS_DISABLE)) {
		sp = s->alt_sp + s->alt_size;
		entering = true;
	}
	image = pg_align_down(sp - size - sizeof(uint32_t), 64);
	at = pg_align_down(image - sizeof(f), 16) - 8;
	/* a frame that runs over the end of the alternate stack */
	if ((nested || entering) && (at < s->alt_sp || at - s->alt_sp >= s->alt_size))
		return false;
	if (!(act->flags & SA_RESTORER_FLAG) || at > image || !pg_guest_range_ok(me, at, sp - at))
		return false;
	f.pretcode = act->restorer;
	f.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	f.uc_stack = (struct frame_stack){
		.sp = s->alt_sp, .flags = (int32_t)s->alt_flags, .size = s->alt_size};
	f.uc_sigmask = mask_to_save;
	fill_context(me, &f.mc, image, mask_to_save);
	memcpy(f.info, info->bytes, sizeof(f.info));
	if (!put_image(me, image, size) || pg_guest_write(me, at, &f, sizeof(f)) != 0)
		return false;
	if (s->alt_flags & SS_AUTODISARM_FLAG) {
		s->alt_sp = s->alt_size = 0;
		s->alt_flags = SS_DISABLE;
	}
	me->regs->gpr[PG_RDI] = (uint64_t)signo;
	me->regs->gpr[PG_RSI] = at + offsetof(struct frame, info);
	me->regs->gpr[PG_RDX] = at + offsetof(struct frame, uc_flags);
	me->regs->gpr[PG_RAX] = 0;
	me->regs->gpr[PG_RSP] = at;
	me->regs->rip = act->handler;
	me->regs->rflags &= ~(uint64_t)(FLAG_DF | FLAG_RF | FLAG_TF);
	clear_state(me);
	return true;
}

/* --- rt_sigreturn --------------------------------------------------------------------------------- */

/* Whether the processor would load this image: everything it checks. Intel SDM vol. 1, 13.8. */
static bool image_ok(const struct pg_thread *me, const uint8_t *image, bool extended)
{
	uint32_t mxcsr, mask;
	uint64_t header[8];

	memcpy(&mxcsr, image + 24, sizeof(mxcsr));
	memcpy(&mask, me->regs->x->bytes + 28, sizeof(mask));
	if (mask == 0)
		mask = 0xffbf;
	if (mxcsr & ~mask)
		return false;
	if (!extended)
		return true;
	memcpy(header, image + XHEADER_AT, sizeof(header));
	if (header[0] & ~pg_cpu_guest_xcr0())
		return false;
	for (unsigned i = 1; i < 8; i++)
		if (header[i] != 0)
			return false;
	return true;
}

/* Takes the x87, SSE and AVX state back from the frame. */
static bool get_image(struct pg_thread *me, uint64_t at)
{
	uint32_t size = pg_cpu_guest_xsave_bytes(), magic2 = 0;
	uint8_t *image;
	struct sw_bytes sw;
	bool extended, ok = false;

	if (at == 0) {
		clear_state(me);
		return true;
	}
	image = calloc(1, size);
	if (image == NULL)
		return false;
	if (pg_guest_read(me, image, at, LEGACY_BYTES) != 0)
		goto out;
	memcpy(&sw, image + SW_BYTES_AT, sizeof(sw));
	extended = sw.magic1 == MAGIC1 && sw.xstate_size >= XHEADER_AT + 64 &&
		   sw.xstate_size <= size && sw.xstate_size <= sw.extended_size;
	if (extended)
		extended = pg_guest_read(me, &magic2, at + sw.xstate_size, sizeof(magic2)) == 0 &&
			   magic2 == MAGIC2;
	if (extended) {
		uint64_t present;

		if (pg_guest_read(me, image, at, sw.xstate_size) != 0)
			goto out;
		memcpy(&present, image + XHEADER_AT, sizeof(present));
		present &= sw.xfeatures;
		memcpy(image + XHEADER_AT, &present, sizeof(present));
	} else {
		const uint64_t legacy = 3;

		memset(image + XHEADER_AT, 0, 64);
		memcpy(image + XHEADER_AT, &legacy, sizeof(legacy));
	}
	if (!image_ok(me, image, extended))
		goto out;
	memset(image + SW_BYTES_AT, 0, sizeof(sw));
	memset(me->regs->x, 0, sizeof(*me->regs->x));
	memcpy(me->regs->x->bytes, image, size);
	ok = true;
out:
	free(image);
	return ok;
}

static void restore_stack(struct pg_thread *me, const struct frame_stack *st)
{
	uint32_t flags = (uint32_t)st->flags;

	/* as sigaltstack(2): a bad one is ignored, and one in use stays */
	if (pg_signal_on_alt(me, me->regs->gpr[PG_RSP]))
		return;
	if (flags & SS_DISABLE) {
		me->sig.alt_sp = me->sig.alt_size = 0;
		me->sig.alt_flags = SS_DISABLE;
	} else if ((flags & ~(SS_AUTODISARM_FLAG | SS_ONSTACK)) == 0 && st->size >= 2048) {
		me->sig.alt_sp = st->sp;
		me->sig.alt_size = st->size;
		me->sig.alt_flags = flags & SS_AUTODISARM_FLAG;
	}
}

bool pg_sigframe_pop(struct pg_thread *me)
{
	struct pg_cpu_regs *r = me->regs;
	struct frame f;
	const struct frame_context *c = &f.mc;

	if (pg_guest_read(me, &f, r->gpr[PG_RSP] - 8, sizeof(f)) != 0)
		return false;
	pg_signal_set_mask(me, f.uc_sigmask);
	if ((c->cs & 3) != 3 || c->cs != USER_CS)
		return false;
	r->gpr[PG_R8] = c->r8;
	r->gpr[PG_R9] = c->r9;
	r->gpr[PG_R10] = c->r10;
	r->gpr[PG_R11] = c->r11;
	r->gpr[PG_R12] = c->r12;
	r->gpr[PG_R13] = c->r13;
	r->gpr[PG_R14] = c->r14;
	r->gpr[PG_R15] = c->r15;
	r->gpr[PG_RDI] = c->di;
	r->gpr[PG_RSI] = c->si;
	r->gpr[PG_RBP] = c->bp;
	r->gpr[PG_RBX] = c->bx;
	r->gpr[PG_RDX] = c->dx;
	r->gpr[PG_RAX] = c->ax;
	r->gpr[PG_RCX] = c->cx;
	r->gpr[PG_RSP] = c->sp;
	r->rip = c->ip;
	r->rflags = (r->rflags & ~(uint64_t)FLAGS_FREE) | (c->flags & FLAGS_FREE) | 0x202;
	me->sig.restart = 0;
	if (!get_image(me, c->fpstate))
		return false;
	restore_stack(me, &f.uc_stack);
	return true;
}
