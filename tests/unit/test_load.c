// SPDX-License-Identifier: Apache-2.0
/*
 * Modules into a kernel that is made of a log and a directory (fakekernel.h). Modules of the
 * bundle are memfds, as unpack leaves them; those of the kernel's own tree are files with an
 * index, read by the real libkmod.
 */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "fakekernel.h"
#include "load.h"

/* --- time that can be turned forward --- */

static volatile uint64_t skipped_s;

/* now_us() asks this one, since the program's own definition goes before the C library's. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (r == 0 && id == CLOCK_BOOTTIME)
		ts->tv_sec += (time_t)skipped_s;
	return r;
}

static void on_usr1(int signal_no)
{
	(void)signal_no;
	skipped_s = LIMIT_INSERT_US / 1000000 + 1;
}

/* --- one load --- */

struct loading {
	struct place *place;
	struct kernel kernel;
	struct config config;
	struct cmdline cmdline;
	struct driver driver;
	struct sample sample; /* its manifest */
	struct module_set set;
	uint64_t budget_us;
	struct report report;
	struct driver_report *result;
	struct err err;
};

static void loading_begin(struct loading *l, void **state)
{
	*l = (struct loading){ .place = *state, .kernel = sample_kernel(), .budget_us = 20000000 };
	sample_begin(&l->sample);
	set_text(&l->driver.name, SAMPLE_NAME);
	set_text(&l->driver.version, "1.0");
	l->set.host = &l->place->host;
	l->result = report_add_driver(&l->report, &l->driver);
	assert_non_null(l->result);
	put_text(l->place, "live/dev/kmsg", "6,1,1,-;older\n");
	fake_kernel(l->place);
}

static void loading_done(struct loading *l)
{
	sample_free(&l->sample);
	module_set_free(&l->set);
	cmdline_free(&l->cmdline);
	strv_free(&l->config.blacklist);
	strv_free(&l->driver.load);
	strv_free(&l->driver.options);
	free(l->driver.name);
	free(l->driver.version);
	report_free(&l->report);
}

#define _cleanup_loading_ _cleanup_(loading_done)

/* These bytes are a module of the bundle. */
static void add_bytes(struct loading *l, const char *name, const void *bytes, size_t n)
{
	struct module_bytes *m;

	l->set.v = reallocarray(l->set.v, l->set.n + 1, sizeof(*l->set.v));
	assert_non_null(l->set.v);
	m = &l->set.v[l->set.n++];
	*m = (struct module_bytes){ .fd = memfd_create(name, MFD_CLOEXEC), .size = n };
	snprintf(m->name, sizeof(m->name), "%s", name);
	assert_int_equal(write_full(m->fd, bytes, n), 0);
}

static void add_module_like(struct loading *l, const struct fake_module *like)
{
	_cleanup_blob_ struct blob b = fake_module_bytes(like);

	add_bytes(l, like->name, b.v, b.n);
}

static void add_module(struct loading *l, const char *name, const char *depends)
{
	add_module_like(l, &(struct fake_module){ .name = name, .depends = depends });
}

static int load(struct loading *l)
{
	const struct load_request req = { .host = &l->place->host, .kernel = &l->kernel, .config = &l->config,
					  .cmdline = &l->cmdline, .driver = &l->driver, .manifest = l->sample.m,
					  .set = &l->set, .until_us = now_us() + l->budget_us };

	l->err = (struct err){ 0 };
	return load_driver(&req, l->result, &l->err);
}

/* Asks for one module and loads. */
static int load_one(struct loading *l, const char *name)
{
	add_text(&l->sample.m->load, name);
	return load(l);
}

/* "drm:kernel nvidia:bundle", in the order of the report. Static. */
static const char *reported(const struct loading *l)
{
	static const char *const words[] = { [MODULE_BUNDLE] = "bundle", [MODULE_KERNEL] = "kernel",
					     [MODULE_LIVE] = "live" };
	static char text[1024];

	text[0] = '\0';
	for (size_t i = 0; i < l->result->n_modules; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s:%s", i ? " " : "",
			 l->result->modules[i].name, words[l->result->modules[i].from]);
	return text;
}

#define assert_loaded(l, code, log)                                                    \
	do {                                                                           \
		if ((code) != 0)                                                       \
			fail_msg("%s", (l)->err.text);                                 \
		assert_string_equal(fake_kernel_log(), log);                           \
	} while (0)

/* --- order --- */

