// SPDX-License-Identifier: BSD-2-Clause
/* conf.c - what the shim reads of a client's configuration. */
#include <string.h>

#include "shim.h"

static bool conf_text(const struct lib *lib, const rd_kafka_conf_t *conf, const char *name,
		      char *out, size_t size)
{
	size_t len = size;

	*out = 0;
	return lib->rd_kafka_conf_get(conf, name, out, &len) == RD_KAFKA_CONF_OK && *out;
}

/* No strtod(): what is written here has at most a fraction of three digits. */
static uint64_t conf_thousandths(const struct lib *lib, const rd_kafka_conf_t *conf,
				 const char *name)
{
	char text[64];
	uint64_t n = 0;
	int fraction = -1;

	if (!conf_text(lib, conf, name, text, sizeof(text)))
		return 0;
	for (const char *p = text; *p && fraction < 3; p++) {
		if (*p == '.' && fraction < 0) {
			fraction = 0;
			continue;
		}
		if (*p < '0' || *p > '9')
			break;
		n = n * 10 + (uint64_t)(*p - '0');
		fraction += fraction >= 0;
	}
	for (fraction = fraction < 0 ? 0 : fraction; fraction < 3; fraction++)
		n *= 10;
	return n;
}

static uint64_t conf_number(const struct lib *lib, const rd_kafka_conf_t *conf, const char *name)
{
	return conf_thousandths(lib, conf, name) / 1000;
}

/* Settings of function pointers read as "%p" (rd_kafka_anyconf_get0, _RK_C_PTR). */
void *conf_pointer(const struct lib *lib, const rd_kafka_conf_t *conf, const char *name)
{
	uintptr_t p = 0;
	char text[64];

	if (!conf_text(lib, conf, name, text, sizeof(text)) || strncmp(text, "0x", 2))
		return NULL;
	for (const char *c = text + 2; *c; c++) {
		unsigned digit = *c >= '0' && *c <= '9' ? (unsigned)(*c - '0') :
				 *c >= 'a' && *c <= 'f' ? (unsigned)(*c - 'a') + 10 : 16;

		if (digit > 15)
			return NULL;
		p = p << 4 | digit;
	}
	return (void *)p;
}

/* What rd_kafka_conf_set_events() was given. */
int conf_events(const struct lib *lib, const rd_kafka_conf_t *conf)
{
	return (int)conf_number(lib, conf, "enabled_events");
}

static int32_t conf_acks(const struct lib *lib, const rd_kafka_conf_t *conf)
{
	char text[64];

	if (!conf_text(lib, conf, "acks", text, sizeof(text)) &&
	    !conf_text(lib, conf, "request.required.acks", text, sizeof(text)))
		return -1;
	return *text == '-' ? -1 : (int32_t)(*text - '0');
}

static void conf_read(struct instance *in, const rd_kafka_conf_t *conf)
{
	const struct lib *lib = in->lib;
	struct ev_instance *ev = &in->told;
	char text[64];

	memset(ev, 0, sizeof(*ev));
	conf_text(lib, conf, "client.id", in->client, sizeof(in->client));
	in->client_len = (uint16_t)strlen(in->client);
	ev->inst = in->id;
	ev->role = in->role;
	ev->lib_version = (uint32_t)lib->version;
	ev->message_timeout_ms = conf_number(lib, conf, "message.timeout.ms");
	if (!ev->message_timeout_ms)	/* no default topic conf: librdkafka's default */
		ev->message_timeout_ms = 300000;
	ev->socket_timeout_ms = conf_number(lib, conf, "socket.timeout.ms");
	ev->linger_us = conf_thousandths(lib, conf, "queue.buffering.max.ms");
	ev->max_in_flight = (uint32_t)conf_number(lib, conf, "max.in.flight");
	ev->queue_max_messages = (uint32_t)conf_number(lib, conf, "queue.buffering.max.messages");
	ev->queue_max_kbytes = (uint32_t)conf_number(lib, conf, "queue.buffering.max.kbytes");
	ev->batch_messages = (uint32_t)conf_number(lib, conf, "batch.num.messages");
	ev->batch_bytes = (uint32_t)conf_number(lib, conf, "batch.size");
	ev->acks = conf_acks(lib, conf);
	if (conf_text(lib, conf, "enable.idempotence", text, sizeof(text)) && *text == 't')
		ev->flags |= AT_INST_IDEMPOTENT;
	if (conf_text(lib, conf, "transactional.id", text, sizeof(text)))
		ev->flags |= AT_INST_TRANSACTIONAL | AT_INST_IDEMPOTENT;
	if (conf_text(lib, conf, "security.protocol", text, sizeof(text)) && strcasestr(text, "ssl"))
		ev->flags |= AT_INST_TLS;
	if (in->dr_msg_cb)
		ev->flags |= AT_INST_DR_MSG_CB;
	if (in->dr_cb)
		ev->flags |= AT_INST_DR_CB;
	if (in->events)
		ev->flags |= AT_INST_DR_EVENT;
	if (conf_text(lib, conf, "delivery.report.only.error", text, sizeof(text)) && *text == 't')
		ev->flags |= AT_INST_DR_ERRORS;
}

void conf_state(struct thread *t, const struct instance *in, uint64_t ns, uint32_t flags)
{
	struct ev_instance *ev = emit(t, AT_LAST, AT_EV_INSTANCE, ns, sizeof(*ev), NULL, in->client,
				      in->client_len);

	if (!ev)
		return;
	*ev = in->told;
	ev->flags |= flags;
	emit_done(t, AT_LAST);
}

void conf_witness(struct instance *in, const rd_kafka_conf_t *conf)
{
	struct thread *t;

	conf_read(in, conf);
	in->born_ns = at_now();
	t = thread_enter();
	if (!t)
		return;
	conf_state(t, in, in->born_ns, 0);
	thread_leave(t);
}
