// SPDX-License-Identifier: BSD-2-Clause
/*
 * app_told.c - every way to be told of a delivery, by an app that does not look for a
 * while: told STYLE FILE [MESSAGES]; FILE gets how many ns it did not look.
 */
#include "app.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_NS 300000000

/* The app's own interceptor says when there is something to look at. */
static struct client app;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t acked, told, batch = 20;
static rd_kafka_queue_t *queue;
static const char *pause_file;

static void add(uint64_t *count)
{
	pthread_mutex_lock(&lock);
	(*count)++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void until(uint64_t *count, uint64_t n)
{
	pthread_mutex_lock(&lock);
	while (*count < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static rd_kafka_resp_err_t on_ack(rd_kafka_t *rk, rd_kafka_message_t *m, void *arg)
{
	(void)rk, (void)m, (void)arg;
	add(&acked);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *why,
				  size_t size)
{
	(void)conf, (void)arg, (void)why, (void)size;
	return rd_kafka_interceptor_add_on_acknowledgement(rk, "app", on_ack, NULL);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* After everything was acknowledged, look elsewhere. */
static void look_elsewhere(void)
{
	struct timespec rest = { 0, PAUSE_NS };
	uint64_t begin = now_ns();
	FILE *f;

	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
	begin = now_ns() - begin;
	MUST(f = fopen(pause_file, "w"));
	fprintf(f, "%" PRIu64 "\n", begin);
	fclose(f);
}

static void hear(const rd_kafka_message_t *m)
{
	client_delivery(app.rk, m, &app);
	add(&told);
}

/* ---- the styles ---------------------------------------------------------- */

static void dr_msg_cb(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk, (void)opaque;
	hear(m);
}

static void dr_cb(rd_kafka_t *rk, void *payload, size_t len, rd_kafka_resp_err_t err, void *opaque,
		  void *msg_opaque)
{
	rd_kafka_message_t m = { .err = err, ._private = msg_opaque, .payload = payload, .len = len };

	(void)rk, (void)opaque;
	hear(&m);
}

static void serve_poll(void)
{
	rd_kafka_poll(app.rk, 50);
}

static void serve_flush(void)
{
	rd_kafka_flush(app.rk, 50);
}

static void serve_queue_callback(void)
{
	rd_kafka_queue_poll_callback(queue, 50);
}

static void read_event(rd_kafka_event_t *event)
{
	const rd_kafka_message_t *m;

	if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
		while ((m = rd_kafka_event_message_next(event)))
			hear(m);
	rd_kafka_event_destroy(event);
}

static void serve_next(void)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 50);

	if (event)
		read_event(event);
}

/* A piece at a time; some of it is never looked at. */
static void serve_array(void)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 50);
	const rd_kafka_message_t *some[7];
	size_t n = 0, all;

	if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
		all = rd_kafka_event_message_count(event);
		n = rd_kafka_event_message_array(event, some, 7);
		for (size_t i = 0; i < n; i++)
			hear(some[i]);
		for (; n < all; n++) {
			app.acked++;
			add(&told);
		}
	}
	if (event)
		rd_kafka_event_destroy(event);
}

static void serve_unread(void)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 50);

	if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
		for (size_t n = rd_kafka_event_message_count(event); n; n--) {
			app.acked++;
			add(&told);
		}
	if (event)
		rd_kafka_event_destroy(event);
}

/* The library's background thread: the first event keeps it from the second. */
static void background_event(rd_kafka_t *rk, rd_kafka_event_t *event, void *opaque)
{
	static bool second;

	(void)rk, (void)opaque;
	if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_DR) {
		rd_kafka_event_destroy(event);
		return;
	}
	read_event(event);
	if (second)
		return;
	second = true;
	until(&acked, 2 * batch);
	look_elsewhere();
}

/* The same thread, callbacks. */
static void background_callback(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	dr_msg_cb(rk, m, opaque);
	if (told != batch)
		return;
	until(&acked, 2 * batch);
	look_elsewhere();
}

static void serve_background(void)
{
	until(&told, app.next);
}

static void serve_none(void)
{
	until(&acked, app.next);
	app.acked = told = acked;
}

struct style {
	const char *name;
	void (*msg_cb)(rd_kafka_t *, const rd_kafka_message_t *, void *);
	void (*cb)(rd_kafka_t *, void *, size_t, rd_kafka_resp_err_t, void *, void *);
	int	 events;
	void (*background)(rd_kafka_t *, rd_kafka_event_t *, void *);
	bool	 forward;		/* the main queue into the background thread's */
	void (*serve)(void);
};

static const struct style styles[] = {
	{ "dr_msg_cb", .msg_cb = dr_msg_cb, .serve = serve_poll },
	{ "flush", .msg_cb = dr_msg_cb, .serve = serve_flush },
	{ "dr_cb", .cb = dr_cb, .serve = serve_poll },
	{ "queue-callback", .msg_cb = dr_msg_cb, .serve = serve_queue_callback },
	/* A delivery callback alone makes rd_kafka_queue_poll() return events, too. */
	{ "callback-as-event", .msg_cb = dr_msg_cb, .serve = serve_next },
	{ "event-next", .events = RD_KAFKA_EVENT_DR, .serve = serve_next },
	{ "event-array", .events = RD_KAFKA_EVENT_DR, .serve = serve_array },
	{ "event-unread", .events = RD_KAFKA_EVENT_DR, .serve = serve_unread },
	{ "background-event", .events = RD_KAFKA_EVENT_DR, .background = background_event, .forward = true,
	  .serve = serve_background },
	{ "background-callback", .msg_cb = background_callback, .events = RD_KAFKA_EVENT_BACKGROUND,
	  .forward = true, .serve = serve_background },
	{ "none", .serve = serve_none },
};

static void round_of(const struct style *s, bool wait)
{
	client_produce(&app, (int)batch);
	if (wait) {
		until(&acked, app.next);
		if (!s->forward)
			look_elsewhere();
	}
	while (!s->forward && told < app.next)
		s->serve();
}

static int tell(char **args)
{
	const struct style *s = styles;
	rd_kafka_conf_t *conf = client_conf(&app, "linger.ms=50");

	while (strcmp(s->name, args[0]))
		MUST(++s < styles + sizeof(styles) / sizeof(*styles));
	pause_file = args[1];
	rd_kafka_conf_interceptor_add_on_new(conf, "app", on_new, NULL);
	rd_kafka_conf_set_dr_msg_cb(conf, s->msg_cb);
	if (s->cb)
		rd_kafka_conf_set_dr_cb(conf, s->cb);
	if (s->events)
		rd_kafka_conf_set_events(conf, s->events);
	if (s->background)
		rd_kafka_conf_set_background_event_cb(conf, s->background);
	client_start(&app, conf);
	queue = rd_kafka_queue_get_main(app.rk);
	if (s->forward) {
		rd_kafka_queue_t *background = rd_kafka_queue_get_background(app.rk);

		rd_kafka_queue_forward(queue, background);
		rd_kafka_queue_destroy(background);
	}
	client_metadata(&app);
	round_of(s, true);
	round_of(s, false);
	if (s->forward)
		s->serve();
	rd_kafka_queue_destroy(queue);
	client_close(&app);
	return 0;
}

const struct scenario told_scenarios[] = { { "told", tell }, { 0 } };
