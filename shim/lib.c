// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib.c - copies of librdkafka in this process, their client instances, and the
 * interceptors that witness them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shim.h"

#define NR_LIBS 16
#define NR_LIVE 256			/* instances alive at a time; more are not witnessed */
#define NR_INSTANCES 4096		/* ever; then the shim steps aside */
#define CACHE 64

/* ---- copies of the library ----------------------------------------------- */

static struct lib libs[NR_LIBS];
static uint32_t nr_libs;
static uint8_t libs_busy;

/*
 * Its functions are about to be cached: keep it from being unloaded.  dlopen is
 * found at run time, it moved between libraries in glibc 2.34.
 */
static void pin(const void *dynamic)
{
	int (*real_dladdr)(const void *, Dl_info *);
	void *(*real_dlopen)(const char *, int);
	Dl_info info;

	*(void **)&real_dlopen = find_next("dlopen");
	*(void **)&real_dladdr = find_next("dladdr");
	if (real_dlopen && real_dladdr && real_dladdr(dynamic, &info) && info.dli_fname)
		real_dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

static void fill(struct lib *lib, struct object obj)
{
	lib->usable = true;
#define LIB_NEEDED(name) \
	*(void **)&lib->name = find_in(obj, #name); lib->usable &= lib->name != NULL;
#define LIB_OPTIONAL(name) *(void **)&lib->name = find_in(obj, #name);
	LIB_FUNCTIONS(LIB_NEEDED, LIB_OPTIONAL)
#undef LIB_NEEDED
#undef LIB_OPTIONAL
	lib->version = lib->rd_kafka_version ? lib->rd_kafka_version() : 0;
	pin(obj.dynamic);
	__atomic_store_n(&lib->dynamic, obj.dynamic, __ATOMIC_RELEASE);
}

static struct lib *lib_find(const void *caller)
{
	struct object obj = find_provider(caller, "rd_kafka_new");
	uint32_t nr;

	if (!obj.dynamic)
		return NULL;
	nr = __atomic_load_n(&nr_libs, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < nr; i++)
		if (libs[i].dynamic == obj.dynamic)
			return &libs[i];
	/* Rare and short; two threads that meet here both need the result. */
	while (__atomic_exchange_n(&libs_busy, 1, __ATOMIC_ACQUIRE))
		;
	struct lib *lib = NULL;

	for (uint32_t i = 0; i < nr_libs; i++)
		if (libs[i].dynamic == obj.dynamic)
			lib = &libs[i];
	if (!lib && nr_libs < NR_LIBS) {
		lib = &libs[nr_libs];
		fill(lib, obj);
		__atomic_store_n(&nr_libs, nr_libs + 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&libs_busy, 0, __ATOMIC_RELEASE);
	return lib;
}

/* Walking the objects takes the loader's lock, so call sites are remembered. */
struct lib *lib_of(const void *caller)
{
	static struct { const void *caller; struct lib *lib; uint8_t busy; } cache[CACHE];
	unsigned i = (unsigned)((uintptr_t)caller >> 2) % CACHE;
	struct lib *lib;

	if (likely(__atomic_load_n(&cache[i].caller, __ATOMIC_ACQUIRE) == caller)) {
		lib = __atomic_load_n(&cache[i].lib, __ATOMIC_ACQUIRE);
		if (likely(__atomic_load_n(&cache[i].caller, __ATOMIC_RELAXED) == caller))
			return lib;
	}
	lib = lib_find(caller);
	if (lib && !__atomic_exchange_n(&cache[i].busy, 1, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&cache[i].caller, NULL, __ATOMIC_RELEASE);
		__atomic_store_n(&cache[i].lib, lib, __ATOMIC_RELEASE);
		__atomic_store_n(&cache[i].caller, caller, __ATOMIC_RELEASE);
		__atomic_store_n(&cache[i].busy, 0, __ATOMIC_RELEASE);
	}
	return lib;
}

/* ---- instances ----------------------------------------------------------- */

static struct instance *instances;	/* never freed: interceptors may linger */
static uint32_t nr_instances;
static struct { const rd_kafka_t *rk; struct instance *in; } alive[NR_LIVE];
static uint32_t nr_alive;		/* slots in use or used before */

/* An address that is used again while its old owner is still ending: the new one. */
struct instance *instance_of(const rd_kafka_t *rk)
{
	uint32_t nr = __atomic_load_n(&nr_alive, __ATOMIC_ACQUIRE);
	struct instance *ending = NULL;

	for (uint32_t i = 0; i < nr; i++) {
		struct instance *in;

		if (__atomic_load_n(&alive[i].rk, __ATOMIC_ACQUIRE) != rk)
			continue;
		in = alive[i].in;
		if (likely(!__atomic_load_n(&in->ending, __ATOMIC_RELAXED)))
			return in;
		ending = in;
	}
	return ending;
}

struct instance *instance_only(void)
{
	uint32_t nr = __atomic_load_n(&nr_alive, __ATOMIC_ACQUIRE);
	struct instance *only = NULL;

	for (uint32_t i = 0; i < nr; i++) {
		if (!__atomic_load_n(&alive[i].rk, __ATOMIC_ACQUIRE) || alive[i].in->role ||
		    __atomic_load_n(&alive[i].in->ending, __ATOMIC_RELAXED))
			continue;
		if (only)
			return NULL;
		only = alive[i].in;
	}
	return only;
}

/* Before the app's callbacks are ours to call: whoever is not enlisted is left alone. */
static bool instance_reserve(struct instance *in)
{
	static const rd_kafka_t *const taken = (const rd_kafka_t *)&alive;

	for (uint32_t i = 0; i < NR_LIVE; i++) {
		const rd_kafka_t *none = NULL;
		uint32_t nr;

		if (!__atomic_compare_exchange_n(&alive[i].rk, &none, taken, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		alive[i].in = in;
		in->slot = i + 1;
		nr = __atomic_load_n(&nr_alive, __ATOMIC_RELAXED);
		while (nr < i + 1 && !__atomic_compare_exchange_n(&nr_alive, &nr, i + 1, false,
								  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			;
		return true;
	}
	live_skip();
	return false;
}

static void instance_enlist(struct instance *in, const rd_kafka_t *rk)
{
	__atomic_store_n(&alive[in->slot - 1].rk, rk, __ATOMIC_RELEASE);
}

static void instance_delist(struct instance *in)
{
	if (in->slot)
		__atomic_store_n(&alive[in->slot - 1].rk, NULL, __ATOMIC_RELEASE);
	in->slot = 0;
}

static struct instance *instance_new(struct lib *lib, const rd_kafka_conf_t *conf)
{
	struct at_writer *w = live_open_wait();
	struct instance *memory, *none = NULL, *in;
	uint32_t n;

	if (!w || !lib->usable)
		return NULL;
	memory = __atomic_load_n(&instances, __ATOMIC_ACQUIRE);
	if (!memory) {
		memory = mmap(NULL, NR_INSTANCES * sizeof(*memory), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED)
			return NULL;
		if (!__atomic_compare_exchange_n(&instances, &none, memory, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			memory = none;
	}
	/* A conf that came back from a failed rd_kafka_new stays the same instance's. */
	n = __atomic_load_n(&nr_instances, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; conf && i < n && i < NR_INSTANCES; i++)
		if (memory[i].failed_conf == conf && memory[i].life == live_number())
			return &memory[i];
	n = __atomic_fetch_add(&nr_instances, 1, __ATOMIC_ACQ_REL);
	if (n >= NR_INSTANCES) {
		__atomic_fetch_sub(&nr_instances, 1, __ATOMIC_RELAXED);
		live_skip();
		return NULL;
	}
	in = &memory[n];
	in->lib = lib;
	in->id = n + 1;
	in->life = live_number();
	in->cells = w->account->cell[n < AT_NR_INSTANCES ? n : AT_NR_INSTANCES - 1];
	__atomic_fetch_add(&w->account->nr_instances, 1, __ATOMIC_RELAXED);
	return in;
}

/* ---- configuration ------------------------------------------------------- */

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
static void *conf_pointer(const struct lib *lib, const rd_kafka_conf_t *conf, const char *name)
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

static int32_t conf_acks(const struct lib *lib, const rd_kafka_conf_t *conf)
{
	char text[64];

	if (!conf_text(lib, conf, "acks", text, sizeof(text)) &&
	    !conf_text(lib, conf, "request.required.acks", text, sizeof(text)))
		return -1;
	return *text == '-' ? -1 : (int32_t)(*text - '0');
}

static void write_instance(const struct instance *in, const rd_kafka_conf_t *conf)
{
	const struct lib *lib = in->lib;
	struct thread *t = thread_enter();
	struct ev_instance *ev;
	char client[256], text[64];

	if (!t)
		return;
	conf_text(lib, conf, "client.id", client, sizeof(client));
	ev = emit(t, AT_LAST, AT_EV_INSTANCE, at_now(), sizeof(*ev), NULL, client, strlen(client));
	if (ev) {
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
		emit_done(t, AT_LAST);
	}
	thread_leave(t);
}

/* ---- interceptors -------------------------------------------------------- */

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
	if (c && !conn_parsed(c))
		conn_lib_request(t, c, at_now());
	if (in->life == t->life && (!c || !conn_parsed(c))) {
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

/* Good responses are seen on the wire; this tells of requests that got none. */
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
	if (t->sealed)
		conn_lib_response(t, at_now());
	if (err && in->life == t->life) {
		ev = emit(t, AT_LAST, AT_EV_LIB_RESPONSE, at_now(), sizeof(*ev), NULL, NULL, 0);
		if (ev) {
			ev->inst = in->id;
			ev->broker = broker;
			ev->api = api;
			ev->err = err;
			ev->rtt_us = rtt_us;
			ev->size = size;
			emit_done(t, AT_LAST);
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
static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
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
	if (!in->slot && !instance_reserve(in))		/* a plugin's */
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	instance_enlist(in, rk);
	in->rk = rk;
	write_instance(in, conf);
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

/* ---- the calls of an instance's life -------------------------------------- */

/* Stand in for the app's delivery callbacks, and give them back on failure. */
static void wrap_callbacks(struct instance *in, rd_kafka_conf_t *conf)
{
	const struct lib *lib = in->lib;

	*(void **)&in->dr_msg_cb = conf_pointer(lib, conf, "dr_msg_cb");
	*(void **)&in->dr_cb = conf_pointer(lib, conf, "dr_cb");
	if (in->dr_msg_cb)
		lib->rd_kafka_conf_set_dr_msg_cb(conf, acks_dr_msg_cb);
	else if (in->dr_cb)
		lib->rd_kafka_conf_set_dr_cb(conf, acks_dr_cb);
}

static void unwrap_callbacks(struct instance *in, rd_kafka_conf_t *conf)
{
	if (in->dr_msg_cb)
		in->lib->rd_kafka_conf_set_dr_msg_cb(conf, in->dr_msg_cb);
	else if (in->dr_cb)
		in->lib->rd_kafka_conf_set_dr_cb(conf, in->dr_cb);
}

/*
 * librdkafka before 2.13 frees the interceptors of a conf whose rd_kafka_new failed and
 * leaves pointers to them in it.  Such a conf can be read and copied (the copy has no
 * interceptors), but neither used nor destroyed: it is leaked.
 */
static bool is_spoilt(const rd_kafka_conf_t *conf)
{
	uint32_t n = __atomic_load_n(&nr_instances, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; conf && instances && i < n && i < NR_INSTANCES; i++)
		if (instances[i].failed_conf == conf && instances[i].lib->version < 0x020d0000)
			return true;
	return false;
}

/* The app has given that conf away, for good. */
static void forget_failed(const rd_kafka_conf_t *conf)
{
	uint32_t n = __atomic_load_n(&nr_instances, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; conf && instances && i < n && i < NR_INSTANCES; i++)
		if (instances[i].failed_conf == conf)
			instances[i].failed_conf = NULL;
}

/* conf is the app's, or a copy of it, or made here because the app gave none. */
static rd_kafka_t *witnessed_new(struct instance *in, rd_kafka_type_t type, rd_kafka_conf_t *conf,
				 bool interceptor_is_there, char *errstr, size_t size)
{
	struct lib *lib = in->lib;
	rd_kafka_t *rk;

	in->role = type == RD_KAFKA_CONSUMER;
	in->ending = false;
	if (!interceptor_is_there)
		lib->rd_kafka_conf_interceptor_add_on_new(conf, "acktrail", on_new, in);
	wrap_callbacks(in, conf);
	rk = lib->rd_kafka_new(type, conf, errstr, size);
	if (!rk) {
		int saved = errno;

		unwrap_callbacks(in, conf);
		instance_delist(in);
		in->rk = NULL;
		errno = saved;
	}
	return rk;
}

rd_kafka_t *lib_new(const void *caller, rd_kafka_type_t type, rd_kafka_conf_t *conf, char *errstr,
		    size_t size)
{
	struct lib *lib = lib_of(caller);
	rd_kafka_conf_t *use = conf;
	struct instance *in;
	bool spoilt, again;
	rd_kafka_t *rk;

	if (!lib || !lib->rd_kafka_new) {
		errno = ENOSYS;
		if (errstr && size)
			snprintf(errstr, size, "no librdkafka behind rd_kafka_new");
		return NULL;
	}
	spoilt = is_spoilt(conf);
	in = live_off() ? NULL : instance_new(lib, conf);
	again = in && conf && in->failed_conf == conf;
	if (!conf && in)
		use = lib->rd_kafka_conf_new();		/* NULL means defaults */
	else if (spoilt)
		use = lib->rd_kafka_conf_dup(conf);
	if (in && instance_reserve(in))
		rk = witnessed_new(in, type, use, again && !spoilt, errstr, size);
	else
		rk = lib->rd_kafka_new(type, use, errstr, size);
	if (rk)
		forget_failed(conf);
	else if (in)
		in->failed_conf = conf;		/* the app's again, see lib_conf_destroy() */
	return rk;
}

void lib_conf_destroy(const void *caller, rd_kafka_conf_t *conf)
{
	struct lib *lib = lib_of(caller);
	bool spoilt = is_spoilt(conf);

	forget_failed(conf);
	if (!spoilt && lib && lib->rd_kafka_conf_destroy)
		lib->rd_kafka_conf_destroy(conf);
}

static uint64_t count_of(const struct instance *in, enum at_count what)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < AT_NR_STRIPES; i++)
		sum += __atomic_load_n(&in->cells[i].n[what], __ATOMIC_RELAXED);
	return sum;
}

static uint64_t open_messages(const struct instance *in)
{
	return count_of(in, AT_ACCEPTED) - count_of(in, AT_ACKED) - count_of(in, AT_FAILED) -
	       count_of(in, AT_EXPIRED) - count_of(in, AT_PURGED) - count_of(in, AT_DROPPED);
}

static void write_end(struct instance *in, uint32_t how)
{
	struct thread *t;
	struct ev_instance_end *ev;
	uint64_t open;

	if (!in || in->life != live_number())
		return;
	t = thread_enter();
	if (!t)
		return;
	open = open_messages(in);
	ev = emit(t, AT_LAST, AT_EV_INSTANCE_END, at_now(), sizeof(*ev), NULL, NULL, 0);
	if (ev) {
		ev->inst = in->id;
		ev->how = how;
		ev->open = open;
		emit_done(t, AT_LAST);
	}
	/* What is still open when destroy has returned was dropped without a word. */
	if (how && in->id < AT_NR_INSTANCES && (int64_t)open > 0)
		instance_count(in, t, AT_DROPPED, open);
	thread_leave(t);
}

static void end_instance(rd_kafka_t *rk, struct lib *lib, int flags, bool with_flags)
{
	struct instance *in = instance_of(rk);
	int saved;

	if (in)
		lib = in->lib;
	if (!lib)
		return;
	write_end(in, 0);
	if (in)
		__atomic_store_n(&in->ending, true, __ATOMIC_RELAXED);
	if (with_flags && lib->rd_kafka_destroy_flags)
		lib->rd_kafka_destroy_flags(rk, flags);
	else
		lib->rd_kafka_destroy(rk);
	saved = errno;
	write_end(in, 1);
	if (in)
		instance_delist(in);
	errno = saved;
}

void lib_destroy(const void *caller, rd_kafka_t *rk)
{
	end_instance(rk, lib_of(caller), 0, false);
}

void lib_destroy_flags(const void *caller, rd_kafka_t *rk, int flags)
{
	end_instance(rk, lib_of(caller), flags, true);
}

int lib_poll(const void *caller, rd_kafka_t *rk, int timeout_ms)
{
	struct lib *lib = lib_of(caller);
	int r = lib ? lib->rd_kafka_poll(rk, timeout_ms) : 0;

	if (r > 0)
		acks_calls_end();
	return r;
}

rd_kafka_resp_err_t lib_flush(const void *caller, rd_kafka_t *rk, int timeout_ms)
{
	struct lib *lib = lib_of(caller);
	rd_kafka_resp_err_t r = lib ? lib->rd_kafka_flush(rk, timeout_ms) :
				      RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;

	acks_calls_end();
	return r;
}

/* Loaded through plugin.library.paths: the conf is about to become an instance. */
rd_kafka_resp_err_t lib_plugin_init(const void *caller, rd_kafka_conf_t *conf)
{
	struct lib *lib = lib_of(caller);
	struct instance *in;

	if (!lib || live_off())
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	in = instance_new(lib, NULL);
	if (in)
		lib->rd_kafka_conf_interceptor_add_on_new(conf, "acktrail", on_new, in);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
