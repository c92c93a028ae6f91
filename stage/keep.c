// SPDX-License-Identifier: Apache-2.0
/*
 * keep.c - see keep.h. Reads only; cache_remove() removes.
 */
#include "keep.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "installed.h"
#include "limit.h"
#include "next.h"
#include "report.h"
#include "serial.h"
#include "trial.h"

/* --- for which kernels --- */

static int is_release(const struct dirent *e)
{
	return installed_is_release(e->d_name);
}

/* Once each, and no more than the limit. */
static int add(struct strv *kernels, const char *release)
{
	return kernels->n == LIMIT_KERNELS || strv_has(kernels, release) ? 0 : strv_add(kernels, release);
}

static int add_installed(const struct host *h, struct strv *ret)
{
	_cleanup_close_ int top = host_root_open(h, "/", O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv releases = { 0 };
	int r = top < 0 ? top : installed_releases(top, &releases);

	for (size_t i = 0; r == 0 && i < releases.n; i++)
		r = add(ret, releases.v[i]);
	return r;
}

/* The latest change of anything that is remembered of a kernel in one of our directories; 0: nothing is. */
static int64_t remembered(const struct host *h, const char *base, const char *release)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	int64_t latest = 0;
	struct err unsaid;
	struct dirent *e;
	struct stat st;
	DIR *d = NULL;
	int fd = rootfs_dir_find(h, base, &dir, &unsaid) < 0 ? -1
							     : rootfs_dir_open(&dir, release, O_RDONLY | O_DIRECTORY);

	if (fd >= 0)
		d = fdopendir(fd);
	if (!d) {
		close_fdp(&fd);
		return 0;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mtim.tv_sec > latest)
			latest = st.st_mtim.tv_sec;
	closedir(d);
	return latest;
}

struct blessed {
	const char *release;
	int64_t last;
};

static int latest_first(const void *a, const void *b)
{
	const struct blessed *x = a, *y = b;

	return x->last != y->last ? (x->last > y->last ? -1 : 1) : strcmp(x->release, y->release);
}

/* Of the kernels that a driver was blessed on and that are not in the list, those that ran last: to go back to. */
static int add_blessed(const struct host *h, struct strv *ret)
{
	_cleanup_rootfs_dir_ struct rootfs_dir dir = ROOTFS_DIR_NONE;
	struct blessed found[LIMIT_KERNELS];
	struct dirent **list = NULL;
	struct err unsaid;
	size_t n_found = 0;
	int fd, n, r = 0;

	if (rootfs_dir_find(h, SERIAL_DIR, &dir, &unsaid) < 0)
		return 0;
	fd = rootfs_dir_open(&dir, "", O_RDONLY | O_DIRECTORY);
	n = fd < 0 ? 0 : scandirat(fd, ".", &list, is_release, alphasort);
	close_fdp(&fd);
	for (int i = 0; i < n && n_found < ARRAY_SIZE(found); i++) {
		int64_t marked = remembered(h, SERIAL_DIR, list[i]->d_name),
			tried = remembered(h, TRIAL_DIR, list[i]->d_name);

		if (marked > 0 && !strv_has(ret, list[i]->d_name))
			found[n_found++] = (struct blessed){ list[i]->d_name, tried > marked ? tried : marked };
	}
	qsort(found, n_found, sizeof(*found), latest_first);
	for (size_t i = 0; r == 0 && i < MIN(n_found, (size_t)CACHE_BLESSED_KERNELS); i++)
		r = add(ret, found[i].release);
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return r;
}

/*
 * Of the kernels that are not in the list, the one that something was cached for last; NULL: none. all: those
 * too that were good here, which have a rule of their own.
 */
static const char *latest_other(const struct host *h, const struct cache_list *l, const struct strv *kernels, bool all)
{
	const struct cache_file *best = NULL;

	for (size_t i = 0; i < l->n; i++)
		if (!streq(l->v[i].folder, STORE_ANY) && !strv_has(kernels, l->v[i].folder) &&
		    (!best || l->v[i].changed > best->changed) &&
		    (all || remembered(h, SERIAL_DIR, l->v[i].folder) == 0))
			best = &l->v[i];
	return best ? best->folder : NULL;
}

int keep_kernels(const struct host *h, const struct kernel *running, const struct cache_list *l, bool all,
		 struct strv *ret, struct err *err)
{
	_cleanup_strv_ struct strv kernels = { 0 };
	_cleanup_next_ struct next_kernel next = NEXT_NONE;
	const char *other;
	struct err unsaid;
	int r = add(&kernels, running->release);

	/* one that cannot be told is among the others, if anything was fetched for it */
	if (r == 0 && next_kernel(h, running, &next, &unsaid) == 0)
		r = add(&kernels, next.release);
	if (r == 0)
		r = add_installed(h, &kernels);
	if (r == 0)
		r = add_blessed(h, &kernels);
	for (unsigned int i = 0; r == 0 && (all || i < CACHE_OTHER_KERNELS) && kernels.n < LIMIT_KERNELS; i++) {
		other = latest_other(h, l, &kernels, all);
		if (!other)
			break;
		r = add(&kernels, other);
	}
	if (r < 0)
		return err_sys(err, r, "kernels");
	*ret = kernels;
	kernels = (struct strv){ 0 };
	return 0;
}

/* --- what is not worth its place --- */

struct worth {
	bool known;
	char flavor[LIMIT_NAME_BYTES + 1], version[LIMIT_NAME_BYTES + 1];
	uint64_t serial;
};

