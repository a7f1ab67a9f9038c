/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_find.h - what the user named, to trails: a trail's directory or file, or a
 * directory with trails in it.
 */
#ifndef ACKTRAIL_READER_FIND_H
#define ACKTRAIL_READER_FIND_H

#include <stdbool.h>
#include <stddef.h>

struct paths {
	char	**path;
	size_t	 nr;
};

/* Adds the trails of one name; false, with the reason said, when there is none. */
bool paths_find(struct paths *p, const char *path);
void paths_free(struct paths *p);

#endif
