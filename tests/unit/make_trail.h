/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make_trail.h - trails made by hand, for tests: a scratch directory, trails
 * written through the real writer, and files taken into memory to be damaged.
 *
 *	struct scratch s = scratch_make();
 *	struct made m = made_open(&s, "one", AT_KIND_SHIM);
 *	struct ev_request *e = made_event(&m, AT_BULK, AT_EV_REQUEST, ns, sizeof(*e), "client");
 *	e->corr = 7;
 *	made_commit(&m, AT_BULK);
 *	made_close(&m);		the trail is at m.dir, a plain file inside it
 *	scratch_remove(&s);
 */
#ifndef ACKTRAIL_MAKE_TRAIL_H
#define ACKTRAIL_MAKE_TRAIL_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "writer.h"

#define MADE_BYTES	(2u << 20)

struct scratch { char dir[256]; };

struct made {
	struct at_writer w;
	struct at_pen pen;
	char	 dir[4096];
};

#define MADE_FAIL(what) do { fprintf(stderr, "make_trail: %s\n", what); abort(); } while (0)

static inline struct scratch scratch_make(void)
{
	struct scratch s = { "/tmp/acktrail-test.XXXXXX" };

	if (!mkdtemp(s.dir))
		MADE_FAIL("no scratch directory");
	return s;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	char target[4096];
	ssize_t n;

	(void)st;
	(void)f;
	/* A live window that a test left behind. */
	if (type == FTW_SL || type == FTW_SLN) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0 && !strncmp(target, "/dev/shm/acktrail.", 18)) {
			target[n] = 0;
			unlink(target);
		}
	}
	return remove(path);
}

static inline void scratch_remove(struct scratch *s)
{
	nftw(s->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct made made_open_bytes(const struct scratch *s, const char *name,
					  enum at_kind kind, uint64_t bytes)
{
	char why[512] = "", dir[512];
	struct made m;
	struct at_writer_conf conf = { .kind = kind, .dir = dir, .max_bytes = bytes };

	memset(&m, 0, sizeof(m));
	snprintf(dir, sizeof(dir), "%s/%s", s->dir, name);
	if (at_writer_open(&m.w, &conf, why, sizeof(why)))
		MADE_FAIL(why);
	m.pen.tid = 100;
	snprintf(m.dir, sizeof(m.dir), "%s", m.w.dir);
	return m;
}

static inline struct made made_open(const struct scratch *s, const char *name, enum at_kind kind)
{
	return made_open_bytes(s, name, kind, MADE_BYTES);
}

/* The fields to be filled in; not visible before made_commit(). */
static inline void *made_event(struct made *m, enum at_ring ring, enum at_type type, uint64_t ns,
			       size_t fields, const char *tail)
{
	void *e = at_writer_begin(&m->w, &m->pen, ring, type, ns, fields, tail, strlen(tail));

	if (!e)
		MADE_FAIL("no room for an event");
	return e;
}

static inline void made_commit(struct made *m, enum at_ring ring)
{
	at_writer_commit(&m->pen, ring);
}

/* As exit() leaves it: moved into its directory. */
static inline void made_close(struct made *m)
{
	at_writer_release(&m->w, &m->pen);
	at_writer_close(&m->w, AT_EXITED);
	at_writer_abandon(&m->w);
}

/* A whole file in memory. */
struct image { uint8_t *bytes; size_t len; };

static inline struct image image_read(const char *dir)
{
	char path[4200];
	struct image im = { NULL, 0 };
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/" AT_FILE_NAME, dir);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		MADE_FAIL("no trail to read");
	im.len = (size_t)st.st_size;
	im.bytes = malloc(im.len);
	if (!im.bytes || read(fd, im.bytes, im.len) != (ssize_t)im.len)
		MADE_FAIL("a trail that cannot be read");
	close(fd);
	return im;
}

/* Write the first `len` bytes as DIR/trail, replacing what is there. */
static inline void image_write(const char *dir, const uint8_t *bytes, size_t len)
{
	char path[4200];
	int fd;

	mkdir(dir, 0700);
	snprintf(path, sizeof(path), "%s/" AT_FILE_NAME, dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		MADE_FAIL("a trail that cannot be written");
	close(fd);
}

static inline void image_free(struct image *im)
{
	free(im->bytes);
	im->bytes = NULL;
}

#endif
