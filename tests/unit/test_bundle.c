// SPDX-License-Identifier: Apache-2.0
/*
 * The container. What bundle_next() hands out is compared with the tar that went in: whatever is
 * done to a bundle, either that comes out or a failure, never other bytes.
 */
#include <endian.h>

#include "limit.h"
#include "sample.h"

/* Three chunks of a small tar. */
static void make_small(struct sample *s)
{
	sample_begin(s);
	sample_file(s, "gpu.ko", "not really a module", 19);
	s->chunk_bytes = 1024;
	sample_seal(s);
	assert_int_equal(s->m->n_chunks, 2);
}

/* Opens and reads to the end; what comes out is added to *ret. 0, or how it failed. */
static int read_out(struct reader *r, const struct keyring *ring, struct blob *ret, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	const void *bytes;
	size_t n;
	int q = bundle_open(r, ring, &b, err);

	if (q < 0) {
		assert_null(b);
		assert_int_equal(err->code, q);
		assert_true(strlen(err->text) > 0);
		return q;
	}
	while ((q = bundle_next(b, &bytes, &n, err)) > 0)
		blob_add(ret, bytes, n);
	return q;
}

static int read_bytes(const void *bytes, size_t n, struct blob *ret, struct err *err)
{
	return read_out(memory_reader(bytes, n, 0, -1), sample_ring(0), ret, err);
}

/* What came out is the tar or a beginning of it. */
static void assert_genuine(const struct sample *s, const struct blob *out)
{
	assert_true(out->n <= s->tar.n);
	if (out->n)
		assert_memory_equal(out->v, s->tar.v, out->n);
}

/* --- right ones --- */

static void test_the_tar_that_went_in_comes_out(void **state)
{
	static const size_t steps[] = { 0, 1, 7, 4096 };
	_cleanup_sample_ struct sample s;

	(void)state;
	make_small(&s);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		_cleanup_blob_ struct blob out = { 0 };
		struct err err;

		assert_int_equal(read_out(memory_reader(s.bundle.v, s.bundle.n, steps[i], -1), sample_ring(0), &out,
					  &err),
				 0);
		assert_int_equal(out.n, s.tar.n);
		assert_genuine(&s, &out);
		assert_true(memory_closed());
	}
}

