// SPDX-License-Identifier: BSD-2-Clause
/*
 * wire_request.c - requests as they leave a client: the header of every one, and of
 * Produce (versions 3 to 13) each topic, partition and batch header.
 */
#include <string.h>

#include "wire.h"

enum state {
	HEAD = WIRE_OWN, CLIENT_LEN, CLIENT, TXN_LEN, ACKS, TOPIC_COUNT, TOPIC_LEN, TOPIC_NAME, TOPIC_ID,
	PARTITION_COUNT, PARTITION, RECORDS_LEN, BATCH,
};

static void next_topic(struct wire_requests *w);

static void next_partition(struct wire_requests *w)
{
	if (w->partitions) {
		w->partitions--;
		wire_need(&w->p, PARTITION, 4);
	} else if (w->p.flexible) {
		wire_tags(&w->p, TOPIC_COUNT);	/* the topic's tags, then the next topic */
	} else {
		next_topic(w);
	}
}

static void next_topic(struct wire_requests *w)
{
	if (!w->topics) {
		wire_rest_of_frame(&w->p);		/* tags of the request */
		return;
	}
	w->topics--;
	if (w->rq.version >= KAFKA_PRODUCE_TOPIC_ID)
		wire_need(&w->p, TOPIC_ID, 16);
	else
		wire_length(&w->p, TOPIC_LEN, 2);
}

/* After the tags of a partition, of a topic or of the header. */
static void tags_done(struct wire_requests *w)
{
	switch (w->p.after_tags) {
	case PARTITION: next_partition(w); break;
	case TOPIC_COUNT: next_topic(w); break;
	default: wire_uvarint(&w->p, TXN_LEN); break;
	}
}

static void next_batch(struct wire_requests *w)
{
	if (w->records >= KAFKA_B_SIZE) {
		wire_need(&w->p, BATCH, KAFKA_B_SIZE);
		return;
	}
	wire_skip(&w->p, w->records);
	w->records = 0;
	if (w->p.flexible)
		wire_tags(&w->p, PARTITION);
	else
		next_partition(w);
}

static void batch_header(struct wire_requests *w)
{
	struct wire_batch *b = &w->batch;
	uint64_t rest;

	memset(&b->id, 0, sizeof(b->id));
	kafka_batch_decode(&b->id, w->p.buf);
	b->old_format = b->id.magic != 2;
	b->begin_ns = w->p.field_ns;
	b->index = w->rq.batches;
	if (b->old_format || b->id.bytes < KAFKA_B_SIZE || b->id.bytes > w->records) {
		/* No identity here: take the partition's records as one piece. */
		b->old_format = true;
		b->id.bytes = (uint32_t)w->records;
	}
	rest = b->id.bytes - KAFKA_B_SIZE;
	w->records -= b->id.bytes;
	w->in_batch = true;
	wire_skip(&w->p, rest);		/* what follows is asked for in finish_batch() */
}

static void frame(struct wire_requests *w)
{
	uint32_t size = kafka_be32(w->p.buf);
	bool tls = w->p.buf[0] == 0x16 && w->p.buf[1] == 3;

	/* A ClientHello reads as a size of 369 MB, which no first request has. */
	if (tls && !w->past_first) {
		wire_stop(&w->p, WIRE_TLS);
		return;
	}
	if (size < 10 || size > KAFKA_FRAME_MAX) {
		wire_stop(&w->p, w->past_first ? WIRE_BROKEN : WIRE_NOT_KAFKA);
		return;
	}
	memset(&w->rq, 0, sizeof(w->rq));
	w->rq.begin_ns = w->p.field_ns;
	w->rq.size = size;
	wire_begin_frame(&w->p, size);
	wire_need(&w->p, HEAD, 8);
}

/* The first request of a Kafka connection is one of these. */
static bool may_be_first(int16_t api)
{
	return api == KAFKA_API_VERSIONS || api == KAFKA_METADATA || api == KAFKA_SASL_HANDSHAKE ||
	       api == KAFKA_PRODUCE;
}

static void head(struct wire_requests *w)
{
	struct wire_request *rq = &w->rq;

	rq->api = (int16_t)kafka_be16(w->p.buf);
	rq->version = (int16_t)kafka_be16(w->p.buf + 2);
	rq->corr = kafka_be32(w->p.buf + 4);
	if (rq->api < 0 || rq->api > KAFKA_API_MAX || rq->version < 0 || rq->version > 40 ||
	    (!w->past_first && !may_be_first(rq->api))) {
		wire_stop(&w->p, w->past_first ? WIRE_BROKEN : WIRE_NOT_KAFKA);
		return;
	}
	wire_need(&w->p, CLIENT_LEN, 2);
}

