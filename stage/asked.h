/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asked.h - what an address of the network held when it was asked last, so that asking again whether there
 * is something newer costs one small answer. Nothing is believed for it: an address that is said to be
 * unchanged stands for a bundle of the cache, which is verified like any other, or is asked as if for the
 * first time.
 *
 * One file for each address below ASKED_DIR.
 */
#ifndef MODULUS_ASKED_H
#define MODULUS_ASKED_H

#include "host.h"

#define ASKED_DIR "/var/lib/modulus/asked"

/*
 * Is one of the bundles that are had (digests) what the address held? *ret_tag: what to ask with, an ETag or
 * the digest of a registry's layer. Caller frees. -ENOENT: not known, or another one.
 */
int asked_tag(const struct host *h, const char *address, const struct strv *have, char **ret_tag) _must_check_;

/* The address holds that bundle under that tag. Written only when it differs from what is remembered. */
int asked_remember(const struct host *h, const char *address, const char *tag, const char *digest, struct err *err)
	_must_check_;

#endif
