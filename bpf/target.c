// SPDX-License-Identifier: BSD-2-Clause
/*
 * target.c - finds the brokers of this host and their log directories: by class
 * name on the command line, or by the segments that a process holds open.  All
 * paths are taken through /proc/PID/root, so that a broker in a container is read
 * as it sees itself.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "inner.h"

#define CMDLINE	(64 << 10)

static ssize_t slurp(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -1;
	while (len < size - 1 && (n = read(fd, to + len, size - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	to[len] = 0;
	return n < 0 ? -1 : (ssize_t)len;
}

/* ---- log directories ------------------------------------------------------ */

/*
 * The device as the kernel's super block has it: st_dev differs on btrfs, so ask
 * the mount that the directory lies on; its source names the disk where the
 * super block has none (major 0).
 */
static void dir_device(struct log_dir *d, const struct statx *sx)
{
	char path[64], line[4096], source[512], *dash;
	unsigned id, major_nr, minor_nr;
	struct stat st;
	FILE *f;

	d->dev = makedev(sx->stx_dev_major, sx->stx_dev_minor);
	d->disk = sx->stx_dev_major ? d->dev : 0;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", d->pid ? (int)d->pid : (int)getpid());
	f = sx->stx_mask & STATX_MNT_ID ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%u %*u %u:%u", &id, &major_nr, &minor_nr) != 3 || id != sx->stx_mnt_id)
			continue;
		d->dev = makedev(major_nr, minor_nr);
		dash = strstr(line, " - ");
		if (major_nr)
			d->disk = d->dev;
		else if (dash && sscanf(dash, " - %*s %511s", source) == 1 && source[0] == '/' &&
			 !stat(source, &st) && S_ISBLK(st.st_mode))
			d->disk = st.st_rdev;
		break;
	}
	if (f)
		fclose(f);
}

static void dir_add(struct probe *p, pid_t pid, const char *path)
{
	struct log_dir *d = &p->dirs[p->nr_dirs];
	struct statx sx;

	if (p->nr_dirs == MAX_DIRS || path[0] != '/')
		return;
	memset(d, 0, sizeof(*d));
	d->pid = pid;
	d->found_ns = p->attached_ns ? at_now() : 0;
	snprintf(d->path, sizeof(d->path), "%s", path);
	if (pid)
		snprintf(d->seen, sizeof(d->seen), "/proc/%d/root%s", (int)pid, path);
	else
		snprintf(d->seen, sizeof(d->seen), "%s", path);
	if (statx(AT_FDCWD, d->seen, 0, STATX_BASIC_STATS | STATX_MNT_ID, &sx) || !S_ISDIR(sx.stx_mode))
		return;
	d->ino = sx.stx_ino;
	dir_device(d, &sx);
	for (unsigned i = 0; i < p->nr_dirs; i++) {
		struct log_dir *known = &p->dirs[i];

		if (known->ino != d->ino || known->dev != d->dev)
			continue;
		/* By whom it is seen now: who named it before may be gone. */
		if (pid) {
			known->pid = pid;
			memcpy(known->path, d->path, sizeof(known->path));
			memcpy(known->seen, d->seen, sizeof(known->seen));
		}
		return;
	}
	p->nr_dirs++;
}

static void dirs_add_list(struct probe *p, pid_t pid, const char *cwd, char *list)
{
	char full[PATH_MAX], *save, *one;

	for (one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		while (isspace((unsigned char)*one))
			one++;
		one[strcspn(one, " \t\r")] = 0;
		if (*one == '/')
			snprintf(full, sizeof(full), "%.4000s", one);
		else
			snprintf(full, sizeof(full), "%.2000s/%.2000s", cwd, one);
		dir_add(p, pid, full);
	}
}

/* A path of a segment: its log directory is two levels up. */
static bool segment_dir(char *path)
{
	char *name = strrchr(path, '/'), *part, *dash;

	if (!name || strlen(name + 1) != 24 || strcmp(name + 21, ".log"))
		return false;
	for (int i = 1; i <= 20; i++)
		if (!isdigit((unsigned char)name[i]))
			return false;
	*name = 0;
	part = strrchr(path, '/');
	dash = part ? strrchr(part, '-') : NULL;
	if (!dash || !isdigit((unsigned char)dash[1]))
		return false;
	*part = 0;
	return path[0] == '/';
}

