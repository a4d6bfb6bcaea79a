/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/templates.c: every instruction that there is, found by asking the decoder about each
 * opcode byte of each map with each mandatory prefix, operand size and ModRM form.
 *
 * An encoder would choose one form of an instruction; this finds them all, redundant ones
 * too. Instructions are sorted into classes, and within a class every mnemonic has the same chance
 * however many forms it has. Called by generate.c and block.c. State: the tables, built once.
 *
 * Left out: EVEX and MVEX, AMX, the AMD-only extensions, what answers differently each time (rdtsc, rdrand, ...), what the
 * guest's CPUID masks by design (cpuid, xgetbv), syscall and its kin, and transactions.
 */
#include "insn.h"

#include <stdlib.h>
#include <string.h>

ZydisDecoder insn_decoder;

const char *const insn_class_names[CLASSES] = {"alu", "shift", "bit", "muldiv", "stack", "branch",
	"string", "atomic", "x87", "mmx", "sse", "avx", "masked", "state", "segment", "privileged",
	"unusual", "block", "loop", "smc", "trap"};

struct group { /* the templates of one mnemonic in one class */
	uint16_t mnemonic;
	uint32_t first, count;
};
static struct {
	struct insn_template *t;
	uint32_t count, room;
	struct group *group;
	uint32_t groups;
} table[CLASS_SINGLE_LAST];

static bool is_excluded(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_XGETBV:
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XABORT:
	case ZYDIS_MNEMONIC_XEND:
	case ZYDIS_MNEMONIC_XTEST:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_RDPKRU:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_ENQCMD:
	case ZYDIS_MNEMONIC_ENQCMDS:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_XRSTORS:
	case ZYDIS_MNEMONIC_XRSTORS64:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMMCALL:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_PTWRITE:
	case ZYDIS_MNEMONIC_VMFUNC:
		return true;
	default:
		break;
	}
	switch (i->meta.isa_ext) {
	case ZYDIS_ISA_EXT_AVX512EVEX:
	case ZYDIS_ISA_EXT_AVX512VEX:
	case ZYDIS_ISA_EXT_KNC:
	case ZYDIS_ISA_EXT_KNCE:
	case ZYDIS_ISA_EXT_KNCV:
	case ZYDIS_ISA_EXT_AMX_BF16:
	case ZYDIS_ISA_EXT_AMX_INT8:
	case ZYDIS_ISA_EXT_AMX_TILE:
	case ZYDIS_ISA_EXT_AMD3DNOW:
	case ZYDIS_ISA_EXT_WAITPKG:
	case ZYDIS_ISA_EXT_KEYLOCKER:
	case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
	case ZYDIS_ISA_EXT_UINTR:
	case ZYDIS_ISA_EXT_SGX:
	case ZYDIS_ISA_EXT_SMX:
	case ZYDIS_ISA_EXT_VTX:
	case ZYDIS_ISA_EXT_SVM:
	case ZYDIS_ISA_EXT_SNP:
	case ZYDIS_ISA_EXT_TDX:
	case ZYDIS_ISA_EXT_MPX:
	case ZYDIS_ISA_EXT_CET:
	case ZYDIS_ISA_EXT_PADLOCK:
	case ZYDIS_ISA_EXT_AMD_INVLPGB:
	case ZYDIS_ISA_EXT_MCOMMIT:
	case ZYDIS_ISA_EXT_RDPRU:
	case ZYDIS_ISA_EXT_PT:
	case ZYDIS_ISA_EXT_HRESET:
	case ZYDIS_ISA_EXT_PCONFIG:
	case ZYDIS_ISA_EXT_TSX_LDTRK:
	case ZYDIS_ISA_EXT_SERIALIZE:
	case ZYDIS_ISA_EXT_MONITOR:
	case ZYDIS_ISA_EXT_MONITORX:
	case ZYDIS_ISA_EXT_CLZERO:
	case ZYDIS_ISA_EXT_SGX_ENCLV:
	case ZYDIS_ISA_EXT_ENQCMD:
	case ZYDIS_ISA_EXT_XSAVES:
	case ZYDIS_ISA_EXT_RTM:
	case ZYDIS_ISA_EXT_FMA4:
	case ZYDIS_ISA_EXT_SSE4A:
	case ZYDIS_ISA_EXT_XOP:
	case ZYDIS_ISA_EXT_TBM:
		return true;
	default:
		return i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	}
}

static bool is_state(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_STMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_VSTMXCSR:
	case ZYDIS_MNEMONIC_FLDCW:
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
	case ZYDIS_MNEMONIC_EMMS:
	case ZYDIS_MNEMONIC_FNINIT:
	case ZYDIS_MNEMONIC_VZEROALL:
	case ZYDIS_MNEMONIC_VZEROUPPER:
		return true;
	default:
		return false;
	}
}

static bool is_masked(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		return false;
	}
}

