/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_int.h - a reader from inside: reader_index.c fills in what there is to read,
 * reader.c merges it.
 */
#ifndef ACKTRAIL_READER_INT_H
#define ACKTRAIL_READER_INT_H

#include "trail_open.h"

/* An event of an open chunk, by time. */
struct item {
	uint64_t ns;
	uint32_t off;
};

/* A chunk in memory. */
struct loaded {
	struct chunk chunk;
	struct item *item;
	uint32_t nr, pos, room;		/* room: bytes that its buffers have been made for */
	struct loaded *next;		/* of those that are free */
};

/* A chunk as the index knows it; they lie in the order of their trails, then as in the file. */
struct source {
	struct open_trail *trail;
	uint32_t index;			/* in the file */
	uint32_t generation, committed;
	uint64_t seq;
	uint64_t min_ns;		/* earliest event, raw */
	struct loaded *loaded;		/* NULL: not yet */
};

/* When a source's turn is: its next event's axis time, and of two at once the source that lies first. */
struct turn {
	int64_t	 key;
	uint32_t source;
};

/* An event where it lies: its struct at_event, fields and tail. */
struct merged {
	struct open_trail *trail;
	const uint8_t *bytes;
};

struct reader {
	struct open_trail **trail;
	int	 nr_trails;
	int	 nr_unread;		/* named, and nothing of it could be read */
	struct source *source;
	size_t	 nr_sources;
	struct turn *waiting;		/* sources, all of them, in the order of their first events */
	size_t	 nr_due;		/* of them that were loaded, and are in the heap or done */
	struct turn *heap;		/* those in memory */
	size_t	 nr_heap, heap_room;
	struct loaded *free;
	_Atomic size_t nr_loaded;	/* chunks in memory */
	size_t	 nr_done;		/* sources used up, for the progress */
	bool	 advance;		/* heap[0]'s event was handed out */
	bool	 want_unknown;
	bool	 begun;			/* to hand out events */
	struct ahead *ahead;		/* a thread that merges; NULL: whoever asks does */
	uint64_t types;			/* that are handed out, a bit each */
};

static inline int64_t reader_axis(const struct open_trail *t, uint64_t raw_ns)
{
	return (int64_t)(raw_ns + (uint64_t)t->pub.to_axis_ns);
}

/* reader.c: the next event of all that are in memory or due; false at the end.  Valid until the next call. */
bool reader_merge(struct reader *r, struct merged *m);

/* reader_ahead.c: the same by a thread that is ahead of who asks. */
struct ahead *ahead_start(struct reader *r);	/* NULL: one CPU, or no thread to be had */
bool ahead_next(struct ahead *a, struct merged *m);
void ahead_stop(struct reader *r);

/* reader_index.c */
void reader_add(struct reader *r, const char *path, int fd);	/* fd: of what was unpacked, which it takes; else -1 */
void reader_set_axis(struct reader *r);
bool reader_index(struct reader *r);		/* false: out of memory */

#endif
