/* SPDX-License-Identifier: BSD-2-Clause */
/* lib.h - one copy of librdkafka in this process, and its client instances. */
#ifndef ACKTRAIL_LIB_H
#define ACKTRAIL_LIB_H

#include <stdbool.h>
#include <stdint.h>
#include <librdkafka/rdkafka.h>
#include <acktrail/trail.h>

struct thread;

/*
 * The functions of librdkafka that the shim calls, with the version that brought
 * them.  N: needed, else that copy is left alone; O: optional.
 */
#define LIB_FUNCTIONS(N, O) \
	N(rd_kafka_new) N(rd_kafka_conf_new) N(rd_kafka_conf_dup) N(rd_kafka_conf_destroy) \
	N(rd_kafka_conf_get) \
	N(rd_kafka_destroy) N(rd_kafka_version) N(rd_kafka_name) N(rd_kafka_topic_name) \
	N(rd_kafka_produce) N(rd_kafka_produce_batch) N(rd_kafka_poll) N(rd_kafka_flush) \
	N(rd_kafka_last_error) N(rd_kafka_message_timestamp) \
	N(rd_kafka_conf_set_dr_msg_cb) \
	N(rd_kafka_event_type) N(rd_kafka_event_destroy)	/* 0.9.2 */ \
	N(rd_kafka_event_message_next) N(rd_kafka_event_message_array) \
	N(rd_kafka_conf_interceptor_add_on_new)		/* 0.11.0 */ \
	N(rd_kafka_interceptor_add_on_send) \
	N(rd_kafka_interceptor_add_on_acknowledgement) \
	N(rd_kafka_message_latency)			/* 0.11.0 */ \
	O(rd_kafka_conf_dup_filter)			/* 0.11.0 */ \
	O(rd_kafka_interceptor_add_on_request_sent)	/* 0.11.4 */ \
	O(rd_kafka_interceptor_add_on_thread_exit)	/* 1.2.0 */ \
	O(rd_kafka_interceptor_add_on_response_received) /* 1.6.1 */ \
	O(rd_kafka_interceptor_add_on_broker_state_change) /* 2.0.0 */ \
	O(rd_kafka_message_status)			/* 1.0.0 */ \
	O(rd_kafka_message_broker_id)			/* 1.5.0 */ \
	O(rd_kafka_destroy_flags)			/* 1.0.0 */ \
	O(rd_kafka_producev)				/* 0.11.4 */ \
	O(rd_kafka_topic_new) \
	O(rd_kafka_queue_poll_callback)			/* 0.11.4 */ \
	O(rd_kafka_produceva)				/* 1.6.0 */ \
	O(rd_kafka_error_code) O(rd_kafka_error_destroy)

struct lib {
	const void *dynamic;		/* identifies the copy; NULL: free slot */
#define LIB_POINTER(name) __typeof__(&name) name;
	LIB_FUNCTIONS(LIB_POINTER, LIB_POINTER)
#undef LIB_POINTER
	int	 version;
	bool	 usable;		/* has everything that is needed */
	bool	 ready;			/* all of the above is there */
};

struct instance {
	rd_kafka_t *rk;			/* NULL before rd_kafka_new returned and after destroy */
	struct lib *lib;
	uint32_t id;			/* from 1 */
	uint32_t life;			/* live_number() at birth */
	uint32_t role;			/* 0 producer, 1 consumer; a plugin is not told: 0 */
	uint32_t slot;			/* among those alive, from 1; 0: none */
	bool	 ending;		/* rd_kafka_destroy was called: its address may come again */
	bool	 events;		/* the app asked for delivery reports as events */
	struct at_cell *cells;		/* AT_NR_STRIPES of them, */
	bool	 one_cell;		/* or one for all threads */
	struct at_more *more;
	struct ev_instance told;	/* what the trail says of it, when it records */
	uint16_t client_len;
	char	 client[256];
	uint64_t born_ns;
	void (*dr_msg_cb)(rd_kafka_t *, const rd_kafka_message_t *, void *);
	void (*dr_cb)(rd_kafka_t *, void *, size_t, rd_kafka_resp_err_t, void *, void *);
	const rd_kafka_conf_t *conf;	/* rk's own, what rd_kafka_conf(rk) gives */
	const rd_kafka_conf_t *failed_conf;	/* a conf that rd_kafka_new gave back */
	const rd_kafka_conf_t *plugin_conf;	/* a conf that named us as its plugin */
};

