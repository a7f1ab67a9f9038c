// SPDX-License-Identifier: BSD-2-Clause
/*
 * intercept.c - librdkafka's own interceptors: what the library knows of brokers and
 * requests.  Those of messages are in acks.c and produce.c.
 */
#include <stdio.h>
#include <string.h>

#include "shim.h"

#define SLOW_US 1000000		/* what took longer goes to the ring that lasts */

static rd_kafka_resp_err_t on_request_sent(rd_kafka_t *rk, int fd, const char *name, int32_t broker,
					   int16_t api, int16_t version, int32_t corr, size_t size,
					   void *arg)
{
	struct instance *in = arg;
	struct thread *t = thread_enter();
	struct conn *c;

	(void)rk;
	(void)name;
	if (!t)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	c = sock_conn(fd);
	if (c)
		conn_identify(t, c, in->id, broker);
	t->lib_alone = !c || !conn_parsed(c);
	if (!t->lib_alone)
		t->sealed = NULL;	/* its bytes are read from now on */
	else if (c)
		conn_lib_request(t, c, api, at_now());
	if (in->life == t->life && t->lib_alone) {
		struct ev_lib_request *ev = emit(t, AT_BULK, AT_EV_LIB_REQUEST, at_now(),
						 sizeof(*ev), NULL, NULL, 0);

		if (ev) {
			ev->inst = in->id;
			ev->conn = c ? conn_id(c) : 0;
			ev->broker = broker;
			ev->api = api;
			ev->version = version;
			ev->corr = (uint32_t)corr;
			ev->size = size;
			emit_done(t, AT_BULK);
		}
	}
	thread_leave(t);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/*
 * Good responses are seen on the wire, where it can be read; elsewhere, and of requests
 * that got none, this tells.  It runs on the thread that sent the request.
 */
static rd_kafka_resp_err_t on_response_received(rd_kafka_t *rk, int fd, const char *name,
						int32_t broker, int16_t api, int16_t version,
						int32_t corr, size_t size, int64_t rtt_us,
						rd_kafka_resp_err_t err, void *arg)
{
	struct instance *in = arg;
	struct thread *t = thread_enter();
	struct ev_lib_response *ev;

	(void)rk, (void)fd, (void)name, (void)version, (void)corr;
	if (!t)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	t->acks_break = true;
	if (t->sealed && err != RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE)
		conn_lib_response(t, api);
	if ((err || t->lib_alone) && in->life == t->life) {
		enum at_ring ring = err || rtt_us > SLOW_US ? AT_LAST : AT_BULK;

		ev = emit(t, ring, AT_EV_LIB_RESPONSE, at_now(), sizeof(*ev), NULL, NULL, 0);
		if (ev) {
			ev->inst = in->id;
			ev->broker = broker;
			ev->api = api;
			ev->err = err;
			ev->rtt_us = rtt_us;
			ev->size = size;
			emit_done(t, ring);
		}
	}
	thread_leave(t);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_broker_state(rd_kafka_t *rk, int32_t broker, const char *secproto,
					   const char *name, int port, const char *state, void *arg)
{
	struct instance *in = arg;
	struct thread *t = thread_enter();
	struct ev_broker_state *ev;
	char text[320];

	(void)rk, (void)secproto;
	if (!t)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	/* Told by the thread that shakes hands: of a connection that is still nobody's. */
	t->greets = strcmp(state, "SSL_HANDSHAKE") ? 0 : in->id;
	t->greets_broker = broker;
	snprintf(text, sizeof(text), "%.200s:%d/%.64s", name, port, state);
	ev = in->life == t->life ? emit(t, AT_LAST, AT_EV_BROKER_STATE, at_now(), sizeof(*ev), NULL,
					text, strlen(text)) : NULL;
	if (ev) {
		ev->inst = in->id;
		ev->broker = broker;
		emit_done(t, AT_LAST);
	}
	thread_leave(t);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_thread_exit(rd_kafka_t *rk, rd_kafka_thread_type_t type,
					  const char *name, void *arg)
{
	(void)rk, (void)type, (void)name, (void)arg;
	thread_release();
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Interceptors can be added here alone (rd_kafka_interceptor_add_on_* assert it). */
rd_kafka_resp_err_t intercept_on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
				  char *errstr, size_t size)
{
	static const char ic[] = "acktrail";
	struct instance *in = arg;
	const struct lib *lib = in->lib;

	(void)errstr, (void)size;
	if (in->life != live_number()) {
		live_skip();
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	in->conf = conf;
	if (!instance_enlist(in, rk))
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	in->rk = rk;
	conf_witness(in, conf);
	lib->rd_kafka_interceptor_add_on_send(rk, ic, produce_on_send, in);
	lib->rd_kafka_interceptor_add_on_acknowledgement(rk, ic, acks_on_acknowledgement, in);
	if (lib->rd_kafka_interceptor_add_on_request_sent)
		lib->rd_kafka_interceptor_add_on_request_sent(rk, ic, on_request_sent, in);
	if (lib->rd_kafka_interceptor_add_on_response_received)
		lib->rd_kafka_interceptor_add_on_response_received(rk, ic, on_response_received, in);
	if (lib->rd_kafka_interceptor_add_on_broker_state_change)
		lib->rd_kafka_interceptor_add_on_broker_state_change(rk, ic, on_broker_state, in);
	if (lib->rd_kafka_interceptor_add_on_thread_exit)
		lib->rd_kafka_interceptor_add_on_thread_exit(rk, ic, on_thread_exit, in);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
