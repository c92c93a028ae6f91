// SPDX-License-Identifier: Apache-2.0
/*
 * source_oci.c - one bundle as the layer of an image in a registry: oci://host/repo:tag.
 */
#include "asked.h"
#include "oci.h"
#include "source.h"
#include "template.h"

static int oci_source_open(struct source *s, struct err *err)
{
	(void)s;
	(void)err;
	return 0; /* the address is worked out in next(), so that a failure names it */
}

static int oci_source_next(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err)
{
	const struct driver *d = s->req->driver;
	const struct http_settings set = { .host = s->req->host, .ca = d->ca, .proxy = d->proxy,
					   .until_us = s->req->until_us,
					   .retry_until_us = s->req->retry_until_us };
	struct oci_request req = { .http = &set, .machine = s->req->kernel->machine, .credentials = d->credentials };
	_cleanup_free_ char *reference = NULL, *known = NULL;
	char layer[OCI_DIGEST_BYTES];
	const char *text;
	int r;

	if (s->done)
		return 0;
	s->done = true;
	*ret_origin = str_printf("%s:%s", s->ops->scheme, s->location);
	if (!*ret_origin)
		return err_sys(err, -ENOMEM, "source");
	if (!str_prefix(s->location, "//", &text))
		return err_set(err, -E_BAD_CONFIG, "not oci://host/repository:tag");
	r = template_expand(text, TEMPLATE_OCI, s->req, &reference, err);
	if (r < 0)
		return r;
	free(*ret_origin);
	*ret_origin = str_printf("oci://%s", reference);
	if (!*ret_origin)
		return err_sys(err, -ENOMEM, "source");
	req.reference = reference;
	if (s->req->have && asked_tag(s->req->host, *ret_origin, s->req->have, &known) == 0)
		req.known = known;
	r = oci_open(&req, ret_reader, layer, err);
	if (r < 0)
		return r;
	s->address = strdup(*ret_origin);
	s->tag = strdup(layer);
	return 1;
}

static void oci_source_close(struct source *s)
{
	(void)s;
}

const struct source_ops source_oci = {
	.scheme = "oci", .network = true, .open = oci_source_open, .next = oci_source_next, .close = oci_source_close
};
