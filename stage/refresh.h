/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refresh.h - is there something newer in the network than what is here? Asked with what is remembered of
 * each address (asked.h): a bundle that has not changed costs one small answer.
 */
#ifndef MODULUS_REFRESH_H
#define MODULUS_REFRESH_H

#include "source.h"

/*
 * The first network source that has a bundle for the request decides: one with a higher serial than those
 * that are here is kept in the cache. Nothing is asked when nothing is here: that is not newer but missing.
 * 0: it is, or there is nothing newer, or no source has any; the failure that says most.
 */
int refresh_newer(const struct source_request *req, struct err *err) _must_check_;

/* A bundle that is in the cache now was had from there. What cannot be remembered costs a transfer, no more. */
void refresh_remember(const struct host *h, const struct candidate *c);

#endif
