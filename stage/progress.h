/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - reading a bundle to its end while somebody watches: a line on a terminal, STATUS=
 * to systemd, nothing anywhere else.
 */
#ifndef MODULUS_PROGRESS_H
#define MODULUS_PROGRESS_H

#include "store.h"

/*
 * Verifies the bundle to its end; what held goes to the copy too (NULL: none). The copy stays the
 * caller's. what: a name to show. 0, or what unpack_bundle() says.
 */
int progress_verify(const char *what, struct bundle *b, struct store_copy *copy, struct err *err) _must_check_;

#endif
