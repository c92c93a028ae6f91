// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_cmdline.c - the kernel command line, and what it does to a configuration.
 */
#include "config.h"
#include "fuzz.h"
#include "limit.h"

static const char driver_conf[] = "[Driver]\nVersion=1\nMatch=pci:*\n";

static struct fuzz_dir dir;
static struct host host;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[96];

	(void)argc;
	(void)argv;
	fuzz_dir_open(&dir);
	fuzz_dir_write(&dir, "etc/modulus/x.conf", driver_conf, strlen(driver_conf));
	snprintf(path, sizeof(path), "%s/a/b/in", dir.path);
	must(host_open(path, path, &host, NULL) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_cmdline_ struct cmdline c = { 0 };
	_cleanup_config_ struct config config = { 0 };
	struct err err = { 0 };

	must(cmdline_parse(text, &c) == 0);
	for (size_t i = 0; i < c.words.n; i++)
		must(!streq(c.words.v[i], "--") && !strchr(c.words.v[i], '"'));
	must(fuzz_outcome(config_read(&host, &c, &config, &err), &err) == 0);
	must(config.n_drivers == 1 && config.drivers->error.code == 0);
	must(config.drivers->budget_us <= 86400ull * 1000000);
	for (size_t i = 0; i < config.warnings.n; i++)
		must(fuzz_is_printable(config.warnings.v[i]));
	return 0;
}
