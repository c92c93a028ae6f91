// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz.c - bytes in memory as a reader, bundles around a payload, a directory to unpack into.
 */
#include "fuzz.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <zstd.h>

void fuzz_broken(const char *file, int line, const char *promise)
{
	dprintf(STDERR_FILENO, "%s:%d: broken: %s\n", file, line, promise);
	abort();
}

bool fuzz_is_printable(const char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

int fuzz_outcome(int r, const struct err *err)
{
	must(r >= 0 ? err->code == 0 : err->code == r);
	must(r >= 0 || *err->text);
	must(r >= 0 || fuzz_is_printable(err->text));
	return r;
}

/* libFuzzer takes each byte of this section for one more edge of the program. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t text_counters[1024];

void fuzz_count_text(const char *text)
{
	uint32_t h = 2166136261u; /* FNV-1a; numbers in a text make no new text */

	for (; *text; text++)
		if (*text < '0' || *text > '9')
			h = (h ^ (uint8_t)*text) * 16777619u;
	text_counters[h % sizeof(text_counters)] = 1;
}

char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	must(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* --- bundles --- */

struct memory_reader {
	struct reader base;
	const uint8_t *bytes;
	size_t left;
	unsigned int turn;
};

static ssize_t memory_read(struct reader *r, void *buf, size_t len)
{
	struct memory_reader *m = (struct memory_reader *)r;
	size_t n = MIN(len, m->left);

	if (n > 1 && m->turn++ % 3 == 0)
		n = n / 2 + 1;
	memcpy(buf, m->bytes, n);
	m->bytes += n;
	m->left -= n;
	return (ssize_t)n;
}

static int memory_skip(struct reader *r, const void *have, size_t len)
{
	struct memory_reader *m = (struct memory_reader *)r;
	size_t n = MIN(len, m->left);

	must(have);
	m->bytes += n;
	m->left -= n;
	return 0;
}

static void memory_close(struct reader *r)
{
	free(r);
}

struct reader *fuzz_reader(const void *bytes, size_t len)
{
	static const struct reader_ops ops = { .read = memory_read, .skip = memory_skip, .close = memory_close };
	struct memory_reader *m = malloc(sizeof(*m));

	must(m);
	*m = (struct memory_reader){ .base.ops = &ops, .bytes = bytes, .left = len };
	return &m->base;
}

static uint8_t *put_frame(uint8_t *at, uint32_t magic, const void *bytes, size_t len)
{
	const uint32_t head[] = { htole32(magic), htole32((uint32_t)len) };

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), bytes, len);
	return at + sizeof(head) + len;
}

uint8_t *fuzz_bundle(const struct manifest *m, const void *stored, size_t stored_len, size_t *ret_len)
{
	_cleanup_free_ char *text = manifest_format(m);
	uint8_t *bytes, *at;

	must(text);
	bytes = malloc(2 * BUNDLE_FRAME_HEADER_BYTES + strlen(text) + stored_len);
	must(bytes);
	at = put_frame(bytes, BUNDLE_MAGIC_MANIFEST, text, strlen(text));
	at = put_frame(at, BUNDLE_MAGIC_SIGNATURES, "", 0);
	if (stored_len > 0)
		memcpy(at, stored, stored_len);
	*ret_len = (size_t)(at - bytes) + stored_len;
	return bytes;
}

void fuzz_sha256(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES])
{
	must(EVP_Digest(bytes, len, ret, NULL, EVP_sha256(), NULL) == 1);
}

size_t fuzz_chunk(struct manifest *m, const void *bytes, size_t len, uint8_t *out, size_t room)
{
	static ZSTD_CCtx *zstd;
	struct manifest_chunk *c = &m->chunks[m->n_chunks++];
	size_t n;

	if (!zstd)
		zstd = ZSTD_createCCtx();
	n = ZSTD_compressCCtx(zstd, out, room, bytes, len, 1);
	must(!ZSTD_isError(n));
	*c = (struct manifest_chunk){ .stored = (uint32_t)n, .size = (uint32_t)len };
	fuzz_sha256(out, n, c->sha256);
	m->unpacked += len;
	return n;
}

/* --- the directory --- */

static struct fuzz_dir at_exit;

static void remove_all(void)
{
	static const char *const parts[] = { "/a/b/in", "/a/b", "/a", "" };
	size_t files, links;
	char path[96];

	fuzz_dir_clean(&at_exit, &files, &links);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", at_exit.path, parts[i]);
		(void)rmdir(path);
	}
}

void fuzz_dir_open(struct fuzz_dir *ret)
{
	struct statfs s;
	bool memory = statfs("/dev/shm", &s) == 0 && s.f_type == TMPFS_MAGIC;
	int fd;

	snprintf(ret->path, sizeof(ret->path), "%s/modulus-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
	must(mkdtemp(ret->path));
	fd = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0 && mkdir_beneath(fd, "a/b/in", 0755, &ret->fd) == 0);
	close(fd);
	at_exit = *ret;
	must(atexit(remove_all) == 0);
}

void fuzz_dir_write(const struct fuzz_dir *d, const char *name, const void *bytes, size_t len)
{
	_cleanup_free_ char *parent = strdup(name);
	int fd;

	must(parent && strrchr(parent, '/'));
	*strrchr(parent, '/') = '\0';
	must(mkdir_beneath(d->fd, parent, 0755, &fd) == 0);
	must(write_file_at(fd, strrchr(name, '/') + 1, bytes, len, 0644) == 0);
	close(fd);
}

/* Empties the directory, which it closes. */
static void empty(int fd, size_t *files, size_t *links)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *e;

	must(dir);
	while ((e = readdir(dir))) {
		bool is_dir = e->d_type == DT_DIR;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		must(is_dir || e->d_type == DT_REG || e->d_type == DT_LNK);
		if (is_dir)
			empty(openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), files, links);
		else
			*(e->d_type == DT_REG ? files : links) += 1;
		must(unlinkat(fd, e->d_name, is_dir ? AT_REMOVEDIR : 0) == 0);
	}
	closedir(dir);
}

/* The directory holds this one name and nothing else. */
static void holds_only(int dirfd, const char *path, const char *name)
{
	DIR *dir = fdopendir(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *e;

	must(dir);
	while ((e = readdir(dir)))
		must(streq(e->d_name, ".") || streq(e->d_name, "..") || streq(e->d_name, name));
	closedir(dir);
}

void fuzz_dir_clean(const struct fuzz_dir *d, size_t *ret_files, size_t *ret_links)
{
	size_t files = 0, links = 0;

	holds_only(d->fd, "..", "in");
	holds_only(d->fd, "../..", "b");
	holds_only(d->fd, "../../..", "a");
	empty(openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &files, &links);
	*ret_files = files;
	*ret_links = links;
}