static void test_what_a_module_depends_on_is_inserted_before_it(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "nvidia_drm", "nvidia-modeset");
	add_module(&l, "nvidia_modeset", "nvidia");
	add_module(&l, "nvidia", NULL);
	assert_loaded(&l, load_one(&l, "nvidia-drm"), "finit nvidia \nfinit nvidia_modeset \nfinit nvidia_drm \n");
	assert_string_equal(reported(&l), "nvidia:bundle nvidia_modeset:bundle nvidia_drm:bundle");
	assert_true(load_is_live(&l.place->host, "nvidia-drm"));
}

static void test_names_are_loaded_in_the_order_of_the_manifest_each_once(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "a", NULL);
	add_module(&l, "b", NULL);
	add_module(&l, "c", "a");
	add_text(&l.sample.m->load, "b");
	add_text(&l.sample.m->load, "a");
	add_text(&l.sample.m->load, "c");
	assert_loaded(&l, load(&l), "finit b \nfinit a \nfinit c \n");
}

static void test_what_nobody_asks_for_is_not_inserted(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "a", NULL);
	add_module(&l, "b", NULL);
	assert_loaded(&l, load_one(&l, "b"), "finit b \n");
}

static void test_the_operators_list_goes_before_the_manifests(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "nvidia", NULL);
	add_module(&l, "nvidia_uvm", NULL);
	add_text(&l.sample.m->load, "nvidia");
	add_text(&l.driver.load, "nvidia-uvm");
	assert_loaded(&l, load(&l), "finit nvidia_uvm \n");
}

static void test_a_circle_of_dependencies_ends(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "a", "b");
	add_module(&l, "b", "c");
	add_module(&l, "c", "a");
	assert_loaded(&l, load_one(&l, "a"), "finit c \nfinit b \nfinit a \n");
}

/* m0 needs m1 needs ... */
static int load_chain(void **state, unsigned int modules)
{
	_cleanup_loading_ struct loading l;
	int r;

	loading_begin(&l, state);
	for (unsigned int i = 0; i < modules; i++) {
		_cleanup_free_ char *name = str_printf("m%u", i), *next = str_printf("m%u", i + 1);

		add_module(&l, name, i + 1 < modules ? next : NULL);
	}
	r = load_one(&l, "m0");
	if (r < 0)
		assert_string_equal(fake_kernel_log(), "");
	return r;
}

static void test_dependencies_are_followed_16_deep(void **state)
{
	assert_int_equal(load_chain(state, LIMIT_MODULE_DEPTH + 2), -E_CORRUPT);
	assert_int_equal(load_chain(state, LIMIT_MODULE_DEPTH + 1), 0);
}

/* --- the kernel's own modules --- */

static const char *const tree[] = { "drm: i2c_core", "drm_kms_helper: drm i2c_core", "i2c_core:", "ttm: drm", NULL };

static void test_in_tree_modules_come_with_what_they_need(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_module_tree(l.place, tree);
	add_module(&l, "gpu", "drm_kms_helper,ttm");
	assert_loaded(&l, load_one(&l, "gpu"),
		      "probe i2c_core\nprobe drm\nprobe drm_kms_helper\nprobe ttm\nfinit gpu \n");
	assert_contains(reported(&l), "i2c_core:kernel");
	assert_contains(reported(&l), "drm:kernel");
	assert_contains(reported(&l), "drm_kms_helper:kernel");
	assert_contains(reported(&l), "ttm:kernel");
	assert_contains(reported(&l), "gpu:bundle");
	assert_int_equal(l.result->n_modules, 5); /* each once */
}

static void test_the_bundle_goes_before_the_kernels_tree(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_module_tree(l.place, tree);
	add_module(&l, "drm", NULL);
	add_module(&l, "gpu", "drm");
	assert_loaded(&l, load_one(&l, "gpu"), "finit drm \nfinit gpu \n");
}

static void test_a_name_of_the_kernels_tree_may_be_asked_for(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_module_tree(l.place, tree);
	add_text(&l.driver.load, "i2c-core");
	assert_loaded(&l, load(&l), "probe i2c_core\n");
	assert_string_equal(reported(&l), "i2c_core:kernel");
}

static void test_what_is_nowhere_is_named(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_module_tree(l.place, tree);
	add_module(&l, "gpu", "video");
	assert_int_equal(load_one(&l, "gpu"), -E_INIT_FAILED);
	assert_contains(l.err.text, "video is neither live nor in the bundle nor in");
	assert_string_equal(fake_kernel_log(), "");
}

