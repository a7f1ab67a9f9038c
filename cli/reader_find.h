/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_find.h - what the user named, to trails: a trail's directory or file, a
 * directory with trails in it, or a packed file.
 */
#ifndef ACKTRAIL_READER_FIND_H
#define ACKTRAIL_READER_FIND_H

#include <stdbool.h>
#include <stddef.h>

struct paths {
	char	**path;
	int	*fd;		/* of what was unpacked, else -1 */
	size_t	 nr;
	char	*shut;		/* a directory that was passed by: it may not be looked into */
};

/* Adds the trails of one name; false, with the reason said, when there is none, or some may not be read. */
bool paths_find(struct paths *p, const char *path);
void paths_add(struct paths *p, const char *path, int fd);	/* takes fd */
void paths_free(struct paths *p);	/* and closes what is left */

/* unpack.c: the trails of a packed file. */
enum unpacked { NOT_PACKED, UNPACKED, UNPACK_FAILED /* or not all of it; said */ };
enum unpacked unpack(struct paths *p, const char *packed);

#endif
