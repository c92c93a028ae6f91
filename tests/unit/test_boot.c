// SPDX-License-Identifier: Apache-2.0
/*
 * The steps in their order: boot, finish and bless over a whole machine that is a directory. What
 * each step does by itself is in the other files.
 */
#include "boot.h"

#include <dirent.h>
#include <fcntl.h>

#include "fakemachine.h"
#include "store.h"

#define STATUS "live/run/modulus/status.json"
#define TRIALS "root" TRIAL_DIR "/" RELEASE

/* --- what it reported --- */

static json_t *status_of(const struct place *p)
{
	json_t *status = NULL;

	assert_int_equal(status_read(&p->host, &status), 0);
	return status;
}

/* The driver's entry. */
static json_t *driver_of(const json_t *status)
{
	json_t *d = json_array_get(json_object_get(status, "drivers"), 0);

	assert_non_null(d);
	return d;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "(none)";
}

static void assert_reason(const struct place *p, const char *reason, const char *says)
{
	json_t *status = status_of(p);

	assert_string_equal(text_of(driver_of(status), "reason"), reason);
	assert_contains(text_of(driver_of(status), "text"), says);
	json_decref(status);
}

static unsigned int cached(const struct place *p)
{
	return count_entries(p, "root" STORE_DIR "/" RELEASE);
}

/* --- boot --- */

static void test_a_machine_with_the_device_gets_modules_nodes_and_a_cached_copy(void **state)
{
	struct place *p = *state;
	const json_t *d;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu \nmknod dev/dri/card0 226:0 0600\n");
	status = status_of(p);
	d = driver_of(status);
	assert_string_equal(text_of(d, "reason"), "loaded");
	assert_string_equal(text_of(d, "source"), "usr");
	assert_string_equal(text_of(d, "origin"), "usr:/usr/lib/modulus/bundles/" RELEASE "/x.tar.zst");
	assert_int_equal(json_integer_value(json_object_get(d, "serial")), 7);
	assert_string_equal(json_string_value(json_array_get(json_object_get(d, "nodes"), 0)), "/dev/dri/card0");
	assert_string_equal(json_string_value(json_array_get(json_object_get(d, "devices"), 0)), "0000:00:02.0");
	assert_string_equal(text_of(status, "stage"), "initramfs");
	json_decref(status);
	assert_int_equal(cached(p), 1);
	assert_true(is_there(p, "live/run/modulus/bin/modulus"));
}

static void test_the_second_boot_uses_the_cache(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_int_equal(unlinkat(p->fd, USR "x.tar.zst", 0), 0);
	assert_int_equal(unlinkat(p->fd, "live/sys/module/gpu/initstate", 0), 0);
	put_text(p, "live/sys/module/gpu/initstate", "going\n");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	assert_string_equal(text_of(driver_of(status), "source"), "cache");
	json_decref(status);
	assert_int_equal(cached(p), 1);
}

static void test_without_the_device_nothing_is_read_inserted_or_written(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_text(p, "root/etc/modulus/keys/bad.pub", "would be a warning if it was read");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "no-device", "no device matches");
	assert_string_equal(fake_kernel_log(), "");
	assert_false(is_there(p, "root/var"));
	{
		json_t *status = status_of(p);

		assert_int_equal(json_array_size(json_object_get(status, "warnings")), 0);
		json_decref(status);
	}
}

static void test_modulus_off_does_nothing(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_text(p, "live/proc/cmdline", "quiet modulus=off\n");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "disabled", "modulus=off");
	assert_string_equal(fake_kernel_log(), "");
	assert_false(is_there(p, "root/var"));
	assert_false(is_there(p, "live/run/modulus/bin"));
}

static void test_without_any_driver_the_boot_goes_on(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	assert_int_equal(unlinkat(p->fd, "root/etc/modulus/" SAMPLE_NAME ".conf", 0), 0);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	assert_int_equal(json_array_size(json_object_get(status, "drivers")), 0);
	json_decref(status);
}

static void test_one_bad_driver_file_does_not_spoil_the_others(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_text(p, "root/etc/modulus/a-bad-one.conf", "hello\n");
	assert_int_equal(boot_run(&p->host), EXIT_CONFIG);
	status = status_of(p);
	assert_string_equal(text_of(driver_of(status), "reason"), "bad-config");
	assert_string_equal(text_of(json_array_get(json_object_get(status, "drivers"), 1), "reason"), "loaded");
	json_decref(status);
}

