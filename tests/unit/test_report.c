// SPDX-License-Identifier: Apache-2.0
#include "fakekernel.h"
#include "limit.h"
#include "lock.h"
#include "report.h"

/* A report with one driver in it, ready to be filled. */
static struct driver_report *begin(struct report *r)
{
	struct driver d = { 0 };
	struct driver_report *rep;

	*r = (struct report){ .stage = "initramfs", .kernel = sample_kernel(), .started_us = 1000, .taint_before = 4096 };
	set_text(&d.name, SAMPLE_NAME);
	set_text(&d.version, "1.0");
	rep = report_add_driver(r, &d);
	free(d.name);
	free(d.version);
	assert_non_null(rep);
	return rep;
}

/* What a successful boot leaves. */
static void fill(struct driver_report *rep)
{
	set_text(&rep->bundle.flavor, "open");
	set_text(&rep->bundle.source, "usr");
	set_text(&rep->bundle.origin, "usr:/usr/lib/modulus/bundles/x.tar.zst");
	set_text(&rep->bundle.digest, "aa55");
	set_text(&rep->bundle.key_id, "1A2B3C4D5E6F7081");
	set_text(&rep->bundle.cached, "/var/lib/modulus/bundles/x.tar.zst");
	rep->bundle.serial = 7;
	rep->us = 412345;
	add_text(&rep->devices, "0000:00:02.0");
	add_text(&rep->nodes, "/dev/dri/card0");
	add_text(&rep->nodes, "/dev/dri/renderD128");
	assert_int_equal(report_add_module(rep, "drm", MODULE_KERNEL, 10), 0);
	assert_int_equal(report_add_module(rep, "virtio_dma_buf", MODULE_BUNDLE, 20), 0);
	assert_int_equal(report_add_module(rep, "virtio_gpu", MODULE_BUNDLE, 30), 0);
	assert_int_equal(report_add_module(rep, "virtio", MODULE_LIVE, 0), 0);
	report_phase(rep, "source", 100);
	report_phase(rep, "load", 200);
	report_phase(rep, "load", 300);
}

/* --- the line --- */

static void test_the_line_says_what_was_loaded_and_from_where(void **state)
{
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	_cleanup_free_ char *line = NULL;

	(void)state;
	fill(rep);
	line = report_line(rep, &r.kernel);
	assert_string_equal(line, "virtio-gpu: loaded: 2 modules from usr:/usr/lib/modulus/bundles/x.tar.zst in 412 ms "
				  "(kernel " RELEASE ", serial 7, key 1A2B3C4D5E6F7081), "
				  "nodes /dev/dri/card0 /dev/dri/renderD128");
}

static void test_the_line_says_why_nothing_was_loaded(void **state)
{
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	_cleanup_free_ char *line = NULL;

	(void)state;
	fill(rep);
	(void)err_set(&rep->result, -E_WRONG_KERNEL, "bundle is for kernel 6.1.0-55-amd64, running " RELEASE);
	line = report_line(rep, &r.kernel);
	assert_string_equal(line, "virtio-gpu: wrong-kernel: bundle is for kernel 6.1.0-55-amd64, running " RELEASE);
}

