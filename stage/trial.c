// SPDX-License-Identifier: Apache-2.0
/*
 * trial.c - the record of one bundle on one kernel build: {"name", "open": boot id or null,
 * "misses", "blessed"}. Written before the first insert (begin), after it did harm (miss), in the
 * real root (end), after boot-complete.target (bless). Power loss while it is written: the old
 * record or the new one; a cut between begin and end is a miss, which is why one miss blocks
 * nothing.
 */
#include "trial.h"

#include <fcntl.h>
#include <mntent.h>

#include "removetree.h"
#include "rootfs.h"
#include "state.h"

struct record {
	char name[LIMIT_NAME_BYTES + 1];
	char open[64]; /* boot id of an attempt that is not over; "": none */
	unsigned int misses;
	bool blessed;
};

static char *dir_of(const struct trial *t)
{
	return str_printf("%s/%s", TRIAL_DIR, t->release);
}

static char *name_of(const struct trial *t)
{
	return str_printf("%s-%s.json", t->digest, *t->build_id ? t->build_id : TRIAL_NO_BUILD_ID);
}

static int boot_id(const struct host *h, char *ret, size_t size)
{
	int r = read_line_at(h->live_fd, "proc/sys/kernel/random/boot_id", ret, size);

	return r == 0 && !*ret ? -ENODATA : r; /* "" stands for no attempt */
}

/* 0 also for a record that is not one of ours: it counts as none, as a torn cache file does. -ENOENT: none. */
static int read_record(const struct host *h, const struct trial *t, struct record *ret)
{
	_cleanup_free_ char *dir = dir_of(t), *name = name_of(t);
	const char *name_said, *open;
	json_int_t misses;
	json_t *o;
	int r;

	*ret = (struct record){ 0 };
	if (!dir || !name)
		return -ENOMEM;
	r = state_read(h, dir, name, &o);
	if (r < 0)
		return r == -EBADMSG || r == -EFBIG ? 0 : r;
	name_said = json_string_value(json_object_get(o, "name"));
	open = json_string_value(json_object_get(o, "open"));
	misses = json_integer_value(json_object_get(o, "misses"));
	if (name_said && strlen(name_said) < sizeof(ret->name))
		memcpy(ret->name, name_said, strlen(name_said));
	snprintf(ret->open, sizeof(ret->open), "%s", open ? open : "");
	ret->misses = misses < 0 ? 0 : (unsigned int)MIN(misses, (json_int_t)LIMIT_TRIAL_MISSES);
	ret->blessed = json_is_true(json_object_get(o, "blessed"));
	json_decref(o);
	return 0;
}

static int write_record(const struct host *h, const struct trial *t, const struct record *rec, struct err *err)
{
	_cleanup_free_ char *dir = dir_of(t), *name = name_of(t);
	json_t *o;
	int r;

	if (!dir || !name)
		return err_sys(err, -ENOMEM, "trial");
	o = json_pack("{s:s, s:o, s:i, s:b}", "name", t->name, "open",
		      *rec->open ? json_string(rec->open) : json_null(), "misses", (int)rec->misses, "blessed",
		      (int)rec->blessed);
	r = o ? state_write(h, dir, name, o, err) : err_sys(err, -ENOMEM, "trial");
	json_decref(o);
	return r;
}

/* An attempt that another boot left open is a miss, and ends what was blessed. */
static void settle(struct record *rec, const char *this_boot)
{
	if (!*rec->open || streq(rec->open, this_boot))
		return;
	rec->open[0] = '\0';
	rec->misses = MIN(rec->misses + 1, LIMIT_TRIAL_MISSES);
	rec->blessed = false;
}

/* As this boot sees it. */
static int read_settled(const struct host *h, const struct trial *t, struct record *ret)
{
	char id[64];
	int r = read_record(h, t, ret);

	if (r == 0)
		r = boot_id(h, id, sizeof(id));
	if (r == 0)
		settle(ret, id);
	return r;
}

unsigned int trial_misses(const struct host *h, const struct trial *t)
{
	struct record rec;

	return read_settled(h, t, &rec) < 0 ? 0 : rec.misses;
}

/* --- all of them --- */

/* Names of what is in the directory or in one below it; an empty list where there is none. */
static int names_in(const struct host *h, const char *below, struct strv *ret)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	_cleanup_close_ int fd = -EBADF;
	struct err unsaid;
	int r = rootfs_dir_find(h, TRIAL_DIR, &dir, &unsaid);

	if (r == 0)
		r = fd = rootfs_dir_open(&dir, below, O_RDONLY | O_DIRECTORY);
	if (r >= 0)
		r = tree_names(fd, ret);
	return r == -ENOMEM ? r : 0;
}

