/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modsign.h - the kernel's own module signature (kernel Documentation/admin-guide/module-signing,
 * scripts/sign-file.c): a detached PKCS#7 over the module, appended with a trailer. Needed where
 * the kernel demands signed modules (Secure Boot with lockdown, module.sig_enforce). Builder only.
 */
#ifndef MODULUS_MODSIGN_H
#define MODULUS_MODSIGN_H

#include "err.h"

struct modsign_key;

/* PEM private key; PEM or DER certificate. -EINVAL: not such files, or they do not belong together. */
int modsign_load(const char *key_path, const char *cert_path, struct modsign_key **ret, struct err *err) _must_check_;
void modsign_free(struct modsign_key *k);
static inline void modsign_freep(struct modsign_key **k) { modsign_free(*k); }

/* Appends signature and trailer to *bytes (reallocated). The digest is SHA-256. */
int modsign_append(const struct modsign_key *k, uint8_t **bytes, size_t *len, struct err *err) _must_check_;

#endif
