// SPDX-License-Identifier: Apache-2.0
/*
 * The tar inside. Every bundle here is signed and its chunks hash right: what is wrong is that
 * the tar is not what the manifest says.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sample.h"
#include "unpack.h"

#define KO SAMPLE_TREE "gpu.ko"
#define FW "usr/lib/firmware/gpu.bin"
#define KO_BYTES "the module's bytes"
#define FW_BYTES "the firmware's bytes"

/* --- a sink that notes what it is asked --- */

struct notes {
	char text[1024];
	int fd;        /* the last descriptor that begin gave */
	int begin_fails, done_fails;
};

static void note(struct notes *n, const char *what, const char *name)
{
	size_t used = strlen(n->text);

	snprintf(n->text + used, sizeof(n->text) - used, "%s %s;", what, name);
}

static int notes_begin(void *ctx, const struct manifest_file *f, struct err *err)
{
	struct notes *n = ctx;

	note(n, "begin", strrchr(f->path, '/') + 1);
	if (n->begin_fails)
		return err_set(err, n->begin_fails, "begin");
	n->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(n->fd >= 0);
	return n->fd;
}

static int notes_done(void *ctx, const struct manifest_file *f, int fd, struct err *err)
{
	struct notes *n = ctx;
	char text[64] = "";

	assert_int_equal(fd, n->fd);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), f->size); /* all of it is there */
	note(n, "done", text);
	close(fd);
	return n->done_fails ? err_set(err, n->done_fails, "done") : 0;
}

static void notes_abandon(void *ctx, int fd)
{
	struct notes *n = ctx;

	assert_int_equal(fd, n->fd);
	note(n, "abandon", "");
	close(fd);
}

/* Unpacks the file with the noting sink. */
static int unpack(const struct sample *s, struct notes *n, struct err *err)
{
	const struct unpack_sink sink = { .ctx = n, .begin = notes_begin, .done = notes_done, .abandon = notes_abandon };
	_cleanup_bundle_ struct bundle *b = NULL;

	*err = (struct err){ 0 };
	if (open_sample(&s->bundle, &b, err) < 0)
		fail_msg("the sample itself is wrong: %s", err->text);
	return unpack_bundle(b, &sink, err);
}

/* The manifest promises KO and FW, and a tar of this size. */
#define PROMISED (2 * 1024 + 1024)

static void promise(struct sample *s)
{
	sample_begin(s);
	sample_promise(s, KO, KO_BYTES, strlen(KO_BYTES), 0644);
	sample_promise(s, FW, FW_BYTES, strlen(FW_BYTES), 0644);
	add_text(&s->m->load, "gpu");
}

/* The tar holds these entries instead; zeros up to the promised size, or no more than that. */
static void make(struct sample *s, const struct tar_entry *entries, size_t n)
{
	static const char zeros[PROMISED];

	promise(s);
	for (size_t i = 0; i < n; i++)
		tar_add(&s->tar, &entries[i]);
	blob_add(&s->tar, zeros, sizeof(zeros));
	s->tar.n = PROMISED;
	sample_cut(s);
	sample_write(s);
}

#define ENTRY_KO { .path = KO, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 }
#define ENTRY_FW { .path = FW, .bytes = FW_BYTES, .n = sizeof(FW_BYTES) - 1 }

static const struct tar_entry right[] = { ENTRY_KO, ENTRY_FW };

/* --- right --- */

static void test_files_come_in_order_and_are_done_only_when_whole(void **state)
{
	_cleanup_sample_ struct sample s;
	struct notes n = { 0 };
	struct err err;

	(void)state;
	make(&s, right, 2);
	assert_int_equal(unpack(&s, &n, &err), 0);
	assert_string_equal(n.text, "begin gpu.ko;done " KO_BYTES ";begin gpu.bin;done " FW_BYTES ";");
}

static void test_without_a_sink_it_is_only_checked(void **state)
{
	_cleanup_sample_ struct sample s, bad;
	struct err err;

	(void)state;
	make(&s, right, 2);
	make(&bad, right, 1);
	const struct {
		const struct sample *s;
		int code;
	} cases[] = { { &s, 0 }, { &bad, -E_CORRUPT } };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_bundle_ struct bundle *b = NULL;

		assert_int_equal(open_sample(&cases[i].s->bundle, &b, &err), 0);
		assert_int_equal(unpack_bundle(b, NULL, &err), cases[i].code);
	}
}