static void test_each_failure_has_its_exit_code_and_loads_nothing(void **state)
{
	static const struct {
		const char *what, *reason;
		unsigned int key;
		const char *vermagic;
		bool flip, none;
		int code;
	} cases[] = {
		{ "no bundle", "no-bundle", 0, NULL, false, true, EXIT_NO_BUNDLE },
		{ "another key", "untrusted", 1, NULL, false, false, EXIT_UNTRUSTED },
		{ "a damaged bundle", "corrupt", 0, NULL, true, false, EXIT_UNTRUSTED },
		{ "another vermagic", "wrong-kernel", 0, "5.10 SMP ", false, false, EXIT_NO_BUNDLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_blob_ struct blob b = gpu_bundle(7, cases[i].vermagic, NULL, cases[i].key);
		struct place *p;

		place_setup((void **)&p);
		make_machine(p);
		put_gpu(p);
		if (cases[i].flip)
			b.v[b.n - 1] ^= 1;
		if (!cases[i].none)
			put_blob(p, USR "x.tar.zst", b.v, b.n);
		assert_case(cases[i].what, boot_run(&p->host) == cases[i].code);
		assert_reason(p, cases[i].reason, "");
		assert_case(cases[i].what, streq(fake_kernel_log(), ""));
		assert_case(cases[i].what, cached(p) == 0); /* what cannot be used is not kept */
		place_teardown((void **)&p);
	}
}

static void test_a_bad_bundle_is_passed_over_for_the_next(void **state)
{
	_cleanup_blob_ struct blob damaged = gpu_bundle(9, NULL, NULL, 0), other = gpu_bundle(8, "5.10 SMP ", NULL, 0);
	struct place *p = *state;
	const json_t *d;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	damaged.v[damaged.n - 1] ^= 1;
	put_blob(p, USR "a.tar.zst", damaged.v, damaged.n);
	put_blob(p, USR "b.tar.zst", other.v, other.n);
	put_bundle(p, USR "c.tar.zst", 7);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	d = driver_of(status);
	assert_string_equal(text_of(d, "origin"), "usr:/usr/lib/modulus/bundles/" RELEASE "/c.tar.zst");
	assert_int_equal(json_array_size(json_object_get(d, "rejected")), 2);
	assert_string_equal(text_of(json_array_get(json_object_get(d, "rejected"), 0), "reason"), "corrupt");
	assert_string_equal(text_of(json_array_get(json_object_get(d, "rejected"), 1), "reason"), "wrong-kernel");
	json_decref(status);
	assert_int_equal(cached(p), 1);
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu \nmknod dev/dri/card0 226:0 0600\n");
}

/* A bundle with one module of this name, which needs drm. */
static void put_bundle_of(const struct place *p, const char *path, uint64_t serial, const char *module)
{
	_cleanup_blob_ struct blob ko = fake_module_bytes(&(struct fake_module){ .name = module, .depends = "drm" });
	_cleanup_free_ char *file = str_printf("%s.ko", module);
	_cleanup_sample_ struct sample s;

	sample_begin(&s);
	s.m->serial = serial;
	set_text(&s.m->kernel.build_id, NULL);
	sample_file(&s, file, ko.v, ko.n);
	sample_seal(&s);
	put_blob(p, path, s.bundle.v, s.bundle.n);
}

static void test_a_bundle_of_which_nothing_is_live_is_passed_over_for_the_next(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle_of(p, USR "a.tar.zst", 9, "ill_signed");
	put_bundle_of(p, USR "b.tar.zst", 8, "gpu");
	fake_kernel_answers("ill_signed", FAKE_RETURN, -EKEYREJECTED);
	/* drm is the kernel's own: that it is live now does not bind us to the first bundle */
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_contains(fake_kernel_log(), "probe drm\nfinit ill_signed \nfinit gpu \n");
}

static void test_a_damaged_copy_in_the_cache_is_replaced_by_the_good_one(void **state)
{
	_cleanup_blob_ struct blob good = gpu_bundle(7, NULL, NULL, 0);
	struct place *p = *state;
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *path = NULL, *text = NULL;
	json_t *status;
	struct err err;
	size_t n;

	make_machine(p);
	put_gpu(p);
	put_blob(p, USR "x.tar.zst", good.v, good.n);
	assert_int_equal(open_sample(&good, &b, &err), 0);
	path = str_printf("root" STORE_DIR "/" RELEASE "/" SAMPLE_NAME "-modules-%s.tar.zst", bundle_manifest(b)->digest);
	good.v[good.n - 1] ^= 1;
	put_blob(p, path, good.v, good.n);
	good.v[good.n - 1] ^= 1;
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	assert_string_equal(text_of(driver_of(status), "source"), "usr");
	json_decref(status);
	assert_int_equal(read_whole_at(p->fd, path, 1u << 20, &text, &n), 0);
	assert_int_equal(n, good.n);
	assert_memory_equal(text, good.v, n);
}

static void test_a_module_that_the_kernel_refuses_is_not_tried_from_elsewhere(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "a.tar.zst", 9);
	put_bundle(p, USR "b.tar.zst", 8);
	fake_kernel_answers("gpu", FAKE_RETURN, -EINVAL);
	assert_int_equal(boot_run(&p->host), EXIT_KERNEL);
	assert_reason(p, "init-failed", "gpu: Invalid argument");
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu \n");
}

