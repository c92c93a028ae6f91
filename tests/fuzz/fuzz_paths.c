// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_paths.c - where a bundle may write. The bytes are text: the kind in the first line, then a
 * path on each line, a file; or "path -> target", a link. A manifest that is accepted is unpacked
 * with a tar that follows it: that succeeds, makes just these files and links, and nothing outside.
 */
#include <fcntl.h>
#include <regex.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "limit.h"
#include "unpack.h"

#define ENTRIES_MAX 32

/* docs/bundle.md, section 4, once more. */
#define PART "[A-Za-z0-9_+@~,:=][A-Za-z0-9._+@~,:=-]*"
#define BELOW "(/" PART ")+$"
#define FIRMWARE "^usr/lib/firmware" BELOW
static const char *const allowed[] = {
	[KIND_MODULES] = FIRMWARE "|^usr/lib/modules/6[.]1/modulus/x/[A-Za-z0-9][A-Za-z0-9_-]{0,63}[.]ko$",
	[KIND_FIRMWARE] = FIRMWARE,
	[KIND_RUNTIME] = "^usr/(bin|share|lib[a-z0-9]*)" BELOW,
};
static const char reserved[] = "^usr/lib/(modules|firmware|systemd|udev)(/|$)";
static regex_t allowed_regex[ARRAY_SIZE(allowed)], reserved_regex;

static char name[] = "x", release[] = "6.1", empty[] = "", machine[] = "x86_64";

static struct fuzz_dir dir;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_dir_open(&dir);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		must(regcomp(&allowed_regex[i], allowed[i], REG_EXTENDED | REG_NOSUB) == 0);
	must(regcomp(&reserved_regex, reserved, REG_EXTENDED | REG_NOSUB) == 0);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct manifest_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* The text becomes the manifest's names; modules are moved to the front. */
static void read_entries(char *text, struct manifest *m)
{
	char *save = NULL, *line = strtok_r(text, "\n", &save), module[LIMIT_NAME_BYTES + 1];
	size_t modules = 0;

	for (int i = KIND_MODULES; line && i <= KIND_RUNTIME; i++)
		if (streq(line, manifest_kind_word((enum bundle_kind)i)))
			m->kind = (enum bundle_kind)i;
	while (m->n_files < ENTRIES_MAX && m->n_links < ENTRIES_MAX && (line = strtok_r(NULL, "\n", &save))) {
		char *arrow = strstr(line, " -> ");

		if (arrow) {
			*arrow = '\0';
			m->links[m->n_links++] = (struct manifest_link){ .path = line, .target = arrow + 4 };
			continue;
		}
		m->files[m->n_files] = (struct manifest_file){ .path = line, .mode = 0644 };
		fuzz_sha256("", 0, m->files[m->n_files++].sha256);
	}
	for (size_t i = 0; i < m->n_files; i++) {
		struct manifest_file f = m->files[i];

		if (!manifest_module_name(f.path, module, sizeof(module)))
			continue;
		if (modules == 0 && m->kind == KIND_MODULES)
			must(strv_add(&m->load, module) == 0);
		m->files[i] = m->files[modules];
		m->files[modules++] = f;
	}
	qsort(m->files + modules, m->n_files - modules, sizeof(*m->files), by_path);
}

/* An empty file's header; false when the path does not fit into one. */
static bool put_header(uint8_t *at, const char *path)
{
	size_t len = strlen(path), cut = 0;
	unsigned int sum = 0;

	if (len > 100) {
		const char *slash = strchr(path + len - 101, '/');

		cut = slash ? (size_t)(slash - path) : 0;
		if (!slash || cut > 155)
			return false;
		memcpy(at + 345, path, cut++);
	}
	memcpy(at, path + cut, len - cut);
	/* mode, owner, group, size, time */
	memcpy(at + 100, "0000644\0" "0000000\0" "0000000\0" "00000000000\0" "00000000000\0", 48);
	memcpy(at + 148, "        0", 9);
	memcpy(at + 257, "ustar\0" "00", 8);
	for (size_t i = 0; i < 512; i++)
		sum += at[i];
	snprintf((char *)at + 148, 8, "%06o", sum);
	return true;
}

static void check_place(const struct manifest *m, const char *path)
{
	must(strlen(path) <= LIMIT_PATH_BYTES && regexec(&allowed_regex[m->kind], path, 0, NULL, 0) == 0);
	must(m->kind != KIND_RUNTIME || regexec(&reserved_regex, path, 0, NULL, 0) != 0);
}

static void check_places(const struct manifest *m)
{
	for (size_t i = 0; i < m->n_files; i++)
		check_place(m, m->files[i].path);
	for (size_t i = 0; i < m->n_links; i++) {
		check_place(m, m->links[i].path);
		must(!str_suffix(m->links[i].path, ".ko") && !strchr(m->links[i].target, '/'));
	}
}

static void check_tree(const struct manifest *m)
{
	struct stat st;

	for (size_t i = 0; i < m->n_files; i++)
		must(fstatat(dir.fd, m->files[i].path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode));
	for (size_t i = 0; i < m->n_links; i++)
		must(fstatat(dir.fd, m->links[i].path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	static uint8_t tar[(ENTRIES_MAX + 2) * 512], stored[sizeof(tar) + 1024];
	struct manifest_file files[ENTRIES_MAX];
	struct manifest_link links[ENTRIES_MAX];
	struct manifest_chunk chunk;
	struct manifest m = { .name = name, .version = name, .flavor = empty, .files = files, .links = links,
			      .chunks = &chunk, .kernel = { .release = release, .machine = machine, .vermagic = name } };
	_cleanup_bytes_ uint8_t *bytes = NULL;
	_cleanup_bundle_ struct bundle *b = NULL;
	size_t len, n_files, n_links;
	struct err err = { 0 };
	bool fits = true;

	read_entries(text, &m);
	memset(tar, 0, sizeof(tar));
	for (size_t i = 0; i < m.n_files; i++)
		fits = fits && put_header(tar + i * 512, m.files[i].path);
	len = fuzz_chunk(&m, tar, (m.n_files + 2) * 512, stored, sizeof(stored));
	bytes = fuzz_bundle(&m, stored, len, &len);
	strv_free(&m.load);
	if (fuzz_outcome(bundle_open(fuzz_reader(bytes, len), NULL, &b, &err), &err) < 0)
		return 0;
	check_places(bundle_manifest(b));
	if (!fits)
		return 0;
	must(fuzz_outcome(unpack_to_dir(b, dir.fd, &err), &err) == 0);
	check_tree(bundle_manifest(b));
	fuzz_dir_clean(&dir, &n_files, &n_links);
	must(n_files == m.n_files && n_links == m.n_links);
	return 0;
}
