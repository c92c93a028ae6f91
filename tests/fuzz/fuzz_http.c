// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_http.c - what a network says. Bytes that begin as an answer are the answers to one file, each
 * a header, an empty line and a body, as a server sends them when the connection breaks. Otherwise
 * they are the kernel's table of routes, or a lease with name servers.
 */
#include <strings.h>

#include "fuzz.h"
#include "httphead.h"
#include "limit.h"
#include "network.h"

/* --- answers --- */

static size_t line_length(const char *text, size_t len)
{
	const char *nl = memchr(text, '\n', len);

	return nl ? (size_t)(nl - text) + 1 : len;
}

static bool begins_answer(const char *text, size_t len)
{
	return len >= 5 && memcmp(text, "HTTP/", 5) == 0;
}

static size_t body_length(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && !begins_answer(text + n, len - n))
		n += line_length(text + n, len - n);
	return n;
}

static void check_head(const struct http_head *h)
{
	must(h->bytes <= LIMIT_HTTP_HEADER_BYTES);
	must(fuzz_is_printable(h->etag) && fuzz_is_printable(h->modified) && fuzz_is_printable(h->encoding));
	must(fuzz_is_printable(h->challenge) && !str_prefix(h->etag, "W/", NULL));
}

/* A range of the head begins there; a number may have zeros in front (RFC 9110: 1*DIGIT). */
static bool range_begins_at(const char *head, size_t len, uint64_t at)
{
	const char *end = head + len, *p = head;
	char digits[40];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%llu-", (unsigned long long)at);

	while ((p = memmem(p, (size_t)(end - p), "bytes ", strlen("bytes ")))) {
		for (p += strlen("bytes "); end - p > (ptrdiff_t)n && *p == '0'; p++)
			;
		if (end - p >= (ptrdiff_t)n && memcmp(p, digits, n) == 0)
			return true;
	}
	return false;
}

/* What was taken is the file from the beginning, or the rest of the same file. */
static void check_taken(const struct http_head *h, const char *head, size_t len, long status, const char *before,
			const struct http_progress *p)
{
	must(status == 200 || status == 206);
	must(!*h->encoding || strcasecmp(h->encoding, "identity") == 0);
	must(streq(p->validator, *h->etag ? h->etag : h->modified));
	must(p->received == 0 ? status == 200 : *p->validator && streq(p->validator, before));
	must(p->skip == (status == 200 ? p->received : 0));
	must(status == 200 || range_begins_at(head, len, p->received));
}

static void fuzz_answers(const char *text, size_t len)
{
	struct http_progress p = { 0 };

	while (len > 0) {
		struct http_head h = { 0 };
		const char *head = text;
		char before[sizeof(p.validator)];
		struct err err = { 0 };
		long status = 0;
		size_t n = 0;

		/* answers on the way to the last one belong to the same request */
		while (len > 0 && (!h.whole || (status >= 300 && status < 400 && begins_answer(text, len)))) {
			n = line_length(text, len);
			if (begins_answer(text, len))
				status = n > 12 ? strtol((const char[]){ text[9], text[10], text[11], '\0' }, NULL, 10) : 0;
			if (!http_head_line(&h, text, n)) {
				must(h.bytes > LIMIT_HTTP_HEADER_BYTES);
				return;
			}
			check_head(&h);
			text += n;
			len -= n;
		}
		memcpy(before, p.validator, sizeof(before));
		n = body_length(text, len);
		if (fuzz_outcome(http_head_check(&h, status, &p, &err), &err) == 0) {
			check_taken(&h, head, (size_t)(text - head), status, before, &p);
			p.received += n - MIN(n, p.skip);
		}
		text += n;
		len -= n;
	}
}

/* --- routes and servers --- */

static const char ipv4_default[] = "\nens3\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
static const char ipv6_default[] = "\n00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
				   "fe800000000000000000000000000002 00000400 00000001 00000000 00000003     ens3\n";

static void fuzz_routes(const char *text)
{
	_cleanup_free_ char *more4 = str_printf("%s%s", text, ipv4_default), *more6 = str_printf("%s%s", text, ipv6_default);

	/* every line counts for itself, whatever the others are */
	must(more4 && more6 && network_has_default_route(more4, text) && network_has_default_route("", more6));
	if (network_has_default_route(text, ""))
		must(strchr(text, '\n') && strchr(text, '0'));
	if (network_has_default_route("", text))
		must(strstr(text, "00000000000000000000000000000000 00 "));
}

static void fuzz_lease(const char *text)
{
	_cleanup_strv_ struct strv servers = { 0 };
	_cleanup_free_ char *resolver = NULL;
	size_t n = 0;

	must(network_lease_servers(text, &servers) == 0);
	resolver = network_resolver_text(&servers);
	must(resolver && network_names_a_server(resolver) == (servers.n > 0));
	for (const char *line = resolver; *line; line = strchr(line, '\n') + 1, n++) {
		must(str_prefix(line, "nameserver ", &line) && strcspn(line, " \t\n") > 0);
		must(line[strcspn(line, " \t\n")] == '\n');
	}
	must(n == MIN(servers.n, (size_t)3));
	(void)network_names_a_server(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);

	if (begins_answer(text, size)) {
		fuzz_answers(text, size);
	} else {
		fuzz_routes(text);
		fuzz_lease(text);
	}
	return 0;
}