/* --- flavours --- */

/* One module, which needs drm. */
static void put_flavor(const struct place *p, const char *path, uint64_t serial, const char *flavor, const char *module,
		       const char *match)
{
	_cleanup_blob_ struct blob ko = fake_module_bytes(&(struct fake_module){ .name = module, .depends = "drm" });
	_cleanup_free_ char *file = str_printf("%s.ko", module);
	_cleanup_sample_ struct sample s;

	sample_begin(&s);
	set_text(&s.m->kernel.build_id, NULL);
	s.m->serial = serial;
	set_text(&s.m->flavor, flavor);
	if (match)
		add_text(&s.m->match, match);
	sample_file(&s, file, ko.v, ko.n);
	sample_seal(&s);
	put_blob(p, path, s.bundle.v, s.bundle.n);
}

/* Records of attempts that are not over. */
static unsigned int open_attempts(const struct place *p)
{
	_cleanup_close_ int fd = openat(p->fd, TRIALS, O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	unsigned int n = 0;
	struct dirent *e;

	assert_non_null(dir);
	fd = -EBADF;
	while ((e = readdir(dir))) {
		_cleanup_free_ char *text = NULL;
		size_t len;

		if (e->d_name[0] == '.')
			continue;
		assert_int_equal(read_whole_at(dirfd(dir), e->d_name, 4096, &text, &len), 0);
		n += !strstr(text, "\"open\": null");
	}
	closedir(dir);
	return n;
}

/* Both are there, in the order of Flavor=; the first finds no device. */
static void make_two_flavors(struct place *p, const char *conf)
{
	make_machine(p);
	put_gpu(p);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", conf);
	put_flavor(p, USR "a.tar.zst", 7, "open", "gpu_open", NULL);
	put_flavor(p, USR "b.tar.zst", 7, "closed", "gpu_closed", NULL);
	fake_kernel_answers("gpu_open", FAKE_RETURN, -ENODEV);
}

static void test_after_modules_that_found_no_device_those_of_another_flavour_are_tried(void **state)
{
	struct place *p = *state;
	const json_t *d, *first;
	json_t *status;

	make_two_flavors(p, CONF "Flavor=open closed\n");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu_open \nfinit gpu_closed \nmknod dev/dri/card0 226:0 0600\n");
	status = status_of(p);
	d = driver_of(status);
	assert_string_equal(text_of(d, "reason"), "loaded");
	assert_string_equal(text_of(d, "flavor"), "closed");
	first = json_array_get(json_object_get(d, "rejected"), 0);
	assert_int_equal(json_array_size(json_object_get(d, "rejected")), 1);
	assert_string_equal(text_of(first, "reason"), "no-device");
	assert_contains(text_of(first, "text"), "gpu_open found no device that it can drive");
	assert_contains(text_of(first, "origin"), "a.tar.zst");
	/* drm, which the first attempt brought, and the second one's module: each once */
	assert_int_equal(json_array_size(json_object_get(d, "modules")), 2);
	json_decref(status);
	/* the first was an attempt that did no harm, and is not kept where the next boot would try it first */
	assert_int_equal(cached(p), 1);
	assert_int_equal(open_attempts(p), 1);
	assert_int_equal(finish_run(&p->host), EXIT_DONE);
	assert_int_equal(open_attempts(p), 0);
}

static void put_firmware(const struct place *p, const char *path, uint64_t serial, const char *flavor)
{
	_cleanup_sample_ struct sample s;

	sample_begin(&s);
	s.m->serial = serial;
	s.m->kind = KIND_FIRMWARE;
	set_text(&s.m->kernel.release, NULL);
	set_text(&s.m->flavor, flavor);
	sample_file(&s, "usr/lib/firmware/gpu.bin", flavor, strlen(flavor));
	sample_seal(&s);
	put_blob(p, path, s.bundle.v, s.bundle.n);
}

static void test_firmware_is_that_of_the_flavour_that_is_loaded(void **state)
{
	struct place *p = *state;
	const json_t *firmware;
	json_t *status;

	make_two_flavors(p, CONF "Flavor=closed open\n");
	put_firmware(p, "root/usr/lib/modulus/bundles/any/a.tar.zst", 9, "open");
	put_firmware(p, "root/usr/lib/modulus/bundles/any/b.tar.zst", 8, "closed");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	firmware = json_object_get(driver_of(status), "firmware");
	assert_string_equal(text_of(driver_of(status), "flavor"), "closed");
	assert_string_equal(text_of(firmware, "flavor"), "closed");
	json_decref(status);
}

static void test_without_a_wish_any_other_flavour_is_tried(void **state)
{
	struct place *p = *state;

	make_two_flavors(p, CONF);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "loaded", "1 modules from usr:");
	assert_contains(fake_kernel_log(), "finit gpu_open \nfinit gpu_closed \n");
}