/* --- the JSON --- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	if (!text)
		fail_msg("%s is not a string", key);
	return text;
}

static long long number_of(const json_t *o, const char *key)
{
	const json_t *j = json_object_get(o, key);

	if (!json_is_integer(j))
		fail_msg("%s is not a number", key);
	return (long long)json_integer_value(j);
}

static void test_every_field_of_a_driver_is_in_the_json(void **state)
{
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	struct err stale = { .code = -E_STALE, .text = "has serial 1" };
	const json_t *item;
	json_t *j;

	(void)state;
	fill(rep);
	(void)err_set(&rep->result, 0, "2 modules");
	add_text(&rep->kernel_log, "virtio_gpu: hello");
	add_text(&rep->warnings, "not cached");
	assert_int_equal(rejections_add(&rep->rejected, "cache:x", &stale), 0);
	j = report_driver_json(rep);
	assert_string_equal(text_of(j, "name"), "virtio-gpu");
	assert_string_equal(text_of(j, "version"), "1.0");
	assert_string_equal(text_of(j, "flavor"), "open");
	assert_string_equal(text_of(j, "reason"), "loaded");
	assert_string_equal(text_of(j, "text"), "2 modules");
	assert_string_equal(text_of(j, "source"), "usr");
	assert_string_equal(text_of(j, "origin"), "usr:/usr/lib/modulus/bundles/x.tar.zst");
	assert_string_equal(text_of(j, "digest"), "aa55");
	assert_int_equal(number_of(j, "serial"), 7);
	assert_string_equal(text_of(j, "key_id"), "1A2B3C4D5E6F7081");
	assert_string_equal(text_of(j, "cached"), "/var/lib/modulus/bundles/x.tar.zst");
	assert_int_equal(number_of(j, "us"), 412345);
	assert_int_equal(json_array_size(json_object_get(j, "devices")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "nodes")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(j, "nodes"), 1)), "/dev/dri/renderD128");
	assert_int_equal(json_array_size(json_object_get(j, "modules")), 4);
	item = json_array_get(json_object_get(j, "modules"), 1);
	assert_string_equal(text_of(item, "name"), "virtio_dma_buf");
	assert_string_equal(text_of(item, "from"), "bundle");
	assert_int_equal(number_of(item, "us"), 20);
	assert_string_equal(text_of(json_array_get(json_object_get(j, "modules"), 0), "from"), "kernel");
	assert_string_equal(text_of(json_array_get(json_object_get(j, "modules"), 3), "from"), "live");
	item = json_array_get(json_object_get(j, "rejected"), 0);
	assert_string_equal(text_of(item, "origin"), "cache:x");
	assert_string_equal(text_of(item, "reason"), "stale");
	assert_string_equal(text_of(item, "text"), "has serial 1");
	assert_string_equal(json_string_value(json_array_get(json_object_get(j, "kernel_log"), 0)), "virtio_gpu: hello");
	assert_string_equal(json_string_value(json_array_get(json_object_get(j, "warnings"), 0)), "not cached");
	assert_int_equal(json_array_size(json_object_get(j, "phases")), 2); /* one name, one phase */
	item = json_array_get(json_object_get(j, "phases"), 1);
	assert_string_equal(text_of(item, "name"), "load");
	assert_int_equal(number_of(item, "us"), 500);
	json_decref(j);
}

static void test_what_is_not_known_is_null(void **state)
{
	static const char *const keys[] = { "source", "origin", "digest", "serial", "key_id", "cached" };
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	json_t *j;

	(void)state;
	(void)err_set(&rep->result, -E_NO_BUNDLE, "none");
	j = report_driver_json(rep);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_case(keys[i], json_is_null(json_object_get(j, keys[i])));
	assert_string_equal(text_of(j, "reason"), "no-bundle");
	json_decref(j);
}

static void test_the_whole_report_says_which_boot_and_kernel(void **state)
{
	_cleanup_report_ struct report r;
	struct place *p = *state;
	const json_t *kernel;
	json_t *j;

	(void)begin(&r);
	add_text(&r.warnings, "gpu.conf:4: unknown key 'Loud'");
	put_text(p, "live/proc/sys/kernel/random/boot_id", "0a1b2c3d-0000-4000-8000-0123456789ab\n");
	put_text(p, "live/proc/sys/kernel/tainted", "12288\n");
	j = report_json(&p->host, &r);
	assert_int_equal(number_of(j, "format"), 1);
	assert_string_equal(text_of(j, "stage"), "initramfs");
	assert_string_equal(text_of(j, "boot_id"), "0a1b2c3d-0000-4000-8000-0123456789ab");
	kernel = json_object_get(j, "kernel");
	assert_string_equal(text_of(kernel, "release"), RELEASE);
	assert_string_equal(text_of(kernel, "machine"), machine_here());
	assert_string_equal(text_of(kernel, "build_id"), BUILD_ID);
	assert_int_equal(number_of(json_object_get(j, "taint"), "before"), 4096);
	assert_int_equal(number_of(json_object_get(j, "taint"), "after"), 12288);
	assert_int_equal(number_of(j, "started_us"), 1000);
	assert_true(number_of(j, "finished_us") > 1000);
	assert_true(number_of(j, "cpu_us") >= 0);
	assert_true(json_is_null(json_object_get(j, "finish")));
	assert_true(json_is_null(json_object_get(j, "cdi")));
	assert_true(json_is_null(json_object_get(j, "blessed")));
	assert_int_equal(json_array_size(json_object_get(j, "warnings")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "drivers")), 1);
	json_decref(j);
	r.kernel.build_id[0] = '\0';
	j = report_json(&p->host, &r);
	assert_true(json_is_null(json_object_get(json_object_get(j, "kernel"), "build_id")));
	json_decref(j);
}

static void test_text_that_is_not_utf8_costs_no_field(void **state)
{
	struct err odd = { .code = -E_BAD_CONFIG, .text = "not a source: \xff\xfe" };
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	json_t *j;

	(void)state;
	/* a version and a source from a configuration file in another encoding; a sentence that was cut */
	set_text(&rep->version, "1.0-\xe4");
	(void)err_set(&rep->result, -E_BAD_CONFIG, "cut here: \xc3");
	assert_int_equal(rejections_add(&rep->rejected, "fl\xf6ppy:", &odd), 0);
	add_text(&rep->warnings, "\xff");
	j = report_driver_json(rep);
	assert_int_equal(json_array_size(json_object_get(j, "rejected")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "warnings")), 1);
	(void)text_of(j, "text");
	(void)text_of(j, "version");
	json_decref(j);
}

