// SPDX-License-Identifier: Apache-2.0
#include "limit.h"
#include "sample.h"

/* What minisign 0.11 wrote: -G -W; -S; -S -l. Its secret key is gone. */
#define MINISIGN_MESSAGE "{\"format\":1,\"name\":\"virtio-gpu\"}"
static const char minisign_pub[] = "untrusted comment: minisign public key BA5C1E74BE9BE5EC\n"
				   "RWTs5Zu+dB5cuvhOhGc4xhKW71UlICXtDlefFOt93Ne7POs8VZMQPEtp\n";
static const char minisign_prehashed[] =
	"untrusted comment: signature from minisign secret key\n"
	"RUTs5Zu+dB5cuu+45NTbA37zHafCRhC7vlhB09Crgv3UMOYSoyj/xhtsnD0yhEqJMO4TiIQaDUycy//OqQUv43+HOJQRj7JYxw4=\n"
	"trusted comment: made by minisign\n"
	"6W6Q1C0oMTnNw1L2IJIjNFZkqQWWWTLqmdYQMCu+BE1dz65xAKkeePpu8BC7D12WZ96NIXtVnYS24plBUFVsDQ==\n";
static const char minisign_legacy[] =
	"untrusted comment: signature from minisign secret key\n"
	"RWTs5Zu+dB5cugEtaqtJXkOebDlaQe+OdeVERAXIs5yKy8r01CaYAuHZNAuv9DuQBNCIvIr7p6aJLe8ZipaEz3xgiabZOMW8eAM=\n"
	"trusted comment: made by minisign -l\n"
	"ZEFmyp+UrY+6OomtvLWjjnIKphVsg+uVU2YYaPLH3FMVXXL+uUsQ8utUPLxHZ1QQ+P6PefUjJa5ZliUnMqOyBQ==\n";

static const char message[] = "{\"format\":1}";

/* trust_verify() of a copy of the bytes; what it hands out is checked and freed. */
static int verify(const struct keyring *ring, const void *bytes, size_t n, const char *signatures, size_t signatures_n,
		  struct err *err)
{
	uint8_t *copy = malloc(n + 1);
	struct verified *v = NULL;
	size_t got;
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	r = trust_verify(ring, copy, n, signatures, signatures_n, &v, err);
	if (r == 0) {
		assert_memory_equal(verified_bytes(v, &got), bytes, n);
		assert_int_equal(got, n);
		verified_free(v);
	} else {
		assert_null(v);
	}
	return r;
}

static int verify_text(const struct keyring *ring, const char *signatures, struct err *err)
{
	return verify(ring, message, strlen(message), signatures, strlen(signatures), err);
}

static struct keyring minisign_ring(struct public_key *key)
{
	*key = (struct public_key){ 0 };
	assert_int_equal(trust_parse_public_key(minisign_pub, strlen(minisign_pub), key), 0);
	return (struct keyring){ .keys = key, .n = 1 };
}

/* --- signatures that hold --- */

static void test_what_minisign_signs_is_accepted_prehashed_and_legacy(void **state)
{
	static const char *const signatures[] = { minisign_prehashed, minisign_legacy };
	struct public_key key;
	const struct keyring ring = minisign_ring(&key);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		struct err err = { 0 };

		assert_int_equal(verify(&ring, MINISIGN_MESSAGE, strlen(MINISIGN_MESSAGE), signatures[i],
					strlen(signatures[i]), &err),
				 0);
	}
}

static void test_the_key_id_is_written_as_minisign_writes_it(void **state)
{
	struct public_key key = { 0 };
	char id[TRUST_KEY_ID_HEX];

	(void)state;
	(void)minisign_ring(&key);
	trust_key_id_text(key.id, id);
	assert_string_equal(id, "BA5C1E74BE9BE5EC");
}

static void test_what_is_verified_knows_its_digest_and_who_signed(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, "abc", 3, "x");
	uint8_t *bytes = (uint8_t *)strdup("abc");
	struct verified *v;
	char id[TRUST_KEY_ID_HEX];
	struct err err;

	(void)state;
	assert_int_equal(trust_verify(sample_ring(0), bytes, 3, signature, strlen(signature), &v, &err), 0);
	/* FIPS 180-2, appendix B.1 */
	assert_string_equal(verified_digest(v), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	trust_key_id_text(sample_key(0)->id, id);
	assert_string_equal(verified_key_id(v), id);
	verified_free(v);
}

