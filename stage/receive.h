/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive.h - one bundle at boot: its files go to a sink while its bytes go to the cache, in one pass.
 */
#ifndef MODULUS_RECEIVE_H
#define MODULUS_RECEIVE_H

#include "source.h"
#include "store.h"
#include "unpack.h"

/* A machine that has no room in memory for so many bytes, and a reserve, is better off without. -E_NO_SPACE. */
int receive_check_memory(const struct host *h, uint64_t bytes, struct err *err) _must_check_;

/*
 * Reads the candidate to its end. *ret_copy is the copy in the cache, complete and without its name yet;
 * it is the caller's to publish or to abandon. NULL: the bundle comes from there, is there, or cannot be
 * kept, which is a warning. replace: what has its name already is replaced.
 * A failure leaves no copy; of a transfer that broke (-E_NETWORK) what came stays for the next one.
 * Codes of unpack_bundle(), -ENOMEM.
 */
int receive(const struct source_request *req, struct candidate *c, bool replace, const struct unpack_sink *sink,
	    struct store_copy **ret_copy, struct strv *warnings, struct err *err) _must_check_;

/* The copy gets its name, *ret_path; accepts NULL. A failure is a warning. -ENOMEM. */
int receive_keep(struct store_copy *copy, char **ret_path, struct strv *warnings) _must_check_;

#endif