static enum insn_class class_of(const ZydisDecodedInstruction *i)
{
	ZydisMnemonic m = i->mnemonic;
	if (is_state(m))
		return CLASS_STATE;
	if (is_masked(m) || i->meta.category == ZYDIS_CATEGORY_AVX2GATHER)
		return CLASS_MASKED;
	if (m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR ||
		m == ZYDIS_MNEMONIC_BTC)
		return CLASS_BIT;
	if (m == ZYDIS_MNEMONIC_MUL || m == ZYDIS_MNEMONIC_IMUL || m == ZYDIS_MNEMONIC_DIV ||
		m == ZYDIS_MNEMONIC_IDIV || m == ZYDIS_MNEMONIC_MULX)
		return CLASS_MULDIV;
	if (m == ZYDIS_MNEMONIC_LEAVE || m == ZYDIS_MNEMONIC_ENTER)
		return CLASS_STACK;
	if (m == ZYDIS_MNEMONIC_XCHG || m == ZYDIS_MNEMONIC_XADD)
		return CLASS_ATOMIC;
	switch (i->meta.category) {
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_FLAGOP:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_WIDENOP:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_BMI1:
	case ZYDIS_CATEGORY_BMI2:
	case ZYDIS_CATEGORY_ADOX_ADCX:
	case ZYDIS_CATEGORY_BITBYTE:
		if (i->meta.isa_ext == ZYDIS_ISA_EXT_MMX)
			return CLASS_MMX;
		if (i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
			i->meta.category != ZYDIS_CATEGORY_BMI1 &&
			i->meta.category != ZYDIS_CATEGORY_BMI2)
			return CLASS_AVX;
		if (i->meta.isa_ext >= ZYDIS_ISA_EXT_SSE && i->meta.isa_ext <= ZYDIS_ISA_EXT_SSSE3)
			return CLASS_SSE;
		return CLASS_ALU;
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SHIFT:
		return CLASS_SHIFT;
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
		return CLASS_STACK;
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
		return CLASS_BRANCH;
	case ZYDIS_CATEGORY_STRINGOP:
		return CLASS_STRING;
	case ZYDIS_CATEGORY_SEMAPHORE:
		return CLASS_ATOMIC;
	case ZYDIS_CATEGORY_X87_ALU:
	case ZYDIS_CATEGORY_FCMOV:
		return CLASS_X87;
	case ZYDIS_CATEGORY_MMX:
		return CLASS_MMX;
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_RDWRFSGS:
		return CLASS_SEGMENT;
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_INTERRUPT:
		return CLASS_PRIVILEGED;
	default:
		break;
	}
	switch (i->meta.isa_ext) {
	case ZYDIS_ISA_EXT_X87:
		return CLASS_X87;
	case ZYDIS_ISA_EXT_MMX:
		return CLASS_MMX;
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_SSE3:
	case ZYDIS_ISA_EXT_SSE4:
	case ZYDIS_ISA_EXT_SSSE3:
	case ZYDIS_ISA_EXT_AES:
	case ZYDIS_ISA_EXT_SHA:
	case ZYDIS_ISA_EXT_PCLMULQDQ:
	case ZYDIS_ISA_EXT_GFNI:
		return i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? CLASS_AVX : CLASS_SSE;
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_LONGMODE:
	case ZYDIS_ISA_EXT_MOVBE:
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
	case ZYDIS_ISA_EXT_LZCNT:
	case ZYDIS_ISA_EXT_PAUSE:
		return CLASS_ALU;
	default:
		return i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? CLASS_AVX : CLASS_UNUSUAL;
	}
}

static void add(const struct insn_template *t, enum insn_class k)
{
	/* One template for all ModRM forms of one opcode: the last few are candidates. */
	for (uint32_t i = table[k].count; i-- > 0 && i + 70 > table[k].count;) {
		struct insn_template *o = &table[k].t[i];
		if (o->mnemonic == t->mnemonic && o->encoding == t->encoding && o->map == t->map &&
			o->prefix == t->prefix && o->w == t->w && o->l == t->l &&
			o->opcode == t->opcode && o->modrm == t->modrm && o->memory == t->memory) {
			o->forms |= t->forms;
			return;
		}
	}
	if (table[k].count == table[k].room) {
		table[k].room = table[k].room ? table[k].room * 2 : 256;
		table[k].t = realloc(table[k].t, table[k].room * sizeof *table[k].t);
		if (!table[k].t)
			abort();
	}
	table[k].t[table[k].count++] = *t;
}

/* Asks the decoder about one byte sequence. False: no instruction, or none that has a ModRM byte. */
static bool probe(struct insn_template t, const uint8_t *bytes, unsigned len, uint64_t form)
{
	ZydisDecodedInstruction i;
	ZydisDecoderContext ctx;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&insn_decoder, &ctx, bytes, len, &i)))
		return true;
	t.modrm = (i.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
	if (!t.modrm)
		t.memory = false;
	t.forms = t.modrm ? form : 1;
	t.mnemonic = (uint16_t)i.mnemonic;
	if (!is_excluded(&i))
		add(&t, class_of(&i));
	return t.modrm;
}

