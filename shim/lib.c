// SPDX-License-Identifier: BSD-2-Clause
/* lib.c - the copies of librdkafka in this process, and which one a caller uses. */
#include <dlfcn.h>

#include "shim.h"

#define NR_LIBS 16
#define CACHE 64

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
