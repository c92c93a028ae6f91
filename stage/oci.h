/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.h - pulling one blob from a registry (opencontainers/distribution-spec, "Pull"; tokens as
 * in distribution/distribution, spec/auth/token.md; credentials as docker's auth.json).
 */
#ifndef MODULUS_OCI_H
#define MODULUS_OCI_H

#include "http.h"
#include "ocidoc.h"

struct oci_request {
	const struct http_settings *http;
	const char *reference;   /* "host[:port]/repo[:tag|@sha256:hex]" */
	const char *machine;     /* as uname -m; chooses in an index of several platforms */
	const char *known;       /* the layer that is had already; NULL: none */
	const char *credentials; /* auth.json below the root; NULL: /etc/modulus/auth.json if it is there */
};

/*
 * The bundle layer of the image as a reader, which ends with -E_CORRUPT when the bytes do not
 * have the digest that the registry named, *ret_layer. https, except to this machine itself.
 * -EALREADY: it is the layer that is known; nothing of it was asked for.
 * -E_BAD_CONFIG: not such a reference; -E_NO_BUNDLE: not there, or an image without a bundle;
 * -E_NETWORK; -E_CORRUPT: a manifest that does not have its digest; -ENOMEM.
 */
int oci_open(const struct oci_request *req, struct reader **ret, char ret_layer[OCI_DIGEST_BYTES], struct err *err)
	_must_check_;

#endif