static void test_manifest_header_and_signatures_can_be_looked_at(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	const char *signatures;
	size_t n;
	struct err err;

	(void)state;
	make_small(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	assert_string_equal(bundle_manifest(b)->name, SAMPLE_NAME);
	assert_int_equal(strlen(bundle_manifest(b)->key_id), 16);
	assert_int_equal(strlen(bundle_manifest(b)->digest), 64);
	assert_memory_equal(bundle_header(b, &n), s.bundle.v, n);
	assert_int_equal(n, s.bundle.n - s.stored.n);
	signatures = bundle_signatures(b, &n);
	assert_memory_equal(signatures, "untrusted comment:", 18);
	assert_int_equal(signatures[n - 1], '\n');
}

static void test_opening_reads_nothing_behind_the_header(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct err err;

	(void)state;
	make_small(&s);
	/* the payload is not there at all */
	assert_int_equal(bundle_open(memory_reader(s.bundle.v, s.bundle.n - s.stored.n, 0, -1), sample_ring(0), &b,
				     &err),
			 0);
}

static void test_after_the_last_chunk_there_is_an_end_every_time(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	const void *bytes;
	struct err err;
	size_t n;

	(void)state;
	make_small(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	while (bundle_next(b, &bytes, &n, &err) > 0)
		;
	assert_int_equal(bundle_next(b, &bytes, &n, &err), 0);
	assert_int_equal(bundle_next(b, &bytes, &n, &err), 0);
}

static void test_an_unverified_look_needs_no_ring_and_has_no_signer(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct err err;

	(void)state;
	make_small(&s);
	assert_int_equal(bundle_open(memory_reader(s.bundle.v, s.bundle.n, 0, -1), NULL, &b, &err), 0);
	assert_string_equal(bundle_manifest(b)->key_id, "");
}

/* --- who signed --- */

static void test_a_bundle_by_another_key_is_untrusted(void **state)
{
	_cleanup_blob_ struct blob out = { 0 };
	_cleanup_sample_ struct sample s;
	struct err err;

	(void)state;
	make_small(&s);
	assert_int_equal(read_out(memory_reader(s.bundle.v, s.bundle.n, 0, -1), sample_ring(1), &out, &err),
			 -E_UNTRUSTED);
	assert_int_equal(out.n, 0);
	assert_true(memory_closed());
}

static void test_the_signature_is_checked_before_the_manifest_is_parsed(void **state)
{
	_cleanup_free_ char *signature = sample_signature(1, "not json", 8, "x");
	_cleanup_blob_ struct blob file = { 0 }, out = { 0 };
	struct err err;

	(void)state;
	add_frame(&file, BUNDLE_MAGIC_MANIFEST, "not json", 8);
	add_frame(&file, BUNDLE_MAGIC_SIGNATURES, signature, strlen(signature));
	assert_int_equal(read_bytes(file.v, file.n, &out, &err), -E_UNTRUSTED); /* and not corrupt */
	assert_int_equal(read_out(memory_reader(file.v, file.n, 0, -1), sample_ring(1), &out, &err), -E_CORRUPT);
}

/* --- the frames of the header --- */

static void test_what_does_not_begin_with_the_frames_is_not_a_bundle(void **state)
{
	_cleanup_sample_ struct sample s;
	_cleanup_blob_ struct blob swapped = { 0 }, foreign = { 0 }, none = { 0 };

	(void)state;
	make_small(&s);
	add_frame(&swapped, BUNDLE_MAGIC_SIGNATURES, "x", 1);
	add_frame(&swapped, BUNDLE_MAGIC_MANIFEST, "x", 1);
	add_frame(&foreign, 0x184D2A52u, "x", 1);
	add_frame(&none, BUNDLE_MAGIC_MANIFEST, "x", 1);
	add_zstd(&none, "x", 1);
	const struct {
		const char *what;
		const struct blob *file;
		const char *says;
	} cases[] = {
		{ "swapped", &swapped, "not a bundle: no manifest frame" },
		{ "another skippable frame", &foreign, "not a bundle: no manifest frame" },
		{ "plain zstd", &s.stored, "not a bundle: no manifest frame" },
		{ "no signatures", &none, "not a bundle: no signatures frame" },
		{ "nothing", &(struct blob){ .v = (uint8_t *)(uintptr_t) "" }, "not a bundle: no manifest frame" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob out = { 0 };
		struct err err;

		assert_case(cases[i].what,
			    read_bytes(cases[i].file->v, cases[i].file->n, &out, &err) == -E_CORRUPT);
		assert_contains(err.text, cases[i].says);
		assert_int_equal(out.n, 0);
	}
}

/* A header of this manifest, filled up with blanks, and its signature, its untrusted comment filled up. */
static struct blob header_of(const char *text, size_t manifest_bytes, size_t signature_bytes)
{
	const size_t comment = strlen("untrusted comment:");
	_cleanup_blob_ struct blob manifest = { 0 }, signatures = { 0 };
	_cleanup_free_ char *signature = NULL;
	struct blob file = { 0 };

	blob_add_text(&manifest, text);
	blob_fill(&manifest, ' ', manifest_bytes - manifest.n);
	signature = sample_signature(0, manifest.v, manifest.n, "x");
	blob_add(&signatures, signature, comment);
	if (signature_bytes)
		blob_fill(&signatures, ' ', signature_bytes - strlen(signature));
	blob_add_text(&signatures, signature + comment);
	add_frame(&file, BUNDLE_MAGIC_MANIFEST, manifest.v, manifest.n);
	add_frame(&file, BUNDLE_MAGIC_SIGNATURES, signatures.v, signatures.n);
	return file;
}

static void test_a_manifest_of_1_mib_is_read_and_a_longer_one_refused(void **state)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_sample_ struct sample s;

	(void)state;
	make_small(&s);
	text = manifest_format(s.m);
	assert_int_equal(LIMIT_MANIFEST_BYTES, 1 << 20);
	for (size_t more = 0; more < 2; more++) {
		_cleanup_blob_ struct blob file = header_of(text, LIMIT_MANIFEST_BYTES + more, 0);
		_cleanup_bundle_ struct bundle *b = NULL;
		struct err err;

		assert_int_equal(open_sample(&file, &b, &err), more ? -E_CORRUPT : 0);
		if (more)
			assert_contains(err.text, "manifest of 1048577 bytes; the limit is 1048576");
	}
}

static void test_signatures_of_16_kib_are_read_and_more_refused(void **state)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_sample_ struct sample s;

	(void)state;
	make_small(&s);
	text = manifest_format(s.m);
	for (size_t more = 0; more < 2; more++) {
		_cleanup_blob_ struct blob file = header_of(text, strlen(text), LIMIT_SIGNATURES_BYTES + more);
		_cleanup_bundle_ struct bundle *b = NULL;
		struct err err;

		assert_int_equal(open_sample(&file, &b, &err), more ? -E_CORRUPT : 0);
		if (more)
			assert_contains(err.text, "signatures of 16385 bytes; the limit is 16384");
	}
}

static void test_a_frame_that_claims_4_gib_asks_for_no_memory(void **state)
{
	static const uint32_t head[] = { BUNDLE_MAGIC_MANIFEST, UINT32_MAX };
	uint32_t le[2] = { htole32(head[0]), htole32(head[1]) };
	_cleanup_blob_ struct blob out = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(read_bytes(le, sizeof(le), &out, &err), -E_CORRUPT);
	assert_contains(err.text, "4294967295");
	assert_int_equal(memory_reads(), 1);
}

/* --- damage at every place --- */

static void test_a_bundle_cut_at_any_byte_is_corrupt_and_hands_out_nothing_false(void **state)
{
	_cleanup_sample_ struct sample s;

	(void)state;
	make_small(&s);
	for (size_t n = 0; n < s.bundle.n; n++) {
		_cleanup_blob_ struct blob out = { 0 };
		struct err err;
		int r = read_bytes(s.bundle.v, n, &out, &err);

		if (r != -E_CORRUPT)
			fail_msg("cut at %zu of %zu: %d", n, s.bundle.n, r);
		assert_genuine(&s, &out);
	}
}

/* "untrusted comment: " may say anything: the only bytes that are not covered by something. */
static bool is_free_text(const struct sample *s, size_t at)
{
	size_t begin = s->bundle.n - s->stored.n;
	const uint8_t *line;

	while (memcmp(s->bundle.v + begin, "untrusted comment:", 18) != 0)
		begin--;
	line = s->bundle.v + begin;
	return at >= begin + 18 && at < begin + strcspn((const char *)line, "\n");
}

static void test_a_changed_byte_anywhere_never_yields_other_bytes(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	_cleanup_sample_ struct sample s;

	(void)state;
	make_small(&s);
	for (size_t i = 0; i < s.bundle.n; i++) {
		for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
			_cleanup_blob_ struct blob out = { 0 };
			struct err err;
			int r;

			s.bundle.v[i] ^= masks[m];
			r = read_bytes(s.bundle.v, s.bundle.n, &out, &err);
			s.bundle.v[i] ^= masks[m];
			assert_genuine(&s, &out);
			if (r != -E_CORRUPT && r != -E_UNTRUSTED && !(r == 0 && is_free_text(&s, i)))
				fail_msg("byte %zu of %zu ^ %02x: %d", i, s.bundle.n, masks[m], r);
		}
	}
}