static void test_the_last_line_may_lack_its_newline(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "x");
	struct err err;

	(void)state;
	signature[strlen(signature) - 1] = '\0';
	assert_int_equal(verify_text(sample_ring(0), signature, &err), 0);
}

static void test_an_empty_trusted_comment_is_a_comment(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "");
	struct err err;

	(void)state;
	assert_int_equal(verify_text(sample_ring(0), signature, &err), 0);
}

/* --- signatures that do not --- */

static void test_every_changed_byte_of_the_message_is_noticed(void **state)
{
	static const char *const signatures[] = { minisign_prehashed, minisign_legacy };
	struct public_key key;
	const struct keyring ring = minisign_ring(&key);
	char changed[] = MINISIGN_MESSAGE;
	struct err err;

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(signatures); s++) {
		for (size_t i = 0; i < strlen(MINISIGN_MESSAGE); i++) {
			changed[i] ^= 1;
			assert_int_equal(verify(&ring, changed, strlen(MINISIGN_MESSAGE), signatures[s],
						strlen(signatures[s]), &err),
					 -E_UNTRUSTED);
			changed[i] ^= 1;
		}
		/* and one that is missing, and one too many */
		for (size_t n = strlen(MINISIGN_MESSAGE) - 1; n <= strlen(MINISIGN_MESSAGE) + 1; n += 2)
			assert_int_equal(verify(&ring, changed, n, signatures[s], strlen(signatures[s]), &err),
					 -E_UNTRUSTED);
	}
}

static void test_every_changed_byte_of_the_signature_is_noticed(void **state)
{
	static const char *const signatures[] = { minisign_prehashed, minisign_legacy };
	struct public_key key;
	const struct keyring ring = minisign_ring(&key);

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(signatures); s++) {
		size_t n = strlen(signatures[s]);
		/* the words behind "untrusted comment:" are what they say, and the last newline may be missing */
		size_t free_from = strlen("untrusted comment:"), free_to = strcspn(signatures[s], "\n");

		for (size_t i = 0; i < n - 1; i++) {
			for (unsigned int bit = 0; bit < 8; bit++) {
				_cleanup_free_ char *changed = strdup(signatures[s]);
				struct err err;
				int r;

				changed[i] ^= (char)(1u << bit);
				if (i >= free_from && i < free_to && changed[i] != '\n')
					continue;
				r = verify(&ring, MINISIGN_MESSAGE, strlen(MINISIGN_MESSAGE), changed, n, &err);
				if (r != -E_UNTRUSTED && r != -E_CORRUPT)
					fail_msg("byte %zu bit %u: %d", i, bit, r);
			}
		}
	}
}

static void test_a_signature_cut_at_any_place_is_not_accepted(void **state)
{
	struct public_key key;
	const struct keyring ring = minisign_ring(&key);

	(void)state;
	for (size_t n = 0; n < strlen(minisign_prehashed) - 1; n++) {
		struct err err;
		int r = verify(&ring, MINISIGN_MESSAGE, strlen(MINISIGN_MESSAGE), minisign_prehashed, n, &err);

		if (r != -E_UNTRUSTED && r != -E_CORRUPT)
			fail_msg("cut at %zu: %d", n, r);
	}
}

static void test_a_changed_trusted_comment_is_noticed(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "serial 7");
	struct err err;

	(void)state;
	assert_int_equal(verify_text(sample_ring(0), signature, &err), 0);
	strstr(signature, "serial 7")[strlen("serial ")] = '8';
	assert_int_equal(verify_text(sample_ring(0), signature, &err), -E_UNTRUSTED);
	assert_contains(err.text, "does not hold");
}

static void test_the_algorithm_cannot_be_exchanged(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "x");
	_cleanup_free_ char *legacy = strdup(signature);
	uint8_t prehash[TRUST_PREHASH_BYTES];
	const uint8_t *msg;
	struct err err;
	size_t n;

	(void)state;
	/* "RUQ..." is ED, "RWQ..." is Ed: the prehash itself is offered as the legacy message */
	strchr(legacy, '\n')[2] = 'W';
	assert_int_equal(trust_message(SIGNATURE_PREHASHED, (const uint8_t *)message, strlen(message), prehash, &msg, &n),
			 0);
	assert_int_equal(n, 64);
	assert_int_equal(verify_text(sample_ring(0), legacy, &err), -E_UNTRUSTED);
	/* which is why a legacy signature over 64 chosen bytes says nothing about a longer message */
	assert_int_equal(verify(sample_ring(0), msg, n, legacy, strlen(legacy), &err), 0);
	assert_int_equal(verify(sample_ring(0), msg, n, signature, strlen(signature), &err), -E_UNTRUSTED);
}