static void test_without_a_module_tree_that_is_said(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", "video");
	assert_true(load_one(&l, "gpu") < 0);
	assert_contains(l.err.text, "video");
	assert_string_equal(fake_kernel_log(), "");
}

/* --- what is live already --- */

static void test_what_is_live_or_built_in_is_left_alone(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_live(l.place, "nvidia", "live\n");
	put_live(l.place, "drm", NULL); /* built in: no initstate */
	add_module(&l, "nvidia", "gone");
	add_module(&l, "nvidia_drm", "nvidia,drm");
	add_text(&l.sample.m->load, "nvidia");
	add_text(&l.sample.m->load, "nvidia-drm");
	assert_loaded(&l, load(&l), "finit nvidia_drm \n");
	assert_string_equal(reported(&l), "nvidia:live nvidia_drm:bundle");
}

static void test_a_module_that_is_coming_or_going_is_not_live(void **state)
{
	static const char *const states[] = { "coming\n", "going\n", "" };
	struct place *p = *state;

	assert_false(load_is_live(&p->host, "gpu"));
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		put_live(p, "gpu", states[i]);
		assert_case(states[i], !load_is_live(&p->host, "gpu"));
	}
	put_live(p, "gpu", "live\n");
	assert_true(load_is_live(&p->host, "gpu"));
	put_live(p, "nvidia_drm", "live\n");
	assert_true(load_is_live(&p->host, "nvidia-drm"));
}

static void test_what_is_live_from_another_source_is_not_taken_for_the_bundles(void **state)
{
	static const struct {
		const char *live, *more; /* NULL: it carries none */
		int code;
	} cases[] = {
		{ "0A1B2C\n", "srcversion=0A1B2C\n", 0 },
		{ "0A1B2C\n", NULL, 0 },
		{ NULL, "srcversion=0A1B2C\n", 0 },
		{ "0A1B2D\n", "srcversion=0A1B2C\n", -E_INIT_FAILED },
		{ "0A1B2C3\n", "srcversion=0A1B2C\n", -E_INIT_FAILED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned int overtaken = 0; overtaken < 2; overtaken++) {
			_cleanup_loading_ struct loading l;

			loading_begin(&l, state);
			(void)unlinkat(l.place->fd, "live/sys/module/gpu_x/initstate", 0);
			(void)unlinkat(l.place->fd, "live/sys/module/gpu_x/srcversion", 0);
			(void)unlinkat(l.place->fd, "live/sys/module/gpu_x", AT_REMOVEDIR);
			if (cases[i].live)
				put_text(l.place, "live/sys/module/gpu_x/srcversion", cases[i].live);
			if (overtaken)
				fake_kernel_answers("gpu_x", FAKE_OVERTAKEN, 0);
			if (overtaken && cases[i].live)
				put_live(l.place, "gpu_x", "coming\n"); /* a directory alone would be built in */
			if (!overtaken)
				put_live(l.place, "gpu_x", "live\n");
			add_module_like(&l, &(struct fake_module){ .name = "gpu_x", .more = cases[i].more });
			add_text(&l.sample.m->load, "gpu-x");
			if (load(&l) != cases[i].code)
				fail_msg("case %zu, %s: %d %s", i, overtaken ? "overtaken" : "live", l.err.code, l.err.text);
			if (cases[i].code)
				assert_contains(l.err.text, "gpu_x is live already, from another source");
		}
	}
}

/* --- softdeps --- */

static void test_softdeps_go_first_where_they_can(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_module_tree(l.place, tree);
	add_module(&l, "helper", NULL);
	add_module_like(&l, &(struct fake_module){ .name = "gpu", .softdep = "pre: helper i2c-core nowhere post: late",
						   .more = "softdep=pre: ttm\n" });
	add_module(&l, "late", NULL);
	assert_loaded(&l, load_one(&l, "gpu"),
		      "finit helper \nprobe i2c_core\nprobe drm\nprobe ttm\nfinit gpu \n");
}

static void test_a_softdep_that_fails_is_a_wish_not_granted(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "helper", NULL);
	add_module_like(&l, &(struct fake_module){ .name = "gpu", .softdep = "pre: helper" });
	fake_kernel_answers("helper", FAKE_RETURN, -EIO);
	assert_loaded(&l, load_one(&l, "gpu"), "finit helper \nfinit gpu \n");
	assert_string_equal(l.err.text, "");
	assert_string_equal(reported(&l), "gpu:bundle");
}

/* --- what the kernel answers --- */

