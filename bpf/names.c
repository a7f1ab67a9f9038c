// SPDX-License-Identifier: BSD-2-Clause
/*
 * names.c - files, topics and threads by number, each stated again in every chunk
 * of the trail that uses it, so that any other chunk may be recycled.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"
#include "record.h"

#define NEVER	UINT32_MAX
#define HASH	4096u		/* buckets, a power of two */

/* stated[ring]: pen.seq of the chunk that has the name */
struct topic {
	char name[256];
	uint64_t uuid_hi, uuid_lo;
	uint32_t stated[2], next, next_id;
};

struct file {
	uint64_t ino;
	uint32_t dev, role, topic, next;
	int32_t partition;
	int64_t segment;
	uint32_t stated[2];
	char *path;		/* the whole path, as the broker sees it */
};

struct thread {
	uint32_t tid, pid, next;
	uint32_t stated[2];
	char comm[16];
};

/* Numbers count from 1; 0 ends a bucket's chain and means unknown. */
struct names {
	struct file *files;
	struct topic *topics;
	struct thread *threads;
	uint32_t nr_files, nr_topics, nr_threads;
	uint32_t cap_files, cap_topics, cap_threads;
	uint32_t file_bucket[HASH], topic_bucket[HASH], id_bucket[HASH], thread_bucket[HASH];
	uint64_t ids_scanned_ns;
};

struct names *names_new(struct probe *p)
{
	(void)p;
	return calloc(1, sizeof(struct names));
}

void names_free(struct names *names)
{
	if (!names)
		return;
	for (uint32_t i = 1; i <= names->nr_files; i++)
		free(names->files[i].path);
	free(names->files);
	free(names->topics);
	free(names->threads);
	free(names);
}

/* Room for one more behind [nr]; false when there is no memory. */
static bool grow(void *array, uint32_t nr, uint32_t *cap, size_t size)
{
	void **at = array, *bigger;

	if (nr + 1 < *cap)
		return true;
	*cap = *cap ? *cap * 2 : 64;
	bigger = realloc(*at, *cap * size);
	if (!bigger) {
		*cap = nr + 1;
		return false;
	}
	*at = bigger;
	return true;
}

static uint32_t hash_name(const char *name)
{
	uint32_t h = 2166136261u;

	while (*name)
		h = (h ^ (uint8_t)*name++) * 16777619u;
	return h & (HASH - 1);
}

static uint32_t hash_file(uint32_t dev, uint64_t ino)
{
	return (uint32_t)((ino ^ dev) * 0x9e3779b97f4a7c15u >> 52) & (HASH - 1);
}

static uint32_t *id_bucket(struct names *n, uint64_t hi, uint64_t lo)
{
	return &n->id_bucket[(hi ^ lo) & (HASH - 1)];	/* random as they are */
}

/* ---- topics --------------------------------------------------------------- */

static uint32_t topic_find(struct probe *p, const char *name)
{
	struct names *n = p->names;
	uint32_t *bucket = &n->topic_bucket[hash_name(name)], id;
	struct topic *t;

	for (id = *bucket; id; id = n->topics[id].next)
		if (!strcmp(n->topics[id].name, name))
			return id;
	if (strlen(name) >= sizeof(t->name) || !grow(&n->topics, n->nr_topics + 1, &n->cap_topics, sizeof(*t)))
		return 0;
	id = ++n->nr_topics;
	t = &n->topics[id];
	memset(t, 0, sizeof(*t));
	strcpy(t->name, name);
	t->stated[0] = t->stated[1] = NEVER;
	t->next = *bucket;
	*bucket = id;
	return id;
}

/* A topic that was deleted and made again has another id. */
static void topic_set_id(struct names *n, uint32_t id, uint64_t hi, uint64_t lo)
{
	struct topic *t = &n->topics[id];
	uint32_t *at = id_bucket(n, t->uuid_hi, t->uuid_lo);

	if (t->uuid_hi == hi && t->uuid_lo == lo)
		return;
	if (t->uuid_hi || t->uuid_lo) {
		while (*at != id)
			at = &n->topics[*at].next_id;
		*at = t->next_id;
	}
	at = id_bucket(n, hi, lo);
	t->next_id = *at;
	*at = id;
	t->uuid_hi = hi;
	t->uuid_lo = lo;
	t->stated[0] = t->stated[1] = NEVER;
}

uint32_t names_topic(struct probe *p, const char *name)
{
	return topic_find(p, name);
}

static void ids_scan(struct probe *p)
{
	char name[256];
	int32_t partition;
	uint64_t hi, lo;
	bool passing;

	for (unsigned i = 0; i < p->nr_dirs; i++) {
		DIR *dir = opendir(p->dirs[i].seen);
		struct dirent *e;

		while (dir && (e = readdir(dir))) {
			uint32_t id;

			if (!log_partition(e->d_name, name, &partition, &passing) || passing ||
			    !log_topic_id(p->dirs[i].seen, e->d_name, &hi, &lo))
				continue;
			id = topic_find(p, name);
			if (id)
				topic_set_id(p->names, id, hi, lo);
		}
		if (dir)
			closedir(dir);
	}
}