static void test_an_unknown_key_is_named(void **state)
{
	_cleanup_free_ char *signature = sample_signature(1, message, strlen(message), "x");
	char id[TRUST_KEY_ID_HEX];
	struct err err;

	(void)state;
	trust_key_id_text(sample_key(1)->id, id);
	assert_int_equal(verify_text(sample_ring(0), signature, &err), -E_UNTRUSTED);
	assert_contains(err.text, "unknown key");
	assert_contains(err.text, id);
}

static void test_a_key_that_only_claims_a_known_id_is_refused(void **state)
{
	struct public_key impostor = sample_ring(0)->keys[0];
	const struct keyring ring = { .keys = &impostor, .n = 1 };
	_cleanup_free_ char *signature = sample_signature(1, message, strlen(message), "x");
	struct err err;

	(void)state;
	/* the ring has key 0 under the id of key 1 */
	memcpy(impostor.id, sample_key(1)->id, sizeof(impostor.id));
	assert_int_equal(verify_text(&ring, signature, &err), -E_UNTRUSTED);
	assert_contains(err.text, "does not hold");
}

static void test_without_keys_nothing_is_trusted_and_the_signer_is_named(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "x");
	const struct keyring none = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(verify_text(&none, signature, &err), -E_UNTRUSTED);
	assert_contains(err.text, "no public key is installed");
}

static void test_without_a_signature_nothing_is_trusted(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(verify_text(sample_ring(0), "", &err), -E_UNTRUSTED);
	assert_string_equal(err.text, "not signed");
}

static void test_what_is_not_a_signature_is_corrupt(void **state)
{
	_cleanup_free_ char *good = sample_signature(1, message, strlen(message), "x");
	static const char *const garbage[] = {
		"hello\n",
		"\n",
		"untrusted comment:\n",
		"untrusted comment: x\nRUQ=\ntrusted comment: x\nAAAA\n",
		"trusted comment: x\n",
		"-----BEGIN PGP SIGNATURE-----\n",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		_cleanup_free_ char *behind = str_printf("%s%s", good, garbage[i]);

		assert_case(garbage[i], verify_text(sample_ring(0), garbage[i], &err) == -E_CORRUPT);
		assert_case(garbage[i], verify_text(sample_ring(0), behind, &err) == -E_CORRUPT);
	}
}

static void test_another_signature_algorithm_is_corrupt(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "x");
	struct err err;

	(void)state;
	strchr(signature, '\n')[1] = 'S'; /* another first letter than 'E' */
	assert_int_equal(verify_text(sample_ring(0), signature, &err), -E_CORRUPT);
}

/* --- several of them --- */

/* Signatures by the keys first..last, one behind the other. */
static char *signatures_by(unsigned int first, unsigned int last)
{
	struct blob all = { 0 };

	for (unsigned int i = first; i <= last; i++) {
		_cleanup_free_ char *one = sample_signature(i, message, strlen(message), "one of many");

		blob_add_text(&all, one);
	}
	return (char *)all.v;
}

static void test_one_good_signature_among_several_is_enough(void **state)
{
	_cleanup_free_ char *three = signatures_by(1, 3);
	struct err err;

	(void)state;
	for (unsigned int i = 0; i <= 4; i++)
		assert_int_equal(verify_text(sample_ring(i), three, &err), i >= 1 && i <= 3 ? 0 : -E_UNTRUSTED);
}

static void test_a_wrong_signature_by_a_known_key_does_not_spoil_another_good_one(void **state)
{
	struct public_key keys[2] = { sample_ring(1)->keys[0], sample_ring(2)->keys[0] };
	const struct keyring ring = { .keys = keys, .n = 2 };
	_cleanup_free_ char *wrong = sample_signature(1, "other", 5, "x"), *good = signatures_by(2, 2);
	_cleanup_free_ char *both = str_printf("%s%s", wrong, good);
	struct err err;

	(void)state;
	assert_int_equal(verify_text(&ring, both, &err), 0);
}