static void test_each_answer_of_the_kernel_has_its_reason(void **state)
{
	static const struct {
		int answer, code;
		const char *says;
	} cases[] = {
		{ -ENODEV, -E_NO_DEVICE, "gpu found no device that it can drive" },
		{ -ENOENT, -E_INIT_FAILED, "gpu needs a symbol that is not there" },
		{ -ENOEXEC, -E_WRONG_KERNEL, "gpu is not for this kernel: Exec format error" },
		{ -EINVAL, -E_INIT_FAILED, "gpu: Invalid argument" },
		{ -EIO, -E_INIT_FAILED, "gpu: Input/output error" },
		{ -EPERM, -E_INIT_FAILED, "gpu: Operation not permitted" },
		{ -EBUSY, -E_INIT_FAILED, "gpu: Device or resource busy" },
		{ -EEXIST, -E_INIT_FAILED, "gpu: File exists" }, /* and nothing of that name is live */
		{ -EKEYREJECTED, -E_UNSIGNED, "gpu: the kernel does not accept its signature" },
		{ -ENOKEY, -E_UNSIGNED, "gpu: the kernel does not accept its signature" },
		{ -ENOMEM, -E_NO_SPACE, "gpu: Cannot allocate memory" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_loading_ struct loading l;

		loading_begin(&l, state);
		add_module(&l, "gpu", NULL);
		add_module(&l, "later", NULL);
		add_text(&l.sample.m->load, "gpu");
		fake_kernel_answers("gpu", FAKE_RETURN, cases[i].answer);
		assert_case(cases[i].says, load_one(&l, "later") == cases[i].code);
		assert_contains(l.err.text, cases[i].says);
		assert_string_equal(fake_kernel_log(), "finit gpu \n"); /* nothing after it */
		assert_string_equal(reported(&l), "");
	}
}

/* The device was found by then; or what says so is not the driver. */
static void test_no_device_is_the_word_of_the_first_of_the_bundles_modules_alone(void **state)
{
	_cleanup_loading_ struct loading l, of_tree;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	add_module(&l, "later", "gpu");
	fake_kernel_answers("later", FAKE_RETURN, -ENODEV);
	assert_int_equal(load_one(&l, "later"), -E_INIT_FAILED);
	assert_contains(l.err.text, "later found no device that it can drive");
	loading_begin(&of_tree, state);
	put_module_tree(of_tree.place, tree);
	add_module(&of_tree, "other", "ttm");
	fake_kernel_answers("drm", FAKE_RETURN, -ENODEV);
	assert_int_equal(load_one(&of_tree, "other"), -E_INIT_FAILED);
	assert_contains(of_tree.err.text, "ttm found no device that it can drive");
}

static void test_a_module_that_somebody_else_inserted_meanwhile_is_fine(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	fake_kernel_answers("gpu", FAKE_OVERTAKEN, 0);
	assert_loaded(&l, load_one(&l, "gpu"), "finit gpu \n");
}

static void test_an_insert_that_kills_its_process_has_failed(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	fake_kernel_answers("gpu", FAKE_DIE, 0);
	assert_int_equal(load_one(&l, "gpu"), -E_INIT_FAILED);
	assert_contains(l.err.text, "was killed");
}

static void test_an_in_tree_module_that_fails_stops_what_needs_it(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	put_module_tree(l.place, tree);
	add_module(&l, "gpu", "drm");
	fake_kernel_answers("drm", FAKE_RETURN, -EIO);
	assert_int_equal(load_one(&l, "gpu"), -E_INIT_FAILED);
	assert_contains(l.err.text, "drm: Input/output error");
	assert_string_equal(fake_kernel_log(), "probe i2c_core\nprobe drm\n");
}

static void test_the_kernels_own_words_are_kept_when_it_refuses(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	fake_kernel_answers("gpu", FAKE_RETURN, -EIO);
	assert_int_equal(load_one(&l, "gpu"), -E_INIT_FAILED);
	assert_int_equal(l.result->kernel_log.n, 1);
	assert_string_equal(l.result->kernel_log.v[0], "gpu: probe of 0000:00:02.0 failed");
}

/* --- time --- */

static void test_an_insert_that_hangs_ends_with_the_budget(void **state)
{
	_cleanup_loading_ struct loading l;
	uint64_t began = now_us();

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	l.budget_us = 100000;
	fake_kernel_answers("gpu", FAKE_HANG, 0);
	assert_int_equal(load_one(&l, "gpu"), -E_INIT_HUNG);
	assert_contains(l.err.text, "gpu was still in its init when Budget= ran out");
	assert_true(now_us() - began < 10000000);
}

static void test_an_insert_that_hangs_ends_after_60_seconds_whatever_the_budget(void **state)
{
	const struct sigaction turn_forward = { .sa_handler = on_usr1 };
	_cleanup_loading_ struct loading l;
	int r;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	l.budget_us = 600ull * 1000000;
	fake_kernel_answers("gpu", FAKE_HANG_LOUD, 0); /* its signals turn our clock forward */
	assert_int_equal(sigaction(SIGUSR1, &turn_forward, NULL), 0);
	r = load_one(&l, "gpu");
	skipped_s = 0;
	assert_int_equal(r, -E_INIT_HUNG);
	assert_contains(l.err.text, "gpu did not finish its init in 60 s");
}

static void test_an_init_that_returns_a_time_out_has_failed_and_not_hung(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	fake_kernel_answers("gpu", FAKE_RETURN, -ETIMEDOUT);
	assert_int_equal(load_one(&l, "gpu"), -E_INIT_FAILED);
	assert_contains(l.err.text, "gpu: Connection timed out");
}

static void test_without_time_left_nothing_is_inserted(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	l.budget_us = 0;
	assert_int_equal(load_one(&l, "gpu"), -E_OVER_BUDGET);
	assert_contains(l.err.text, "Budget= ran out before gpu");
	assert_string_equal(fake_kernel_log(), "");
}

/* --- who may not --- */

static void test_a_blacklisted_module_is_not_inserted(void **state)
{
	static const char *const spellings[] = { "nvidia-drm", "nvidia_drm" };

	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
		_cleanup_loading_ struct loading l;

		loading_begin(&l, state);
		add_text(&l.config.blacklist, spellings[i]);
		add_module(&l, "nvidia_drm", NULL);
		assert_int_equal(load_one(&l, "nvidia-drm"), -E_DISABLED);
		assert_contains(l.err.text, "blacklisted on the kernel command line");
		assert_string_equal(fake_kernel_log(), "");
	}
}

