/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model_parts.h: what model.c (regions, pages, faults) offers to model_calls.c (the mapping
 * calls). Nobody else includes it.
 */
#ifndef PG_TESTS_MODEL_PARTS_H
#define PG_TESTS_MODEL_PARTS_H

#include "model.h"

#define LO ((uint64_t)FIRST * 4096)
#define HI (LO + (uint64_t)PAGES * 4096)

void m_anon_drop(struct m_page *p);
void m_page_clear(struct m_page *p);
/* Its first private page or guard is about to be made. */
void m_want_anon_id(struct model *m, struct m_space *s, struct m_region *r);
long m_index_of(const struct m_region *r, int page);
bool m_is_private(const struct m_region *r);
void m_write_back(struct model *m, int o, long index);
void m_insert_at(struct m_space *s, int i, struct m_region r);
void m_remove_at(struct m_space *s, int i);
int m_position(struct m_space *s, int page);
void m_cut(struct m_space *s, int page);
bool m_can_merge(const struct m_region *a, const struct m_region *b);
void m_merge_around(struct m_space *s, int i);
bool m_is_free(struct m_space *s, int start, int end);
int m_place(struct model *m, struct m_space *s, int pages);
void m_clear(struct model *m, struct m_space *s, int start, int end);
/* The two halves of it: out of the space; then what the regions mapped last is written back. */
int m_take_out(struct m_space *s, int start, int end, struct m_region *gone);
void m_settle(struct model *m, const struct m_region *gone, int n);
bool m_hint_free(struct m_space *s, int start, int pages);
bool m_whole(struct m_space *s, int start, int end);
bool m_serves(const struct m_region *r, const struct m_page *p, enum pg_access access);
enum pg_fault_end m_fault(
	struct model *m, struct m_space *s, int page, enum pg_access access, bool by_kernel);

#endif
