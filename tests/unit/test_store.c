// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "sample.h"
#include "store.h"

static void make(struct sample *s)
{
	sample_begin(s);
	sample_file(s, "gpu.ko", "the module's bytes", 18);
	sample_seal(s);
}

/* Where the cache keeps the bundle, below the place. Caller frees. */
static char *path_of(const struct bundle *b, const char *release)
{
	return str_printf("root" STORE_DIR "/%s/" SAMPLE_NAME "-%s-%s.tar.zst", release,
			  manifest_kind_word(bundle_manifest(b)->kind), bundle_manifest(b)->digest);
}

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define N16 "nnnnnnnnnnnnnnnn"

static const struct {
	const char *file, *name; /* NULL: not a name that the cache gives */
	enum bundle_kind kind;
} names[] = {
	{ "gpu-modules-" HEX64 ".tar.zst", "gpu", KIND_MODULES },
	{ "g_p-u0-firmware-" HEX64 ".tar.zst", "g_p-u0", KIND_FIRMWARE },
	{ "modules-runtime-" HEX64 ".tar.zst", "modules", KIND_RUNTIME },
	{ N16 N16 N16 N16 "-modules-" HEX64 ".tar.zst", N16 N16 N16 N16, KIND_MODULES },
	{ N16 N16 N16 N16 "n-modules-" HEX64 ".tar.zst", NULL, 0 },
	{ "-modules-" HEX64 ".tar.zst", NULL, 0 },
	{ "modules-" HEX64 ".tar.zst", NULL, 0 },
	{ "gpu-kernel-" HEX64 ".tar.zst", NULL, 0 },
	{ "gpu-modules-" HEX64 ".tar", NULL, 0 },
	{ "gpu-modules-X" HEX64 ".tar.zst", NULL, 0 },
	{ "gpu-modules-" HEX64 "0.tar.zst", NULL, 0 },
	/* such a name would be shown to a person */
	{ "a\x1b[2J-modules-" HEX64 ".tar.zst", NULL, 0 },
	{ "\xfc-modules-" HEX64 ".tar.zst", NULL, 0 },
	{ "a b-modules-" HEX64 ".tar.zst", NULL, 0 },
};

static void test_names_that_the_cache_gives(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct store_name n;
		bool good = store_parse_name(names[i].file, &n);

		assert_case(names[i].file, good == (names[i].name != NULL));
		if (!good)
			continue;
		assert_string_equal(n.name, names[i].name);
		assert_string_equal(n.digest, HEX64);
		assert_int_equal(n.kind, names[i].kind);
	}
}

/* Reads all chunks past the copy. */
static void copy_chunks(struct bundle *b, struct store_copy *c)
{
	const void *bytes;
	struct err err;
	size_t n;
	int r;

	bundle_set_tee(b, store_append, c);
	while ((r = bundle_next(b, &bytes, &n, &err)) > 0)
		;
	assert_int_equal(r, 0);
}

static struct bundle *opened(const struct sample *s)
{
	struct bundle *b = NULL;
	struct err err;

	assert_int_equal(open_sample(&s->bundle, &b, &err), 0);
	return b;
}

static struct store_copy *begun(const struct place *p, const struct bundle *b, bool replace)
{
	struct store_copy *c = NULL;
	struct err err = { 0 };

