// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_bootentry.c - what boot loaders read: an environment block of GRUB (it says so at its beginning), or an
 * entry of the Boot Loader Specification behind a line with its file's name, which is tried as loader.conf too.
 * A release that comes out is one that may be in a path and on a terminal.
 */
#include "bootentry.h"
#include "fuzz.h"
#include "installed.h"
#include "version.h"

static void check_release(const char *path, const char *version)
{
	static char one[] = "6.1.0-99-test", *list[] = { one };
	const struct strv installed = { .v = list, .n = 1 };
	char release[LIMIT_RELEASE_BYTES + 1];

	if (boot_path_release(path, version, &installed, release))
		must(installed_is_release(release) && (strstr(path, release) || (version && streq(version, release))));
}

/* An order is one: of two entries each way, and of one with itself. */
static void check_order(const char *a, const char *b)
{
	int x = version_compare(a, b), y = version_compare(b, a);

	must((x < 0) == (y > 0) && (x > 0) == (y < 0) && version_compare(a, a) == 0);
}

static void fuzz_entry(const char *text, size_t len)
{
	static const char other[] = "linux /x\nversion 6.1\nsort-key a";
	_cleanup_boot_entries_ struct boot_entries l = { 0 };
	_cleanup_free_ char *name = strndup(text, strcspn(text, "\n")), *value = NULL;
	size_t used = strlen(name) + (text[strlen(name)] == '\n');
	int r = boot_entries_add(&l, name, text + used, len - used);

	must(r == 0 ? l.n == 1 && *l.v[0].id && l.v[0].linux_path && *l.v[0].linux_path && !strchr(l.v[0].linux_path, '\n') :
		      r == -EINVAL && l.n == 0);
	if (loader_conf_get(text, len, "default", &value) == 0)
		must(*value && !strchr(value, '\n'));
	if (r < 0)
		return;
	check_release(l.v[0].linux_path, l.v[0].version);
	check_order(l.v[0].id, l.v[0].version ? l.v[0].version : l.v[0].linux_path);
	must(boot_entries_add(&l, "6.1.conf", other, strlen(other)) == 0);
	boot_entries_sort_systemd(&l);
	boot_entries_sort_version(&l);
	must(boot_entries_find(&l, l.v[1].id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size), *value = NULL;

	if (!str_prefix(text, "# GRUB", NULL)) {
		fuzz_entry(text, size);
		return 0;
	}
	if (grubenv_get(text, size, "saved_entry", &value) == 0)
		must(*value && memmem(text, size, "saved_entry=", 12));
	return 0;
}
