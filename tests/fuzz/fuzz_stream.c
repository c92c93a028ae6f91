// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_stream.c - frames and chunks. The bytes are a whole bundle when they begin with the frame
 * of a manifest; otherwise they are zstd frames, and a manifest is made that has their right
 * hashes, so that they reach the decompressor. What is handed out has the size that the manifest
 * says; a stream that ended well was all there. What is good in one go is good, too, with the part
 * that an earlier transfer left, right or wrong.
 */
#include <sys/mman.h>
#include <zstd.h>

#include "fuzz.h"
#include "limit.h"

#define FRAMES_MAX 16
#define PLAIN_MAX_BYTES LIMIT_CHUNK_BYTES

struct seen {
	const struct manifest *manifest;
	size_t chunks;
	uint64_t stored;
};

/* What was decompressed had its hash, and was one frame of today's format (docs/bundle.md, 6). */
static int check_stored(void *ctx, const void *stored, size_t len)
{
	const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd }, *p = stored;
	const bool single_segment = len > 5 && p[4] & 0x20;
	uint8_t digest[SHA256_BYTES];
	struct seen *seen = ctx;

	must(seen->chunks < seen->manifest->n_chunks);
	fuzz_sha256(stored, len, digest);
	must(memcmp(digest, seen->manifest->chunks[seen->chunks].sha256, sizeof(digest)) == 0);
	must(len > 5 && memcmp(stored, magic, sizeof(magic)) == 0);
	must(single_segment || 10 + (p[5] >> 3) < 23 || p[5] == (23 - 10) << 3); /* the window: 8 MiB */
	must(ZSTD_findFrameCompressedSize(stored, len) == len && ZSTD_getDictID_fromFrame(stored, len) == 0);
	seen->stored += len;
	seen->chunks++;
	return 0;
}

/* partial: a file that holds more of the bundle, or something else; -EBADF: none. */
static int read_bundle(const uint8_t *bytes, size_t len, int partial)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	struct err err = { 0 };
	struct seen seen = { 0 };
	const struct manifest *m;
	uint64_t unpacked = 0, of_chunk = 0;
	size_t n, header, whole = 0;
	const void *tar, *start;
	int r;

	r = fuzz_outcome(bundle_open(fuzz_reader(bytes, len), NULL, &b, &err), &err);
	if (r < 0)
		return r;
	m = bundle_manifest(b);
	start = bundle_header(b, &header);
	must(header <= len && memcmp(start, bytes, header) == 0 && *m->key_id == '\0');
	seen.manifest = m;
	bundle_set_tee(b, check_stored, &seen);
	bundle_set_partial(b, partial);
	while ((r = bundle_next(b, &tar, &n, &err)) > 0) {
		must(n > 0 && n <= ZSTD_BLOCKSIZE_MAX);
		unpacked += n;
		of_chunk += n;
		/* a chunk is handed to the copy with its last bytes, and is as long as the manifest says */
		if (seen.chunks == whole) {
			must(of_chunk < m->chunks[whole].size);
			continue;
		}
		must(seen.chunks == whole + 1 && of_chunk == m->chunks[whole].size && bundle_begins_chunk(b));
		whole++;
		of_chunk = 0;
	}
	fuzz_count_text(fuzz_outcome(r, &err) < 0 ? err.text : "");
	if (r == 0)
		must(seen.chunks == m->n_chunks && unpacked == m->unpacked && header + seen.stored == len);
	return r < 0 ? 1 : 0;
}

/* In one go; then with a file that is cut and has one byte changed, both at places that the bytes choose. */
static int read_both_ways(const uint8_t *bytes, size_t len)
{
	static int partial = -1;
	int r = read_bundle(bytes, len, -EBADF);
	size_t cut = len - len % 37 - len % 3, odd = bytes[len - 1] * (len / 256);

	if (r < 0)
		return r;
	if (partial < 0)
		partial = memfd_create("partial", MFD_CLOEXEC);
	must(partial >= 0 && ftruncate(partial, 0) == 0 && pwrite(partial, bytes, cut, 0) == (ssize_t)cut);
	must(odd % 4 == 0 || pwrite(partial, "?", 1, (off_t)odd) == 1);
	must(read_bundle(bytes, len, partial) <= r);
	return r;
}

/* Where the next frame begins: at its magic. */
static size_t frame_length(const uint8_t *data, size_t size)
{
	const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
	const uint8_t *next = size > 1 ? memmem(data + 1, size - 1, magic, sizeof(magic)) : NULL;

	return next ? (size_t)(next - data) : size;
}

static void read_frames(const uint8_t *data, size_t size)
{
	static char name[] = "x", empty[] = "", path[] = "usr/lib/firmware/x";
	static const uint8_t zeros[4096];
	struct manifest_chunk chunks[FRAMES_MAX + 1];
	struct manifest_file file = { .path = path, .mode = 0644 };
	struct manifest m = { .name = name, .version = name, .flavor = empty, .kind = KIND_FIRMWARE, .files = &file,
			      .n_files = 1, .chunks = chunks };
	_cleanup_bytes_ uint8_t *stored = malloc(size + 1024), *bundle = NULL;
	size_t used = 0, len;

	must(stored);
	while (used < size && m.n_chunks < FRAMES_MAX) {
		size_t n = frame_length(data + used, size - used);
		unsigned long long plain = ZSTD_getFrameContentSize(data + used, n);
		struct manifest_chunk *c = &m.chunks[m.n_chunks++];

		/* a frame may say any size or none: it is held to what a manifest can say */
		c->size = plain == 0 || plain > PLAIN_MAX_BYTES ? 512 : (uint32_t)plain;
		c->stored = (uint32_t)n;
		fuzz_sha256(data + used, n, c->sha256);
		m.unpacked += c->size;
		used += n;
	}
	if (used > 0)
		memcpy(stored, data, used);
	/* the last chunk makes it the size of a tar: header, file, two blocks of zeros */
	used += fuzz_chunk(&m, zeros, 1536 + 512 - m.unpacked % 512, stored + used, 1024);
	file.size = m.unpacked - 1536;
	bundle = fuzz_bundle(&m, stored, used, &len);
	must(read_both_ways(bundle, len) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t magic[] = { 0x50, 0x2a, 0x4d, 0x18 };

	if (size >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0)
		(void)read_both_ways(data, size);
	else
		read_frames(data, size);
	return 0;
}
