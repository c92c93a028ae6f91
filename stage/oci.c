// SPDX-License-Identifier: Apache-2.0
/*
 * oci.c - reference -> manifest -> layer -> bytes. What a registry says is checked against its own
 * digests here, and against our signature by bundle.c.
 */
#include "oci.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "base64.h"
#include "limit.h"

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

/* --- references --- */

void oci_reference_free(struct oci_reference *r)
{
	free(r->host);
	free(r->repository);
	free(r->tag);
	*r = (struct oci_reference){ 0 };
}

static bool is_digest(const char *s)
{
	const char *hex;

	return str_prefix(s, "sha256:", &hex) && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

int oci_parse_reference(const char *text, struct oci_reference *ret, struct err *err)
{
	const char *slash = strchr(text, '/'), *end, *tag;
	struct oci_reference r = { 0 };
	bool good;

	if (!slash || slash == text)
		return err_set(err, -E_BAD_CONFIG, "oci://%s: not host/repository:tag", text);
	end = strchr(slash, '@');
	if (!end) {
		end = strrchr(slash, ':');
		if (!end)
			end = slash + strlen(slash);
	}
	tag = *end ? end + 1 : "latest";
	r.host = strndup(text, (size_t)(slash - text));
	r.repository = strndup(slash + 1, (size_t)(end - slash - 1));
	r.tag = strdup(tag);
	if (!r.host || !r.repository || !r.tag) {
		oci_reference_free(&r);
		return err_sys(err, -ENOMEM, "oci");
	}
	/* distribution-spec, "Pulling manifests": <name> and <reference> */
	good = r.repository[0] && strspn(r.repository, "abcdefghijklmnopqrstuvwxyz0123456789._-/") == strlen(r.repository) &&
	       strspn(r.host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") == strlen(r.host) &&
	       (*end == '@' ? is_digest(tag) :
			      strlen(tag) > 0 && strlen(tag) <= 128 && strchr(".-", tag[0]) == NULL &&
				      strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
					      strlen(tag));
	if (!good) {
		oci_reference_free(&r);
		return err_set(err, -E_BAD_CONFIG, "oci://%s: not host/repository:tag or host/repository@sha256:...", text);
	}
	*ret = r;
	return 0;
}

/* Docker's rule: a registry on this machine needs no TLS. authority: host[:port], and what may follow it in an address. */
static bool is_local(const char *authority)
{
	size_t len = strcspn(authority, "/?#"), n = strcspn(authority, authority[0] == '[' ? "]" : ":/?#");
	const char *port;
	char host[64];
	struct in_addr a;

	if (authority[0] == '[' && authority[n])
		n++;
	if (n >= sizeof(host))
		return false;
	memcpy(host, authority, n);
	host[n] = '\0';
	port = authority + n;
	if (n < len && (*port != ':' || strspn(port + 1, "0123456789") != len - n - 1)) /* "127.0.0.1:80@elsewhere" */
		return false;
	return streq(host, "localhost") || streq(host, "[::1]") ||
	       (inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
}

/* --- credentials --- */

/* auths.<host>.auth of auth.json, decoded. No file, or not this host: anonymous. */
static int read_credentials(struct session *s)
{
	const char *path = s->req->credentials ? s->req->credentials : AUTH_PATH, *auth;
	_cleanup_close_ int fd = host_root_open(s->req->http->host, path, O_RDONLY);
	_cleanup_free_ char *text = NULL;
	size_t len, size, pad;
	json_t *doc;
	int r;

	if (fd == -ENOENT && !s->req->credentials)
		return 0;
	r = fd < 0 ? fd : read_whole(fd, AUTH_MAX_BYTES, &text, &len);
	if (r < 0)
		return err_set(s->err, -E_BAD_CONFIG, "%s: %s", path, strerror(-r));
	doc = json_loadb(text, len, 0, NULL);
	auth = json_string_value(json_object_get(json_object_get(json_object_get(doc, "auths"), s->ref.host), "auth"));
	if (doc && auth) {
		len = strlen(auth);
		pad = len > 1 && auth[len - 1] == '=' ? (auth[len - 2] == '=' ? 2 : 1) : 0;
		size = len / 4 * 3 - pad;
		s->basic = calloc(1, size + 1);
		if (!s->basic || base64_decode(auth, len, (uint8_t *)s->basic, size) < 0 || !strchr(s->basic, ':')) {
			free(TAKE_PTR(s->basic));
			r = -EINVAL;
		}
	}
	json_decref(doc);
	return !doc || r < 0 ? err_set(s->err, -E_BAD_CONFIG, "%s: not docker's auth.json", path) : 0;
}

bool oci_challenge_parameter(const char *challenge, const char *name, char *ret, size_t size)
{
	size_t n = strlen(name), len;

	for (const char *p = challenge; (p = strstr(p, name)); p += n) {
		const char *value = p + n;

		if ((p != challenge && !strchr(" ,\t", p[-1])) || strncmp(value, "=\"", 2) != 0)
			continue;
		value += 2;
		len = strcspn(value, "\"");
		if (value[len] != '"' || len >= size)
			return false;
		memcpy(ret, value, len);
		ret[len] = '\0';
		return true;
	}
	return false;
}

/* Percent-encodes a query value. */
static char *encode(const char *s)
{
	char *out = malloc(3 * strlen(s) + 1), *p = out;

	for (; out && *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			*p++ = *s;
		else
			p += sprintf(p, "%%%02X", (unsigned char)*s);
	}
	if (out)
		*p = '\0';
	return out;
}

static int get_token(struct session *s, const char *challenge)
{
	char realm[LIMIT_URL_BYTES], service[256] = "", scope[512] = "";
	_cleanup_free_ char *url = NULL, *text = NULL, *e_service = NULL, *e_scope = NULL;
	struct http_request req = { .basic = s->basic };
	const char *token, *rest;
	json_t *doc;
	size_t len;
	int r;

	if (!oci_challenge_parameter(challenge, "realm", realm, sizeof(realm)))
		return err_set(s->err, -E_NETWORK, "%s asks for a token and does not say where", s->ref.host);
	if (!str_prefix(realm, "https://", NULL) && !(str_prefix(realm, "http://", &rest) && is_local(rest)))
		return err_set(s->err, -E_NETWORK, "%s sends us to %.80s for a token, which is not https", s->ref.host,
			       realm);
	(void)oci_challenge_parameter(challenge, "service", service, sizeof(service));
	(void)oci_challenge_parameter(challenge, "scope", scope, sizeof(scope));
	e_service = encode(service);
	e_scope = encode(scope);
	url = e_service && e_scope ? str_printf("%s%sservice=%s&scope=%s", realm, strchr(realm, '?') ? "&" : "?",
						e_service, e_scope) : NULL;
	if (!url)
		return err_sys(s->err, -ENOMEM, "oci");
	req.url = url;
	r = http_get(s->req->http, &req, LIMIT_OCI_DOCUMENT_BYTES, &text, &len, NULL, s->err);
	if (r < 0)
		return err_prefix(s->err, "token from %.80s", realm), r == -E_NO_BUNDLE ? s->err->code = -E_NETWORK : r;
	doc = json_loadb(text, len, 0, NULL);
	token = json_string_value(json_object_get(doc, "token"));
	if (!token)
		token = json_string_value(json_object_get(doc, "access_token"));
	/* RFC 6750, 2.1; anything else would write headers of its own */
	if (token && strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") != strlen(token))
		token = NULL;
	free(s->token);
	s->token = token && *token ? strdup(token) : NULL;
	json_decref(doc);
	return s->token ? 0 : err_set(s->err, -E_NETWORK, "%.80s gave no token", realm);
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

static int get_document(struct session *s, const char *reference, json_t **ret)
{
	_cleanup_free_ char *url = str_printf("%s/v2/%s/manifests/%s", s->base, s->ref.repository, reference);
	_cleanup_free_ char *text = malloc(LIMIT_OCI_DOCUMENT_BYTES + 2);
	_cleanup_strv_ struct strv headers = { 0 };
	_cleanup_reader_ struct reader *reader = NULL;
	ssize_t n;
	int r;

	if (!url || !text || strv_add(&headers, MANIFEST_TYPES) < 0)
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
	if (is_digest(reference)) {
		r = check_digest(s, "the manifest", text, (size_t)n, reference);
		if (r < 0)
			return r;
	}
	*ret = json_loadb(text, (size_t)n, 0, NULL);
	return *ret ? 0 : err_set(s->err, -E_NETWORK, "the manifest is not JSON");
}

/* --- what is in the image --- */

/* Go's names for machines, which the image specification uses. */
static const char *architecture(const char *machine)
{
	static const struct {
		const char *machine, *arch;
	} names[] = { { "x86_64", "amd64" }, { "aarch64", "arm64" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(machine, names[i].machine))
			return names[i].arch;
	return machine;
}

static const char *descriptor_digest(const json_t *descriptor)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));

	return digest && is_digest(digest) ? digest : NULL;
}

/* In an index: the one for our machine, or the only one. */
static const char *choose_platform(const json_t *manifests, const char *machine)
{
	const char *arch = architecture(machine);
	json_t *m;
	size_t i;

	json_array_foreach(manifests, i, m) {
		const char *have =
			json_string_value(json_object_get(json_object_get(m, "platform"), "architecture"));

		if (have && streq(have, arch))
			return descriptor_digest(m);
	}
	return json_array_size(manifests) == 1 ? descriptor_digest(json_array_get(manifests, 0)) : NULL;
}

static int get_manifest(struct session *s, json_t **ret)
{
	json_t *doc, *next;
	const char *digest;
	int r = get_document(s, s->ref.tag, &doc);

	if (r < 0 || !json_is_array(json_object_get(doc, "manifests"))) {
		if (r == 0)
			*ret = doc;
		return r;
	}
	digest = choose_platform(json_object_get(doc, "manifests"), s->req->machine);
	r = digest ? get_document(s, digest, &next) :
		     err_set(s->err, -E_NO_BUNDLE, "the index has no image for %s", s->req->machine);
	json_decref(doc);
	if (r == 0)
		*ret = next;
	return r;
}

static const char *bundle_layer(const json_t *manifest)
{
	const char *found = NULL;
	json_t *layer;
	size_t i;

	json_array_foreach(json_object_get(manifest, "layers"), i, layer) {
		const char *type = json_string_value(json_object_get(layer, "mediaType"));

		if (!type || !streq(type, OCI_BUNDLE_TYPE))
			continue;
		if (found)
			return NULL;
		found = descriptor_digest(layer);
	}
	return found;
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

int oci_open(const struct oci_request *req, struct reader **ret, struct err *err)
{
	_cleanup_(session_done) struct session s = { .req = req, .err = err };
	_cleanup_free_ char *url = NULL;
	struct reader *blob;
	const char *layer;
	json_t *manifest = NULL;
	int r;

	r = oci_parse_reference(req->reference, &s.ref, err);
	if (r < 0)
		return r;
	s.base = str_printf("%s://%s", is_local(s.ref.host) ? "http" : "https", s.ref.host);
	if (!s.base)
		return err_sys(err, -ENOMEM, "oci");
	r = read_credentials(&s);
	if (r == 0)
		r = get_manifest(&s, &manifest);
	if (r < 0)
		return r;
	layer = bundle_layer(manifest);
	if (layer)
		url = str_printf("%s/v2/%s/blobs/%s", s.base, s.ref.repository, layer);
	r = layer ? open_url(&s, url ? url : "", NULL, &blob) :
		    err_set(err, -E_NO_BUNDLE, "the image has not exactly one layer of type " OCI_BUNDLE_TYPE);
	if (r == 0 && digest_reader_new(blob, layer, ret) < 0)
		r = err_sys(err, -ENOMEM, "oci");
	json_decref(manifest);
	return r;
}
