// SPDX-License-Identifier: BSD-2-Clause
/* stub.c - stands in for the probe where it could not be built. */
#include <stdio.h>

#include "probe.h"

int cmd_probe(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fprintf(stderr, "acktrail probe: this build has no probe, for lack of " PROBE_LACKS
		"; install clang, bpftool and libbpf-dev and build again\n");
	return 4;
}
