/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health.h - a disk's service time as the slow-disk alarms ALM-12033 and ALM-12180 see it.
 *
 * Every 3 s: svctm = busy time / completed reads and writes; 0 when none completed.
 * An alarm is raised
 *  - when at least 7 samples of the last 30 s reach its short threshold, or
 *  - when at least half of the samples of 300 s reach its long one (SSD and HDD differ);
 *    a disk that was busy and completed nothing in 300 s counts as infinitely slow,
 * and cleared when neither held for three detection periods (30 s or 300 s) on end.
 * Flushes are no reads or writes: their time is told beside.
 */
#ifndef ACKTRAIL_HEALTH_H
#define ACKTRAIL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_alarm_id { HEALTH_12033, HEALTH_12180, NR_HEALTH_ALARMS };
enum health_rule { HEALTH_SHORT, HEALTH_LONG, NR_HEALTH_RULES };
extern const char *const health_alarm_names[NR_HEALTH_ALARMS];

struct health_sample {
	int64_t	 ns, length_ns;		/* its end, and what it covers */
	int64_t	 svctm_ns;
	uint64_t completed, busy_ms;
	uint64_t flushes;
	int64_t	 flush_ns;		/* of a flush, on average; 0 none */
};

struct health_alarm {
	enum health_alarm_id id;
	bool	 rule[NR_HEALTH_RULES];	/* that held while it was raised */
	int64_t	 raised_ns, cleared_ns;	/* cleared 0: not yet */
};

#define HEALTH_SAMPLES	128u	/* more than 300 s */
#define HEALTH_ALARMS	64u	/* kept of a disk */

struct health {
	bool	 rotational;
	bool	 begun;
	int64_t	 last_ns, first_ns;
	uint64_t reads, writes, busy_ms, flushes, flush_ms;	/* counters of last_ns */
	struct health_sample ring[HEALTH_SAMPLES];
	uint64_t nr;
	int64_t	 held_ns[NR_HEALTH_ALARMS][NR_HEALTH_RULES];	/* when that rule last held */
	int	 active[NR_HEALTH_ALARMS];	/* index into alarm + 1; 0 none */
	struct health_alarm alarm[HEALTH_ALARMS];
	unsigned nr_alarms;
};

/* The disk's counters at a moment; the new sample, or NULL when there is none. */
const struct health_sample *health_add(struct health *h, int64_t ns, uint64_t reads, uint64_t writes,
				       uint64_t busy_ms, uint64_t flushes, uint64_t flush_ms);

#endif
