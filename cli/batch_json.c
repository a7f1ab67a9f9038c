/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include "address.h"
#include "batch_view.h"
#include "join.h"

/* The names of timeline.h, ready to be written. */
#define WORD(e, s) OUT_WORD(s),
#define CAUSE_WORD(e, s, t) OUT_WORD(s),
static const struct out_word outcomes[] = { TL_OUTCOMES(WORD) }, phases[] = { TL_PHASES(WORD) }, parts[] = { TL_PARTS(WORD) },
	knowns[] = { TL_KNOWNS(WORD) }, joins[] = { TL_JOINS(WORD) }, tiers[] = { TL_TIERS(WORD) },
	causes[] = { TL_CAUSES(CAUSE_WORD) };

const char *in_log_name(enum tl_in_log l)
{
	return l == TL_IN_LOG_YES ? "yes" : l == TL_IN_LOG_NO ? "no" : "unknown";
}

const char *resend_name(enum tl_resend r)
{
	return r == TL_RESEND_SAFE ? "safe" : r == TL_RESEND_DUPLICATES ? "duplicates" : "may-duplicate";
}

static void time_json(struct out *o, const char *key, int64_t ns)
{
	if (ns)
		out_s64(o, key, ns);
}

static void producer_json(struct out *o, const struct tl_producer *p, bool client)
{
	char address[ADDRESS_TEXT];

	if (!client && !p->client_id && p->id < 0 && !p->peer_port)
		return;
	out_object(o, "producer");
	out_text(o, "client_id", p->client_id);
	if (*address_text(address, p->peer_hi, p->peer_lo, p->peer_port))
		out_text(o, "address", address);
	if (p->pid)
		out_u64(o, "pid", p->pid);
	out_text(o, "host", p->host);
	if (p->instance)
		out_u64(o, "instance", p->instance);
	if (p->id >= 0) {
		out_s64(o, "producer_id", p->id);
		out_s64(o, "producer_epoch", p->epoch);
		out_s64(o, "base_sequence", p->base_sequence);
	}
	out_end(o);
}

static void attempt_json(struct out *o, const struct tl_attempt *a)
{
	out_object(o, NULL);
	out_u64(o, "n", a->n);
	if (a->broker >= 0)
		out_s64(o, "broker", a->broker);
	if (a->on_wire || a->read_ns)
		out_u64(o, "corr_id", a->corr_id);
	if (a->inferred)
		out_word(o, "known", &knowns[TL_KNOWN_INFERRED]);
	time_json(o, "write_begin_ns", a->write_begin_ns);
	time_json(o, "write_end_ns", a->write_end_ns);
	time_json(o, "broker_first_ns", a->first_ns);
	time_json(o, "broker_arrived_ns", a->arrived_ns);
	time_json(o, "broker_read_ns", a->read_ns);
	time_json(o, "append_begin_ns", a->append_begin_ns);
	time_json(o, "append_end_ns", a->append_end_ns);
	time_json(o, "sync_begin_ns", a->sync_begin_ns);
	time_json(o, "sync_end_ns", a->sync_end_ns);
	time_json(o, "response_written_ns", a->response_written_ns);
	time_json(o, "response_read_ns", a->response_read_ns);
	time_json(o, "connection_ended_ns", a->ended_ns);
	if (a->clock_offset_ns)
		out_s64(o, "clock_offset_ns", a->clock_offset_ns);
	if (a->answered)
		out_s64(o, "error_code", a->error_code);
	if (a->base_offset >= 0)
		out_s64(o, "base_offset", a->base_offset);
	out_end(o);
}

static void hold_json(struct out *o, const struct tl_hold *h)
{
	out_object(o, "held_by");
	if (h->base_offset >= 0)
		out_s64(o, "base_offset", h->base_offset);
	out_u64(o, "crc", h->crc);
	out_u64(o, "tid", h->tid);
	out_text(o, "thread", h->comm);
	out_s64(o, "ns", h->ns);
	out_u64(o, "holds", h->nr);
	out_s64(o, "held_ns", h->held_ns);
	time_json(o, "append_ns", h->append_ns);
	time_json(o, "sync_ns", h->sync_ns);
	out_end(o);
}

static void commit_json(struct out *o, const struct tl_commit *m)
{
	out_object(o, "commit");
	if (m->transaction)
		out_u64(o, "transaction", m->transaction);
	out_text(o, "device", m->device);
	out_s64(o, "ns", m->ns);
	time_json(o, "begin_ns", m->begin_ns);
	time_json(o, "end_ns", m->end_ns);
	if (m->by_pid) {
		out_u64(o, "by_pid", m->by_pid);
		out_u64(o, "by_tid", m->by_tid);
		out_text(o, "by", m->by);
	}
	out_u64(o, "requests", m->requests);
	time_json(o, "slowest_ns", m->slowest_ns);
	out_end(o);
}

