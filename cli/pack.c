/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pack.c - acktrail pack: trails, live ones too, into one file to carry away.
 */
#include <archive.h>
#include <archive_entry.h>
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "reader_find.h"
#include "say.h"
#include "trail_open.h"

struct args {
	char	**path;
	int	 nr_paths;
	const char *out;
};

static const struct argp_option options[] = {
	{ "output", 'o', "FILE.tar.zst", 0, "The file to write; - for standard output", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case 'o':
		args->out = arg;
		return 0;
	case ARGP_KEY_ARGS:
		args->path = state->argv + state->next;
		args->nr_paths = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which TRAIL?");
		return 0;
	case ARGP_KEY_END:
		if (!args->out)
			argp_error(state, "where to? -o FILE.tar.zst, or -o - for standard output");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "TRAIL… -o FILE.tar.zst",
	"Pack trails into one file, which every command reads.\v"
	"A trail whose process is alive is packed as it stands: what is recycled meanwhile is left out.",
	NULL, NULL, NULL
};

static bool put(struct archive *a, const void *p, size_t n)
{
	return archive_write_data(a, p, n) == (la_ssize_t)n;
}

/* Bytes as they are: what stands before the chunks, and behind them. */
static bool put_raw(struct archive *a, const struct open_trail *t, uint64_t at, uint64_t end)
{
	uint64_t left = end > at ? end - at : 0;
	char page[AT_PAGE];

	while (left) {
		size_t n = left < sizeof(page) ? (size_t)left : sizeof(page);
		ssize_t got = pread(t->fd, page, n, (off_t)at);

		if (got < 0)
			return false;
		memset(page + got, 0, n - (size_t)got);
		/* Its process goes on, and this copy does not. */
		if (!at && n == sizeof(page) && t->pub.header.state == AT_OPEN && !t->pub.gone)
			memcpy(page + offsetof(struct at_header, state), &(uint32_t){ AT_SAVED }, 4);
		if (!put(a, page, n))
			return false;
		at += n;
		left -= n;
	}
	return true;
}

static bool put_chunk(struct archive *a, const struct open_trail *t, uint32_t i, uint8_t *room)
{
	size_t size = t->pub.header.chunk_size;
	struct chunk c = { .bytes = room + sizeof(c.header) };

	memset(room, 0, size);
	switch (trail_chunk(t, i, &c)) {
	case CHUNK_OK:
		/* As far as it was written when we looked: whole events, and nothing after them. */
		memset(c.bytes + c.len, 0, size - sizeof(c.header) - c.len);
		c.header.committed = c.len;
		memcpy(room, &c.header, sizeof(c.header));
		break;
	case CHUNK_BAD:			/* as it is: the reader says so */
		if (pread(t->fd, room, size, (off_t)(t->pub.header.chunk_off + (uint64_t)i * size)) < 0)
			return false;
		break;
	default:
		memset(room, 0, size);
	}
	return put(a, room, size);
}

static bool put_trail(struct archive *a, const struct open_trail *t, const char *name)
{
	const struct at_header *h = &t->pub.header;
	uint64_t size = t->pub.file_bytes, front = size < h->chunk_off ? size : h->chunk_off;
	uint64_t room = size - front, end;
	uint32_t nr = (uint32_t)(room / h->chunk_size);	/* whole chunks that there are */
	struct archive_entry *e = archive_entry_new();
	uint8_t *chunk = malloc(h->chunk_size);
	bool ok = e && chunk;

	if (nr > t->nr_chunks)
		nr = t->nr_chunks;
	end = front + (uint64_t)nr * h->chunk_size;
	if (ok) {
		archive_entry_set_pathname(e, name);
		archive_entry_set_size(e, (la_int64_t)size);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0600);
		archive_entry_set_mtime(e, (time_t)(h->created_real_ns / 1000000000), 0);
		/* A warning: its name is not of this locale, and is kept as it is. */
		ok = archive_write_header(a, e) >= ARCHIVE_WARN && put_raw(a, t, 0, front);
	}
	for (uint32_t i = 0; ok && i < nr; i++) {
		say_progress("packing", i, nr);
		ok = put_chunk(a, t, i, chunk);
	}
	ok = ok && put_raw(a, t, end, size);
	say_progress_done();
	archive_entry_free(e);
	free(chunk);
	return ok;
}

