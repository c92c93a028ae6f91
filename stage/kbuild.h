/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kbuild.h - compiles an out-of-tree module source with the kernel's own build system
 * (Documentation/kbuild/modules). Builder only.
 */
#ifndef MODULUS_KBUILD_H
#define MODULUS_KBUILD_H

#include "err.h"

/*
 * Copies source to a directory below $TMPDIR (/tmp) and runs "make -C KERNEL_BUILD M=COPY
 * modules" there; the source stays as it is, and make's words go to stderr. *ret is the copy with
 * the modules in it; the caller gives it to kbuild_remove(). -EINVAL: it does not compile.
 */
int kbuild_compile(const char *source, const char *kernel_build, char **ret, struct err *err) _must_check_;
/* Removes the copy; accepts NULL. */
void kbuild_remove(char *dir);
static inline void kbuild_removep(char **dir) { kbuild_remove(*dir); }

#endif