/* A name that name_of() does not give is passed over. */
static int add_record(const struct host *h, const char *release, const char *file, struct trial_list *l)
{
	const char *dash = strchr(file, '-');
	struct trial_record *v, *added;
	struct record rec;

	if (*file == '.' || !dash || !str_suffix(dash, ".json"))
		return 0;
	v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	added = &v[l->n++];
	*added = (struct trial_record){ .digest = str_printf("%.*s", (int)(dash - file), file),
					.release = strdup(release),
					.build_id = str_printf("%.*s", (int)(strlen(dash) - strlen("-.json")), dash + 1) };
	if (!added->digest || !added->release || !added->build_id)
		return -ENOMEM;
	if (streq(added->build_id, TRIAL_NO_BUILD_ID))
		added->build_id[0] = '\0';
	if (read_settled(h, &(struct trial){ NULL, added->digest, release, added->build_id }, &rec) < 0)
		return 0;
	memcpy(added->name, rec.name, sizeof(added->name));
	added->misses = rec.misses;
	return 0;
}

int trial_list_read(const struct host *h, struct trial_list *ret)
{
	_cleanup_strv_ struct strv releases = { 0 };
	int r = names_in(h, "", &releases);

	for (size_t i = 0; r == 0 && i < releases.n; i++) {
		_cleanup_strv_ struct strv files = { 0 };

		if (releases.v[i][0] == '.')
			continue;
		r = names_in(h, releases.v[i], &files);
		for (size_t j = 0; r == 0 && j < files.n; j++)
			r = add_record(h, releases.v[i], files.v[j], ret);
	}
	return r;
}

void trial_list_free(struct trial_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].digest);
		free(l->v[i].release);
		free(l->v[i].build_id);
	}
	free(l->v);
	*l = (struct trial_list){ 0 };
}

/* --- one --- */

int trial_check(const struct host *h, const struct trial *t, struct err *err)
{
	unsigned int misses = trial_misses(h, t);

	if (misses < LIMIT_TRIAL_MISSES)
		return 0;
	return err_set(err, -E_BLOCKED, "went down with this kernel %u times, see modulus cache", misses);
}

/*
 * A root that stays read-only after switch-root lets `finish` close nothing. A /var of its own, and
 * an ostree host's, are mounted for writing whatever the root is.
 */
static bool stays_readonly(const struct host *h)
{
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	_cleanup_file_ FILE *fstab = NULL;
	struct err unsaid;
	char buf[4096];
	struct mntent m;
	int fd;

	if (!h->root_was_readonly)
		return false;
	if (rootfs_dir_find(h, TRIAL_DIR, &d, &unsaid) < 0 || d.own.fs >= 0 || d.stateroot)
		return false; /* what cannot be had is said by whoever writes there */
	fd = host_root_open(h, "/etc/fstab", O_RDONLY | O_NONBLOCK);
	fstab = fd < 0 ? NULL : fdopen(fd, "r");
	if (!fstab) {
		close_fdp(&fd);
		return true;
	}
	while (getmntent_r(fstab, &m, buf, sizeof(buf)))
		if (streq(m.mnt_dir, "/"))
			return hasmntopt(&m, MNTOPT_RO) != NULL;
	return true;
}

int trial_begin(const struct host *h, const struct trial *t, struct err *err)
{
	struct record rec;
	char id[64];
	int r = boot_id(h, id, sizeof(id));

	if (r < 0)
		return err_sys(err, r, "boot_id");
	if (!streq(h->root_path, "/")) { /* in the real root it is `finish` that runs this */
		if (!host_unit_is_enabled(h, "modulus-finish.service"))
			return err_set(err, -E_CACHE_UNREACHABLE,
				       "modulus-finish.service is not enabled, and nothing else ends an attempt");
		if (stays_readonly(h))
			return err_set(err, -E_CACHE_UNREACHABLE, "the root stays read-only");
	}
	r = read_record(h, t, &rec);
	if (r < 0 && r != -ENOENT)
		return err_sys(err, r, "%s", TRIAL_DIR);
	settle(&rec, id);
	snprintf(rec.open, sizeof(rec.open), "%s", id);
	return write_record(h, t, &rec, err);
}

int trial_miss(const struct host *h, const struct trial *t, struct err *err)
{
	struct record rec;
	int r = read_record(h, t, &rec);

	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(err, r, "%s", TRIAL_DIR);
	settle(&rec, ""); /* this boot's too */
	return write_record(h, t, &rec, err);
}

static int close_record(const struct host *h, const struct trial *t, bool good, struct err *err)
{
	struct record rec;
	int r = read_record(h, t, &rec);

	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(err, r, "%s", TRIAL_DIR);
	if (!*rec.open && (!good || (rec.blessed && rec.misses == 0)))
		return 0; /* that is what it says */
	rec.open[0] = '\0';
	if (good) {
		rec.misses = 0;
		rec.blessed = true;
	}
	return write_record(h, t, &rec, err);
}

int trial_end(const struct host *h, const struct trial *t, struct err *err)
{
	return close_record(h, t, false, err);
}

int trial_bless(const struct host *h, const struct trial *t, struct err *err)
{
	return close_record(h, t, true, err);
}