	if (store_begin(&p->host, NULL, b, replace, &c, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static void put_in_cache(const struct place *p, const struct sample *s)
{
	_cleanup_bundle_ struct bundle *b = opened(s);
	struct store_copy *c = begun(p, b, false);
	_cleanup_free_ char *path = NULL;
	struct err err;

	assert_non_null(c);
	copy_chunks(b, c);
	assert_int_equal(store_publish(c, &path, &err), 0);
}

static void test_a_published_copy_is_the_bundle_byte_for_byte(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL, *whole = NULL, *expected = NULL, *text = NULL;
	struct store_copy *c;
	struct stat st;
	struct err err;
	size_t n;

	make(&s);
	b = opened(&s);
	expected = path_of(b, RELEASE);
	c = begun(p, b, false);
	assert_non_null(c);
	assert_false(is_there(p, expected)); /* not before it is whole */
	copy_chunks(b, c);
	assert_false(is_there(p, expected));
	assert_int_equal(store_publish(c, &path, &err), 0);
	whole = str_printf("root%s", path);
	assert_string_equal(whole, expected);
	assert_int_equal(read_whole_at(p->fd, expected, 1u << 20, &text, &n), 0);
	assert_int_equal(n, s.bundle.n);
	assert_memory_equal(text, s.bundle.v, n);
	assert_int_equal(fstatat(p->fd, expected, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 1); /* nothing beside it */
}

static void test_what_is_bound_to_no_kernel_goes_to_any(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;

	sample_begin(&s);
	s.m->kind = KIND_FIRMWARE;
	set_text(&s.m->kernel.release, NULL);
	sample_file(&s, "usr/lib/firmware/gpu.bin", "x", 1);
	sample_seal(&s);
	put_in_cache(p, &s);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/any"), 1);
	assert_int_equal(count_entries(p, "root" STORE_DIR), 1);
}

static void test_what_is_there_already_is_not_written_again(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;

	make(&s);
	put_in_cache(p, &s);
	b = opened(&s);
	assert_null(begun(p, b, false));
}

static void test_a_file_of_another_size_under_that_name_is_written_again(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t n;

	make(&s);
	b = opened(&s);
	path = path_of(b, RELEASE);
	put_blob(p, path, s.bundle.v, s.bundle.n - 1);
	put_in_cache(p, &s);
	assert_int_equal(read_whole_at(p->fd, path, 1u << 20, &text, &n), 0);
	assert_int_equal(n, s.bundle.n);
}

static void test_a_damaged_file_of_the_right_size_is_replaced_on_demand(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_blob_ struct blob damaged = { 0 };
	_cleanup_free_ char *path = NULL, *published = NULL, *text = NULL;
	struct store_copy *c;
	struct err err;
	size_t n;

	make(&s);
	b = opened(&s);
	path = path_of(b, RELEASE);
	blob_fill(&damaged, 'x', s.bundle.n);
	put_blob(p, path, damaged.v, damaged.n);
	assert_null(begun(p, b, false));
	c = begun(p, b, true);
	assert_non_null(c);
	copy_chunks(b, c);
	text = get_text(p, path);
	assert_int_equal(text[0], 'x'); /* the old one stays until the new one is whole */
	free(text);
	text = NULL;
	assert_int_equal(store_publish(c, &published, &err), 0);
	assert_int_equal(read_whole_at(p->fd, path, 1u << 20, &text, &n), 0);
	assert_memory_equal(text, s.bundle.v, s.bundle.n);
}

static void test_what_a_power_cut_left_is_overwritten(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_blob_ struct blob rubbish = { 0 };
	_cleanup_free_ char *part = NULL, *text = NULL, *path = NULL;
	size_t n;

	make(&s);
	b = opened(&s);
	path = path_of(b, RELEASE);
	part = str_printf("root" STORE_DIR "/" RELEASE "/.%s.part", strrchr(path, '/') + 1);
	blob_fill(&rubbish, 'x', 2 * s.bundle.n);
	put_blob(p, part, rubbish.v, rubbish.n);
	put_in_cache(p, &s);
	assert_false(is_there(p, part));
	assert_int_equal(read_whole_at(p->fd, path, 1u << 20, &text, &n), 0);
	assert_int_equal(n, s.bundle.n);
}

static void test_a_copy_that_is_given_up_leaves_nothing(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct store_copy *c;

	make(&s);
	b = opened(&s);
	c = begun(p, b, false);
	assert_non_null(c);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 1);
	store_abandon(c);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 0);
	store_abandon(NULL);
}

static void test_links_on_the_way_are_not_followed(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct store_copy *c = NULL;
	struct err err;

	make(&s);
	b = opened(&s);
	put_dir(p, "elsewhere");
	put_link(p, "root" STORE_DIR "/" RELEASE, "../../../../../elsewhere");
	assert_int_equal(store_begin(&p->host, NULL, b, false, &c, &err), -ELOOP);
	assert_null(c);
	assert_int_equal(count_entries(p, "elsewhere"), 0);
}

static void test_a_planted_link_in_place_of_the_part_is_not_written_through(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL, *part = NULL, *victim = NULL;
	struct store_copy *c = NULL;
	struct err err;

	make(&s);
	b = opened(&s);
	path = path_of(b, RELEASE);
	part = str_printf("root" STORE_DIR "/" RELEASE "/.%s.part", strrchr(path, '/') + 1);
	put_text(p, "root" STORE_DIR "/" RELEASE "/victim", "precious");
	put_link(p, part, "victim");
	assert_int_equal(store_begin(&p->host, NULL, b, false, &c, &err), -ELOOP);
	victim = get_text(p, "root" STORE_DIR "/" RELEASE "/victim");
	assert_string_equal(victim, "precious");
}

static void test_a_cache_below_a_mount_to_come_is_unreachable(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	struct store_copy *c = NULL;
	struct err err;

	make(&s);
	b = opened(&s);
	put_text(p, "root/etc/fstab", "UUID=1 / ext4 ro 0 1\nUUID=2 /var ext4 defaults 0 2\n");
	assert_int_equal(store_begin(&p->host, NULL, b, false, &c, &err), -E_CACHE_UNREACHABLE);
	assert_null(c);
	assert_false(is_there(p, "root/var"));
}

static void test_a_write_that_fails_comes_out_at_the_end_and_leaves_nothing(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL;
	struct store_copy *c;
	struct err err;

	make(&s);
	b = opened(&s);
	c = begun(p, b, false);
	assert_non_null(c);
	/* memory that cannot be read: write(2) says EFAULT */
	assert_int_equal(store_append(c, (const void *)8, 16), -EFAULT);
	assert_int_equal(store_append(c, "good", 4), -EFAULT); /* remembered: nothing more is written */
	assert_int_equal(store_publish(c, &path, &err), -EFAULT);
	assert_contains(err.text, "cache: writing " STORE_DIR);
	assert_null(path);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 0);
}

static void test_names_are_taken_apart_from_their_end(void **state)
{
	static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const struct {
		const char *before, *after; /* of the digest */
		const char *name;	    /* NULL: not such a name */
		enum bundle_kind kind;
	} cases[] = {
		{ "gpu-modules-", ".tar.zst", "gpu", KIND_MODULES },
		{ "gpu-modules-firmware-", ".tar.zst", "gpu-modules", KIND_FIRMWARE },
		{ "g-runtime-", ".tar.zst", "g", KIND_RUNTIME },
		{ "-modules-", ".tar.zst", NULL, 0 },
		{ "modules-", ".tar.zst", NULL, 0 },
		{ "gpu-other-", ".tar.zst", NULL, 0 },
		{ "gpumodules-", ".tar.zst", NULL, 0 },
		{ "gpu-modules", ".tar.zst", NULL, 0 },
		{ "gpu-modules-", ".tar", NULL, 0 },
		{ "gpu-modules-0", ".tar.zst", NULL, 0 },
		{ "gpu-modules-", "0.tar.zst", NULL, 0 },
		{ "", ".tar.zst", NULL, 0 },
	};
	struct store_name n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *file = str_printf("%s%s%s", cases[i].before, hex, cases[i].after);

		assert_case(file, store_parse_name(file, &n) == (cases[i].name != NULL));
		if (!cases[i].name)
			continue;
		assert_string_equal(n.name, cases[i].name);
		assert_int_equal(n.kind, cases[i].kind);
		assert_string_equal(n.digest, hex);
	}
	assert_false(store_parse_name("", &n));
	assert_false(store_parse_name("gpu-modules-XYZ.tar.zst", &n));
	for (size_t len = LIMIT_NAME_BYTES; len <= LIMIT_NAME_BYTES + 1; len++) {
		_cleanup_free_ char *file = str_printf("%0*d-modules-%s.tar.zst", (int)len, 0, hex);

		assert_int_equal(store_parse_name(file, &n), len <= LIMIT_NAME_BYTES);
	}
}

