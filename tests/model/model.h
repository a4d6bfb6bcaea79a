/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model.h: a slow and obvious model of the machine's memory, to run beside the real
 * one.
 *
 * Used by tests/model/random.c. Shares no code with src/space: regions are a plain array, pages are
 * an array, every search is a loop. A page's contents are followed at PROBES byte offsets.
 */
#ifndef PG_TESTS_MODEL_H
#define PG_TESTS_MODEL_H

#include "space/space.h"

#define PAGES 160 /* of each space, beginning at page FIRST */
#define FIRST 16  /* page number of lo */
#define TOP 130   /* mmap_top, in pages above lo */
#define STACK_LIMIT 24
#define STACK_GAP 4
#define SPACES 3
#define OBJECTS                                                                                    \
	40 /* the first FILES are files, the next is shared memory, the rest are made by map */
#define FILES 2
#define OBJECT_PAGES 24
#define PROBES 6
#define EVENTS 400

extern const unsigned probe_at[PROBES];

struct m_anon {
	int refs;
	bool lazy; /* madvise(MADV_FREE) and not written since */
	uint8_t byte[PROBES];
};

enum m_entry { NONE, ZERO, FILE_PAGE, ANON };

struct m_page {
	struct m_anon *anon; /* of a private region, or NULL */
	enum m_entry entry;
	bool writable;
	bool guard; /* no access; kept until it is unmapped or removed */
};

struct m_region {
	int start, end; /* pages above lo */
	pg_prot prot, max_prot;
	unsigned flags;
	enum pg_region_kind kind;
	int object; /* -1: anonymous */
	long index;
	const char *name;
	bool charged, forked;
	bool guarded; /* had a guard page once: a fork copies its entries */
	int anon_id;
};

struct m_object {
	bool used, shmem;
	uint64_t size;
	bool cached[OBJECT_PAGES], dirty[OBJECT_PAGES], broken[OBJECT_PAGES];
	uint8_t byte[OBJECT_PAGES][PROBES]; /* as the guest sees it */
	uint8_t disk[OBJECT_PAGES][PROBES];
};

struct m_space {
	bool used;
	struct m_region region[PAGES];
	int regions, max_regions;
	struct m_page page[PAGES];
	int brk_start; /* page above lo */
	uint64_t brk;  /* bytes above lo */
	unsigned lock_later;
	uint64_t faults[PG_FAULT_KINDS], refused, copies, pages_in, minor, major, by_kernel;
};

/* What a fault is expected to be, or was. */
struct m_event {
	enum pg_fault_end end;
	enum pg_fault_case fcase;
	enum pg_fault_kind kind;
	int page;
	bool grew;
};

struct model {
	int top; /* mmap_top, in pages above lo */
	struct m_space space[SPACES];
	struct m_object object[OBJECTS];
	int last_anon_id;
	struct m_event event[EVENTS];
	int events;
};

enum op_kind {
	OP_MAP,
	OP_UNMAP,
	OP_PROTECT,
	OP_REMAP,
	OP_DISCARD,
	OP_SYNC,
	OP_BRK,
	OP_WRITE,
	OP_READ,
	OP_FAULT,
	OP_TRUNCATE,
	OP_HOST_WRITE,
	OP_PUNCH,
	OP_ADVISE,
	OP_MARK,
	OP_LOCK,
	OP_LOCK_ALL,
	OP_FORK,
	OP_EXIT,
	OP_KINDS
};

struct op {
	enum op_kind kind;
	int space, other;
	uint64_t addr, len, new_len, offset; /* bytes; addr is absolute */
	pg_prot prot, max_prot;
	unsigned flags; /* map: PG_MAP_..; remap: PG_REMAP_..; mark: to set; lock: as the calls */
	unsigned clear; /* mark: to clear; lock all: for regions to come */
	uint64_t to;    /* remap: the place wanted */
	int object;     /* -1: none */
	enum pg_advice advice;
	enum pg_access access;
	uint8_t value;
};

struct outcome {
	int64_t result;
	uint64_t addr;
};

void model_init(struct model *m, int max_regions, int top);
void model_free(struct model *m);
struct outcome model_apply(struct model *m, const struct op *op);
/* The region of a page, or NULL. */
struct m_region *model_region(struct m_space *s, int page);
/* The probed bytes of a page that has an entry. */
const uint8_t *model_bytes(struct model *m, struct m_space *s, int page);
/* What a read of a page finds: its probed bytes, or false: it is refused. */
bool model_peek(struct model *m, struct m_space *s, int page, uint8_t *bytes);
/* Entries of all spaces that name what this page's entry names. */
int m_sharers(struct model *m, struct m_space *s, int page);
/* A page leaves the cache: what was stored in it beyond the end of its file is lost. */
void model_forget_tail(struct m_object *o, int index);
/* The stack above `page` grows down to it. */
void model_grow(struct model *m, struct m_space *s, int page);
/* What op writes at byte `at` of the space. */
uint8_t op_byte(const struct op *op, uint64_t at);

#endif