static void test_firmware_is_told_when_it_was_asked_for(void **state)
{
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	json_t *j = report_driver_json(rep), *firmware;

	(void)state;
	assert_true(json_is_null(json_object_get(j, "firmware")));
	json_decref(j);
	rep->firmware.asked = true;
	(void)err_set(&rep->firmware.result, -E_NETWORK, "nobody answers");
	j = report_driver_json(rep);
	firmware = json_object_get(j, "firmware");
	assert_string_equal(text_of(firmware, "reason"), "network");
	assert_string_equal(text_of(firmware, "text"), "nobody answers");
	assert_true(json_is_null(json_object_get(firmware, "digest")));
	json_decref(j);
	rep->firmware.result = (struct err){ 0 };
	set_text(&rep->firmware.bundle.digest, "bb");
	j = report_driver_json(rep);
	firmware = json_object_get(j, "firmware");
	assert_string_equal(text_of(firmware, "reason"), "loaded");
	assert_string_equal(text_of(firmware, "digest"), "bb");
	json_decref(j);
}

static void test_a_bundle_that_is_not_used_after_all_is_forgotten(void **state)
{
	char source[] = "cache", origin[] = "cache:x";
	const struct candidate c = { .source = source, .origin = origin };
	_cleanup_sample_ struct sample s;
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);

	(void)state;
	sample_begin(&s);
	snprintf(s.m->digest, sizeof(s.m->digest), "aa");
	snprintf(s.m->key_id, sizeof(s.m->key_id), "BB");
	assert_int_equal(report_set_bundle(&rep->bundle, &c, s.m), 0);
	assert_int_equal(report_set_bundle(&rep->bundle, &c, s.m), 0); /* replaces */
	assert_string_equal(rep->bundle.origin, "cache:x");
	assert_string_equal(rep->bundle.digest, "aa");
	assert_string_equal(rep->bundle.key_id, "BB");
	assert_int_equal(rep->bundle.serial, 7);
	report_clear_bundle(&rep->bundle);
	assert_null(rep->bundle.origin);
	assert_null(rep->bundle.digest);
	assert_int_equal(rep->bundle.serial, 0);
}