static void test_eight_signatures_are_read_and_nine_refused(void **state)
{
	_cleanup_free_ char *eight = signatures_by(1, 8), *nine = signatures_by(1, 9);
	struct err err;

	(void)state;
	assert_int_equal(LIMIT_SIGNATURES, 8);
	assert_int_equal(verify_text(sample_ring(8), eight, &err), 0);
	assert_int_equal(verify_text(sample_ring(0), eight, &err), -E_UNTRUSTED);
	assert_int_equal(verify_text(sample_ring(9), nine, &err), -E_CORRUPT);
	assert_contains(err.text, "more than 8 signatures");
	assert_int_equal(verify_text(sample_ring(0), nine, &err), -E_CORRUPT);
}

static void test_the_text_of_several_signatures_is_walked_one_by_one(void **state)
{
	_cleanup_free_ char *three = signatures_by(1, 3);
	const char *text = three;
	size_t n = strlen(three);
	struct signature s;

	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(trust_next_signature(&text, &n, &s), 1);
		assert_memory_equal(s.key_id, sample_key(i)->id, TRUST_KEY_ID_BYTES);
		assert_int_equal(s.algorithm, SIGNATURE_PREHASHED);
		assert_int_equal(s.trusted_comment_len, strlen("one of many"));
	}
	assert_int_equal(trust_next_signature(&text, &n, &s), 0);
	assert_int_equal(n, 0);
}

/* --- unverified --- */

static void test_what_is_only_shown_has_no_signer(void **state)
{
	uint8_t *bytes = (uint8_t *)strdup("abc");
	struct verified *v;

	(void)state;
	assert_int_equal(trust_show_unverified(bytes, 3, &v), 0);
	assert_string_equal(verified_key_id(v), "");
	verified_free(v);
	verified_free(NULL);
}

/* --- key files --- */

static void test_public_keys_are_two_lines(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{ minisign_pub, 0 },
		{ "untrusted comment:\nRWTs5Zu+dB5cuvhOhGc4xhKW71UlICXtDlefFOt93Ne7POs8VZMQPEtp", 0 },
		{ "", -EINVAL },
		{ "\n", -EINVAL },
		{ "RWTs5Zu+dB5cuvhOhGc4xhKW71UlICXtDlefFOt93Ne7POs8VZMQPEtp\n", -EINVAL },
		{ "untrusted comment: x\n", -EINVAL },
		{ "untrusted comment: x\n\n", -EINVAL },
		{ "untrusted comment: x\nRWTs5Zu+dB5cuvhOhGc4xhKW71UlICXtDlefFOt93Ne7POs8VZMQPEt\n", -EINVAL },
		{ "untrusted comment: x\nRUTs5Zu+dB5cuvhOhGc4xhKW71UlICXtDlefFOt93Ne7POs8VZMQPEtp\n", -EINVAL },
		{ "untrusted comment: x\nRWTs5Zu+dB5cuvhOhGc4xhKW71UlICXtDlefFOt93Ne7POs8VZMQPEtp\nmore\n", -EINVAL },
		{ minisign_prehashed, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct public_key key;

		assert_case(cases[i].text,
			    trust_parse_public_key(cases[i].text, strlen(cases[i].text), &key) == cases[i].code);
	}
}

static void put_key(const struct place *p, const char *path, unsigned int i)
{
	_cleanup_free_ char *text = sample_public_text(i);

	put_text(p, path, text);
}

static bool ring_has(const struct keyring *ring, unsigned int i)
{
	for (size_t j = 0; j < ring->n; j++)
		if (memcmp(ring->keys[j].id, sample_key(i)->id, TRUST_KEY_ID_BYTES) == 0)
			return true;
	return false;
}

static void test_keys_come_from_etc_and_usr(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	put_key(p, "root/etc/modulus/keys/a.pub", 0);
	put_key(p, "root/usr/lib/modulus/keys/b.pub", 1);
	put_key(p, "root/etc/modulus/keys/c.pub.old", 2);
	put_key(p, "root/etc/modulus/keys/.d.pub", 3);
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_int_equal(ring.n, 2);
	assert_true(ring_has(&ring, 0) && ring_has(&ring, 1));
	assert_string_equal(ring.keys[0].origin, "/etc/modulus/keys/a.pub");
	assert_int_equal(ring.warnings.n, 0);
}

