// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_grubcfg.c - a grub.cfg, with and without what grubenv may say. A kernel that comes out is a word of the
 * file's, and without a line for a kernel there is none.
 */
#include "fuzz.h"
#include "grubcfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const choices[] = { NULL, "", "0", "1>1", "1>0>2", "a>b", ">", "gnulinux-simple-5e5b" };
	_cleanup_free_ char *text = fuzz_text(data, size);

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		for (int next = 0; next < 2; next++) {
			_cleanup_free_ char *path = NULL;
			bool once = false;
			int r = grub_default_kernel(text, size, next ? choices[i] : NULL, next ? NULL : choices[i], &path, &once);

			must(r == 0 || r == -ENOENT || r == -EOVERFLOW);
			must(r != 0 || (path && strlen(path) < size && memmem(text, size, "linux", 5)));
			must(!once || (next && choices[i] && *choices[i]));
		}
	}
	must(!grub_reads_entries(text, size) || memmem(text, size, "b", 1));
	return 0;
}
