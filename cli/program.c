/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.c - looks into executables.  Reads with pread(), so a file that changes
 * meanwhile is at worst misjudged.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "program.h"

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#define OUR_MACHINE EM_NONE
#endif

#define MAX_DYN		4096	/* entries of a dynamic section that are looked at */
#define MAX_PHDR	128

/* ---- finding it ---------------------------------------------------------- */

static int can_run(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == EACCES ? EACCES : ENOENT;
	return S_ISREG(st.st_mode) && !access(path, X_OK) ? 0 : EACCES;
}

int program_find(const char *command, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH"), *end;
	int result = ENOENT;

	if (strchr(command, '/')) {
		if (snprintf(path, PATH_MAX, "%s", command) >= PATH_MAX)
			return ENOENT;
		return can_run(path);
	}
	if (!*command)
		return ENOENT;
	if (!dirs)
		dirs = "/bin:/usr/bin";
	for (;; dirs = end + 1) {
		end = strchrnul(dirs, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - dirs), dirs, end > dirs ? "/" : "",
			     command) < PATH_MAX) {
			int err = can_run(path);

			if (!err)
				return 0;
			if (err == EACCES)
				result = EACCES;
		}
		if (!*end)
			return result;
	}
}

bool program_holds(const char *path, const char *text, size_t most)
{
	enum { STEP = 1 << 20 };
	size_t len = strlen(text), kept = 0, at = 0;
	char *buf = malloc(STEP + 256);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool found = false;
	ssize_t n;

	while (buf && fd >= 0 && len < 256 && !found && at < most &&
	       (n = pread(fd, buf + kept, STEP, (off_t)at)) > 0) {
		size_t have = kept + (size_t)n;

		found = memmem(buf, have, text, len);
		kept = have < len - 1 ? have : len - 1;
		memmove(buf, buf + have - kept, kept);
		at += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	free(buf);
	return found;
}

bool program_shim(char path[PATH_MAX])
{
	static const char *const beside[] = { "", "/../lib", ("/../" ACKTRAIL_LIBDIR_NAME), "/../shim" };
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	char *slash;

	dir[n > 0 ? n : 0] = 0;
	slash = strrchr(dir, '/');
	if (slash) {
		*slash = 0;
		for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
			char name[PATH_MAX + 64];

			snprintf(name, sizeof(name), "%s%s/libacktrail.so", dir, beside[i]);
			if (realpath(name, path))
				return true;
		}
	}
	return realpath(ACKTRAIL_LIBDIR "/libacktrail.so", path);
}

/* ---- looking at it ------------------------------------------------------- */

/* Kernel rule for AT_SECURE: the program would run with rights that we have not got. */
static bool is_secure(const char *path)
{
	struct stat st;
	char cap[64];

	if (stat(path, &st))
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return true;
	return getuid() && getxattr(path, "security.capability", cap, sizeof(cap)) > 0;
}

static bool get(int fd, void *buf, size_t len, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, buf, len, (off_t)at) == (ssize_t)len;
}

/* A string of the file at that offset. */
static void get_text(int fd, char *buf, size_t size, uint64_t at)
{
	ssize_t n = at <= INT64_MAX ? pread(fd, buf, size - 1, (off_t)at) : 0;

	buf[n > 0 ? n : 0] = 0;
}

/* Where an address of the image lies in the file. */
static uint64_t file_offset(const Elf64_Phdr *ph, int nr, uint64_t addr)
{
	for (int i = 0; i < nr; i++)
		if (ph[i].p_type == PT_LOAD && addr >= ph[i].p_vaddr &&
		    addr - ph[i].p_vaddr < ph[i].p_filesz)
			return addr - ph[i].p_vaddr + ph[i].p_offset;
	return UINT64_MAX;
}

static void look_at_needed(int fd, const Elf64_Phdr *ph, int nr, const Elf64_Phdr *dynamic,
			   struct program *p)
{
	uint64_t needed[256], strings = UINT64_MAX;
	int nr_needed = 0;
	Elf64_Dyn d;

