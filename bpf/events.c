// SPDX-License-Identifier: BSD-2-Clause
/*
 * events.c - turns records of the BPF ring buffer into events of the trail; those of
 * requests in event_requests.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <acktrail/kafka.h>
#include "inner.h"
#include "record.h"

#define SLOW_NS		100000000u	/* a call of this length is kept in the lasting ring */
#define SLOW_BLOCK_NS	20000000u	/* what such a call waited for */

_Static_assert((int)REC_CALL_FSYNC == AT_CALL_FSYNC && (int)REC_CALL_FDATASYNC == AT_CALL_FDATASYNC &&
	       (int)REC_CALL_MSYNC == AT_CALL_MSYNC &&
	       (int)REC_CALL_SYNC_FILE_RANGE == AT_CALL_SYNC_FILE_RANGE &&
	       (int)REC_CALL_OSYNC_WRITE == AT_CALL_OSYNC_WRITE && (int)REC_CALL_AIO == AT_CALL_AIO &&
	       (int)REC_CALL_URING == AT_CALL_URING, "rec_call is at_call");
_Static_assert((int)REC_PAUSE_JOURNAL == AT_PAUSE_JOURNAL && (int)REC_PAUSE_DIRTY == AT_PAUSE_DIRTY &&
	       (int)REC_PAUSE_PAGE == AT_PAUSE_PAGE && (int)REC_PAUSE_IO == AT_PAUSE_IO &&
	       (int)REC_PAUSE_LOCK == AT_PAUSE_LOCK && (int)REC_PAUSE_LOG == AT_PAUSE_LOG, "rec_pause_why is at_pause");
_Static_assert(REC_SYNC_NAPS == AT_SYNC_NAPS && REC_SYNC_RET_UNKNOWN == AT_SYNC_RET_UNKNOWN, "flags of syncs");
_Static_assert((int)REC_OP_READ == AT_OP_READ && (int)REC_OP_WRITE == AT_OP_WRITE &&
	       (int)REC_OP_FLUSH == AT_OP_FLUSH && (int)REC_OP_DISCARD == AT_OP_DISCARD &&
	       (int)REC_OP_OTHER == AT_OP_OTHER, "rec_op is at_op");
_Static_assert(REC_OP_PREFLUSH == AT_REQ_PREFLUSH << 8 && REC_OP_FUA == AT_REQ_FUA << 8 &&
	       REC_OP_SYNC == AT_REQ_SYNC << 8 && REC_OP_META == AT_REQ_META << 8 &&
	       REC_OP_FLUSH_SEQ == AT_REQ_FLUSH_SEQ << 8 && REC_OP_HELD == AT_REQ_HELD << 8, "flags of requests");
_Static_assert(REC_HEADER == KAFKA_B_SIZE, "header of a batch");

static enum at_ring ring_for(uint64_t begin, uint64_t end, uint64_t slow)
{
	return end - begin >= slow ? AT_LAST : AT_BULK;
}

static void on_append(struct probe *p, const struct rec_append *r)
{
	enum at_ring ring = ring_for(r->begin_ns, r->h.ns, SLOW_NS);
	struct file_id f = names_file(p, r->dev, r->ino);
	struct kafka_batch_id b;
	struct ev_append *ev;

	if (f.role == AT_ROLE_PASSING)		/* a copy on its way, no append */
		return;
	kafka_batch_decode(&b, r->header);
	ev = event_begin(p, ring, AT_EV_APPEND, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev),
			 f.file, f.topic, NULL, 0);
	if (!ev)
		return;
	ev->begin_ns = r->begin_ns;
	ev->position = r->pos;
	ev->ret = r->ret;
	ev->pid = r->h.pid;
	ev->file = f.file;
	ev->topic = f.topic;
	ev->partition = f.partition;
	ev->index = r->index;
	if (r->more)
		ev->flags |= AT_BATCH_MORE;
	if (!strncmp(names_comm(p, r->h.tid), "ReplicaFetcher", 14))
		ev->flags |= AT_BATCH_FOLLOWER;
	if (r->naps)
		ev->flags |= AT_BATCH_NAPS;
	ev->slept_ns = r->slept_ns;
	if (!r->unread) {
		ev->base_offset = b.base_offset;
		ev->bytes = b.bytes;
		if (b.magic == 2) {
			ev->first_ts_ms = b.first_ts_ms;
			ev->max_ts_ms = b.max_ts_ms;
			ev->producer_id = b.producer_id;
			ev->crc = b.crc;
			ev->count = b.count;
			ev->base_sequence = b.base_sequence;
			ev->epoch = b.epoch;
			ev->attributes = b.attributes;
		} else {
			ev->flags |= AT_BATCH_OLD_FORMAT;
		}
	}
	event_commit(p, ring);
}