static void test_the_blacklist_holds_for_in_tree_modules_and_softdeps(void **state)
{
	_cleanup_loading_ struct loading hard, soft;

	loading_begin(&hard, state);
	put_module_tree(hard.place, tree);
	add_text(&hard.config.blacklist, "drm");
	add_module(&hard, "gpu", "drm");
	assert_int_equal(load_one(&hard, "gpu"), -E_DISABLED);
	assert_string_equal(fake_kernel_log(), "");
	loading_begin(&soft, state);
	add_text(&soft.config.blacklist, "drm");
	add_module_like(&soft, &(struct fake_module){ .name = "gpu", .softdep = "pre: drm" });
	assert_loaded(&soft, load_one(&soft, "gpu"), "finit gpu \n");
}

/* --- what is checked before the first insert --- */

/* A good module first, then this one: neither may be inserted. */
static int load_behind_a_good_one(void **state, struct loading *l, const struct fake_module *like)
{
	int r;

	loading_begin(l, state);
	add_module(l, "good", NULL);
	add_module_like(l, like);
	add_text(&l->sample.m->load, "good");
	r = load_one(l, like->name);
	if (r < 0)
		assert_string_equal(fake_kernel_log(), "");
	return r;
}

static void test_another_vermagic_or_machine_is_refused_before_anything_is_inserted(void **state)
{
	static const struct {
		struct fake_module like;
		int code;
		const char *says;
	} cases[] = {
		{ { .name = "gpu", .vermagic = "6.1.0-55-amd64 SMP preempt mod_unload modversions " }, -E_WRONG_KERNEL,
		  "gpu has another vermagic than its manifest says" },
		{ { .name = "gpu", .vermagic = RELEASE " SMP mod_unload " }, -E_WRONG_KERNEL, "another vermagic" },
		{ { .name = "gpu", .vermagic = "" }, -E_WRONG_KERNEL, "another vermagic" },
		{ { .name = "gpu", .machine = EM_S390 }, -E_WRONG_KERNEL, "gpu is for s390x" },
		{ { .name = "gpu" }, 0, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_loading_ struct loading l;

		assert_int_equal(load_behind_a_good_one(state, &l, &cases[i].like), cases[i].code);
		if (cases[i].says)
			assert_contains(l.err.text, cases[i].says);
	}
}

static void test_a_manifest_whose_vermagic_is_another_kernels_is_refused(void **state)
{
	static const char *const vermagics[] = { "6.1.0-55-amd64 SMP ", RELEASE "x SMP ", "6.1.0 SMP ",
						 (" " RELEASE) };

	for (size_t i = 0; i < ARRAY_SIZE(vermagics); i++) {
		_cleanup_loading_ struct loading l;

		loading_begin(&l, state);
		set_text(&l.sample.m->kernel.vermagic, vermagics[i]);
		add_module_like(&l, &(struct fake_module){ .name = "gpu", .vermagic = vermagics[i] });
		assert_case(vermagics[i], load_one(&l, "gpu") == -E_WRONG_KERNEL);
		assert_contains(l.err.text, "running " RELEASE);
		assert_string_equal(fake_kernel_log(), "");
	}
}

static void test_where_signatures_are_demanded_one_unsigned_module_stops_all(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	l.kernel.signed_only = true;
	add_module_like(&l, &(struct fake_module){ .name = "signed", .is_signed = true });
	add_module_like(&l, &(struct fake_module){ .name = "unsigned" });
	assert_int_equal(load_one(&l, "signed"), -E_UNSIGNED);
	assert_contains(l.err.text, "unsigned carries no kernel signature");
	assert_string_equal(fake_kernel_log(), "");
}

static void test_where_signatures_are_demanded_signed_modules_go(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	l.kernel.signed_only = true;
	add_module_like(&l, &(struct fake_module){ .name = "gpu", .is_signed = true });
	assert_loaded(&l, load_one(&l, "gpu"), "finit gpu \n");
}

static void test_a_file_that_is_no_module_is_corrupt(void **state)
{
	static const char *const bytes[] = { "", "not a module" };

	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		_cleanup_loading_ struct loading l;

		loading_begin(&l, state);
		add_module(&l, "good", NULL);
		add_bytes(&l, "bad", bytes[i], strlen(bytes[i]));
		assert_int_equal(load_one(&l, "good"), -E_CORRUPT);
		assert_contains(l.err.text, "bad");
		assert_string_equal(fake_kernel_log(), "");
	}
}

