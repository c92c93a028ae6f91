// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "ocidoc.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct {
	const char *text, *host, *repository, *tag; /* host NULL: refused */
} references[] = {
	{ "host/repo", "host", "repo", "latest" },
	{ "host:5000/a/b_c-d.e:1.0-6.1", "host:5000", "a/b_c-d.e", "1.0-6.1" },
	{ "[::1]:5000/repo:x", "[::1]:5000", "repo", "x" },
	{ "host/repo@sha256:" HEX_A, "host", "repo", "sha256:" HEX_A },
	{ "host", NULL, NULL, NULL },
	{ "/repo", NULL, NULL, NULL },
	{ "host/", NULL, NULL, NULL },
	{ "host/Repo", NULL, NULL, NULL },
	{ "user@host/repo", NULL, NULL, NULL },
	{ "host/repo:", NULL, NULL, NULL },
	{ "host/repo:.x", NULL, NULL, NULL },
	{ "host/repo:a b", NULL, NULL, NULL },
	{ "host/repo@sha256:aa", NULL, NULL, NULL },
	{ "host/repo@sha512:" HEX_A, NULL, NULL, NULL },
	{ "host/repo?x=y", NULL, NULL, NULL },
};

static void test_references(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(references); i++) {
		struct oci_reference r = { 0 };
		struct err err;
		int got = oci_parse_reference(references[i].text, &r, &err);

		assert_case(references[i].text, got == (references[i].host ? 0 : -E_BAD_CONFIG));
		if (got == 0) {
			assert_string_equal(r.host, references[i].host);
			assert_string_equal(r.repository, references[i].repository);
			assert_string_equal(r.tag, references[i].tag);
		}
		oci_reference_free(&r);
	}
}

static void test_a_tag_has_128_bytes_at_most(void **state)
{
	char text[] = "host/repo:ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
		      "tttttttttttttttttttttttttttttttttttttt";
	struct oci_reference r = { 0 };

	(void)state;
	assert_int_equal(strlen(text), 10 + 129);
	assert_int_equal(oci_parse_reference(text, &r, NULL), -E_BAD_CONFIG);
	text[10 + 128] = '\0';
	assert_int_equal(oci_parse_reference(text, &r, NULL), 0);
	oci_reference_free(&r);
}

static const struct {
	const char *authority;
	bool local;
} authorities[] = {
	{ "localhost", true },		 { "localhost:5000", true },	   { "127.0.0.1/x:y@z", true },
	{ "127.255.1.2:1", true },	 { "[::1]", true },		   { "[::1]:5000/v2", true },
	{ "localhost.example", false },	 { "localhost@example", false },   { "localhost:1@example", false },
	{ "127.0.0.1:80@example", false }, { "127.0.0.1@example", false }, { "127.0.0.1.example", false },
	{ "[::1]@example", false },	 { "[::1]x", false },		   { "[::2]", false },
	{ "127.1", false },		 { "128.0.0.1", false },	   { "", false },
	{ "[", false },			 { "[::1", false },		   { "localhost\\@example", false },
};

static void test_which_host_is_this_machine(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(authorities); i++)
		assert_case(authorities[i].authority, oci_is_local(authorities[i].authority) == authorities[i].local);
}

static const struct {
	const char *challenge, *url; /* NULL: refused */
} challenges[] = {
	{ "realm=\"https://auth.example/token\",service=\"a b\",scope=\"repository:x:pull\"",
	  "https://auth.example/token?service=a%20b&scope=repository%3Ax%3Apull" },
	{ "service=\"s\", realm=\"https://a/?x=y\"", "https://a/?x=y&service=s&scope=" },
	{ "realm=\"http://127.0.0.1:5001/token\"", "http://127.0.0.1:5001/token?service=&scope=" },
	{ "realm=\"http://auth.example/token\"", NULL },
	{ "realm=\"http://127.0.0.1@auth.example/token\"", NULL },
	{ "realm=\"file:///etc/passwd\"", NULL },
	{ "realm=https://auth.example", NULL },
	{ "realm=\"https://auth.example", NULL },
	{ "xrealm=\"https://auth.example\"", NULL },
	{ "", NULL },
};

static void test_where_a_token_is_asked_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(challenges); i++) {
		_cleanup_free_ char *url = NULL;
		struct err err;
		int r = oci_token_url(challenges[i].challenge, "host", &url, &err);

		assert_case(challenges[i].challenge, r == (challenges[i].url ? 0 : -E_NETWORK));
		if (r == 0)
			assert_string_equal(url, challenges[i].url);
	}
}

static void test_a_parameter_that_does_not_fit_is_none(void **state)
{
	char out[4] = "";

	(void)state;
	assert_true(oci_challenge_parameter("a=\"123\"", "a", out, sizeof(out)));
	assert_string_equal(out, "123");
	assert_false(oci_challenge_parameter("a=\"1234\"", "a", out, sizeof(out)));
}

static const struct {
	const char *text, *token; /* NULL: none */
} tokens[] = {
	{ "{\"token\":\"abc-._~+/=\"}", "abc-._~+/=" },
	{ "{\"access_token\":\"x\"}", "x" },
	{ "{\"token\":\"x\",\"access_token\":\"y\"}", "x" },
	{ "{\"token\":\"\"}", NULL },
	{ "{\"token\":\"a b\"}", NULL },
	{ "{\"token\":\"a\\r\\nX: y\"}", NULL },
	{ "{\"token\":1}", NULL },
	{ "[\"token\"]", NULL },
	{ "token", NULL },
	{ "", NULL },
};

