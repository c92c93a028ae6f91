// SPDX-License-Identifier: Apache-2.0
/*
 * httphead.c - header lines -> struct http_head -> whether the body is wanted. Input: what any
 * server on the way says. Holds nothing but what its caller gives; power loss: nothing is on disk.
 */
#include "httphead.h"

#include <strings.h>

#include "limit.h"

static void take_value(char *out, size_t size, const char *value, size_t len)
{
	while (len > 0 && strchr(" \t", *value)) {
		value++;
		len--;
	}
	while (len > 0 && strchr("\r\n \t", value[len - 1]))
		len--;
	escape_text(value, len, out, size);
}

static bool header_is(const char *line, size_t len, const char *name, const char **ret_value, size_t *ret_len)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return false;
	*ret_value = line + n + 1;
	*ret_len = len - n - 1;
	return true;
}

/* RFC 9110, 14.4: "bytes 100-199/200". */
static uint64_t range_begin(const char *range)
{
	char digits[24];
	const char *at;
	uint64_t begin;
	size_t n;

	if (!str_prefix(range, "bytes ", &at))
		return UINT64_MAX;
	n = strspn(at, "0123456789");
	if (n >= sizeof(digits) || at[n] != '-')
		return UINT64_MAX;
	memcpy(digits, at, n);
	digits[n] = '\0';
	return parse_u64(digits, &begin) == 0 ? begin : UINT64_MAX;
}

bool http_head_line(struct http_head *h, const char *line, size_t len)
{
	const char *value;
	size_t value_len;

	h->bytes += len;
	if (h->bytes > LIMIT_HTTP_HEADER_BYTES)
		return false;
	if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new header: after a redirect, say */
		*h = (struct http_head){ .bytes = h->bytes, .range_at = UINT64_MAX };
		return true;
	}
	h->whole = h->whole || (len > 0 && (line[0] == '\r' || line[0] == '\n'));
	if (header_is(line, len, "ETag", &value, &value_len)) {
		take_value(h->etag, sizeof(h->etag), value, value_len);
		if (str_prefix(h->etag, "W/", NULL)) /* RFC 9110, 13.1.5: a weak one is no use here */
			h->etag[0] = '\0';
	} else if (header_is(line, len, "Last-Modified", &value, &value_len)) {
		take_value(h->modified, sizeof(h->modified), value, value_len);
	} else if (header_is(line, len, "Content-Range", &value, &value_len)) {
		char range[64];

		take_value(range, sizeof(range), value, value_len);
		h->range_at = range_begin(range);
	} else if (header_is(line, len, "WWW-Authenticate", &value, &value_len) && !h->challenge[0]) {
		take_value(h->challenge, sizeof(h->challenge), value, value_len);
	} else if (header_is(line, len, "Content-Encoding", &value, &value_len)) {
		take_value(h->encoding, sizeof(h->encoding), value, value_len);
	}
	return true;
}

int http_head_check(const struct http_head *h, long status, struct http_progress *p, struct err *err)
{
	const char *validator = h->etag[0] ? h->etag : h->modified;

	p->skip = 0;
	if (status != 200 && !(status == 206 && p->received > 0))
		return err_set(err, -E_NETWORK, "status %ld", status);
	if (h->encoding[0] && strcasecmp(h->encoding, "identity") != 0)
		return err_set(err, -E_NETWORK, "the answer is encoded (%s), which was not asked for", h->encoding);
	if (p->received == 0) {
		snprintf(p->validator, sizeof(p->validator), "%s", validator);
		return 0;
	}
	/* RFC 9110, 15.3.7: a part that If-Range asked for repeats the ETag, but need not repeat Last-Modified */
	if (status == 206 && !validator[0] && p->validator[0] != '"')
		validator = p->validator;
	if (!p->validator[0] || !streq(p->validator, validator))
		return err_set(err, -E_NETWORK, "the file changed while it was read");
	if (status == 200)
		p->skip = p->received;
	else if (h->range_at != p->received)
		return err_set(err, -E_NETWORK, "another part of the file than was asked for");
	return 0;
}
