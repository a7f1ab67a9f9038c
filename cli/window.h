/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window.h - live windows: is the process that writes one still there, and
 * bringing home what a killed process left on tmpfs.
 */
#ifndef ACKTRAIL_WINDOW_H
#define ACKTRAIL_WINDOW_H

#include <stdbool.h>
#include <acktrail/trail.h>

enum presence {
	PROCESS_UNKNOWN,	/* another host, another boot, or hidden from us */
	PROCESS_THERE,
	PROCESS_GONE,		/* same boot, and no such process any more */
};

/* The process that wrote this header, by pid and start time. */
enum presence window_process(const struct at_header *h);

/*
 * DIR/trail is a symbolic link to a window: put a copy of the window in its place
 * and remove the window.  For processes that are gone; the caller made sure.
 * True when DIR/trail is a file of its own afterwards.  Whatever goes wrong, the
 * trail stays readable where it was.
 */
bool window_collect(const char *dir);

/* The header of DIR/trail, if it is a trail of this version's layout; strings terminated. */
bool window_header(const char *dir, struct at_header *h);

/* The same of a file. */
bool window_header_of(const char *file, struct at_header *h);

/* Boot id of this host, "" unknown. */
const char *window_boot_id(void);

#endif
