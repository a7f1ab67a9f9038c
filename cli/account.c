/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account.c - accepted = acked + failed + expired + purged + dropped + lost + open.
 *
 * The shim counts on a page that is never recycled.  What is left over is open while the
 * process lives and lost when it is gone; less than nothing is a defect of ours.  So is a
 * row too many or too few for what the account says, where no event was lost: the two come
 * from the same calls by different ways.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "join.h"
#include "say.h"
#include "table.h"
#include "tally.h"

#define MAX_ERRORS	16	/* kinds of errors told of one producer */

struct errors { uint32_t nr; struct { int32_t err; uint64_t n; } by[MAX_ERRORS]; };

struct instance {
	struct key { uint32_t trail, inst; } key;
	uint64_t rows[TL_NR_OUTCOMES];		/* messages */
	uint64_t written;			/* records seen to be written to a log, of moved batches, too */
	uint64_t not_there;			/* messages proven to be in none */
	struct errors failed, refused;
	UT_hash_handle hh;
};

struct accounts {
	struct reader *reader;
	struct instance *instances;
};

struct sum {
	uint64_t n[AT_NR_COUNTS], lost, open;
	struct tally tally;			/* what n comes from, and what is not of it */
	int64_t	 off;				/* accepted minus what is on the right */
	bool	 whole;				/* rows must agree with it */
	bool	 differs;
};

/* Outcomes that the rows and the account must have in common. */
static const struct { enum at_count count; enum tl_outcome row; } pairs[] = {
	{ AT_ACKED, TL_OUTCOME_ACKED }, { AT_FAILED, TL_OUTCOME_FAILED },
	{ AT_EXPIRED, TL_OUTCOME_EXPIRED }, { AT_PURGED, TL_OUTCOME_PURGED },
};
#define NR_PAIRS (sizeof(pairs) / sizeof(pairs[0]))

struct accounts *accounts_new(struct reader *r)
{
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		exit(STATUS_CANNOT);
	a->reader = r;
	return a;
}

static struct instance *instance_of(struct accounts *a, uint32_t trail, uint32_t inst)
{
	struct key key = { trail, inst };
	struct instance *in;

	HASH_FIND(hh, a->instances, &key, sizeof(key), in);
	if (in)
		return in;
	in = calloc(1, sizeof(*in));
	if (!in)
		exit(STATUS_CANNOT);
	in->key = key;
	HASH_ADD(hh, a->instances, key, sizeof(key), in);
	return in;
}

static void error_add(struct errors *e, int32_t err, uint64_t n)
{
	uint32_t i = 0;

	while (i < e->nr && e->by[i].err != err)
		i++;
	if (i == MAX_ERRORS)
		return;
	if (i == e->nr)
		e->by[e->nr++].err = err;
	e->by[i].n += n;
}

void accounts_event(struct accounts *a, const struct event *ev)
{
	if (ev->type == AT_EV_PRODUCE && ev->produce.err)
		error_add(&instance_of(a, ev->trail->index, ev->produce.inst)->refused,
			  ev->produce.err, ev->produce.count);
}

/* At how many places of the log it was written, as far as was seen. */
static uint32_t places_of(const struct tl_batch *b)
{
	uint32_t places = 0;

	for (uint32_t i = 0; i < b->nr_attempts; i++) {
		const struct tl_attempt *a = &b->attempts[i];
		bool written = a->append_end_ns || (a->answered && !a->error_code), known = false;

		if (!written || a->base_offset < 0)
			continue;
		for (uint32_t k = 0; k < i; k++)
			known |= b->attempts[k].base_offset == a->base_offset;
		places += !known;
	}
	return places;
}

void accounts_row(struct accounts *a, const struct tl_batch *b)
{
	struct instance *in;

	if (!b->client || !b->producer.instance)
		return;
	in = instance_of(a, b->trail, b->producer.instance);
	/* Without a CRC it is a part of another row's batch, or a guess at one. */
	if (b->has_crc)
		in->written += (uint64_t)b->count * places_of(b);
	if (b->moved)
		return;
	if (b->in_log == TL_IN_LOG_NO)
		in->not_there += b->messages;
	in->rows[b->outcome] += b->messages;
	if (b->outcome == TL_OUTCOME_FAILED)
		error_add(&in->failed, b->err, b->messages);
}

/*
 * How often more than once the log has it: an attempt without idempotence that was written
 * and came to no good answer is sent, and written, again.
 */
uint64_t account_written_again(const struct tl_batch *b)
{
	uint32_t places = places_of(b);

	return places > 1 ? (uint64_t)b->count * (places - 1) : 0;
}

