// SPDX-License-Identifier: BSD-2-Clause
/* refuse.c - preloaded into a probe: of the programs named in REFUSE the kernel gets one instruction alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	const char *names = getenv("REFUSE");
	union bpf_attr attr;
	long a[6];
	va_list args;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_bpf && a[0] == BPF_PROG_LOAD && names) {
		memset(&attr, 0, sizeof(attr));
		memcpy(&attr, (void *)a[1], (size_t)a[2] < sizeof(attr) ? (size_t)a[2] : sizeof(attr));
		if (attr.prog_name[0] && strstr(names, attr.prog_name)) {
			attr.insn_cnt = attr.func_info_cnt = attr.line_info_cnt = 1;
			a[1] = (long)&attr;
		}
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
