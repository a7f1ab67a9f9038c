/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h - streaming parsers of one Kafka connection: requests as they leave,
 * responses as they come.  Pure: no I/O, no allocation, no globals, any split of
 * the bytes gives the same result.  Nothing but header fields is kept; records
 * are skipped unread.
 *
 * A parser that meets something impossible turns itself off and stays off.
 */
#ifndef ACKTRAIL_WIRE_H
#define ACKTRAIL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <acktrail/kafka.h>

enum wire_off { WIRE_ON, WIRE_NOT_KAFKA, WIRE_TLS, WIRE_BROKEN };

/* Pulls fields of a frame out of a stream: fixed bytes, a uvarint, or a skip. */
struct wire_pull {
	uint64_t skip;			/* bytes to pass over before the next field */
	uint64_t value;			/* of the last uvarint */
	uint32_t left;			/* bytes of the current frame not yet consumed */
	uint16_t have, need;		/* need 0: a uvarint is being read */
	uint8_t	 shift;
	uint8_t	 state;
	uint8_t	 off;			/* enum wire_off */
	bool	 fresh;			/* the next byte is the first of a field */
	bool	 in_frame;
	bool	 flexible;		/* compact lengths and tagged fields */
	uint8_t	 after_tags;		/* what the owner does when the tags are over */
	uint32_t tags;
	uint64_t field_ns;		/* when the field's first byte passed */
	uint8_t	 buf[256];
};

struct wire_name {			/* topic name, or id since Produce v13 */
	uint16_t len;
	bool	 is_id;
	char	 text[KAFKA_TOPIC_MAX + 1];
};

struct wire_batch {
	uint64_t begin_ns, end_ns;
	struct kafka_batch_id id;
	int32_t	 partition;
	uint16_t index;
	bool	 old_format;		/* formats 0 and 1: id holds bytes alone */
};

struct wire_request {
	uint64_t begin_ns, end_ns;
	uint32_t corr, size;
	int16_t	 api, version, acks;
	int32_t	 timeout_ms;
	uint16_t batches;
	uint16_t client_len;
	char	 client[128];		/* cut */
};

/* Called in the order of the stream; ctx is the one given to wire_feed_*. */
struct wire_request_ops {
	void (*batch)(void *ctx, const struct wire_request *rq, const struct wire_name *topic,
		      const struct wire_batch *b);
	void (*request)(void *ctx, const struct wire_request *rq);
};

struct wire_requests {
	struct wire_pull p;
	struct wire_request rq;
	struct wire_name topic;
	struct wire_batch batch;
	bool	 past_first, in_batch;
	uint32_t topics, partitions;
	uint64_t records;		/* bytes of the partition's records still to come */
	uint64_t unknown_versions;	/* Produce requests that are newer or older than we read */
};

struct wire_reply {
	int64_t	 base_offset, log_append_ms;
	int32_t	 partition;
	int16_t	 error;
	uint16_t index;
};

struct wire_response {
	uint64_t end_ns;
	uint32_t corr, size;
	int16_t	 api, version;
	int32_t	 throttle_ms;
	int16_t	 error;
	bool	 matched;
};

struct wire_response_ops {
	/* Fill api and version of the request that corr answers; false: unknown. */
	bool (*match)(void *ctx, uint32_t corr, int16_t *api, int16_t *version);
	void (*reply)(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
		      const struct wire_reply *r);
	void (*response)(void *ctx, const struct wire_response *rs);
	/* A Metadata response names a topic and the 16 bytes of its id. */
	void (*topic)(void *ctx, const struct wire_response *rs, const struct wire_name *topic,
		      const uint8_t *id);
};

struct wire_responses {
	struct wire_pull p;
	struct wire_response rs;
	struct wire_name topic;
	struct wire_reply reply;
	uint32_t topics, partitions, errors;	/* still to come; topics: of Metadata's brokers, too */
	uint16_t replies;
};

void wire_requests_init(struct wire_requests *w);
void wire_responses_init(struct wire_responses *w);

/* Feed len bytes that passed at now_ns (any unit).  Safe on any bytes. */
void wire_feed_requests(struct wire_requests *w, const void *bytes, size_t len, uint64_t now_ns,
			const struct wire_request_ops *ops, void *ctx);
void wire_feed_responses(struct wire_responses *w, const void *bytes, size_t len, uint64_t now_ns,
			 const struct wire_response_ops *ops, void *ctx);

/* ---- wire_begin.c: of a stream read from its middle on ------------------------ */

/* Does a request begin here, its header whole?  A response, its CorrId whole?  TLS records? */
bool wire_request_begins(const void *bytes, size_t len);
bool wire_response_begins(const void *bytes, size_t len);
bool wire_tls_begins(const void *bytes, size_t len);

/* ---- shared by the two parsers ------------------------------------------- */

/* States that both have; each adds its own from WIRE_OWN on. */
enum wire_state {
	WIRE_FRAME, WIRE_TAG_COUNT, WIRE_TAG_ID, WIRE_TAG_SIZE, WIRE_END, WIRE_OWN,
	WIRE_METADATA = 64,		/* and above: those of wire_metadata.c */
};

void wire_need(struct wire_pull *p, uint8_t state, unsigned bytes);
void wire_uvarint(struct wire_pull *p, uint8_t state);
void wire_skip(struct wire_pull *p, uint64_t bytes);
void wire_stop(struct wire_pull *p, enum wire_off why);

/* A length or count: a uvarint where flexible, else plain_bytes (2 or 4). */
void wire_length(struct wire_pull *p, uint8_t state, unsigned plain_bytes);
/* The length just read; null is -1. */
int64_t wire_value(const struct wire_pull *p, unsigned plain_bytes);
/* n as a count; one that could not fit into the frame is garbage and stops. */
uint32_t wire_count(struct wire_pull *p, int64_t n);

/* Pass over tagged fields; wire_tag() is true when they are over. */
void wire_tags(struct wire_pull *p, uint8_t next);
bool wire_tag(struct wire_pull *p);

void wire_begin_frame(struct wire_pull *p, uint32_t size);
void wire_rest_of_frame(struct wire_pull *p);
/* The frame is over: true once, ready for the next; false also when it was cut short. */
bool wire_frame_over(struct wire_pull *p);
/* Await a frame's size. */
void wire_next_frame(struct wire_pull *p);

/*
 * Consume bytes until a field is whole (true), or a skip or the input is at its
 * end (false).  A field that would reach beyond its frame stops the parser.
 */
bool wire_pull(struct wire_pull *p, const uint8_t **bytes, size_t *len, uint64_t now_ns);

/* ---- wire_metadata.c: behind the header, all of it flexible ----------------- */

void wire_metadata_begin(struct wire_responses *w);
void wire_metadata_step(struct wire_responses *w, const struct wire_response_ops *ops, void *ctx);
void wire_metadata_tags_done(struct wire_responses *w);

#endif