static void test_there_is_room_for_so_many_phases_and_modules(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" };
	_cleanup_report_ struct report r;
	struct driver_report *rep = begin(&r);
	char longest[2 * LIMIT_NAME_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		report_phase(rep, names[i], 1);
	assert_int_equal(rep->n_phases, REPORT_PHASES);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(report_add_module(rep, longest, MODULE_BUNDLE, 0), 0);
	assert_int_equal(strlen(rep->modules[0].name), LIMIT_NAME_BYTES);
}

static void test_a_module_is_in_it_once_as_the_first_attempt_found_it(void **state)
{
	_cleanup_report_ struct report r = { 0 };
	struct driver_report *rep = report_add_driver(&r, &(struct driver){ .name = (char[]){ "gpu" } });

	(void)state;
	assert_int_equal(report_add_module(rep, "drm", MODULE_KERNEL, 10), 0);
	assert_int_equal(report_add_module(rep, "drm", MODULE_LIVE, 0), 0);
	assert_int_equal(rep->n_modules, 1);
	assert_int_equal(rep->modules[0].from, MODULE_KERNEL);
}

/* --- status.json --- */

static void test_the_status_is_written_and_read_again(void **state)
{
	_cleanup_report_ struct report r;
	struct place *p = *state;
	json_t *j, *again = NULL;

	(void)begin(&r);
	assert_int_equal(status_read(&p->host, &again), -ENOENT);
	j = report_json(&p->host, &r);
	assert_int_equal(status_write(&p->host, j), 0);
	assert_int_equal(status_write(&p->host, j), 0); /* replaces */
	assert_int_equal(count_entries(p, "live/run/modulus"), 3); /* and its lock, and the metrics */
	assert_int_equal(status_read(&p->host, &again), 0);
	assert_true(json_equal(j, again));
	json_decref(j);
	json_decref(again);
}

/* Two drivers; what one command changed and what another one wrote meanwhile. */
static json_t *report_of_two(void)
{
	return json_pack("{s:i, s:n, s:n, s:n, s:[{s:s, s:n, s:[]}, {s:s, s:n, s:[]}]}", "format", 1, "finish", "cdi",
			 "blessed", "drivers", "name", "gpu", "runtime", "modules", "name", "net", "runtime", "modules");
}

static void test_only_what_changed_is_carried_over(void **state)
{
	struct place *p = *state;
	json_t *was = report_of_two(), *is = report_of_two(), *there = report_of_two(), *got = NULL, *entry;

	json_object_set_new(is, "finish", json_true());
	json_object_set_new(status_entry(is, "gpu"), "runtime", json_string("ours"));
	assert_int_equal(status_put_entry(is, "new", json_pack("{s:s}", "name", "new")), 0);
	json_object_set_new(there, "blessed", json_true());
	json_array_append_new(json_object_get(status_entry(there, "gpu"), "modules"), json_string("theirs"));
	json_object_set_new(status_entry(there, "net"), "runtime", json_string("theirs"));
	assert_int_equal(status_put_entry(there, "other", json_pack("{s:s}", "name", "other")), 0);
	assert_int_equal(status_write(&p->host, there), 0);
	assert_int_equal(status_update(&p->host, was, is), 0);
	assert_int_equal(status_read(&p->host, &got), 0);
	assert_true(json_is_true(json_object_get(got, "finish")) && json_is_true(json_object_get(got, "blessed")));
	entry = status_entry(got, "gpu");
	assert_string_equal(text_of(entry, "runtime"), "ours");
	assert_int_equal(json_array_size(json_object_get(entry, "modules")), 1);
	assert_string_equal(text_of(status_entry(got, "net"), "runtime"), "theirs");
	assert_true(status_entry(got, "new") && status_entry(got, "other"));
	assert_int_equal(json_array_size(json_object_get(got, "drivers")), 4);
	json_decref(was);
	json_decref(is);
	json_decref(there);
	json_decref(got);
}

static void test_where_there_is_none_all_of_it_is_written(void **state)
{
	struct place *p = *state;
	json_t *was = report_of_two(), *is = report_of_two(), *got = NULL;

	json_object_set_new(is, "finish", json_true());
	assert_int_equal(status_update(&p->host, was, is), 0);
	assert_int_equal(status_read(&p->host, &got), 0);
	assert_true(json_equal(got, is));
	json_decref(got);
	put_text(p, "live/run/modulus/status.json", "{");
	assert_int_equal(status_update(&p->host, was, is), 0);
	assert_int_equal(status_read(&p->host, &got), 0);
	assert_true(json_equal(got, is));
	json_decref(was);
	json_decref(is);
	json_decref(got);
}

static void test_who_changes_it_waits_for_another_one_but_not_for_ever(void **state)
{
	struct place *p = *state;
	json_t *was = report_of_two(), *is = report_of_two(), *got = NULL;
	_cleanup_close_ int lock = -EBADF;
	uint64_t began;

	json_object_set_new(is, "finish", json_true());
	assert_int_equal(lock_status(&p->host, &lock), 0);
	began = now_us();
	assert_int_equal(status_update(&p->host, was, is), 0);
	assert_true(now_us() - began >= LIMIT_LOCK_STATUS_US);
	assert_int_equal(status_read(&p->host, &got), 0);
	assert_true(json_equal(got, is));
	json_decref(was);
	json_decref(is);
	json_decref(got);
}

static void test_a_status_that_is_not_ours_is_refused(void **state)
{
	static const char *const texts[] = { "",
					     "{",
					     "[]",
					     "{}",
					     "{\"format\":2,\"drivers\":[]}",
					     "{\"format\":\"1\",\"drivers\":[]}",
					     "{\"format\":1}",
					     "{\"format\":1,\"drivers\":{}}",
					     "{\"format\":1,\"format\":1,\"drivers\":[]}" };
	struct place *p = *state;
	json_t *j = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		put_text(p, "live/run/modulus/status.json", texts[i]);
		assert_case(texts[i], status_read(&p->host, &j) == -EBADMSG);
		assert_null(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_line_says_what_was_loaded_and_from_where),
		cmocka_unit_test(test_a_module_is_in_it_once_as_the_first_attempt_found_it),
		cmocka_unit_test(test_the_line_says_why_nothing_was_loaded),
		cmocka_unit_test(test_every_field_of_a_driver_is_in_the_json),
		cmocka_unit_test(test_what_is_not_known_is_null),
		at_place(test_the_whole_report_says_which_boot_and_kernel),
		cmocka_unit_test(test_text_that_is_not_utf8_costs_no_field),
		cmocka_unit_test(test_firmware_is_told_when_it_was_asked_for),
		cmocka_unit_test(test_a_bundle_that_is_not_used_after_all_is_forgotten),
		cmocka_unit_test(test_there_is_room_for_so_many_phases_and_modules),
		at_place(test_the_status_is_written_and_read_again),
		at_place(test_only_what_changed_is_carried_over),
		at_place(test_where_there_is_none_all_of_it_is_written),
		at_place(test_who_changes_it_waits_for_another_one_but_not_for_ever),
		at_place(test_a_status_that_is_not_ours_is_refused),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
