// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire_response.c - responses as they come: of Produce (versions 3 to 13) each
 * partition's error and base offset and the throttle time; of Metadata what
 * wire_metadata.c reads; of others the error where it stands at a fixed place.
 */
#include <string.h>

#include "wire.h"

enum state {
	CORR = WIRE_OWN, HEAD_TAGS, TOPIC_COUNT, TOPIC_LEN, TOPIC_NAME,
	TOPIC_ID, PARTITION_COUNT, PARTITION, ERROR_COUNT, ERROR_INDEX, ERROR_TEXT, TEXT,
	THROTTLE, EARLY_THROTTLE, EARLY_ERROR,
};

/*
 * Where other responses carry their error: throttle time first or not, and from
 * which version the response header is flexible.  Source: the message definitions
 * of the protocol guide.  ApiVersions keeps the plain header for ever (KIP-511).
 */
static const struct early { int16_t api, min_version, flexible; bool throttle; } early[] = {
	{ KAFKA_API_VERSIONS, 0, 1000, false },
	{ KAFKA_SASL_HANDSHAKE, 0, 1000, false },
	{ KAFKA_SASL_AUTHENTICATE, 0, 2, false },
	{ KAFKA_INIT_PRODUCER_ID, 0, 2, true },
	{ KAFKA_HEARTBEAT, 1, 4, true },
	{ KAFKA_LEAVE_GROUP, 1, 4, true },
	{ KAFKA_SYNC_GROUP, 1, 4, true },
	{ KAFKA_JOIN_GROUP, 2, 6, true },
	{ KAFKA_END_TXN, 0, 3, true },
	{ KAFKA_ADD_OFFSETS_TO_TXN, 0, 3, true },
};

static const struct early *early_of(const struct wire_response *rs)
{
	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
		if (early[i].api == rs->api && rs->version >= early[i].min_version)
			return &early[i];
	return NULL;
}

static bool is_metadata(const struct wire_response *rs)
{
	return rs->api == KAFKA_METADATA && rs->version >= KAFKA_METADATA_MIN &&
	       rs->version <= KAFKA_METADATA_MAX;
}

static void next_topic(struct wire_responses *w)
{
	if (!w->topics) {
		wire_need(&w->p, THROTTLE, 4);
		return;
	}
	w->topics--;
	if (w->rs.version >= KAFKA_PRODUCE_TOPIC_ID)
		wire_need(&w->p, TOPIC_ID, 16);
	else
		wire_length(&w->p, TOPIC_LEN, 2);
}

/* index, error, base offset, log append time, and since v5 the log start offset */
static void next_partition(struct wire_responses *w)
{
	if (w->partitions) {
		w->partitions--;
		wire_need(&w->p, PARTITION, w->rs.version >= 5 ? 30 : 22);
	} else if (w->p.flexible) {
		wire_tags(&w->p, TOPIC_COUNT);
	} else {
		next_topic(w);
	}
}

static void partition_done(struct wire_responses *w)
{
	if (w->p.flexible)
		wire_tags(&w->p, PARTITION);
	else
		next_partition(w);
}

static void body(struct wire_responses *w)
{
	const struct early *e;

	if (w->rs.api == KAFKA_PRODUCE) {
		wire_length(&w->p, TOPIC_COUNT, 4);
		return;
	}
	if (is_metadata(&w->rs)) {
		wire_metadata_begin(w);
		return;
	}
	e = early_of(&w->rs);
	if (!e)
		wire_rest_of_frame(&w->p);
	else if (e->throttle)
		wire_need(&w->p, EARLY_THROTTLE, 4);
	else
		wire_need(&w->p, EARLY_ERROR, 2);
}

/* record_errors: (index, nullable text, tags) each; then one text for the partition */
static void next_error(struct wire_responses *w)
{
	if (w->errors) {
		w->errors--;
		wire_need(&w->p, ERROR_INDEX, 4);
	} else {
		wire_length(&w->p, TEXT, 2);
	}
}

static void tags_done(struct wire_responses *w)
{
	if (w->p.after_tags >= WIRE_METADATA) {
		wire_metadata_tags_done(w);
		return;
	}
	switch (w->p.after_tags) {
	case PARTITION: next_partition(w); break;
	case TOPIC_COUNT: next_topic(w); break;
	case ERROR_COUNT: next_error(w); break;
	default: body(w); break;
	}
}

static void frame(struct wire_responses *w)
{
	uint32_t size = kafka_be32(w->p.buf);

	if (size < 4 || size > KAFKA_FRAME_MAX) {
		wire_stop(&w->p, WIRE_BROKEN);
		return;
	}
	memset(&w->rs, 0, sizeof(w->rs));
	w->rs.size = size;
	w->replies = 0;
	wire_begin_frame(&w->p, size);
	wire_need(&w->p, CORR, 4);
}

