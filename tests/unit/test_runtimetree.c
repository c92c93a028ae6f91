// SPDX-License-Identifier: Apache-2.0
/*
 * Trees of libraries: one has its name when it is whole, and not before; what is not whole is not found; what
 * interrupted runs left does no harm; removing stays inside.
 */
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "limit.h"
#include "lock.h"
#include "removetree.h"
#include "runtimelinks.h"
#include "runtimenew.h"
#include "sample.h"

#define DIR "root" RUNTIME_DIR "/" SAMPLE_NAME
#define TREE DIR "/1.0"
#define PART DIR "/.1.0" RUNTIME_PART
#define OLD DIR "/.1.0" RUNTIME_OLD
#define LIBRARY "usr/lib64/libgpu.so.1.0"

static void begin(struct sample *s)
{
	sample_begin(s);
	s->m->kind = KIND_RUNTIME;
	free(TAKE_PTR(s->m->kernel.release));
	free(TAKE_PTR(s->m->kernel.machine));
	free(TAKE_PTR(s->m->kernel.build_id));
	free(TAKE_PTR(s->m->kernel.vermagic));
	strv_free(&s->m->match);
}

static void make(struct sample *s, const char *content)
{
	begin(s);
	sample_file(s, "usr/bin/gpu-smi", "program", 7);
	sample_file(s, LIBRARY, content, strlen(content));
	sample_link(s, "usr/lib64/libgpu.so.1", "libgpu.so.1.0");
	sample_seal(s);
}

/* Unpacks the sample into a new tree that waits for its name. */
static void unpack(const struct place *p, const struct sample *s, struct bundle **b, struct runtime_new *n)
{
	struct unpack_sink sink;
	struct err err = { 0 };

	assert_int_equal(open_sample(&s->bundle, b, &err), 0);
	if (runtime_new_begin(&p->host, bundle_manifest(*b), n, &err) < 0)
		fail_msg("%s", err.text);
	sink = runtime_new_sink(n);
	if (unpack_bundle(*b, &sink, &err) < 0)
		fail_msg("%s", err.text);
}

static void install(const struct place *p, const char *content)
{
	_cleanup_sample_ struct sample s = { 0 };
	_cleanup_runtime_new_ struct runtime_new n = RUNTIME_NEW_NONE;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL;
	struct err err = { 0 };

	make(&s, content);
	unpack(p, &s, &b, &n);
	if (runtime_new_publish(&n, b, &path, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(path, RUNTIME_DIR "/" SAMPLE_NAME "/1.0");
}

static int find(const struct place *p, const char *version, unsigned int key)
{
	_cleanup_runtime_tree_ struct runtime_tree t = { 0 };
	struct err err;

	return runtime_tree_find(&p->host, SAMPLE_NAME, version, sample_ring(key), &t, &err);
}

static void test_a_tree_has_its_name_when_it_is_whole(void **state)
{
	const struct place *p = *state;
	_cleanup_sample_ struct sample s = { 0 };
	_cleanup_bundle_ struct bundle *b = NULL;
	struct runtime_new n = RUNTIME_NEW_NONE;

	make(&s, "one");
	unpack(p, &s, &b, &n);
	assert_true(is_there(p, PART "/" LIBRARY));
	assert_false(is_there(p, TREE));
	assert_int_equal(find(p, "1.0", 0), -ENOENT);
	runtime_new_done(&n); /* given up */
	assert_false(is_there(p, PART));
	install(p, "one");
	assert_int_equal(find(p, "1.0", 0), 0);
	assert_false(is_there(p, PART));
}

static void add_library(struct sample *s, const char *path, unsigned char class)
{
	const Elf64_Ehdr eh = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, class } };

	sample_file(s, path, &eh, sizeof(eh));
}

/* Where lib/NAME leads, the caller's; "" if nowhere. */
static char *linked(const struct place *p, const char *name)
{
	_cleanup_free_ char *path = str_printf(TREE "/lib/%s", name);
	char target[256] = "";

	assert_true(readlinkat(p->fd, path, target, sizeof(target) - 1) > 0 || errno == ENOENT);
	return strdup(target);
}

