/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - libraries and programs of the drivers that are live: from bundles of kind runtime to trees that the
 * host and its containers use. Part of `modulus finish`.
 */
#ifndef MODULUS_RUNTIME_H
#define MODULUS_RUNTIME_H

#include <jansson.h>

#include "host.h"

/* Started by `finish` for what only the network has; runs `modulus finish --runtime`. */
#define RUNTIME_UNIT "modulus-runtime.service"

/*
 * The caller has the machine's lock (lock.h), or could not have it in time. For each driver of status.json that is
 * loaded: the best bundle of exactly its version becomes the active tree, which costs a look when it is that already.
 * The outcome is the driver's member "runtime", for status.json:
 * null, where nobody asked for libraries and none are here, or
 * {"reason": WORD, "text": TEXT, "version": V, "digest": HEX or null, "origin": PLACE or null (it was there),
 *  "path": TREE or null, "link": PATH or null, "programs": DIR or null, "extension": BOOL, "warnings": [TEXT]}.
 * A failure is told there and in the log, and leaves the tree that was active.
 * network: places in the network are asked too. Without, *ret_wanted says that one of them may have what is missing.
 * -ENOMEM; what cmdline_read(), config_read() and kernel_running() say.
 */
int runtime_run(const struct host *h, json_t *status, bool network, bool *ret_wanted, struct err *err) _must_check_;

/*
 * Removes trees that nobody needs any more: of each driver that is configured all but the active one, that of
 * Version=, and those of the versions whose modules are cached for some kernel. dry: only tells; *ret are their
 * paths. -ENOMEM, -errno.
 */
int runtime_prune(const struct host *h, bool dry, struct strv *ret, struct err *err) _must_check_;

#endif
