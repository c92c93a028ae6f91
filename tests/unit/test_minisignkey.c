// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base64.h"
#include "limit.h"
#include "sample.h"

static unsigned int asked;

static int never_ask(const char *path, char *buf, size_t size)
{
	(void)path;
	(void)buf;
	(void)size;
	asked++;
	return -ENXIO;
}

static int wrong_password(const char *path, char *buf, size_t size)
{
	(void)path;
	snprintf(buf, size, "not the one");
	return 0;
}

struct pair {
	char *secret, *public;
};

static void pair_done(struct pair *p)
{
	free(p->secret);
	free(p->public);
}

#define _cleanup_pair_ _cleanup_(pair_done)

/* Key 0 in two files. */
static struct pair saved(const struct place *p)
{
	struct pair pair = { place_path(p, "k.sec"), place_path(p, "k.pub") };
	struct err err = { 0 };

	if (secret_key_save(sample_key(0), pair.secret, pair.public, &err) < 0)
		fail_msg("%s", err.text);
	return pair;
}

static void test_two_keys_are_two_keys(void **state)
{
	(void)state;
	assert_memory_not_equal(sample_key(0)->seed, sample_key(1)->seed, 32);
	assert_memory_not_equal(sample_key(0)->id, sample_key(1)->id, TRUST_KEY_ID_BYTES);
	assert_memory_not_equal(sample_key(0)->public, sample_key(1)->public, TRUST_PUBLIC_KEY_BYTES);
}