uint32_t names_topic_by_id(struct probe *p, const uint8_t raw[16])
{
	struct names *n = p->names;
	uint64_t hi = 0, lo = 0, now;

	for (int i = 0; i < 8; i++) {
		hi = hi << 8 | raw[i];
		lo = lo << 8 | raw[8 + i];
	}
	for (int again = 0; again < 2; again++) {
		for (uint32_t id = *id_bucket(n, hi, lo); id; id = n->topics[id].next_id)
			if (n->topics[id].uuid_hi == hi && n->topics[id].uuid_lo == lo)
				return id;
		now = at_now();
		if (n->ids_scanned_ns && now - n->ids_scanned_ns < 1000000000u)
			break;
		n->ids_scanned_ns = now;
		ids_scan(p);
	}
	return 0;
}

/* ---- files ---------------------------------------------------------------- */

static uint32_t file_find(const struct names *n, uint32_t dev, uint64_t ino)
{
	uint32_t id = n->file_bucket[hash_file(dev, ino)];

	while (id && (n->files[id].ino != ino || n->files[id].dev != dev))
		id = n->files[id].next;
	return id;
}

void names_learn(struct probe *p, const struct rec_file *r)
{
	/* What is in no partition's directory may be one. */
	const char *partition = r->depth ? r->parent : r->is_dir ? r->name : "";
	struct names *n = p->names;
	const struct log_dir *d = NULL;
	char path[2048], topic[256];
	uint32_t id = file_find(n, r->dev, r->ino), *bucket;
	uint64_t hi, lo;
	bool passing = false;
	struct file *f;

	for (unsigned i = 0; i < p->nr_dirs && !d; i++)
		if (p->dirs[i].ino == r->dir && dev_to_kernel(p->dirs[i].dev) == r->dev)
			d = &p->dirs[i];
	snprintf(path, sizeof(path), "%s%s%s%s%s", d ? d->path : "", r->name[0] ? "/" : "",
		 r->depth ? r->parent : "", r->depth ? "/" : "", r->name);
	if (id && !strcmp(n->files[id].path, path))
		return;
	/* Another name for the number: another file from now on; the old one keeps its own. */
	if (!grow(&n->files, n->nr_files + 1, &n->cap_files, sizeof(*f)))
		return;
	id = ++n->nr_files;
	f = &n->files[id];
	memset(f, 0, sizeof(*f));
	f->path = strdup(path);
	if (!f->path) {
		n->nr_files--;
		return;
	}
	f->ino = r->ino;
	f->dev = r->dev;
	f->partition = -1;
	f->segment = r->is_dir ? -1 : log_segment(r->name);
	f->role = r->is_dir ? AT_ROLE_DIRECTORY : log_role(r->name);
	f->stated[0] = f->stated[1] = NEVER;
	if (log_partition(partition, topic, &f->partition, &passing)) {
		f->topic = topic_find(p, topic);
		if (passing)
			f->role = AT_ROLE_PASSING;
		else if (f->topic && !n->topics[f->topic].uuid_hi && d && log_topic_id(d->seen, partition, &hi, &lo))
			topic_set_id(n, f->topic, hi, lo);
	}
	bucket = &n->file_bucket[hash_file(r->dev, r->ino)];
	f->next = *bucket;
	*bucket = id;
}

struct file_id names_file(struct probe *p, uint32_t dev, uint64_t ino)
{
	uint32_t id = file_find(p->names, dev, ino);
	const struct file *f = &p->names->files[id];

	if (!id)
		return (struct file_id){ .partition = -1, .segment = -1 };
	return (struct file_id){ id, f->topic, f->partition, f->segment, f->role };
}

/* ---- threads -------------------------------------------------------------- */

/* *fresh: it was not there before, and has no name yet. */
static uint32_t thread_get(struct names *n, uint32_t pid, uint32_t tid, bool *fresh)
{
	uint32_t *bucket = &n->thread_bucket[tid & (HASH - 1)], id;
	struct thread *t;

	*fresh = false;
	for (id = *bucket; id; id = n->threads[id].next)
		if (n->threads[id].tid == tid)
			return id;
	if (!grow(&n->threads, n->nr_threads + 1, &n->cap_threads, sizeof(*t)))
		return 0;
	id = ++n->nr_threads;
	t = &n->threads[id];
	memset(t, 0, sizeof(*t));
	t->tid = tid;
	t->pid = pid;
	t->stated[0] = t->stated[1] = NEVER;
	t->next = *bucket;
	*bucket = id;
	*fresh = true;
	return id;
}

static uint32_t thread_find(struct probe *p, uint32_t pid, uint32_t tid)
{
	struct thread *t;
	char path[64];
	uint32_t id;
	bool fresh;
	FILE *f;

	id = thread_get(p->names, pid, tid, &fresh);
	if (!fresh)
		return id;
	t = &p->names->threads[id];
	snprintf(path, sizeof(path), "/proc/%u/comm", tid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(t->comm, sizeof(t->comm), f))
			t->comm[strcspn(t->comm, "\n")] = 0;
		fclose(f);
	}
	return id;
}