static void test_a_sweep_removes_leftovers_but_not_what_is_being_written(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_close_ int dir = -EBADF;
	int busy[2], done;
	char c;
	pid_t pid;

	make(&s);
	b = opened(&s);
	put_text(p, "root" STORE_DIR "/" RELEASE "/.old.tar.zst.part", "half");
	put_text(p, "root" STORE_DIR "/" RELEASE "/.tar.zst", "not a copy");
	put_text(p, "root" STORE_DIR "/" RELEASE "/x.tar.zst.part", "not one of ours");
	put_link(p, "root" STORE_DIR "/" RELEASE "/.link.tar.zst.part", "x.tar.zst.part");
	/* locks are a process' own: the writer must be another one */
	assert_int_equal(pipe(busy), 0);
	pid = fork();
	if (pid == 0) {
		struct store_copy *copy = NULL;
		struct err err;
		bool ok = store_begin(&p->host, NULL, b, false, &copy, &err) == 0;

		(void)!write(busy[1], "x", ok);
		close(busy[1]);
		(void)pause();
		_exit(0);
	}
	close(busy[1]);
	assert_int_equal(read(busy[0], &c, 1), 1);
	close(busy[0]);
	dir = openat(p->fd, "root" STORE_DIR "/" RELEASE, O_RDONLY | O_DIRECTORY);
	store_sweep(dir);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 4); /* the copy is one of them */
	assert_false(is_there(p, "root" STORE_DIR "/" RELEASE "/.old.tar.zst.part"));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &done, 0), pid);
	store_sweep(dir);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 3);
}

