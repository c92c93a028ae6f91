// SPDX-License-Identifier: Apache-2.0
/*
 * metrics.c - see metrics.h. Runs whenever status.json is written. In: that. Out: one file in /run, by a rename, so that
 * a scrape sees the old one or the new one, whole.
 */
#include "metrics.h"

#include "jsontext.h"
#include "ready.h"

struct metrics {
	FILE *out;
	const json_t *drivers;
	const unsigned int *misses;
};

static void head(FILE *out, const char *name, const char *help)
{
	fprintf(out, "# HELP modulus_%s %s\n# TYPE modulus_%s gauge\n", name, help, name);
}

/* A label's value: three characters have an escape, all others stand for themselves. */
static void label(FILE *out, const char *key, const char *value, bool first)
{
	fprintf(out, "%s%s=\"", first ? "" : ",", key);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* A sample's beginning; more labels may follow. */
static void of_driver(FILE *out, const char *name, const json_t *driver)
{
	fprintf(out, "modulus_%s{", name);
	label(out, "driver", json_text(driver, "name"), true);
}

static void end(FILE *out, long long value)
{
	fprintf(out, "} %lld\n", value);
}

static void end_seconds(FILE *out, long long us)
{
	us = us < 0 ? 0 : us;
	fprintf(out, "} %lld.%06lld\n", us / 1000000, us % 1000000);
}

/* --- about the machine --- */

static void add_machine(FILE *out, const json_t *status)
{
	const json_t *kernel = json_object_get(status, "kernel");

	head(out, "info", "The program that wrote this, and the kernel that runs.");
	fprintf(out, "modulus_info{");
	label(out, "version", MODULUS_VERSION, true);
	label(out, "kernel", json_text(kernel, "release"), false);
	label(out, "machine", json_text(kernel, "machine"), false);
	label(out, "build_id", json_text(kernel, "build_id"), false);
	end(out, 1);
	head(out, "ready", "Every driver is loaded, with its libraries, or has no device here.");
	fprintf(out, "modulus_ready %d\n", ready_is(status));
	head(out, "finished", "The second half of this boot has run.");
	fprintf(out, "modulus_finished %d\n", json_is_object(json_object_get(status, "finish")));
	head(out, "blessed", "This boot was good, and what it loaded is remembered.");
	fprintf(out, "modulus_blessed %d\n", json_is_object(json_object_get(status, "blessed")));
}

/* --- about each driver; a metric's samples stand together --- */

static void add_outcome(const struct metrics *m)
{
	json_t *d;
	size_t i;

	head(m->out, "driver_ok", "The driver is loaded, or nothing on this machine needs it.");
	json_array_foreach(m->drivers, i, d) {
		of_driver(m->out, "driver_ok", d);
		end(m->out, status_is_ok(d));
	}
	head(m->out, "driver_reason", "The outcome in one word; operations.md says what to do.");
	json_array_foreach(m->drivers, i, d) {
		of_driver(m->out, "driver_reason", d);
		label(m->out, "reason", json_text(d, "reason"), false);
		end(m->out, 1);
	}
	head(m->out, "driver_runtime_ok", "Libraries and programs of the driver are installed.");
	json_array_foreach(m->drivers, i, d) {
		const json_t *runtime = json_object_get(d, "runtime");

		if (!json_is_object(runtime))
			continue;
		of_driver(m->out, "driver_runtime_ok", d);
		label(m->out, "reason", json_text(runtime, "reason"), false);
		end(m->out, streq(json_text(runtime, "reason"), reason_word(0)));
	}
}

static void add_times(const struct metrics *m)
{
	json_t *d, *phase;
	size_t i, j;

	head(m->out, "driver_seconds", "How long all about this driver took.");
	json_array_foreach(m->drivers, i, d) {
		of_driver(m->out, "driver_seconds", d);
		end_seconds(m->out, number(d, "us"));
	}
	head(m->out, "driver_phase_seconds", "How long a part of that took.");
	json_array_foreach(m->drivers, i, d) {
		json_array_foreach(json_object_get(d, "phases"), j, phase) {
			of_driver(m->out, "driver_phase_seconds", d);
			label(m->out, "phase", json_text(phase, "name"), false);
			end_seconds(m->out, number(phase, "us"));
		}
	}
}

static void add_bundle(const struct metrics *m)
{
	json_t *d;
	size_t i;

	head(m->out, "driver_bundle_info", "The bundle that the modules are from.");
	json_array_foreach(m->drivers, i, d) {
		char serial[24];

		if (!*json_text(d, "digest"))
			continue;
		snprintf(serial, sizeof(serial), "%lld", number(d, "serial"));
		of_driver(m->out, "driver_bundle_info", d);
		label(m->out, "version", json_text(d, "version"), false);
		label(m->out, "flavor", json_text(d, "flavor"), false);
		label(m->out, "serial", serial, false);
		label(m->out, "digest", json_text(d, "digest"), false);
		label(m->out, "key", json_text(d, "key_id"), false);
		label(m->out, "source", json_text(d, "source"), false);
		end(m->out, 1);
	}
	head(m->out, "driver_bundle_bytes", "How large that bundle is.");
	json_array_foreach(m->drivers, i, d) {
		if (!*json_text(d, "digest"))
			continue;
		of_driver(m->out, "driver_bundle_bytes", d);
		end(m->out, number(d, "bytes"));
	}
	head(m->out, "driver_rejected_bundles", "Bundles that were looked at and refused.");
	json_array_foreach(m->drivers, i, d) {
		of_driver(m->out, "driver_rejected_bundles", d);
		end(m->out, (long long)json_array_size(json_object_get(d, "rejected")));
	}
	if (!m->misses)
		return;
	head(m->out, "driver_failed_attempts", "Attempts with that bundle that brought the machine down.");
	json_array_foreach(m->drivers, i, d) {
		if (!*json_text(d, "digest"))
			continue;
		of_driver(m->out, "driver_failed_attempts", d);
		end(m->out, m->misses[i]);
	}
}

char *metrics_text(const json_t *status, const unsigned int *misses)
{
	struct metrics m = { .drivers = json_object_get(status, "drivers"), .misses = misses };
	_cleanup_free_ char *text = NULL;
	size_t len;

	m.out = open_memstream(&text, &len);
	if (!m.out)
		return NULL;
	add_machine(m.out, status);
	add_outcome(&m);
	add_times(&m);
	add_bundle(&m);
	return fclose(m.out) == 0 ? TAKE_PTR(text) : NULL;
}

/* --- the file --- */

/* In the initramfs what is recorded may have to be mounted first: not for a number that finish knows too. */
static int count_misses(const struct host *h, const json_t *status, unsigned int **ret)
{
	const json_t *drivers = json_object_get(status, "drivers"), *d;
	unsigned int *misses;
	size_t i;

	*ret = NULL;
	if (!json_is_object(json_object_get(status, "finish")))
		return 0;
	misses = calloc(json_array_size(drivers) + 1, sizeof(*misses));
	if (!misses)
		return -ENOMEM;
	json_array_foreach(drivers, i, d) {
		const struct trial t = status_trial(status, d);

		misses[i] = *t.digest ? trial_misses(h, &t) : 0;
	}
	*ret = misses;
	return 0;
}

int metrics_write(const struct host *h, int dir, const json_t *status)
{
	_cleanup_free_ char *text = NULL;
	unsigned int *misses;
	int r = count_misses(h, status, &misses);

	if (r < 0)
		return r;
	text = metrics_text(status, misses);
	free(misses);
	return text ? write_file_at(dir, METRICS_NAME, text, strlen(text), 0644) : -ENOMEM;
}
