/* SPDX-License-Identifier: Apache-2.0 */
/*
 * installed.h - the kernels that a tree holds: that of a running host, of the other slot, of a deployment.
 */
#ifndef MODULUS_INSTALLED_H
#define MODULUS_INSTALLED_H

#include "host.h"
#include "limit.h"

/* As a kernel may call itself: not a way out, nothing that a terminal would act on. */
bool installed_is_release(const char *name);

/*
 * The releases in usr/lib/modules of the tree (lib/modules where the tree is a /usr itself), newest first;
 * at most LIMIT_KERNELS. top: its root, in which all links stay. Directories without a kernel's own files, as
 * packages of modules leave them behind, count only where there is none with them. None at all: 0.
 * -ENOMEM, -errno.
 */
int installed_releases(int top, struct strv *ret) _must_check_;

/*
 * The build-id of that kernel, from its image in the tree. False: there is none that can be read, or it has
 * none; ret_hex is "" then.
 */
bool installed_build_id(int top, const char *release, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1]);

#endif