/* The trail's own name, and a number where that is taken. */
static char *name_of(const char *path, const struct paths *all, size_t n)
{
	const char *colon = strrchr(path, ':'), *slash, *base;
	unsigned taken = 0;
	char *name = NULL;

	base = colon ? colon + 1 : path;
	slash = strrchr(base, '/');
	base = slash && slash[1] ? slash + 1 : base;
	if (!strcmp(base, ".") || !strcmp(base, "..") || !*base)
		base = "trail";
	for (size_t i = 0; i < n; i++) {
		const char *other = strrchr(all->path[i], '/');

		taken += !strcmp(other ? other + 1 : all->path[i], base);
	}
	if ((taken ? asprintf(&name, "%s-%u/" AT_FILE_NAME, base, taken + 1)
		   : asprintf(&name, "%s/" AT_FILE_NAME, base)) < 0)
		return NULL;
	return name;
}

static int pack(const struct args *args, struct archive *a, const struct paths *p)
{
	bool incomplete = false;
	unsigned packed = 0;

	for (size_t i = 0; i < p->nr; i++) {
		struct open_trail *t = p->fd[i] >= 0 ? trail_adopt(p->path[i], p->fd[i]) : trail_open(p->path[i]);
		char *name;
		bool ok;

		if (p->fd[i] >= 0)
			p->fd[i] = -1;
		if (!t) {
			incomplete = true;
			continue;
		}
		name = name_of(t->pub.path, p, i);
		ok = name && put_trail(a, t, name);
		incomplete |= t->pub.incomplete;
		free(name);
		trail_close(t);
		if (!ok) {
			say("%s cannot be written: %s", args->out,
			    archive_error_string(a) ? archive_error_string(a) : strerror(errno));
			return STATUS_CANNOT;
		}
		packed++;
	}
	if (!packed)
		return (int)say_unread();
	if (archive_write_close(a) != ARCHIVE_OK) {
		say("%s cannot be written: %s", args->out, archive_error_string(a));
		return STATUS_CANNOT;
	}
	return incomplete ? STATUS_INCOMPLETE : STATUS_DONE;
}

int cmd_pack(int argc, char **argv)
{
	struct args args = { 0 };
	struct paths found = { 0 };
	struct archive *a;
	bool unread = false;
	char *part = NULL;
	struct stat st;
	int fd = STDOUT_FILENO, status;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	for (int i = 0; i < args.nr_paths; i++)
		unread |= !paths_find(&found, args.path[i]);
	if (!found.nr) {
		paths_free(&found);
		return (int)say_unread();
	}
	if (strcmp(args.out, "-") && !stat(args.out, &st) && !S_ISREG(st.st_mode)) {
		/* A pipe or a device keeps its place. */
		fd = open(args.out, O_WRONLY | O_CLOEXEC);
		if (fd < 0) {
			say("%s: %s", args.out, strerror(errno));
			paths_free(&found);
			return STATUS_CANNOT;
		}
	} else if (strcmp(args.out, "-")) {
		/* Beside its place until it is whole. */
		if (asprintf(&part, "%s.part", args.out) < 0)
			return STATUS_CANNOT;
		fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0) {
			say("%s: %s", part, strerror(errno));
			return STATUS_CANNOT;
		}
	} else if (isatty(STDOUT_FILENO)) {
		say("that would be bytes on a terminal: -o FILE.tar.zst, or into a pipe");
		return STATUS_USAGE;
	}
	a = archive_write_new();
	if (!a || archive_write_add_filter_zstd(a) < ARCHIVE_WARN ||
	    archive_write_set_format_pax_restricted(a) != ARCHIVE_OK ||
	    archive_write_set_options(a, "hdrcharset=BINARY") < ARCHIVE_WARN ||
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK || archive_write_open_fd(a, fd) != ARCHIVE_OK) {
		say("packing cannot begin: %s", a && archive_error_string(a) ? archive_error_string(a) : "no memory");
		return STATUS_CANNOT;
	}
	status = pack(&args, a, &found);
	archive_write_free(a);
	if (part && (status == STATUS_DONE || status == STATUS_INCOMPLETE)) {
		if (fsync(fd) || rename(part, args.out)) {
			say("%s: %s", args.out, strerror(errno));
			unlink(part);
			status = STATUS_CANNOT;
		}
	} else if (part) {
		unlink(part);
	}
	if (fd != STDOUT_FILENO)
		close(fd);
	free(part);
	paths_free(&found);
	return status == STATUS_DONE && unread ? STATUS_INCOMPLETE : status;
}