static bool dir_known(const struct probe *p, pid_t pid, const char *path)
{
	char seen[PATH_MAX + 32];
	struct stat st;

	snprintf(seen, sizeof(seen), "/proc/%d/root%s", (int)pid, path);
	if (stat(seen, &st))
		return false;
	for (unsigned i = 0; i < p->nr_dirs; i++)
		if (p->dirs[i].ino == st.st_ino)
			return true;
	return false;
}

/* Segments that the process holds open: with add their directories, else whether there are any. */
static bool dirs_from_files(struct probe *p, pid_t pid, bool add)
{
	char path[PATH_MAX], link[PATH_MAX];
	bool found = false;
	struct dirent *e;
	DIR *dir;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (!segment_dir(link) || (p->opt.nr_dirs && !dir_known(p, pid, link)))
			continue;
		found = true;
		if (!add)
			break;
		dir_add(p, pid, link);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* ---- ports ---------------------------------------------------------------- */

struct listener { unsigned long inode; uint16_t port; };

static unsigned listeners_read(pid_t pid, const char *leaf, struct listener *to, unsigned max)
{
	char path[64], line[512];
	unsigned n = 0, port, state;
	unsigned long inode;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, leaf);
	f = fopen(path, "re");
	while (f && n < max && fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu",
			   &port, &state, &inode) == 3 && state == 0x0a)
			to[n++] = (struct listener){ inode, (uint16_t)port };
	if (f)
		fclose(f);
	return n;
}

static void ports_find(struct target *t)
{
	struct listener l[512];
	unsigned n = listeners_read(t->pid, "tcp", l, 256);
	char path[64], link[64];
	unsigned long inode;
	struct dirent *e;
	ssize_t len;
	DIR *dir;

	n += listeners_read(t->pid, "tcp6", l + n, 256);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)t->pid);
	dir = n ? opendir(path) : NULL;
	while (dir && (e = readdir(dir))) {
		len = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		if (len <= 0)
			continue;
		link[len] = 0;
		if (sscanf(link, "socket:[%lu]", &inode) != 1)
			continue;
		for (unsigned i = 0; i < n; i++)
			if (l[i].inode == inode && t->nr_ports < MAX_PORTS)
				t->ports[t->nr_ports++] = l[i].port;
	}
	if (dir)
		closedir(dir);
}

static void port_first(struct target *t, uint16_t port)
{
	for (unsigned i = 1; i < t->nr_ports; i++)
		if (t->ports[i] == port) {
			t->ports[i] = t->ports[0];
			t->ports[0] = port;
		}
}

/* ---- the broker's configuration ------------------------------------------- */

struct settings {
	char log_dirs[4096], log_dir[1024], metadata_dir[1024];
	char listeners[1024], controllers[256], protocols[1024];
	int32_t id;
};

static void setting(struct settings *s, const char *key, const char *value)
{
	if (!strcmp(key, "log.dirs"))
		snprintf(s->log_dirs, sizeof(s->log_dirs), "%.4095s", value);
	else if (!strcmp(key, "log.dir"))
		snprintf(s->log_dir, sizeof(s->log_dir), "%.1023s", value);
	else if (!strcmp(key, "metadata.log.dir"))
		snprintf(s->metadata_dir, sizeof(s->metadata_dir), "%.1023s", value);
	else if (!strcmp(key, "listeners"))
		snprintf(s->listeners, sizeof(s->listeners), "%.1023s", value);
	else if (!strcmp(key, "controller.listener.names"))
		snprintf(s->controllers, sizeof(s->controllers), "%.255s", value);
	else if (!strcmp(key, "listener.security.protocol.map"))
		snprintf(s->protocols, sizeof(s->protocols), "%.1023s", value);
	else if (!strcmp(key, "node.id") || (!strcmp(key, "broker.id") && s->id < 0))
		s->id = atoi(value);
}

static void settings_line(struct settings *s, char *line)
{
	char *key = line, *value, *end;

	while (isspace((unsigned char)*key))
		key++;
	if (!*key || *key == '#' || *key == '!')
		return;
	value = key + strcspn(key, "=:");
	if (!*value)
		return;
	*value++ = 0;
	key[strcspn(key, " \t")] = 0;
	while (isspace((unsigned char)*value))
		value++;
	end = value + strlen(value);
	while (end > value && isspace((unsigned char)end[-1]))
		*--end = 0;
	setting(s, key, value);
}