/*
 * A retry without idempotence regroups messages, so what is in the log twice has other
 * batches there.  But more records than there were messages for are repeats: so many at least.
 */
static uint64_t repeats_of(const struct trail *t, const struct sum *s, const struct instance *in)
{
	uint64_t most = s->n[AT_ACCEPTED];

	/* A page that counts on, that lacks what came before, or that others count on as well. */
	if (!in || !trail_over(t) || s->tally.partial || s->tally.instances != 1 || s->off)
		return 0;
	most -= in->not_there < most ? in->not_there : most;
	return in->written > most ? in->written - most : 0;
}

/* ---- the sum ---------------------------------------------------------------------- */

static bool sum_of(const struct trail *t, uint32_t slot, const struct instance *in, struct sum *s)
{
	bool over = trail_over(t), any;

	memset(s, 0, sizeof(*s));
	any = tally_of(t, slot, &s->tally);
	memcpy(s->n, s->tally.n, sizeof(s->n));
	s->off = tally_rest(&s->tally);
	if (s->off > 0) {
		*(over ? &s->lost : &s->open) = (uint64_t)s->off;
		s->off = 0;
	}
	/* Of a process that runs the page was read while others counted on. */
	if (!over)
		s->off = 0;
	s->whole = over && !t->overwritten && !t->lost && !t->account.skipped && !t->incomplete &&
		   !s->tally.partial && s->tally.instances == 1;
	for (size_t i = 0; i < NR_PAIRS; i++)
		s->differs |= s->whole && s->n[pairs[i].count] != (in ? in->rows[pairs[i].row] : 0);
	return any;
}

/* ---- what no row holds ------------------------------------------------------------ */

/*
 * A row may say more than the account, of a batch whose answer was read and whose callback
 * never came: so many of what the account has otherwise are not without a row.
 */
static void unheld_of(const struct trail *t, uint32_t inst, const struct instance *in,
		      const struct sum *s, struct unheld *u)
{
	uint64_t more = 0, n[TL_NR_OUTCOMES] = {
		[TL_OUTCOME_ACKED] = s->n[AT_ACKED], [TL_OUTCOME_FAILED] = s->n[AT_FAILED],
		[TL_OUTCOME_EXPIRED] = s->n[AT_EXPIRED], [TL_OUTCOME_PURGED] = s->n[AT_PURGED],
		[TL_OUTCOME_DROPPED] = s->n[AT_DROPPED], [TL_OUTCOME_LOST] = s->lost,
	};

	memset(u, 0, sizeof(*u));
	u->trail = t;
	u->instance = inst;
	u->whole = s->whole;
	if (s->off || s->tally.partial || s->tally.instances > 1)
		return;
	for (int i = 0; in && i < TL_NR_OUTCOMES; i++)
		more += in->rows[i] > n[i] ? in->rows[i] - n[i] : 0;
	for (int i = 0; i < TL_NR_OUTCOMES; i++) {
		uint64_t held = (in ? in->rows[i] : 0) + more;

		u->n[i] = n[i] > held ? n[i] - held : 0;
		u->any |= u->n[i] != 0;
	}
}

bool accounts_next_unheld(struct accounts *a, uint32_t *at, struct unheld *u)
{
	for (; *at / AT_NR_ACCOUNTS < (uint32_t)reader_nr_trails(a->reader); ++*at) {
		const struct trail *t = reader_trail(a->reader, (int)(*at / AT_NR_ACCOUNTS));
		struct key key = { t->index, *at % AT_NR_ACCOUNTS + 1 };
		struct instance *in;
		struct sum s;

		if (t->header.kind != AT_KIND_SHIM || !trail_over(t) || t->incomplete)
			continue;
		HASH_FIND(hh, a->instances, &key, sizeof(key), in);
		if (!sum_of(t, key.inst - 1, in, &s))
			continue;
		unheld_of(t, key.inst, in, &s, u);
		if (!u->any)
			continue;
		++*at;
		return true;
	}
	return false;
}

uint64_t accounts_repeats(struct accounts *a)
{
	uint64_t repeats = 0;

	for (int i = 0; i < reader_nr_trails(a->reader); i++) {
		const struct trail *t = reader_trail(a->reader, i);

		for (uint32_t slot = 0; slot < AT_NR_ACCOUNTS && t->header.kind == AT_KIND_SHIM && !t->incomplete; slot++) {
			struct key key = { t->index, slot + 1 };
			struct instance *in;
			struct sum s;

			HASH_FIND(hh, a->instances, &key, sizeof(key), in);
			if (sum_of(t, slot, in, &s))
				repeats += repeats_of(t, &s, in);
		}
	}
	return repeats;
}

