// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_state.c - what this program wrote earlier and reads back, damaged in any way: status.json
 * by status and bless, the mark of the highest serial, the record of attempts, the name of a file in
 * the cache. A mark may refuse a bundle as stale or equivocal, a record of attempts may block it;
 * whatever else is wrong counts as none.
 */
#include <fcntl.h>

#include "boot.h"
#include "fuzz.h"
#include "limit.h"
#include "serial.h"
#include "status.h"
#include "store.h"
#include "trial.h"

static struct fuzz_dir dir;
static struct host host;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[96];

	(void)argc;
	(void)argv;
	fuzz_dir_open(&dir);
	snprintf(path, sizeof(path), "%s/a/b/in", dir.path);
	must(host_open(path, path, &host, NULL) == 0);
	/* the program's words; libFuzzer and the sanitizers have the descriptors */
	stdout = fopen("/dev/null", "we");
	stderr = fopen("/dev/null", "we");
	must(stdout && stderr);
	return 0;
}

/* A file's name says the same read and written. */
static void check_name(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size), *again = NULL;
	struct store_name n;

	if (!store_parse_name(text, &n))
		return;
	again = str_printf("%s-%s-%s.tar.zst", n.name, manifest_kind_word(n.kind), n.digest);
	must(again && streq(again, text) && fuzz_is_printable(text) && !strpbrk(text, "/ "));
}

static void check_attempts(const uint8_t *data, size_t size)
{
	const struct trial t = { .name = "n", .digest = "00", .release = "6.1", .build_id = "" };
	struct err err = { 0 };
	unsigned int misses;
	int r;

	fuzz_dir_write(&dir, "proc/sys/kernel/random/boot_id", "this-boot\n", 10);
	fuzz_dir_write(&dir, TRIAL_DIR "/6.1/00-" TRIAL_NO_BUILD_ID ".json", data, size);
	misses = trial_misses(&host, &t);
	must(misses <= LIMIT_TRIAL_MISSES);
	r = fuzz_outcome(trial_check(&host, &t, &err), &err);
	must(r == (misses < LIMIT_TRIAL_MISSES ? 0 : -E_BLOCKED));
	err = (struct err){ 0 };
	must(fuzz_outcome(trial_miss(&host, &t, &err), &err) == 0 && trial_misses(&host, &t) >= misses);
	must(fuzz_outcome(trial_end(&host, &t, &err), &err) == 0 && trial_misses(&host, &t) >= misses);
	must(fuzz_outcome(trial_bless(&host, &t, &err), &err) == 0 && trial_misses(&host, &t) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "n", version[] = "1", flavor[] = "", release[] = "6.1";
	const struct manifest m = { .name = name, .version = version, .flavor = flavor, .serial = 7,
				    .kind = KIND_MODULES, .kernel.release = release, .digest = "00" };
	struct err err = { 0 };
	size_t files, links;
	int r;

	fuzz_dir_write(&dir, SERIAL_DIR "/6.1/n-modules-.json", data, size);
	r = fuzz_outcome(serial_check(&host, &m, "ab", &err), &err);
	must(r == 0 || r == -E_STALE || r == -E_EQUIVOCATION);

	fuzz_dir_write(&dir, STATUS_DIR "/" STATUS_NAME, data, size);
	r = status_run(&host, false);
	must(r >= EXIT_DONE && r <= EXIT_CONFIG && r != EXIT_USAGE);
	must(status_run(&host, true) == r);
	r = bless_run(&host);
	must(r == EXIT_DONE || r == EXIT_SYSTEM);
	must(r != EXIT_DONE || status_run(&host, false) >= EXIT_DONE);
	check_attempts(data, size);
	check_name(data, size);
	fuzz_dir_clean(&dir, &files, &links);
	return 0;
}
