// SPDX-License-Identifier: Apache-2.0
/*
 * sample.c - see sample.h. The ustar writer is our own: libarchive would not write the entries
 * that must be refused.
 */
#include "sample.h"

#include <endian.h>
#include <openssl/evp.h>
#include <sys/utsname.h>
#include <zstd.h>

#include "base64.h"

const char *machine_here(void)
{
	static struct utsname u;

	assert_int_equal(uname(&u), 0);
	return u.machine;
}

struct kernel sample_kernel(void)
{
	struct kernel k = { .release = RELEASE, .build_id = BUILD_ID };

	snprintf(k.machine, sizeof(k.machine), "%s", machine_here());
	return k;
}

/* --- keys --- */

const struct secret_key *sample_key(unsigned int i)
{
	static struct secret_key keys[SAMPLE_KEYS];
	static bool made[SAMPLE_KEYS];
	struct err err;

	assert_true(i < SAMPLE_KEYS);
	if (!made[i])
		assert_int_equal(secret_key_generate(&keys[i], &err), 0);
	made[i] = true;
	return &keys[i];
}

const struct keyring *sample_ring(unsigned int i)
{
	static struct public_key keys[SAMPLE_KEYS];
	static struct keyring rings[SAMPLE_KEYS];
	const struct secret_key *k = sample_key(i);

	memcpy(keys[i].id, k->id, sizeof(k->id));
	memcpy(keys[i].key, k->public, sizeof(k->public));
	rings[i] = (struct keyring){ .keys = &keys[i], .n = 1 };
	return &rings[i];
}

char *sample_public_text(unsigned int i)
{
	uint8_t pub[2 + TRUST_KEY_ID_BYTES + TRUST_PUBLIC_KEY_BYTES] = "Ed";
	const struct secret_key *k = sample_key(i);
	char encoded[64], *text;

	memcpy(pub + 2, k->id, sizeof(k->id));
	memcpy(pub + 2 + sizeof(k->id), k->public, sizeof(k->public));
	base64_encode(pub, sizeof(pub), encoded);
	text = str_printf("untrusted comment: key %u of the tests\n%s\n", i, encoded);
	assert_non_null(text);
	return text;
}

char *sample_signature(unsigned int i, const void *bytes, size_t n, const char *comment)
{
	char *text = NULL;
	struct err err;

	assert_int_equal(secret_key_sign(sample_key(i), bytes, n, comment, &text, &err), 0);
	return text;
}

/* --- tar --- */

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2];
	char uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == 512, "a tar block");

/* Leading zeroes, and a NUL behind the last digit. */
static void octal(char *field, size_t size, uint64_t v)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; v /= 8)
		field[i] = (char)('0' + v % 8);
	assert_true(v == 0);
}

static void add_block(struct blob *tar, const struct tar_entry *e, size_t n)
{
	struct ustar h = { .type = e->type ? e->type : '0', .magic = "ustar", .version = { '0', '0' } };
	unsigned int sum = 0;

	assert_true(strlen(e->path) <= sizeof(h.name));
	memcpy(h.name, e->path, strlen(e->path));
	octal(h.mode, sizeof(h.mode), e->mode ? e->mode : 0644);
	octal(h.uid, sizeof(h.uid), e->uid);
	octal(h.gid, sizeof(h.gid), e->gid);
	octal(h.size, sizeof(h.size), n);
	octal(h.mtime, sizeof(h.mtime), 0);
	if (e->link)
		snprintf(h.link, sizeof(h.link), "%s", e->link);
	memset(h.checksum, ' ', sizeof(h.checksum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const unsigned char *)&h)[i];
	octal(h.checksum, sizeof(h.checksum), sum);
	blob_add(tar, &h, sizeof(h));
}

static void add_padded(struct blob *tar, const void *bytes, size_t n)
{
	static const char zeroes[512];

	blob_add(tar, bytes, n);
	blob_add(tar, zeroes, (512 - n % 512) % 512);
}

/* "LENGTH KEY=VALUE\n" for each line; the length counts its own digits. */
static void add_pax(struct blob *tar, const char *lines)
{
	const struct tar_entry header = { .path = "PaxHeaders/x", .type = 'x' };
	_cleanup_blob_ struct blob records = { 0 };

	while (*lines) {
		size_t line = strcspn(lines, "\n"), n = line + 4 + (line + 4 > 99); /* two digits or three */
		_cleanup_free_ char *record = str_printf("%zu %.*s\n", n, (int)line, lines);

		assert_int_equal(strlen(record), n);
		blob_add_text(&records, record);
		lines += line + (lines[line] ? 1 : 0);
	}
	add_block(tar, &header, records.n);
	add_padded(tar, records.v, records.n);
}

void tar_add(struct blob *tar, const struct tar_entry *e)
{
	if (e->pax)
		add_pax(tar, e->pax);
	add_block(tar, e, e->n);
	add_padded(tar, e->bytes, e->n);
}

void tar_end(struct blob *tar)
{
	static const char zeroes[1024];

	blob_add(tar, zeroes, sizeof(zeroes));
}

/* --- bundles --- */

void sample_begin(struct sample *s)
{
	struct manifest *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	*s = (struct sample){ .m = m, .chunk_bytes = 1024 };
	set_text(&m->name, SAMPLE_NAME);
	set_text(&m->version, "1.0");
	set_text(&m->flavor, "");
	m->serial = 7;
	m->created = 1700000000;
	m->kind = KIND_MODULES;
	set_text(&m->kernel.release, RELEASE);
	set_text(&m->kernel.machine, machine_here());
	set_text(&m->kernel.build_id, BUILD_ID);
	set_text(&m->kernel.vermagic, VERMAGIC);
}

