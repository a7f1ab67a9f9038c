// SPDX-License-Identifier: BSD-2-Clause
/*
 * instance.c - client instances: from rd_kafka_new, where the interceptors are put
 * in, to rd_kafka_destroy, and the account of their messages.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "shim.h"

#define NR_LIVE 256			/* instances alive at a time; more are not witnessed */
#define NR_INSTANCES 4096		/* ever; then the shim steps aside */

static struct instance *instances;	/* never freed: interceptors may linger */
static uint32_t nr_instances;
static struct { const rd_kafka_t *rk; struct instance *in; } alive[NR_LIVE];
static uint32_t nr_alive;		/* slots in use or used before */
/* This thread is inside its rd_kafka_new. */
static __thread struct instance *newborn __attribute__((tls_model("initial-exec")));

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
		struct instance *in;

		if (!__atomic_load_n(&alive[i].rk, __ATOMIC_ACQUIRE))
			continue;
		in = __atomic_load_n(&alive[i].in, __ATOMIC_ACQUIRE);
		/* NULL: that slot is being taken, and a later one was taken meanwhile. */
		if (!in || in->role || __atomic_load_n(&in->ending, __ATOMIC_RELAXED))
			continue;
		if (only)
			return NULL;
		only = in;
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
		__atomic_store_n(&alive[i].in, in, __ATOMIC_RELEASE);
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

bool instance_enlist(struct instance *in, const rd_kafka_t *rk)
{
	if (!in->slot && !instance_reserve(in))		/* a plugin's */
		return false;
	__atomic_store_n(&alive[in->slot - 1].rk, rk, __ATOMIC_RELEASE);
	return true;
}

static void instance_delist(struct instance *in)
{
	if (in->slot)
		__atomic_store_n(&alive[in->slot - 1].rk, NULL, __ATOMIC_RELEASE);
	in->slot = 0;
}

/*
 * A conf that came back from a failed rd_kafka_new, or that names us as a plugin beside
 * the preload, stays the same instance's.
 */
static struct instance *instance_of_conf(const rd_kafka_conf_t *conf)
{
	uint32_t n = __atomic_load_n(&nr_instances, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; instances && i < n && i < NR_INSTANCES; i++)
		if ((instances[i].failed_conf == conf || instances[i].plugin_conf == conf) &&
		    instances[i].life == live_number())
			return &instances[i];
	return NULL;
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
	in = conf ? instance_of_conf(conf) : NULL;
	if (in)
		return in;
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
	in->more = &w->more->more[n < AT_NR_ACCOUNTS ? n : AT_NR_ACCOUNTS - 1];
	in->one_cell = n >= AT_NR_INSTANCES;
	in->cells = in->one_cell ? &in->more->own : w->account->cell[n];
	__atomic_fetch_add(&w->account->nr_instances, 1, __ATOMIC_RELAXED);
	return in;
}

/* ---- the calls of an instance's life -------------------------------------- */

/*
 * Stand in for the app's delivery callback, and give it back on failure.  dr_cb is told
 * less than dr_msg_cb, which librdkafka prefers (rd_kafka_poll_cb): ours calls it.
 */
static void wrap_callbacks(struct instance *in, rd_kafka_conf_t *conf)
{
	const struct lib *lib = in->lib;

	*(void **)&in->dr_msg_cb = conf_pointer(lib, conf, "dr_msg_cb");
	*(void **)&in->dr_cb = conf_pointer(lib, conf, "dr_cb");
	/* A copy of another's that was made unseen: whose it was is not known, and ours must not call itself. */
	if (in->dr_msg_cb == calls_dr_msg_cb) {
		in->dr_msg_cb = NULL;
		lib->rd_kafka_conf_set_dr_msg_cb(conf, NULL);
	}
	if (in->dr_msg_cb || in->dr_cb)
		lib->rd_kafka_conf_set_dr_msg_cb(conf, calls_dr_msg_cb);
	in->events = conf_events(lib, conf) & RD_KAFKA_EVENT_DR;
}