	for (uint64_t i = 0; i < MAX_DYN && (i + 1) * sizeof(d) <= dynamic->p_filesz; i++) {
		if (!get(fd, &d, sizeof(d), dynamic->p_offset + i * sizeof(d)) || d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_STRTAB)
			strings = file_offset(ph, nr, d.d_un.d_ptr);
		if (d.d_tag == DT_NEEDED && nr_needed < 256)
			needed[nr_needed++] = d.d_un.d_val;
	}
	for (int i = 0; i < nr_needed && strings != UINT64_MAX; i++) {
		char name[256];

		get_text(fd, name, sizeof(name), strings + needed[i]);
		if (!strncmp(name, "librdkafka", 10))
			p->needs_rdkafka = true;
		if (!strncmp(name, "libjli.so", 9) || !strncmp(name, "libjvm.so", 9))
			p->java = true;
		if (!strncmp(name, "libpython", 9))
			p->python = true;
		if (!strncmp(name, "libasan.so", 10))
			snprintf(p->asan, sizeof(p->asan), "%.63s", name);
	}
}

static void look_at_elf(int fd, const char *path, struct program *p)
{
	Elf64_Phdr ph[MAX_PHDR], *dynamic = NULL, *interp = NULL;
	char loader[256] = "";
	Elf64_Ehdr eh;
	int nr;

	p->kind = PROGRAM_UNKNOWN;
	if (!get(fd, &eh, sizeof(eh), 0) || memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh.e_machine != OUR_MACHINE) {
		p->kind = PROGRAM_FOREIGN;
		return;
	}
	nr = eh.e_phnum < MAX_PHDR ? eh.e_phnum : MAX_PHDR;
	if (eh.e_phentsize != sizeof(ph[0]) || !get(fd, ph, (size_t)nr * sizeof(ph[0]), eh.e_phoff))
		return;
	for (int i = 0; i < nr; i++) {
		if (ph[i].p_type == PT_INTERP)
			interp = &ph[i];
		if (ph[i].p_type == PT_DYNAMIC)
			dynamic = &ph[i];
	}
	if (dynamic)
		look_at_needed(fd, ph, nr, dynamic, p);
	p->go = program_holds(path, "\xff Go buildinf:", 64u << 20);
	if (interp)
		get_text(fd, loader, sizeof(loader), interp->p_offset);
	if (!interp)
		p->kind = PROGRAM_STATIC;
	else if (strstr(loader, "ld-musl"))
		p->kind = PROGRAM_MUSL;
	else
		p->kind = is_secure(path) ? PROGRAM_SECURE : PROGRAM_DYNAMIC;
}

/* "#! /usr/bin/env -S python3 -u" → the interpreter's path; false: no script. */
static bool script_interpreter(int fd, char path[PATH_MAX])
{
	char line[512], *word, *next;

	get_text(fd, line, sizeof(line), 0);
	if (strncmp(line, "#!", 2))
		return false;
	line[strcspn(line, "\n")] = 0;
	word = strtok_r(line + 2, " \t", &next);
	if (!word)
		return false;
	snprintf(path, PATH_MAX, "%s", word);
	if (strcmp(basename(word), "env"))
		return true;
	do
		word = strtok_r(NULL, " \t", &next);
	while (word && (word[0] == '-' || strchr(word, '=')));
	if (word)
		program_find(word, path);
	return true;
}

void program_look(const char *path, struct program *p)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *elf = path;

	memset(p, 0, sizeof(*p));
	p->kind = PROGRAM_UNKNOWN;
	snprintf(p->path, sizeof(p->path), "%s", path);
	if (fd >= 0 && script_interpreter(fd, p->interpreter)) {
		close(fd);
		elf = p->interpreter;
		fd = open(elf, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return;
	look_at_elf(fd, elf, p);
	if (!strncmp(basename(elf), "python", 6))
		p->python = true;
	if (!strcmp(basename(elf), "java"))
		p->java = true;
	close(fd);
}

const char *program_out_of_reach(const struct program *p)
{
	switch (p->kind) {
	case PROGRAM_STATIC:
		return p->go ?
		       "is a Go program without cgo: it loads no library and calls the kernel itself, so nothing "
		       "can be preloaded into it; witness the broker's side with `acktrail probe`" :
		       "is a static program: nothing can be preloaded into it; link it dynamically, or witness "
		       "the broker's side with `acktrail probe`";
	case PROGRAM_MUSL:
		return "uses musl, for which this shim is not made; run it on a glibc image, or witness the "
		       "broker's side with `acktrail probe`";
	case PROGRAM_SECURE:
		return "is setuid, setgid or has file capabilities, so the loader ignores LD_PRELOAD; run it as "
		       "its owner, or name the shim in librdkafka's plugin.library.paths";
	case PROGRAM_FOREIGN:
		return "is built for another word size or machine than this shim; use an acktrail built for it, "
		       "or witness the broker's side with `acktrail probe`";
	default:
		return NULL;
	}
}