/* The copy that code at `caller` uses; NULL when there is none. */
struct lib *lib_of(const void *caller);
/* The live instance behind rk; NULL unknown. */
struct instance *instance_of(const rd_kafka_t *rk);
/* The one producer that lives; NULL when there are several or none. */
struct instance *instance_only(void);

/* A locked add costs as much as all the rest of an interceptor: only where it must be. */
static inline void instance_count(struct instance *in, const struct thread *t, enum at_count what,
				  uint64_t n)
{
	uint64_t *count = &in->cells[likely(!in->one_cell) ? t->stripe : 0].n[what];

	if (likely(t->alone && !in->one_cell))
		__atomic_store_n(count, *count + n, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(count, n, __ATOMIC_RELAXED);
}

/* Recording is turned on: what was open when it was turned off may have ended meanwhile. */
void instance_leave_open(void);
/* Tell the trail of those that live, as of now_ns. */
void instance_restate(uint64_t now_ns);

/* From here on instance_of(rk) knows it; false: too many are alive. */
bool instance_enlist(struct instance *in, const rd_kafka_t *rk);

/* conf.c */
void *conf_pointer(const struct lib *lib, const rd_kafka_conf_t *conf, const char *name);
int conf_events(const struct lib *lib, const rd_kafka_conf_t *conf);
void conf_witness(struct instance *in, const rd_kafka_conf_t *conf);
void conf_state(struct thread *t, const struct instance *in, uint64_t ns, uint32_t flags);

/* intercept.c */
rd_kafka_resp_err_t intercept_on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *in,
				     char *errstr, size_t size);

/* instance.c, handed over by symbols.c; caller is the return address into the app. */
rd_kafka_t *lib_new(const void *caller, rd_kafka_type_t type, rd_kafka_conf_t *conf, char *errstr,
		    size_t size);
rd_kafka_conf_t *lib_conf_dup(const void *caller, const rd_kafka_conf_t *conf);
rd_kafka_conf_t *lib_conf_dup_filter(const void *caller, const rd_kafka_conf_t *conf, size_t nr,
				     const char **without);
void lib_conf_destroy(const void *caller, rd_kafka_conf_t *conf);
void lib_destroy(const void *caller, rd_kafka_t *rk);
void lib_destroy_flags(const void *caller, rd_kafka_t *rk, int flags);
rd_kafka_resp_err_t lib_plugin_init(const void *caller, rd_kafka_conf_t *conf);

/* acks.c */
rd_kafka_resp_err_t acks_on_acknowledgement(rd_kafka_t *rk, rd_kafka_message_t *m, void *in);
const struct topic *acks_topic(const struct lib *lib, const rd_kafka_message_t *m);

/* calls.c */
void calls_dr_msg_cb(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);
void calls_learn(const rd_kafka_topic_t *rkt, struct instance *in);	/* whose topic that is */
struct instance *calls_owner(const rd_kafka_topic_t *rkt);		/* NULL: not known */
rd_kafka_topic_t *calls_topic_new(const void *caller, rd_kafka_t *rk, const char *name,
				  rd_kafka_topic_conf_t *conf);
int calls_poll(const void *caller, rd_kafka_t *rk, int timeout_ms);
int calls_queue_poll(const void *caller, rd_kafka_queue_t *queue, int timeout_ms);
rd_kafka_resp_err_t calls_flush(const void *caller, rd_kafka_t *rk, int timeout_ms);
const rd_kafka_message_t *calls_event_next(const void *caller, rd_kafka_event_t *event);
size_t calls_event_array(const void *caller, rd_kafka_event_t *event,
			 const rd_kafka_message_t **messages, size_t nr);
void calls_event_destroy(const void *caller, rd_kafka_event_t *event);

/* produce.c */
rd_kafka_resp_err_t produce_on_send(rd_kafka_t *rk, rd_kafka_message_t *m, void *in);
int produce_produce(const void *caller, rd_kafka_topic_t *rkt, int32_t partition, int flags,
		    void *payload, size_t len, const void *key, size_t keylen, void *opaque);
int produce_batch(const void *caller, rd_kafka_topic_t *rkt, int32_t partition, int flags,
		  rd_kafka_message_t *messages, int nr);
rd_kafka_error_t *produce_va(const void *caller, rd_kafka_t *rk, const rd_kafka_vu_t *vus,
			     size_t nr);
/* Where a call of rd_kafka_producev(rk, …) goes: ours, or the real one untouched. */
void *produce_v_target(rd_kafka_t *rk, const void *caller) __asm__("acktrail_producev_target");

#endif