static void test_data_behind_the_last_chunk_is_refused(void **state)
{
	_cleanup_blob_ struct blob out = { 0 };
	_cleanup_sample_ struct sample s;
	struct err err;

	(void)state;
	make_small(&s);
	blob_add(&s.bundle, "", 1);
	assert_int_equal(read_bytes(s.bundle.v, s.bundle.n, &out, &err), -E_CORRUPT);
	assert_contains(err.text, "data after the last chunk");
	assert_genuine(&s, &out);
}

static void test_a_failure_of_the_reader_comes_out_at_whatever_read_it_happens(void **state)
{
	static const size_t steps[] = { 0, 100 };
	_cleanup_sample_ struct sample s;

	(void)state;
	make_small(&s);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		unsigned int reads;
		struct err err;

		{
			_cleanup_blob_ struct blob all = { 0 };

			assert_int_equal(read_out(memory_reader(s.bundle.v, s.bundle.n, steps[i], -1), sample_ring(0),
						  &all, &err),
					 0);
		}
		reads = memory_reads();
		assert_true(reads >= 7); /* four of the header, a chunk each, the end */
		for (unsigned int n = 0; n < reads; n++) {
			_cleanup_blob_ struct blob out = { 0 };

			assert_int_equal(read_out(memory_reader(s.bundle.v, s.bundle.n, steps[i], (int)n),
						  sample_ring(0), &out, &err),
					 -EIO);
			assert_contains(err.text, "reading: Structure needs cleaning");
			assert_genuine(&s, &out);
			assert_true(memory_closed());
		}
	}
}

