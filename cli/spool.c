/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "spool.h"

bool spool_open(struct out *spool)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd, n;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	n = fd < 0 ? snprintf(path, sizeof(path), "%s/acktrail.XXXXXX", dir) : 0;
	if (n > 0 && n < (int)sizeof(path)) {	/* a file system that has no O_TMPFILE */
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return false;
	out_open(spool, fd);
	return true;
}

void spool_copy(struct out *spool, struct out *to)
{
	ssize_t n = 1;

	out_flush(spool);
	if (!spool->error && lseek(spool->fd, 0, SEEK_SET))
		spool->error = errno;
	out_flush(to);
	while (n && !spool->error && !to->error) {
		n = read(spool->fd, to->buf, OUT_BUFFER);
		if (n > 0) {
			to->at = to->buf + n;
			out_flush(to);
		} else if (n < 0 && errno != EINTR) {
			to->error = errno;	/* some of it is out already */
		}
	}
}

void spool_close(struct out *spool)
{
	close(spool->fd);
	free(spool->buf);
	spool->buf = NULL;
}