static bool settings_file(struct settings *s, pid_t pid, const char *cwd, const char *name)
{
	char path[PATH_MAX], line[8192];
	FILE *f = NULL;
	int fd;

	if (name[0] == '/')
		snprintf(path, sizeof(path), "/proc/%d/root%.3900s", (int)pid, name);
	else
		snprintf(path, sizeof(path), "/proc/%d/root%.1900s/%.1900s", (int)pid, cwd, name);
	/* Whatever a command line names: a pipe that nobody writes is no file to wait for. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && !(f = fdopen(fd, "r")))
		close(fd);
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		settings_line(s, line);
	fclose(f);
	return true;
}

/* The first listener that is not a controller's: where clients come in. */
static void settings_port(const struct settings *s, struct target *t)
{
	char list[1024], *save, *one, *colon;

	snprintf(list, sizeof(list), "%s", s->listeners);
	for (one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		size_t len = strcspn(one, ":");

		while (isspace((unsigned char)*one))
			one++, len--;
		colon = strrchr(one, ':');
		if (strncasecmp(one, "SSL", 3) == 0 || strncasecmp(one, "SASL_SSL", 8) == 0)
			t->tls = true;
		if (len && len == strlen(s->controllers) && !strncasecmp(one, s->controllers, len))
			continue;
		if (colon) {
			t->client_port = (uint16_t)atoi(colon + 1);
			port_first(t, t->client_port);
			return;
		}
	}
}

/* ---- processes ------------------------------------------------------------ */

/* Adds the process if it is a broker, or if it must be one (-p). */
static bool target_try(struct probe *p, pid_t pid, bool given, char *cmdline)
{
	struct target *t = &p->targets[p->nr_targets];
	struct settings s = { .id = -1 };
	char path[64], cwd[PATH_MAX];
	char *arg, *file = NULL, *end;
	bool kafka = false;
	ssize_t len, n;

	if (p->nr_targets == MAX_TARGETS)
		return false;
	for (unsigned i = 0; i < p->nr_targets; i++)
		if (p->targets[i].pid == pid && !p->targets[i].gone)
			return false;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	len = slurp(path, cmdline, CMDLINE);
	if (len <= 0)
		return false;
	end = cmdline + len;
	snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
	n = readlink(path, cwd, sizeof(cwd) - 1);
	cwd[n > 0 ? n : 0] = 0;

	for (arg = cmdline; arg < end; arg += strlen(arg) + 1) {
		if (!kafka) {
			kafka = !strcmp(arg, "kafka.Kafka") || !strcmp(arg, "io.confluent.support.metrics.SupportedKafka");
			continue;
		}
		if (!file && arg[0] != '-') {
			file = arg;
			settings_file(&s, pid, cwd, file);
		} else if (!strcmp(arg, "--override") && arg + strlen(arg) + 1 < end) {
			arg += strlen(arg) + 1;
			settings_line(&s, strdupa(arg));
		}
	}
	/* Of the directories that were named only their own process is of interest. */
	if (!given && (!kafka || p->opt.nr_dirs) && !dirs_from_files(p, pid, false))
		return false;

	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->found_ns = p->attached_ns ? at_now() : 0;
	t->broker = s.id;
	ports_find(t);
	settings_port(&s, t);
	snprintf(t->how, sizeof(t->how), "%s", given ? "given with -p" :
		 kafka ? "its command line runs kafka.Kafka" : "it holds segments open");
	p->nr_targets++;
	if (p->opt.nr_dirs)
		return true;
	if (s.log_dirs[0])
		dirs_add_list(p, pid, cwd, s.log_dirs);
	else if (s.log_dir[0])
		dirs_add_list(p, pid, cwd, s.log_dir);
	if (s.metadata_dir[0])
		dirs_add_list(p, pid, cwd, s.metadata_dir);
	dirs_from_files(p, pid, true);
	return true;
}

static void targets_scan(struct probe *p, char *cmdline)
{
	struct dirent *e;
	DIR *proc = opendir("/proc");

	while (proc && (e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]) && atoi(e->d_name) != getpid())
			target_try(p, atoi(e->d_name), false, cmdline);
	if (proc)
		closedir(proc);
}

