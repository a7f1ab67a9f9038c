/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sync_parts.h - what a sync waited for.
 *
 * Every instant of the sync gets one label, the first that applies of: its own or
 * the journal's request in the device (a flush apart from data), in the queue, before
 * it was a request, the journal's commit running without any, unexplained.  So the
 * parts add up to the wall and no interval is counted twice.
 */
#ifndef ACKTRAIL_SYNC_PARTS_H
#define ACKTRAIL_SYNC_PARTS_H

#include <stdint.h>
#include <acktrail/timeline.h>

/* An interval under a label; labels of lower value win. */
struct labelled { int64_t begin, end; enum tl_part_name part; };

/* Fill part[] of [begin, end): the sum is end - begin exactly.  Sorts iv. */
void parts_union(struct labelled *iv, uint32_t nr, int64_t begin, int64_t end,
		 int64_t part[TL_NR_PARTS]);

#endif
