/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.h - writes a trail (include/acktrail/trail.h).  Used by the shim and by
 * the probe; needs libc alone.
 *
 * Threads: after at_writer_open() any thread may write.  A thread owns one chunk
 * of each ring through its struct at_pen, so writing takes no lock, no allocation
 * and no system call.
 */
#ifndef ACKTRAIL_WRITER_H
#define ACKTRAIL_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <acktrail/trail.h>

struct at_writer {
	uint8_t *base;			/* the mapping; NULL: nothing is witnessed */
	struct at_header *header;
	struct at_clock_page *clocks;
	struct at_account_page *account;
	struct at_more_page *more;
	uint8_t *chunks;
	size_t	 size;			/* bytes mapped */
	uint64_t next_clock_ns;		/* when the next pair of clocks is due */
	uint64_t taken[2];		/* chunks ever taken, by ring */
	char	 dir[4096];		/* the directory the user sees */
	char	 window[4096];		/* the live file on tmpfs; "" when it lies in dir */
	bool	 dormant;		/* the chunks have no memory: nothing may be written */
};

/* One thread's place in the trail.  Zero it to begin with. */
struct at_pen {
	struct at_chunk *chunk[2];
	uint32_t seq[2];		/* changes whenever chunk[] does: restate names then */
	uint32_t tid;
};

struct at_writer_conf {
	enum at_kind kind;
	const char *dir;	/* wanted directory, or NULL for the default name */
	bool	 inside;	/* dir is another process's trail: go inside it */
	uint64_t max_bytes;	/* of the whole file */
	uint32_t flags;		/* AT_F_*; with AT_F_STANDBY the trail is dormant */
};

/*
 * Make the directory (a number is added to a name that exists) and the window,
 * preallocated and touched.  0, or -errno with a sentence in why.  Keeps no
 * descriptor.  Never raises a signal: a full file system is an error here.
 *
 * A dormant one has its pages up to the chunks alone; who asks for more in its header
 * (acktrail ctl) sees to the memory of the chunks first.
 */
int at_writer_open(struct at_writer *w, const struct at_writer_conf *conf,
		   char *why, size_t why_size);

/*
 * Write the end event's state, move the window into the directory, unmap.  Call
 * once, when no other thread writes any more.  Of a dormant one nothing remains.
 */
void at_writer_close(struct at_writer *w, enum at_state how);

/* Forget the mapping without touching the file: the child's side of a fork. */
void at_writer_abandon(struct at_writer *w);

/*
 * See to it that the next `bytes` bytes of events land in one chunk, so that a name
 * stands in the chunk of the event that uses it.  False when no chunk was free.
 */
bool at_writer_room(struct at_writer *w, struct at_pen *pen, enum at_ring ring, uint64_t ns,
		    size_t bytes);
#define AT_ROOM(fields, tail_len) (sizeof(struct at_event) + (fields) + (tail_len) + 7)

/*
 * Reserve an event of `fields` bytes plus `tail` bytes of string; NULL when no
 * chunk was free (counted).  The event is not visible before at_writer_commit.
 * Returns the fields, zeroed; the tail stands right behind them.
 */
void *at_writer_begin(struct at_writer *w, struct at_pen *pen, enum at_ring ring,
		      enum at_type type, uint64_t ns, size_t fields, const char *tail,
		      size_t tail_len);
void at_writer_commit(struct at_pen *pen, enum at_ring ring);

/* Give back the chunks of a thread that ends. */
void at_writer_release(struct at_writer *w, struct at_pen *pen);

/* Take a pair of clocks if one is due (once a second); cheap when not. */
void at_writer_tick(struct at_writer *w, uint64_t now_ns);

static inline uint64_t at_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
