/* SPDX-License-Identifier: MIT */
/*
 * ui/size/curve.h: what a curve of page faults against memory says: knee, enough, recommendation.
 *
 * Called by ui/size/size.c and its tests. Pure functions of measured points.
 */
#ifndef PG_UI_SIZE_CURVE_H
#define PG_UI_SIZE_CURVE_H

#include "base/types.h"

#define PG_SIZE_POINTS 64

/* One run. */
struct pg_size_point {
	uint64_t memory_bytes;
	bool works;     /* it ended as with all memory; else the figures are those up to its end */
	bool stopped;   /* it took too long */
	bool oom;       /* it was killed for want of memory */
	bool same;      /* and wrote the same */
	int status;     /* exit status, or 128 + signal */
	uint64_t major; /* page faults that read */
	uint64_t faults;
	uint64_t pages_in;          /* read, read-ahead included */
	uint64_t swap_in, swap_out; /* pages */
	uint64_t refaults;
	uint64_t rss_peak_bytes, frames_peak;
	uint64_t reclaimed, scanned;
	uint64_t instructions; /* of the program; 0: not known */
	double seconds, stall_seconds;
};

/* What was found out; 0 bytes: there is none. */
struct pg_size_advice {
	uint64_t full_bytes;        /* memory with which nothing is ever evicted */
	uint64_t floor_bytes;       /* the smallest that was tried and worked */
	uint64_t knee_bytes;        /* where the curve bends */
	uint64_t enough_bytes;      /* the smallest from which on it is as good as with all */
	uint64_t short_bytes;       /* the largest that was tried and was not */
	uint64_t recommended_bytes; /* enough, and the margin */
	uint64_t major_allowed;     /* what "as good" means: at most so many major faults */
	bool by_time;               /* so many because of the time that they take */
};

/*
 * So many instructions take ten times as long as a page fault that reads: 100 us, as of an SSD, and two instructions a nanosecond. One more fault
 * for each of them costs a tenth of the program's time.
 */
#define PG_SIZE_INSTRUCTIONS 2000000u

/* The share of memory that is put on top of what was enough, 1 / PG_SIZE_MARGIN. */
#define PG_SIZE_MARGIN 8u

/*
 * points[n], n >= 1, in descending order of memory; the first has all memory and works.
 *
 * Enough: at most a tenth more major faults than with all memory, and 16; or, if that is more, one for each PG_SIZE_INSTRUCTIONS of
 * the first point; for this and every larger size tried.
 * Knee: the point farthest below the line from end to end, both axes scaled to 1 (V. Satopaa and others, "Finding a
 * kneedle in a haystack", ICDCS workshops 2011, without smoothing: the points are exact); of fewer than three points that
 * work, or where all are enough, there is none.
 */
void pg_size_advise(const struct pg_size_point *points, size_t n, struct pg_size_advice *out);

/* The next memory worth a run, to find out more about enough and floor to within 1/32, or 0: nothing more. least: the
 * smallest machine. */
uint64_t pg_size_refine(const struct pg_size_point *points, size_t n, uint64_t least);

#endif