static void test_a_saved_key_is_the_same_when_loaded(void **state)
{
	struct place *p = *state;
	_cleanup_pair_ struct pair pair = saved(p);
	_cleanup_free_ char *text = NULL;
	struct secret_key k;
	struct public_key pub;
	struct stat st;
	struct err err;

	asked = 0;
	assert_int_equal(secret_key_load(pair.secret, never_ask, &k, &err), 0);
	assert_int_equal(asked, 0);
	assert_memory_equal(&k, sample_key(0), sizeof(k));
	assert_int_equal(stat(pair.secret, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	text = get_text(p, "k.pub");
	assert_int_equal(trust_parse_public_key(text, strlen(text), &pub), 0);
	assert_memory_equal(pub.key, sample_key(0)->public, TRUST_PUBLIC_KEY_BYTES);
	assert_memory_equal(pub.id, sample_key(0)->id, TRUST_KEY_ID_BYTES);
}

static void test_no_key_is_ever_overwritten(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *other = place_path(p, "other"), *before = NULL, *after = NULL;
	_cleanup_pair_ struct pair pair = saved(p);
	struct err err;

	before = get_text(p, "k.sec");
	assert_int_equal(secret_key_save(sample_key(1), pair.secret, other, &err), -EEXIST);
	assert_false(is_there(p, "other"));
	assert_int_equal(secret_key_save(sample_key(1), other, pair.public, &err), -EEXIST);
	assert_contains(err.text, pair.public);
	assert_false(is_there(p, "other")); /* a secret key without its public half is of no use */
	after = get_text(p, "k.sec");
	assert_string_equal(before, after);
}

static void test_a_file_that_is_no_secret_key_is_refused(void **state)
{
	struct place *p = *state;
	_cleanup_pair_ struct pair pair = saved(p);
	_cleanup_free_ char *good = get_text(p, "k.sec"), *path = place_path(p, "x"), *public = get_text(p, "k.pub");
	_cleanup_free_ char *none = place_path(p, "none"), *no_comment = strdup(strchr(good, '\n') + 1);
	_cleanup_free_ char *cut = strndup(good, strlen(good) - 3), *other = strdup(good);
	struct secret_key k;
	struct err err;

	assert_int_equal(secret_key_load(pair.secret, never_ask, &k, &err), 0);
	*(strchr(other, '\n') + 2) = 'V'; /* another algorithm than "Ed" */
	const char *const texts[] = { "", "\n", "untrusted comment: x\n", public, no_comment, cut, other };
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		put_text(p, "x", texts[i]);
		assert_case(texts[i], secret_key_load(path, never_ask, &k, &err) == -EINVAL);
		assert_contains(err.text, path);
	}
	assert_int_equal(secret_key_load(none, never_ask, &k, &err), -ENOENT);
}

static void test_a_key_whose_halves_do_not_belong_together_is_damaged(void **state)
{
	struct place *p = *state;
	struct secret_key mixed = *sample_key(0);
	_cleanup_free_ char *secret = place_path(p, "m.sec"), *public = place_path(p, "m.pub");
	struct err err;

	memcpy(mixed.public, sample_key(1)->public, sizeof(mixed.public));
	assert_int_equal(secret_key_save(&mixed, secret, public, &err), 0);
	assert_int_equal(secret_key_load(secret, never_ask, &mixed, &err), -EINVAL);
	assert_contains(err.text, "damaged");
}

/* Makes the saved key one that is encrypted with these limits of libsodium's scrypt. */
static void encrypt(const struct place *p, uint64_t limits)
{
	_cleanup_free_ char *good = get_text(p, "k.sec"), *text = NULL;
	char *line = strchr(good, '\n') + 1, encoded[4 * 53 + 1];
	uint8_t blob[158];

	line[strcspn(line, "\n")] = '\0';
	assert_int_equal(base64_decode(line, strlen(line), blob, sizeof(blob)), 0);
	memcpy(blob + 2, "Sc", 2);
	memcpy(blob + 38, &limits, sizeof(limits)); /* of operations */
	memcpy(blob + 46, &limits, sizeof(limits)); /* of memory */
	base64_encode(blob, sizeof(blob), encoded);
	text = str_printf("untrusted comment: minisign encrypted secret key\n%s\n", encoded);
	put_text(p, "k.sec", text);
}

static void test_for_an_encrypted_key_the_password_is_asked(void **state)
{
	struct place *p = *state;
	_cleanup_pair_ struct pair pair = saved(p);
	struct secret_key k;
	struct err err;

	encrypt(p, 0);
	asked = 0;
	assert_int_equal(secret_key_load(pair.secret, never_ask, &k, &err), -ENXIO);
	assert_int_equal(asked, 1);
	assert_int_equal(secret_key_load(pair.secret, wrong_password, &k, &err), -EACCES);
	assert_contains(err.text, "wrong password");
}

static void test_an_encrypted_key_that_asks_for_all_memory_is_refused(void **state)
{
	struct place *p = *state;
	_cleanup_pair_ struct pair pair = saved(p);
	struct secret_key k;
	struct err err;

	encrypt(p, UINT64_MAX);
	assert_int_equal(secret_key_load(pair.secret, wrong_password, &k, &err), -EINVAL);
	assert_contains(err.text, "too much memory");
}

static void test_a_signature_is_four_lines(void **state)
{
	_cleanup_free_ char *signature = sample_signature(0, "abc", 3, "a comment");
	char id[TRUST_KEY_ID_HEX];
	unsigned int lines = 0;

	(void)state;
	trust_key_id_text(sample_key(0)->id, id);
	for (const char *c = signature; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 4);
	assert_contains(signature, id);
	assert_contains(signature, "\ntrusted comment: a comment\n");
}

static void test_the_same_bytes_and_key_give_the_same_signature(void **state)
{
	_cleanup_free_ char *one = sample_signature(0, "abc", 3, "x"), *two = sample_signature(0, "abc", 3, "x");

	(void)state;
	assert_string_equal(one, two);
}

static void test_a_key_is_forgotten_on_demand(void **state)
{
	static const struct secret_key zeroes;
	struct secret_key k = *sample_key(0);

	(void)state;
	secret_key_wipe(&k);
	assert_memory_equal(&k, &zeroes, sizeof(k));
}

/* --- the real minisign, where it is installed --- */

static int run_minisign(const char *const argv[])
{
	int status;
	pid_t pid;

	assert_int_equal(posix_spawnp(&pid, "minisign", NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_minisign_verifies_what_we_sign(void **state)
{
	struct place *p = *state;
	_cleanup_pair_ struct pair pair = { 0 };
	_cleanup_free_ char *message = NULL, *sig = NULL, *signature = NULL;

	if (!is_installed("minisign"))
		skip();
	pair = saved(p);
	message = place_path(p, "msg");
	sig = place_path(p, "msg.minisig");
	signature = sample_signature(0, "abc", 3, "timestamp:1\tfile:x");
	put_text(p, "msg", "abc");
	put_text(p, "msg.minisig", signature);
	assert_int_equal(run_minisign((const char *const[]){ "minisign", "-V", "-q", "-H", "-p", pair.public, "-x", sig,
							     "-m", message, NULL }),
			 0);
	put_text(p, "msg", "abd");
	assert_int_not_equal(run_minisign((const char *const[]){ "minisign", "-V", "-q", "-p", pair.public, "-x", sig,
								 "-m", message, NULL }),
			     0);
}

static void test_minisign_signs_with_a_key_of_ours(void **state)
{
	static const char *const ways[] = { "-S", "-lS" };
	struct place *p = *state;
	_cleanup_pair_ struct pair pair = { 0 };
	_cleanup_free_ char *message = NULL, *sig = NULL;

	if (!is_installed("minisign"))
		skip();
	pair = saved(p);
	message = place_path(p, "msg");
	sig = place_path(p, "msg.minisig");
	put_text(p, "msg", "abc");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		uint8_t *bytes = (uint8_t *)strdup("abc");
		_cleanup_free_ char *signature = NULL;
		struct verified *v = NULL;
		struct err err;

		assert_int_equal(run_minisign((const char *const[]){ "minisign", ways[i], "-s", pair.secret, "-x", sig,
								     "-m", message, NULL }),
				 0);
		signature = get_text(p, "msg.minisig");
		assert_int_equal(trust_verify(sample_ring(0), bytes, 3, signature, strlen(signature), &v, &err), 0);
		verified_free(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_keys_are_two_keys),
		at_place(test_a_saved_key_is_the_same_when_loaded),
		at_place(test_no_key_is_ever_overwritten),
		at_place(test_a_file_that_is_no_secret_key_is_refused),
		at_place(test_a_key_whose_halves_do_not_belong_together_is_damaged),
		at_place(test_for_an_encrypted_key_the_password_is_asked),
		at_place(test_an_encrypted_key_that_asks_for_all_memory_is_refused),
		cmocka_unit_test(test_a_signature_is_four_lines),
		cmocka_unit_test(test_the_same_bytes_and_key_give_the_same_signature),
		cmocka_unit_test(test_a_key_is_forgotten_on_demand),
		at_place(test_minisign_verifies_what_we_sign),
		at_place(test_minisign_signs_with_a_key_of_ours),
	};

	return cmocka_run_group_tests_name("minisignkey", tests, NULL, NULL);
}
