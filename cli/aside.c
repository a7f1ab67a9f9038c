/* SPDX-License-Identifier: BSD-2-Clause */
/* aside.c - sets aside what trails hold now: ordinary trails that no process writes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aside.h"
#include "reader_find.h"
#include "say.h"
#include "trail_open.h"

static bool put(int fd, const void *bytes, size_t len, uint64_t at)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

/* All that stands before the chunks.  Its process goes on, and this copy does not. */
static bool put_front(const struct open_trail *t, int fd)
{
	const struct at_header *h = &t->pub.header;
	size_t len = h->chunk_off < t->pub.file_bytes ? h->chunk_off : t->pub.file_bytes;
	uint8_t *front = malloc(len);
	uint32_t state = AT_SAVED;
	bool ok = front && pread(t->fd, front, len, 0) == (ssize_t)len;

	if (ok && t->pub.live)
		memcpy(front + offsetof(struct at_header, state), &state, sizeof(state));
	ok = ok && put(fd, front, len, 0);
	free(front);
	return ok;
}

/* Whole events alone, as far as each chunk was written when we looked. */
static bool put_chunks(const struct open_trail *t, int fd)
{
	const struct at_header *h = &t->pub.header;
	uint8_t *bytes = malloc(h->chunk_size);
	struct chunk c = { .bytes = bytes };
	bool ok = bytes;

	for (uint32_t i = 0; ok && i < t->nr_chunks; i++) {
		uint64_t at = h->chunk_off + (uint64_t)i * h->chunk_size;

		say_progress("saving", i, t->nr_chunks);
		if (at >= t->pub.file_bytes)
			break;
		if (trail_chunk(t, i, &c) != CHUNK_OK)
			continue;
		c.header.committed = c.len;
		c.header.owned = 0;
		ok = put(fd, &c.header, sizeof(c.header), at) && put(fd, c.bytes, c.len, at + sizeof(c.header));
	}
	say_progress_done();
	free(bytes);
	return ok;
}

static bool save_file(const struct open_trail *t, const char *dir)
{
	char part[PATH_MAX], name[PATH_MAX];
	struct stat st;
	int fd;
	bool ok;

	if (snprintf(part, sizeof(part), "%s/." AT_FILE_NAME ".part", dir) >= (int)sizeof(part) ||
	    snprintf(name, sizeof(name), "%s/" AT_FILE_NAME, dir) >= (int)sizeof(name))
		return false;
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	ok = !ftruncate(fd, (off_t)t->pub.header.file_size) && put_front(t, fd) && put_chunks(t, fd);
	/* Saved by root, it stays the user's. */
	if (ok && !geteuid() && !fstat(t->fd, &st))
		ok = !fchown(fd, st.st_uid, st.st_gid) && !chown(dir, st.st_uid, st.st_gid);
	if (close(fd) || !ok || rename(part, name)) {
		int err = errno;

		unlink(part);
		errno = err;
		return false;
	}
	return true;
}

/* mkdir(NAME.saved), or NAME.saved.2 … */
static bool make_place(const char *name, char *dir, size_t size)
{
	for (unsigned n = 1; n < 10000; n++) {
		int len = n == 1 ? snprintf(dir, size, "%s.saved", name) :
				   snprintf(dir, size, "%s.saved.%u", name, n);

		if (len >= (int)size)
			return false;
		if (!mkdir(dir, 0700))
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

/* mkdir -p of what stands behind the first `from` bytes. */
static bool make_dirs(char *dir, size_t from)
{
	for (char *p = dir + from; *p; p++)
		if (*p == '/' && p[1]) {
			*p = 0;
			if (mkdir(dir, 0700) && errno != EEXIST)
				return false;
			*p = '/';
		}
	return !mkdir(dir, 0700) || errno == EEXIST;
}

int aside_save(const char *name, const struct paths *found)
{
	char base[PATH_MAX], place[PATH_MAX], dir[PATH_MAX];
	size_t given = strlen(name), nr = 0;
	int status = STATUS_DONE;

	while (given > 1 && name[given - 1] == '/')
		given--;
	/* "." has no name to put anything beside. */
	if (!realpath(name, base) || !make_place(base, place, sizeof(place))) {
		say("%s cannot be set aside: %s", name, strerror(errno));
		return errno == ENOENT ? STATUS_USAGE : STATUS_CANNOT;
	}
	for (size_t i = 0; i < found->nr; i++) {
		const char *path = found->path[i];
		struct open_trail *t;

		t = trail_open(path);
		if (!t || t->pub.header.state == AT_SAVED) {	/* a copy of an earlier day needs no other */
			if (!t)
				status = STATUS_INCOMPLETE;
			trail_close(t);
			continue;
		}
		if (snprintf(dir, sizeof(dir), "%s%s", place, strlen(path) > given ? path + given : "") >=
		    (int)sizeof(dir) || !make_dirs(dir, strlen(place)) || !save_file(t, dir)) {
			say("%s cannot be set aside in %s: %s", path, dir, strerror(errno));
			trail_close(t);
			return STATUS_CANNOT;
		}
		if (t->pub.incomplete)
			status = STATUS_INCOMPLETE;
		nr++;
		trail_close(t);
	}
	if (!nr) {
		rmdir(place);
		say("%s: there is nothing to set aside", name);
		return status ? (int)say_unread() : STATUS_CANNOT;
	}
	printf("saved as %s\n", place);
	return status;
}
