/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trail_open.h - one trail: found, opened, checked; and its chunks, one at a time.
 *
 * Chunks are copied with pread() instead of being read in a mapping: a file that
 * shrinks while we read is then a short read, never a SIGBUS, and what is parsed
 * cannot change under the parser.
 */
#ifndef ACKTRAIL_TRAIL_OPEN_H
#define ACKTRAIL_TRAIL_OPEN_H

#include "reader.h"
#include "schema.h"
#include "table.h"
#include "window.h"

struct name {			/* of a topic, file or thread */
	uint32_t id;
	char	*text;
	struct ev_file *file;	/* of a file */
	UT_hash_handle hh;
};
enum name_kind { NAME_TOPIC, NAME_FILE, NAME_THREAD, NR_NAME_KINDS };

struct open_trail {
	struct trail pub;	/* first: struct trail * and struct open_trail * are one address */
	int	 fd;
	uint32_t nr_chunks;
	enum presence process;
	struct schema schema;
	struct at_clock_pair clock[AT_NR_CLOCKS];	/* valid ones, in the order of time */
	int	 nr_clocks;
	struct name *name[NR_NAME_KINDS];
	uint64_t nr_bad, nr_bad_chunks;
	uint64_t nr_recycled;		/* met while merging; pub has them at its end */
	bool	 failed;		/* likewise: no memory for some of it */
};

static inline struct open_trail *open_trail_of(const struct trail *t)
{
	return (struct open_trail *)t;
}

/* Is there something that calls itself a trail: a file, or a directory that holds one? */
bool trail_is_dir(const char *path);

/*
 * Open a trail's directory or file; NULL, with the reason said, when nothing of it
 * can be read.  Damage that leaves something is said too, and kept in pub.incomplete.
 */
struct open_trail *trail_open(const char *path);
/* The same of an open file, under a name for people; takes fd in any case. */
struct open_trail *trail_adopt(const char *name, int fd);
void trail_close(struct open_trail *t);

/* Later than any clock will show: a time beyond it is damage (2^61 ns are 73 years). */
#define TRAIL_TIME_MAX	(1ULL << 61)

/* As much as there is; an error reads like the end of the file. */
size_t trail_read(int fd, void *buf, size_t len, uint64_t at);

/* A chunk's header and its whole events, in memory of the caller. */
struct chunk {
	struct at_chunk header;
	uint8_t *bytes;		/* header.chunk_size bytes of room */
	uint32_t len;		/* that are whole events, or should be */
	bool	 cut;		/* the file ends before all that was committed */
};
enum chunk_state { CHUNK_OK, CHUNK_UNUSED, CHUNK_RECYCLED, CHUNK_BAD };

/* Copies chunk i. */
enum chunk_state trail_chunk(const struct open_trail *t, uint32_t i, struct chunk *c);

/* From chunk i on the first that is not all hole in the file, as far as that can be told: those before were never used. */
uint32_t trail_skip_hole(const struct open_trail *t, uint32_t i);

/* One event of a chunk: where it lies, and its header. */
struct place {
	uint32_t off;		/* of its struct at_event in chunk.bytes */
	struct at_event event;
	bool	 known;
};

/* Once, before any chunk_next(), which several threads may then call. */
void chunk_begin(void);

/* The next event that is whole, from *off on; false at the end.  *bad: bytes skipped. */
bool chunk_next(const struct open_trail *t, const struct chunk *c, uint32_t *off,
		struct place *place, uint64_t *bad);

/* Fill ev from an event's bytes, which chunk_next() has found whole; ev->tail and ev->raw point at them. */
void trail_event(struct open_trail *t, const uint8_t *bytes, struct event *ev);

/* Remember the name that a TOPIC, FILE or THREAD event gives. */
void trail_learn_name(struct open_trail *t, const struct event *ev);

/* Its time says nothing about when it was written: TOPIC, FILE, THREAD. */
static inline bool event_is_name(uint16_t type)
{
	return type == AT_EV_TOPIC || type == AT_EV_FILE || type == AT_EV_THREAD;
}

#endif
