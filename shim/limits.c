// SPDX-License-Identifier: BSD-2-Clause
/*
 * limits.c - how much memory a trail may take where it is: never so much that the
 * app feels it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "writer_int.h"

#define NO_LIMIT (~(uint64_t)0)

static bool read_number(const char *dir, const char *name, uint64_t *n)
{
	char path[1100], buf[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (at_read_file(path, buf, sizeof(buf)) <= 0)
		return false;
	*n = strncmp(buf, "max", 3) ? at_number(buf) : NO_LIMIT;
	return true;
}

/* Page cache that the kernel gives up before it kills anyone. */
static uint64_t reclaimable(const char *dir, const char *field)
{
	char path[1100], buf[8192], *p;

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (at_read_file(path, buf, sizeof(buf)) <= 0)
		return 0;
	p = strstr(buf, field);
	return p ? at_number(p + strlen(field)) : 0;
}

/* Pages of tmpfs are charged to the cgroup: an eighth of a limit, a quarter of what is left. */
static uint64_t cap_of_group(const char *dir, bool v2)
{
	uint64_t limit, used, left;

	if (!read_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
	    limit > (uint64_t)1 << 60)
		return NO_LIMIT;
	if (!read_number(dir, v2 ? "memory.current" : "memory.usage_in_bytes", &used))
		used = 0;
	used -= used > limit ? used - limit : 0;
	left = limit - used + reclaimable(dir, v2 ? "inactive_file " : "total_inactive_file ");
	return left / 4 < limit / 8 ? left / 4 : limit / 8;
}

/* This process's group and all above it; inside a container only the mount's root is there. */
static uint64_t cap_of_groups(char *path, const char *mount, bool v2)
{
	uint64_t cap = NO_LIMIT;
	char dir[1024];

	for (;;) {
		char *slash;
		uint64_t c;

		snprintf(dir, sizeof(dir), "%s%s", mount, strcmp(path, "/") ? path : "");
		c = cap_of_group(dir, v2);
		if (c < cap)
			cap = c;
		slash = strrchr(path, '/');
		if (!slash || !*path)
			return cap;
		*slash = 0;
	}
}

static uint64_t memory_cap(void)
{
	char buf[4096], *line, *next;
	uint64_t cap = NO_LIMIT, c;

	if (at_read_file("/proc/self/cgroup", buf, sizeof(buf)) <= 0)
		return cap;
	for (line = buf; line && *line; line = next) {
		char *controllers = strchr(line, ':'), *path;
		bool v2;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		v2 = !controllers[1];
		if (!v2 && !strstr(controllers, "memory"))
			continue;
		c = cap_of_groups(path, v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory", v2);
		if (c < cap)
			cap = c;
	}
	return cap;
}

/*
 * Of the file system never more than half of what is free, since the app's own shared
 * memory lies there too; and never beyond RLIMIT_FSIZE, where ftruncate raises SIGXFSZ
 * instead of failing.
 */
uint64_t at_affordable(const char *path, uint64_t want)
{
	uint64_t cap = memory_cap();
	struct statvfs fs;
	struct rlimit lim;

	if (want > cap)
		want = cap;
	if (!statvfs(path, &fs) && fs.f_blocks) {
		uint64_t half = (uint64_t)fs.f_bavail * fs.f_frsize / 2;

		if (want > half)
			want = half;
	}
	if (!getrlimit(RLIMIT_FSIZE, &lim) && lim.rlim_cur != RLIM_INFINITY && want > lim.rlim_cur)
		want = lim.rlim_cur;
	return want & ~(uint64_t)(AT_PAGE - 1);
}