static void on_sync(struct probe *p, const struct rec_sync *r)
{
	enum at_ring ring = ring_for(r->begin_ns, r->h.ns, SLOW_NS);
	struct file_id f = names_file(p, r->dev, r->ino);
	struct ev_sync *ev;

	p->live.syncs++;
	if (r->h.ns - r->begin_ns > p->live.slowest_ns)
		p->live.slowest_ns = r->h.ns - r->begin_ns;
	ev = event_begin(p, ring, AT_EV_SYNC, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev),
			 f.file, f.topic, NULL, 0);
	if (!ev)
		return;
	ev->begin_ns = r->begin_ns;
	ev->dev = dev_of_kernel(r->dev);
	ev->ino = r->ino;
	ev->ret = r->ret;
	ev->pid = r->h.pid;
	ev->file = f.file;
	ev->call = r->call;
	ev->flags = r->flags;
	ev->slept_ns = r->slept_ns;
	event_commit(p, ring);
}

static void on_block(struct probe *p, const struct rec_block *r)
{
	uint64_t begin = r->queue_ns ? r->queue_ns : r->insert_ns ? r->insert_ns : r->issue_ns;
	enum at_ring ring = ring_for(begin, r->h.ns, SLOW_BLOCK_NS);
	struct ev_block *ev;

	names_told(p, ring, r->queue_pid, r->queue_tid, r->comm, r->h.ns);
	ev = event_begin(p, ring, AT_EV_BLOCK, r->h.ns, 0, r->h.tid, sizeof(*ev), 0, 0, NULL, 0);
	if (!ev)
		return;
	ev->queue_ns = r->queue_ns;
	ev->start_ns = r->start_ns;
	ev->insert_ns = r->insert_ns;
	ev->issue_ns = r->issue_ns;
	ev->dev = dev_of_kernel(r->dev);
	ev->sector = r->sector;
	ev->ino = r->ino;
	ev->bytes = r->bytes;
	ev->op = r->op;
	ev->queue_tid = r->queue_tid;
	ev->error = r->error;
	ev->bios = r->bios;
	ev->ino_fs = r->ino_fs;
	event_commit(p, ring);
}

static void on_wake(struct probe *p, const struct rec_wake *r)
{
	struct ev_wake *ev;

	names_thread(p, AT_BULK, r->h.pid, r->waker, r->h.ns);
	ev = event_begin(p, AT_BULK, AT_EV_WAKE, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev), 0, 0, NULL, 0);
	if (!ev)
		return;
	ev->sleep_ns = r->sleep_ns;
	ev->pid = r->h.pid;
	ev->waker = r->waker;
	event_commit(p, AT_BULK);
}

static void on_pause(struct probe *p, const struct rec_pause *r)
{
	enum at_ring ring = ring_for(r->begin_ns, r->h.ns, SLOW_BLOCK_NS);
	struct ev_pause *ev;

	ev = event_begin(p, ring, AT_EV_PAUSE, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev), 0, 0, NULL, 0);
	if (!ev)
		return;
	ev->begin_ns = r->begin_ns;
	ev->dev = dev_of_kernel(r->dev);
	ev->ino = r->ino;
	ev->pid = r->h.pid;
	ev->why = r->why;
	ev->transaction = r->transaction;
	ev->journal_tid = r->journal_tid;
	ev->fault = r->fault;
	event_commit(p, ring);
}

