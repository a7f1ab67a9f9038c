/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_dump.h - what Kafka's DumpLogSegments printed of a log: evidence of what is in it
 * from a broker that no probe may enter.
 */
#ifndef ACKTRAIL_LOG_DUMP_H
#define ACKTRAIL_LOG_DUMP_H

#include <stdbool.h>
#include <stdint.h>

struct log_dump;

/* Reads one output, or each file of a directory, into *d (made at first); false, with the reason said. */
bool log_dump_read(struct log_dump **d, const char *path);
void log_dump_free(struct log_dump *d);

/* How often a batch of that identity is in the log. */
unsigned log_dump_find(const struct log_dump *d, const char *topic, int32_t partition, uint32_t crc,
		       uint32_t count);

/*
 * The dump holds all that was appended to that partition up to this moment, and more:
 * from offset 0 on without a gap, with a batch created then.  0: no such moment.
 * A log that is stamped by the broker has none, its batches' CRCs are not the clients'.
 */
int64_t log_dump_whole_until(const struct log_dump *d, const char *topic, int32_t partition);

#endif