static void test_tokens(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		_cleanup_free_ char *token = NULL;
		int r = oci_parse_token(tokens[i].text, strlen(tokens[i].text), &token);

		assert_case(tokens[i].text, r == (tokens[i].token ? 0 : -EBADMSG));
		if (r == 0)
			assert_string_equal(token, tokens[i].token);
	}
}

static const struct {
	const char *auth, *basic; /* NULL: not such a file */
} credentials[] = {
	{ "dXNlcjpwYXNz", "user:pass" }, { "dTo=", "u:" }, { "dTpwIQ==", "u:p!" }, { "dXNlcg==", NULL },
	{ "", NULL },			 { "=", NULL },	   { "==", NULL },	    { "====", NULL },
	{ "dTo", NULL },		 { "dT o=", NULL }, { "dTo=dTo=", NULL },   { "dToA", NULL },
};

static void test_credentials_of_a_host(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(credentials); i++) {
		_cleanup_free_ char *text = str_printf("{\"auths\":{\"host\":{\"auth\":\"%s\"}}}", credentials[i].auth);
		_cleanup_free_ char *basic = NULL, *other = NULL;
		int r = oci_parse_credentials(text, strlen(text), "host", &basic);

		assert_case(credentials[i].auth, r == (credentials[i].basic ? 0 : -EBADMSG));
		if (r == 0)
			assert_string_equal(basic, credentials[i].basic);
		assert_int_equal(oci_parse_credentials(text, strlen(text), "host:80", &other), 0);
		assert_null(other);
	}
}

static void test_a_file_of_credentials_that_is_none(void **state)
{
	_cleanup_free_ char *basic = NULL;

	(void)state;
	assert_int_equal(oci_parse_credentials("auths", 5, "host", &basic), -EBADMSG);
	assert_int_equal(oci_parse_credentials("{}", 2, "host", &basic), 0);
	assert_null(basic);
}

#define LAYER(type, digest) "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\"}"
#define IMAGE(layers) "{\"layers\":[" layers "]}"
#define PLATFORM(arch, digest) "{\"platform\":{\"architecture\":\"" arch "\"},\"digest\":\"" digest "\"}"
#define INDEX(manifests) "{\"manifests\":[" manifests "]}"
#define A "sha256:" HEX_A
#define B "sha256:" HEX_B

static const struct {
	const char *text;
	int code;
	const char *digest;
} documents[] = {
	{ IMAGE(LAYER(OCI_BUNDLE_TYPE, A)), 0, A },
	{ IMAGE(LAYER("other", B) "," LAYER(OCI_BUNDLE_TYPE, A)), 0, A },
	{ IMAGE(LAYER(OCI_BUNDLE_TYPE, A) "," LAYER(OCI_BUNDLE_TYPE, B)), -E_NO_BUNDLE, NULL },
	{ IMAGE(LAYER(OCI_BUNDLE_TYPE, "sha256:a") "," LAYER(OCI_BUNDLE_TYPE, B)), -E_NO_BUNDLE, NULL },
	{ IMAGE(LAYER(OCI_BUNDLE_TYPE, "sha256:a")), -E_NO_BUNDLE, NULL },
	{ IMAGE(""), -E_NO_BUNDLE, NULL },
	{ INDEX(PLATFORM("amd64", A) "," PLATFORM("arm64", B)), 1, A },
	{ INDEX(PLATFORM("arm64", B) "," PLATFORM("amd64", A)), 1, A },
	{ INDEX(PLATFORM("arm64", B)), 1, B },
	{ INDEX(PLATFORM("arm64", B) "," PLATFORM("s390x", A)), -E_NO_BUNDLE, NULL },
	{ INDEX(PLATFORM("amd64", "md5:a")), -E_NO_BUNDLE, NULL },
	{ INDEX(""), -E_NO_BUNDLE, NULL },
	{ "{\"manifests\":{}}", -E_NO_BUNDLE, NULL },
	{ "[]", -E_NO_BUNDLE, NULL },
	{ "{", -E_NETWORK, NULL },
	{ "", -E_NETWORK, NULL },
};

static void test_what_a_document_leads_to(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
		char digest[OCI_DIGEST_BYTES] = "";
		struct err err;

		assert_case(documents[i].text, oci_parse_document(documents[i].text, strlen(documents[i].text), "x86_64", digest,
								  &err) == documents[i].code);
		assert_string_equal(digest, documents[i].digest ? documents[i].digest : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_a_tag_has_128_bytes_at_most),
		cmocka_unit_test(test_which_host_is_this_machine),
		cmocka_unit_test(test_where_a_token_is_asked_for),
		cmocka_unit_test(test_a_parameter_that_does_not_fit_is_none),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_credentials_of_a_host),
		cmocka_unit_test(test_a_file_of_credentials_that_is_none),
		cmocka_unit_test(test_what_a_document_leads_to),
	};

	return cmocka_run_group_tests_name("ocidoc", tests, NULL, NULL);
}