void unheld_text(char *buf, size_t size, const struct unheld *u, enum tl_outcome outcome)
{
	const struct trail *t = u->trail;
	const char *many = u->n[outcome] == 1 ? "" : "s", *was = u->n[outcome] == 1 ? "was" : "were";
	/* Not that none did: of one that was being written when it died, or inside hidden TLS, nothing tells. */
	const char *why = u->whole ? "no batch was seen to carry" :
				     "events were overwritten or lost, and no batch in these trails has";
	const char *them = u->n[outcome] == 1 ? "it" : "them";

	if (outcome == TL_OUTCOME_LOST)
		snprintf(buf, size, "%" PRIu64 " message%s %s lost with the process %u (%s): %s %s", u->n[outcome],
			 many, was, t->header.pid,
			 t->gone ? "killed or crashed" : t->header.state == AT_EXECED ? "execed" : "exited", why, them);
	else
		snprintf(buf, size, "%" PRIu64 " message%s of the process %u %s %s: %s %s", u->n[outcome], many,
			 t->header.pid, was, tl_outcome_names[outcome], why, them);
}

/* ---- telling ---------------------------------------------------------------------- */

static void errors_json(struct out *o, const char *name, const struct errors *e)
{
	char number[16];

	if (!e->nr)
		return;
	out_object(o, name);
	for (uint32_t i = 0; i < e->nr; i++) {
		const char *text = tl_err_name(e->by[i].err);

		snprintf(number, sizeof(number), "%d", e->by[i].err);
		out_u64(o, text ? text : number, e->by[i].n);
	}
	out_end(o);
}

static void sum_json(struct out *o, const struct trail *t, uint32_t inst, const struct sum *s,
		     const struct instance *in)
{
	struct unheld u;

	out_begin(o);
	out_object(o, "account");
	out_text(o, "host", t->header.host);
	out_u64(o, "pid", t->header.pid);
	out_u64(o, "instance", inst);
	if (s->tally.instances > 1)
		out_u64(o, "instances", s->tally.instances);
	out_u64(o, "accepted", s->n[AT_ACCEPTED]);
	out_u64(o, "acked", s->n[AT_ACKED]);
	out_u64(o, "failed", s->n[AT_FAILED]);
	out_u64(o, "expired", s->n[AT_EXPIRED]);
	out_u64(o, "purged", s->n[AT_PURGED]);
	out_u64(o, "dropped", s->n[AT_DROPPED]);
	out_u64(o, "lost", s->lost);
	out_u64(o, "open", s->open);
	if (s->tally.partial) {
		out_u64(o, "unseen", s->tally.unseen);
		out_u64(o, "before", s->tally.before);
		out_bool(o, "partial", true);
	}
	out_u64(o, "refused", s->n[AT_REFUSED]);
	out_u64(o, "called", s->n[AT_CALLED]);
	out_bool(o, "balanced", !s->off);
	if (repeats_of(t, s, in)) {
		out_u64(o, "written", in->written);
		out_u64(o, "repeats_at_least", repeats_of(t, s, in));
	}
	if (s->off)
		out_s64(o, "off", s->off);
	if (in) {
		errors_json(o, "failed_by", &in->failed);
		errors_json(o, "refused_by", &in->refused);
		out_object(o, "rows");
		for (int i = 0; i < TL_NR_OUTCOMES; i++)
			if (in->rows[i])
				out_u64(o, tl_outcome_names[i], in->rows[i]);
		out_end(o);
	}
	if (s->whole)
		out_bool(o, "rows_agree", !s->differs);
	unheld_of(t, inst, in, s, &u);
	if (u.n[TL_OUTCOME_LOST] && trail_over(t))
		out_u64(o, "lost_without_batch", u.n[TL_OUTCOME_LOST]);
	out_end(o);
	out_end(o);
}

static void errors_text(const char *what, const struct errors *e)
{
	if (!e->nr)
		return;
	printf("    %s:", what);
	for (uint32_t i = 0; i < e->nr; i++) {
		const char *text = tl_err_name(e->by[i].err);

		printf("%s %" PRIu64 " ", i ? "," : "", e->by[i].n);
		if (text)
			fputs(text, stdout);
		else
			printf("error %d", e->by[i].err);
	}
	putchar('\n');
}

