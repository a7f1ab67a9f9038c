// SPDX-License-Identifier: BSD-2-Clause
/* disk.c - the block devices under the log directories: what they are, how busy. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"

static int read_line(char *to, size_t size, const char *fmt, uint64_t dev, const char *leaf)
{
	char path[400];
	FILE *f;
	int ok;

	snprintf(path, sizeof(path), fmt, major(dev), minor(dev), leaf);
	f = fopen(path, "re");
	if (!f)
		return -1;
	ok = fgets(to, (int)size, f) != NULL;
	fclose(f);
	if (!ok)
		return -1;
	to[strcspn(to, "\n")] = 0;
	return 0;
}

#define SYS	"/sys/dev/block/%u:%u/%s"

static struct device *device_add(struct probe *p, uint64_t dev)
{
	struct device *d;
	char line[256], path[128], link[512];
	unsigned major_nr, minor_nr;
	ssize_t len;

	for (unsigned i = 0; i < p->nr_devices; i++)
		if (p->devices[i].dev == dev)
			return &p->devices[i];
	if (p->nr_devices == MAX_DEVICES || read_line(line, sizeof(line), SYS, dev, "dev"))
		return NULL;
	d = &p->devices[p->nr_devices++];
	memset(d, 0, sizeof(*d));
	d->dev = dev;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	len = readlink(path, link, sizeof(link) - 1);
	if (len > 0) {
		link[len] = 0;
		snprintf(d->name, sizeof(d->name), "%.63s", strrchr(link, '/') ? strrchr(link, '/') + 1 : link);
	}
	if (!read_line(line, sizeof(line), SYS, dev, "partition") &&
	    !read_line(line, sizeof(line), SYS, dev, "../dev") &&
	    sscanf(line, "%u:%u", &major_nr, &minor_nr) == 2)
		d->parent = makedev(major_nr, minor_nr);
	dev = d->parent ? d->parent : dev;
	snprintf(path, sizeof(path), SYS, major(dev), minor(dev), "mq");
	d->requests = !access(path, F_OK);
	if (!read_line(line, sizeof(line), SYS, dev, "queue/rotational"))
		d->rotational = line[0] == '1';
	if (!read_line(line, sizeof(line), SYS, dev, "queue/write_cache"))
		d->write_cache = !strcmp(line, "write back");
	return d;
}

/* A loop device is a file of another file system, dm and md are other devices. */
static void look_beneath(struct device *d)
{
	char path[128], file[512];
	struct dirent *e;
	struct stat st;
	DIR *dir;

	if (!read_line(file, sizeof(file), SYS, d->dev, "loop/backing_file")) {
		d->stacked = 1;
		if (!stat(file, &st) && S_ISREG(st.st_mode) && major(st.st_dev)) {
			d->below = st.st_dev;
			d->below_ino = st.st_ino;
		}
		return;
	}
	snprintf(path, sizeof(path), SYS, major(d->dev), minor(d->dev), "slaves");
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		unsigned major_nr, minor_nr;
		char line[64], leaf[300];

		snprintf(leaf, sizeof(leaf), "slaves/%s/dev", e->d_name);
		if (e->d_name[0] == '.' || read_line(line, sizeof(line), SYS, d->dev, leaf) ||
		    sscanf(line, "%u:%u", &major_nr, &minor_nr) != 2)
			continue;
		d->below = d->stacked++ ? 0 : makedev(major_nr, minor_nr);
	}
	if (dir)
		closedir(dir);
}

/* The device, the whole disk that it is a part of, and what these lie on. */
static void device_follow(struct probe *p, uint64_t dev, unsigned depth)
{
	struct device *d = device_add(p, dev);

	if (!d || depth > 4)
		return;
	if (d->parent) {
		device_follow(p, d->parent, depth);
		return;
	}
	if (!d->stacked)
		look_beneath(d);
	if (d->below)
		device_follow(p, d->below, depth + 1);
}

void devices_find(struct probe *p)
{
	for (unsigned i = 0; i < p->nr_dirs; i++)
		if (p->dirs[i].disk)
			device_follow(p, p->dirs[i].disk, 0);
}

void devices_sample(struct probe *p, uint64_t now)
{
	for (unsigned i = 0; i < p->nr_devices; i++) {
		struct device *d = &p->devices[i];
		unsigned long long v[17] = {};
		struct ev_disk *ev;
		char line[512], *at = line, *end;
		unsigned n = 0;

		if (d->parent || read_line(line, sizeof(line), SYS, d->dev, "stat"))
			continue;
		for (; n < 17; n++, at = end) {
			v[n] = strtoull(at, &end, 10);
			if (end == at)
				break;
		}
		if (n < 11)
			continue;
		ev = event_begin(p, AT_BULK, AT_EV_DISK, now, 0, 0, sizeof(*ev), 0, 0, NULL, 0);
		if (!ev)
			continue;
		ev->dev = d->dev;
		ev->reads = v[0];
		ev->writes = v[4];
		ev->busy_ms = v[9];
		ev->flushes = v[15];
		ev->flush_ms = v[16];
		event_commit(p, AT_BULK);
	}
}