static void test_a_flavour_is_tried_once_and_only_those_that_are_asked_for(void **state)
{
	struct place *p = *state;

	make_two_flavors(p, CONF "Flavor=open\n");
	put_flavor(p, USR "c.tar.zst", 6, "open", "gpu_older", NULL);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "no-device", "a.tar.zst: gpu_open found no device that it can drive: No such device");
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu_open \n");
	assert_int_equal(cached(p), 1);
}

static void test_after_any_other_failure_no_flavour_is_tried(void **state)
{
	struct place *p = *state;

	make_two_flavors(p, CONF "Flavor=open closed\n");
	fake_kernel_answers("gpu_open", FAKE_RETURN, -EINVAL);
	assert_int_equal(boot_run(&p->host), EXIT_KERNEL);
	assert_reason(p, "init-failed", "gpu_open: Invalid argument");
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu_open \n");
}

static void test_when_no_flavour_finds_a_device_both_are_in_the_report(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_two_flavors(p, CONF "Flavor=open closed\n[Policy]\nRequired=yes\n");
	fake_kernel_answers("gpu_closed", FAKE_RETURN, -ENODEV);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "no-device", "found no device that it can drive");
	status = status_of(p);
	assert_int_equal(json_array_size(json_object_get(driver_of(status), "rejected")), 2);
	json_decref(status);
	/* a device is there, and its driver is not */
	assert_contains(fake_kernel_log(), "emergency.target");
	assert_int_equal(open_attempts(p), 0);
}

static void test_a_bundle_for_other_devices_is_neither_read_nor_tried(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_flavor(p, USR "a.tar.zst", 7, "open", "gpu_open", "pci:v000010DEd*");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "no-device", "a.tar.zst: drives none of the driver's devices here");
	assert_string_equal(fake_kernel_log(), "");
	assert_false(is_there(p, "root/var"));
	put_flavor(p, USR "b.tar.zst", 7, "closed", "gpu_closed", "pci:v00001AF4d00001050*");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "loaded", "b.tar.zst");
}

static void test_a_cache_that_cannot_be_written_is_a_warning(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_text(p, "root/etc/fstab", "UUID=1 /var ext4 defaults 0 2\n");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	assert_contains(json_string_value(json_array_get(json_object_get(driver_of(status), "warnings"), 0)),
			"not cached: cache-unreachable");
	assert_true(json_is_null(json_object_get(driver_of(status), "cached")));
	json_decref(status);
}

static void test_firmware_is_where_the_kernel_was_told_to_look(void **state)
{
	_cleanup_blob_ struct blob b = gpu_bundle(7, NULL, "firmware", 0);
	struct place *p = *state;
	_cleanup_free_ char *path = NULL, *firmware = NULL;

	make_machine(p);
	put_gpu(p);
	put_blob(p, USR "x.tar.zst", b.v, b.n);
	put_text(p, "live/sys/module/firmware_class/parameters/path", "\n");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	path = get_text(p, "live/sys/module/firmware_class/parameters/path");
	assert_contains(path, "/run/modulus/firmware");
	firmware = get_text(p, "live/run/modulus/firmware/gpu.bin");
	assert_string_equal(firmware, "firmware");
}

static void test_a_serial_that_nobody_blessed_binds_nobody(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_false(is_there(p, "root/var/lib/modulus/serials"));
}

/* --- finish --- */

static void test_a_device_that_came_late_is_served_by_finish(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_bundle(p, USR "x.tar.zst", 7);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_reason(p, "no-device", "");
	put_gpu(p);
	assert_int_equal(finish_run(&p->host), EXIT_DONE);
	assert_reason(p, "loaded", "");
	assert_contains(fake_kernel_log(), "finit gpu \n");
	status = status_of(p);
	assert_true(json_is_object(json_object_get(status, "finish")));
	assert_int_equal(json_array_size(json_object_get(status, "drivers")), 1);
	json_decref(status);
}

static void test_finish_does_not_load_twice(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_int_equal(finish_run(&p->host), EXIT_DONE);
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu \nmknod dev/dri/card0 226:0 0600\n");
}

static void test_finish_does_not_try_again_what_failed(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	fake_kernel_answers("gpu", FAKE_RETURN, -ENODEV);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_int_equal(finish_run(&p->host), EXIT_DONE);
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu \n");
	assert_reason(p, "no-device", "gpu found no device");
}