/* --- quarantine --- */

#define FOLDER "root" STORE_DIR "/" RELEASE "/"
#define ASIDE "root" STORE_DIR "/" STORE_QUARANTINE "/"

static int put_aside(const struct place *p, const char *file)
{
	struct err err;

	return store_quarantine(&p->host, NULL, RELEASE, file, &err);
}

static void test_what_is_put_aside_keeps_its_name_and_bytes(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *text = NULL;

	put_text(p, FOLDER "x.tar.zst", "damaged");
	assert_int_equal(put_aside(p, "x.tar.zst"), 0);
	assert_false(is_there(p, FOLDER "x.tar.zst"));
	text = get_text(p, ASIDE "x.tar.zst");
	assert_string_equal(text, "damaged");
	assert_int_equal(put_aside(p, "x.tar.zst"), -ENOENT);
}

static void test_no_more_is_kept_aside_than_the_limit(void **state)
{
	struct place *p = *state;
	const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };

	for (unsigned int i = 0; i <= CACHE_QUARANTINE_FILES; i++) {
		_cleanup_free_ char *file = str_printf("%u.tar.zst", i), *path = str_printf(FOLDER "%s", file);

		put_text(p, path, "x");
		assert_int_equal(put_aside(p, file), 0);
		assert_int_equal(count_entries(p, ASIDE), MIN(i + 1, CACHE_QUARANTINE_FILES));
		(void)nanosleep(&moment, NULL);
	}
	assert_false(is_there(p, ASIDE "0.tar.zst")); /* the oldest went */
}

static void test_no_more_bytes_are_kept_aside_than_the_limit(void **state)
{
	static const struct {
		off_t size;
		bool kept;
	} cases[] = { { CACHE_QUARANTINE_BYTES, true }, { CACHE_QUARANTINE_BYTES + 1, false } };
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = NULL;

		put_text(p, FOLDER "big.tar.zst", "");
		path = place_path(p, FOLDER "big.tar.zst");
		assert_int_equal(truncate(path, cases[i].size), 0);
		assert_int_equal(put_aside(p, "big.tar.zst"), 0);
		assert_int_equal(is_there(p, ASIDE "big.tar.zst"), cases[i].kept);
		assert_false(is_there(p, FOLDER "big.tar.zst"));
	}
}

static void test_a_name_is_held_against_the_manifest(void **state)
{
	struct place *p = *state;
	_cleanup_sample_ struct sample s;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *file = NULL;
	struct err err;

	make(&s);
	b = opened(&s);
	file = store_file(bundle_manifest(b));
	for (int i = 0; i < 5; i++) {
		_cleanup_blob_ struct blob bytes = { 0 };
		_cleanup_close_ int fd = -EBADF;

		blob_add(&bytes, s.bundle.v, s.bundle.n);
		if (i == 1)
			bytes.v[BUNDLE_FRAME_HEADER_BYTES + 3] ^= 1;
		if (i == 2)
			bytes.n = BUNDLE_FRAME_HEADER_BYTES + 3;
		if (i == 3)
			bytes.v[0] ^= 1;
		if (i == 4)
			bytes.v[7] = 0x7f; /* a manifest of 2 GiB */
		put_blob(p, "file", bytes.v, bytes.n);
		fd = openat(p->fd, "file", O_RDONLY);
		assert_int_equal(store_check_name(fd, file, &err), i == 0 ? 0 : -E_CORRUPT);
		if (i == 0)
			assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	}
}

