/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.h - pulling one blob from a registry (opencontainers/distribution-spec, "Pull"; tokens as
 * in distribution/distribution, spec/auth/token.md; credentials as docker's auth.json).
 */
#ifndef MODULUS_OCI_H
#define MODULUS_OCI_H

#include "http.h"

#define OCI_BUNDLE_TYPE "application/vnd.modulus.bundle.v1.tar+zstd"

struct oci_request {
	const struct http_settings *http;
	const char *reference;   /* "host[:port]/repo[:tag|@sha256:hex]" */
	const char *machine;     /* as uname -m; chooses in an index of several platforms */
	const char *credentials; /* auth.json below the root; NULL: /etc/modulus/auth.json if it is there */
};

/*
 * The bundle layer of the image as a reader, which ends with -E_CORRUPT when the bytes do not
 * have the digest that the registry named. https, except to this machine itself.
 * -E_BAD_CONFIG: not such a reference; -E_NO_BUNDLE: not there, or an image without a bundle;
 * -E_NETWORK; -E_CORRUPT: a manifest that does not have its digest; -ENOMEM.
 */
int oci_open(const struct oci_request *req, struct reader **ret, struct err *err) _must_check_;

/* A parsed reference; strings are owned. */
struct oci_reference {
	char *host, *repository, *tag; /* tag: "latest", or "sha256:..." */
};

/* Pure. -E_BAD_CONFIG. */
int oci_parse_reference(const char *text, struct oci_reference *ret, struct err *err) _must_check_;
void oci_reference_free(struct oci_reference *r);

/*
 * One parameter of a WWW-Authenticate challenge: Bearer realm="...",service="...". Pure. False:
 * not there, or longer than size.
 */
bool oci_challenge_parameter(const char *challenge, const char *name, char *ret, size_t size);

#endif