static void test_where_boot_did_not_run_finish_does_its_work(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	assert_int_equal(finish_run(&p->host), EXIT_DONE);
	assert_reason(p, "loaded", "");
}

static void test_finish_leaves_a_foreign_status_alone(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *text = NULL;

	make_machine(p);
	put_text(p, STATUS, "{\"format\":99}");
	assert_int_equal(finish_run(&p->host), EXIT_SYSTEM);
	text = get_text(p, STATUS);
	assert_string_equal(text, "{\"format\":99}");
}

/* --- bless --- */

static void test_what_was_blessed_is_not_undercut_by_an_older_bundle(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_int_equal(bless_run(&p->host), EXIT_DONE);
	status = status_of(p);
	assert_true(json_is_object(json_object_get(status, "blessed")));
	json_decref(status);
	/* the newer one is taken away, an older one offered */
	assert_int_equal(unlinkat(p->fd, USR "x.tar.zst", 0), 0);
	{
		_cleanup_free_ char *dir = place_path(p, "root" STORE_DIR "/" RELEASE);
		_cleanup_free_ char *gone = place_path(p, "gone");

		assert_int_equal(rename(dir, gone), 0);
	}
	put_bundle(p, USR "old.tar.zst", 8);
	assert_int_equal(boot_run(&p->host), EXIT_NO_BUNDLE);
	assert_reason(p, "stale", "serial 9 was in use here");
}

static void test_only_what_was_loaded_is_blessed(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	fake_kernel_answers("gpu", FAKE_RETURN, -ENODEV);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_int_equal(bless_run(&p->host), EXIT_DONE);
	assert_false(is_there(p, "root/var/lib/modulus/serials"));
}

static void test_there_is_nothing_to_bless_where_nothing_ran(void **state)
{
	struct place *p = *state;

	make_machine(p);
	assert_int_equal(bless_run(&p->host), EXIT_SYSTEM);
}

static void test_a_bundle_for_which_there_is_no_memory_is_not_read(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_text(p, "live/proc/meminfo", "MemTotal: 262144 kB\nMemFree: 1 kB\nMemAvailable:      32768 kB\n");
	assert_int_equal(boot_run(&p->host), EXIT_RESOURCES);
	assert_reason(p, "no-space", "needs 33 MiB of memory, 32 MiB are available");
	assert_string_equal(fake_kernel_log(), "");
	assert_int_equal(cached(p), 0);
	/* a bundle of 5 KiB needs 10 KiB, so a little more is enough */
	put_text(p, "live/proc/meminfo", "MemTotal: 262144 kB\nMemAvailable:      32800 kB\n");
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	status = status_of(p);
	assert_string_equal(text_of(driver_of(status), "reason"), "loaded");
	json_decref(status);
}

static void test_when_the_whole_run_is_out_of_time_a_driver_is_not_begun(void **state)
{
	struct place *p = *state;
	_cleanup_report_ struct report report = { 0 };
	_cleanup_devices_ struct device_list devices = { 0 };
	_cleanup_cmdline_ struct cmdline cmdline = { 0 };
	_cleanup_config_ struct config config = { 0 };
	struct boot b = { .host = &p->host, .config = &config, .cmdline = &cmdline, .devices = &devices,
			  .kernel = &report.kernel, .until_us = now_us() };
	struct driver_report *rep;
	struct err err;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	assert_int_equal(config_read(&p->host, &cmdline, &config, &err), 0);
	assert_int_equal(boot_plan(&p->host, &config, &devices, false), 0);
	rep = report_add_driver(&report, &config.drivers[0]);
	assert_int_equal(boot_driver(&b, &config.drivers[0], rep), 0);
	assert_int_equal(rep->result.code, -E_OVER_BUDGET);
	assert_contains(rep->result.text, "the drivers before it took all the time");
	assert_string_equal(fake_kernel_log(), "");
}

static void test_a_run_has_300_seconds_or_the_longest_budget(void **state)
{
	struct driver drivers[] = { { .budget_us = 60000000 }, { .budget_us = 1 } };
	struct config c = { .drivers = drivers, .n_drivers = 2 };
	uint64_t began = now_us();

	(void)state;
	assert_in_range(boot_until(&c) - began, LIMIT_RUN_US, LIMIT_RUN_US + 60000000);
	drivers[1].budget_us = LIMIT_RUN_US + 1000000000;
	assert_in_range(boot_until(&c) - began, LIMIT_RUN_US + 1000000000, LIMIT_RUN_US + 1060000000);
}

/* --- attempts --- */