static void test_libraries_for_32_bits_have_no_place_beside_the_others(void **state)
{
	static const struct {
		const char *name, *target;
	} cases[] = {
		{ "libgpu.so.1.0", "../usr/lib64/libgpu.so.1.0" },
		{ "libgpu.so.1", "../usr/lib64/libgpu.so.1" }, /* links as what they lead to */
		{ "libgpu.so", "../usr/lib64/libgpu.so" },     /* a linker script, of those the first */
		{ "libonly.so.2", "" },
		{ "libonly.so", "" },
		{ "libfar.so.3", "../usr/lib64/libfar.so.3" },
		{ "libaway.so.1", "../usr/lib64/libaway.so.1" }, /* what leads nowhere is as it was made */
	};
	const struct place *p = *state;
	_cleanup_sample_ struct sample s = { 0 };
	_cleanup_runtime_new_ struct runtime_new n = RUNTIME_NEW_NONE;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL;
	struct err err = { 0 };

	begin(&s);
	add_library(&s, "usr/lib/i386-linux-gnu/libfar.so.3", ELFCLASS32);
	add_library(&s, "usr/lib/libgpu.so.1.0", ELFCLASS32);
	add_library(&s, "usr/lib/libonly.so.2", ELFCLASS32);
	add_library(&s, "usr/lib64/libfar.so.3", ELFCLASS64);
	sample_file(&s, "usr/lib64/libgpu.so", "GROUP ( libgpu.so.1 )", 21);
	add_library(&s, "usr/lib64/libgpu.so.1.0", ELFCLASS64);
	sample_link(&s, "usr/lib/libgpu.so.1", "libgpu.so.1.0");
	sample_link(&s, "usr/lib/libonly.so", "libonly.so.2");
	sample_link(&s, "usr/lib64/libaway.so.1", "libaway.so.1.0");
	sample_link(&s, "usr/lib64/libgpu.so.1", "libgpu.so.1.0");
	sample_seal(&s);
	unpack(p, &s, &b, &n);
	if (runtime_new_publish(&n, b, &path, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *target = linked(p, cases[i].name);

		if (!streq(target, cases[i].target))
			fail_msg("%s -> \"%s\"", cases[i].name, target);
	}
}

static void test_only_whoever_signed_it_makes_it_believed(void **state)
{
	const struct place *p = *state;

	install(p, "one");
	assert_int_equal(find(p, "1.0", 1), -E_UNTRUSTED);
	assert_int_equal(find(p, "1.1", 0), -ENOENT);
	assert_int_equal(find(p, "../" SAMPLE_NAME "/1.0", 0), -ENOENT);
	put_link(p, DIR "/1.1", "1.0"); /* its record is of another version */
	assert_int_equal(find(p, "1.1", 0), -E_CORRUPT);
}

static void test_what_is_not_whole_is_not_found(void **state)
{
	static const char *const gone[] = { LIBRARY, "usr/bin/gpu-smi", "usr/lib64/libgpu.so.1", RUNTIME_RECORD };
	const struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		_cleanup_free_ char *path = str_printf(TREE "/%s", gone[i]);

		install(p, "one");
		assert_int_equal(find(p, "1.0", 0), 0);
		assert_int_equal(unlinkat(p->fd, path, 0), 0);
		assert_case(gone[i], find(p, "1.0", 0) == -E_CORRUPT);
		put_link(p, path, "/etc/passwd"); /* a link is no file, and not that link */
		assert_case(gone[i], find(p, "1.0", 0) == -E_CORRUPT);
	}
}

