/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_sync.c - the probe's syncs, and on whose way each was.
 */
#include <stdlib.h>
#include "join_int.h"

/* A thread syncs right after the append that it syncs. */
#define AT_ONCE		JOIN_MS

static bool makes_durable(const struct event *ev, const struct file *f)
{
	uint32_t call = ev->sync.call;

	return f && f->role == AT_ROLE_SEGMENT && ev->sync.ret >= 0 && !(ev->sync.flags & AT_SYNC_RET_UNKNOWN) &&
	       call != AT_CALL_MSYNC && call != AT_CALL_SYNC_FILE_RANGE;
}

/* Is this sync on the way of what its thread appended last? */
static bool on_the_way(const struct jtrail *t, const struct bthread *th, const struct file *f, int64_t begin,
		       bool osync)
{
	bool mine = false;

	/* A write that ends only on the disk is the append itself. */
	if (!th || !th->links.nr || !f || begin < (osync ? th->begin_ns : th->end_ns) || f->topic != th->topic ||
	    f->partition != th->partition)
		return false;
	/* Another append's, maybe, that was lost. */
	if ((may_lack(t, AT_EV_APPEND) || may_lack(t, AT_EV_ANSWER)) && begin > th->end_ns + AT_ONCE)
		return false;
	for (uint32_t i = 0; i < th->links.nr; i++) {
		const struct jbatch *jb = th->links.at[i].batch;
		const struct breq *r = jb ? jb->state[th->links.at[i].attempt].breq : NULL;

		if (jb && !(r && r->answered_ns && r->written_ns <= begin))
			mine = true;
	}
	return mine;
}

static bool is_linked(const struct bthread *th, const struct jbatch *jb)
{
	for (uint32_t i = 0; i < th->links.nr; i++)
		if (th->links.at[i].batch == jb)
			return true;
	return false;
}

/* What one batch of a request waits for holds up its others. */
static void request_synced(struct join *j, struct breq *r, const struct tl_parts *parts)
{
	if (!r)
		return;
	r->fsync_ns += parts->ns;
	if (parts->ns > r->longest_ns) {
		r->longest_ns = parts->ns;
		r->culprit = parts_culprit(j, parts);
	}
}

void sync_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct key2 key = { t->index, ev->tid };
	struct file *f = file_get(j, t, ev->sync.file);
	int64_t begin = event_axis(ev, ev->sync.begin_ns), end = event_axis(ev, ev->ns);
	struct jbatch *jb, *tmp;
	bool osync = ev->sync.call == AT_CALL_OSYNC_WRITE, durable = makes_durable(ev, f), path;
	struct tl_parts parts;
	struct bthread *th;

	parts_of_sync(j, t, ev, &parts);
	HASH_FIND(hh, j->threads, &key, sizeof(key), th);
	path = on_the_way(t, th, f, begin, osync);
	if (path)
		plog_sync(j, t, th, ev->tid, begin, end, &parts);
	for (uint32_t i = 0; path && i < th->links.nr; i++) {
		struct tl_attempt *a;

		if (!th->links.at[i].batch)
			continue;
		a = &th->links.at[i].batch->b.attempts[th->links.at[i].attempt];
		request_synced(j, th->links.at[i].batch->state[th->links.at[i].attempt].breq, &parts);
		/* Then its indexes, and of a new segment its directory. */
		if (f->role == AT_ROLE_SEGMENT && !a->index.ns) {
			if (!a->sync_begin_ns)
				a->sync_begin_ns = begin;
			a->sync_end_ns = end;
			parts_add(&a->sync, &parts);
		} else {
			a->index_end_ns = end;
			parts_add(&a->index, &parts);
		}
	}
	if (path) {
		th->free_ns = end;
		if (!th->culprit || end - begin > th->fsync_ns)
			th->culprit = parts_culprit(j, &parts);
		th->fsync_ns += end - begin;
	}
	if (th && !path && f && f->topic) {
		th->roll.topic = f->topic;
		th->roll.partition = f->partition;
		th->roll.begin = begin;
		th->roll.end = end;
		th->roll.culprit = parts_culprit(j, &parts);
	}
	/* A follower's thread goes on to fetch, and so to tell that it has them, after its syncs. */
	for (uint32_t i = 0; th && i < th->copies.nr; i++)
		if (th->copies.at[i].batch && !th->copies.at[i].batch->worked && f && begin >= th->copied_ns && f->topic == th->copies.at[i].batch->topic &&
		    f->partition == th->copies.at[i].batch->b.partition)
			th->copies.at[i].batch->b.replicas[th->copies.at[i].attempt].sync_end_ns = end;
	if (th && th->links.nr && !path)
		th->links.nr = 0;	/* it went on to something else */
	log_reach(t, begin, end);
	if (f)
		f->synced |= durable;
	if (durable)
		DL_FOREACH_SAFE2(f->waiting, jb, tmp, file_next) {
			int64_t appended = 0;

			for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
				if (jb->state[i].appender)
					appended = jb->b.attempts[i].append_end_ns + jb->b.attempts[i].clock_offset_ns;
			if (osync ? !path || !is_linked(th, jb) : appended > begin)
				continue;
			jb->b.on_disk_ns = end;
			DL_DELETE2(f->waiting, jb, file_prev, file_next);
			jb->file = NULL;
		}
	if (j->conf.sync) {
		struct tl_sync s = {
			.host = t->host, .path = f ? f->path : NULL,
			.topic = f && f->topic ? f->topic->name : NULL,
			.partition = f ? f->partition : -1, .role = f ? f->role : AT_ROLE_OTHER,
			.call = ev->sync.call, .tid = ev->tid, .begin_ns = begin, .end_ns = end,
			.ret = ev->sync.ret, .parts = parts, .on_path = path,
		};

		j->conf.sync(j->conf.arg, &s);
	}
}
