/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_stall.c - appends that stalled in the file system's journal: which commit held
 * them, who had forced it, what it wrote; and whose requests a disk was busy with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "join_int.h"
#include "span.h"
#include "sync_parts.h"

#define COMMIT_WAIT	(10000 * JOIN_MS)	/* a commit ends long after it has let go of an append */

/* ---- threads by name ------------------------------------------------------------------ */

/* The last that was told until then; before the first one that one. */
static struct tname *name_at(struct tnames *t, int64_t ns)
{
	struct tname *last = NULL, *first = NULL;

	for (uint32_t i = 0; i < t->nr; i++) {
		struct tname *n = &t->name[i];

		if (n->told_ns <= ns && (!last || n->told_ns >= last->told_ns))
			last = n;
		if (!first || n->told_ns < first->told_ns)
			first = n;
	}
	return last ? last : first;
}

/* Names come at the beginning of their chunks, so not in the order in which they were told. */
void thread_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	struct key2 key = { t->index, ev->tid };
	struct tname told = { event_axis(ev, ev->ns), ev->thread.pid, join_intern(j, ev->tail, ev->tail_len) }, *n;
	struct tnames *all;

	HASH_FIND(hh, j->tnames, &key, sizeof(key), all);
	if (!all) {
		all = join_alloc(sizeof(*all));
		all->key = key;
		HASH_ADD(hh, j->tnames, key, sizeof(all->key), all);
	}
	n = name_at(all, told.told_ns);
	if (n && n->pid == told.pid && n->comm == told.comm) {
		if (told.told_ns < n->told_ns)
			n->told_ns = told.told_ns;
		return;
	}
	n = all->nr < JOIN_NAMES ? &all->name[all->nr++] : name_at(all, INT64_MIN);
	*n = told;
}

const struct tname *tname_find(const struct join *j, uint32_t trail, uint32_t tid, int64_t ns)
{
	struct key2 key = { trail, tid };
	struct tnames *all;

	HASH_FIND(hh, j->tnames, &key, sizeof(key), all);
	return all ? name_at(all, ns) : NULL;
}

/* ---- an append's wait ------------------------------------------------------------------ */

/* The requests that the journal's thread had on their way meanwhile. */
static void stall_requests(const struct join *j, struct stall *s, const struct pause *p, uint64_t disk)
{
	uint32_t nb = j->nr_blks < JOIN_BLKS ? j->nr_blks : JOIN_BLKS;

	for (uint32_t i = 0; i < nb && p->journal_tid; i++) {
		const struct blk *b = &j->blks[(j->nr_blks - 1 - i) % JOIN_BLKS];
		int64_t begin = b->queue ? b->queue : b->issue;

		if (b->done + JOIN_LATE < p->begin)
			break;
		if (b->trail != p->trail || b->dev != disk || b->tid != p->journal_tid || b->done <= p->begin ||
		    begin >= p->end)
			continue;
		s->requests++;
		if (b->issue && b->done - b->issue > s->slowest)
			s->slowest = b->done - b->issue;
	}
}

/* What the thread's write waited for in the journal, most of its time; NULL nothing. */
struct chain *stall_of(struct join *j, struct jtrail *t, uint32_t tid, const struct tl_attempt *a)
{
	static struct pause pause[MAX_PAUSES];
	struct stall s = { .ns = a->append.part[TL_PART_SHARED], .device = a->append.device };
	struct chain *c;
	uint32_t n;

	if (s.ns < JOIN_MS || 2 * s.ns < a->append.ns)
		return NULL;
	n = pauses_of(j, t->index, tid, a->append_begin_ns, a->append_end_ns, pause, MAX_PAUSES);
	for (uint32_t i = 0; i < n; i++) {
		const struct pause *p = &pause[i];

		if (p->why != AT_PAUSE_JOURNAL || !p->transaction)
			continue;
		if (p->end - p->begin > s.longest) {
			s.longest = p->end - p->begin;
			s.fs = p->fs;
			s.transaction = p->transaction;
			s.end = p->end;
		}
		stall_requests(j, &s, p, a->append.dev);
	}
	c = join_alloc(sizeof(*c));
	*c = (struct chain){ .refs = 1, .known = TL_KNOWN_EXACT, .ns = s.ns, .append = s.ns, .trail = t, .stall = s };
	return c;
}

/* ---- the commit behind it ------------------------------------------------------------- */

static const struct commit *commit_find(const struct join *j, const struct chain *c)
{
	uint32_t nc = j->nr_commits < JOIN_COMMITS ? j->nr_commits : JOIN_COMMITS;

	for (uint32_t i = 0; i < nc && c->stall.transaction; i++) {
		const struct commit *m = &j->commits[(j->nr_commits - 1 - i) % JOIN_COMMITS];

		if (m->trail == c->trail->index && m->fs == c->stall.fs && m->transaction == c->stall.transaction)
			return m;
	}
	return NULL;
}

