// SPDX-License-Identifier: BSD-2-Clause
/*
 * find.c - the real function behind a wrapped one, read from the symbol tables of
 * the loaded objects.
 *
 * Not dlsym(): RTLD_NEXT does not reach a library loaded with RTLD_LOCAL (Python
 * wheels), and naming dlsym would ask for GLIBC_2.34, which stops apps on older
 * images from starting at all.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#include "shim.h"

struct tables {
	const ElfW(Sym) *syms;
	const char *strings;
	const uint32_t *gnu_hash, *sysv_hash;
	const ElfW(Half) *versions;
	const ElfW(Dyn) *dynamic;
	uintptr_t base;
};

/* glibc relocates these pointers in place; the vDSO's are left as offsets. */
static const void *at(uintptr_t base, ElfW(Addr) p)
{
	return (const void *)(p < base ? base + p : p);
}

static bool read_tables(struct tables *t, uintptr_t base, const void *dynamic)
{
	memset(t, 0, sizeof(*t));
	t->base = base;
	t->dynamic = dynamic;
	if (!dynamic)
		return false;
	for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_SYMTAB: t->syms = at(base, d->d_un.d_ptr); break;
		case DT_STRTAB: t->strings = at(base, d->d_un.d_ptr); break;
		case DT_GNU_HASH: t->gnu_hash = at(base, d->d_un.d_ptr); break;
		case DT_HASH: t->sysv_hash = at(base, d->d_un.d_ptr); break;
		case DT_VERSYM: t->versions = at(base, d->d_un.d_ptr); break;
		}
	}
	return t->syms && t->strings && (t->gnu_hash || t->sysv_hash);
}

static bool matches(const struct tables *t, uint32_t i, const char *name)
{
	const ElfW(Sym) *s = &t->syms[i];
	unsigned type = s->st_info & 0xf;

	return s->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_NOTYPE) &&
	       !strcmp(t->strings + s->st_name, name);
}

/* A symbol whose version is hidden is an old one: taken only when alone. */
static void *better(const struct tables *t, uint32_t i, void *found)
{
	bool hidden = t->versions && (t->versions[i] & 0x8000);

	return found && hidden ? found : (void *)(t->base + t->syms[i].st_value);
}

static void *lookup_gnu(const struct tables *t, const char *name)
{
	const uint32_t *h = t->gnu_hash;
	uint32_t nr_buckets = h[0], first = h[1], bloom_words = h[2];
	const uint32_t *buckets = h + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
	const uint32_t *chain = buckets + nr_buckets;
	uint32_t hash = 5381;
	void *found = NULL;

	for (const char *p = name; *p; p++)
		hash = hash * 33 + (unsigned char)*p;
	uint32_t i = nr_buckets ? buckets[hash % nr_buckets] : 0;

	if (i < first)
		return NULL;
	for (;; i++) {
		uint32_t other = chain[i - first];

		if ((other | 1) == (hash | 1) && matches(t, i, name)) {
			found = better(t, i, found);
			if (!t->versions || !(t->versions[i] & 0x8000))
				return found;
		}
		if (other & 1)
			return found;
	}
}

static void *lookup_sysv(const struct tables *t, const char *name)
{
	void *found = NULL;

	for (uint32_t i = 1; i < t->sysv_hash[1]; i++)
		if (matches(t, i, name))
			found = better(t, i, found);
	return found;
}

static void *lookup(const struct tables *t, const char *name)
{
	return t->gnu_hash ? lookup_gnu(t, name) : lookup_sysv(t, name);
}

void *find_in(struct object obj, const char *name)
{
	struct tables t;

	return read_tables(&t, obj.base, obj.dynamic) ? lookup(&t, name) : NULL;
}

/* ---- walking the loaded objects ------------------------------------------ */

struct walk {
	const char *name;		/* symbol wanted */
	const void *caller;		/* code whose needs count, or NULL */
	struct object caller_obj;
	struct object needed, after, any;	/* providers found, best first */
	bool	 past_us;
};

