// SPDX-License-Identifier: BSD-2-Clause
/*
 * app_module MODULE: loads and unloads a plug-in that brings librdkafka with it.
 * app_module MODULE keep: leaves a producer to its destructor.
 */
#include <dlfcn.h>
#include <stdio.h>

static int keep(const char *path)
{
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*begin)(int);

	if (!module) {
		fprintf(stderr, "app_module: %s\n", dlerror());
		return 2;
	}
	*(void **)&begin = dlsym(module, "module_begin");
	return begin ? begin(10) : 2;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return keep(argv[1]);
	if (argc != 2)
		return 2;
	for (int i = 1; i <= 3; i++) {
		void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		int (*run)(int);

		if (!module) {
			fprintf(stderr, "app_module: %s\n", dlerror());
			return 2;
		}
		*(void **)&run = dlsym(module, "module_run");
		printf("delivered %d\n", run ? run(i * 10) : -1);
		printf("closed %d\n", dlclose(module));
	}
	return 0;
}