static const struct chain *stalled(const struct chain *c)
{
	return c && c->locked ? c->by.why : c;
}

/* Its commit has not been told yet, and still may be. */
bool chain_may_tell(const struct join *j, const struct chain *c)
{
	c = stalled(c);
	return c && c->stall.transaction && c->trail->covered[AT_COVER_JOURNAL] &&
	       j->now - c->stall.end < COMMIT_WAIT && !c->trail->end_ns && !commit_find(j, c);
}

/* ---- in words ------------------------------------------------------------------------- */

static void tell_commit(const struct join *j, const struct chain *c, struct tl_commit *to)
{
	const struct commit *m = commit_find(j, c);
	const struct tname *who = m && m->by_tid ? tname_find(j, m->trail, m->by_tid, m->end) : NULL;

	*to = (struct tl_commit){
		.transaction = c->stall.transaction, .ns = c->stall.ns, .device = c->stall.device,
		.requests = c->stall.requests, .slowest_ns = c->stall.slowest };
	if (!m)
		return;
	to->begin_ns = m->begin;
	to->end_ns = m->end;
	to->by_pid = m->by_pid;
	to->by_tid = m->by_tid ? m->by_tid : m->by_pid;
	to->by = who ? who->comm : NULL;
}

static int say_commit(char *text, size_t size, int n, const struct tl_commit *m)
{
	char t[24];

	n = m->transaction ? text_put(text, size, n, "journal commit %llu", (unsigned long long)m->transaction)
			   : text_put(text, size, n, "the journal");
	if (m->by_pid)
		n = text_put(text, size, n, " forced by %s[%u]", m->by && *m->by ? m->by : "thread", m->by_tid);
	if (m->requests == 1)
		n = text_put(text, size, n, ", whose request was in the device for %s", span_text(t, sizeof(t), m->slowest_ns));
	else if (m->requests)
		n = text_put(text, size, n, ", whose %u requests were in the device for up to %s each", m->requests,
			span_text(t, sizeof(t), m->slowest_ns));
	return n;
}

/* "loop0: …": the device first, it is what rows are gathered by. */
const char *chain_text(struct join *j, const struct chain *c, struct tl_chain *tell)
{
	const struct chain *s = stalled(c);
	const struct tname *who;
	char text[320], t[24];
	int n = 0;

	memset(tell, 0, sizeof(*tell));
	if (s) {
		tell->has_commit = true;
		tell_commit(j, s, &tell->commit);
	}
	if (c->locked) {
		who = tname_find(j, c->trail->index, c->by.tid, c->by.end);
		tell->has_hold = true;
		tell->hold = (struct tl_hold){
			.base_offset = c->by.offset, .crc = c->by.crc, .tid = c->by.tid, .comm = who ? who->comm : NULL,
			.ns = c->longest, .held_ns = c->held, .append_ns = c->append, .sync_ns = c->fsync, .nr = c->nr };
	}
	if (!c->locked) {
		n = text_put(text, sizeof(text), n, "%s: ", tell->commit.device ? tell->commit.device : "disk");
		n = say_commit(text, sizeof(text), n, &tell->commit);
		return join_intern(j, text, (size_t)n);
	}
	/* A sync's device stands at the head of its own culprit. */
	if (c->by.culprit && (!s || 2 * c->fsync >= c->held))
		n = text_put(text, sizeof(text), n, "%s; ", c->by.culprit);
	else if (s && tell->commit.device)
		n = text_put(text, sizeof(text), n, "%s: ", tell->commit.device);
	else if (c->topic)
		n = text_put(text, sizeof(text), n, "%s-%d: ", c->topic->name, c->partition);
	n = text_put(text, sizeof(text), n, "log held %s by the append", span_text(t, sizeof(t), c->longest));
	if (c->by.offset >= 0)
		n = text_put(text, sizeof(text), n, " at offset %lld", (long long)c->by.offset);
	n = text_put(text, sizeof(text), n, " of %s[%u]", who && *who->comm ? who->comm : "thread", c->by.tid);
	if (c->nr > 1)
		n = text_put(text, sizeof(text), n, " (and by %u more)", c->nr - 1);
	if (s) {
		n = text_put(text, sizeof(text), n, " in ");
		n = say_commit(text, sizeof(text), n, &tell->commit);
	}
	return join_intern(j, text, (size_t)n);
}

/* The deeper cause: what those who held it were doing most of the time. */
enum tl_cause chain_behind(const struct chain *c)
{
	if (2 * c->fsync >= c->ns)
		return TL_CAUSE_LEADER_FSYNC;
	return 2 * c->append >= c->ns ? TL_CAUSE_APPEND_STALL : TL_CAUSE_UNKNOWN;
}
