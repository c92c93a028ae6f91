// SPDX-License-Identifier: Apache-2.0
/*
 * oci.c - reference -> manifest -> layer -> bytes. What a registry says is checked against its own
 * digests here, and against our signature by bundle.c.
 */
#include "oci.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "limit.h"
#include "ocidoc.h"

#define AUTH_PATH "/etc/modulus/auth.json"
#define AUTH_MAX_BYTES (64u << 10)
#define MANIFEST_TYPES                                                                                        \
	"Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "       \
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

struct session {
	const struct oci_request *req;
	struct oci_reference ref;
	char *base;  /* "https://host" */
	char *basic; /* "user:password", or NULL */
	char *token; /* once a token server gave one */
	bool use_basic;
	struct err *err;
};

static void session_done(struct session *s)
{
	oci_reference_free(&s->ref);
	free(s->base);
	free(s->basic);
	free(s->token);
}

/* --- credentials --- */

/* No file, or not this host: anonymous. */
static int read_credentials(struct session *s)
{
	const char *path = s->req->credentials ? s->req->credentials : AUTH_PATH;
	_cleanup_close_ int fd = host_root_open(s->req->http->host, path, O_RDONLY);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (fd == -ENOENT && !s->req->credentials)
		return 0;
	r = fd < 0 ? fd : read_whole(fd, AUTH_MAX_BYTES, &text, &len);
	if (r < 0)
		return err_set(s->err, -E_BAD_CONFIG, "%s: %s", path, strerror(-r));
	r = oci_parse_credentials(text, len, s->ref.host, &s->basic);
	if (r == -EBADMSG)
		return err_set(s->err, -E_BAD_CONFIG, "%s: not docker's auth.json", path);
	return r < 0 ? err_sys(s->err, r, "%s", path) : 0;
}

static int get_token(struct session *s, const char *challenge)
{
	_cleanup_free_ char *url = NULL, *text = NULL;
	struct http_request req = { .basic = s->basic };
	int shown, r = oci_token_url(challenge, s->ref.host, &url, s->err);
	size_t len;

	if (r < 0)
		return r;
	shown = (int)MIN(strcspn(url, "?"), (size_t)80);
	req.url = url;
	r = http_get(s->req->http, &req, LIMIT_OCI_DOCUMENT_BYTES, &text, &len, NULL, s->err);
	if (r < 0)
		return err_prefix(s->err, "token from %.*s", shown, url), r == -E_NO_BUNDLE ? s->err->code = -E_NETWORK : r;
	r = oci_parse_token(text, len, &s->token);
	if (r == -EBADMSG)
		return err_set(s->err, -E_NETWORK, "%.*s gave no token", shown, url);
	return r < 0 ? err_sys(s->err, r, "oci") : 0;
}

/* After a 401: 0 when another try makes sense. */
static int authenticate(struct session *s, const char *challenge)
{
	if (strncasecmp(challenge, "Bearer ", 7) == 0 && !s->token)
		return get_token(s, challenge + 7);
	if (strncasecmp(challenge, "Basic", 5) == 0 && s->basic && !s->use_basic) {
		s->use_basic = true;
		return 0;
	}
	return err_set(s->err, -E_NETWORK, "%s refuses %s", s->ref.host,
		       s->basic ? "the credentials that we have" : "anonymous access, and there are no credentials");
}

/* --- requests --- */

static int open_url(struct session *s, const char *url, const struct strv *headers, struct reader **ret)
{
	for (int round = 0;; round++) {
		const struct http_request req = { .url = url, .headers = headers, .bearer = s->token,
						  .basic = s->use_basic ? s->basic : NULL };
		struct http_answer answer = { 0 };
		int r = http_open(s->req->http, &req, ret, &answer, s->err);

		if (r == 0 || answer.status != 401 || round == 2)
			return r;
		r = authenticate(s, answer.challenge);
		if (r < 0)
			return r;
	}
}

static int check_digest(struct session *s, const char *what, const char *text, size_t len, const char *digest)
{
	uint8_t sum[32];
	char hex[65];

	if (EVP_Digest(text, len, sum, NULL, EVP_sha256(), NULL) != 1)
		return err_sys(s->err, -ENOMEM, "SHA-256");
	hex_encode(sum, sizeof(sum), hex);
	return streq(hex, digest + strlen("sha256:")) ? 0 :
							err_set(s->err, -E_CORRUPT, "%s does not have its digest", what);
}

/* The document that a tag or digest stands for; text: LIMIT_OCI_DOCUMENT_BYTES + 1 at least. */
static int get_document(struct session *s, const char *reference, char *text, size_t *ret_len)
{
	_cleanup_free_ char *url = str_printf("%s/v2/%s/manifests/%s", s->base, s->ref.repository, reference);
	_cleanup_strv_ struct strv headers = { 0 };
	_cleanup_reader_ struct reader *reader = NULL;
	ssize_t n;
	int r;

	if (!url || strv_add(&headers, MANIFEST_TYPES) < 0)
		return err_sys(s->err, -ENOMEM, "oci");
	r = open_url(s, url, &headers, &reader);
	if (r < 0)
		return r;
	n = reader_read_full(reader, text, LIMIT_OCI_DOCUMENT_BYTES + 1);
	if (n < 0) {
		*s->err = reader->why;
		return (int)n;
	}
	if (n > (ssize_t)LIMIT_OCI_DOCUMENT_BYTES)
		return err_set(s->err, -E_NETWORK, "a manifest of more than %u bytes", LIMIT_OCI_DOCUMENT_BYTES);
	*ret_len = (size_t)n;
	return oci_is_digest(reference) ? check_digest(s, "the manifest", text, (size_t)n, reference) : 0;
}

