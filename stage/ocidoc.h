/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocidoc.h - the texts of pulling an image: what the operator calls it, where a registry wants a
 * token from, the token, the index, the manifest. Text in, a decision out. Pure; oci.c makes the
 * requests. JSON is not read strictly here: what a registry may say grows, and our signature judges.
 */
#ifndef MODULUS_OCIDOC_H
#define MODULUS_OCIDOC_H

#include "err.h"

#define OCI_BUNDLE_TYPE "application/vnd.modulus.bundle.v1.tar+zstd"

/* "sha256:" and 64 digits */
#define OCI_DIGEST_BYTES 72

/* A parsed reference; strings are owned. */
struct oci_reference {
	char *host, *repository, *tag; /* tag: "latest", or "sha256:..." */
};

/* "host[:port]/repo[:tag|@sha256:hex]". -E_BAD_CONFIG. */
int oci_parse_reference(const char *text, struct oci_reference *ret, struct err *err) _must_check_;
void oci_reference_free(struct oci_reference *r);

/* "sha256:" and 64 lower-case hex digits? */
bool oci_is_digest(const char *s);

/*
 * Docker's rule: a registry on this machine needs no TLS. authority: host[:port], and what may
 * follow it in an address.
 */
bool oci_is_local(const char *authority);

/*
 * One parameter of a WWW-Authenticate challenge: realm="...",service="...". False: not there, or
 * longer than size.
 */
bool oci_challenge_parameter(const char *challenge, const char *name, char *ret, size_t size);

/*
 * The address to get a token from; challenge: what follows "Bearer ". -E_NETWORK: host, which sent
 * it, does not say, or names one that is neither https nor on this machine; -ENOMEM. Caller frees.
 */
int oci_token_url(const char *challenge, const char *host, char **ret, struct err *err) _must_check_;

/* A token server's answer -> a token that is fit for a header. -EBADMSG: none; -ENOMEM. Caller frees. */
int oci_parse_token(const char *text, size_t len, char **ret) _must_check_;

/*
 * Docker's auth.json -> "user:password" for the host, NULL when it has none. -EBADMSG: not such a
 * file; -ENOMEM. Caller frees.
 */
int oci_parse_credentials(const char *text, size_t len, const char *host, char **ret) _must_check_;

/*
 * What a reference led to. 1: an index; ret: the manifest for the machine (as uname -m), or its only
 * one. 0: a manifest; ret: its one layer of type OCI_BUNDLE_TYPE. -E_NO_BUNDLE: has no such;
 * -E_NETWORK: not JSON.
 */
int oci_parse_document(const char *text, size_t len, const char *machine, char ret[OCI_DIGEST_BYTES],
		       struct err *err) _must_check_;

#endif