/* The machine starts again: another boot id, nothing in /run, no module of ours live. */
static void start_again(const struct place *p, const char *boot_id)
{
	put_text(p, "live/proc/sys/kernel/random/boot_id", boot_id);
	(void)unlinkat(p->fd, STATUS, 0);
	put_text(p, "live/sys/module/gpu/initstate", "going\n");
}

/* boot, and nothing after it: the machine went down. The exit code. */
static int boot_and_crash(const struct place *p, const char *boot_id)
{
	start_again(p, boot_id);
	return boot_run(&p->host);
}

static void test_after_three_crashes_the_bundle_is_blocked_and_the_next_best_is_used(void **state)
{
	struct place *p = *state;
	json_t *status;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "new.tar.zst", 9);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(boot_and_crash(p, i == 0 ? "a\n" : i == 1 ? "b\n" : "c\n"), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "d\n"), EXIT_KERNEL);
	assert_reason(p, "blocked", "went down with this kernel 3 times");
	/* an older one is better than none */
	put_bundle(p, USR "old.tar.zst", 8);
	assert_int_equal(boot_and_crash(p, "e\n"), EXIT_DONE);
	status = status_of(p);
	assert_int_equal(json_integer_value(json_object_get(driver_of(status), "serial")), 8);
	assert_string_equal(text_of(json_array_get(json_object_get(driver_of(status), "rejected"), 0), "reason"), "blocked");
	json_decref(status);
}

static void test_healthy_power_cycles_block_nothing(void **state)
{
	struct place *p = *state;
	char id[8];

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	for (unsigned int i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "%u\n", i);
		assert_int_equal(boot_and_crash(p, id), EXIT_DONE);
		/* the odd ones are shut down before finish could run, in good order */
		assert_int_equal(i % 2 ? finish_shutdown_run(&p->host) : finish_run(&p->host), EXIT_DONE);
	}
}

static void test_a_blessed_boot_forgets_the_misses(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	assert_int_equal(boot_and_crash(p, "a\n"), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "b\n"), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "c\n"), EXIT_DONE);
	assert_int_equal(finish_run(&p->host), EXIT_DONE);
	assert_int_equal(bless_run(&p->host), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "d\n"), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "e\n"), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "f\n"), EXIT_DONE);
	assert_int_equal(boot_and_crash(p, "g\n"), EXIT_KERNEL);
}

static void test_an_init_that_kills_its_process_is_a_miss_although_the_boot_goes_on(void **state)
{
	struct place *p = *state;
	char id[8];

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	fake_kernel_answers("gpu", FAKE_DIE, 0);
	for (unsigned int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "%u\n", i);
		assert_int_equal(boot_and_crash(p, id), EXIT_KERNEL);
		assert_reason(p, i < 3 ? "init-failed" : "blocked", "");
		assert_int_equal(finish_run(&p->host), EXIT_DONE);
		assert_int_equal(bless_run(&p->host), EXIT_DONE); /* which blesses what was loaded only */
	}
}

static void test_a_refusal_by_the_kernel_is_no_miss(void **state)
{
	struct place *p = *state;
	char id[8];

	make_machine(p);
	put_gpu(p);
	put_bundle_of(p, USR "a.tar.zst", 9, "ill_signed");
	put_bundle_of(p, USR "b.tar.zst", 8, "gpu");
	fake_kernel_answers("ill_signed", FAKE_RETURN, -EKEYREJECTED);
	fake_kernel_answers("gpu", FAKE_RETURN, -EINVAL);
	for (unsigned int i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "%u\n", i);
		assert_int_equal(boot_and_crash(p, id), EXIT_KERNEL);
		assert_reason(p, "init-failed", "gpu: Invalid argument");
		assert_int_equal(finish_run(&p->host), EXIT_DONE);
	}
}

static void test_what_trial_says_when_the_attempt_cannot_be_recorded(void **state)
{
	static const struct {
		const char *what, *conf, *warning;
		int code;
	} cases[] = {
		{ "auto", CONF, "attempt not recorded: cache-unreachable", EXIT_DONE },
		{ "required", CONF "[Policy]\nTrial=required\n", NULL, EXIT_KERNEL },
		{ "none", CONF "[Policy]\nTrial=none\n", NULL, EXIT_DONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place *p;
		json_t *status;
		const char *warning;

		place_setup((void **)&p);
		make_machine(p);
		put_gpu(p);
		put_bundle(p, USR "x.tar.zst", 9);
		put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", cases[i].conf);
		assert_int_equal(unlinkat(p->fd, "root/etc/systemd/system/multi-user.target.wants/modulus-finish.service",
					  0),
				 0);
		assert_case(cases[i].what, boot_run(&p->host) == cases[i].code);
		status = status_of(p);
		warning = json_string_value(json_array_get(json_object_get(driver_of(status), "warnings"), 0));
		assert_case(cases[i].what, !warning == !cases[i].warning);
		if (warning)
			assert_contains(warning, cases[i].warning);
		if (cases[i].code)
			assert_reason(p, "blocked", "Trial=required");
		json_decref(status);
		assert_case(cases[i].what, !is_there(p, TRIALS));
		place_teardown((void **)&p);
	}
}

static void test_trial_none_neither_records_nor_blocks(void **state)
{
	struct place *p = *state;
	char id[8];

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 9);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "[Policy]\nTrial=none\n");
	for (unsigned int i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "%u\n", i);
		assert_int_equal(boot_and_crash(p, id), EXIT_DONE);
	}
	assert_false(is_there(p, TRIALS));
}