static void test_no_keys_are_an_empty_ring(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_int_equal(ring.n, 0);
}

static void test_a_file_that_is_no_key_is_a_warning_and_the_others_count(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	_cleanup_blob_ struct blob big = { 0 };
	struct place *p = *state;
	struct err err;

	put_text(p, "root/etc/modulus/keys/a.pub", "ssh-ed25519 AAAA\n");
	put_key(p, "root/etc/modulus/keys/b.pub", 0);
	put_dir(p, "root/etc/modulus/keys/c.pub");
	put_link(p, "root/etc/modulus/keys/d.pub", "nowhere");
	blob_fill(&big, 'x', LIMIT_KEY_FILE_BYTES + 1);
	put_blob(p, "root/etc/modulus/keys/e.pub", big.v, big.n);
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_int_equal(ring.n, 1);
	assert_true(ring_has(&ring, 0));
	assert_int_equal(ring.warnings.n, 4);
	assert_string_equal(ring.warnings.v[0], "/etc/modulus/keys/a.pub: not a minisign public key");
	for (size_t i = 1; i < 4; i++)
		assert_contains(ring.warnings.v[i], "/etc/modulus/keys/");
}

static void test_a_linked_key_is_looked_up_inside_the_target_root(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	put_key(p, "root/usr/share/keys/a.pub", 0);
	put_link(p, "root/etc/modulus/keys/a.pub", "/usr/share/keys/a.pub");
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_int_equal(ring.n, 1);
	assert_true(ring_has(&ring, 0));
}

static void test_a_fifo_among_the_keys_does_not_stop_the_boot(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	put_fifo(p, "root/etc/modulus/keys/a.pub");
	put_key(p, "root/etc/modulus/keys/b.pub", 0);
	must_not_block();
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_did_not_block();
	assert_int_equal(ring.n, 1);
	assert_int_equal(ring.warnings.n, 1);
}

static void put_revoked(const struct place *p, const char *dir, unsigned int i)
{
	_cleanup_free_ char *path = str_printf("root%s/revoked", dir), *text = NULL;
	char id[TRUST_KEY_ID_HEX];

	trust_key_id_text(sample_key(i)->id, id);
	text = str_printf("; lost with a laptop\n\n  %s ; and a comment\r\n", id);
	put_text(p, path, text);
}

static void test_a_revoked_key_is_refused_although_its_file_is_there(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, message, strlen(message), "x"), *both = NULL, *other = NULL;
	static const char *const dirs[] = { "/etc/modulus/keys", "/usr/lib/modulus/keys" };
	struct place *p = *state;
	char id[TRUST_KEY_ID_HEX];
	struct err err;

	other = sample_signature(1, message, strlen(message), "x");
	both = str_printf("%s%s", signature, other);
	trust_key_id_text(sample_key(0)->id, id);
	put_key(p, "root/etc/modulus/keys/a.pub", 0);
	put_key(p, "root/etc/modulus/keys/b.pub", 1);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = str_printf("root%s/revoked", dirs[i]);
		_cleanup_keyring_ struct keyring ring = { 0 };

		put_revoked(p, dirs[i], 0);
		assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
		assert_int_equal(ring.warnings.n, 0);
		assert_int_equal(verify_text(&ring, signature, &err), -E_UNTRUSTED);
		assert_contains(err.text, "revoked key");
		assert_contains(err.text, id);
		assert_int_equal(verify_text(&ring, both, &err), 0); /* the other key is as good as before */
		assert_int_equal(unlinkat(p->fd, path, 0), 0);
	}
}

static void test_revoked_ids_are_taken_in_either_case_and_rubbish_is_a_warning(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	put_text(p, "root/etc/modulus/keys/revoked", "ba5c1e74be9be5ec\nBA5C1E74BE9BE5E\nnot\x1bone\nBA5C1E74BE9BE5ED");
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_int_equal(ring.revoked.n, 2);
	assert_string_equal(ring.revoked.v[0], "BA5C1E74BE9BE5EC");
	assert_string_equal(ring.revoked.v[1], "BA5C1E74BE9BE5ED");
	assert_int_equal(ring.warnings.n, 2);
	assert_string_equal(ring.warnings.v[1], "/etc/modulus/keys/revoked: 'not\\x1bone' is not a key id");
}