static void probe_forms(struct insn_template t, uint8_t *bytes, unsigned at, bool all_rm)
{
	for (unsigned reg = 0; reg < 8; reg++) {
		t.memory = true;
		bytes[at] = (uint8_t)(reg << 3 | 1);
		if (!probe(t, bytes, 15, (uint64_t)1 << reg))
			return;
		/* gathers want a SIB byte: index 3, base 0 */
		bytes[at] = (uint8_t)(reg << 3 | 4);
		bytes[at + 1] = 0x18;
		if (t.encoding == 1)
			probe(t, bytes, 15, (uint64_t)1 << reg);
		bytes[at + 1] = 0;
		t.memory = false;
		for (unsigned rm = 0; rm < (all_rm ? 8u : 1u); rm++) {
			bytes[at] = (uint8_t)(0xc0 | reg << 3 | rm);
			uint64_t form =
				all_rm ? (uint64_t)1 << (reg * 8 + rm) : (uint64_t)0xff << reg * 8;
			probe(t, bytes, 15, form);
		}
	}
}

static void probe_legacy(void)
{
	static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
	for (unsigned map = 0; map < 4; map++)
		for (unsigned p = 0; p < 4; p++)
			for (unsigned w = 0; w < 2; w++)
				for (unsigned op = 0; op < 256; op++) {
					uint8_t b[16] = {0};
					unsigned n = 0;
					if (map == 0 &&
						(op == 0x0f || (op & 0xf0) == 0x40 || op == 0x62 ||
							op == 0xc4 || op == 0xc5 || op == 0x66 ||
							op == 0x67 || op == 0xf0 || op == 0xf2 ||
							op == 0xf3 || op == 0x26 || op == 0x2e ||
							op == 0x36 || op == 0x3e || op == 0x64 ||
							op == 0x65 || op == 0x8f))
						continue;
					if (map == 1 && (op == 0x38 || op == 0x3a || op == 0x0f))
						continue;
					if (prefixes[p])
						b[n++] = prefixes[p];
					if (w)
						b[n++] = 0x48;
					if (map > 0)
						b[n++] = 0x0f;
					if (map > 1)
						b[n++] = map == 2 ? 0x38 : 0x3a;
					b[n++] = (uint8_t)op;
					struct insn_template t = {.encoding = 0,
						.map = (uint8_t)map,
						.prefix = prefixes[p],
						.w = (uint8_t)w,
						.opcode = (uint8_t)op};
					probe_forms(t, b, n, true);
				}
	/* pop to memory: 8f /0, the one form of that byte that is not XOP */
	struct insn_template pop = {.opcode = 0x8f, .memory = true};
	uint8_t b[16] = {0x8f, 0x01};
	probe(pop, b, 15, 1);
	pop.prefix = 0x66;
	uint8_t b16[16] = {0x66, 0x8f, 0x01};
	probe(pop, b16, 15, 1);
}

static void probe_vex(void)
{
	static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
	for (unsigned map = 1; map < 4; map++)
		for (unsigned p = 0; p < 4; p++)
			for (unsigned w = 0; w < 2; w++)
				for (unsigned l = 0; l < 2; l++)
					for (unsigned op = 0; op < 256; op++)
						for (unsigned v = 0; v < 2; v++) {
							/* vvvv must be 1111 for some, may be anything for others */
							uint8_t b[16] = {0xc4,
								(uint8_t)(0xe0 | map),
								(uint8_t)(w << 7 |
									  (v ? 0xe : 0xf) << 3 |
									  l << 2 | p),
								(uint8_t)op};
							struct insn_template t = {.encoding = 1,
								.map = (uint8_t)map,
								.prefix = prefixes[p],
								.w = (uint8_t)w,
								.l = (uint8_t)l,
								.opcode = (uint8_t)op};
							probe_forms(t, b, 4, false);
						}
}

static int by_mnemonic(const void *a, const void *b)
{
	const struct insn_template *x = a, *y = b;
	return x->mnemonic < y->mnemonic ? -1 : x->mnemonic > y->mnemonic;
}

void insn_templates_init(void)
{
	ZydisDecoderInit(&insn_decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	probe_legacy();
	probe_vex();
	for (unsigned k = 0; k < CLASS_SINGLE_LAST; k++) {
		uint32_t n = table[k].count;
		if (!n)
			continue;
		qsort(table[k].t, n, sizeof *table[k].t, by_mnemonic);
		table[k].group = calloc(n, sizeof *table[k].group);
		if (!table[k].group)
			abort();
		for (uint32_t i = 0; i < n; i++) {
			struct group *g =
				table[k].groups ? &table[k].group[table[k].groups - 1] : NULL;
			if (g && g->mnemonic == table[k].t[i].mnemonic)
				g->count++;
			else
				table[k].group[table[k].groups++] =
					(struct group){table[k].t[i].mnemonic, i, 1};
		}
	}
}

unsigned insn_template_count(enum insn_class k)
{
	return table[k].groups;
}

const struct insn_template *insn_template_pick(enum insn_class k, struct rng *r)
{
	const struct group *g = &table[k].group[rng_below(r, table[k].groups)];
	return &table[k].t[g->first + rng_below(r, g->count)];
}
