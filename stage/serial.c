// SPDX-License-Identifier: Apache-2.0
/*
 * serial.c - written after a boot was blessed, read when bundles are judged. Written to a
 * temporary file, fsynced, renamed: a power cut leaves the old mark or the new one.
 */
#include "serial.h"

#include <fcntl.h>
#include <jansson.h>

#define MARK_MAX_BYTES 4096u

/* The path of a mark below SERIAL_DIR; the kind's word comes before the flavour, which may be "". */
static char *mark_name(const char *name, const char *kind, const char *flavor)
{
	return str_printf("%s-%s-%s.json", name, kind, flavor);
}

static int read_mark(int dirfd, const char *name, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_whole_at(dirfd, name, MARK_MAX_BYTES, &text, &len);

	if (r < 0)
		return r;
	*ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	return *ret ? 0 : -EBADMSG;
}

static bool same(const json_t *mark, const char *key, const char *value)
{
	const char *have = json_string_value(json_object_get(mark, key));

	return have && streq(have, value);
}

static int compare(const json_t *mark, const struct manifest *m, const char *build_id, struct err *err)
{
	json_int_t highest = json_integer_value(json_object_get(mark, "serial"));

	if (!same(mark, "version", m->version) || !same(mark, "build_id", build_id) || highest < 0)
		return 0;
	if (m->serial < (uint64_t)highest)
		return err_set(err, -E_STALE, "has serial %llu; serial %lld was in use here",
			       (unsigned long long)m->serial, (long long)highest);
	if (m->serial == (uint64_t)highest && !same(mark, "digest", m->digest))
		return err_set(err, -E_EQUIVOCATION, "has serial %lld as the bundle that was in use here, and differs",
			       (long long)highest);
	return 0;
}

int serial_check(const struct host *h, const struct manifest *m, const char *build_id, struct err *err)
{
	_cleanup_free_ char *dir = NULL, *name = NULL;
	_cleanup_close_ int fd = -EBADF;
	json_t *mark;
	int r;

	if (m->kind != KIND_MODULES)
		return 0;
	dir = str_printf("%s/%s", SERIAL_DIR, m->kernel.release);
	name = mark_name(m->name, manifest_kind_word(m->kind), m->flavor);
	if (!dir || !name)
		return err_sys(err, -ENOMEM, "serial");
	fd = host_root_open(h, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || read_mark(fd, name, &mark) < 0)
		return 0;
	r = compare(mark, m, build_id, err);
	json_decref(mark);
	return r;
}

static int write_durable(int dirfd, const char *name, const char *text)
{
	_cleanup_free_ char *part = str_printf(".%s.part", name);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!part)
		return -ENOMEM;
	fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = write_full(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, part, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, part, 0);
	return r == 0 && fsync(dirfd) < 0 ? -errno : r;
}

int serial_remember(const struct host *h, const struct serial_mark *mark, struct err *err)
{
	_cleanup_free_ char *dir = str_printf("%s/%s", SERIAL_DIR, mark->release), *text = NULL;
	_cleanup_free_ char *name = mark_name(mark->name, mark->kind, mark->flavor);
	_cleanup_close_ int fd = -EBADF;
	json_t *old = NULL, *o;
	bool higher = false;
	int r;

	if (!dir || !name)
		return err_sys(err, -ENOMEM, "serial");
	r = mkdir_beneath(h->root_fd, dir, 0755, &fd);
	if (r < 0)
		return err_sys(err, r, "%s", dir);
	if (read_mark(fd, name, &old) == 0)
		higher = same(old, "version", mark->version) && same(old, "build_id", mark->build_id) &&
			 json_integer_value(json_object_get(old, "serial")) >= (json_int_t)mark->serial;
	json_decref(old);
	if (higher)
		return 0;
	o = json_pack("{s:s, s:I, s:s, s:s}", "version", mark->version, "serial", (json_int_t)mark->serial, "digest",
		      mark->digest, "build_id", mark->build_id);
	text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
	json_decref(o);
	r = text ? write_durable(fd, name, text) : -ENOMEM;
	return r < 0 ? err_sys(err, r, "%s/%s", dir, name) : 0;
}
