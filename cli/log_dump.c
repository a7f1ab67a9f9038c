/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <acktrail/kafka.h>
#include "join_int.h"
#include "log_dump.h"
#include "say.h"
#include "table.h"

struct at { char topic[KAFKA_TOPIC_MAX + 1]; int32_t partition; };

struct extent { int64_t first, last, created_ms; };

struct logged {			/* a partition's log */
	struct at key;
	struct extent *extent;
	size_t	 nr, room;
	bool	 stamped;		/* LogAppendTime */
	bool	 compacted;		/* batches keep their offsets, and get another CRC */
	bool	 judged;
	int64_t	 whole_until;
	UT_hash_handle hh;
};

struct id { const struct logged *log; uint32_t crc, count; };
struct found { struct id key; unsigned times; UT_hash_handle hh; };

struct log_dump {
	struct logged *logs;
	struct found *batches;
	size_t	 nr;
};

static struct logged *log_find(const struct log_dump *d, const char *topic, int32_t partition)
{
	struct at key;
	struct logged *l;

	memset(&key, 0, sizeof(key));
	snprintf(key.topic, sizeof(key.topic), "%s", topic);
	key.partition = partition;
	HASH_FIND(hh, d->logs, &key, sizeof(key), l);
	return l;
}

/* "Dumping /data/kafka/my-topic-3/00000000000000000000.log" → my-topic, 3 */
static struct logged *log_of(struct log_dump *d, const char *path)
{
	const char *end = strrchr(path, '/'), *begin = end, *dash = NULL;
	char topic[KAFKA_TOPIC_MAX + 1];
	struct logged *l;
	char *rest;
	long n;

	if (!end || !strstr(end, ".log"))
		return NULL;
	while (begin > path && begin[-1] != '/')
		begin--;
	for (const char *p = begin; p < end; p++)
		if (*p == '-')
			dash = p;
	if (!dash || dash == begin || dash - begin > KAFKA_TOPIC_MAX)
		return NULL;
	n = strtol(dash + 1, &rest, 10);
	if (rest != end || rest == dash + 1 || n < 0 || n > INT32_MAX)
		return NULL;
	snprintf(topic, sizeof(topic), "%.*s", (int)(dash - begin), begin);
	l = log_find(d, topic, (int32_t)n);
	if (l)
		return l;
	l = join_alloc(sizeof(*l));
	memcpy(l->key.topic, topic, strlen(topic));
	l->key.partition = (int32_t)n;
	HASH_ADD(hh, d->logs, key, sizeof(l->key), l);
	return l;
}

/* The number behind " name: ", as the tool prints it. */
static bool field(const char *line, const char *name, int64_t *v)
{
	const char *p = line;
	size_t n = strlen(name);
	char *end;

	while ((p = strstr(p, name))) {
		if ((p == line || p[-1] == ' ') && p[n] == ':' && p[n + 1] == ' ') {
			errno = 0;
			*v = strtoll(p + n + 2, &end, 10);
			return !errno && end != p + n + 2;
		}
		p += n;
	}
	return false;
}

static void batch_line(struct log_dump *d, struct logged *l, const char *line)
{
	int64_t first, last, count, crc, created = 0, stamped;
	struct id key;
	struct found *f;

	if (!field(line, "baseOffset", &first) || !field(line, "lastOffset", &last) ||
	    !field(line, "count", &count) || !field(line, "crc", &crc) || strstr(line, "isvalid: false") ||
	    first < 0 || last < first || crc < 0 || crc > UINT32_MAX || count < 0 || count > UINT32_MAX)
		return;
	if (field(line, "LogAppendTime", &stamped))
		l->stamped = true;
	else
		field(line, "CreateTime", &created);
	/* Some of its messages are gone, or its first timestamp gave way to when tombstones may go. */
	if (count - 1 != last - first || strstr(line, "deleteHorizonMs: OptionalLong["))
		l->compacted = true;
	if (l->nr == l->room) {
		l->room = l->room ? 2 * l->room : 256;
		l->extent = realloc(l->extent, l->room * sizeof(*l->extent));
		if (!l->extent)
			join_no_memory();
	}
	l->extent[l->nr++] = (struct extent){ first, last, created };
	l->judged = false;
	d->nr++;
	memset(&key, 0, sizeof(key));
	key.log = l;
	key.crc = (uint32_t)crc;
	key.count = (uint32_t)count;
	HASH_FIND(hh, d->batches, &key, sizeof(key), f);
	if (!f) {
		f = join_alloc(sizeof(*f));
		f->key = key;
		HASH_ADD(hh, d->batches, key, sizeof(f->key), f);
	}
	f->times++;
}

