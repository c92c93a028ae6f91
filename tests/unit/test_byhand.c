// SPDX-License-Identifier: Apache-2.0
/*
 * load and unload on a machine that is a directory: what goes in and out, and that status.json goes on telling what is
 * there. tests/cli/test_load.py has what they say, tests/boot the real kernel.
 */
#include "byhand.h"

#include "boot.h"
#include "fakemachine.h"
#include "store.h"

#define CONF_FILE "live/run/modprobe.d/modulus-" SAMPLE_NAME ".conf"

/* gpu, which is loaded at boot, and extra, which is not. */
static void put_pair(const struct place *p, const char *path, uint64_t serial)
{
	_cleanup_blob_ struct blob gpu = fake_module_bytes(&(struct fake_module){ .name = "gpu" });
	_cleanup_blob_ struct blob extra = fake_module_bytes(&(struct fake_module){ .name = "extra", .depends = "gpu" });
	_cleanup_sample_ struct sample s;

	sample_begin(&s);
	s.m->serial = serial;
	set_text(&s.m->kernel.build_id, NULL);
	sample_file(&s, "gpu.ko", gpu.v, gpu.n);
	sample_file(&s, "extra.ko", extra.v, extra.n);
	free(s.m->load.v[--s.m->load.n]);
	sample_seal(&s);
	put_blob(p, path, s.bundle.v, s.bundle.n);
}

static void boot_machine(struct place *p)
{
	make_machine(p);
	put_gpu(p);
	put_pair(p, USR "x.tar.zst", 7);
	assert_int_equal(boot_run(&p->host), EXIT_DONE);
}

static int by_hand(struct place *p, int (*run)(const struct byhand_request *req), const char *name, bool module)
{
	const struct strv names = { .v = (char *[]){ (char *)(uintptr_t)name }, .n = 1 };

	return run(&(struct byhand_request){ .host = &p->host, .names = &names, .modules = module, .quiet = true });
}

#define LOAD(name) by_hand(p, byhand_load_run, name, false)
#define MODPROBE(name) by_hand(p, byhand_load_run, name, true)
#define UNLOAD(name) by_hand(p, byhand_unload_run, name, false)

/* The driver's word, then the modules from its bundle; "(none)": status.json does not know it. Caller frees. */
static char *told(const struct place *p)
{
	char *text = strdup("(none)"), *more;
	json_t *status = NULL, *module;
	const json_t *entry;
	size_t i;

	assert_int_equal(status_read(&p->host, &status), 0);
	entry = status_entry(status, SAMPLE_NAME);
	if (entry) {
		free(text);
		text = strdup(json_string_value(json_object_get(entry, "reason")));
	}
	json_array_foreach(json_object_get(entry, "modules"), i, module) {
		if (!streq(json_string_value(json_object_get(module, "from")), "bundle"))
			continue;
		more = str_printf("%s %s", text, json_string_value(json_object_get(module, "name")));
		free(text);
		text = more;
	}
	json_decref(status);
	assert_non_null(text);
	return text;
}

static void assert_told(const struct place *p, const char *wanted)
{
	_cleanup_free_ char *text = told(p);

	assert_string_equal(text, wanted);
}

static char *digest_of(const struct place *p)
{
	json_t *status = NULL;
	char *digest;

	assert_int_equal(status_read(&p->host, &status), 0);
	digest = strdup(json_string_value(json_object_get(status_entry(status, SAMPLE_NAME), "digest")));
	json_decref(status);
	return digest;
}

static void test_a_driver_goes_and_comes_back(void **state)
{
	struct place *p = *state;

	boot_machine(p);
	assert_told(p, "loaded gpu");
	assert_int_equal(MODPROBE("extra"), EXIT_DONE);
	assert_told(p, "loaded gpu extra");
	assert_int_equal(UNLOAD(SAMPLE_NAME), EXIT_DONE);
	assert_told(p, "disabled");
	assert_int_equal(LOAD(SAMPLE_NAME), EXIT_DONE);
	assert_told(p, "loaded gpu");
	assert_string_equal(fake_kernel_log(), "finit gpu \nmknod dev/dri/card0 226:0 0600\n"
					       "finit extra \n"
					       "delete extra\ndelete gpu\n"
					       "finit gpu \n");
	assert_true(is_there(p, CONF_FILE));
}

static void test_modprobe_brings_back_what_was_unloaded_and_status_says_so(void **state)
{
	struct place *p = *state;

	boot_machine(p);
	assert_int_equal(UNLOAD(SAMPLE_NAME), EXIT_DONE);
	assert_int_equal(MODPROBE("extra"), EXIT_DONE);
	assert_told(p, "loaded gpu extra");
	assert_int_equal(UNLOAD("extra"), EXIT_DONE);
	assert_told(p, "loaded gpu");
}