static void test_each_byte_is_verified_on_demand(void **state)
{
	const struct place *p = *state;
	_cleanup_runtime_tree_ struct runtime_tree t = { 0 };
	struct err err;

	install(p, "one");
	assert_int_equal(runtime_tree_find(&p->host, SAMPLE_NAME, "1.0", sample_ring(0), &t, &err), 0);
	assert_int_equal(runtime_tree_verify(&p->host, &t, &err), 0);
	put_text(p, TREE "/" LIBRARY, "onf");
	assert_int_equal(find(p, "1.0", 0), 0); /* the size is right */
	assert_int_equal(runtime_tree_verify(&p->host, &t, &err), -E_CORRUPT);
	assert_contains(err.text, LIBRARY);
	assert_int_equal(runtime_tree_distrust(&p->host, &t, &err), 0);
	assert_int_equal(find(p, "1.0", 0), -E_CORRUPT);
}

static void test_another_of_the_same_version_takes_its_place_and_the_first_waits(void **state)
{
	const struct place *p = *state;
	_cleanup_free_ char *now = NULL, *before = NULL;

	install(p, "one");
	install(p, "two");
	install(p, "three");
	now = get_text(p, TREE "/" LIBRARY);
	before = get_text(p, OLD "/" LIBRARY);
	assert_string_equal(now, "three");
	assert_string_equal(before, "two");
	assert_int_equal(count_entries(p, DIR), 3); /* and the lock */
}

static void test_what_every_crash_left_is_gone_with_the_next_tree(void **state)
{
	const struct place *p = *state;

	put_text(p, PART "/" LIBRARY, "half");          /* while unpacking */
	put_text(p, PART "/" RUNTIME_RECORD, "no more"); /* right before the rename */
	put_link(p, PART "/usr/out", "/");
	put_text(p, DIR "/.0.9" RUNTIME_PART "/usr/x", "of another version");
	put_text(p, OLD "/usr/x", "between two renames");
	assert_int_equal(find(p, "1.0", 0), -ENOENT);
	install(p, "one");
	assert_int_equal(find(p, "1.0", 0), 0);
	assert_int_equal(count_entries(p, DIR), 3); /* with the lock and the old one */
}

static void test_two_do_not_make_the_same_tree(void **state)
{
	const struct place *p = *state;
	_cleanup_close_ int lock = -EBADF;
	_cleanup_sample_ struct sample s = { 0 };
	_cleanup_bundle_ struct bundle *b = NULL;
	struct runtime_new n = RUNTIME_NEW_NONE;
	struct err err;

	put_text(p, DIR "/.lock", "");
	lock = openat(p->fd, DIR "/.lock", O_WRONLY | O_CLOEXEC);
	assert_int_equal(lock_file(lock), 0);
	put_text(p, PART "/theirs", "x");
	make(&s, "one");
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	assert_int_equal(runtime_new_begin(&p->host, bundle_manifest(b), &n, &err), -EBUSY);
	assert_true(is_there(p, PART "/theirs"));
}

/* --- removing --- */

static int tidy(const struct place *p, const char *keep, const char *active, bool dry, size_t *ret_n)
{
	_cleanup_strv_ struct strv versions = { 0 }, said = { 0 };
	struct err err;
	int r;

	add_text(&versions, keep);
	r = runtime_tidy(&p->host, SAMPLE_NAME, &versions, active, dry, &said, &err);
	*ret_n = said.n;
	return r;
}

