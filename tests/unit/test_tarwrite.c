// SPDX-License-Identifier: Apache-2.0
/*
 * The builder's payload: what the reader of bundles takes, and the same bytes every time.
 */
#include <sys/mman.h>
#include <zstd.h>

#include "limit.h"
#include "sample.h"
#include "tarwrite.h"
#include "unpack.h"

/* Writes the files of the sample's manifest as the builder does; s->stored and the chunks are filled. */
static void write_payload(struct sample *s, const struct blob *contents)
{
	_cleanup_(tarwrite_freep) struct tarwrite *t = NULL;
	_cleanup_close_ int fd = memfd_create("payload", MFD_CLOEXEC);
	char *bytes;
	struct err err;
	size_t n;

	assert_int_equal(tarwrite_new(fd, s->m->created, &t, &err), 0);
	for (size_t i = 0; i < s->m->n_files; i++)
		assert_int_equal(tarwrite_file(t, &s->m->files[i], contents[i].v, &err), 0);
	assert_int_equal(tarwrite_finish(t, &s->m->chunks, &s->m->n_chunks, &s->m->unpacked, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read_whole(fd, 64u << 20, &bytes, &n), 0);
	s->stored = (struct blob){ .v = (uint8_t *)bytes, .n = n };
}

static void make(struct sample *s, const struct blob *module, const struct blob *firmware)
{
	const struct blob contents[] = { *module, *firmware };

	sample_begin(s);
	sample_promise(s, SAMPLE_TREE "gpu.ko", module->v, module->n, 0644);
	/* as long a path as the format allows: ustar has to split it */
	sample_promise(s,
		       "usr/lib/firmware/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"
		       "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
		       firmware->v, firmware->n, 0755);
	add_text(&s->m->load, "gpu");
	write_payload(s, contents);
}

/* Bytes that do not compress. */
static struct blob noise(size_t n)
{
	struct blob b = { 0 };
	uint64_t x = 88172645463325252u; /* xorshift64 */

	blob_fill(&b, 0, n);
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		b.v[i] = (uint8_t)x;
	}
	return b;
}

static void test_what_is_written_is_what_the_reader_takes(void **state)
{
	_cleanup_blob_ struct blob module = noise(1000), firmware = { 0 };
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct err err = { 0 };

	(void)state;
	blob_add_text(&firmware, "firmware");
	make(&s, &module, &firmware);
	sample_write(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	if (unpack_bundle(b, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_the_same_files_give_the_same_bytes(void **state)
{
	_cleanup_blob_ struct blob module = noise(100000), firmware = noise(10);
	_cleanup_sample_ struct sample one, two;

	(void)state;
	make(&one, &module, &firmware);
	make(&two, &module, &firmware);
	assert_int_equal(one.stored.n, two.stored.n);
	assert_memory_equal(one.stored.v, two.stored.v, one.stored.n);
}

static void test_nothing_in_it_is_of_today(void **state)
{
	_cleanup_blob_ struct blob module = noise(10), firmware = noise(10);
	_cleanup_sample_ struct sample s;
	uint8_t tar[16384];

	(void)state;
	make(&s, &module, &firmware);
	assert_true(s.m->chunks[0].size <= sizeof(tar));
	assert_int_equal(ZSTD_decompress(tar, sizeof(tar), s.stored.v, s.m->chunks[0].stored), s.m->chunks[0].size);
	/* ustar: the time in octal is 1700000000, the bundle's own; then users by name */
	assert_memory_equal(tar + 136, "14524770400", 11);
	assert_memory_equal(tar + 265, "root", 5);
	assert_memory_equal(tar + 297, "root", 5);
}

static void test_chunks_stay_within_their_limit_however_badly_they_compress(void **state)
{
	_cleanup_blob_ struct blob module = noise((size_t)5 << 20), firmware = noise(10);
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	uint64_t sum = 0, stored = 0;
	struct err err = { 0 };

	(void)state;
	make(&s, &module, &firmware);
	assert_int_equal(s.m->n_chunks, 2);
	for (size_t i = 0; i < s.m->n_chunks; i++) {
		assert_true(s.m->chunks[i].stored <= LIMIT_CHUNK_BYTES);
		assert_true(s.m->chunks[i].size <= LIMIT_CHUNK_BYTES);
		sum += s.m->chunks[i].size;
		stored += s.m->chunks[i].stored;
	}
	assert_int_equal(sum, s.m->unpacked);
	assert_int_equal(stored, s.stored.n);
	sample_write(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	if (unpack_bundle(b, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_a_full_disk_is_a_failure(void **state)
{
	_cleanup_(tarwrite_freep) struct tarwrite *t = NULL;
	_cleanup_file_ FILE *full = fopen("/dev/full", "we");
	struct manifest_chunk *chunks = NULL;
	uint64_t unpacked;
	struct err err;
	size_t n;

	(void)state;
	assert_non_null(full);
	assert_int_equal(tarwrite_new(fileno(full), 0, &t, &err), 0);
	assert_int_equal(tarwrite_finish(t, &chunks, &n, &unpacked, &err), -ENOSPC);
	assert_contains(err.text, "writing the payload");
	assert_null(chunks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_what_the_reader_takes),
		cmocka_unit_test(test_the_same_files_give_the_same_bytes),
		cmocka_unit_test(test_nothing_in_it_is_of_today),
		cmocka_unit_test(test_chunks_stay_within_their_limit_however_badly_they_compress),
		cmocka_unit_test(test_a_full_disk_is_a_failure),
	};

	return cmocka_run_group_tests_name("tarwrite", tests, NULL, NULL);
}
