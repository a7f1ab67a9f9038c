/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window.c - the reader's side of a live window.  The writer moves its window into
 * the trail's directory when it ends (shim/window.c); for one that was killed we do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "window.h"

#define TMPFS		0x01021994UL
#define RAMFS		0x858458f6UL
#define INIT_PID_NS	4026531836UL	/* inode of the initial PID namespace, PROC_PID_INIT_INO */

/* ---- is its process still there? ----------------------------------------- */

static bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	return n > 0;
}

const char *window_boot_id(void)
{
	static char id[40];

	if (!id[0] && read_text("/proc/sys/kernel/random/boot_id", id, sizeof(id)))
		id[strcspn(id, "\n")] = 0;
	return id;
}

/* Alive under this number (as our /proc shows it) since that time? */
static bool runs(unsigned long pid, uint64_t start_ticks)
{
	unsigned long long ticks = 0;
	char path[64], buf[1024], *p, state;
	long threads = 0;

	snprintf(path, sizeof(path), "/proc/%lu/stat", pid);
	if (!read_text(path, buf, sizeof(buf)))
		return false;
	p = strrchr(buf, ')');		/* the command may hold spaces and brackets */
	if (!p || sscanf(p + 1, " %c", &state) != 1)
		return false;
	for (int field = 2; p && field < 20; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %ld %*d %llu", &threads, &ticks) != 2)
		return false;
	/* A zombie writes no more, unless only its first thread has ended. */
	if ((state == 'Z' || state == 'X') && threads <= 1)
		return false;
	return !start_ticks || ticks == start_ticks;
}

/* Does any PID namespace know this process by that number?  "NSpid:\t812\t7" */
static bool known_as(unsigned long pid, uint32_t want)
{
	char path[64], buf[4096], *p;

	snprintf(path, sizeof(path), "/proc/%lu/status", pid);
	if (!read_text(path, buf, sizeof(buf)) || !(p = strstr(buf, "\nNSpid:")))
		return false;
	for (p += 7; *p == ' ' || *p == '\t'; )
		if (strtoul(p, &p, 10) == want)
			return true;
	return false;
}

/* A process of a container is listed under another number than it knows itself. */
static bool runs_in_some_namespace(const struct at_header *h)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	bool found = false;

	if (!proc)
		return true;	/* we cannot tell, so do not say that it is gone */
	while (!found && (d = readdir(proc))) {
		unsigned long pid = strtoul(d->d_name, NULL, 10);

		found = pid && runs(pid, h->start_ticks) && known_as(pid, h->pid);
	}
	closedir(proc);
	return found;
}

static uint64_t own_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

/* Can we see every process of this host? */
static bool sees_all(void)
{
	return own_pid_namespace() == INIT_PID_NS && !access("/proc/1/stat", R_OK);
}

/* Shown in this time namespace, a process's start time is shifted by our offset. */
static bool same_time_namespace(const struct at_header *h)
{
	char buf[256], *p;
	long long sec = 0, ns = 0;

	if (read_text("/proc/self/timens_offsets", buf, sizeof(buf)) &&
	    (p = strstr(buf, "monotonic")))
		sscanf(p + strlen("monotonic"), "%lld %lld", &sec, &ns);
	return sec * 1000000000LL + ns == h->timens_mono_ns;
}

enum presence window_process(const struct at_header *h)
{
	struct at_header seen = *h;

	if (!h->boot_id[0] || strcmp(h->boot_id, window_boot_id()))
		return PROCESS_UNKNOWN;
	if (!same_time_namespace(h))
		seen.start_ticks = 0;	/* not comparable: the number alone has to do */
	if ((seen.pid_host && runs(seen.pid_host, seen.start_ticks)) ||
	    runs(seen.pid, seen.start_ticks))
		return PROCESS_THERE;
	/* In a container only who is of our own processes is ours to judge; its host's name is that of others, too. */
	if (!sees_all())
		return h->pid_ns && h->pid_ns == own_pid_namespace() ? PROCESS_GONE : PROCESS_UNKNOWN;
	return runs_in_some_namespace(&seen) ? PROCESS_THERE : PROCESS_GONE;
}

bool window_header_of(const char *file, struct at_header *h)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = pread(fd, h, sizeof(*h), 0);
	close(fd);
	if (n != sizeof(*h) || memcmp(h->magic, AT_MAGIC, sizeof(h->magic)) ||
	    h->byte_order != AT_BYTE_ORDER || h->min_reader > AT_VERSION ||
	    h->header_size < offsetof(struct at_header, control))
		return false;
	if (h->header_size < sizeof(*h))	/* an older writer's */
		memset((uint8_t *)h + h->header_size, 0, sizeof(*h) - h->header_size);
	h->boot_id[sizeof(h->boot_id) - 1] = h->host[sizeof(h->host) - 1] = 0;
	h->comm[sizeof(h->comm) - 1] = h->writer[sizeof(h->writer) - 1] = 0;
	h->cmdline[sizeof(h->cmdline) - 1] = 0;
	return true;
}

bool window_header(const char *dir, struct at_header *h)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/" AT_FILE_NAME, dir) < (int)sizeof(path) &&
	       window_header_of(path, h);
}

/* ---- bringing a window home ---------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* Pages of zeroes (chunks never used) stay holes. */
static bool copy(int from, int to, off_t size)
{
	static uint8_t page[64 * AT_PAGE];
	off_t at = 0;

	if (ftruncate(to, size))
		return false;
	while (at < size) {
		ssize_t n = pread(from, page, sizeof(page), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		for (ssize_t i = 0; i < n; i += AT_PAGE) {
			size_t len = (size_t)(n - i) < AT_PAGE ? (size_t)(n - i) : AT_PAGE;

			if (!is_zero(page + i, len) &&
			    pwrite(to, page + i, len, at + i) != (ssize_t)len)
				return false;
		}
		at += n;
	}
	return true;
}

/* A regular file of ours on tmpfs: anything else is not a window to take away. */
static int open_window(const char *path, struct stat *st)
{
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) || !S_ISREG(st->st_mode) || fstatfs(fd, &fs) ||
	    ((unsigned long)fs.f_type != TMPFS && (unsigned long)fs.f_type != RAMFS) ||
	    (st->st_uid != geteuid() && geteuid() != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

bool window_collect(const char *dir)
{
	char link[PATH_MAX], target[PATH_MAX], again[PATH_MAX], temp[PATH_MAX];
	struct stat st;
	int from, to;
	ssize_t n;

	if (snprintf(link, sizeof(link), "%s/" AT_FILE_NAME, dir) >= (int)sizeof(link) ||
	    snprintf(temp, sizeof(temp), "%s/." AT_FILE_NAME ".XXXXXX", dir) >= (int)sizeof(temp))
		return false;
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return n < 0 && errno == EINVAL;	/* no link: it is at home already */
	target[n] = 0;
	if (target[0] != '/')
		return false;
	from = open_window(target, &st);
	if (from < 0)
		return false;
	to = mkostemp(temp, O_CLOEXEC);
	if (to < 0) {
		close(from);
		return false;
	}
	bool ok = copy(from, to, st.st_size) && !fchown(to, st.st_uid, st.st_gid);

	/* Somebody else may have collected it meanwhile: then the link is no more. */
	n = readlink(link, again, sizeof(again) - 1);
	ok = ok && n > 0 && (size_t)n == strlen(target) && !memcmp(again, target, (size_t)n);
	close(from);
	if (close(to) || !ok || rename(temp, link)) {
		unlink(temp);
		return false;
	}
	unlink(target);
	return true;
}