static const void *dynamic_of(const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			return (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return NULL;
}

static bool covers(const struct dl_phdr_info *info, const void *p)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && (uintptr_t)p - start < ph->p_memsz)
			return true;
	}
	return false;
}

static bool needs(struct object user, const char *path)
{
	const char *base = strrchr(path, '/');
	struct tables t;

	base = base ? base + 1 : path;
	if (!*base || !read_tables(&t, user.base, user.dynamic))
		return false;
	for (const ElfW(Dyn) *d = t.dynamic; d->d_tag != DT_NULL; d++) {
		const char *want = t.strings + d->d_un.d_val, *slash;

		if (d->d_tag != DT_NEEDED)
			continue;
		slash = strrchr(want, '/');
		if (!strcmp(slash ? slash + 1 : want, base))
			return true;
	}
	return false;
}

static int find_caller(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *w = arg;

	(void)size;
	if (!covers(info, w->caller))
		return 0;
	w->caller_obj = (struct object){ info->dlpi_addr, dynamic_of(info) };
	return 1;
}

static int find_providers(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *w = arg;
	struct object obj = { info->dlpi_addr, dynamic_of(info) };
	bool prefer;

	(void)size;
	if (covers(info, (const void *)find_in)) {
		w->past_us = true;
		return 0;
	}
	if (!find_in(obj, w->name))
		return 0;
	prefer = obj.dynamic == w->caller_obj.dynamic || needs(w->caller_obj, info->dlpi_name);
	if (prefer && !w->needed.dynamic)
		w->needed = obj;
	if (w->past_us && !w->after.dynamic)
		w->after = obj;
	if (!w->any.dynamic)
		w->any = obj;
	return 0;
}

struct object find_provider(const void *caller, const char *name)
{
	struct walk w = { .name = name, .caller = caller };

	if (caller)
		dl_iterate_phdr(find_caller, &w);
	dl_iterate_phdr(find_providers, &w);
	return w.needed.dynamic ? w.needed : w.after.dynamic ? w.after : w.any;
}

void *find_next(const char *name)
{
	return find_in(find_provider(NULL, name), name);
}

/* ---- dlsym --------------------------------------------------------------- */

static void *no_dlsym(void *handle, const char *name)
{
	(void)handle, (void)name;
	return NULL;
}

void *find_dlsym(void)
{
	static void *real;
	void *found = __atomic_load_n(&real, __ATOMIC_RELAXED);

	if (unlikely(!found)) {
		found = find_next("dlsym");
		__atomic_store_n(&real, found, __ATOMIC_RELAXED);
	}
	return found ? found : (void *)no_dlsym;
}

static int find_us(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct object *us = arg;

	(void)size;
	if (!covers(info, (const void *)find_in))
		return 0;
	us->base = info->dlpi_addr;
	__atomic_store_n(&us->dynamic, dynamic_of(info), __ATOMIC_RELEASE);	/* last: base is there */
	return 1;
}

/*
 * .NET, Ruby and Python's ctypes look librdkafka's functions up on a handle, past any
 * preload.  RTLD_NEXT is for interposers like us: left alone.  So is a copy that is not
 * the one our wrapper takes for callers that are linked to none: a client of that copy
 * must not get into the other.
 */
void *find_wrapper(void *handle, const char *name)
{
	static struct object us;
	void *(*real)(void *, const char *);
	void *theirs, *ours;

	if (likely(!name || strncmp(name, "rd_kafka_", 9)) || handle == RTLD_NEXT || live_off())
		return NULL;
	if (!__atomic_load_n(&us.dynamic, __ATOMIC_ACQUIRE))
		dl_iterate_phdr(find_us, &us);
	ours = find_in(us, name);
	if (!ours)
		return NULL;
	*(void **)&real = find_dlsym();
	theirs = real(handle, name);
	if (theirs == ours || (theirs && theirs == find_in(find_provider(NULL, "rd_kafka_new"), name)))
		return ours;
	return NULL;
}
