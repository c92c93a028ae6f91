// SPDX-License-Identifier: Apache-2.0
/*
 * status.c - reads what boot and finish reported and prints it. Changes nothing.
 */
#include "status.h"

#include <time.h>

#include "gate.h"
#include "jsontext.h"
#include "log.h"
#include "report.h"
#include "timeline.h"

static void print_list(const char *label, const json_t *list, const char *member)
{
	json_t *j;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	printf("  %-9s", label);
	json_array_foreach(list, i, j)
		printf("%s%s", i ? " " : "", member ? json_text(j, member) : json_string_value(j));
	printf("\n");
}

static void print_lines(const char *label, const json_t *list)
{
	json_t *j;
	size_t i;

	json_array_foreach(list, i, j)
		printf("  %-9s%s\n", label, json_string_value(j));
}

static void print_phases(const json_t *phases, long long total_us)
{
	json_t *j;
	size_t i;

	if (json_array_size(phases) == 0)
		return;
	printf("  %-9s%.1f ms", "time", (double)total_us / 1000);
	json_array_foreach(phases, i, j)
		printf("%s%s %.1f", i ? ", " : ": ", json_text(j, "name"),
		       (double)json_integer_value(json_object_get(j, "us")) / 1000);
	printf("\n");
}

static void print_firmware(const json_t *f)
{
	if (json_is_object(f))
		printf("  %-9s%s: %s\n", "firmware", json_text(f, "reason"), *json_text(f, "text") ? json_text(f, "text") :
									     json_text(f, "origin"));
}

static void print_runtime(const json_t *r)
{
	const char *path = json_text(r, "path");

	if (!json_is_object(r))
		return;
	printf("  %-9s%s: %s", "runtime", json_text(r, "reason"), *path ? path : json_text(r, "text"));
	printf("%s%s\n", *json_text(r, "link") ? ", as " : "", json_text(r, "link"));
	print_lines("warning", json_object_get(r, "warnings"));
}

static void print_driver(const json_t *d)
{
	const json_t *rejected = json_object_get(d, "rejected");
	int code = reason_from_word(json_text(d, "reason"));
	json_t *j;
	size_t i;

	printf("%s %s: %s: %s\n", json_text(d, "name"), json_text(d, "version"), json_text(d, "reason"), json_text(d, "text"));
	if (*json_text(d, "digest")) {
		printf("  %-9s%s, serial %lld, signed by key %s\n", "bundle", json_text(d, "digest"),
		       (long long)json_integer_value(json_object_get(d, "serial")), json_text(d, "key_id"));
		if (*json_text(d, "cached"))
			printf("  %-9s%s\n", "cached", json_text(d, "cached"));
	}
	print_firmware(json_object_get(d, "firmware"));
	print_runtime(json_object_get(d, "runtime"));
	print_list("devices", json_object_get(d, "devices"), NULL);
	print_list("modules", json_object_get(d, "modules"), "name");
	print_list("nodes", json_object_get(d, "nodes"), NULL);
	print_phases(json_object_get(d, "phases"), (long long)json_integer_value(json_object_get(d, "us")));
	json_array_foreach(rejected, i, j)
		printf("  %-9s%s: %s: %s\n", "refused", json_text(j, "origin"), json_text(j, "reason"), json_text(j, "text"));
	print_lines("warning", json_object_get(d, "warnings"));
	print_lines("kernel", json_object_get(d, "kernel_log"));
	if (reason_exit(code) != EXIT_DONE)
		printf("  %-9s%s\n", "to do", reason_advice(code));
}

static void print_cdi(const json_t *cdi)
{
	if (*json_text(cdi, "file"))
		printf("containers: %s, %lld mounts\n", json_text(cdi, "file"),
		       (long long)json_integer_value(json_object_get(cdi, "mounts")));
	else if (*json_text(cdi, "other"))
		printf("containers: left to %s\n", json_text(cdi, "other"));
	print_list("devices", json_object_get(cdi, "devices"), NULL);
	print_lines("warning", json_object_get(cdi, "warnings"));
}

/* What was found out about the next boot; NULL: nobody asked. */
static json_t *read_next(const struct host *h)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (host_live_read(h, STATUS_DIR "/" GATE_NOTE, LIMIT_STATUS_BYTES, &text, &len) < 0)
		return NULL;
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
}

static void print_when(const char *before, const json_t *when)
{
	time_t t = (time_t)json_integer_value(when);
	char text[40];
	struct tm tm;

	if (json_is_integer(when) && gmtime_r(&t, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		printf("%s%s", before, text);
}

static void print_next(const json_t *next)
{
	const json_t *kernel = json_object_get(next, "kernel"), *gate = json_object_get(next, "gate");
	bool hold = json_is_true(json_object_get(gate, "hold"));

	if (!json_is_object(next))
		return;
	printf("next boot: kernel %s (%s): %s\n", *json_text(kernel, "release") ? json_text(kernel, "release") : "?",
	       json_text(kernel, "how"), json_is_true(json_object_get(next, "ready")) ? "ready" : "not ready");
	printf("  %-9s%s", "update", hold ? "held" : "may go on");
	if (hold) {
		print_when(" since ", json_object_get(gate, "since"));
		print_when(" until ", json_object_get(gate, "until"));
	}
	printf(": %s\n", json_text(gate, "why"));
	if (*json_text(gate, "lock"))
		printf("  %-9s" HOLD_LOCK " is %s\n", "lock",
		       streq(json_text(gate, "lock"), "ours") ? "ours" : "somebody else's");
}

static int exit_code(const json_t *drivers)
{
	json_t *d;
	size_t i;

	json_array_foreach(drivers, i, d) {
		enum exit_code e = reason_exit(reason_from_word(json_text(d, "reason")));

		if (e != EXIT_DONE)
			return e;
	}
	return EXIT_DONE;
}

static void print_text(const json_t *status, const json_t *next)
{
	const json_t *kernel = json_object_get(status, "kernel"), *drivers = json_object_get(status, "drivers");
	json_t *d;
	size_t i;

	printf("kernel %s %s, in the %s at %.3f s%s\n", json_text(kernel, "release"), json_text(kernel, "machine"),
	       json_text(status, "stage"), (double)json_integer_value(json_object_get(status, "started_us")) / 1e6,
	       json_is_object(json_object_get(status, "finish")) ? ", finished in the real root" : "");
	print_lines("warning", json_object_get(status, "warnings"));
	json_array_foreach(drivers, i, d)
		print_driver(d);
	print_cdi(json_object_get(status, "cdi"));
	if (json_array_size(drivers) == 0)
		printf("no driver is configured\n");
	print_next(next);
}

static void print_json(json_t *status, json_t *next)
{
	if (next)
		json_object_set(status, "next", next);
	json_dumpf(status, stdout, JSON_INDENT(1));
	printf("\n");
}

int status_run(const struct host *h, enum status_form form)
{
	json_t *status, *next;
	int r;

	r = status_read(h, &status);
	if (r == -ENOENT) {
		log_error("%s/%s: modulus boot has not run since this machine started", STATUS_DIR, STATUS_NAME);
		return EXIT_SYSTEM;
	}
	if (r < 0) {
		log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME, strerror(-r));
		return EXIT_SYSTEM;
	}
	next = read_next(h);
	if (form == STATUS_JSON)
		print_json(status, next);
	else if (form == STATUS_TIMELINE)
		timeline_print(status);
	else
		print_text(status, next);
	r = exit_code(json_object_get(status, "drivers"));
	json_decref(next);
	json_decref(status);
	return r;
}
