/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter.h - the same filters in every command that takes them:
 * --topic --partition --broker --client --outcome --since --until --slowest --internal
 *
 *	static const struct argp_child children[] = { { &filter_argp, 0, "Filters:", 0 }, { 0 } };
 *	case ARGP_KEY_INIT: state->child_inputs[0] = &args->filter;
 *
 * then, once the end of the evidence is known, filter_resolve(), and filter_row()
 * for each row.  --slowest is the command's: it sorts.
 */
#ifndef ACKTRAIL_FILTER_H
#define ACKTRAIL_FILTER_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <acktrail/timeline.h>

/* "acked,expired" → bits 1 << enum tl_outcome; false and the offender when one is none. */
bool outcome_list(const char *list, uint32_t *bits, const char **bad, int *bad_len);

struct filter_time {
	bool	given, from_end;	/* from_end: ns is a distance back from the end */
	bool	of_day;			/* ns since midnight, local time, the last such before the end */
	int64_t	ns, step_ns;		/* step_ns: of_day, what its last digit means */
};

struct filter {
	const char *topic;		/* NULL: all */
	const char *client;		/* NULL: all */
	bool	 has_partition, has_broker, internal;
	int32_t	 partition, broker;
	uint32_t outcomes;		/* bits 1 << enum tl_outcome; 0: all */
	uint32_t slowest;		/* 0: all, in their order */
	struct filter_time since, until;
	int64_t	 since_ns, until_ns;	/* set by filter_resolve(); INT64_MIN, INT64_MAX: none */
};

extern const struct argp filter_argp;	/* its input is a zeroed struct filter */

/* RFC 3339 ("2026-01-02T03:04:05.678Z"), "03:04:05.678" as it is printed, or "-5m", "-1h30m". */
bool filter_time_parse(const char *text, struct filter_time *t);

/* Turn --since and --until into times on the axis. */
void filter_resolve(struct filter *f, int64_t end_axis_ns);

/* What a row is asked for; leave out (NULL, has_ false) what it has not got. */
struct filter_row {
	const char *topic, *client;
	bool	 has_partition;
	int32_t	 partition;
	const int32_t *brokers;		/* any of them matches */
	int	 nr_brokers;
	int	 outcome;		/* enum tl_outcome, -1: not a thing that has one */
	int64_t	 begin_ns, end_ns;	/* its life on the axis: kept when it overlaps the window */
	bool	 control;		/* a control batch: only with --internal */
};
bool filter_row(const struct filter *f, const struct filter_row *row);

/* Asks for what only a row has: the account of messages knows no topic, place or time. */
static inline bool filter_rows_alone(const struct filter *f)
{
	return f->topic || f->client || f->has_partition || f->has_broker || f->since.given || f->until.given;
}

static inline bool filter_outcome(const struct filter *f, enum tl_outcome outcome)
{
	return !f->outcomes || f->outcomes & 1u << outcome;
}

/* A topic of Kafka's own ("__…"): left out without --internal, unless named by --topic. */
bool topic_internal(const char *topic);

#endif