static void corr(struct wire_responses *w, const struct wire_response_ops *ops, void *ctx)
{
	struct wire_response *rs = &w->rs;
	const struct early *e;

	rs->corr = kafka_be32(w->p.buf);
	rs->api = -1;
	rs->matched = ops->match(ctx, rs->corr, &rs->api, &rs->version);
	if (!rs->matched) {
		wire_rest_of_frame(&w->p);
		return;
	}
	if (rs->api == KAFKA_PRODUCE) {
		if (rs->version < KAFKA_PRODUCE_MIN || rs->version > KAFKA_PRODUCE_MAX) {
			wire_rest_of_frame(&w->p);
			return;
		}
		w->p.flexible = rs->version >= KAFKA_PRODUCE_FLEXIBLE;
	} else {
		e = early_of(rs);
		w->p.flexible = is_metadata(rs) || (e && rs->version >= e->flexible);
	}
	if (w->p.flexible)
		wire_tags(&w->p, HEAD_TAGS);
	else
		body(w);
}

static void partition(struct wire_responses *w, const struct wire_response_ops *ops, void *ctx)
{
	const uint8_t *b = w->p.buf;
	struct wire_reply *r = &w->reply;

	r->partition = (int32_t)kafka_be32(b);
	r->error = (int16_t)kafka_be16(b + 4);
	r->base_offset = (int64_t)kafka_be64(b + 6);
	r->log_append_ms = (int64_t)kafka_be64(b + 14);
	r->index = w->replies++;
	if (r->error && !w->rs.error)
		w->rs.error = r->error;
	ops->reply(ctx, &w->rs, &w->topic, r);
	if (w->rs.version >= 8)
		wire_length(&w->p, ERROR_COUNT, 4);
	else
		partition_done(w);
}

static void topic_name(struct wire_responses *w, bool is_id)
{
	w->topic.is_id = is_id;
	w->topic.len = w->p.need;
	memcpy(w->topic.text, w->p.buf, w->p.need);
	w->topic.text[w->p.need] = 0;
	wire_length(&w->p, PARTITION_COUNT, 4);
}

static void step(struct wire_responses *w, const struct wire_response_ops *ops, void *ctx)
{
	struct wire_pull *p = &w->p;
	int64_t n;

	if (p->state >= WIRE_METADATA) {
		wire_metadata_step(w, ops, ctx);
		return;
	}
	switch (p->state) {
	case WIRE_FRAME: frame(w); break;
	case CORR: corr(w, ops, ctx); break;
	case WIRE_TAG_COUNT:
	case WIRE_TAG_ID:
	case WIRE_TAG_SIZE:
		if (wire_tag(p))
			tags_done(w);
		break;
	case TOPIC_COUNT:
		w->topics = wire_count(&w->p, wire_value(&w->p, 4));
		next_topic(w);
		break;
	case TOPIC_LEN:
		n = wire_value(&w->p, 2);
		if (n <= 0 || n > KAFKA_TOPIC_MAX)
			wire_stop(p, WIRE_BROKEN);
		else
			wire_need(p, TOPIC_NAME, (unsigned)n);
		break;
	case TOPIC_NAME: topic_name(w, false); break;
	case TOPIC_ID: topic_name(w, true); break;
	case PARTITION_COUNT:
		w->partitions = wire_count(&w->p, wire_value(&w->p, 4));
		next_partition(w);
		break;
	case PARTITION: partition(w, ops, ctx); break;
	case ERROR_COUNT:
		w->errors = wire_count(&w->p, wire_value(&w->p, 4));
		next_error(w);
		break;
	case ERROR_INDEX:
		wire_length(&w->p, ERROR_TEXT, 2);
		break;
	case ERROR_TEXT:
		n = wire_value(&w->p, 2);
		wire_skip(p, n > 0 ? (uint64_t)n : 0);
		if (w->p.flexible)
			wire_tags(&w->p, ERROR_COUNT);
		else
			next_error(w);
		break;
	case TEXT:
		n = wire_value(&w->p, 2);
		wire_skip(p, n > 0 ? (uint64_t)n : 0);
		partition_done(w);
		break;
	case THROTTLE:
		w->rs.throttle_ms = (int32_t)kafka_be32(p->buf);
		wire_rest_of_frame(&w->p);
		break;
	case EARLY_THROTTLE:
		w->rs.throttle_ms = (int32_t)kafka_be32(p->buf);
		wire_need(p, EARLY_ERROR, 2);
		break;
	case EARLY_ERROR:
		w->rs.error = (int16_t)kafka_be16(p->buf);
		wire_rest_of_frame(&w->p);
		break;
	default: break;
	}
}

void wire_responses_init(struct wire_responses *w)
{
	memset(w, 0, sizeof(*w));
	wire_next_frame(&w->p);
}

void wire_feed_responses(struct wire_responses *w, const void *bytes, size_t len, uint64_t now_ns,
			 const struct wire_response_ops *ops, void *ctx)
{
	const uint8_t *at = bytes;

	while (!w->p.off) {
		if (wire_frame_over(&w->p)) {
			w->rs.end_ns = now_ns;
			ops->response(ctx, &w->rs);
			wire_next_frame(&w->p);
		}
		if (!len)
			return;
		if (wire_pull(&w->p, &at, &len, now_ns))
			step(w, ops, ctx);
	}
}
