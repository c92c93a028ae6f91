// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_unpack.c - the bytes as the tar in a bundle whose manifest names four files, with right
 * hashes around them, unpacked into a directory. Only the one tar that the manifest describes is
 * taken, and nothing appears outside the directory, nor a name that the manifest does not have.
 */
#include <fcntl.h>

#include "fuzz.h"
#include "limit.h"
#include "unpack.h"

#define LONG_NAME "0123456789-0123456789-0123456789-0123456789-0123456789-0123456789"

static char name[] = "x", empty[] = "", target[] = "a", link_path[] = "usr/lib/firmware/l";
static char paths[][LIMIT_PATH_BYTES + 1] = { "usr/lib/firmware/a", "usr/lib/firmware/d/" LONG_NAME "/" LONG_NAME,
					      "usr/lib/firmware/d/empty", "usr/lib/firmware/z" };
static struct manifest_file files[] = { { .path = paths[0], .size = 5, .mode = 0644 },
					{ .path = paths[1], .size = 1000, .mode = 0755 },
					{ .path = paths[2], .size = 0, .mode = 0644 },
					{ .path = paths[3], .size = 2048, .mode = 0644 } };
static struct manifest_link links[] = { { .path = link_path, .target = target } };
/* headers, content in blocks, the end */
#define TAR_BYTES (4 * 512 + 512 + 1024 + 2048 + 1024)

static struct fuzz_dir dir;

/* "hello", and so many of one letter. */
static void content(size_t i, uint8_t *out)
{
	memset(out, "?xez"[i], files[i].size);
	if (i == 0)
		memcpy(out, "hello", 5);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t bytes[2048];

	(void)argc;
	(void)argv;
	fuzz_dir_open(&dir);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		content(i, bytes);
		fuzz_sha256(bytes, files[i].size, files[i].sha256);
	}
	return 0;
}

/* The reader looks no further than a wrong checksum: most mutations get a right one. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	size = LLVMFuzzerMutate(data, size, max_size);
	for (size_t at = 0; seed % 8 != 0 && at + 512 <= size; at += 512) {
		unsigned int sum = 0;

		if (memcmp(data + at + 257, "ustar", 5) != 0)
			continue;
		memset(data + at + 148, ' ', 8);
		for (size_t i = 0; i < 512; i++)
			sum += data[at + i];
		snprintf((char *)data + at + 148, 8, "%06o", sum);
	}
	return size;
}

static struct bundle *open_bundle(const uint8_t *bytes, size_t len)
{
	struct bundle *b;
	struct err err = { 0 };

	return bundle_open(fuzz_reader(bytes, len), NULL, &b, &err) == 0 ? b : NULL;
}

/* The files are there; and in the tar they are where the manifest's sizes put them (docs/bundle.md, 5). */
static void check_accepted(const uint8_t *tar, const uint8_t *bytes, size_t len)
{
	_cleanup_bundle_ struct bundle *b = open_bundle(bytes, len);
	uint8_t expected[2048];

	must(unpack_bundle(b, NULL, NULL) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *found = NULL;
		size_t n;

		memset(expected, 0, sizeof(expected));
		content(i, expected);
		must(read_whole_at(dir.fd, files[i].path, sizeof(expected), &found, &n) == 0);
		must(n == files[i].size && memcmp(found, expected, n) == 0);
		n = (n + 511) / 512 * 512;
		must(memcmp(tar + 257, "ustar", 6) == 0 && memcmp(tar + 512, expected, n) == 0);
		tar += 512 + n;
	}
	memset(expected, 0, sizeof(expected));
	must(memcmp(tar, expected, 1024) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = size > TAR_BYTES ? size : TAR_BYTES, used = 0, n_files, n_links, room = len + 4096, n;
	_cleanup_bytes_ uint8_t *tar = calloc(1, len), *stored = malloc(room), *bytes = NULL;
	struct manifest_chunk chunks[3];
	struct manifest m = { .name = name, .version = name, .flavor = empty, .kind = KIND_FIRMWARE, .files = files,
			      .n_files = ARRAY_SIZE(files), .links = links, .n_links = 1, .chunks = chunks };
	_cleanup_bundle_ struct bundle *b = NULL;
	struct err err = { 0 };
	int r;

	must(tar && stored);
	if (size > 0)
		memcpy(tar, data, size);
	/* borders inside a header, inside a block of content, and next to each other */
	used += fuzz_chunk(&m, tar, 700, stored, room);
	used += fuzz_chunk(&m, tar + 700, 1, stored + used, room - used);
	used += fuzz_chunk(&m, tar + 701, len - 701, stored + used, room - used);
	bytes = fuzz_bundle(&m, stored, used, &n);
	b = open_bundle(bytes, n);
	must(b || len > TAR_BYTES);
	if (!b)
		return 0;
	r = fuzz_outcome(unpack_to_dir(b, dir.fd, &err), &err);
	if (r == 0)
		check_accepted(tar, bytes, n);
	fuzz_count_text(r < 0 ? err.text : "");
	fuzz_dir_clean(&dir, &n_files, &n_links);
	must(n_files <= ARRAY_SIZE(files) && (r < 0 || n_files == ARRAY_SIZE(files)) && n_links == (r == 0));
	return 0;
}
