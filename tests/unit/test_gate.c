// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "gate.h"

#define S 1000000ull
/* any time after this build */
#define WALL ((int64_t)MODULUS_EPOCH + 100000)

static void test_only_time_that_surely_went_by_is_counted(void **state)
{
	static const struct {
		const char *what;
		struct gate_count before, now;
		uint64_t held_us;
	} cases[] = {
		{ "ten seconds of one boot", { .boot_id = "a", .at_us = 5 * S, .at = WALL, .held_us = 3 * S },
		  { .boot_id = "a", .at_us = 15 * S, .at = WALL + 10 }, 13 * S },
		{ "the clock was set ahead in it", { .boot_id = "a", .at_us = 5 * S, .at = WALL },
		  { .boot_id = "a", .at_us = 15 * S, .at = WALL + 1000000 }, 10 * S },
		{ "the clock was set back in it", { .boot_id = "a", .at_us = 5 * S, .at = WALL },
		  { .boot_id = "a", .at_us = 15 * S, .at = 0 }, 10 * S },
		{ "an hour over a reboot", { .boot_id = "a", .at_us = 999 * S, .at = WALL, .held_us = S },
		  { .boot_id = "b", .at_us = S, .at = WALL + 3600 }, 3601 * S },
		{ "a clock that went back over it", { .boot_id = "a", .at = WALL, .held_us = S },
		  { .boot_id = "b", .at = WALL - 3600 }, S },
		{ "a clock that was not set before it", { .boot_id = "a", .at = 7, .held_us = S }, { .boot_id = "b", .at = WALL }, S },
		{ "a boot whose own clock went back", { .boot_id = "a", .at_us = 15 * S, .at = WALL, .held_us = S },
		  { .boot_id = "a", .at_us = 5 * S, .at = WALL }, S },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct gate_count c = cases[i].before;

		gate_count_on(&c, &cases[i].now);
		assert_case(cases[i].what, c.held_us == cases[i].held_us);
		assert_case(cases[i].what, streq(c.boot_id, cases[i].now.boot_id) && c.at == cases[i].now.at &&
						   c.at_us == cases[i].now.at_us);
	}
}

static void add(struct findings *f, enum finding_level level, const char *about, int code)
{
	assert_int_equal(findings_addf(f, level, about, "modules", code, "why"), 0);
}

static void test_the_driver_that_holds_longest_decides(void **state)
{
	static char a[] = "a", b[] = "b", c[] = "c";
	struct driver drivers[] = { { .name = a, .gate_us = 10 * S }, { .name = b, .gate_us = 100 * S }, { .name = c } };
	const struct config config = { .drivers = drivers, .n_drivers = 3 };
	const struct kernel k = { .release = "6.2" };
	_cleanup_findings_ struct findings one = { 0 }, both = { 0 }, other = { 0 }, everything = { 0 };
	struct place *p = *state;
	struct gate g;

	put_text(p, "live/proc/sys/kernel/random/boot_id", "x\n");
	add(&one, FINDING_FAIL, a, -E_NO_BUNDLE);
	add(&one, FINDING_WARN, b, -E_NETWORK);
	add(&both, FINDING_FAIL, a, -E_NO_BUNDLE);
	add(&both, FINDING_FAIL, b, -E_CORRUPT);
	add(&other, FINDING_FAIL, c, -E_NO_BUNDLE);
	add(&everything, FINDING_FAIL, FINDING_SYSTEM, -E_UNKNOWN_KERNEL);
	gate_decide(&p->host, &config, &k, &one, &g);
	assert_true(g.hold && g.until - g.since >= 10 && g.until - g.since <= 11);
	gate_decide(&p->host, &config, &k, &both, &g);
	assert_true(g.hold && g.until - g.since >= 100 && g.until - g.since <= 102);
	assert_contains(g.why, "b: corrupt");
	gate_decide(&p->host, &config, &k, &other, &g);
	assert_false(g.hold);
	gate_decide(&p->host, &config, &k, &everything, &g);
	assert_true(g.hold);
	assert_contains(g.why, "system: unknown-kernel");
	drivers[0].gate_us = CONFIG_GATE_ALWAYS;
	gate_decide(&p->host, &config, &k, &both, &g);
	assert_true(g.hold && g.until == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_time_that_surely_went_by_is_counted),
		at_place(test_the_driver_that_holds_longest_decides),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