static void phase_json(struct out *o, const struct tl_phase *p)
{
	out_object(o, NULL);
	out_word(o, "name", &phases[p->name]);
	out_s64(o, "begin_ns", p->begin_ns);
	out_s64(o, "ns", p->ns);
	if (p->attempt)
		out_u64(o, "attempt", p->attempt);
	if (p->known != TL_KNOWN_UNKNOWN)
		out_word(o, "known", &knowns[p->known]);
	if (p->known == TL_KNOWN_ACROSS && p->bound_ns)
		out_s64(o, "bound_ns", p->bound_ns);
	if (p->cause != TL_CAUSE_UNKNOWN) {
		out_word(o, "cause", &causes[p->cause]);
		out_text(o, "culprit", p->culprit);
	}
	if (p->behind != TL_CAUSE_UNKNOWN)
		out_word(o, "behind", &causes[p->behind]);
	if (p->chain && p->chain->has_hold)
		hold_json(o, &p->chain->hold);
	if (p->chain && p->chain->has_commit)
		commit_json(o, &p->chain->commit);
	if (p->parts && p->parts->seen) {
		out_array(o, "parts");
		for (int i = 0; i < TL_NR_PARTS; i++) {
			if (!p->parts->part[i])
				continue;
			out_object(o, NULL);
			out_word(o, "name", &parts[i]);
			out_s64(o, "ns", p->parts->part[i]);
			out_end(o);
		}
		out_end(o);
		if (p->parts->other_pid) {
			out_object(o, "shared_with");
			out_u64(o, "pid", p->parts->other_pid);
			out_text(o, "command", p->parts->other);
			out_milli(o, "share", (int64_t)(p->parts->other_share * 1000 + 0.5));
			out_end(o);
		}
	}
	out_end(o);
}

void verdict_json(struct out *o, const struct tl_verdict *v)
{
	out_object(o, "verdict");
	out_word(o, "cause", &causes[v->cause]);
	out_milli(o, "share", (int64_t)floor(v->share * 1000 + 0.5));
	out_text(o, "text", v->text);
	out_array(o, "causes");
	for (uint32_t i = 0; i < v->nr; i++) {
		const struct tl_cause_share *c = &v->causes[i];

		out_object(o, NULL);
		out_word(o, "cause", &causes[c->cause]);
		if (tl_cause_tiers[c->cause] != TL_TIER_NONE)
			out_word(o, "tier", &tiers[tl_cause_tiers[c->cause]]);
		out_milli(o, "share", (int64_t)floor(c->share * 1000 + 0.5));
		if (c->known != TL_KNOWN_UNKNOWN)
			out_word(o, "known", &knowns[c->known]);
		out_text(o, "culprit", c->culprit);
		out_end(o);
	}
	out_end(o);
	out_end(o);
}

void batch_json(struct out *o, const struct tl_batch *b)
{
	out_begin(o);
	out_text(o, "id", b->id);
	out_text(o, "topic", b->topic);
	out_s64(o, "partition", b->partition);
	if (b->has_crc)
		out_u64(o, "crc", b->crc);
	out_u64(o, "count", b->count);
	if (b->messages != b->count)
		out_u64(o, "messages", b->messages);
	if (b->bytes)
		out_u64(o, "bytes", b->bytes);
	if (b->base_offset >= 0) {
		out_s64(o, "base_offset", b->base_offset);
		out_s64(o, "last_offset", b->base_offset + b->count - 1);
	}
	producer_json(o, &b->producer, b->client);
	out_word(o, "outcome", &outcomes[b->outcome]);
	out_bool(o, "sent", b->sent);
	out_text(o, "in_log", in_log_name(b->in_log));
	out_text(o, "in_log_by", b->in_log_by);
	out_text(o, "resend", resend_name(b->resend));
	if (b->err)
		out_text(o, "error", tl_err_name(b->err) ? tl_err_name(b->err) : "unnamed");
	else if (b->outcome == TL_OUTCOME_FAILED && b->nr_attempts)
		out_text(o, "error", tl_error_name(b->attempts[b->counted].error_code));
	out_text(o, "expired_by", b->expired_by);
	if (b->wire_alone)
		out_bool(o, "wire_alone", true);
	if (b->moved) {
		out_bool(o, "moved", true);
		out_text(o, "moved_into", b->moved_into);
	}
	if (b->client) {
		time_json(o, "created_first_ns", b->created_first_ns);
		time_json(o, "created_last_ns", b->created_last_ns);
	}
	time_json(o, "acked_ns", b->acked_ns);
	if (b->outcome != TL_OUTCOME_OPEN)
		time_json(o, "resolved_ns", b->resolved_ns);
	time_json(o, "on_disk_ns", b->on_disk_ns);
	out_array(o, "attempts");
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		attempt_json(o, &b->attempts[i]);
	out_end(o);
	out_array(o, "phases");
	for (uint32_t i = 0; i < b->nr_phases; i++)
		phase_json(o, &b->phases[i]);
	out_end(o);
	if (b->nr_replicas) {
		out_array(o, "replicas");
		for (uint32_t i = 0; i < b->nr_replicas; i++) {
			out_object(o, NULL);
			if (b->replicas[i].broker >= 0)
				out_s64(o, "broker", b->replicas[i].broker);
			time_json(o, "append_ns", b->replicas[i].append_ns);
			time_json(o, "sync_end_ns", b->replicas[i].sync_end_ns);
			out_end(o);
		}
		out_end(o);
	}
	out_word(o, "join", &joins[b->join]);
	verdict_json(o, &b->verdict);
	out_end(o);
}
