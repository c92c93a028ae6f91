/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernelsyms.h - what the running kernel's symbols look like, as far as that can be known without
 * its Module.symvers: by the CRCs that its own modules recorded; and the vermagic that they have.
 */
#ifndef MODULUS_KERNELSYMS_H
#define MODULUS_KERNELSYMS_H

#include <libkmod.h>

#include "symbols.h"

/*
 * Collects the imports of the modules that are live (the kernel accepted them, so they are true)
 * and of the in-tree modules in `also`, and the vermagic of the first of them that is for `release`.
 * A module whose file is not in the tree is skipped. An empty table and no vermagic (NULL) are no
 * error: a kernel without MODVERSIONS records nothing, one without modules says nothing. -ENOMEM.
 */
int kernelsyms_collect(struct kmod_ctx *ctx, const char *release, const struct strv *also, struct symbols *ret,
		       char **ret_vermagic) _must_check_;

#endif