static void test_rubbish_is_warned_of_up_to_a_limit_and_hides_no_id(void **state)
{
	static const unsigned int counts[] = { LIMIT_WARNINGS - 1, LIMIT_WARNINGS, LIMIT_WARNINGS + 1, 1000 };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_keyring_ struct keyring ring = { 0 };
		_cleanup_blob_ struct blob b = { 0 };
		struct err err;

		for (unsigned int n = 0; n < counts[i]; n++)
			blob_add_text(&b, "x\n");
		blob_add_text(&b, "BA5C1E74BE9BE5EC\n");
		put_blob(p, "root/etc/modulus/keys/revoked", b.v, b.n);
		assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
		assert_int_equal(ring.warnings.n, MIN(counts[i], LIMIT_WARNINGS));
		assert_int_equal(str_suffix(ring.warnings.v[ring.warnings.n - 1], "; no more of these are shown"),
				 counts[i] >= LIMIT_WARNINGS);
		assert_int_equal(ring.revoked.n, 1);
	}
}

static void test_a_list_of_revoked_keys_that_cannot_be_read_trusts_nobody(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	_cleanup_blob_ struct blob big = { 0 };
	struct place *p = *state;
	struct err err;

	put_key(p, "root/usr/lib/modulus/keys/a.pub", 0);
	blob_fill(&big, '\n', LIMIT_REVOKED_BYTES + 1);
	put_blob(p, "root/etc/modulus/keys/revoked", big.v, big.n);
	assert_true(keyring_load(&p->host, false, &ring, &err) < 0);
	assert_true(keyring_load(&p->host, true, &ring, &err) < 0);
	assert_int_equal(ring.n, 0);
	put_blob(p, "root/etc/modulus/keys/revoked", big.v, big.n - 1);
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
}

static void test_nothing_hides_behind_a_nul_byte_in_the_list_of_revoked_keys(void **state)
{
	static const char list[] = "BA5C1E74BE9BE5EC\n\0\nBA5C1E74BE9BE5ED\n";
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;
	int r;

	put_blob(p, "root/etc/modulus/keys/revoked", list, sizeof(list) - 1);
	r = keyring_load(&p->host, false, &ring, &err);
	assert_true(r < 0 || strv_has(&ring.revoked, "BA5C1E74BE9BE5ED"));
}

static void test_the_vendors_ring_has_no_keys_from_etc_but_what_is_revoked_there(void **state)
{
	_cleanup_free_ char *signature = sample_signature(1, message, strlen(message), "x");
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	put_key(p, "root/etc/modulus/keys/a.pub", 0);
	put_key(p, "root/usr/lib/modulus/keys/b.pub", 1);
	assert_int_equal(keyring_load(&p->host, true, &ring, &err), 0);
	assert_int_equal(ring.n, 1);
	assert_true(ring_has(&ring, 1));
	assert_int_equal(verify_text(&ring, signature, &err), 0);
	keyring_free(&ring);
	put_revoked(p, "/etc/modulus/keys", 1);
	assert_int_equal(keyring_load(&p->host, true, &ring, &err), 0);
	assert_int_equal(verify_text(&ring, signature, &err), -E_UNTRUSTED);
}

static void test_64_keys_are_read_and_the_next_is_a_warning(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	struct err err;

	for (unsigned int i = 0; i <= LIMIT_KEYS; i++) {
		_cleanup_free_ char *path = str_printf("root/etc/modulus/keys/%03u.pub", i);

		put_key(p, path, 0);
	}
	assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
	assert_int_equal(ring.n, LIMIT_KEYS);
	assert_int_equal(ring.warnings.n, 1);
	assert_string_equal(ring.warnings.v[0], "/etc/modulus/keys/064.pub: more than 64 keys");
}

