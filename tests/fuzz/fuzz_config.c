// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_config.c - a driver's INI file (config_parse_driver), and durations. What is accepted has
 * its required keys and no list above its limit.
 */
#include "config.h"
#include "fuzz.h"
#include "limit.h"

static void check_duration(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	uint64_t us;

	if (config_parse_duration(text, &us) == 0)
		must(us <= 86400ull * 1000000);
}

static void check_driver(const struct driver *d)
{
	must(d->version && *d->version && strlen(d->version) <= LIMIT_NAME_BYTES);
	must(d->match.n > 0 && d->match.n <= LIMIT_DRIVER_GLOBS);
	must(d->load.n <= LIMIT_LOAD_NAMES && d->options.n <= LIMIT_OPTIONS && d->from.n <= LIMIT_SOURCES);
	must(!d->digest || strlen(d->digest) == 64);
	must(d->budget_us > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_config_ struct config c = { .drivers = calloc(1, sizeof(*c.drivers)), .n_drivers = 1 };
	struct err err = { 0 };

	must(c.drivers);
	c.drivers->budget_us = DEFAULT_BUDGET_US;
	if (size < 64)
		check_duration(data, size);
	if (fuzz_outcome(config_parse_driver("x.conf", (const char *)data, size, c.drivers, &c.warnings, &err), &err) == 0)
		check_driver(c.drivers);
	for (size_t i = 0; i < c.warnings.n; i++)
		must(fuzz_is_printable(c.warnings.v[i]));
	return 0;
}
