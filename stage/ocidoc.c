// SPDX-License-Identifier: Apache-2.0
/*
 * ocidoc.c - reference, challenge, token, credentials, index and manifest as text. Input: the
 * operator's words and those of any server that a registry sends us to.
 */
#include "ocidoc.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <jansson.h>

#include "base64.h"
#include "limit.h"

/* --- references --- */

void oci_reference_free(struct oci_reference *r)
{
	free(r->host);
	free(r->repository);
	free(r->tag);
	*r = (struct oci_reference){ 0 };
}

bool oci_is_digest(const char *s)
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
	       (*end == '@' ? oci_is_digest(tag) :
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

bool oci_is_local(const char *authority)
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

/* --- who may read --- */

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

int oci_token_url(const char *challenge, const char *host, char **ret, struct err *err)
{
	char realm[LIMIT_URL_BYTES], service[256] = "", scope[512] = "";
	_cleanup_free_ char *e_service = NULL, *e_scope = NULL;
	const char *rest;

	if (!oci_challenge_parameter(challenge, "realm", realm, sizeof(realm)))
		return err_set(err, -E_NETWORK, "%s asks for a token and does not say where", host);
	if (!str_prefix(realm, "https://", NULL) && !(str_prefix(realm, "http://", &rest) && oci_is_local(rest)))
		return err_set(err, -E_NETWORK, "%s sends us to %.80s for a token, which is not https", host, realm);
	(void)oci_challenge_parameter(challenge, "service", service, sizeof(service));
	(void)oci_challenge_parameter(challenge, "scope", scope, sizeof(scope));
	e_service = encode(service);
	e_scope = encode(scope);
	if (e_service && e_scope)
		*ret = str_printf("%s%sservice=%s&scope=%s", realm, strchr(realm, '?') ? "&" : "?", e_service, e_scope);
	return e_service && e_scope && *ret ? 0 : err_sys(err, -ENOMEM, "oci");
}

int oci_parse_token(const char *text, size_t len, char **ret)
{
	json_t *doc = json_loadb(text, len, 0, NULL);
	const char *token = json_string_value(json_object_get(doc, "token"));
	int r = -EBADMSG;

	if (!token)
		token = json_string_value(json_object_get(doc, "access_token"));
	/* RFC 6750, 2.1; anything else would write headers of its own */
	if (token && *token &&
	    strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == strlen(token)) {
		*ret = strdup(token);
		r = *ret ? 0 : -ENOMEM;
	}
	json_decref(doc);
	return r;
}

/* "dXNlcjpwYXNz" -> "user:pass" */
static int decode_credentials(const char *auth, char **ret)
{
	size_t len = strlen(auth), pad = 0, size;
	_cleanup_free_ char *text = NULL;

	if (len == 0 || len % 4 != 0)
		return -EBADMSG;
	while (pad < 2 && auth[len - 1 - pad] == '=')
		pad++;
	size = len / 4 * 3 - pad;
	text = calloc(1, size + 1);
	if (!text)
		return -ENOMEM;
	if (base64_decode(auth, len, (uint8_t *)text, size) < 0 || strlen(text) != size || !strchr(text, ':'))
		return -EBADMSG;
	*ret = TAKE_PTR(text);
	return 0;
}

int oci_parse_credentials(const char *text, size_t len, const char *host, char **ret)
{
	json_t *doc = json_loadb(text, len, 0, NULL);
	const char *auth =
		json_string_value(json_object_get(json_object_get(json_object_get(doc, "auths"), host), "auth"));
	int r = doc ? 0 : -EBADMSG;

	if (auth)
		r = decode_credentials(auth, ret);
	else if (doc)
		*ret = NULL;
	json_decref(doc);
	return r;
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

	return digest && oci_is_digest(digest) ? digest : NULL;
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

static const char *bundle_layer(const json_t *manifest)
{
	const json_t *found = NULL;
	json_t *layer;
	size_t i;

	json_array_foreach(json_object_get(manifest, "layers"), i, layer) {
		const char *type = json_string_value(json_object_get(layer, "mediaType"));

		if (!type || !streq(type, OCI_BUNDLE_TYPE))
			continue;
		if (found)
			return NULL;
		found = layer;
	}
	return descriptor_digest(found);
}

int oci_parse_document(const char *text, size_t len, const char *machine, char ret[OCI_DIGEST_BYTES], struct err *err)
{
	json_t *doc = json_loadb(text, len, 0, NULL), *manifests;
	const char *digest;
	int r;

	if (!doc)
		return err_set(err, -E_NETWORK, "the manifest is not JSON");
	manifests = json_object_get(doc, "manifests");
	if (json_is_array(manifests)) {
		digest = choose_platform(manifests, machine);
		r = digest ? 1 : err_set(err, -E_NO_BUNDLE, "the index has no image for %s", machine);
	} else {
		digest = bundle_layer(doc);
		r = digest ? 0 :
			     err_set(err, -E_NO_BUNDLE, "the image has not exactly one layer of type " OCI_BUNDLE_TYPE);
	}
	if (digest)
		snprintf(ret, OCI_DIGEST_BYTES, "%s", digest);
	json_decref(doc);
	return r;
}