/* The digest of the bundle's layer, by way of an index where there is one. */
static int find_layer(struct session *s, char ret[OCI_DIGEST_BYTES])
{
	_cleanup_free_ char *text = malloc(LIMIT_OCI_DOCUMENT_BYTES + 1);
	const char *reference = s->ref.tag;
	size_t len = 0;
	int r;

	if (!text)
		return err_sys(s->err, -ENOMEM, "oci");
	for (int documents = 0; documents < 2; documents++) {
		r = get_document(s, reference, text, &len);
		if (r == 0)
			r = oci_parse_document(text, len, s->req->machine, ret, s->err);
		if (r <= 0)
			return r;
		reference = ret;
	}
	return err_set(s->err, -E_NO_BUNDLE, "an index in an index");
}

/* --- a reader that checks a digest --- */

struct digest_reader {
	struct reader base;
	struct reader *inner;
	EVP_MD_CTX *sha256;
	char expected[65];
	bool checked;
};

static ssize_t digest_read(struct reader *r, void *buf, size_t len)
{
	struct digest_reader *d = (struct digest_reader *)r;
	ssize_t n = d->inner->ops->read(d->inner, buf, len);
	uint8_t sum[32];
	char hex[65];

	if (n < 0) {
		r->why = d->inner->why;
		return n;
	}
	if (n > 0)
		return EVP_DigestUpdate(d->sha256, buf, (size_t)n) == 1 ? n : -ENOMEM;
	if (!d->checked) {
		if (EVP_DigestFinal_ex(d->sha256, sum, NULL) != 1)
			return -ENOMEM;
		hex_encode(sum, sizeof(sum), hex);
		d->checked = true;
		if (!streq(hex, d->expected))
			return err_set(&r->why, -E_CORRUPT, "the layer does not have its digest");
	}
	return 0;
}

static int digest_skip(struct reader *r, const void *have, size_t len)
{
	struct digest_reader *d = (struct digest_reader *)r;
	int q = d->inner->ops->skip(d->inner, have, len);

	if (q < 0)
		return q;
	return EVP_DigestUpdate(d->sha256, have, len) == 1 ? 0 : -ENOMEM;
}

static void digest_close(struct reader *r)
{
	struct digest_reader *d = (struct digest_reader *)r;

	reader_close(d->inner);
	EVP_MD_CTX_free(d->sha256);
	free(d);
}

static const struct reader_ops digest_ops = { .read = digest_read, .skip = digest_skip, .close = digest_close };

/* Takes inner in every case. */
static int digest_reader_new(struct reader *inner, const char *digest, struct reader **ret)
{
	struct digest_reader *d = calloc(1, sizeof(*d));

	if (!d) {
		reader_close(inner);
		return -ENOMEM;
	}
	d->base.ops = &digest_ops;
	d->inner = inner;
	d->sha256 = EVP_MD_CTX_new();
	snprintf(d->expected, sizeof(d->expected), "%s", digest + strlen("sha256:"));
	if (!d->sha256 || EVP_DigestInit_ex(d->sha256, EVP_sha256(), NULL) != 1) {
		digest_close(&d->base);
		return -ENOMEM;
	}
	*ret = &d->base;
	return 0;
}

int oci_open(const struct oci_request *req, struct reader **ret, char ret_layer[OCI_DIGEST_BYTES], struct err *err)
{
	_cleanup_(session_done) struct session s = { .req = req, .err = err };
	_cleanup_free_ char *url = NULL;
	char layer[OCI_DIGEST_BYTES];
	struct reader *blob;
	int r;

	r = oci_parse_reference(req->reference, &s.ref, err);
	if (r < 0)
		return r;
	s.base = str_printf("%s://%s", oci_is_local(s.ref.host) ? "http" : "https", s.ref.host);
	if (!s.base)
		return err_sys(err, -ENOMEM, "oci");
	r = read_credentials(&s);
	if (r == 0)
		r = find_layer(&s, layer);
	if (r < 0)
		return r;
	if (req->known && streq(req->known, layer))
		return err_set(err, -EALREADY, "has not changed");
	url = str_printf("%s/v2/%s/blobs/%s", s.base, s.ref.repository, layer);
	if (!url)
		return err_sys(err, -ENOMEM, "oci");
	r = open_url(&s, url, NULL, &blob);
	if (r == 0 && digest_reader_new(blob, layer, ret) < 0)
		r = err_sys(err, -ENOMEM, "oci");
	if (r == 0)
		memcpy(ret_layer, layer, sizeof(layer));
	return r;
}
