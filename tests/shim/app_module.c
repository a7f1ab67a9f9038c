// SPDX-License-Identifier: BSD-2-Clause
/* app_module MODULE: loads and unloads a plug-in that brings librdkafka with it. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
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
