// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_trust.c - the text of signatures and of a public key. Over a fixed message, with one key
 * that is known and one that is revoked, nothing is accepted but signatures, among them one that
 * the known key made, its trusted comment unchanged.
 */
#include "fuzz.h"
#include "limit.h"

/* Made once with minisign; the secret key was thrown away. */
static const char known_key[] = "untrusted comment: minisign public key\n"
				"RWQ0H2tZ6zynqwlbsL5s8O2wfLPK2T3N83mGOBMkIUfnkFObVVQIhSKT\n";
static const char *const known_good[] = {
	"RUQ0H2tZ6zynq2Edqnc6D3wvwDYePhDEGCiWgd/4deY8IVBax6XRliCQru1qwfG5smvJENo00gpXWOJqE9iuQHW8hvqT3ztVlQM=\n"
	"trusted comment: one\n"
	"YadRsiIzCoFD+f4zZ10F8kA/rCDXyd90KdloREFEgm52TjDGgJ1Yw+OePfLQYaOUbQURwGplpHCJ+uU92VMrDg==",
	"RWQ0H2tZ6zynqzttFNiT+8ULpmPpQBqVMDETrmXyOh6DQdkYb6tV7qdoxpdin+JdZsN+o2hshr3OqxGUAcme7tglZfh7PupEwQ4=\n"
	"trusted comment: two\n"
	"gBoW969mtFTpuENH68RF3CQzW/aJODseZqbAXWvR0io+xD0FaB+KjnYRIlPpxDZu4fupowmDX2DFsCG4eQAtBA==",
};
static const char message[] = "a manifest";

static struct keyring ring;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct public_key key;

	(void)argc;
	(void)argv;
	must(trust_parse_public_key(known_key, strlen(known_key), &key) == 0);
	ring.keys = &key;
	ring.n = 1;
	must(strv_add(&ring.revoked, "23A325774E038509") == 0);
	return 0;
}

/* How many signatures the text is; -EINVAL: something else is in it. */
static int check_texts(const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	struct public_key key;
	struct signature s;
	int n = 0, r;

	(void)trust_parse_public_key(text, len, &key);
	while ((r = trust_next_signature(&at, &len, &s)) > 0) {
		must(at > text && at + len == end);
		must(s.trusted_comment > text && s.trusted_comment + s.trusted_comment_len < end);
		must(!memchr(s.trusted_comment, '\n', s.trusted_comment_len));
		n++;
	}
	must(r < 0 || len == 0);
	return r < 0 ? r : n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = (uint8_t *)strdup(message);
	struct verified *v = NULL;
	struct err err = { 0 };
	bool made = false;
	int n = check_texts((const char *)data, size), r;

	must(bytes);
	r = fuzz_outcome(trust_verify(&ring, bytes, strlen(message), (const char *)data, size, &v, &err), &err);
	must(r == 0 || r == -E_UNTRUSTED || r == -E_CORRUPT);
	if (r < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(known_good); i++)
		made = made || memmem(data, size, known_good[i], strlen(known_good[i]));
	must(n > 0 && n <= (int)LIMIT_SIGNATURES); /* not a good one and something else */
	must(made && strlen(verified_key_id(v)) == TRUST_KEY_ID_HEX - 1);
	verified_free(v);
	return 0;
}