/* --- Required= --- */

static void test_what_required_asks_for_when_the_driver_is_not_there(void **state)
{
	static const struct {
		const char *conf, *log;
	} cases[] = {
		{ CONF, "" },
		{ CONF "[Policy]\nOnFailure=reboot\n", "" },
		{ CONF "[Policy]\nRequired=no\nOnFailure=reboot\n", "" },
		{ CONF "[Policy]\nRequired=yes\n", "start emergency.target isolate\n" },
		{ CONF "[Policy]\nRequired=yes\nOnFailure=reboot\n", "start reboot.target replace-irreversibly\n" },
		{ CONF "[Policy]\nRequired=yes\nOnFailure=poweroff\n", "start poweroff.target replace-irreversibly\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place *p;

		place_setup((void **)&p);
		make_machine(p);
		put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", cases[i].conf);
		/* without the device it is not missed */
		assert_case(cases[i].conf, boot_run(&p->host) == EXIT_DONE);
		assert_case(cases[i].conf, streq(fake_kernel_log(), ""));
		put_gpu(p);
		assert_case(cases[i].conf, boot_run(&p->host) == EXIT_NO_BUNDLE);
		assert_case(cases[i].conf, streq(fake_kernel_log(), cases[i].log));
		assert_reason(p, "no-bundle", "");
		/* nor when it was switched off */
		put_text(p, "live/proc/cmdline", "modulus=off\n");
		assert_case(cases[i].conf, boot_run(&p->host) == EXIT_DONE);
		assert_case(cases[i].conf, streq(fake_kernel_log(), cases[i].log));
		place_teardown((void **)&p);
	}
}

static void test_a_bad_file_brings_down_no_machine_without_the_device(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "[Policy]\nRequired=yes\nOnFailure=reboot\n[Trust]\nMinSerial=x\n");
	assert_int_equal(boot_run(&p->host), EXIT_CONFIG);
	assert_string_equal(fake_kernel_log(), "");
	put_gpu(p);
	assert_int_equal(boot_run(&p->host), EXIT_CONFIG);
	assert_string_equal(fake_kernel_log(), "start reboot.target replace-irreversibly\n");
}

static void test_without_systemd_the_hook_is_told_what_required_asks_for(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *text = NULL;
	struct sysops without;

	make_machine(p);
	without = *p->host.ops;
	without.start_target = sysops_refuse.start_target;
	p->host.ops = &without;
	put_gpu(p);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "[Policy]\nOnFailure=reboot\n");
	assert_int_equal(boot_run(&p->host), EXIT_NO_BUNDLE);
	assert_false(is_there(p, "live/run/modulus/required"));
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "[Policy]\nRequired=yes\nOnFailure=reboot\n");
	assert_int_equal(boot_run(&p->host), EXIT_NO_BUNDLE);
	text = get_text(p, "live/run/modulus/required");
	assert_string_equal(text, "reboot.target\n");
}

static void test_a_required_driver_that_is_there_asks_for_nothing(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "[Policy]\nRequired=yes\n");
	/* another that is not required fails */
	put_text(p, "root/etc/modulus/other.conf", CONF);
	assert_int_equal(boot_run(&p->host), EXIT_NO_BUNDLE);
	assert_string_equal(fake_kernel_log(), "probe drm\nfinit gpu \nmknod dev/dri/card0 226:0 0600\n");
}

/* --- Evict= --- */

static void put_rival(const struct place *p)
{
	put_text(p, "live/sys/bus/pci/drivers/nouveau/unbind", "");
	put_text(p, "live/sys/bus/pci/drivers/nouveau/bind", "");
	put_link(p, "live/sys/devices/pci0/0000:00:02.0/driver", "../../../bus/pci/drivers/nouveau");
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "Evict=nouveau\n");
}

static void assert_text(const struct place *p, const char *path, const char *wanted)
{
	_cleanup_free_ char *text = get_text(p, path);

	assert_string_equal(text, wanted);
}