static void test_a_key_file_of_4_kib_is_read_and_a_longer_one_is_not(void **state)
{
	struct place *p = *state;

	for (size_t more = 0; more < 2; more++) {
		_cleanup_free_ char *text = sample_public_text(0);
		const char *key = strchr(text, '\n'); /* behind the comment, which may be long */
		_cleanup_keyring_ struct keyring ring = { 0 };
		_cleanup_blob_ struct blob b = { 0 };
		struct err err;

		blob_add_text(&b, "untrusted comment: ");
		blob_fill(&b, 'x', LIMIT_KEY_FILE_BYTES + more - b.n - strlen(key));
		blob_add_text(&b, key);
		assert_int_equal(b.n, LIMIT_KEY_FILE_BYTES + more);
		put_blob(p, "root/etc/modulus/keys/a.pub", b.v, b.n);
		assert_int_equal(keyring_load(&p->host, false, &ring, &err), 0);
		assert_int_equal(ring.n, more ? 0 : 1);
		assert_int_equal(ring.warnings.n, more ? 1 : 0);
	}
}

static void test_one_directory_of_keys_for_verify(void **state)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct place *p = *state;
	_cleanup_free_ char *dir = place_path(p, "keys"), *none = place_path(p, "none");
	struct err err;

	put_key(p, "keys/a.pub", 0);
	assert_int_equal(keyring_load_dir(dir, &ring, &err), 0);
	assert_int_equal(ring.n, 1);
	assert_int_equal(keyring_load_dir(none, &ring, &err), -ENOENT);
	assert_contains(err.text, none);
	assert_int_equal(ring.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_minisign_signs_is_accepted_prehashed_and_legacy),
		cmocka_unit_test(test_the_key_id_is_written_as_minisign_writes_it),
		cmocka_unit_test(test_what_is_verified_knows_its_digest_and_who_signed),
		cmocka_unit_test(test_the_last_line_may_lack_its_newline),
		cmocka_unit_test(test_an_empty_trusted_comment_is_a_comment),
		cmocka_unit_test(test_every_changed_byte_of_the_message_is_noticed),
		cmocka_unit_test(test_every_changed_byte_of_the_signature_is_noticed),
		cmocka_unit_test(test_a_signature_cut_at_any_place_is_not_accepted),
		cmocka_unit_test(test_a_changed_trusted_comment_is_noticed),
		cmocka_unit_test(test_the_algorithm_cannot_be_exchanged),
		cmocka_unit_test(test_an_unknown_key_is_named),
		cmocka_unit_test(test_a_key_that_only_claims_a_known_id_is_refused),
		cmocka_unit_test(test_without_keys_nothing_is_trusted_and_the_signer_is_named),
		cmocka_unit_test(test_without_a_signature_nothing_is_trusted),
		cmocka_unit_test(test_what_is_not_a_signature_is_corrupt),
		cmocka_unit_test(test_another_signature_algorithm_is_corrupt),
		cmocka_unit_test(test_one_good_signature_among_several_is_enough),
		cmocka_unit_test(test_a_wrong_signature_by_a_known_key_does_not_spoil_another_good_one),
		cmocka_unit_test(test_eight_signatures_are_read_and_nine_refused),
		cmocka_unit_test(test_the_text_of_several_signatures_is_walked_one_by_one),
		cmocka_unit_test(test_what_is_only_shown_has_no_signer),
		cmocka_unit_test(test_public_keys_are_two_lines),
		at_place(test_keys_come_from_etc_and_usr),
		at_place(test_no_keys_are_an_empty_ring),
		at_place(test_a_file_that_is_no_key_is_a_warning_and_the_others_count),
		at_place(test_a_linked_key_is_looked_up_inside_the_target_root),
		at_place(test_a_fifo_among_the_keys_does_not_stop_the_boot),
		at_place(test_a_revoked_key_is_refused_although_its_file_is_there),
		at_place(test_revoked_ids_are_taken_in_either_case_and_rubbish_is_a_warning),
		at_place(test_rubbish_is_warned_of_up_to_a_limit_and_hides_no_id),
		at_place(test_a_list_of_revoked_keys_that_cannot_be_read_trusts_nobody),
		at_place(test_nothing_hides_behind_a_nul_byte_in_the_list_of_revoked_keys),
		at_place(test_the_vendors_ring_has_no_keys_from_etc_but_what_is_revoked_there),
		at_place(test_64_keys_are_read_and_the_next_is_a_warning),
		at_place(test_a_key_file_of_4_kib_is_read_and_a_longer_one_is_not),
		at_place(test_one_directory_of_keys_for_verify),
	};

	return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