static void test_once_all_of_it_is_out_a_newer_bundle_may_come(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *old = NULL, *kept = NULL, *new = NULL;

	boot_machine(p);
	old = digest_of(p);
	put_pair(p, USR "y.tar.zst", 8);
	assert_int_equal(MODPROBE("extra"), EXIT_DONE);
	kept = digest_of(p);
	assert_string_equal(old, kept);
	assert_int_equal(UNLOAD(SAMPLE_NAME), EXIT_DONE);
	assert_int_equal(MODPROBE("gpu"), EXIT_DONE);
	new = digest_of(p);
	assert_string_not_equal(old, new);
}

static void test_what_is_missing_comes_from_the_bundle_of_the_rest(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *old = NULL, *kept = NULL;

	boot_machine(p);
	old = digest_of(p);
	put_pair(p, USR "y.tar.zst", 8);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "Load=gpu extra\n");
	assert_int_equal(LOAD(SAMPLE_NAME), EXIT_DONE);
	assert_told(p, "loaded gpu extra");
	kept = digest_of(p);
	assert_string_equal(old, kept);
}

static void test_a_driver_that_failed_half_way_is_bound_to_its_bundle_too(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *old = NULL, *kept = NULL;

	make_machine(p);
	put_gpu(p);
	put_pair(p, USR "x.tar.zst", 7);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "Load=gpu extra\n");
	fake_kernel_answers("extra", FAKE_RETURN, -EINVAL);
	assert_int_equal(boot_run(&p->host), EXIT_KERNEL);
	assert_told(p, "init-failed gpu");
	old = digest_of(p);
	put_pair(p, USR "y.tar.zst", 8);
	fake_kernel_answers("extra", FAKE_RETURN, 0);
	assert_int_equal(LOAD(SAMPLE_NAME), EXIT_DONE);
	assert_told(p, "loaded gpu extra");
	kept = digest_of(p);
	assert_string_equal(old, kept);
}

static void test_what_is_live_stays_in_the_report_when_its_bundle_is_gone(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *digest = NULL, *cached = NULL;

	boot_machine(p);
	digest = digest_of(p);
	cached = str_printf("root" STORE_DIR "/" RELEASE "/" SAMPLE_NAME "-modules-%s.tar.zst", digest);
	assert_int_equal(unlinkat(p->fd, cached, 0), 0);
	assert_int_equal(unlinkat(p->fd, USR "x.tar.zst", 0), 0);
	put_pair(p, USR "y.tar.zst", 8);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "Load=gpu extra\n");
	assert_int_equal(LOAD(SAMPLE_NAME), EXIT_NO_BUNDLE);
	assert_told(p, "loaded gpu");
}

static void test_where_nothing_ran_yet_a_driver_is_loaded_and_a_module_alone_is_no_report(void **state)
{
	struct place *p = *state;

	make_machine(p);
	put_gpu(p);
	put_pair(p, USR "x.tar.zst", 7);
	assert_int_equal(LOAD("extra"), EXIT_DONE);
	assert_false(is_there(p, "live/run/modulus/status.json")); /* finish has boot's work to do still */
	assert_int_equal(LOAD(SAMPLE_NAME), EXIT_DONE);
	assert_told(p, "loaded");
}

static void test_an_attempt_by_hand_that_hangs_is_a_miss(void **state)
{
	struct place *p = *state;

	boot_machine(p);
	put_text(p, "root/etc/modulus/" SAMPLE_NAME ".conf", CONF "[Policy]\nBudget=1s\n");
	fake_kernel_answers("extra", FAKE_HANG, 0);
	for (unsigned int i = 0; i < LIMIT_TRIAL_MISSES; i++)
		assert_int_equal(MODPROBE("extra"), EXIT_KERNEL);
	assert_int_equal(MODPROBE("extra"), EXIT_KERNEL);
	assert_string_equal(strstr(fake_kernel_log(), "finit extra"), "finit extra \nfinit extra \nfinit extra \n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_driver_goes_and_comes_back),
		at_place(test_modprobe_brings_back_what_was_unloaded_and_status_says_so),
		at_place(test_once_all_of_it_is_out_a_newer_bundle_may_come),
		at_place(test_what_is_missing_comes_from_the_bundle_of_the_rest),
		at_place(test_a_driver_that_failed_half_way_is_bound_to_its_bundle_too),
		at_place(test_what_is_live_stays_in_the_report_when_its_bundle_is_gone),
		at_place(test_where_nothing_ran_yet_a_driver_is_loaded_and_a_module_alone_is_no_report),
		at_place(test_an_attempt_by_hand_that_hangs_is_a_miss),
	};

	return cmocka_run_group_tests_name("byhand", tests, NULL, NULL);
}