static void on_commit(struct probe *p, const struct rec_commit *r)
{
	enum at_ring ring = ring_for(r->begin_ns, r->h.ns, SLOW_BLOCK_NS);
	uint64_t dev = dev_of_kernel(r->dev);
	struct ev_commit *ev;
	bool ours = false;

	/* Journals of other file systems are none of our business. */
	for (unsigned i = 0; i < p->nr_dirs; i++)
		ours |= p->dirs[i].dev == dev || p->dirs[i].disk == dev;
	if (!ours)
		return;
	names_told(p, ring, r->by_pid, r->by_tid, r->comm, r->h.ns);
	ev = event_begin(p, ring, AT_EV_COMMIT, r->h.ns, r->h.pid, r->h.tid, sizeof(*ev), 0, 0, NULL, 0);
	if (!ev)
		return;
	ev->begin_ns = r->begin_ns;
	ev->dev = dev;
	ev->transaction = r->transaction;
	ev->waiters = r->waiters;
	ev->how = r->how;
	ev->by_pid = r->by_pid;
	ev->by_tid = r->by_tid;
	event_commit(p, ring);
}

/* ---- the whole run --------------------------------------------------------- */

/* What stands for the whole run: at the start, and again before the lasting ring forgets it. */
void events_standing(struct probe *p)
{
	const enum at_ring ring = AT_LAST;

	for (unsigned i = 0; i < p->nr_targets; i++) {
		const struct target *t = &p->targets[i];
		struct ev_target *ev = event_begin(p, ring, AT_EV_TARGET, t->found_ns ? t->found_ns : p->attached_ns, 0, 0, sizeof(*ev),
						   0, 0, t->how, strlen(t->how));
		if (!ev)
			return;
		ev->pid = (uint32_t)t->pid;
		ev->broker = t->broker;
		ev->port = t->nr_ports ? t->ports[0] : 0;
		event_commit(p, ring);
	}
	for (unsigned i = 0; i < p->nr_dirs; i++) {
		const struct log_dir *d = &p->dirs[i];
		struct ev_log_dir *ev = event_begin(p, ring, AT_EV_LOG_DIR, d->found_ns ? d->found_ns : p->attached_ns, 0, 0, sizeof(*ev),
						    0, 0, d->path, strlen(d->path));
		if (!ev)
			return;
		ev->dev = d->disk ? d->disk : d->dev;
		ev->pid = (uint32_t)d->pid;
		event_commit(p, ring);
	}
	for (unsigned i = 0; i < p->nr_devices; i++) {
		const struct device *d = &p->devices[i];
		struct ev_device *ev = event_begin(p, ring, AT_EV_DEVICE, p->attached_ns, 0, 0, sizeof(*ev),
						   0, 0, d->name, strlen(d->name));
		if (!ev)
			return;
		ev->dev = d->dev;
		ev->parent = d->parent;
		ev->rotational = d->rotational;
		ev->write_cache = d->write_cache;
		ev->stacked = d->stacked;
		ev->below = d->below;
		ev->below_ino = d->below_ino;
		ev->below_fs = d->below_ino ? dev_to_kernel(d->below) : 0;
		event_commit(p, ring);
	}
	for (unsigned i = 0; i < AT_NR_COVER; i++) {
		struct ev_coverage *ev = event_begin(p, ring, AT_EV_COVERAGE, p->attached_ns, 0, 0, sizeof(*ev),
						     0, 0, p->cover[i].text, strlen(p->cover[i].text));
		if (!ev)
			return;
		ev->what = i;
		ev->on = (uint32_t)p->cover[i].on;
		event_commit(p, ring);
	}
	p->last_restated = p->pen.seq[ring];
}

int events_record(void *probe, void *data, size_t size)
{
	struct probe *p = probe;
	const struct rec *r = data;

	(void)size;
	switch ((enum rec_kind)r->kind) {
	case REC_FILE:
		names_learn(p, data);
		break;
	case REC_APPEND:
		on_append(p, data);
		break;
	case REC_SYNC:
		on_sync(p, data);
		break;
	case REC_BLOCK:
		on_block(p, data);
		break;
	case REC_COMMIT:
		on_commit(p, data);
		break;
	case REC_WAKE:
		on_wake(p, data);
		break;
	case REC_PAUSE:
		on_pause(p, data);
		break;
	case REC_TOPIC:
	case REC_BATCH:
	case REC_ARRIVAL:
	case REC_ANSWER:
	case REC_CONN_END:
		event_request(p, r);
		break;
	case REC_NR_KINDS:
		break;
	}
	if (p->pen.seq[AT_LAST] - p->last_restated >= p->writer.header->nr_last / 2 + 1)
		events_standing(p);
	return ++p->nr_read % 256 == 0 && at_now() > p->read_until ? -EINTR : 0;
}

