// SPDX-License-Identifier: BSD-2-Clause
/* lib.c - the copies of librdkafka in this process, and which one a caller uses. */
#include <dlfcn.h>

#include "shim.h"
#include "sites.h"

#define NR_LIBS 16

static struct lib libs[NR_LIBS];

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

/* Whoever finds it unfinished does all of it, to the same end: nobody waits, not even after a fork. */
static void fill(struct lib *lib, struct object obj)
{
	bool usable = true;
	void *found;

#define LIB_OPTIONAL(name) \
	found = find_in(obj, #name); __atomic_store_n((void **)&lib->name, found, __ATOMIC_RELAXED);
#define LIB_NEEDED(name) LIB_OPTIONAL(name) usable &= found != NULL;
	LIB_FUNCTIONS(LIB_NEEDED, LIB_OPTIONAL)
#undef LIB_NEEDED
#undef LIB_OPTIONAL
	__atomic_store_n(&lib->usable, usable, __ATOMIC_RELAXED);
	__atomic_store_n(&lib->version, lib->rd_kafka_version ? lib->rd_kafka_version() : 0,
			 __ATOMIC_RELAXED);
	pin(obj.dynamic);
	__atomic_store_n(&lib->ready, true, __ATOMIC_RELEASE);
}

static struct lib *lib_find(const void *caller)
{
	struct object obj = find_provider(caller, "rd_kafka_new");

	if (!obj.dynamic)
		return NULL;
	for (struct lib *lib = libs; lib < libs + NR_LIBS; lib++) {
		const void *owner = NULL;

		/* A free place is taken, else owner tells whose it is. */
		if (!__atomic_compare_exchange_n(&lib->dynamic, &owner, obj.dynamic, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
		    owner != obj.dynamic)
			continue;
		if (!__atomic_load_n(&lib->ready, __ATOMIC_ACQUIRE))
			fill(lib, obj);
		return lib;
	}
	return NULL;
}

/* Walking the objects takes the loader's lock, so call sites are remembered. */
struct lib *lib_of(const void *caller)
{
	static struct sites sites;
	int i = site_find(&sites, caller);
	struct lib *lib;

	if (likely(i >= 0))
		return &libs[i];
	lib = lib_find(caller);
	if (lib)
		site_keep(&sites, caller, (unsigned)(lib - libs));
	return lib;
}
