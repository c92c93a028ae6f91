// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_oci.c - what a registry says, and addresses made from a template. The bytes are a JSON
 * document (index, manifest, token, auth.json), a challenge that begins with its scheme, or lines:
 * a template of From=, then a driver's version, its flavour and the kernel's release. Where a
 * request would go is asked of libcurl, which decides it in the end.
 */
#include <arpa/inet.h>
#include <curl/curl.h>

#include "fuzz.h"
#include "httphead.h"
#include "limit.h"
#include "ocidoc.h"
#include "template.h"

static char registry[] = "registry.example";

/* Does libcurl go to this machine for it? True also for what it would not take. */
static bool goes_nowhere_else(const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL;
	struct in_addr a;
	bool here = true;

	must(u);
	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		here = streq(host, "localhost") || streq(host, "[::1]") ||
		       (inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
	curl_free(host);
	curl_url_cleanup(u);
	return here;
}

static void fuzz_document(const char *text, size_t len)
{
	static const char *const machines[] = { "x86_64", "aarch64", "riscv64" };
	_cleanup_free_ char *token = NULL, *basic = NULL;
	char digest[OCI_DIGEST_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		struct err err = { 0 };
		int r = fuzz_outcome(oci_parse_document(text, len, machines[i], digest, &err), &err);

		must(r >= 0 ? r <= 1 && oci_is_digest(digest) : r == -E_NO_BUNDLE || r == -E_NETWORK);
		fuzz_count_text(err.text);
	}
	if (oci_parse_token(text, len, &token) == 0)
		must(*token && fuzz_is_printable(token) && !strpbrk(token, " :\"\\"));
	if (oci_parse_credentials(text, len, registry, &basic) == 0 && basic)
		must(strchr(basic, ':'));
}

/* By way of a header, as all of them come. */
static void fuzz_challenge(const char *text)
{
	_cleanup_free_ char *line = str_printf("WWW-Authenticate: %s\r\n", text), *url = NULL;
	struct http_head h = { 0 };
	struct err err = { 0 };
	const char *rest;

	must(line);
	if (!http_head_line(&h, line, strlen(line)) || !str_prefix(h.challenge, "Bearer ", &rest))
		return;
	if (fuzz_outcome(oci_token_url(rest, registry, &url, &err), &err) < 0)
		return;
	must(fuzz_is_printable(url) && strstr(url, "service=") && strstr(url, "&scope="));
	must(str_prefix(url, "https://", NULL) || (str_prefix(url, "http://", NULL) && goes_nowhere_else(url)));
}

static void check_reference(const char *text)
{
	struct oci_reference r = { 0 }, again = { 0 };
	_cleanup_free_ char *same = NULL, *url = NULL;
	struct err err = { 0 };

	if (fuzz_outcome(oci_parse_reference(text, &r, &err), &err) < 0)
		return;
	must(*r.host && !strpbrk(r.host, "/@?#%\\ ") && *r.repository && !strpbrk(r.repository, "@?#%\\: "));
	same = str_printf("%s/%s%c%s", r.host, r.repository, oci_is_digest(r.tag) ? '@' : ':', r.tag);
	must(same && oci_parse_reference(same, &again, &err) == 0);
	must(streq(r.host, again.host) && streq(r.repository, again.repository) && streq(r.tag, again.tag));
	url = str_printf("http://%s/v2/%s/manifests/%s", r.host, r.repository, r.tag);
	must(url && (!oci_is_local(r.host) || goes_nowhere_else(url)));
	oci_reference_free(&r);
	oci_reference_free(&again);
}

static void fuzz_template(char *text)
{
	char name[] = "gpu", empty[] = "", *save = NULL, *line = strtok_r(text, "\n", &save), *rest;
	struct driver driver = { .name = name, .version = empty };
	struct kernel kernel = { .machine = "x86_64" };
	struct source_request req = { .driver = &driver, .kernel = &kernel, .kind = KIND_MODULES };

	rest = strtok_r(NULL, "\n", &save);
	driver.version = rest ? rest : empty;
	req.flavor = strtok_r(NULL, "\n", &save);
	rest = strtok_r(NULL, "\n", &save);
	snprintf(kernel.release, sizeof(kernel.release), "%s", rest ? rest : "");
	for (int style = TEMPLATE_URL; line && style <= TEMPLATE_OCI; style++) {
		_cleanup_free_ char *whole = NULL, *value = NULL;
		struct err err = { 0 };

		/* nothing of a value is an address's syntax */
		if (fuzz_outcome(template_expand("{version}{flavor}{kernel}", style, &req, &value, &err), &err) == 0)
			must(strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-%~") == strlen(value));
		err = (struct err){ 0 };
		if (fuzz_outcome(template_expand(line, style, &req, &whole, &err), &err) < 0)
			continue;
		must(strlen(whole) < LIMIT_URL_BYTES && !strchr(whole, '{'));
		if (style == TEMPLATE_OCI)
			check_reference(whole);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);

	if (*text == '{' || *text == '[')
		fuzz_document(text, size);
	else if (str_prefix(text, "Bearer ", NULL))
		fuzz_challenge(text);
	else
		fuzz_template(text);
	return 0;
}