const char *names_comm(struct probe *p, uint32_t tid)
{
	uint32_t id = thread_find(p, 0, tid);

	return id ? p->names->threads[id].comm : "";
}

/* ---- stating -------------------------------------------------------------- */

static void *write_begin(struct probe *p, enum at_ring ring, enum at_type type, uint32_t tid,
			 uint64_t ns, size_t size, const char *tail, size_t len)
{
	p->pen.tid = tid;
	return at_writer_begin(&p->writer, &p->pen, ring, type, ns, size, tail, len);
}

static void state_topic(struct probe *p, enum at_ring ring, uint32_t id, uint64_t ns)
{
	struct topic *t = &p->names->topics[id];
	struct ev_topic *ev;

	if (!id || t->stated[ring] == p->pen.seq[ring])
		return;
	ev = write_begin(p, ring, AT_EV_TOPIC, 0, ns, sizeof(*ev), t->name, strlen(t->name));
	if (!ev)
		return;
	ev->topic = id;
	ev->uuid_hi = t->uuid_hi;
	ev->uuid_lo = t->uuid_lo;
	at_writer_commit(&p->pen, ring);
	t->stated[ring] = p->pen.seq[ring];
}

static void state_file(struct probe *p, enum at_ring ring, uint32_t id, uint64_t ns)
{
	struct file *f = &p->names->files[id];
	struct ev_file *ev;

	if (!id || f->stated[ring] == p->pen.seq[ring])
		return;
	state_topic(p, ring, f->topic, ns);
	ev = write_begin(p, ring, AT_EV_FILE, 0, ns, sizeof(*ev), f->path, strlen(f->path));
	if (!ev)
		return;
	ev->dev = dev_of_kernel(f->dev);
	ev->ino = f->ino;
	ev->segment = f->segment;
	ev->file = id;
	ev->role = f->role;
	ev->topic = f->topic;
	ev->partition = f->partition;
	at_writer_commit(&p->pen, ring);
	f->stated[ring] = p->pen.seq[ring];
}

static void state_thread(struct probe *p, enum at_ring ring, uint32_t id, uint64_t ns)
{
	struct thread *t = &p->names->threads[id];
	struct ev_thread *ev;

	if (!id || t->stated[ring] == p->pen.seq[ring])
		return;
	ev = write_begin(p, ring, AT_EV_THREAD, t->tid, ns, sizeof(*ev), t->comm, strlen(t->comm));
	if (!ev)
		return;
	ev->pid = t->pid;
	at_writer_commit(&p->pen, ring);
	t->stated[ring] = p->pen.seq[ring];
}

/* States a thread that an event mentions beside its own. */
void names_thread(struct probe *p, enum at_ring ring, uint32_t pid, uint32_t tid, uint64_t ns)
{
	state_thread(p, ring, thread_find(p, pid, tid), ns);
}

/* The same with the name that the kernel told: of any process, and gone perhaps. */
void names_told(struct probe *p, enum at_ring ring, uint32_t pid, uint32_t tid, const char *comm, uint64_t ns)
{
	struct thread *t;
	uint32_t id;
	bool fresh;

	if (!tid || !comm[0])
		return;
	id = thread_get(p->names, pid, tid, &fresh);
	if (!id)
		return;
	t = &p->names->threads[id];
	if (t->pid != pid || strncmp(t->comm, comm, sizeof(t->comm))) {
		snprintf(t->comm, sizeof(t->comm), "%.*s", (int)sizeof(t->comm) - 1, comm);
		t->pid = pid;
		t->stated[0] = t->stated[1] = NEVER;
	}
	state_thread(p, ring, id, ns);
}

void *event_begin(struct probe *p, enum at_ring ring, enum at_type type, uint64_t ns,
		  uint32_t pid, uint32_t tid, size_t size, uint32_t file, uint32_t topic,
		  const char *tail, size_t tail_len)
{
	uint32_t thread = pid ? thread_find(p, pid, tid) : 0, seq;
	void *ev = NULL;

	if (file && !topic)
		topic = p->names->files[file].topic;
	/* A chunk that fills up on the way takes no names along: begin again in the next. */
	for (int tries = 0; tries < 4; tries++) {
		state_topic(p, ring, topic, ns);
		state_file(p, ring, file, ns);
		state_thread(p, ring, thread, ns);
		ev = write_begin(p, ring, type, tid, ns, size, tail, tail_len);
		seq = p->pen.seq[ring];
		if (!ev || ((!topic || p->names->topics[topic].stated[ring] == seq) &&
			    (!file || p->names->files[file].stated[ring] == seq) &&
			    (!thread || p->names->threads[thread].stated[ring] == seq)))
			break;
	}
	return ev;
}

void event_commit(struct probe *p, enum at_ring ring)
{
	at_writer_commit(&p->pen, ring);
	p->events++;
}