void sample_free(struct sample *s)
{
	manifest_free(s->m);
	blob_free(&s->tar);
	blob_free(&s->stored);
	blob_free(&s->bundle);
}

void sample_promise(struct sample *s, const char *path, const void *bytes, size_t n, unsigned int mode)
{
	struct manifest *m = s->m;
	struct manifest_file *f;

	m->files = reallocarray(m->files, m->n_files + 1, sizeof(*m->files));
	assert_non_null(m->files);
	f = &m->files[m->n_files++];
	*f = (struct manifest_file){ .size = n, .mode = mode };
	set_text(&f->path, path);
	assert_int_equal(EVP_Digest(bytes, n, f->sha256, NULL, EVP_sha256(), NULL), 1);
}

void sample_file(struct sample *s, const char *path, const void *bytes, size_t n)
{
	_cleanup_free_ char *whole = strchr(path, '/') ? strdup(path) : str_printf(SAMPLE_TREE "%s", path);
	const struct tar_entry e = { .path = whole, .bytes = bytes, .n = n };
	char name[LIMIT_NAME_BYTES + 1];

	assert_non_null(whole);
	sample_promise(s, whole, bytes, n, 0644);
	tar_add(&s->tar, &e);
	if (manifest_module_name(whole, name, sizeof(name)))
		add_text(&s->m->load, name);
}

void sample_link(struct sample *s, const char *path, const char *target)
{
	struct manifest *m = s->m;

	m->links = reallocarray(m->links, m->n_links + 1, sizeof(*m->links));
	assert_non_null(m->links);
	m->links[m->n_links] = (struct manifest_link){ 0 };
	set_text(&m->links[m->n_links].path, path);
	set_text(&m->links[m->n_links].target, target);
	m->n_links++;
}

void add_zstd(struct blob *out, const void *bytes, size_t n)
{
	size_t room = ZSTD_compressBound(n);
	_cleanup_bytes_ uint8_t *frame = malloc(room);

	assert_non_null(frame);
	n = ZSTD_compress(frame, room, bytes, n, 1);
	assert_false(ZSTD_isError(n));
	blob_add(out, frame, n);
}

void sample_add_chunk(struct manifest *m, const void *stored, size_t n, size_t size)
{
	struct manifest_chunk *c;

	m->chunks = reallocarray(m->chunks, m->n_chunks + 1, sizeof(*m->chunks));
	assert_non_null(m->chunks);
	c = &m->chunks[m->n_chunks++];
	*c = (struct manifest_chunk){ .stored = (uint32_t)n, .size = (uint32_t)size };
	assert_int_equal(EVP_Digest(stored, n, c->sha256, NULL, EVP_sha256(), NULL), 1);
	m->unpacked += size;
}

void sample_cut(struct sample *s)
{
	for (size_t at = 0; at < s->tar.n;) {
		size_t n = MIN(s->chunk_bytes, s->tar.n - at), before = s->stored.n;

		add_zstd(&s->stored, s->tar.v + at, n);
		sample_add_chunk(s->m, s->stored.v + before, s->stored.n - before, n);
		at += n;
	}
}

void add_frame(struct blob *out, uint32_t magic, const void *bytes, size_t n)
{
	const uint32_t head[2] = { htole32(magic), htole32((uint32_t)n) };

	blob_add(out, head, sizeof(head));
	blob_add(out, bytes, n);
}

void sample_write(struct sample *s)
{
	_cleanup_free_ char *text = manifest_format(s->m), *signature = NULL;

	assert_non_null(text);
	signature = sample_signature(s->key, text, strlen(text), "a sample");
	blob_free(&s->bundle);
	add_frame(&s->bundle, BUNDLE_MAGIC_MANIFEST, text, strlen(text));
	add_frame(&s->bundle, BUNDLE_MAGIC_SIGNATURES, signature, strlen(signature));
	blob_add(&s->bundle, s->stored.v, s->stored.n);
}

void sample_seal(struct sample *s)
{
	tar_end(&s->tar);
	sample_cut(s);
	sample_write(s);
}

/* --- reading them back --- */

struct memory {
	struct reader base;
	const uint8_t *v;
	size_t n, at, step;
	int fail_at;
};

static unsigned int last_reads;
static bool last_closed;

static ssize_t memory_read(struct reader *r, void *buf, size_t len)
{
	struct memory *m = (struct memory *)r;
	size_t n = MIN(len, m->n - m->at);

	if ((int)last_reads++ == m->fail_at)
		return -EUCLEAN; /* as erofs says it */
	if (m->step)
		n = MIN(n, m->step);
	if (n)
		memcpy(buf, m->v + m->at, n);
	m->at += n;
	return (ssize_t)n;
}

static void memory_close(struct reader *r)
{
	last_closed = true;
	free(r);
}

struct reader *memory_reader(const void *bytes, size_t n, size_t step, int fail_at)
{
	static const struct reader_ops ops = { .read = memory_read, .close = memory_close };
	struct memory *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	*m = (struct memory){ .base.ops = &ops, .v = bytes, .n = n, .step = step, .fail_at = fail_at };
	last_reads = 0;
	last_closed = false;
	return &m->base;
}

unsigned int memory_reads(void)
{
	return last_reads;
}

bool memory_closed(void)
{
	return last_closed;
}

int open_sample(const struct blob *bundle, struct bundle **ret, struct err *err)
{
	return bundle_open(memory_reader(bundle->v, bundle->n, 0, -1), sample_ring(0), ret, err);
}
