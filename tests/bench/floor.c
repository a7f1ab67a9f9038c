// SPDX-License-Identifier: BSD-2-Clause
/* floor.c - attaches the programs of floor.bpf.c until it is interrupted, for tests/bench/probe_load. */
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *program;

	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "floor: %s cannot be loaded\n", argc == 2 ? argv[1] : "no object");
		return 1;
	}
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program)) {
			fprintf(stderr, "floor: %s cannot be attached\n", bpf_program__name(program));
			return 1;
		}
	signal(SIGINT, SIG_DFL);	/* a shell has it ignored in what it runs behind its back */
	printf("witnessing\n");
	fflush(stdout);
	pause();
	return 0;
}