/* --- symbol versions, where no build-id settles the matter --- */

static const struct fake_import gpu_imports[] = { { "module_layout", 0x1111 },
						  { "drm_dev_register", 0x2222 },
						  { NULL, 0 } };
static const struct fake_import drm_imports[] = { { "module_layout", 0x1111 }, { NULL, 0 } };
static const struct fake_import other_imports[] = { { "module_layout", 0x9999 }, { NULL, 0 } };

/* gpu needs drm, which recorded these symbol versions and has this vermagic. */
static void load_beside(struct loading *l, void **state, const struct fake_import *drm, const char *vermagic)
{
	_cleanup_blob_ struct blob ko = fake_module_bytes(&(struct fake_module){ .name = "drm", .imports = drm,
										 .vermagic = vermagic });

	loading_begin(l, state);
	put_module_tree(l->place, tree);
	put_blob(l->place, "root/usr/lib/modules/" RELEASE "/kernel/drm.ko", ko.v, ko.n);
	add_module_like(l, &(struct fake_module){ .name = "gpu", .depends = "drm", .imports = gpu_imports });
}

static void load_with_symbols(struct loading *l, void **state, const struct fake_import *drm)
{
	load_beside(l, state, drm, VERMAGIC);
}

static void test_without_a_build_id_another_symbol_version_is_refused_before_anything_is_inserted(void **state)
{
	_cleanup_loading_ struct loading l;

	load_with_symbols(&l, state, other_imports);
	set_text(&l.sample.m->kernel.build_id, NULL);
	assert_int_equal(load_one(&l, "gpu"), -E_WRONG_KERNEL);
	assert_contains(l.err.text, "gpu was built for another module_layout");
	assert_string_equal(fake_kernel_log(), "");
}

static void test_without_a_build_id_equal_symbol_versions_are_enough(void **state)
{
	_cleanup_loading_ struct loading l;

	load_with_symbols(&l, state, drm_imports);
	set_text(&l.sample.m->kernel.build_id, NULL);
	assert_loaded(&l, load_one(&l, "gpu"), "probe i2c_core\nprobe drm\nfinit gpu \n");
}