/* --- a file system of a few MiB --- */

#define SMALL_MIB 8u

/* Mounts one on the place's root/var. */
static char *mount_small(const struct place *p)
{
	char *var = place_path(p, "root/var");

	put_dir(p, "root/var");
	assert_int_equal(mount("tmpfs", var, "tmpfs", 0, "size=8m"), 0);
	return var;
}

static void unmount_small(char **var)
{
	if (*var)
		(void)umount2(*var, MNT_DETACH);
	free(*var);
}

static void fill_up(const struct place *p, size_t mib)
{
	_cleanup_blob_ struct blob b = { 0 };

	blob_fill(&b, 'x', mib << 20);
	put_blob(p, "root/var/ballast", b.v, b.n);
}

static void test_a_small_disk_is_used_but_for_its_reserve(void **state)
{
	struct place *p = *state;
	_cleanup_(unmount_small) char *var = NULL;
	_cleanup_sample_ struct sample s;

	if (!can_mount(p))
		skip();
	var = mount_small(p);
	make(&s);
	fill_up(p, SMALL_MIB - 3); /* a quarter is reserved: 3 MiB are free, 2 must stay */
	put_in_cache(p, &s);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 1);
}

static void test_a_disk_that_is_nearly_full_is_no_space(void **state)
{
	struct place *p = *state;
	_cleanup_(unmount_small) char *var = NULL;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_sample_ struct sample s;
	struct store_copy *c = NULL;
	struct err err;

	if (!can_mount(p))
		skip();
	var = mount_small(p);
	make(&s);
	b = opened(&s);
	fill_up(p, SMALL_MIB - 2);
	assert_int_equal(store_begin(&p->host, NULL, b, false, &c, &err), -E_NO_SPACE);
	assert_contains(err.text, "MiB free");
	assert_null(c);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 0);
}

static void test_a_disk_that_fills_up_meanwhile_is_no_space_and_leaves_nothing(void **state)
{
	struct place *p = *state;
	_cleanup_(unmount_small) char *var = NULL;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_blob_ struct blob big = { 0 };
	_cleanup_free_ char *path = NULL;
	_cleanup_sample_ struct sample s;
	struct store_copy *c;
	struct err err;

	if (!can_mount(p))
		skip();
	var = mount_small(p);
	make(&s);
	b = opened(&s);
	c = begun(p, b, false);
	assert_non_null(c);
	blob_fill(&big, 'x', (size_t)(SMALL_MIB + 1) << 20);
	assert_int_equal(store_append(c, big.v, big.n), -ENOSPC);
	assert_int_equal(store_publish(c, &path, &err), -E_NO_SPACE);
	assert_int_equal(count_entries(p, "root" STORE_DIR "/" RELEASE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_that_the_cache_gives),
		at_place(test_a_published_copy_is_the_bundle_byte_for_byte),
		at_place(test_what_is_bound_to_no_kernel_goes_to_any),
		at_place(test_what_is_there_already_is_not_written_again),
		at_place(test_a_file_of_another_size_under_that_name_is_written_again),
		at_place(test_a_damaged_file_of_the_right_size_is_replaced_on_demand),
		at_place(test_what_a_power_cut_left_is_overwritten),
		at_place(test_a_copy_that_is_given_up_leaves_nothing),
		at_place(test_links_on_the_way_are_not_followed),
		at_place(test_a_planted_link_in_place_of_the_part_is_not_written_through),
		at_place(test_a_cache_below_a_mount_to_come_is_unreachable),
		at_place(test_a_write_that_fails_comes_out_at_the_end_and_leaves_nothing),
		cmocka_unit_test(test_names_are_taken_apart_from_their_end),
		at_place(test_a_sweep_removes_leftovers_but_not_what_is_being_written),
		at_place(test_what_is_put_aside_keeps_its_name_and_bytes),
		at_place(test_no_more_is_kept_aside_than_the_limit),
		at_place(test_no_more_bytes_are_kept_aside_than_the_limit),
		at_place(test_a_name_is_held_against_the_manifest),
		at_place(test_a_small_disk_is_used_but_for_its_reserve),
		at_place(test_a_disk_that_is_nearly_full_is_no_space),
		at_place(test_a_disk_that_fills_up_meanwhile_is_no_space_and_leaves_nothing),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