static bool is_better(const struct cache_list *l, const struct worth *w, size_t a, size_t b)
{
	if (w[a].serial != w[b].serial)
		return w[a].serial > w[b].serial;
	if (l->v[a].changed != l->v[b].changed)
		return l->v[a].changed > l->v[b].changed;
	return a < b;
}

/* Of firmware and libraries each version has its own serials, and all that are kept have a use. */
static bool same_group(const struct cache_list *l, const struct worth *w, size_t a, size_t b)
{
	return streq(l->v[a].folder, l->v[b].folder) && streq(l->v[a].name.name, l->v[b].name.name) &&
	       l->v[a].name.kind == l->v[b].name.kind && streq(w[a].flavor, w[b].flavor) &&
	       (l->v[a].name.kind == KIND_MODULES || streq(w[a].version, w[b].version));
}

static bool is_among_the_best(const struct cache_list *l, const struct worth *w, size_t i)
{
	unsigned int better = 0;

	for (size_t j = 0; j < l->n && better < CACHE_KEEP_BUNDLES; j++)
		better += j != i && w[j].known && same_group(l, w, i, j) && is_better(l, w, j, i);
	return better < CACHE_KEEP_BUNDLES;
}

static bool is_for(const struct cache_file *f, const struct strv *kernels)
{
	return streq(f->folder, STORE_ANY) || strv_has(kernels, f->folder);
}

/* Does a driver file ask for this version, or is there a kernel's modules of it? */
static bool has_use(const struct config *c, const struct cache_list *l, const struct worth *w, const bool *surplus,
		    size_t i)
{
	const char *name = l->v[i].name.name;

	for (size_t n = 0; n < c->n_drivers; n++)
		if (streq(c->drivers[n].name, name) && c->drivers[n].version &&
		    streq(c->drivers[n].version, w[i].version))
			return true;
	for (size_t j = 0; j < l->n; j++)
		if (l->v[j].name.kind == KIND_MODULES && !surplus[j] && streq(l->v[j].name.name, name) &&
		    (!w[j].known || streq(w[j].version, w[i].version)))
			return true;
	return false;
}

static void take_worth(const struct manifest *m, struct worth *ret)
{
	ret->known = true;
	ret->serial = m->serial;
	snprintf(ret->flavor, sizeof(ret->flavor), "%s", m->flavor);
	snprintf(ret->version, sizeof(ret->version), "%s", m->version);
}

int keep_surplus(const struct host *h, const struct config *c, const struct cache_list *l, const struct strv *kernels,
		 const struct keyring *ring, bool (*keeps)(void *ctx, const struct cache_file *f), void *ctx,
		 bool *ret_surplus, struct err *err)
{
	struct worth *w = calloc(l->n + 1, sizeof(*w));

	if (!w)
		return err_sys(err, -ENOMEM, "cache");
	for (size_t i = 0; i < l->n; i++) {
		_cleanup_bundle_ struct bundle *b = NULL;

		if (is_for(&l->v[i], kernels) && cache_open_bundle(h, c->cache, &l->v[i], ring, &b, err) == 0)
			take_worth(bundle_manifest(b), &w[i]);
		ret_surplus[i] = false;
	}
	for (size_t i = 0; i < l->n; i++)
		ret_surplus[i] = !keeps(ctx, &l->v[i]) &&
				 (!is_for(&l->v[i], kernels) || (w[i].known && !is_among_the_best(l, w, i)));
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].name.kind != KIND_MODULES && w[i].known && !keeps(ctx, &l->v[i]) &&
		    !has_use(c, l, w, ret_surplus, i))
			ret_surplus[i] = true;
	free(w);
	return 0;
}

/* --- this machine's --- */

/* Digests that the present boot uses, or that a driver file pins. */
static int read_in_use(const struct host *h, const struct config *c, struct strv *ret)
{
	json_t *status, *d;
	size_t i;
	int r = 0;

	for (size_t n = 0; r == 0 && n < c->n_drivers; n++)
		if (c->drivers[n].digest)
			r = strv_add(ret, c->drivers[n].digest);
	if (r < 0 || status_read(h, &status) < 0)
		return r;
	json_array_foreach(json_object_get(status, "drivers"), i, d) {
		const json_t *const kinds[] = { d, json_object_get(d, "firmware"), json_object_get(d, "runtime") };

		for (size_t n = 0; r == 0 && n < ARRAY_SIZE(kinds); n++) {
			const char *digest = json_string_value(json_object_get(kinds[n], "digest"));

			r = digest ? strv_add(ret, digest) : 0;
		}
	}
	json_decref(status);
	return r;
}

static bool is_in_use(void *ctx, const struct cache_file *f)
{
	return strv_has(ctx, f->name.digest);
}

int keep_find_surplus(const struct host *h, const struct config *c, const struct kernel *running,
		      const struct cache_list *l, bool *ret_surplus, struct err *err)
{
	_cleanup_strv_ struct strv kernels = { 0 }, used = { 0 };
	_cleanup_keyring_ struct keyring ring = { 0 };
	int r = keyring_load(h, false, &ring, err);

	if (r == 0 && read_in_use(h, c, &used) < 0)
		r = err_sys(err, -ENOMEM, "cache");
	if (r == 0)
		r = keep_kernels(h, running, l, false, &kernels, err);
	return r < 0 ? r : keep_surplus(h, c, l, &kernels, &ring, is_in_use, &used, ret_surplus, err);
}