static void test_without_a_build_id_a_kernel_configured_otherwise_is_refused_before_anything_is_inserted(void **state)
{
	/* a kernel with MODVERSIONS and one without, which has no other word about it */
	static const struct fake_import *const imports[] = { drm_imports, NULL };
	static const char *const flags[] = { " SMP mod_unload modversions ", " SMP preempt mod_unload ", " " };

	for (size_t i = 0; i < ARRAY_SIZE(imports) * ARRAY_SIZE(flags); i++) {
		_cleanup_free_ char *vermagic = str_printf(RELEASE "%s", flags[i / 2]);
		_cleanup_loading_ struct loading l;

		load_beside(&l, state, imports[i % 2], vermagic);
		set_text(&l.sample.m->kernel.build_id, NULL);
		assert_case(vermagic, load_one(&l, "gpu") == -E_WRONG_KERNEL);
		assert_contains(l.err.text, vermagic);
		assert_contains(l.err.text, VERMAGIC);
		assert_string_equal(fake_kernel_log(), "");
	}
}

/* What a module from elsewhere in the tree says is not the kernel's own word. */
static void test_without_a_build_id_and_a_vermagic_of_this_release_there_is_nothing_to_compare(void **state)
{
	static const char *const others[] = { "", "6.1.0-55-amd64 SMP ", RELEASE "x SMP ", RELEASE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_loading_ struct loading l;
		struct place *p;

		place_setup((void **)&p); /* in the one before, gpu is live */
		load_beside(&l, (void **)&p, drm_imports, others[i]);
		set_text(&l.sample.m->kernel.build_id, NULL);
		assert_loaded(&l, load_one(&l, "gpu"), "probe i2c_core\nprobe drm\nfinit gpu \n");
		place_teardown((void **)&p);
	}
}

static void test_where_the_build_id_is_the_proof_vermagic_is_the_manifests_alone(void **state)
{
	_cleanup_loading_ struct loading l;

	load_beside(&l, state, drm_imports, RELEASE " SMP mod_unload ");
	assert_loaded(&l, load_one(&l, "gpu"), "probe i2c_core\nprobe drm\nfinit gpu \n");
}

static void test_a_kernel_without_a_build_id_is_asked_for_its_symbols_too(void **state)
{
	_cleanup_loading_ struct loading l;

	load_with_symbols(&l, state, other_imports);
	l.kernel.build_id[0] = '\0';
	assert_int_equal(load_one(&l, "gpu"), -E_WRONG_KERNEL);
}

static void test_where_the_build_id_is_the_proof_symbols_are_not_read(void **state)
{
	_cleanup_loading_ struct loading l;

	load_with_symbols(&l, state, other_imports);
	assert_loaded(&l, load_one(&l, "gpu"), "probe i2c_core\nprobe drm\nfinit gpu \n");
}

/* --- parameters --- */

static char *parameters(struct loading *l, const char *module)
{
	const struct load_request req = { .cmdline = &l->cmdline, .driver = &l->driver, .manifest = l->sample.m };
	char *params = load_parameters(&req, module);

	assert_non_null(params);
	return params;
}

static void test_parameters_come_from_manifest_file_and_command_line_in_this_order(void **state)
{
	_cleanup_loading_ struct loading l;
	_cleanup_free_ char *drm = NULL, *nvidia = NULL, *other = NULL;

	loading_begin(&l, state);
	add_text(&l.sample.m->options, "nvidia-drm modeset=0 a=1");
	add_text(&l.sample.m->options, "nvidia b=1");
	add_text(&l.driver.options, "nvidia_drm \t modeset=1");
	add_text(&l.driver.options, "nvidia-drm");
	assert_int_equal(cmdline_parse("nvidia-drm.modeset=2 nvidia_drm.c nvidia.d=\"x y\" nvidiax.e=1 nvidia= -- nvidia.f=1",
				       &l.cmdline),
			 0);
	drm = parameters(&l, "nvidia_drm");
	assert_string_equal(drm, "modeset=0 a=1 modeset=1 modeset=2 c");
	nvidia = parameters(&l, "nvidia");
	assert_string_equal(nvidia, "b=1 \"d=x y\"");
	other = parameters(&l, "nvidia_uvm");
	assert_string_equal(other, "");
}

static void test_a_blank_of_any_kind_in_a_value_is_quoted(void **state)
{
	_cleanup_loading_ struct loading l;
	_cleanup_free_ char *params = NULL;

	loading_begin(&l, state);
	assert_int_equal(cmdline_parse("gpu.a=\"x\ty\"", &l.cmdline), 0);
	params = parameters(&l, "gpu");
	assert_string_equal(params, "\"a=x\ty\"");
}

static void test_the_kernel_gets_the_parameters(void **state)
{
	_cleanup_loading_ struct loading l;

	loading_begin(&l, state);
	add_module(&l, "gpu", NULL);
	add_text(&l.driver.options, "gpu a=1 b=2");
	assert_loaded(&l, load_one(&l, "gpu"), "finit gpu a=1 b=2\n");
}

