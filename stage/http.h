/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - one HTTP(S) answer as a reader, by libcurl, with a bound on everything: connecting,
 * headers, rate, redirects, retries, and one deadline over all of it.
 *
 * Nothing that comes this way is believed: what is read is verified by bundle.c. TLS gives
 * confidentiality and the server's identity, the signature gives authenticity.
 */
#ifndef MODULUS_HTTP_H
#define MODULUS_HTTP_H

#include "host.h"
#include "reader.h"

struct http_settings {
	const struct host *host;
	const char *ca;    /* file below the root; NULL: /etc/modulus/ca.pem, or the system's */
	const char *proxy; /* NULL: the environment's (http_proxy, ...) */
	uint64_t until_us; /* CLOCK_BOOTTIME: no attempt goes on after this */
	uint64_t retry_until_us; /* and none but the first begins after this: other sources want time too */
};

struct http_request {
	const char *url;
	const struct strv *headers; /* "Name: value"; may be NULL */
	const char *basic;          /* "user:password"; NULL for none. Never sent to another host */
	const char *bearer;         /* token; likewise */
};

/* What came with the answer. */
struct http_answer {
	long status;
	char challenge[1024]; /* WWW-Authenticate of a 401, the first one */
	char etag[256];       /* a strong one; "": none */
};

/*
 * Requests and waits for the header of a final answer with status 200; its body is what the
 * reader reads. A connection that breaks is taken up again where it broke (Range, If-Range), as
 * long as the file is the same. *ret_answer (may be NULL) is filled also when -E_NETWORK is
 * returned because of a status.
 * -E_NO_BUNDLE: 404 or 410; -E_NETWORK: everything else, with a sentence; -ENOMEM.
 */
int http_open(const struct http_settings *s, const struct http_request *req, struct reader **ret,
	      struct http_answer *ret_answer, struct err *err) _must_check_;

/* A small answer (a token, a manifest) whole. -E_NETWORK when it is larger. Caller frees. */
int http_get(const struct http_settings *s, const struct http_request *req, size_t max_bytes, char **ret,
	     size_t *ret_len, struct http_answer *ret_answer, struct err *err) _must_check_;

#endif
