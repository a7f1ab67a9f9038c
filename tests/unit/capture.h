/* SPDX-License-Identifier: BSD-2-Clause */
/* capture.h - what a piece of code says on standard error or prints, as text. */
#ifndef ACKTRAIL_CAPTURE_H
#define ACKTRAIL_CAPTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture { int fd, target, saved; };

/* Open captures, so that a test that fails inside one does not silence the rest. */
static struct capture capture_open[2];
static int capture_nr;

/* target: STDOUT_FILENO or STDERR_FILENO */
static inline struct capture capture_begin(int target)
{
	struct capture c = { memfd_create("capture", 0), target, dup(target) };

	fflush(NULL);
	if (c.fd < 0 || c.saved < 0 || dup2(c.fd, target) < 0 || capture_nr == 2)
		abort();
	capture_open[capture_nr++] = c;
	return c;
}

/* The text, to be freed. */
static inline char *capture_end(struct capture *c)
{
	off_t len;
	char *text;

	fflush(NULL);
	dup2(c->saved, c->target);
	close(c->saved);
	capture_nr--;		/* they end in the opposite order */
	len = lseek(c->fd, 0, SEEK_END);
	text = calloc(1, (size_t)len + 1);
	if (!text || pread(c->fd, text, (size_t)len, 0) != len)
		abort();
	close(c->fd);
	return text;
}

/* For a teardown: end what a failed test left open, and show what it had caught. */
static inline void capture_end_all(void)
{
	while (capture_nr) {
		struct capture c = capture_open[capture_nr - 1];
		char *text = capture_end(&c);
		size_t len = strlen(text);

		fprintf(stderr, "%s", len > 2000 ? text + len - 2000 : text);
		free(text);
	}
}

#endif
