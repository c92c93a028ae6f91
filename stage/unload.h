/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unload.h - modules out of the kernel, by hand. Never by force: what is in use stays.
 */
#ifndef MODULUS_UNLOAD_H
#define MODULUS_UNLOAD_H

#include "host.h"

/*
 * Removes the modules, which are in the order in which they were loaded, last ones first; those that are not live are
 * passed over. `named` are those of them that must go: all are looked at before the first is removed, and -EBUSY says
 * which is used by something else, and who it is. The others are what these depend on, and may have users of their
 * own: they go if nobody uses them then. Each removal runs in a child with LIMIT_REMOVE_US: a driver's exit may hang.
 * Nodes that only we make (nvidia.h) go with the module that serves them. In-tree modules that were
 * loaded for these stay. *removed gets the names, also when one in the middle fails.
 * -E_INIT_HUNG, -E_INIT_FAILED (killed by an oops); -ENOSYS: the kernel cannot unload; -errno of delete_module(2).
 */
int unload_modules(const struct host *h, const struct strv *names, const struct strv *named, struct strv *removed,
		   struct err *err) _must_check_;

#endif