static void test_one_module_by_hand_with_parameters_of_its_own(void **state)
{
	_cleanup_loading_ struct loading l = { 0 };
	struct load_request req;

	loading_begin(&l, state);
	add_module(&l, "nvidia", NULL);
	add_module(&l, "nvidia_peermem", "nvidia");
	add_text(&l.sample.m->load, "nvidia");
	add_text(&l.driver.options, "nvidia-peermem a=1");
	req = (struct load_request){ .host = &l.place->host, .kernel = &l.kernel, .config = &l.config, .cmdline = &l.cmdline,
				     .driver = &l.driver, .manifest = l.sample.m, .set = &l.set,
				     .until_us = now_us() + l.budget_us, .module = "nvidia-peermem", .parameters = "a=2" };
	assert_int_equal(load_driver(&req, l.result, &l.err), 0);
	assert_string_equal(fake_kernel_log(), "finit nvidia \nfinit nvidia_peermem a=1 a=2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_what_a_module_depends_on_is_inserted_before_it),
		at_place(test_names_are_loaded_in_the_order_of_the_manifest_each_once),
		at_place(test_what_nobody_asks_for_is_not_inserted),
		at_place(test_the_operators_list_goes_before_the_manifests),
		at_place(test_a_circle_of_dependencies_ends),
		at_place(test_dependencies_are_followed_16_deep),
		at_place(test_in_tree_modules_come_with_what_they_need),
		at_place(test_the_bundle_goes_before_the_kernels_tree),
		at_place(test_a_name_of_the_kernels_tree_may_be_asked_for),
		at_place(test_what_is_nowhere_is_named),
		at_place(test_without_a_module_tree_that_is_said),
		at_place(test_what_is_live_or_built_in_is_left_alone),
		at_place(test_a_module_that_is_coming_or_going_is_not_live),
		at_place(test_what_is_live_from_another_source_is_not_taken_for_the_bundles),
		at_place(test_softdeps_go_first_where_they_can),
		at_place(test_a_softdep_that_fails_is_a_wish_not_granted),
		at_place(test_each_answer_of_the_kernel_has_its_reason),
		at_place(test_no_device_is_the_word_of_the_first_of_the_bundles_modules_alone),
		at_place(test_a_module_that_somebody_else_inserted_meanwhile_is_fine),
		at_place(test_an_insert_that_kills_its_process_has_failed),
		at_place(test_an_in_tree_module_that_fails_stops_what_needs_it),
		at_place(test_the_kernels_own_words_are_kept_when_it_refuses),
		at_place(test_an_insert_that_hangs_ends_with_the_budget),
		at_place(test_an_insert_that_hangs_ends_after_60_seconds_whatever_the_budget),
		at_place(test_an_init_that_returns_a_time_out_has_failed_and_not_hung),
		at_place(test_without_time_left_nothing_is_inserted),
		at_place(test_a_blacklisted_module_is_not_inserted),
		at_place(test_the_blacklist_holds_for_in_tree_modules_and_softdeps),
		at_place(test_another_vermagic_or_machine_is_refused_before_anything_is_inserted),
		at_place(test_a_manifest_whose_vermagic_is_another_kernels_is_refused),
		at_place(test_where_signatures_are_demanded_one_unsigned_module_stops_all),
		at_place(test_where_signatures_are_demanded_signed_modules_go),
		at_place(test_a_file_that_is_no_module_is_corrupt),
		at_place(test_without_a_build_id_another_symbol_version_is_refused_before_anything_is_inserted),
		at_place(test_without_a_build_id_equal_symbol_versions_are_enough),
		at_place(test_without_a_build_id_a_kernel_configured_otherwise_is_refused_before_anything_is_inserted),
		cmocka_unit_test(test_without_a_build_id_and_a_vermagic_of_this_release_there_is_nothing_to_compare),
		at_place(test_where_the_build_id_is_the_proof_vermagic_is_the_manifests_alone),
		at_place(test_a_kernel_without_a_build_id_is_asked_for_its_symbols_too),
		at_place(test_where_the_build_id_is_the_proof_symbols_are_not_read),
		at_place(test_parameters_come_from_manifest_file_and_command_line_in_this_order),
		at_place(test_a_blank_of_any_kind_in_a_value_is_quoted),
		at_place(test_the_kernel_gets_the_parameters),
		at_place(test_one_module_by_hand_with_parameters_of_its_own),
	};

	return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
