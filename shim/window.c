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
#include <strings.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "writer_int.h"

#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif
#define RAMFS_MAGIC_ 0x858458f6
#define MIN_BYTES (1u << 20)
#define ROUND(x) (((uint64_t)(x) + AT_PAGE - 1) & ~(uint64_t)(AT_PAGE - 1))

/* ---- the self-description ------------------------------------------------ */

#define SCHEMA_LINE(NAME, name, nr, when, fields, tail) \
	{ nr, sizeof(struct ev_##name), #name, fields "", tail },

static const struct { uint32_t nr, bytes; const char *name, *fields, *tail; } schema[] = {
	AT_EVENTS(SCHEMA_LINE, AT_SCHEMA_FIELD)
};

/* Writes to out when it is not NULL; returns the length. */
static size_t schema_text(char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < sizeof(schema) / sizeof(schema[0]); i++) {
		int n = snprintf(out ? out + len : NULL, out ? size - len : 0,
				 "%u %s %u%s%s%s\n", schema[i].nr, schema[i].name,
				 schema[i].bytes, schema[i].fields,
				 AT_SCHEMA_TAIL(schema[i].tail), schema[i].tail);
		len += (size_t)n;
	}
	return len;
}

/* ---- what the header says of this process -------------------------------- */

ssize_t at_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	return n;
}

static bool smells_of_secret(const char *word)
{
	static const char *const smells[] = {
		"password", "passwd", "secret", "token", "jaas", "credential", "apikey", "api_key", "api-key",
		"pwd", "sasl.username", "private",
	};

	for (size_t i = 0; i < sizeof(smells) / sizeof(smells[0]); i++)
		if (strcasestr(word, smells[i]))
			return true;
	return false;
}

/* Arguments joined by spaces; what follows a word that smells of a secret is masked. */
static void fill_cmdline(char *out, size_t size)
{
	char raw[4096];
	ssize_t n = at_read_file("/proc/self/cmdline", raw, sizeof(raw));
	bool mask_next = false;
	size_t len = 0;

	for (ssize_t i = 0; i < n && len + 8 < size; ) {
		char *word = raw + i;
		size_t word_len = strlen(word), room = size - len - 1;
		char *cut = smells_of_secret(word) ? strpbrk(word, "=:") : NULL;
		int put;

		if (mask_next)
			put = snprintf(out + len, room, "***");
		else if (cut)
			put = snprintf(out + len, room, "%.*s***", (int)(cut - word + 1), word);
		else
			put = snprintf(out + len, room, "%s", word);
		mask_next = !mask_next && !cut && smells_of_secret(word);
		len += (size_t)put < room ? (size_t)put : room - 1;
		i += (ssize_t)word_len + 1;
		if (i < n)
			out[len++] = ' ';
	}
	out[len] = 0;
}

uint64_t at_number(const char *p)
{
	uint64_t n = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	while (*p >= '0' && *p <= '9')
		n = n * 10 + (uint64_t)(*p++ - '0');
	return n;
}

static uint64_t start_ticks(void)
{
	char buf[1024], *p;
	uint64_t ticks = 0;

	if (at_read_file("/proc/self/stat", buf, sizeof(buf)) <= 0)
		return 0;
	p = strrchr(buf, ')');		/* the command may hold spaces */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		ticks = at_number(p + 1);
	return ticks;
}

/* timens_offsets lists "monotonic SEC NSEC"; absent before Linux 5.5. */
static int64_t timens_mono(void)
{
	char buf[256], *p;

	if (at_read_file("/proc/self/timens_offsets", buf, sizeof(buf)) <= 0)
		return 0;
	p = strstr(buf, "monotonic");
	if (!p)
		return 0;
	p += strlen("monotonic");
	p += strspn(p, " \t");
	bool behind = *p == '-';
	int64_t sec = (int64_t)at_number(p + behind);

	p += behind;
	p += strspn(p, "0123456789");
	return (behind ? -sec : sec) * 1000000000 + (int64_t)at_number(p);
}

/* NSpid lists this process from the outermost namespace that /proc shows. */
static uint32_t pid_outermost(void)
{
	char buf[4096], *p;

	if (at_read_file("/proc/self/status", buf, sizeof(buf)) <= 0)
		return 0;
	p = strstr(buf, "\nNSpid:");
	return p ? (uint32_t)at_number(p + 7) : 0;
}