static void test_files_of_no_bytes_and_of_many_chunks(void **state)
{
	_cleanup_blob_ struct blob big = { 0 };
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct err err;

	(void)state;
	blob_fill(&big, 'x', 5000);
	sample_begin(&s);
	s.chunk_bytes = 700; /* chunks end in the middle of headers and of files */
	sample_file(&s, "a.ko", "", 0);
	sample_file(&s, "b.ko", big.v, big.n);
	sample_file(&s, "c.ko", "", 0);
	sample_seal(&s);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	assert_int_equal(unpack_bundle(b, NULL, &err), 0);
}

/* --- wrong --- */

static void test_a_tar_that_is_not_what_the_manifest_says_is_refused(void **state)
{
	static const struct {
		const char *what, *says;
		struct tar_entry entries[3];
		const char *notes;
	} cases[] = {
		{ "nothing", "no ustar header where that of " KO, { { 0 } }, "" },
		{ "a file is missing", "no ustar header where that of " FW, { ENTRY_KO }, "begin gpu.ko;done " KO_BYTES ";" },
		{ "another order", "an entry that is not " KO, { ENTRY_FW, ENTRY_KO }, "" },
		{ "one file more", "something where its end should be",
		  { ENTRY_KO, ENTRY_FW, { .path = "usr/lib/firmware/z", .bytes = "", .n = 0 } },
		  "begin gpu.ko;done " KO_BYTES ";begin gpu.bin;done " FW_BYTES ";" },
		{ "one file twice", "an entry that is not " FW, { ENTRY_KO, ENTRY_KO, ENTRY_FW },
		  "begin gpu.ko;done " KO_BYTES ";" },
		{ "another path", "an entry that is not " KO, { { .path = "etc/shadow", .bytes = "x", .n = 1 } }, "" },
		{ "a path from the root", "an entry that is not " KO,
		  { { .path = "/" KO, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "a path with a dot", "an entry that is not " KO,
		  { { .path = "./" KO, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "a directory before it", "an entry that is not " KO, { { .path = "usr/", .type = '5', .mode = 0755 } },
		  "" },
		{ "a directory in its place", "an entry that is not " KO, { { .path = KO "/", .type = '5', .mode = 0644 } }, "" },
		{ "a symbolic link", "is not a regular file", { { .path = KO, .type = '2', .link = "/etc/shadow" } }, "" },
		{ "a hard link", "is not a regular file", { { .path = KO, .type = '1', .link = "etc/shadow" } }, "" },
		{ "a hard link with bytes", "is not a regular file",
		  { { .path = KO, .type = '1', .link = "etc/shadow", .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "a character device", "is not a regular file", { { .path = KO, .type = '3' } }, "" },
		{ "a block device", "is not a regular file", { { .path = KO, .type = '4' } }, "" },
		{ "a FIFO", "is not a regular file", { { .path = KO, .type = '6' } }, "" },
		{ "shorter", "has another size", { { .path = KO, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 2 } }, "" },
		{ "longer", "has another size", { { .path = KO, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) } }, "" },
		{ "other bytes", KO " does not match its hash",
		  { { .path = KO, .bytes = "the mOdule's bytes", .n = sizeof(KO_BYTES) - 1 } },
		  "begin gpu.ko;abandon ;" },
		{ "executable", "has another mode",
		  { { .path = KO, .mode = 0755, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "setuid", "has another mode",
		  { { .path = KO, .mode = 04644, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "setgid", "has another mode",
		  { { .path = KO, .mode = 02644, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "sticky", "has another mode",
		  { { .path = KO, .mode = 01644, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "another owner", "does not belong to root",
		  { { .path = KO, .uid = 1000, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "another group", "does not belong to root",
		  { { .path = KO, .gid = 1000, .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "an extended attribute", "an entry that is not " KO,
		  { { .path = KO, .pax = "SCHILY.xattr.security.capability=x", .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "another path by pax header", "an entry that is not " KO,
		  { { .path = KO, .pax = "path=etc/shadow", .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "holes", "an entry that is not " KO,
		  { { .path = KO, .pax = "GNU.sparse.size=18\nGNU.sparse.map=0,1,17,1", .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } }, "" },
		{ "a pax header of the file's name", "is not a regular file", { { .path = KO, .type = 'x', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "a global pax header", "is not a regular file", { { .path = KO, .type = 'g', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "a long name", "is not a regular file", { { .path = KO, .type = 'L', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "a long link", "is not a regular file", { { .path = KO, .type = 'K', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "a volume label", "is not a regular file", { { .path = KO, .type = 'V', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "a sparse file", "is not a regular file", { { .path = KO, .type = 'S', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
		{ "contiguous, by its type", "is not a regular file", { { .path = KO, .type = '7', .bytes = KO_BYTES, .n = sizeof(KO_BYTES) - 1 } },
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_sample_ struct sample s;
		struct notes n = { 0 };
		struct err err;
		size_t entries = 0;

		while (entries < 3 && cases[i].entries[entries].path)
			entries++;
		make(&s, cases[i].entries, entries);
		if (unpack(&s, &n, &err) != -E_CORRUPT)
			fail_msg("%s: %d %s", cases[i].what, err.code, err.text);
		if (!strstr(err.text, cases[i].says))
			fail_msg("%s: \"%s\" does not hold \"%s\"", cases[i].what, err.text, cases[i].says);
		if (!streq(n.text, cases[i].notes))
			fail_msg("%s: the sink was asked: %s", cases[i].what, n.text);
	}
}

static void put_checksum(uint8_t *header)
{
	unsigned int sum = 0;

	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += header[i];
	snprintf((char *)header + 148, 8, "%06o", sum);
}

/* What a general reader passes over on its way to the next file: here it stands where a header must be. */
static void test_no_block_is_passed_over_before_a_file_that_ends_in_zeros(void **state)
{
	static const char zeros[2048];
	static const struct {
		const char *what;
		struct tar_entry extra;
	} cases[] = {
		{ "a long name", { .path = "././@LongLink", .type = 'L', .bytes = FW, .n = sizeof(FW) } },
		{ "a long link", { .path = "././@LongLink", .type = 'K', .bytes = FW, .n = sizeof(FW) } },
		{ "a pax header", { .path = "PaxHeaders/x", .type = 'x', .bytes = "12 uid=1000\n", .n = 12 } },
		{ "a global pax header", { .path = "PaxHeaders/x", .type = 'g', .bytes = "12 uid=1000\n", .n = 12 } },
		{ "a Solaris ACL", { .path = "acl", .type = 'A', .bytes = "1000007", .n = 8 } },
		{ "a volume label", { .path = "label", .type = 'V', .bytes = "x", .n = 1 } },
		{ "a Mac's metadata", { .path = "usr/lib/firmware/._gpu.bin", .bytes = "x", .n = 1 } },
		{ "a file of the next one's name", { .path = FW, .bytes = "x", .n = 1 } },
	};
	const struct tar_entry file = { .path = FW, .bytes = zeros, .n = sizeof(zeros) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_sample_ struct sample s;
		struct notes n = { 0 };
		struct err err;

		sample_begin(&s);
		sample_file(&s, "gpu.ko", KO_BYTES, strlen(KO_BYTES));
		sample_promise(&s, FW, zeros, sizeof(zeros), 0644);
		tar_add(&s.tar, &cases[i].extra);
		tar_add(&s.tar, &file);
		sample_cut(&s); /* its size is right: the header in front is where the end should be */
		sample_write(&s);
		assert_case(cases[i].what, unpack(&s, &n, &err) == -E_CORRUPT);
		assert_case(cases[i].what, strstr(err.text, "tar: ") && strstr(err.text, FW));
		assert_case(cases[i].what, streq(n.text, "begin gpu.ko;done " KO_BYTES ";"));
	}
}

static void test_a_tar_with_zeros_from_any_place_on_is_refused(void **state)
{
	_cleanup_sample_ struct sample whole;

	(void)state;
	make(&whole, right, 2);
	for (size_t n = 0; n < PROMISED - 1024 - (512 - sizeof(FW_BYTES) + 1); n += 128) {
		_cleanup_sample_ struct sample s;
		struct notes notes = { 0 };
		struct err err;

		promise(&s);
		blob_add(&s.tar, whole.tar.v, whole.tar.n);
		memset(s.tar.v + n, 0, s.tar.n - n);
		sample_cut(&s);
		sample_write(&s);
		if (unpack(&s, &notes, &err) != -E_CORRUPT)
			fail_msg("zeros from %zu on: %d", n, err.code);
	}
}

/* The whole tar follows from the manifest but for what its readers do not look at. */
static void test_each_byte_is_compared(void **state)
{
	static const struct {
		const char *what;
		size_t from, to; /* of a header */
	} ignored[] = { { "mtime", 136, 148 }, { "link", 157, 257 }, { "owner and device", 265, 345 } };
	_cleanup_sample_ struct sample whole;

	(void)state;
	make(&whole, right, 2);
	for (size_t at = 0; at < PROMISED; at++) {
		_cleanup_sample_ struct sample s;
		struct notes notes = { 0 };
		size_t in_header = at % 1024;
		bool free_to_be = false;
		struct err err;

		for (size_t i = 0; at < PROMISED - 1024 && i < ARRAY_SIZE(ignored); i++)
			free_to_be |= in_header >= ignored[i].from && in_header < ignored[i].to;
		promise(&s);
		s.chunk_bytes = PROMISED;
		blob_add(&s.tar, whole.tar.v, whole.tar.n);
		s.tar.v[at] ^= 1;
		if (in_header < 512 && at < PROMISED - 1024 && (in_header < 148 || in_header >= 156))
			put_checksum(s.tar.v + at - in_header);
		sample_cut(&s);
		sample_write(&s);
		if (unpack(&s, &notes, &err) != (free_to_be ? 0 : -E_CORRUPT))
			fail_msg("byte %zu: %d", at, err.code);
	}
}

static void test_a_header_that_is_damaged_is_refused(void **state)
{
	for (size_t entry = 0; entry < 2; entry++) {
		_cleanup_sample_ struct sample s;
		struct notes n = { 0 };
		struct err err;

		(void)state;
		sample_begin(&s);
		sample_promise(&s, KO, KO_BYTES, strlen(KO_BYTES), 0644);
		sample_promise(&s, FW, FW_BYTES, strlen(FW_BYTES), 0644);
		add_text(&s.m->load, "gpu");
		for (size_t i = 0; i < 2; i++)
			tar_add(&s.tar, &right[i]);
		s.tar.v[entry * 1024 + 500] ^= 1; /* padding, which the checksum covers */
		sample_seal(&s);
		assert_int_equal(unpack(&s, &n, &err), -E_CORRUPT);
	}
}

static void test_damage_in_a_later_chunk_ends_the_file_that_was_begun(void **state)
{
	_cleanup_blob_ struct blob big = { 0 };
	_cleanup_sample_ struct sample s;
	struct notes n = { 0 };
	struct err err;

	(void)state;
	blob_fill(&big, 'x', 3000);
	sample_begin(&s);
	sample_file(&s, "gpu.ko", big.v, big.n);
	sample_seal(&s);
	assert_true(s.m->n_chunks >= 3);
	s.bundle.v[s.bundle.n - s.stored.n + s.m->chunks[0].stored] ^= 1; /* in the second chunk, inside the file */
	assert_int_equal(unpack(&s, &n, &err), -E_CORRUPT);
	assert_string_equal(n.text, "begin gpu.ko;abandon ;");
	assert_contains(err.text, "chunk 2 of");
}

static void test_chunks_of_the_end_are_hashed_too(void **state)
{
	_cleanup_sample_ struct sample s;

	(void)state;
	sample_begin(&s);
	s.chunk_bytes = 512;
	sample_file(&s, "gpu.ko", "", 0);
	sample_seal(&s);
	for (unsigned int damaged = 0; damaged < 2; damaged++) {
		_cleanup_bundle_ struct bundle *b = NULL;
		struct err err;

		s.bundle.v[s.bundle.n - 1] ^= (uint8_t)damaged;
		assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
		assert_int_equal(unpack_bundle(b, NULL, &err), damaged ? -E_CORRUPT : 0);
		if (damaged)
			assert_contains(err.text, "chunk 3 of 3 does not match its hash");
	}
}

/* --- a sink that fails --- */

static void test_what_the_sink_says_comes_out(void **state)
{
	_cleanup_sample_ struct sample s;
	struct notes no_begin = { .begin_fails = -E_NO_SPACE }, no_done = { .done_fails = -EROFS };
	struct err err;

	(void)state;
	make(&s, right, 2);
	assert_int_equal(unpack(&s, &no_begin, &err), -E_NO_SPACE);
	assert_string_equal(no_begin.text, "begin gpu.ko;");
	assert_int_equal(unpack(&s, &no_done, &err), -EROFS);
	assert_string_equal(no_done.text, "begin gpu.ko;done " KO_BYTES ";");
}

static int full_begin(void *ctx, const struct manifest_file *f, struct err *err)
{
	(void)f;
	(void)err;
	*(int *)ctx = open("/dev/full", O_WRONLY | O_CLOEXEC);
	return *(int *)ctx;
}

static int full_done(void *ctx, const struct manifest_file *f, int fd, struct err *err)
{
	(void)ctx;
	(void)f;
	(void)err;
	close(fd);
	return 0;
}

static void full_abandon(void *ctx, int fd)
{
	close(fd);
	*(int *)ctx = -1;
}

static void test_a_full_disk_is_no_space_and_the_file_is_abandoned(void **state)
{
	int fd = 0;
	const struct unpack_sink sink = { .ctx = &fd, .begin = full_begin, .done = full_done, .abandon = full_abandon };
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct err err;

	(void)state;
	make(&s, right, 2);
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	assert_int_equal(unpack_bundle(b, &sink, &err), -E_NO_SPACE);
	assert_contains(err.text, "writing " KO);
	assert_int_equal(fd, -1);
}

/* --- into a directory --- */

static int unpack_below(const struct place *p, const struct sample *s, const char *dir, struct err *err)
{
	_cleanup_close_ int fd = openat(p->fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_bundle_ struct bundle *b = NULL;

	assert_true(fd >= 0);
	if (open_sample(&s->bundle, &b, err) < 0)
		fail_msg("the sample itself is wrong: %s", err->text);
	return unpack_to_dir(b, fd, err);
}

static void make_linked(struct sample *s)
{
	const struct tar_entry script = { .path = "usr/lib/firmware/x/run", .mode = 0755, .bytes = "y", .n = 1 };

	sample_begin(s);
	sample_file(s, "gpu.ko", KO_BYTES, strlen(KO_BYTES));
	sample_file(s, FW, FW_BYTES, strlen(FW_BYTES));
	sample_promise(s, script.path, "y", 1, 0755);
	tar_add(&s->tar, &script);
	sample_link(s, "usr/lib/firmware/x/link", "run");
	sample_link(s, "usr/lib/firmware/new/link", "nothing-there");
	sample_seal(s);
}

static void test_a_file_whose_hash_does_not_hold_ends_the_unpacking(void **state)
{
	const struct tar_entry changed = { .path = KO, .bytes = "the mOdule's bytes", .n = sizeof(KO_BYTES) - 1 };
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	struct err err;

	make(&s, &changed, 1);
	put_dir(p, "out");
	assert_int_equal(unpack_below(p, &s, "out", &err), -E_CORRUPT);
	assert_false(is_there(p, "out/" FW));
}

static mode_t mode_of(const struct place *p, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(p->fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode;
}

static void test_a_directory_gets_files_modes_and_links(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *ko = NULL;
	char target[32] = "";
	mode_t mask = umask(077);
	struct err err;

	make_linked(&s);
	put_dir(p, "out");
	assert_int_equal(unpack_below(p, &s, "out", &err), 0);
	umask(mask);
	ko = get_text(p, "out/" KO);
	assert_string_equal(ko, KO_BYTES);
	assert_int_equal(mode_of(p, "out/" KO), S_IFREG | 0644); /* whatever the umask */
	assert_int_equal(mode_of(p, "out/usr/lib/firmware/x/run"), S_IFREG | 0755);
	assert_int_equal(readlinkat(p->fd, "out/usr/lib/firmware/x/link", target, sizeof(target) - 1), 3);
	assert_string_equal(target, "run");
	assert_true(S_ISLNK(mode_of(p, "out/usr/lib/firmware/new/link")));
}

static void test_nothing_is_overwritten(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_free_ char *old = NULL;
	struct err err;

	make_linked(&s);
	put_text(p, "out/" KO, "older");
	assert_int_equal(unpack_below(p, &s, "out", &err), -EEXIST);
	old = get_text(p, "out/" KO);
	assert_string_equal(old, "older");
	put_text(p, "other/usr/lib/firmware/x/link", "a file");
	assert_int_equal(unpack_below(p, &s, "other", &err), -EEXIST);
}

static void test_planted_links_are_not_followed(void **state)
{
	static const struct {
		const char *link, *target;
	} planted[] = {
		{ "out/usr", "../elsewhere" },
		{ "out/usr/lib", "/" },
		{ "out/usr/lib/modules", "../../../elsewhere" },
		{ "out/usr/lib/firmware", "../../../elsewhere" },
		{ "out/usr/lib/firmware", "modules" },
		{ "out/" KO, "/etc/modulus-was-here" },
		{ "out/" KO, "nowhere" },
		{ "out/usr/lib/firmware/new", "../../../../elsewhere" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(planted); i++) {
		_cleanup_sample_ struct sample s;
		struct place *p;
		struct err err;
		int r;

		place_setup((void **)&p);
		make_linked(&s);
		put_dir(p, "out");
		put_dir(p, "elsewhere");
		put_link(p, planted[i].link, planted[i].target);
		r = unpack_below(p, &s, "out", &err);
		if (r != -ELOOP && r != -EEXIST)
			fail_msg("%s -> %s: %d", planted[i].link, planted[i].target, r);
		assert_case(planted[i].link, count_entries(p, "elsewhere") == 0);
		place_teardown((void **)&p);
	}
}

/* The last link's place is taken: all files, all directories and the first link were made by then. */
static void test_after_a_failure_there_is_what_was_there_before(void **state)
{
	static const char *const taken[] = { "out/usr/lib/firmware/new/link", "out/usr/lib/firmware/x/run",
					     "out/usr/lib/firmware/x/link", "out/" KO };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
		_cleanup_sample_ struct sample s;
		struct place *p;
		struct err err;

		place_setup((void **)&p);
		make_linked(&s);
		put_dir(p, "out/usr/lib/modules"); /* empty, and not ours */
		put_text(p, taken[i], "theirs");
		assert_case(taken[i], unpack_below(p, &s, "out", &err) == -EEXIST);
		assert_case(taken[i], is_there(p, "out/usr/lib/modules") && is_there(p, taken[i]));
		assert_case(taken[i], i == 3 || count_entries(p, "out/usr/lib/modules") == 0);
		assert_case(taken[i], i < 3 || count_entries(p, "out/" SAMPLE_TREE) == 1);
		assert_case(taken[i], count_entries(p, "out/usr/lib") == (i < 3 ? 2 : 1));
		assert_case(taken[i], i == 3 || count_entries(p, "out/usr/lib/firmware") == 1);
		place_teardown((void **)&p);
	}
}

/* Descriptors are what can be made scarce here: with one, "usr" is made and cannot be opened. */
static void test_directories_of_a_file_that_could_not_be_made_go_again(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	struct rlimit old, few;
	unsigned int failures = 0;
	int dir, r;

	if (!has_openat2()) /* what takes its place opens each directory on the way, when a directory is to go, too */
		skip();
	make_linked(&s);
	put_dir(p, "out");
	dir = openat(p->fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)dir + 1;
	do {
		_cleanup_bundle_ struct bundle *b = NULL;
		struct err err;

		assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = unpack_to_dir(b, dir, &err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (r < 0) {
			failures++;
			assert_int_equal(r, -EMFILE);
			assert_int_equal(count_entries(p, "out"), 0);
		}
	} while (few.rlim_cur++ < (rlim_t)dir + 10 && r < 0);
	assert_int_equal(r, 0);
	assert_true(failures >= 2);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_come_in_order_and_are_done_only_when_whole),
		cmocka_unit_test(test_without_a_sink_it_is_only_checked),
		cmocka_unit_test(test_files_of_no_bytes_and_of_many_chunks),
		cmocka_unit_test(test_a_tar_that_is_not_what_the_manifest_says_is_refused),
		cmocka_unit_test(test_no_block_is_passed_over_before_a_file_that_ends_in_zeros),
		cmocka_unit_test(test_a_tar_with_zeros_from_any_place_on_is_refused),
		cmocka_unit_test(test_each_byte_is_compared),
		cmocka_unit_test(test_a_header_that_is_damaged_is_refused),
		cmocka_unit_test(test_damage_in_a_later_chunk_ends_the_file_that_was_begun),
		cmocka_unit_test(test_chunks_of_the_end_are_hashed_too),
		cmocka_unit_test(test_what_the_sink_says_comes_out),
		cmocka_unit_test(test_a_full_disk_is_no_space_and_the_file_is_abandoned),
		at_place(test_a_directory_gets_files_modes_and_links),
		at_place(test_a_file_whose_hash_does_not_hold_ends_the_unpacking),
		at_place(test_nothing_is_overwritten),
		cmocka_unit_test(test_planted_links_are_not_followed),
		cmocka_unit_test(test_after_a_failure_there_is_what_was_there_before),
		at_place(test_directories_of_a_file_that_could_not_be_made_go_again),
	};

	return cmocka_run_group_tests_name("unpack", tests, NULL, NULL);
}