static void test_tidying_leaves_what_is_kept_active_or_mounted(void **state)
{
	const struct place *p = *state;
	size_t n;

	put_text(p, "live/proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
		 "2 1 8:2 /lib/modulus/runtime/" SAMPLE_NAME "/3/usr/lib64 /mnt rw - ext4 /dev/sda2 rw\n"
		 "3 1 8:3 / /var/lib/modulus/runtime/" SAMPLE_NAME "/4/usr rw - ext4 /dev/sda3 rw\n"
		 "4 1 8:2 /lib/modulus/runtime/" SAMPLE_NAME "/55 /mnt2 rw - ext4 /dev/sda2 rw\n");
	for (const char *v = "1\0" "2\0" "3\0" "4\0" "5\0"; *v; v += 2) {
		_cleanup_free_ char *path = str_printf(DIR "/%s/usr/lib64/x", v);

		put_text(p, path, "x");
	}
	put_text(p, OLD "/x", "x");
	assert_true(runtime_is_untidy(&p->host, SAMPLE_NAME, RUNTIME_DIR "/" SAMPLE_NAME "/2"));
	assert_int_equal(tidy(p, "1", RUNTIME_DIR "/" SAMPLE_NAME "/2", true, &n), 0);
	assert_int_equal(n, 2);
	assert_true(is_there(p, DIR "/5/usr"));
	assert_int_equal(tidy(p, "1", RUNTIME_DIR "/" SAMPLE_NAME "/2", false, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(count_entries(p, DIR), 5); /* and the lock */
	assert_false(is_there(p, DIR "/5"));
	assert_false(is_there(p, OLD));
}

static void test_nothing_is_tidied_while_a_tree_is_made(void **state)
{
	_cleanup_runtime_new_ struct runtime_new n = RUNTIME_NEW_NONE;
	_cleanup_sample_ struct sample s = { 0 };
	_cleanup_bundle_ struct bundle *b = NULL;
	const struct place *p = *state;
	struct err err;
	size_t removed;

	put_text(p, "live/proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
	make(&s, "one");
	assert_int_equal(open_sample(&s.bundle, &b, &err), 0);
	assert_int_equal(runtime_new_begin(&p->host, bundle_manifest(b), &n, &err), 0);
	put_text(p, DIR "/5/x", "x");
	assert_int_equal(tidy(p, "1", NULL, false, &removed), 0);
	assert_int_equal(removed, 0);
	assert_true(is_there(p, PART) && is_there(p, DIR "/5/x"));
	runtime_new_done(&n);
	assert_int_equal(tidy(p, "1", NULL, false, &removed), 0);
	assert_int_equal(removed, 1);
}

#define NO_TREE "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
#define A_TREE "2 1 8:2 /lib/modulus/runtime/" SAMPLE_NAME "/1 /usr/local/gpu rw - ext4 /dev/sda2 rw\n"

static void put_process(const struct place *p, const char *pid, const char *space, const char *mounts)
{
	_cleanup_free_ char *file = str_printf("live/proc/%s/mountinfo", pid);
	_cleanup_free_ char *link = str_printf("live/proc/%s/ns/mnt", pid);

	put_text(p, file, mounts);
	put_link(p, link, space);
}

/* Makes a tree, and is it kept? */
static bool is_kept_now(const struct place *p)
{
	size_t n;

	put_text(p, DIR "/1/x", "x");
	assert_int_equal(tidy(p, "2", NULL, false, &n), 0);
	assert_int_equal(n, !is_there(p, DIR "/1"));
	return is_there(p, DIR "/1");
}

static void test_a_tree_that_a_container_has_mounted_in_its_own_namespace_is_kept(void **state)
{
	const struct place *p = *state;

	put_process(p, "1", "mnt:[1]", NO_TREE);
	assert_false(is_kept_now(p));
	put_process(p, "4321", "mnt:[2]", NO_TREE A_TREE);
	assert_true(is_kept_now(p));
	put_text(p, "live/proc/4321/mountinfo", NO_TREE);
	assert_false(is_kept_now(p));
}

static void test_a_tree_in_memory_that_a_container_has_mounted_is_kept(void **state)
{
	_cleanup_strv_ struct strv gone = { 0 }, kept = { 0 };
	const struct place *p = *state;
	struct err err;

	put_process(p, "1", "mnt:[1]", NO_TREE);
	put_process(p, "4321", "mnt:[2]",
		    "2 1 0:24 /modulus/runtime/" SAMPLE_NAME "/1 /usr/local/gpu ro - tmpfs tmpfs rw\n"); /* of what is at /run */
	put_text(p, "live" RUNTIME_DIR_LIVE "/" SAMPLE_NAME "/1/x", "x");
	assert_int_equal(runtime_remove(&p->host, SAMPLE_NAME, false, &gone, &kept, &err), 0);
	assert_int_equal(gone.n, 0);
	assert_int_equal(kept.n, 1);
	assert_true(is_there(p, "live" RUNTIME_DIR_LIVE "/" SAMPLE_NAME "/1/x"));
}

static void test_a_process_that_is_gone_has_nothing_mounted(void **state)
{
	const struct place *p = *state;

	put_process(p, "1", "mnt:[1]", NO_TREE);
	put_dir(p, "live/proc/20");
	put_link(p, "live/proc/21", "away");
	put_text(p, "live/proc/acpi/mountinfo", A_TREE); /* no process */
	assert_false(is_kept_now(p));
}

static void test_what_cannot_be_seen_may_be_mounted(void **state)
{
	const struct place *p = *state;

	put_process(p, "20", "mnt:[1]", NO_TREE);
	assert_true(is_kept_now(p)); /* process 1 is hidden, and who knows who else */
	put_process(p, "1", "mnt:[1]", NO_TREE);
	assert_false(is_kept_now(p));
	put_dir(p, "live/proc/21/mountinfo");
	assert_true(is_kept_now(p));
}

static void test_each_mount_namespace_is_read_once_and_so_many_at_most(void **state)
{
	const struct place *p = *state;

	put_process(p, "1", "mnt:[1]", NO_TREE);
	put_process(p, "10", "mnt:[1]", A_TREE); /* as nobody could see it: not read */
	for (unsigned int i = 2; i <= LIMIT_MOUNT_NAMESPACES; i++) {
		_cleanup_free_ char *pid = str_printf("%u", 1000 + i), *space = str_printf("mnt:[%u]", i);

		put_process(p, pid, space, NO_TREE);
	}
	assert_false(is_kept_now(p));
	put_process(p, "999999", "mnt:[2]", NO_TREE); /* by its number the last one */
	assert_false(is_kept_now(p));
	put_process(p, "999998", "mnt:[0]", NO_TREE);
	assert_true(is_kept_now(p));
}

/* A process of its own mount namespace that has the tree mounted in it, until `gate` is closed. */
static pid_t start_container(const char *tree, int gate)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount(tree, "/tmp", NULL, MS_BIND, NULL) < 0)
			_exit(1);
		close(ready[0]);
		(void)!write(ready[1], "", 1);
		(void)!read(gate, &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void test_real_namespaces_are_looked_into_and_the_dead_are_not(void **state)
{
	const struct place *p = *state;
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	_cleanup_strv_ struct strv none = { 0 }, said = { 0 };
	_cleanup_free_ char *root = NULL, *dir = NULL, *file = NULL, *tree = NULL;
	bool kept, gone;
	struct err err;
	int gate[2];
	pid_t pid;

	if (!can_mount(p))
		skip();
	root = place_path(p, "root");
	dir = str_printf(DIR "/1.%d", (int)getpid()); /* another test may run beside this one */
	file = str_printf("%s/x", dir);
	tree = place_path(p, dir);
	put_text(p, file, "x");
	assert_int_equal(host_open(root, NULL, &h, &err), 0);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	pid = start_container(tree, gate[0]);
	assert_int_equal(runtime_tidy(&h, SAMPLE_NAME, &none, NULL, false, &said, &err), 0);
	kept = is_there(p, file);
	assert_int_equal(write(gate[1], "", 1), 1);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0); /* and it stays a zombie */
	assert_int_equal(runtime_tidy(&h, SAMPLE_NAME, &none, NULL, false, &said, &err), 0);
	gone = !is_there(p, file);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(gate[0]);
	close(gate[1]);
	assert_true(kept);
	assert_true(gone);
}

static void test_all_trees_of_a_driver_go_but_the_mounted_one(void **state)
{
	_cleanup_strv_ struct strv gone = { 0 }, kept = { 0 }, names = { 0 };
	const struct place *p = *state;
	struct err err;

	put_text(p, "live/proc/1/mountinfo", "2 1 8:2 /lib/modulus/runtime/" SAMPLE_NAME "/3 /mnt rw - ext4 /dev/sda2 rw\n");
	put_text(p, DIR "/2/usr/lib64/x", "x");
	put_text(p, DIR "/3/usr/lib64/x", "x");
	put_text(p, OLD "/x", "x");
	put_text(p, DIR "/.lock", "");
	put_text(p, "live" RUNTIME_DIR_LIVE "/" SAMPLE_NAME "/4/x", "x");
	put_text(p, "root" RUNTIME_DIR "/other/1/x", "x");
	assert_int_equal(runtime_names(&p->host, &names), 0);
	assert_int_equal(names.n, 2);
	assert_int_equal(runtime_remove(&p->host, SAMPLE_NAME, true, &gone, &kept, &err), 0);
	assert_true(gone.n == 2 && kept.n == 1 && is_there(p, DIR "/2/usr/lib64/x"));
	strv_free(&gone);
	strv_free(&kept);
	assert_int_equal(runtime_remove(&p->host, SAMPLE_NAME, false, &gone, &kept, &err), 0);
	assert_string_equal(gone.v[0], RUNTIME_DIR "/" SAMPLE_NAME "/2");
	assert_string_equal(gone.v[1], RUNTIME_DIR_LIVE "/" SAMPLE_NAME "/4");
	assert_string_equal(kept.v[0], RUNTIME_DIR "/" SAMPLE_NAME "/3");
	assert_int_equal(count_entries(p, DIR), 1);
	assert_false(is_there(p, "live" RUNTIME_DIR_LIVE "/" SAMPLE_NAME));
	put_text(p, "live/proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
	assert_int_equal(runtime_remove(&p->host, SAMPLE_NAME, false, &gone, &kept, &err), 0);
	assert_false(is_there(p, DIR));
	assert_true(is_there(p, "root" RUNTIME_DIR "/other/1/x"));
}

static void test_links_of_ours_go_and_those_of_others_stay(void **state)
{
	static const char *const ours[] = { "root/usr/local/bin/gpu-smi", "root/usr/local/bin/gpu-old", "root/opt/drivers/gpu",
					    "root/etc/ld.so.conf.d/modulus-gpu.conf", "live/run/extensions/modulus-gpu" };
	static const char *const others[] = { "root/usr/local/bin/tool", "root/usr/local/bin/old-smi", "root/opt/drivers/old",
					      "root/opt/drivers/gpu-x", "root/etc/ld.so.conf.d/gpu.conf",
					      "root/etc/ld.so.conf.d/modulus-gpu-x.conf", "live/run/extensions/mine" };
	_cleanup_strv_ struct strv names = { 0 }, gone = { 0 }, warnings = { 0 };
	const struct place *p = *state;

	put_link(p, ours[0], "/opt/drivers/gpu/bin/gpu-smi");
	put_link(p, ours[1], RUNTIME_DIR "/gpu/1/bin/gpu-old");
	put_link(p, ours[2], RUNTIME_DIR "/gpu/1");
	put_text(p, ours[3], "/opt/drivers/gpu/lib\n");
	put_link(p, ours[4], RUNTIME_DIR "/gpu/1");
	put_link(p, others[0], "/opt/gpu/bin/tool");
	put_link(p, others[1], "/opt/drivers/old/bin/old-smi");
	put_link(p, others[2], "/opt/modulus/archive/old");
	put_link(p, others[3], RUNTIME_DIR "/gpu-x/1");
	put_text(p, others[4], "/opt/gpu/lib\n");
	put_text(p, others[5], "/opt/drivers/gpu-x/lib\n");
	put_link(p, others[6], "/opt/mine");
	add_text(&names, "gpu");
	assert_int_equal(runtime_links_remove(&p->host, &names, true, &gone, &warnings), 0);
	assert_int_equal(gone.n, ARRAY_SIZE(ours));
	assert_int_equal(runtime_links_remove(&p->host, &names, false, &gone, &warnings), 0);
	assert_int_equal(gone.n, 2 * ARRAY_SIZE(ours));
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		assert_false(is_there(p, ours[i]));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_true(is_there(p, others[i]));
	assert_int_equal(warnings.n, 0);
}

static void test_where_mounts_are_not_known_nothing_is_removed(void **state)
{
	const struct place *p = *state;
	size_t n;

	put_text(p, DIR "/1/x", "x");
	assert_int_equal(tidy(p, "2", NULL, false, &n), 0);
	assert_int_equal(n, 0);
	assert_true(is_there(p, DIR "/1/x"));
}

static void test_removing_stays_inside(void **state)
{
	const struct place *p = *state;

	put_text(p, "away/precious", "x");
	put_text(p, "tree/a/b/c", "x");
	put_link(p, "tree/a/out", "../../away");
	put_link(p, "tree/file", "../away/precious");
	put_fifo(p, "tree/fifo");
	assert_int_equal(remove_tree(p->fd, "tree"), 0);
	assert_false(is_there(p, "tree"));
	assert_true(is_there(p, "away/precious"));
	put_link(p, "tree", "away"); /* the link itself */
	assert_int_equal(remove_tree(p->fd, "tree"), 0);
	assert_true(is_there(p, "away/precious"));
	assert_int_equal(remove_tree(p->fd, "tree"), 0);
}

static void test_removing_goes_into_no_other_file_system(void **state)
{
	const struct place *p = *state;
	_cleanup_free_ char *point = place_path(p, "tree/mounted");

	if (!can_mount(p))
		skip();
	put_dir(p, "tree/mounted");
	assert_int_equal(mount("none", point, "tmpfs", 0, NULL), 0);
	put_text(p, "tree/mounted/precious", "x");
	assert_true(remove_tree(p->fd, "tree") < 0);
	assert_true(is_there(p, "tree/mounted/precious"));
	assert_int_equal(umount(point), 0);
	assert_int_equal(remove_tree(p->fd, "tree"), 0);
}

static void test_removing_ends_at_a_depth(void **state)
{
	const struct place *p = *state;
	struct blob path = { 0 };

	for (unsigned int limit = LIMIT_REMOVE_DEPTH, i = 0; i < 2; i++, limit++) {
		blob_add_text(&path, "t");
		for (unsigned int depth = 1; depth < limit; depth++)
			blob_add_text(&path, "/d");
		blob_add(&path, "", 1);
		put_dir(p, (const char *)path.v);
		assert_int_equal(remove_tree(p->fd, "t"), i == 0 ? 0 : -ELOOP);
		path.n = 0;
	}
	blob_free(&path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_tree_has_its_name_when_it_is_whole),
		at_place(test_libraries_for_32_bits_have_no_place_beside_the_others),
		at_place(test_only_whoever_signed_it_makes_it_believed),
		at_place(test_what_is_not_whole_is_not_found),
		at_place(test_each_byte_is_verified_on_demand),
		at_place(test_another_of_the_same_version_takes_its_place_and_the_first_waits),
		at_place(test_what_every_crash_left_is_gone_with_the_next_tree),
		at_place(test_two_do_not_make_the_same_tree),
		at_place(test_tidying_leaves_what_is_kept_active_or_mounted),
		at_place(test_nothing_is_tidied_while_a_tree_is_made),

		at_place(test_a_tree_that_a_container_has_mounted_in_its_own_namespace_is_kept),
		at_place(test_a_tree_in_memory_that_a_container_has_mounted_is_kept),
		at_place(test_a_process_that_is_gone_has_nothing_mounted),
		at_place(test_what_cannot_be_seen_may_be_mounted),
		at_place(test_each_mount_namespace_is_read_once_and_so_many_at_most),
		at_place(test_real_namespaces_are_looked_into_and_the_dead_are_not),
		at_place(test_all_trees_of_a_driver_go_but_the_mounted_one),
		at_place(test_links_of_ours_go_and_those_of_others_stay),
		at_place(test_where_mounts_are_not_known_nothing_is_removed),
		at_place(test_removing_stays_inside),
		at_place(test_removing_goes_into_no_other_file_system),
		at_place(test_removing_ends_at_a_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
