/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.h - trails in, events out in the order of time.
 *
 * A reader holds any number of trails and merges their chunks as a stream: memory
 * is an index of chunks plus the chunks being read, not the events.  It never
 * trusts a byte: lengths are checked against the file, and what cannot be read is
 * counted in struct trail and skipped.
 */
#ifndef ACKTRAIL_READER_H
#define ACKTRAIL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <acktrail/trail.h>

struct reader;

/* What is known of one trail; owned by its reader. */
struct trail {
	char	*path;			/* the directory, as the user may name it */
	struct at_header header;	/* checked copy: strings are terminated */
	struct at_account_page account;	/* as it stood when the trail was opened */
	struct at_more_page more;	/* the same; zero when the writer knew of none */
	uint32_t index;			/* position among the reader's trails, from 0 */
	bool	 live;			/* its process still runs on this host */
	bool	 gone;			/* not closed, and its process is no more (same boot) */
	bool	 incomplete;		/* cut short or damaged: exit status 3 */
	bool	 bad_account;		/* its account pages hold what nobody counted: read as zero */
	uint64_t nr_events;		/* read so far */
	uint64_t unknown_events;	/* skipped: a newer writer's; known once opened */
	uint64_t bad_bytes;		/* skipped: damaged; known once opened */
	uint64_t overwritten, lost;	/* sums over the account's types */
	int64_t	 to_axis_ns;		/* add to a raw time for the common axis */
	bool	 axis_exact;		/* same clock as the first trail */
	uint64_t recycled_chunks;	/* overwritten while they were read: a live trail */
	uint64_t file_bytes;		/* that there are; header.file_size: that there should be */
	uint64_t held_ns[2];		/* how far back each ring reaches, by its last event */
	uint64_t newest_ns;		/* that last event, raw */
	bool	 wrapped[2];		/* it has begun anew: what is older is gone */
	uint64_t timeout_ns;		/* the largest message.timeout.ms of its producers; 0: none is known */
};

/* Its process has ended: what is open then stays so. */
static inline bool trail_over(const struct trail *t)
{
	return t->gone || t->header.state == AT_EXITED || t->header.state == AT_EXECED;
}

/* A probe that did not end by itself: the broker may have gone on unseen. */
static inline bool trail_killed(const struct trail *t)
{
	return t->header.kind == AT_KIND_PROBE && t->gone;
}

/* Recording was off at the end: what was open when it was turned off may have ended unseen. */
static inline bool trail_stopped(const struct trail *t)
{
	return t->header.obeys == AT_CONTROL_OFF;
}

struct event {
	struct trail *trail;
	uint16_t type;			/* enum at_type */
	uint32_t tid;
	uint64_t ns;			/* as written */
	const char *tail;		/* not terminated; valid until the next event */
	uint32_t tail_len;
	const uint8_t *raw;		/* the fields as on disk; valid until the next event */
	uint32_t raw_len;
	union {				/* zero behind what the writer knew */
#define AT_MEMBER(NAME, name, nr, when, fields, tail) struct ev_##name name;
#define AT_NOTHING(t, f)
		AT_EVENTS(AT_MEMBER, AT_NOTHING)
#undef AT_MEMBER
#undef AT_NOTHING
	};
};

/*
 * Open every trail that the paths name (a trail directory, a directory of
 * trails, a trail file).  Messages for people go to stderr.  NULL when none
 * could be read at all.
 */
struct reader *reader_open(char *const paths[], int nr_paths);
int reader_nr_trails(const struct reader *r);
struct trail *reader_trail(const struct reader *r, int i);

/* So much to read that threads are worth it. */
bool reader_is_long(const struct reader *r);

/* The next event over all trails by axis time; false at the end. */
bool reader_next(struct reader *r, struct event *ev);

/* Start again from the first event; all types are handed out. */
void reader_rewind(struct reader *r);

/* Start again, and until the next rewind hand out only events of types 1 << enum at_type. */
void reader_only(struct reader *r, uint64_t types);

/* Common axis: ns since the Unix epoch by the first clock pair of the first trail. */
static inline int64_t event_axis(const struct event *ev, uint64_t raw_ns)
{
	return raw_ns ? (int64_t)(raw_ns + (uint64_t)ev->trail->to_axis_ns) : 0;
}

/*
 * Name of a topic, file or thread of that trail; NULL unknown.  All names that the
 * trail holds are known once it is open, and stay until reader_close().
 */
const char *trail_topic(const struct trail *t, uint32_t topic);
const char *trail_file_path(const struct trail *t, uint32_t file);
const char *trail_thread(const struct trail *t, uint32_t tid);

/* The FILE event behind a file number (role, topic, partition, dev, ino); NULL unknown. */
const struct ev_file *trail_file(const struct trail *t, uint32_t file);

/* The trail's valid pairs of clocks, in the order of time. */
int trail_clocks(const struct trail *t, const struct at_clock_pair **pairs);

/* What its events look like on disk: schema.h. */
struct schema;
const struct schema *trail_schema(const struct trail *t);

/*
 * Hand out events of kinds that this version does not know, too: type, raw and
 * tail are set, the union is not.  For dump.
 */
void reader_want_unknown(struct reader *r, bool want);

/* Chunks in memory right now: what reading costs beside the index. */
size_t reader_nr_loaded(const struct reader *r);

/* Any trail cut short, damaged, or with lost (not merely recycled) events; a probe that was killed? */
bool reader_incomplete(const struct reader *r);
void reader_close(struct reader *r);

#endif