static void header_done(struct wire_requests *w)
{
	struct wire_request *rq = &w->rq;

	w->past_first = true;
	if (rq->api != KAFKA_PRODUCE) {
		wire_rest_of_frame(&w->p);
		return;
	}
	if (rq->version < KAFKA_PRODUCE_MIN || rq->version > KAFKA_PRODUCE_MAX) {
		w->unknown_versions++;
		wire_rest_of_frame(&w->p);
		return;
	}
	w->p.flexible = rq->version >= KAFKA_PRODUCE_FLEXIBLE;
	if (w->p.flexible)
		wire_tags(&w->p, TXN_LEN);
	else
		wire_need(&w->p, TXN_LEN, 2);
}

static void client_len(struct wire_requests *w)
{
	int16_t len = (int16_t)kafka_be16(w->p.buf);

	if (len < -1 || (uint32_t)(len > 0 ? len : 0) > w->p.left) {
		wire_stop(&w->p, w->past_first ? WIRE_BROKEN : WIRE_NOT_KAFKA);
	} else if (len <= 0) {
		header_done(w);
	} else {
		w->rq.client_len = (uint16_t)len;
		wire_need(&w->p, CLIENT,
			  (unsigned)len < sizeof(w->rq.client) ? (unsigned)len : sizeof(w->rq.client));
	}
}

static void client(struct wire_requests *w)
{
	uint16_t kept = w->p.need, len = w->rq.client_len;

	memcpy(w->rq.client, w->p.buf, kept);
	w->rq.client_len = kept;
	header_done(w);
	if (len > kept && !w->p.off) {
		uint64_t more = (uint64_t)(len - kept);

		/* header_done() may have skipped to the frame's end already. */
		if (w->p.state != WIRE_END)
			wire_skip(&w->p, more);
	}
}

static void topic_name(struct wire_requests *w, bool is_id)
{
	w->topic.is_id = is_id;
	w->topic.len = w->p.need;
	memcpy(w->topic.text, w->p.buf, w->p.need);
	w->topic.text[w->p.need] = 0;
	wire_length(&w->p, PARTITION_COUNT, 4);
}

static void step(struct wire_requests *w)
{
	struct wire_pull *p = &w->p;
	int64_t n;

	switch (p->state) {
	case WIRE_FRAME: frame(w); break;
	case HEAD: head(w); break;
	case CLIENT_LEN: client_len(w); break;
	case CLIENT: client(w); break;
	case WIRE_TAG_COUNT:
	case WIRE_TAG_ID:
	case WIRE_TAG_SIZE:
		if (wire_tag(p))
			tags_done(w);
		break;
	case TXN_LEN:
		n = wire_value(&w->p, 2);
		wire_skip(p, n > 0 ? (uint64_t)n : 0);
		wire_need(p, ACKS, 6);
		break;
	case ACKS:
		w->rq.acks = (int16_t)kafka_be16(p->buf);
		w->rq.timeout_ms = (int32_t)kafka_be32(p->buf + 2);
		wire_length(&w->p, TOPIC_COUNT, 4);
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
	case PARTITION:
		w->batch.partition = (int32_t)kafka_be32(p->buf);
		wire_length(&w->p, RECORDS_LEN, 4);
		break;
	case RECORDS_LEN:
		n = wire_value(&w->p, 4);
		if (n > (int64_t)p->left) {
			wire_stop(p, WIRE_BROKEN);
			break;
		}
		w->records = n > 0 ? (uint64_t)n : 0;
		next_batch(w);
		break;
	case BATCH: batch_header(w); break;
	default: break;
	}
}

static void finish_batch(struct wire_requests *w, uint64_t now_ns,
			 const struct wire_request_ops *ops, void *ctx)
{
	w->in_batch = false;
	w->batch.end_ns = now_ns;
	w->rq.batches++;
	ops->batch(ctx, &w->rq, &w->topic, &w->batch);
	next_batch(w);
}

void wire_requests_init(struct wire_requests *w)
{
	memset(w, 0, sizeof(*w));
	wire_next_frame(&w->p);
}

void wire_feed_requests(struct wire_requests *w, const void *bytes, size_t len, uint64_t now_ns,
			const struct wire_request_ops *ops, void *ctx)
{
	const uint8_t *at = bytes;

	while (!w->p.off) {
		if (w->in_batch && !w->p.skip)
			finish_batch(w, now_ns, ops, ctx);
		if (wire_frame_over(&w->p)) {
			w->rq.end_ns = now_ns;
			ops->request(ctx, &w->rq);
			wire_next_frame(&w->p);
		}
		if (!len)
			return;
		if (wire_pull(&w->p, &at, &len, now_ns))
			step(w);
	}
}