int targets_find(struct probe *p, char *why, size_t size)
{
	char *cmdline = malloc(CMDLINE), full[PATH_MAX];

	if (!cmdline) {
		snprintf(why, size, "out of memory");
		return -1;
	}
	for (unsigned i = 0; i < p->opt.nr_dirs; i++) {
		unsigned before = p->nr_dirs;

		if (!realpath(p->opt.dirs[i], full))
			snprintf(full, sizeof(full), "%.4000s", p->opt.dirs[i]);
		dir_add(p, 0, full);
		if (p->nr_dirs == before && p->opt.nr_pids)
			dir_add(p, p->opt.pids[0], full);
		if (p->nr_dirs == before) {
			snprintf(why, size, "--log-dir %.150s is not a directory that can be read", p->opt.dirs[i]);
			free(cmdline);
			return -1;
		}
	}
	for (unsigned i = 0; i < p->opt.nr_pids; i++)
		if (!target_try(p, p->opt.pids[i], true, cmdline)) {
			snprintf(why, size, "there is no process %d to witness; name the broker's pid with -p",
				 (int)p->opt.pids[i]);
			free(cmdline);
			return -1;
		}
	if (!p->opt.nr_pids)
		targets_scan(p, cmdline);
	free(cmdline);
	if (!p->nr_targets) {
		snprintf(why, size, p->opt.nr_dirs ?
			 "no process holds segments open under the directories of --log-dir; start the broker first, or name its process with -p PID" :
			 "no Kafka broker was found on this host; start it first, or name its process with -p PID");
		return -1;
	}
	if (!p->nr_dirs) {
		snprintf(why, size, "the log directories of process %d were not found; name them with --log-dir DIR",
			 (int)p->targets[0].pid);
		return -1;
	}
	return 0;
}

/*
 * A broker listens some time after its start, a long one after a crash (it recovers its logs), and to its controller
 * before its clients.  To look costs a link a descriptor.
 */
static bool ports_again(struct target *t)
{
	unsigned before = t->nr_ports;
	bool there = !t->client_port && t->nr_ports;

	for (unsigned i = 0; i < t->nr_ports; i++)
		there |= t->ports[i] == t->client_port;
	if (there || (++t->looked > 60 && t->looked % 10))
		return false;
	t->nr_ports = 0;
	ports_find(t);
	port_first(t, t->client_port);
	return t->nr_ports != before;
}

bool targets_alive(struct probe *p, bool *changed)
{
	char path[64], *cmdline;
	unsigned alive = 0, dirs = p->nr_dirs, targets;

	*changed = false;
	for (unsigned i = 0; i < p->nr_targets; i++) {
		struct target *t = &p->targets[i];

		snprintf(path, sizeof(path), "/proc/%d", (int)t->pid);
		if (!t->gone && access(path, F_OK)) {
			t->gone = *changed = true;
			load_forget(p, t->pid);
		}
		alive += !t->gone;
		*changed |= !t->gone && ports_again(t);
	}
	if (p->opt.nr_pids || alive == p->nr_targets)
		return alive;
	/* Who is gone is expected to come back; his place is kept until then. */
	cmdline = malloc(CMDLINE);
	if (!cmdline)
		return alive;
	if (p->nr_targets == MAX_TARGETS) {
		alive = 0;
		for (unsigned i = 0; i < p->nr_targets; i++)
			if (!p->targets[i].gone)
				p->targets[alive++] = p->targets[i];
		p->nr_targets = alive;
	}
	targets = p->nr_targets;
	targets_scan(p, cmdline);
	free(cmdline);
	for (unsigned i = 0, gone = 0, more = p->nr_targets - targets; i < p->nr_targets && gone < more; i++)
		if (p->targets[i].gone) {
			memmove(&p->targets[i], &p->targets[i + 1], (p->nr_targets - i - 1) * sizeof(p->targets[0]));
			p->nr_targets--;
			targets--;
			gone++;
			i--;
		}
	for (unsigned i = targets; i < p->nr_targets; i++)
		fprintf(stderr, "acktrail probe: now also process %d (%s)\n", (int)p->targets[i].pid, p->targets[i].how);
	*changed |= targets < p->nr_targets || dirs != p->nr_dirs;
	return true;
}
