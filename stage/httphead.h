/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httphead.h - what the header of an HTTP answer says, and whether its body is the file that is
 * being read: lines in, a decision out. Pure; no other file reads a line of a server's.
 */
#ifndef MODULUS_HTTPHEAD_H
#define MODULUS_HTTPHEAD_H

#include "err.h"

/* One request's header, over all its answers: of redirects, of a proxy, the last one. All zeroes to begin with. */
struct http_head {
	size_t bytes; /* of all of them */
	bool whole;   /* the empty line that ends the last one was seen */
	/* of the last one; "" when it does not say */
	char etag[256];       /* a strong one */
	char modified[64];    /* Last-Modified */
	char encoding[32];    /* Content-Encoding */
	char challenge[1024]; /* WWW-Authenticate, the first one */
	uint64_t range_at;    /* where Content-Range begins; UINT64_MAX: not said */
};

/* Takes one line with its end. False: more than LIMIT_HTTP_HEADER_BYTES in all. */
bool http_head_line(struct http_head *h, const char *line, size_t len) _must_check_;

/* One file that arrives in the bodies of one or more answers. All zeroes to begin with. */
struct http_progress {
	uint64_t received;   /* bytes that are there */
	uint64_t skip;       /* bytes of the present answer that were there before */
	char validator[256]; /* ETag or Last-Modified of the first answer; "": none */
};

/*
 * Is the body of this answer the file, or what is missing of it? Fills p->validator from the
 * first answer and p->skip from each. -E_NETWORK: no, with a sentence.
 */
int http_head_check(const struct http_head *h, long status, struct http_progress *p, struct err *err) _must_check_;

#endif
