/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync_parts.h - what a sync, or an append, waited for.
 *
 * Every instant of the call gets one label, the first that applies in the order of
 * TL_PARTS.  So the parts add up to the wall and no interval is counted twice.
 */
#ifndef ACKTRAIL_SYNC_PARTS_H
#define ACKTRAIL_SYNC_PARTS_H

#include <stdint.h>
#include <acktrail/timeline.h>

/* An interval under a label; labels of lower value win. */
struct labelled { int64_t begin, end; enum tl_part_name part; };

#define MAX_IV		4096u	/* intervals looked at for one call */
#define MAX_PAUSES	256u

struct labels { struct labelled iv[MAX_IV]; uint32_t nr; };

/* Fill part[] of [begin, end): the sum is end - begin exactly.  Sorts iv. */
void parts_union(struct labelled *iv, uint32_t nr, int64_t begin, int64_t end,
		 int64_t part[TL_NR_PARTS]);

/* What belongs to no file (metadata) is known by its place on the disk; no inode has this bit. */
#define AT_PLACE(sector) (1ull << 63 | (sector))

/* In the order of completion, give or take what CPUs reorder: who looks back stops this far before. */
#define JOIN_LATE	(1000 * JOIN_MS)

struct join;
struct blk;
struct pause;

/* sync_seen.c */
struct device *device_find(struct join *j, uint32_t trail, uint64_t dev);
uint64_t device_root(struct join *j, uint32_t trail, uint64_t dev);
uint32_t pauses_of(const struct join *j, uint32_t trail, uint32_t tid, int64_t begin, int64_t end,
		   struct pause *to, uint32_t max);

/* sync_parts.c */
void label(struct labels *l, int64_t begin, int64_t end, enum tl_part_name part);
void label_blk(struct labels *l, const struct blk *b);
void label_cpu(struct labels *l, const struct pause *p, uint32_t nr, int64_t begin, int64_t end);
void parts_settle(struct tl_parts *p, const struct pause *pause, uint32_t nr, int64_t slept);
void parts_on(struct join *j, uint32_t trail, uint64_t dev, struct tl_parts *p);
bool blk_of_file(const struct blk *b, uint64_t dev, uint64_t ino);

#endif
