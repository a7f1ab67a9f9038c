/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader_find.h"
#include "say.h"
#include "trail_open.h"

#define FIND_DEPTH	3	/* directories below the one that was named */

void paths_add(struct paths *p, const char *path, int fd)
{
	char **more = realloc(p->path, (p->nr + 1) * sizeof(*more));
	int *fds;

	if (more)
		p->path = more;
	fds = realloc(p->fd, (p->nr + 1) * sizeof(*fds));
	if (fds)
		p->fd = fds;
	if (more && fds && (p->path[p->nr] = strdup(path)))
		p->fd[p->nr++] = fd;
	else if (fd >= 0)
		close(fd);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode);
}

static int visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* As the shim names a trail's directory among others: shim/window.c. */
static bool is_trails_name(const char *dir)
{
	const char *slash = strrchr(dir, '/');

	return !strncmp(slash ? slash + 1 : dir, "acktrail.", strlen("acktrail."));
}

/*
 * The trail of a directory, then those of the directories inside it, by name.  False, and
 * said, when one may not be looked into that was named, or looks like another user's trail.
 */
static bool find_in(struct paths *p, const char *dir, int depth)
{
	struct dirent **entry;
	bool all = true;
	int nr;

	if (trail_is_dir(dir))
		paths_add(p, dir, -1);
	else if (eaccess(dir, R_OK | X_OK) && errno == EACCES)
		goto forbidden;
	if (!depth)
		return true;
	nr = scandir(dir, &entry, visible, by_name);
	for (int i = 0; i < nr; i++) {
		char *child;

		if (asprintf(&child, "%s/%s", dir, entry[i]->d_name) > 0) {
			if (is_dir(child))
				all &= find_in(p, child, depth - 1);
			free(child);
		}
		free(entry[i]);
	}
	if (nr >= 0)
		free(entry);
	return all;
forbidden:
	if (depth == FIND_DEPTH || is_trails_name(dir)) {
		say_forbidden(dir);
		return false;
	}
	if (!p->shut)
		p->shut = strdup(dir);
	return true;
}

/* What the user named.  What is no directory is a trail, or trail_open() says why not. */
bool paths_find(struct paths *p, const char *path)
{
	size_t before = p->nr;
	struct stat st;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		enum unpacked u = unpack(p, path);

		if (u == NOT_PACKED)
			paths_add(p, path, -1);
		return u != UNPACK_FAILED;
	}
	free(p->shut);
	p->shut = NULL;
	if (!find_in(p, path, FIND_DEPTH))
		return false;
	if (p->nr > before)
		return true;
	if (p->shut)
		say_forbidden(p->shut);
	else
		say("%s holds no trail (no file \"" AT_FILE_NAME "\" in it or in the directories inside it)", path);
	return false;
}

void paths_free(struct paths *p)
{
	for (size_t i = 0; i < p->nr; i++) {
		free(p->path[i]);
		if (p->fd[i] >= 0)
			close(p->fd[i]);
	}
	free(p->path);
	free(p->fd);
	free(p->shut);
}