void events_note(struct probe *p, enum at_note what, uint32_t count, const char *text)
{
	struct ev_note *ev = event_begin(p, AT_LAST, AT_EV_NOTE, at_now(), 0, 0, sizeof(*ev),
					 0, 0, text, strlen(text));

	if (!ev)
		return;
	ev->what = what;
	ev->count = count;
	event_commit(p, AT_LAST);
}

void events_end(struct probe *p, uint64_t now, const uint64_t *counts, int status)
{
	static const struct { unsigned what; enum at_note note; const char *text; } said[] = {
		{ COUNT_LOST + REC_FILE, AT_NOTE_RING_LOST, "names of files lost: the ring buffer was full" },
		{ COUNT_LOST + REC_APPEND, AT_NOTE_RING_LOST, "appends lost: the ring buffer was full" },
		{ COUNT_LOST + REC_SYNC, AT_NOTE_RING_LOST, "syncs lost: the ring buffer was full" },
		{ COUNT_LOST + REC_BLOCK, AT_NOTE_RING_LOST, "block requests lost: the ring buffer was full" },
		{ COUNT_LOST + REC_COMMIT, AT_NOTE_RING_LOST, "journal commits lost: the ring buffer was full" },
		{ COUNT_LOST + REC_TOPIC, AT_NOTE_RING_LOST, "topics of requests lost: the ring buffer was full" },
		{ COUNT_LOST + REC_BATCH, AT_NOTE_RING_LOST, "batches of requests lost: the ring buffer was full" },
		{ COUNT_LOST + REC_ARRIVAL, AT_NOTE_RING_LOST, "requests lost: the ring buffer was full" },
		{ COUNT_LOST + REC_ANSWER, AT_NOTE_RING_LOST, "responses lost: the ring buffer was full" },
		{ COUNT_LOST + REC_CONN_END, AT_NOTE_RING_LOST, "ends of connections lost: the ring buffer was full" },
		{ COUNT_LOST + REC_WAKE, AT_NOTE_RING_LOST, "wake-ups lost: the ring buffer was full" },
		{ COUNT_LOST + REC_PAUSE, AT_NOTE_RING_LOST, "sleeps and waits for the journal lost: the ring buffer was full" },
		{ COUNT_HEADER_UNREAD, AT_NOTE_OTHER, "batch headers that could not be read" },
		{ COUNT_WRITE_ODD, AT_NOTE_OTHER, "writes to segments that do not begin with a batch" },
		{ COUNT_REQUEST_ODD, AT_NOTE_PARSER_OFF, "Produce requests that could not be parsed to their end" },
		{ COUNT_CONN_ODD, AT_NOTE_PARSER_OFF, "connections that do not carry Kafka's plain framing" },
		{ COUNT_BLOCK_STALE, AT_NOTE_OTHER, "block requests whose completion no program saw (the kernel did not run it); left out" },
		{ COUNT_TABLE_FULL, AT_NOTE_LEFT_OUT, "calls left out: a table in the kernel was full" },
		{ COUNT_BIO_FULL, AT_NOTE_LEFT_OUT, "block requests of which it is not known when and by whom they were queued: a table in the kernel was full" },
		{ COUNT_REQUEST_FULL, AT_NOTE_LEFT_OUT, "block requests left out: a table in the kernel was full" },
	};
	struct ev_end *ev;

	for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		if (counts[said[i].what])
			events_note(p, said[i].note, (uint32_t)counts[said[i].what], said[i].text);
	if (p->open_requests)
		events_note(p, AT_NOTE_OTHER, p->open_requests, "block requests whose completion was not seen when the probe ended");
	for (unsigned i = 0; i < AT_NR_COVER; i++) {
		struct ev_coverage *c;

		if (!p->cover[i].on)
			continue;
		c = event_begin(p, AT_LAST, AT_EV_COVERAGE, now, 0, 0, sizeof(*c), 0, 0, "ended", 5);
		if (!c)
			continue;
		c->what = i;
		event_commit(p, AT_LAST);
	}
	ev = event_begin(p, AT_LAST, AT_EV_END, now, 0, 0, sizeof(*ev), 0, 0, NULL, 0);
	if (!ev)
		return;
	ev->how = AT_EXITED;
	ev->status = status;
	event_commit(p, AT_LAST);
}