static void unwrap_callbacks(struct instance *in, rd_kafka_conf_t *conf)
{
	if (in->dr_msg_cb || in->dr_cb)
		in->lib->rd_kafka_conf_set_dr_msg_cb(conf, in->dr_msg_cb);
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
static void forget_conf(const rd_kafka_conf_t *conf)
{
	uint32_t n = __atomic_load_n(&nr_instances, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; conf && instances && i < n && i < NR_INSTANCES; i++) {
		if (instances[i].failed_conf == conf)
			instances[i].failed_conf = NULL;
		if (instances[i].plugin_conf == conf)
			instances[i].plugin_conf = NULL;
	}
}

/* conf is the app's, or a copy of it, or made here because the app gave none. */
static rd_kafka_t *witnessed_new(struct instance *in, rd_kafka_type_t type, rd_kafka_conf_t *conf,
				 bool interceptor_is_there, char *errstr, size_t size)
{
	struct instance *outer = newborn;
	struct lib *lib = in->lib;
	rd_kafka_t *rk;

	in->role = type == RD_KAFKA_CONSUMER;
	in->ending = false;
	/* Refused: another life's is there already.  Without ours the callbacks stay the app's. */
	if (!interceptor_is_there &&
	    lib->rd_kafka_conf_interceptor_add_on_new(conf, "acktrail", intercept_on_new, in)) {
		instance_delist(in);
		live_skip();
		return lib->rd_kafka_new(type, conf, errstr, size);
	}
	wrap_callbacks(in, conf);
	newborn = in;
	rk = lib->rd_kafka_new(type, conf, errstr, size);
	newborn = outer;
	if (!rk) {
		int saved = errno;

		unwrap_callbacks(in, conf);
		instance_delist(in);
		in->rk = NULL;
		in->conf = NULL;
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
	bool spoilt, there;
	rd_kafka_t *rk;

	if (!lib || !lib->rd_kafka_new) {
		errno = ENOSYS;
		if (errstr && size)
			snprintf(errstr, size, "no librdkafka behind rd_kafka_new");
		return NULL;
	}
	spoilt = is_spoilt(conf);
	in = live_off() ? NULL : instance_new(lib, conf);
	if (!conf && in)
		use = lib->rd_kafka_conf_new();		/* NULL means defaults */
	else if (spoilt)
		use = lib->rd_kafka_conf_dup(conf);
	if (in && spoilt && instance_of_conf(use))
		in = instance_of_conf(use);		/* as our plugin, we were loaded into the copy */
	there = in && conf && (in->failed_conf == use || in->plugin_conf == use);
	if (in && instance_reserve(in))
		rk = witnessed_new(in, type, use, there, errstr, size);
	else
		rk = lib->rd_kafka_new(type, use, errstr, size);
	if (rk)
		forget_conf(conf);
	else if (in)
		in->failed_conf = conf;		/* the app's again, see lib_conf_destroy() */
	return rk;
}

/* Whose own conf that is. */
static struct instance *instance_within(const rd_kafka_conf_t *conf)
{
	uint32_t nr = __atomic_load_n(&nr_alive, __ATOMIC_ACQUIRE);
	struct instance *ending = NULL;

	for (uint32_t i = 0; i < nr; i++) {
		struct instance *in;

		if (!__atomic_load_n(&alive[i].rk, __ATOMIC_ACQUIRE))
			continue;
		in = __atomic_load_n(&alive[i].in, __ATOMIC_ACQUIRE);
		if (!in || in->conf != conf)
			continue;
		if (!__atomic_load_n(&in->ending, __ATOMIC_RELAXED))
			return in;
		ending = in;
	}
	return ending;
}

/*
 * The app copied rd_kafka_conf(rk), or what its own on_new was given before ours: the copy
 * has what the app set there, not what we put in its place.
 */
static rd_kafka_conf_t *with_callbacks(const struct lib *lib, const rd_kafka_conf_t *conf,
				       rd_kafka_conf_t *copy)
{
	struct instance *in;

	if (!copy || !lib->usable || conf_pointer(lib, copy, "dr_msg_cb") != (void *)calls_dr_msg_cb)
		return copy;
	in = instance_within(conf);
	if (!in)
		in = newborn;
	if (in)
		unwrap_callbacks(in, copy);
	return copy;
}

rd_kafka_conf_t *lib_conf_dup(const void *caller, const rd_kafka_conf_t *conf)
{
	struct lib *lib = lib_of(caller);

	if (!lib || !lib->rd_kafka_conf_dup)
		return NULL;
	return with_callbacks(lib, conf, lib->rd_kafka_conf_dup(conf));
}

rd_kafka_conf_t *lib_conf_dup_filter(const void *caller, const rd_kafka_conf_t *conf, size_t nr,
				     const char **without)
{
	struct lib *lib = lib_of(caller);

	if (!lib || !lib->rd_kafka_conf_dup_filter)
		return NULL;
	return with_callbacks(lib, conf, lib->rd_kafka_conf_dup_filter(conf, nr, without));
}

void lib_conf_destroy(const void *caller, rd_kafka_conf_t *conf)
{
	struct lib *lib = lib_of(caller);
	bool spoilt = is_spoilt(conf);

	forget_conf(conf);
	if (!spoilt && lib && lib->rd_kafka_conf_destroy)
		lib->rd_kafka_conf_destroy(conf);
}

static uint64_t count_of(const struct instance *in, enum at_count what)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < (in->one_cell ? 1 : AT_NR_STRIPES); i++)
		sum += __atomic_load_n(&in->cells[i].n[what], __ATOMIC_RELAXED);
	return sum;
}

