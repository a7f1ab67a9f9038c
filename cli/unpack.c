/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unpack.c - trails out of a packed file: each into a file without a name in TMPDIR,
 * which goes away with its descriptor.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <acktrail/trail.h>
#include "reader_find.h"
#include "say.h"

#define BLOCK	4096u

/* zstd, gzip, xz, or tar itself. */
static bool is_packed(const char *path)
{
	unsigned char b[512] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? pread(fd, b, sizeof(b), 0) : -1;

	if (fd >= 0)
		close(fd);
	return n >= 6 && (!memcmp(b, "\x28\xb5\x2f\xfd", 4) || !memcmp(b, "\x1f\x8b", 2) ||
			  !memcmp(b, "\xfd" "7zXZ", 5) || (n == sizeof(b) && !memcmp(b + 257, "ustar", 5)));
}

static int nameless_file(void)
{
	const char *dir = getenv("TMPDIR");
	char name[] = "/tmp/acktrail-XXXXXX";
	int fd = open(dir && *dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

static bool all_zero(const char *p, size_t n)
{
	return !n || (!*p && !memcmp(p, p + 1, n - 1));
}

static bool write_block(int fd, const char *p, size_t n, int64_t at)
{
	while (n) {
		size_t part = BLOCK - (size_t)at % BLOCK;
		ssize_t done = (ssize_t)(part < n ? part : n);

		/* Most of a trail may be empty: no room is taken for that. */
		if (!all_zero(p, (size_t)done))
			done = pwrite(fd, p, (size_t)done, at);
		if (done <= 0)
			return false;
		p += done;
		at += done;
		n -= (size_t)done;
	}
	return true;
}

/* One entry into a file; its descriptor, or -1 with the reason said.  *cut: not all of it came. */
static int extract(struct archive *a, const char *packed, bool *cut)
{
	int fd = nameless_file(), r;
	int64_t size = 0;
	const void *p;
	int64_t at;
	size_t n;

	if (fd < 0) {
		say("%s: no room to unpack it in TMPDIR: %s", packed, strerror(errno));
		return -1;
	}
	while ((r = archive_read_data_block(a, &p, &n, &at)) == ARCHIVE_OK) {
		if (!write_block(fd, p, n, at)) {
			say("%s: no room to unpack it in TMPDIR: %s", packed, strerror(errno));
			close(fd);
			return -1;
		}
		if (at + (int64_t)n > size)
			size = at + (int64_t)n;
	}
	*cut = r != ARCHIVE_EOF;
	if (ftruncate(fd, size)) {
		say("%s: no room to unpack it in TMPDIR: %s", packed, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* "DIR/trail" → DIR; NULL: no trail */
static char *trail_name(const char *entry)
{
	const char *slash = entry ? strrchr(entry, '/') : NULL;

	if (!slash || strcmp(slash + 1, AT_FILE_NAME) || slash == entry)
		return NULL;
	return strndup(entry, (size_t)(slash - entry));
}

enum unpacked unpack(struct paths *paths, const char *packed)
{
	struct archive *a;
	struct archive_entry *e;
	bool cut = false, any = false, failed = false;
	int r;

	if (!is_packed(packed))
		return NOT_PACKED;
	a = archive_read_new();
	if (!a)
		return UNPACK_FAILED;
	archive_read_support_filter_all(a);
	archive_read_support_format_tar(a);
	r = archive_read_open_filename(a, packed, 1u << 16);
	/* A warning: a name that is not of this locale. */
	while (r >= ARCHIVE_WARN && !cut && ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN)) {
		char *name = archive_entry_filetype(e) == AE_IFREG ? trail_name(archive_entry_pathname(e)) : NULL;
		char *shown = NULL;
		int fd;

		if (!name)
			continue;
		if (asprintf(&shown, "%s:%s", packed, name) > 0 && (fd = extract(a, packed, &cut)) >= 0) {
			paths_add(paths, shown, fd);
			any = true;
		} else {
			failed = true;
		}
		free(shown);
		free(name);
	}
	if (!any && r != ARCHIVE_EOF)
		say("%s is no packed trail: %s", packed,
		    archive_error_string(a) ? archive_error_string(a) : "it cannot be unpacked");
	else if (cut || (r != ARCHIVE_EOF && r != ARCHIVE_OK))
		say("%s is damaged or cut short (%s): reading what is whole", packed,
		    archive_error_string(a) ? archive_error_string(a) : "unknown");
	else if (!any && !failed)
		say("%s holds no trail", packed);
	cut |= r != ARCHIVE_EOF;
	archive_read_free(a);
	return any && !cut && !failed ? UNPACKED : UNPACK_FAILED;
}
