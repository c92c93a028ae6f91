// SPDX-License-Identifier: Apache-2.0
/*
 * serial.c - written after a boot was blessed, read when bundles are judged. A power cut leaves the
 * old mark or the new one (state.c).
 */
#include "serial.h"

#include "state.h"

/* The path of a mark below SERIAL_DIR; the kind's word comes before the flavour, which may be "". */
static char *mark_name(const char *name, const char *kind, const char *flavor)
{
	return str_printf("%s-%s-%s.json", name, kind, flavor);
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
	json_t *mark;
	int r;

	if (m->kind != KIND_MODULES)
		return 0;
	dir = str_printf("%s/%s", SERIAL_DIR, m->kernel.release);
	name = mark_name(m->name, manifest_kind_word(m->kind), m->flavor);
	if (!dir || !name)
		return err_sys(err, -ENOMEM, "serial");
	if (state_read(h, dir, name, &mark) < 0)
		return 0;
	r = compare(mark, m, build_id, err);
	json_decref(mark);
	return r;
}

int serial_remember(const struct host *h, const struct serial_mark *mark, struct err *err)
{
	_cleanup_free_ char *dir = str_printf("%s/%s", SERIAL_DIR, mark->release);
	_cleanup_free_ char *name = mark_name(mark->name, mark->kind, mark->flavor);
	json_t *old = NULL, *o;
	bool higher = false;
	int r;

	if (!dir || !name)
		return err_sys(err, -ENOMEM, "serial");
	if (state_read(h, dir, name, &old) == 0)
		higher = same(old, "version", mark->version) && same(old, "build_id", mark->build_id) &&
			 json_integer_value(json_object_get(old, "serial")) >= (json_int_t)mark->serial;
	json_decref(old);
	if (higher)
		return 0;
	o = json_pack("{s:s, s:I, s:s, s:s}", "version", mark->version, "serial", (json_int_t)mark->serial, "digest",
		      mark->digest, "build_id", mark->build_id);
	r = o ? state_write(h, dir, name, o, err) : err_sys(err, -ENOMEM, "serial");
	json_decref(o);
	return r;
}
