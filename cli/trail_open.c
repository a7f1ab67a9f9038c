/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trail_open.c - opens one trail and checks every number before it is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"
#include "trail_open.h"

#define CHUNK_MIN	4096u
#define CHUNK_MAX	(1u << 20)

/* ---- reading ------------------------------------------------------------- */

bool trail_is_dir(const char *path)
{
	char name[PATH_MAX];
	struct stat st;

	return snprintf(name, sizeof(name), "%s/" AT_FILE_NAME, path) < (int)sizeof(name) &&
	       !lstat(name, &st) && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode));
}

/*
 * The file of a trail: path itself, or the one inside the directory.  *window: it
 * is a symbolic link to a live window.
 */
static int open_file(const char *path, bool *window)
{
	char name[PATH_MAX];
	struct stat st;
	int fd = -1;

	*window = false;
	if (stat(path, &st)) {
		if (errno == EACCES)
			say_forbidden(path);
		else
			say("%s: %s", path, errno == ENOENT ? "there is no such file or directory" : strerror(errno));
		return -1;
	}
	if (snprintf(name, sizeof(name), S_ISDIR(st.st_mode) ? "%s/" AT_FILE_NAME : "%s", path) >=
	    (int)sizeof(name)) {
		say("%.64s…: the path is too long", path);
		return -1;
	}
	/* The link may be replaced by the file itself between the two calls: look again. */
	for (int tries = 0; tries < 3; tries++) {
		*window = S_ISDIR(st.st_mode) && !lstat(name, &st) && S_ISLNK(st.st_mode);
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0 || errno != ENOENT)
			break;
		if (stat(path, &st))
			break;
	}
	if (fd >= 0) {
		if (!fstat(fd, &st) && S_ISREG(st.st_mode))
			return fd;
		close(fd);
		say("%s is no trail: it is not a regular file", path);
	} else if (errno == ENOENT && *window) {
		say("%s: its live window is gone (the host rebooted or /dev/shm was cleared), "
		    "so nothing is left of this trail", path);
	} else if (errno == EACCES || errno == EPERM) {
		say_forbidden(path);
	} else {
		say("%s cannot be opened: %s", path, strerror(errno));
	}
	return -1;
}

/* ---- the header ---------------------------------------------------------- */

#define TERMINATE(s) ((s)[sizeof(s) - 1] = 0)