/* All that stands before the chunks. */
static uint64_t front_bytes(uint64_t schema_len)
{
	return 2 * AT_PAGE + ROUND(sizeof(struct at_account_page)) + ROUND(schema_len) +
	       ROUND(sizeof(struct at_more_page));
}

static void fill_header(struct at_writer *w, const struct at_writer_conf *conf,
			uint64_t size, uint64_t schema_len)
{
	struct at_header *h = w->header;
	struct timespec real;
	char buf[64];

	h->version = AT_VERSION;
	h->min_reader = AT_MIN_READER;
	h->byte_order = AT_BYTE_ORDER;
	if (syscall(SYS_getrandom, h->uuid, sizeof(h->uuid), 1 /* GRND_NONBLOCK */) != sizeof(h->uuid))
		memcpy(h->uuid, &(uint64_t){ at_now() }, 8);
	h->header_size = sizeof(*h);
	h->chunk_size = AT_CHUNK_SIZE;
	h->clock_off = AT_PAGE;
	h->account_off = 2 * AT_PAGE;
	h->schema_off = h->account_off + ROUND(sizeof(struct at_account_page));
	h->schema_len = schema_len;
	h->more_off = h->schema_off + ROUND(schema_len);
	h->chunk_off = front_bytes(schema_len);
	h->nr_bulk = (uint32_t)((size - h->chunk_off) / AT_CHUNK_SIZE);
	h->nr_last = h->nr_bulk / 4 ? h->nr_bulk / 4 : 1;
	h->nr_bulk -= h->nr_last;
	h->file_size = size;
	h->kind = conf->kind;
	h->flags = conf->flags;
	if (h->kind == AT_KIND_SHIM)
		h->control = h->obeys = w->dormant ? AT_CONTROL_OFF : AT_CONTROL_ON;
	h->pid = (uint32_t)getpid();
	h->uid = (uint32_t)geteuid();
	h->pid_host = pid_outermost();
	h->start_ticks = start_ticks();
	h->timens_mono_ns = timens_mono();
	h->created_mono_ns = at_now();
	clock_gettime(CLOCK_REALTIME, &real);
	h->created_real_ns = (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec;
	if (at_read_file("/proc/sys/kernel/random/boot_id", buf, sizeof(buf)) >= 36)
		memcpy(h->boot_id, buf, 36);
	gethostname(h->host, sizeof(h->host) - 1);
	if (at_read_file("/proc/self/comm", buf, sizeof(buf)) > 0) {
		buf[strcspn(buf, "\n")] = 0;
		snprintf(h->comm, sizeof(h->comm), "%.15s", buf);
	}
	snprintf(h->writer, sizeof(h->writer), "acktrail %s", ACKTRAIL_VERSION);
	fill_cmdline(h->cmdline, sizeof(h->cmdline));
}

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
			 (int)getpid(), (unsigned long long)start_ticks());
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

/* ---- the window ---------------------------------------------------------- */

/* Of the size's bytes the first get their memory now. */
static int open_window(const char *path, uint64_t size, uint64_t now)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), err;

	if (fd < 0)
		return -errno;
	if ((now < size && ftruncate(fd, (off_t)size)) || fallocate(fd, 0, 0, (off_t)now)) {
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
	size_t schema_len = schema_text(NULL, 0);
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
	fd = place_window(w, conf->max_bytes, front_bytes(schema_len), &size);
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
		unlink(w->window);
		goto fail;
	}
	w->size = size;
	w->header = (struct at_header *)w->base;
	fill_header(w, conf, size, schema_len);
	w->clocks = (struct at_clock_page *)(w->base + w->header->clock_off);
	w->account = (struct at_account_page *)(w->base + w->header->account_off);
	w->more = (struct at_more_page *)(w->base + w->header->more_off);
	w->chunks = w->base + w->header->chunk_off;
	schema_text((char *)w->base + w->header->schema_off, ROUND(schema_len));
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
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	bool ok = copy_out(w, fd);

	if (close(fd) || !ok || rename(temp, link_path)) {
		unlink(temp);
		return;
	}
	unlink(w->window);
}

/* Nothing was ever witnessed: an empty trail would only be in the way. */
static void remove_trail(const struct at_writer *w)
{
	char name[sizeof(w->dir) + 16];

	snprintf(name, sizeof(name), "%s/" AT_FILE_NAME, w->dir);
	unlink(name);
	if (w->window[0])
		unlink(w->window);
	rmdir(w->dir);
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
