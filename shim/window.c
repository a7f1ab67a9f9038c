// SPDX-License-Identifier: BSD-2-Clause
/*
 * window.c - the life of a trail's file: a directory where the user wants it, the
 * live window on tmpfs (pages of a disk file under writeback stall their writer),
 * and its move into the directory at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "writer_int.h"

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif
#define RAMFS_MAGIC_ 0x858458f6
#define MIN_BYTES (1u << 20)
#define STEP_BYTES (1u << 20)
#define STEP_TRIES 100

/* ---- the directory ------------------------------------------------------- */

static void default_name(char *out, size_t size, const char *parent)
{
	char host[65] = "", comm[17] = "";
	size_t prefix = 0;

	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, "/ ")] = 0;
	if (at_read_file("/proc/self/comm", comm, sizeof(comm)) > 0)
		comm[strcspn(comm, "\n")] = 0;
	for (char *p = comm; *p; p++)
		if (*p == '/' || (unsigned char)*p <= ' ')
			*p = '_';
	if (parent)
		prefix = (size_t)snprintf(out, size, "%s/", parent);
	if (prefix < size)
		snprintf(out + prefix, size - prefix, "acktrail.%s.%s.%d.%llu", host, comm,
			 (int)getpid(), (unsigned long long)at_start_ticks());
}

/* mkdir(path), or path.1, path.2 … when the name is taken. */
static int make_dir(char *dir, size_t size, const char *path)
{
	snprintf(dir, size, "%s", path);
	for (int n = 1; mkdir(dir, 0700); n++) {
		if (errno != EEXIST || n > 9999)
			return -errno;
		snprintf(dir, size, "%s.%d", path, n);
	}
	return 0;
}

/* A directory that is no trail.  No stat(): its symbol is younger than GLIBC_2.17. */
static bool is_plain_dir(const char *path)
{
	char name[sizeof(((struct at_writer *)0)->dir)], target[1];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	snprintf(name, sizeof(name), "%s/" AT_FILE_NAME, path);
	return readlink(name, target, sizeof(target)) < 0 && errno == ENOENT;
}

/*
 * Where the trail goes: the wanted name; inside it when it is a directory that is
 * no trail itself (several processes of one `acktrail record`), or is the trail of the
 * process we were forked from; without a wanted name the working directory, else TMPDIR.
 */
static int choose_dir(struct at_writer *w, const char *want, bool inside)
{
	char path[sizeof(w->dir) - 32], cwd[2048];
	int err;

	if (want && *want) {
		if (inside)
			mkdir(want, 0700);	/* our parent may have ended and left nothing */
		if (inside || is_plain_dir(want))
			default_name(path, sizeof(path), want);
		else
			snprintf(path, sizeof(path), "%s", want);
		return make_dir(w->dir, sizeof(w->dir), path);
	}
	if (getcwd(cwd, sizeof(cwd)))
		default_name(path, sizeof(path), cwd);
	else
		default_name(path, sizeof(path), NULL);
	err = make_dir(w->dir, sizeof(w->dir), path);
	if (err) {
		const char *tmp = secure_getenv("TMPDIR");

		default_name(path, sizeof(path), tmp && *tmp ? tmp : "/tmp");
		err = make_dir(w->dir, sizeof(w->dir), path);
	}
	return err;
}

static bool on_tmpfs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) &&
	       ((unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC_);
}

/*
 * Of an app that closed them 0 to 2 are free, and what it prints would go into our file:
 * ours is held above them.
 */