static bool inside(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* What is wrong with the layout that this header claims; NULL: nothing. */
static const char *bad_layout(const struct at_header *h)
{
	uint64_t chunks = (uint64_t)h->nr_bulk + h->nr_last;

	if (h->chunk_size < CHUNK_MIN || h->chunk_size > CHUNK_MAX || h->chunk_size & (h->chunk_size - 1))
		return "its chunk size";
	if (h->file_size > INT64_MAX || !inside(h->chunk_off, chunks * h->chunk_size, h->file_size))
		return "its number of chunks";
	if (h->chunk_off % 8 || chunks > UINT32_MAX)
		return "where its chunks begin";
	if (!inside(h->clock_off, sizeof(struct at_clock_page), h->file_size))
		return "where its clocks are";
	if (!inside(h->account_off, sizeof(struct at_account_page), h->file_size))
		return "where its account is";
	if (!inside(h->schema_off, h->schema_len, h->file_size))
		return "where its description is";
	if (h->more_off && !inside(h->more_off, sizeof(struct at_more_page), h->file_size))
		return "where the rest of its account is";
	return NULL;
}

static bool read_header(struct open_trail *t)
{
	const char *path = t->pub.path, *bad;
	struct at_header *h = &t->pub.header;
	size_t got = trail_read(t->fd, h, sizeof(*h), 0);
	/* Any version has at least these; the rest is zero when the writer had less. */
	const size_t least = offsetof(struct at_header, cmdline);

	if (got < sizeof(h->magic) || memcmp(h->magic, AT_MAGIC, sizeof(h->magic))) {
		static const char zero[sizeof(h->magic)];

		if (!got)
			say("%s is no trail: it is empty", path);
		else if (got == sizeof(*h) && !memcmp(h->magic, zero, sizeof(zero)))
			say("%s is no trail yet: its process has not finished making it (or died doing so)", path);
		else
			say("%s is no trail: it does not begin with " AT_MAGIC, path);
		return false;
	}
	if (got < least) {
		say("trail %s is cut short: %zu bytes, less than its header; nothing of it can be read", path, got);
		return false;
	}
	if (h->byte_order != AT_BYTE_ORDER) {
		say("trail %s %s", path, h->byte_order == __builtin_bswap32(AT_BYTE_ORDER) ?
		    "was written by a machine of the other byte order; read it on such a machine" :
		    "is damaged (its byte order mark); nothing of it can be read");
		return false;
	}
	if (h->min_reader > AT_VERSION) {
		say("trail %s was written by a newer acktrail (format %u, this one reads up to %u); "
		    "upgrade to read it", path, h->version, AT_VERSION);
		return false;
	}
	if (h->header_size < least || h->header_size > AT_PAGE) {
		say("trail %s is damaged (the size of its header); nothing of it can be read", path);
		return false;
	}
	if (h->header_size < sizeof(*h))
		memset((uint8_t *)h + h->header_size, 0, sizeof(*h) - h->header_size);
	bad = bad_layout(h);
	if (bad) {
		say("trail %s is damaged (%s); nothing of it can be read", path, bad);
		return false;
	}
	TERMINATE(h->boot_id);
	TERMINATE(h->host);
	TERMINATE(h->comm);
	TERMINATE(h->writer);
	TERMINATE(h->cmdline);
	if (h->timens_mono_ns < -(int64_t)TRAIL_TIME_MAX || h->timens_mono_ns > (int64_t)TRAIL_TIME_MAX) {
		h->timens_mono_ns = 0;
		t->pub.incomplete = true;
	}
	t->nr_chunks = h->nr_bulk + h->nr_last;
	return true;
}

/* ---- what follows the header --------------------------------------------- */

static bool plausible(const struct at_clock_pair *p)
{
	return p->mono_ns && p->mono_ns < TRAIL_TIME_MAX && p->real_ns && p->real_ns < TRAIL_TIME_MAX &&
	       p->width_ns < TRAIL_TIME_MAX;
}

static int by_mono(const void *a, const void *b)
{
	const struct at_clock_pair *x = a, *y = b;

	return x->mono_ns < y->mono_ns ? -1 : x->mono_ns > y->mono_ns;
}

static void read_clocks(struct open_trail *t)
{
	const struct at_header *h = &t->pub.header;
	struct at_clock_page page;
	uint64_t nr;

	memset(&page, 0, sizeof(page));
	trail_read(t->fd, &page, sizeof(page), h->clock_off);
	nr = page.nr < AT_NR_CLOCKS ? page.nr : AT_NR_CLOCKS;
	for (uint64_t i = 0; i < nr; i++)
		if (plausible(&page.pair[i]))
			t->clock[t->nr_clocks++] = page.pair[i];
	if (!t->nr_clocks) {
		struct at_clock_pair made = { h->created_mono_ns, h->created_real_ns, 0 };

		if (plausible(&made))
			t->clock[t->nr_clocks++] = made;
	}
	/* The first stays the first: the axis hangs on it. */
	if (t->nr_clocks > 1)
		qsort(t->clock + 1, (size_t)t->nr_clocks - 1, sizeof(t->clock[0]), by_mono);
}

/* Nobody counts that far; pages of counters have no checksum that could tell. */
#define COUNT_MAX	(1ull << 48)

static bool countable(const uint64_t *n, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (n[i] > COUNT_MAX)
			return false;
	return true;
}

static void read_account(struct open_trail *t)
{
	struct at_account_page *a = &t->pub.account;

	trail_read(t->fd, a, sizeof(*a), t->pub.header.account_off);
	if (t->pub.header.more_off)
		trail_read(t->fd, &t->pub.more, sizeof(t->pub.more), t->pub.header.more_off);
	if (!countable((const uint64_t *)a, sizeof(*a) / sizeof(uint64_t)) ||
	    !countable((const uint64_t *)&t->pub.more, sizeof(t->pub.more) / sizeof(uint64_t))) {
		say("trail %s is damaged (its account)", t->pub.path);
		memset(a, 0, sizeof(*a));
		memset(&t->pub.more, 0, sizeof(t->pub.more));
		t->pub.bad_account = t->pub.incomplete = true;
	}
	for (unsigned i = 0; i < AT_NR_TYPES; i++) {
		t->pub.overwritten += a->overwritten[i];
		t->pub.lost += a->lost[i];
	}
	t->pub.lost += a->probe_lost;
}

static bool read_schema(struct open_trail *t)
{
	const struct at_header *h = &t->pub.header;
	size_t len = h->schema_len < (1u << 20) ? h->schema_len : (1u << 20);
	char *text = malloc(len + 1);

	if (!text)
		return false;
	len = trail_read(t->fd, text, len, h->schema_off);
	bool ok = schema_parse(&t->schema, text, len);

	free(text);
	return ok;
}

static struct open_trail *open_as(const char *path, int fd)
{
	struct open_trail *t = calloc(1, sizeof(*t));
	bool window = false;
	struct stat st;
	size_t len;

	if (!t || !(t->pub.path = strdup(path))) {
		free(t);
		if (fd >= 0)
			close(fd);
		say("out of memory");
		return NULL;
	}
	for (len = strlen(t->pub.path); len > 1 && t->pub.path[len - 1] == '/'; len--)
		t->pub.path[len - 1] = 0;
	t->fd = fd >= 0 ? fd : open_file(t->pub.path, &window);
	if (t->fd < 0 || !read_header(t) || fstat(t->fd, &st))
		goto fail;
	t->pub.file_bytes = (uint64_t)st.st_size;
	if (t->pub.file_bytes < t->pub.header.file_size) {
		t->pub.incomplete = true;
		say("trail %s is cut short: %llu of %llu bytes; reading what is whole", t->pub.path,
		    (unsigned long long)t->pub.file_bytes,
		    (unsigned long long)t->pub.header.file_size);
	}
	read_clocks(t);
	read_account(t);
	if (!read_schema(t)) {
		say("out of memory");
		goto fail;
	}
	if (t->schema.damaged) {
		t->pub.incomplete = true;
		if (t->pub.file_bytes >= t->pub.header.schema_off + t->pub.header.schema_len)
			say("trail %s: its description of the events is damaged; "
			    "reading the events as this version knows them", t->pub.path);
	}
	if (t->pub.header.state == AT_OPEN || window) {
		t->process = window_process(&t->pub.header);
		t->pub.live = t->pub.header.state == AT_OPEN && t->process == PROCESS_THERE;
		t->pub.gone = t->pub.header.state == AT_OPEN && t->process == PROCESS_GONE;
	}
	/* What we hold open stays readable when the window is taken away. */
	if (window && t->process == PROCESS_GONE)
		window_collect(t->pub.path);
	return t;
fail:
	trail_close(t);
	return NULL;
}

struct open_trail *trail_open(const char *path)
{
	return open_as(path, -1);
}

struct open_trail *trail_adopt(const char *name, int fd)
{
	return open_as(name, fd);
}

void trail_close(struct open_trail *t)
{
	struct name *n, *next;

	if (!t)
		return;
	for (int kind = 0; kind < NR_NAME_KINDS; kind++)
		HASH_ITER(hh, t->name[kind], n, next) {
			HASH_DEL(t->name[kind], n);
			free(n->text);
			free(n->file);
			free(n);
		}
	schema_free(&t->schema);
	if (t->fd >= 0)
		close(t->fd);
	free(t->pub.path);
	free(t);
}

/* ---- names --------------------------------------------------------------- */

static struct name *find_name(const struct open_trail *t, enum name_kind kind, uint32_t id)
{
	struct name *n;

	HASH_FIND(hh, t->name[kind], &id, sizeof(id), n);
	return n;
}

void trail_learn_name(struct open_trail *t, const struct event *ev)
{
	enum name_kind kind = ev->type == AT_EV_TOPIC ? NAME_TOPIC :
			      ev->type == AT_EV_FILE ? NAME_FILE : NAME_THREAD;
	uint32_t id = kind == NAME_TOPIC ? ev->topic.topic : kind == NAME_FILE ? ev->file.file : ev->tid;
	struct name *n;

	/*
	 * Restated in every chunk: the first one stays, so that pointers to it do.  A topic may
	 * be known by its uuid alone at first.
	 */
	if (!id || (kind == NAME_TOPIC && !ev->tail_len) || (n = find_name(t, kind, id)))
		return;
	n = calloc(1, sizeof(*n));
	if (!n)
		return;
	n->id = id;
	n->text = strndup(ev->tail, ev->tail_len);
	if (kind == NAME_FILE && (n->file = malloc(sizeof(*n->file))))
		*n->file = ev->file;
	if (!n->text || (kind == NAME_FILE && !n->file)) {
		free(n->text);
		free(n->file);
		free(n);
		return;
	}
	HASH_ADD(hh, t->name[kind], id, sizeof(n->id), n);
}

static const char *name_text(const struct trail *t, enum name_kind kind, uint32_t id)
{
	struct name *n = find_name(open_trail_of(t), kind, id);

	return n ? n->text : NULL;
}

const char *trail_topic(const struct trail *t, uint32_t topic)
{
	return name_text(t, NAME_TOPIC, topic);
}

const char *trail_file_path(const struct trail *t, uint32_t file)
{
	return name_text(t, NAME_FILE, file);
}

const char *trail_thread(const struct trail *t, uint32_t tid)
{
	return name_text(t, NAME_THREAD, tid);
}

const struct ev_file *trail_file(const struct trail *t, uint32_t file)
{
	struct name *n = find_name(open_trail_of(t), NAME_FILE, file);

	return n ? n->file : NULL;
}

int trail_clocks(const struct trail *t, const struct at_clock_pair **pairs)
{
	*pairs = open_trail_of(t)->clock;
	return open_trail_of(t)->nr_clocks;
}

const struct schema *trail_schema(const struct trail *t)
{
	return &open_trail_of(t)->schema;
}