static void sum_text(const struct trail *t, uint32_t inst, const struct sum *s,
		     const struct instance *in)
{
	struct unheld u;
	uint64_t rows = 0;
	char line[256];

	printf("%s (pid %u, producer %u): %" PRIu64 " message%s accepted %s %" PRIu64 " acked + %" PRIu64
	       " failed\n    + %" PRIu64 " expired + %" PRIu64 " purged + %" PRIu64 " dropped + %" PRIu64
	       " lost + %" PRIu64 " open;  %" PRIu64 " more were refused\n",
	       t->header.comm, t->header.pid, inst, s->n[AT_ACCEPTED],
	       s->n[AT_ACCEPTED] == 1 ? "" : "s", s->off ? "!=" : "=", s->n[AT_ACKED],
	       s->n[AT_FAILED], s->n[AT_EXPIRED], s->n[AT_PURGED], s->n[AT_DROPPED], s->lost, s->open,
	       s->n[AT_REFUSED]);
	if (s->tally.instances > 1)
		printf("    these are producers %u to %u together: accounts are kept apart for the first %u of a process\n",
		       inst, inst + s->tally.instances - 1, inst - 1);
	if (s->tally.partial)
		printf("    partial: recording was %s while it ran; + %" PRIu64 " that were open when it was turned off; "
		       "not in this sum: %" PRIu64 " that ended and had been accepted before\n",
		       t->header.off_ns ? "turned off and on" : "turned on", s->tally.unseen, s->tally.before);
	if (repeats_of(t, s, in))
		printf("    at least %" PRIu64 " of the %" PRIu64 " records that it was seen to bring into the log are "
		       "repeats: sent again after an attempt that had been written\n", repeats_of(t, s, in), in->written);
	if (in) {
		errors_text("failed", &in->failed);
		errors_text("refused", &in->refused);
	}
	for (int i = 0; in && i < TL_NR_OUTCOMES; i++)
		rows += in->rows[i];
	/* Rows of what was recycled are not there any more. */
	if (rows < s->n[AT_ACCEPTED] && !s->whole && (t->overwritten || t->lost))
		printf("    %" PRIu64 " of them are in the timeline: the others' events were overwritten or lost\n",
		       rows);
	unheld_of(t, inst, in, s, &u);
	if (u.n[TL_OUTCOME_LOST] && s->whole) {
		unheld_text(line, sizeof(line), &u, TL_OUTCOME_LOST);
		printf("    %s\n", line);
	}
}

/* Counters of a damaged trail may be anything: none of them is told as a fact. */
static void damaged_told(const struct trail *t, enum format format, struct out *o)
{
	if (format == FORMAT_TEXT) {
		text_str(stdout, t->header.comm, strlen(t->header.comm));
		printf(" (pid %u): damaged: its account of messages cannot be trusted and is left out\n", t->header.pid);
		return;
	}
	out_begin(o);
	out_object(o, "account");
	out_text(o, "host", t->header.host);
	out_u64(o, "pid", t->header.pid);
	out_bool(o, "damaged", true);
	out_end(o);
	out_end(o);
}

static void say_defect(const struct trail *t, uint32_t inst, const struct sum *s,
		       const struct instance *in)
{
	if (s->off)
		say("internal error: the account of %s, producer %u, does not add up: %" PRId64 " more messages "
		    "ended than were accepted.  That is a defect of acktrail, please report it", t->path, inst,
		    -s->off);
	for (size_t i = 0; i < NR_PAIRS; i++) {
		uint64_t rows = in ? in->rows[pairs[i].row] : 0;

		if (s->differs && rows != s->n[pairs[i].count])
			say("internal error: of %s, producer %u, the account has %" PRIu64 " messages %s, the timeline "
			    "%" PRIu64 ", and no event was lost.  That is a defect of acktrail, please report it",
			    t->path, inst, s->n[pairs[i].count], tl_outcome_names[pairs[i].row], rows);
	}
}

int accounts_tell(struct accounts *a, enum format format, struct out *o)
{
	int errors = 0;

	for (int i = 0; i < reader_nr_trails(a->reader); i++) {
		const struct trail *t = reader_trail(a->reader, i);

		if (t->header.kind != AT_KIND_SHIM)
			continue;
		if (t->incomplete) {
			damaged_told(t, format, o);
			continue;
		}
		for (uint32_t slot = 0; slot < AT_NR_ACCOUNTS; slot++) {
			struct key key = { t->index, slot + 1 };
			struct instance *in;
			struct sum s;

			HASH_FIND(hh, a->instances, &key, sizeof(key), in);
			if (!sum_of(t, slot, in, &s))
				continue;
			errors += s.off != 0 || s.differs;
			if (format == FORMAT_NDJSON)
				sum_json(o, t, slot + 1, &s, in);
			else
				sum_text(t, slot + 1, &s, in);
			say_defect(t, slot + 1, &s, in);
		}
	}
	return errors;
}

void accounts_free(struct accounts *a)
{
	struct instance *in, *tmp;

	HASH_ITER(hh, a->instances, in, tmp) {
		HASH_DEL(a->instances, in);
		free(in);
	}
	free(a);
}