/* quiet: a directory may hold other things beside. */
static bool read_file(struct log_dump *d, const char *path, bool quiet)
{
	FILE *f = fopen(path, "re");
	struct logged *l = NULL;
	bool any = false;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!f) {
		if (errno == EACCES)
			say_forbidden(path);
		else
			say("%s: %s", path, strerror(errno));
		return false;
	}
	while ((n = getline(&line, &room, f)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		if (!strncmp(line, "Dumping ", 8)) {
			any = true;
			l = log_of(d, line + 8);
		} else if (l && !strncmp(line, "baseOffset: ", 12)) {
			batch_line(d, l, line);
		}
	}
	free(line);
	fclose(f);
	if (!any && !quiet)
		say("%s is no output of DumpLogSegments (no line \"Dumping …/TOPIC-PARTITION/….log\")", path);
	return any;
}

bool log_dump_read(struct log_dump **d, const char *path)
{
	struct dirent **entry;
	bool any = false;
	struct stat st;
	int nr;

	if (!*d)
		*d = join_alloc(sizeof(**d));
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return read_file(*d, path, false);
	nr = scandir(path, &entry, NULL, alphasort);
	if (nr < 0 && errno == EACCES) {
		say_forbidden(path);
		return false;
	}
	for (int i = 0; i < nr; i++) {
		char *child;

		if (entry[i]->d_name[0] != '.' && asprintf(&child, "%s/%s", path, entry[i]->d_name) > 0) {
			if (!stat(child, &st) && S_ISREG(st.st_mode))
				any |= read_file(*d, child, true);
			free(child);
		}
		free(entry[i]);
	}
	if (nr >= 0)
		free(entry);
	if (!any)
		say("%s holds no output of DumpLogSegments", path);
	return any;
}

void log_dump_free(struct log_dump *d)
{
	struct logged *l, *lt;
	struct found *f, *ft;

	if (!d)
		return;
	HASH_ITER(hh, d->batches, f, ft) { HASH_DEL(d->batches, f); free(f); }
	HASH_ITER(hh, d->logs, l, lt) { HASH_DEL(d->logs, l); free(l->extent); free(l); }
	free(d);
}

unsigned log_dump_find(const struct log_dump *d, const char *topic, int32_t partition, uint32_t crc,
		       uint32_t count)
{
	struct id key;
	struct found *f;

	memset(&key, 0, sizeof(key));
	key.log = topic ? log_find(d, topic, partition) : NULL;
	key.crc = crc;
	key.count = count;
	if (!key.log)
		return 0;
	HASH_FIND(hh, d->batches, &key, sizeof(key), f);
	return f ? f->times : 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

int64_t log_dump_whole_until(const struct log_dump *d, const char *topic, int32_t partition)
{
	struct logged *l = topic ? log_find(d, topic, partition) : NULL;
	int64_t next = 0;

	if (!l || l->stamped || l->compacted)
		return 0;
	if (l->judged)
		return l->whole_until;
	l->judged = true;
	l->whole_until = 0;
	qsort(l->extent, l->nr, sizeof(*l->extent), by_offset);
	for (size_t i = 0; i < l->nr; i++) {
		const struct extent *e = &l->extent[i];

		if (e->last < next)
			continue;		/* the same file again, or another replica's */
		if (e->first != next)
			break;			/* a gap: all before it is whole */
		next = e->last + 1;
		if (e->created_ms * 1000000 > l->whole_until)
			l->whole_until = e->created_ms * 1000000;
	}
	return l->whole_until;
}