static uint64_t open_messages(const struct instance *in)
{
	return count_of(in, AT_ACCEPTED) - count_of(in, AT_ACKED) - count_of(in, AT_FAILED) -
	       count_of(in, AT_EXPIRED) - count_of(in, AT_PURGED) - count_of(in, AT_DROPPED) -
	       __atomic_load_n(&in->more->before.n[AT_UNSEEN], __ATOMIC_RELAXED);
}

void instance_leave_open(void)
{
	uint32_t n = __atomic_load_n(&nr_instances, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; instances && i < n && i < AT_NR_ACCOUNTS; i++) {
		struct instance *in = &instances[i];

		if (in->life == live_number() && (int64_t)open_messages(in) > 0)
			in->more->before.n[AT_UNSEEN] += open_messages(in);
	}
}

void instance_restate(uint64_t now_ns)
{
	uint32_t nr = __atomic_load_n(&nr_alive, __ATOMIC_ACQUIRE);
	struct thread *t = thread_enter();

	for (uint32_t i = 0; t && i < nr; i++) {
		const struct instance *in = __atomic_load_n(&alive[i].in, __ATOMIC_ACQUIRE);

		if (__atomic_load_n(&alive[i].rk, __ATOMIC_ACQUIRE) && in && in->life == t->life &&
		    in->born_ns && in->born_ns < now_ns && !__atomic_load_n(&in->ending, __ATOMIC_RELAXED))
			conf_state(t, in, now_ns, AT_INST_EARLIER);
	}
	if (t)
		thread_leave(t);
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
	if (how && in->id < AT_NR_ACCOUNTS && (int64_t)open > 0)
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

/* Loaded through plugin.library.paths: the conf is about to become an instance. */
rd_kafka_resp_err_t lib_plugin_init(const void *caller, rd_kafka_conf_t *conf)
{
	struct lib *lib = lib_of(caller);
	struct instance *in;

	if (!lib || live_off())
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	in = instance_new(lib, NULL);
	/* Refused when we are named twice; an older conf at that address is no more. */
	if (in && !lib->rd_kafka_conf_interceptor_add_on_new(conf, "acktrail", intercept_on_new, in)) {
		forget_conf(conf);
		in->plugin_conf = conf;
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
