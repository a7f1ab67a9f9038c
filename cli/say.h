/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * say.h - words for people: messages on standard error, exit status, colour,
 * progress.  A message says what happened, what it means and what to do.
 */
#ifndef ACKTRAIL_SAY_H
#define ACKTRAIL_SAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum status {
	STATUS_DONE = 0,
	STATUS_FAIL_ON = 1,	/* --fail-on met; beats STATUS_INCOMPLETE */
	STATUS_USAGE = 2,	/* wrong usage, or no trail where one was named */
	STATUS_INCOMPLETE = 3,	/* done, but evidence was incomplete */
	STATUS_CANNOT = 4,	/* cannot run here: privileges (a trail that may not be read), kernel, no broker */
};

/* "acktrail: MESSAGE\n" on standard error; clears a progress line first. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* That a trail, or what may hold some, may not be read. */
void say_forbidden(const char *path);

/* The exit status when nothing that was named could be read: STATUS_CANNOT where that was forbidden. */
enum status say_unread(void);

/* Flushes standard output; true, and said, when it could not be written. */
bool say_unwritten(void);

/* Colour on this stream?  Only on a terminal, and never with NO_COLOR. */
bool say_colour(FILE *stream);

/*
 * "WHAT … NN%" on a terminal's last line, from half a second on and ten times a
 * second at most.  Nothing when standard error is no terminal, or after
 * say_progress_off() (a command that streams its output to the same terminal).
 */
void say_progress(const char *what, uint64_t done, uint64_t total);
void say_progress_done(void);
void say_progress_off(void);

/*
 * What a reader left out, said once at the end of a command.  Returns
 * STATUS_INCOMPLETE when the evidence is incomplete, else STATUS_DONE.
 */
struct reader;
enum status say_incomplete(const struct reader *r);

#endif