/* --- chunks that are signed and still wrong --- */

/*
 * A first chunk of these stored bytes, claimed to hold `size` bytes, and one of zeros that makes
 * them the size of a tar; read. *out is what the first one gave.
 */
static int read_chunk(const struct blob *stored, size_t size, struct blob *out, struct err *err)
{
	static const uint8_t zeroes[TAR_BLOCK + TAR_END + TAR_BLOCK];
	const size_t rest = sizeof(zeroes) - size % TAR_BLOCK;
	_cleanup_sample_ struct sample s;
	int r;

	sample_begin(&s);
	sample_promise(&s, SAMPLE_TREE "gpu.ko", "", 0, 0644);
	s.m->files[0].size = size + rest - TAR_BLOCK - TAR_END;
	add_text(&s.m->load, "gpu");
	sample_add_chunk(s.m, stored->v, stored->n, size);
	blob_add(&s.stored, stored->v, stored->n);
	add_zstd(&s.stored, zeroes, rest);
	sample_add_chunk(s.m, s.stored.v + stored->n, s.stored.n - stored->n, rest);
	sample_write(&s);
	r = read_bytes(s.bundle.v, s.bundle.n, out, err);
	if (r == 0)
		out->n -= rest;
	return r;
}

static void test_a_chunk_is_one_zstd_frame_of_the_size_it_claims(void **state)
{
	_cleanup_blob_ struct blob one = { 0 }, two = { 0 }, skippable = { 0 }, with_skippable = { 0 }, trailing = { 0 },
				   garbage = { 0 }, cut = { 0 };

	(void)state;
	add_zstd(&one, "0123456789", 10);
	add_zstd(&two, "01234", 5);
	add_zstd(&two, "56789", 5);
	add_frame(&skippable, BUNDLE_MAGIC_MANIFEST, "0123456789", 10);
	add_frame(&with_skippable, 0x184D2A55u, "hidden", 6);
	add_zstd(&with_skippable, "0123456789", 10);
	blob_add(&trailing, one.v, one.n);
	blob_add(&trailing, "", 1);
	blob_add(&cut, one.v, one.n - 1);
	blob_add_text(&garbage, "not a zstd frame");
	const struct {
		const char *what;
		const struct blob *stored;
		size_t size;
		const char *says; /* NULL: is right */
	} cases[] = {
		{ "right", &one, 10, NULL },
		{ "holds more than it claims", &one, 9, "does not decompress to 9 bytes" },
		{ "holds less than it claims", &one, 11, "does not decompress to 11 bytes" },
		{ "two frames", &two, 10, "is not one zstd frame" },
		{ "two frames, size of the first", &two, 5, "is not one zstd frame" },
		{ "a skippable frame alone", &skippable, 10, "is not one zstd frame" },
		{ "a skippable frame before it", &with_skippable, 10, "is not one zstd frame" },
		{ "a byte behind it", &trailing, 10, "is not one zstd frame" },
		{ "cut", &cut, 10, "is not one zstd frame" },
		{ "not zstd", &garbage, 10, "is not one zstd frame" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob out = { 0 };
		struct err err = { 0 };
		int r = read_chunk(cases[i].stored, cases[i].size, &out, &err);

		assert_case(cases[i].what, r == (cases[i].says ? -E_CORRUPT : 0));
		assert_case(cases[i].what, out.n == (cases[i].says ? 0 : 10));
		if (cases[i].says)
			assert_contains(err.text, cases[i].says);
	}
}

static void test_a_bomb_is_stopped_at_the_size_it_claims(void **state)
{
	_cleanup_blob_ struct blob zeroes = { 0 }, bomb = { 0 }, out = { 0 };
	struct err err;

	(void)state;
	zeroes.v = calloc(1, (size_t)64 << 20);
	assert_non_null(zeroes.v);
	add_zstd(&bomb, zeroes.v, (size_t)64 << 20);
	assert_true(bomb.n < 16384);
	assert_int_equal(read_chunk(&bomb, LIMIT_CHUNK_BYTES, &out, &err), -E_CORRUPT);
	assert_int_equal(out.n, 0);
}

static void test_a_chunk_of_4_mib_is_read(void **state)
{
	_cleanup_blob_ struct blob zeroes = { 0 }, stored = { 0 }, out = { 0 };
	struct err err;

	(void)state;
	zeroes.v = calloc(1, LIMIT_CHUNK_BYTES);
	assert_non_null(zeroes.v);
	add_zstd(&stored, zeroes.v, LIMIT_CHUNK_BYTES);
	assert_int_equal(read_chunk(&stored, LIMIT_CHUNK_BYTES, &out, &err), 0);
	assert_int_equal(out.n, LIMIT_CHUNK_BYTES);
}

/* --- the copy that is made in the same pass --- */

struct tee {
	struct blob got;
	unsigned int calls, fail_at; /* from 1; 0: never */
};

static int tee_append(void *ctx, const void *stored, size_t n)
{
	struct tee *t = ctx;

	if (++t->calls == t->fail_at)
		return -ENOSPC;
	blob_add(&t->got, stored, n);
	return 0;
}

static void test_the_copy_gets_exactly_the_stored_bytes(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct tee t = { 0 };
	const void *bytes;
	struct err err;
	size_t n;

	(void)state;
	make_small(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	bundle_set_tee(b, tee_append, &t);
	while (bundle_next(b, &bytes, &n, &err) > 0)
		;
	assert_int_equal(t.got.n, s.stored.n);
	assert_memory_equal(t.got.v, s.stored.v, s.stored.n);
	blob_free(&t.got);
}

static void test_the_copy_never_gets_bytes_whose_hash_did_not_hold(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct tee t = { 0 };
	const void *bytes;
	struct err err;
	size_t n;

	(void)state;
	make_small(&s);
	s.bundle.v[s.bundle.n - 1] ^= 1; /* in the second chunk */
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	bundle_set_tee(b, tee_append, &t);
	assert_int_equal(bundle_next(b, &bytes, &n, &err), 1);
	assert_int_equal(bundle_next(b, &bytes, &n, &err), -E_CORRUPT);
	assert_contains(err.text, "chunk 2 of 2 does not match its hash");
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.got.n, s.m->chunks[0].stored);
	blob_free(&t.got);
}

static void test_a_copy_that_fails_does_not_stop_the_reading(void **state)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_blob_ struct blob out = { 0 };
	_cleanup_sample_ struct sample s;
	struct tee t = { .fail_at = 1 };
	const void *bytes;
	struct err err;
	size_t n;

	(void)state;
	make_small(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	bundle_set_tee(b, tee_append, &t);
	while (bundle_next(b, &bytes, &n, &err) > 0)
		blob_add(&out, bytes, n);
	assert_int_equal(out.n, s.tar.n);
	assert_int_equal(t.calls, 1); /* it is not asked again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_tar_that_went_in_comes_out),
		cmocka_unit_test(test_manifest_header_and_signatures_can_be_looked_at),
		cmocka_unit_test(test_opening_reads_nothing_behind_the_header),
		cmocka_unit_test(test_after_the_last_chunk_there_is_an_end_every_time),
		cmocka_unit_test(test_an_unverified_look_needs_no_ring_and_has_no_signer),
		cmocka_unit_test(test_a_bundle_by_another_key_is_untrusted),
		cmocka_unit_test(test_the_signature_is_checked_before_the_manifest_is_parsed),
		cmocka_unit_test(test_what_does_not_begin_with_the_frames_is_not_a_bundle),
		cmocka_unit_test(test_a_manifest_of_1_mib_is_read_and_a_longer_one_refused),
		cmocka_unit_test(test_signatures_of_16_kib_are_read_and_more_refused),
		cmocka_unit_test(test_a_frame_that_claims_4_gib_asks_for_no_memory),
		cmocka_unit_test(test_a_bundle_cut_at_any_byte_is_corrupt_and_hands_out_nothing_false),
		cmocka_unit_test(test_a_changed_byte_anywhere_never_yields_other_bytes),
		cmocka_unit_test(test_data_behind_the_last_chunk_is_refused),
		cmocka_unit_test(test_a_failure_of_the_reader_comes_out_at_whatever_read_it_happens),
		cmocka_unit_test(test_a_chunk_is_one_zstd_frame_of_the_size_it_claims),
		cmocka_unit_test(test_a_bomb_is_stopped_at_the_size_it_claims),
		cmocka_unit_test(test_a_chunk_of_4_mib_is_read),
		cmocka_unit_test(test_the_copy_gets_exactly_the_stored_bytes),
		cmocka_unit_test(test_the_copy_never_gets_bytes_whose_hash_did_not_hold),
		cmocka_unit_test(test_a_copy_that_fails_does_not_stop_the_reading),
	};

	return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
