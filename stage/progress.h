/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - reading a bundle to its end while somebody watches: a line on a terminal, STATUS=
 * to systemd, nothing anywhere else.
 */
#ifndef MODULUS_PROGRESS_H
#define MODULUS_PROGRESS_H

#include "store.h"
#include "unpack.h"

/*
 * unpack_bundle() with a tee: what held goes to the copy too (NULL: none), which stays the caller's. With sink == NULL the
 * bundle is only verified. what: a name to show. 0, or what unpack_bundle() says.
 */
int progress_unpack(const char *what, struct bundle *b, const struct unpack_sink *sink, struct store_copy *copy,
		    struct err *err) _must_check_;

#endif