static void test_a_rival_is_evicted_and_kept_away_when_the_driver_is_live(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_rival(p);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_text(p, "live/sys/bus/pci/drivers/nouveau/unbind", "0000:00:02.0");
	assert_text(p, "live/sys/bus/pci/drivers/nouveau/bind", "");
	assert_text(p, "live/run/modprobe.d/modulus-" SAMPLE_NAME ".conf",
		    "# modulus: the driver " SAMPLE_NAME ", of this boot\nblacklist nouveau\n"
		    "install gpu /run/modulus/bin/modulus load --quiet --module gpu -- $CMDLINE_OPTS\n");
}

static void test_a_rival_gets_its_device_back_when_the_driver_fails(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_bundle(p, USR "x.tar.zst", 7);
	put_rival(p);
	fake_kernel_answers("gpu", FAKE_RETURN, -ENODEV);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
	assert_text(p, "live/sys/bus/pci/drivers/nouveau/bind", "0000:00:02.0");
	assert_false(is_there(p, "live/run/modprobe.d"));
}

static void test_a_rival_keeps_its_device_when_there_is_no_bundle(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_rival(p);
	assert_int_equal(boot_run(&p->host), EXIT_NO_BUNDLE);
	assert_text(p, "live/sys/bus/pci/drivers/nouveau/unbind", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_machine_with_the_device_gets_modules_nodes_and_a_cached_copy),
		at_place(test_the_second_boot_uses_the_cache),
		at_place(test_without_the_device_nothing_is_read_inserted_or_written),
		at_place(test_modulus_off_does_nothing),
		at_place(test_without_any_driver_the_boot_goes_on),
		at_place(test_one_bad_driver_file_does_not_spoil_the_others),
		cmocka_unit_test(test_each_failure_has_its_exit_code_and_loads_nothing),
		at_place(test_a_bad_bundle_is_passed_over_for_the_next),
		at_place(test_a_bundle_of_which_nothing_is_live_is_passed_over_for_the_next),
		at_place(test_a_damaged_copy_in_the_cache_is_replaced_by_the_good_one),
		at_place(test_a_module_that_the_kernel_refuses_is_not_tried_from_elsewhere),
		at_place(test_after_modules_that_found_no_device_those_of_another_flavour_are_tried),
		at_place(test_firmware_is_that_of_the_flavour_that_is_loaded),
		at_place(test_without_a_wish_any_other_flavour_is_tried),
		at_place(test_a_flavour_is_tried_once_and_only_those_that_are_asked_for),
		at_place(test_after_any_other_failure_no_flavour_is_tried),
		at_place(test_when_no_flavour_finds_a_device_both_are_in_the_report),
		at_place(test_a_bundle_for_other_devices_is_neither_read_nor_tried),
		at_place(test_a_cache_that_cannot_be_written_is_a_warning),
		at_place(test_firmware_is_where_the_kernel_was_told_to_look),
		at_place(test_a_serial_that_nobody_blessed_binds_nobody),
		at_place(test_a_device_that_came_late_is_served_by_finish),
		at_place(test_finish_does_not_load_twice),
		at_place(test_finish_does_not_try_again_what_failed),
		at_place(test_where_boot_did_not_run_finish_does_its_work),
		at_place(test_finish_leaves_a_foreign_status_alone),
		at_place(test_what_was_blessed_is_not_undercut_by_an_older_bundle),
		at_place(test_only_what_was_loaded_is_blessed),
		at_place(test_there_is_nothing_to_bless_where_nothing_ran),
		at_place(test_when_the_whole_run_is_out_of_time_a_driver_is_not_begun),
		cmocka_unit_test(test_a_run_has_300_seconds_or_the_longest_budget),
		at_place(test_a_bundle_for_which_there_is_no_memory_is_not_read),
		at_place(test_a_rival_is_evicted_and_kept_away_when_the_driver_is_live),
		at_place(test_a_rival_gets_its_device_back_when_the_driver_fails),
		at_place(test_a_rival_keeps_its_device_when_there_is_no_bundle),
		cmocka_unit_test(test_what_required_asks_for_when_the_driver_is_not_there),
		at_place(test_a_bad_file_brings_down_no_machine_without_the_device),
		at_place(test_without_systemd_the_hook_is_told_what_required_asks_for),
		at_place(test_a_required_driver_that_is_there_asks_for_nothing),
		at_place(test_after_three_crashes_the_bundle_is_blocked_and_the_next_best_is_used),
		at_place(test_healthy_power_cycles_block_nothing),
		at_place(test_a_blessed_boot_forgets_the_misses),
		at_place(test_an_init_that_kills_its_process_is_a_miss_although_the_boot_goes_on),
		at_place(test_a_refusal_by_the_kernel_is_no_miss),
		cmocka_unit_test(test_what_trial_says_when_the_attempt_cannot_be_recorded),
		at_place(test_trial_none_neither_records_nor_blocks),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
