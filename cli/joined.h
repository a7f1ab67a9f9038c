/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * joined.h - what timeline, why, summary and disk have in common: open the trails,
 * run them through the join, keep what the filters keep.
 */
#ifndef ACKTRAIL_JOINED_H
#define ACKTRAIL_JOINED_H

#include "cmd.h"
#include "filter.h"
#include "join.h"
#include "reader.h"

struct joined {
	/* set by the command */
	char	**paths;
	int	 nr_paths;
	struct log_dump *log_dump;	/* of all --log-dump, or NULL */
	bool	 bad_dump;
	bool	 foreign_said;
	struct clock_given *given;	/* of all --clock-offset */
	unsigned nr_given;
	struct filter filter;
	enum format format;
	int64_t	 slow_ns;
	bool	 attempts;		/* rows of batches that moved into others, too */
	/* Every event and every row, whatever the filters keep; or NULL. */
	void	 (*on_event)(void *arg, const struct event *ev);
	void	 (*on_row)(void *arg, const struct tl_batch *b);
	/* Every row that the filters keep, before --slowest chooses; or NULL. */
	void	 (*on_kept)(void *arg, const struct tl_batch *b);
	/* set by joined_open() */
	struct reader *reader;
	struct clocks *clocks;
	int64_t	 end_ns;
};

/* Options every such command has: TRAIL…, --format, --slow MS, FILTERS. */
extern const struct argp joined_argp;
/* For a command that has no others; its input begins with a struct joined. */
extern const struct argp_child joined_children[];
error_t joined_parse(int key, char *arg, struct argp_state *state);

bool joined_open(struct joined *c);
/*
 * One pass over all events.  batch() gets what the filters keep, in order of
 * resolution, or with --slowest the slowest first; b lives until it returns.  It may be
 * called by another thread than on_event(), on_row() and on_kept(); all is over on return.
 */
void joined_run(struct joined *c, void (*batch)(void *arg, struct tl_batch *b),
		void (*sync)(void *arg, const struct tl_sync *s), void *arg);
int joined_close(struct joined *c);	/* exit status */

#endif
