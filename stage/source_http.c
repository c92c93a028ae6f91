// SPDX-License-Identifier: Apache-2.0
/*
 * source_http.c - one bundle at one address: http://..., https://... . Plain http is fine: what
 * makes a bundle acceptable is its signature.
 */
#include "asked.h"
#include "http.h"
#include "source.h"
#include "template.h"

static int http_source_open(struct source *s, struct err *err)
{
	(void)s;
	(void)err;
	return 0; /* the address is worked out in next(), so that a failure names it */
}

static int http_source_next(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err)
{
	const struct http_settings set = { .host = s->req->host, .ca = s->req->driver->ca,
					   .proxy = s->req->driver->proxy, .until_us = s->req->until_us,
					   .retry_until_us = s->req->retry_until_us };
	_cleanup_free_ char *text = NULL, *url = NULL, *known = NULL;
	_cleanup_strv_ struct strv headers = { 0 };
	struct http_answer answer = { 0 };
	int r;

	if (s->done)
		return 0;
	s->done = true;
	text = str_printf("%s:%s", s->ops->scheme, s->location);
	*ret_origin = text ? source_shown(text) : NULL;
	if (!*ret_origin)
		return err_sys(err, -ENOMEM, "source");
	r = template_expand(text, TEMPLATE_URL, s->req, &url, err);
	if (r < 0)
		return r;
	free(*ret_origin);
	*ret_origin = source_shown(url);
	if (!*ret_origin)
		return err_sys(err, -ENOMEM, "source");
	/* RFC 9110, 13.1.2 */
	if (s->req->have && asked_tag(s->req->host, url, s->req->have, &known) == 0 &&
	    strv_addf(&headers, "If-None-Match: %s", known) < 0)
		return err_sys(err, -ENOMEM, "source");
	r = http_open(&set, &(struct http_request){ .url = url, .headers = &headers }, ret_reader, &answer, err);
	if (r < 0 && known && answer.status == 304)
		return err_set(err, -EALREADY, "has not changed");
	if (r < 0)
		return r;
	s->address = TAKE_PTR(url);
	s->tag = answer.etag[0] ? strdup(answer.etag) : NULL;
	return 1;
}

static void http_source_close(struct source *s)
{
	(void)s;
}

const struct source_ops source_http = {
	.scheme = "http", .network = true, .open = http_source_open, .next = http_source_next, .close = http_source_close
};

const struct source_ops source_https = {
	.scheme = "https", .network = true, .open = http_source_open, .next = http_source_next, .close = http_source_close
};