static int create(const char *path, int flags)
{
	int fd = open(path, flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int high = fd >= 0 && fd <= STDERR_FILENO ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;

	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/* ---- the window ---------------------------------------------------------- */

/*
 * A step at a time: tmpfs of older kernels undoes a whole call for any signal, and under
 * an app's timer a large one never comes to its end.
 */
static int take_memory(int fd, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += STEP_BYTES) {
		uint64_t len = bytes - at < STEP_BYTES ? bytes - at : STEP_BYTES;

		for (unsigned i = 1; fallocate(fd, 0, (off_t)at, (off_t)len); i++)
			if (errno != EINTR || i == STEP_TRIES)
				return -1;
	}
	return 0;
}

/* Of the size's bytes the first get their memory now. */
static int open_window(const char *path, uint64_t size, uint64_t now)
{
	int fd = create(path, O_RDWR), err;

	if (fd < 0)
		return -errno;
	if ((now < size && ftruncate(fd, (off_t)size)) || take_memory(fd, now)) {
		err = -errno;
		close(fd);
		unlink(path);
		return err;
	}
	return fd;
}

/* Place the window beside the trail when that is tmpfs, else in /dev/shm. */
static int place_window(struct at_writer *w, uint64_t max_bytes, uint64_t front, uint64_t *size)
{
	char link_path[sizeof(w->dir) + 16], base[256];
	bool here = on_tmpfs(w->dir);
	const char *shm = "/dev/shm";
	int fd;

	snprintf(link_path, sizeof(link_path), "%s/" AT_FILE_NAME, w->dir);
	if (!here && !on_tmpfs(shm))
		return -EXDEV;
	*size = at_affordable(here ? w->dir : shm, max_bytes);
	if (*size < MIN_BYTES)
		return -ENOSPC;
	if (here) {
		w->window[0] = 0;
		return open_window(link_path, *size, w->dormant ? front : *size);
	}
	snprintf(base, sizeof(base), "%s/acktrail.%u.%d.%llu", shm, (unsigned)geteuid(),
		 (int)getpid(), (unsigned long long)at_now());
	snprintf(w->window, sizeof(w->window), "%s", base);
	fd = open_window(w->window, *size, w->dormant ? front : *size);
	if (fd >= 0 && symlink(w->window, link_path)) {
		int err = -errno;

		close(fd);
		unlink(w->window);
		return err;
	}
	return fd;
}

/* An empty trail would only be in the way. */
static void remove_trail(const struct at_writer *w)
{
	char name[sizeof(w->dir) + 16];

	snprintf(name, sizeof(name), "%s/" AT_FILE_NAME, w->dir);
	unlink(name);
	if (w->window[0])
		unlink(w->window);
	rmdir(w->dir);
}

static const char *reason(int err)
{
	switch (-err) {
	case EXDEV: return "there is no tmpfs to hold the live window (/dev/shm)";
	case ENOSPC: return "there is no space for the live window in /dev/shm (or RLIMIT_FSIZE is too small)";
	case EACCES: case EPERM: case EROFS: return "the directory is not writable";
	case ENOENT: return "the directory does not exist";
	default: return strerror(-err);
	}
}

int at_writer_open(struct at_writer *w, const struct at_writer_conf *conf,
		   char *why, size_t why_size)
{
	size_t schema_len = at_schema_text(NULL, 0);
	uint64_t size = 0;
	int fd, err;

	memset(w, 0, sizeof(*w));
	err = choose_dir(w, conf->dir, conf->inside);
	if (err) {
		snprintf(why, why_size, "%s: %s", conf->dir ? conf->dir : "working directory and TMPDIR",
			 reason(err));
		return err;
	}
	w->dormant = conf->flags & AT_F_STANDBY;
	fd = place_window(w, conf->max_bytes, at_front_bytes(schema_len), &size);
	if (fd < 0) {
		err = fd;
		goto fail;
	}
	/* MAP_POPULATE: fallocate has the pages, this saves the faults later. */
	w->base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | (w->dormant ? 0 : MAP_POPULATE), fd, 0);
	err = -errno;
	close(fd);
	if (w->base == MAP_FAILED) {
		w->base = NULL;
		remove_trail(w);
		goto fail;
	}
	w->size = size;
	w->header = (struct at_header *)w->base;
	at_fill_header(w, conf, size, schema_len);
	w->clocks = (struct at_clock_page *)(w->base + w->header->clock_off);
	w->account = (struct at_account_page *)(w->base + w->header->account_off);
	w->more = (struct at_more_page *)(w->base + w->header->more_off);
	w->chunks = w->base + w->header->chunk_off;
	at_schema_text((char *)w->base + w->header->schema_off, schema_len + 1);
	at_writer_tick(w, at_now());
	/* The magic last: a file without it was never whole. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(w->header->magic, AT_MAGIC, sizeof(w->header->magic));
	return 0;
fail:
	snprintf(why, why_size, "%s: %s", w->dir, reason(err));
	rmdir(w->dir);
	return err;
}

/* ---- the end ------------------------------------------------------------- */

static bool write_all(int fd, const uint8_t *p, uint64_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return true;
}

/* Chunks that were never used stay holes. */
static bool copy_out(const struct at_writer *w, int fd)
{
	const struct at_header *h = w->header;

	if (ftruncate(fd, (off_t)h->file_size) || !write_all(fd, w->base, h->chunk_off, 0))
		return false;
	for (uint64_t i = 0; i < (uint64_t)h->nr_bulk + h->nr_last; i++) {
		uint64_t at = h->chunk_off + i * h->chunk_size;
		const struct at_chunk *c = (const struct at_chunk *)(w->base + at);

		if (c->seq && !write_all(fd, w->base + at, sizeof(*c) + c->committed, at))
			return false;
	}
	return true;
}

/* Replace the link by the file itself; on any trouble the link stays good. */
static void move_window(struct at_writer *w)
{
	char link_path[sizeof(w->dir) + 16], temp[sizeof(w->dir) + 32];
	struct rlimit lim;
	int fd;

	if (!w->window[0])
		return;
	if (!getrlimit(RLIMIT_FSIZE, &lim) && lim.rlim_cur < w->header->file_size)
		return;
	snprintf(link_path, sizeof(link_path), "%s/" AT_FILE_NAME, w->dir);
	snprintf(temp, sizeof(temp), "%s/." AT_FILE_NAME ".part", w->dir);
	fd = create(temp, O_WRONLY);
	if (fd < 0)
		return;
	bool ok = copy_out(w, fd);

	if (close(fd) || !ok || rename(temp, link_path)) {
		unlink(temp);
		return;
	}
	unlink(w->window);
}

/*
 * The mapping stays: at exit() other threads of the app may still be inside a
 * wrapped call, and the process is about to end anyway.
 */
void at_writer_close(struct at_writer *w, enum at_state how)
{
	if (!w->base)
		return;
	__atomic_store_n(&w->header->state, (uint32_t)how, __ATOMIC_RELEASE);
	if (w->dormant)
		remove_trail(w);
	else
		move_window(w);
}

void at_writer_abandon(struct at_writer *w)
{
	if (w->base)
		munmap(w->base, w->size);
	memset(w, 0, sizeof(*w));
}
