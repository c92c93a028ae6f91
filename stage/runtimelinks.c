// SPDX-License-Identifier: Apache-2.0
/*
 * runtimelinks.c - see runtimelinks.h. Runs early in the real root. Power loss: each link is the old one or the
 * new one; the next boot looks at all of them again.
 */
#include "runtimelinks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "child.h"
#include "limit.h"
#include "sweep.h"

#define LD_DIR "/etc/ld.so.conf.d"
#define LD_CACHE "/etc/ld.so.cache"
#define LD_PREFIX "modulus-"
#define LD_SUFFIX ".conf"
#define MERGED_RELEASE "/usr/lib/extension-release.d/extension-release." RUNTIME_EXTENSION

struct exposing {
	const struct host *h;
	const struct runtime_tree *t;
	const struct manifest *m;
	struct runtime_links *links;
	struct strv *warnings;
};

void runtime_links_free(struct runtime_links *l)
{
	free(l->link);
	free(l->programs);
	*l = (struct runtime_links){ 0 };
}

static int warn(const struct exposing *e, const char *what, int r)
{
	return r == -ENOMEM ? r : strv_addf(e->warnings, "%s: %s", what, strerror(-r));
}

/* --- one link --- */

/* A directory that can be written. -EROFS, -errno. */
static int writable(int fd)
{
	struct statvfs v;

	if (fd < 0)
		return fd;
	if (fstatvfs(fd, &v) < 0)
		return -errno;
	return v.f_flag & ST_RDONLY ? -EROFS : 0;
}

static const char *const mine[] = { RUNTIME_LINK_DIR, RUNTIME_DIR, RUNTIME_DIR_LIVE };

/* Is what has the name a link of ours, as far as one can see? any: every link is. */
static bool is_ours(const struct exposing *e, int dirfd, const char *name, bool any, char *have, size_t size)
{
	ssize_t n = readlinkat(dirfd, name, have, size - 1);
	const char *rest, *below;

	if (n < 0)
		return false;
	have[n] = '\0';
	for (size_t i = 0; !any && i < ARRAY_SIZE(mine); i++)
		any = str_prefix(have, mine[i], &rest) && *rest == '/' && str_prefix(rest + 1, e->m->name, &below) &&
		      *below == '/';
	return any;
}

/*
 * dirfd/name -> target, by a rename over what was there, if that is a link of ours. -EEXIST: it is not. 1: it is
 * so already.
 */
static int set_link(const struct exposing *e, int dirfd, const char *name, const char *target, bool any)
{
	_cleanup_free_ char *fresh = str_printf(".%s.new", name);
	char have[LIMIT_PATH_BYTES * 2];
	struct stat st;
	int r = writable(dirfd);

	if (r < 0)
		return r;
	if (!fresh)
		return -ENOMEM;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!is_ours(e, dirfd, name, any, have, sizeof(have)))
			return -EEXIST;
		if (streq(have, target))
			return 1;
	} else if (errno != ENOENT) {
		return -errno;
	}
	(void)unlinkat(dirfd, fresh, 0); /* of somebody who was killed */
	if (symlinkat(target, dirfd, fresh) < 0)
		return -errno;
	if (renameat(dirfd, fresh, dirfd, name) < 0) {
		r = -errno;
		(void)unlinkat(dirfd, fresh, 0);
		return r;
	}
	return fsync(dirfd) < 0 && errno != EINVAL ? -errno : 0;
}

/* --- /opt/drivers --- */

static int link_driver(struct exposing *e)
{
	_cleanup_close_ int dir = -EBADF;
	int r = host_root_mkdir(e->h, RUNTIME_LINK_DIR, &dir);

	if (r == 0) /* any link: it says which tree counts, whoever made it */
		r = set_link(e, dir, e->m->name, e->t->path, true);
	e->links->link = str_printf(RUNTIME_LINK_DIR "/%s", e->m->name);
	if (!e->links->link)
		return -ENOMEM;
	if (r >= 0)
		return 0;
	r = warn(e, e->links->link, r);
	free(TAKE_PTR(e->links->link));
	return r;
}

/* Where others find the tree, now and after the next update. */
static const char *prefix(const struct exposing *e)
{
	return e->links->link ? e->links->link : e->t->path;
}

/* --- programs --- */

static const char *const program_dirs[] = { "/usr/local/bin", "/opt/bin", "/usr/bin" };

static int link_program(struct exposing *e, int dir, const char *program)
{
	_cleanup_free_ char *target = str_printf("%s/bin/%s", prefix(e), program);
	int r = target ? set_link(e, dir, program, target, false) : -ENOMEM;

	if (r == -EEXIST)
		return strv_addf(e->warnings, "%s/%s is somebody else's and stays", e->links->programs, program);
	return r < 0 ? r : 0;
}

static int link_programs(struct exposing *e)
{
	_cleanup_close_ int dir = -EBADF;
	const char *rest;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(program_dirs) && !e->links->programs; i++) {
		close_fdp(&dir);
		dir = host_root_open(e->h, program_dirs[i], O_RDONLY | O_DIRECTORY);
		if (writable(dir) < 0)
			continue;
		e->links->programs = strdup(program_dirs[i]);
		if (!e->links->programs)
			return -ENOMEM;
	}
	for (size_t i = 0; r == 0 && e->links->programs && i < e->m->n_files; i++)
		if (str_prefix(e->m->files[i].path, "usr/bin/", &rest) && !strchr(rest, '/'))
			r = link_program(e, dir, rest);
	return r < 0 ? warn(e, e->links->programs, r) : 0;
}

/* --- the loader's cache --- */

static bool has_libraries(const struct manifest *m)
{
	for (size_t i = 0; i < m->n_files; i++)
		if (str_prefix(m->files[i].path, "usr/lib", NULL) && strstr(m->files[i].path, ".so"))
			return true;
	return false;
}

/* 1: it says so already. -ENOENT: no such loader here. */
static int write_ld_conf(const struct exposing *e, const char *name)
{
	_cleanup_free_ char *text = str_printf("%s/lib\n", prefix(e)), *have = NULL;
	_cleanup_close_ int dir = -EBADF, loader = host_root_open(e->h, "/etc/ld.so.conf", O_PATH);
	size_t len;
	int r;

	if (!text)
		return -ENOMEM;
	if (loader < 0)
		return loader;
	dir = host_root_open(e->h, LD_DIR, O_RDONLY | O_DIRECTORY);
	if (dir >= 0 && read_whole_at(dir, name, LIMIT_PATH_BYTES * 2, &have, &len) == 0 && streq(have, text))
		return 1;
	close_fdp(&dir);
	r = host_root_mkdir(e->h, LD_DIR, &dir);
	if (r == 0)
		r = writable(dir);
	return r < 0 ? r : write_file_at(dir, name, text, strlen(text), 0644);
}

/* Was the file changed, or given its name, after the cache was made? */
static bool is_newer(const struct host *h, const char *path, int flags, const struct stat *cache)
{
	_cleanup_close_ int fd = runtime_open(h, path, O_PATH | flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	return st.st_ctim.tv_sec > cache->st_mtim.tv_sec ||
	       (st.st_ctim.tv_sec == cache->st_mtim.tv_sec && st.st_ctim.tv_nsec > cache->st_mtim.tv_nsec);
}

/* No mark of our own says that ldconfig has run: its cache is younger than all that it must have seen. */
static bool cache_is_old(const struct exposing *e, const char *conf)
{
	_cleanup_close_ int fd = host_root_open(e->h, LD_CACHE, O_PATH);
	struct stat st;

	return fd < 0 || fstat(fd, &st) < 0 || is_newer(e->h, conf, 0, &st) || is_newer(e->h, e->t->path, 0, &st) ||
	       is_newer(e->h, prefix(e), O_NOFOLLOW, &st);
}

/* -ENOENT, a host without it, is nobody's failure. */
static int run_ldconfig(const struct host *h)
{
	const char *const argv[] = { "ldconfig", "-r", h->root_path, NULL };
	int r = child_program(argv, now_us() + LIMIT_LDCONFIG_US);

	return r == -ENOENT ? 0 : r;
}

static int update_loader(struct exposing *e)
{
	_cleanup_free_ char *name = str_printf(LD_PREFIX "%s" LD_SUFFIX, e->m->name), *conf = NULL;
	int r;

	if (!has_libraries(e->m))
		return 0;
	conf = name ? str_printf(LD_DIR "/%s", name) : NULL;
	r = conf ? write_ld_conf(e, name) : -ENOMEM;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return conf ? warn(e, conf, r) : r;
	if (r == 1 && !cache_is_old(e, conf))
		return 0;
	r = run_ldconfig(e->h);
	return r < 0 ? warn(e, "ldconfig", r) : 0;
}

/* --- /usr, by systemd-sysext --- */

/* Is it in the merged /usr? */
static bool is_merged(const struct exposing *e)
{
	_cleanup_free_ char *release = str_printf(MERGED_RELEASE "%s", e->m->name);
	_cleanup_close_ int fd = release ? host_root_open(e->h, release, O_PATH) : -EBADF;

	return fd >= 0;
}

static int run_sysext(const struct host *h)
{
	static const char *const argv[] = { "systemd-sysext", "refresh", NULL };

	if (!host_root_is_live(h) || !streq(h->live_path, "/")) /* a test's has no systemd */
		return 0;
	return child_program(argv, now_us() + LIMIT_SYSEXT_US);
}

static int refresh(struct exposing *e)
{
	int r = run_sysext(e->h);

	return r < 0 ? warn(e, "systemd-sysext refresh", r) : 0;
}

/* A link is enough: systemd-sysext follows those in its directories (checked with 252). */
static int extend_usr(struct exposing *e, bool wanted)
{
	_cleanup_free_ char *name = str_printf(RUNTIME_EXTENSION "%s", e->m->name);
	_cleanup_close_ int dir = -EBADF;
	char have[LIMIT_PATH_BYTES * 2];
	int r;

	if (!name)
		return -ENOMEM;
	if (!wanted) {
		dir = host_live_open(e->h, RUNTIME_EXTENSION_LINK_DIR, O_RDONLY | O_DIRECTORY);
		if (dir < 0 || !is_ours(e, dir, name, false, have, sizeof(have)))
			return 0;
		return unlinkat(dir, name, 0) < 0 ? warn(e, RUNTIME_EXTENSION_LINK_DIR, -errno) : refresh(e);
	}
	r = host_live_mkdir(e->h, RUNTIME_EXTENSION_LINK_DIR, &dir);
	if (r == 0)
		r = set_link(e, dir, name, e->t->path, false);
	if (r < 0)
		return warn(e, RUNTIME_EXTENSION_LINK_DIR, r);
	r = r == 1 && is_merged(e) ? 0 : refresh(e);
	e->links->extension = true;
	return r;
}

int runtime_links_make(const struct host *h, const struct runtime_tree *t, bool sysext, struct runtime_links *ret,
		       struct strv *warnings)
{
	struct exposing e = { .h = h, .t = t, .m = bundle_manifest(t->bundle), .links = ret, .warnings = warnings };
	int r = link_driver(&e);

	if (r == 0)
		r = link_programs(&e);
	if (r == 0)
		r = update_loader(&e);
	return r < 0 ? r : extend_usr(&e, sysext);
}

/* --- all of it away again --- */

struct unlinking {
	const struct host *h;
	const struct strv *names;
	struct strv *warnings;
};

static bool is_meant(const struct unlinking *u, const char *name)
{
	return manifest_is_name(name) && (!u->names || strv_has(u->names, name));
}

static int cannot(const struct unlinking *u, const char *what, int r)
{
	return r == -ENOMEM ? r : strv_addf(u->warnings, "%s: %s", what, strerror(-r));
}

/* Is it a link to something below one of these, of a driver that is meant? ret_name: whose. */
static bool leads_to_ours(const struct unlinking *u, int dir, const char *entry, size_t from, char *ret_name,
			  size_t size)
{
	char have[LIMIT_PATH_BYTES * 2];
	ssize_t n = readlinkat(dir, entry, have, sizeof(have) - 1);
	const char *rest;

	if (n < 0)
		return false;
	have[n] = '\0';
	for (size_t i = from; i < ARRAY_SIZE(mine); i++) {
		if (!str_prefix(have, mine[i], &rest) || *rest++ != '/' || !strchr(rest, '/'))
			continue;
		snprintf(ret_name, size, "%.*s", (int)strcspn(rest, "/"), rest);
		return is_meant(u, ret_name);
	}
	return false;
}

static bool is_driver_link(void *ctx, int dir, const char *where, const char *entry)
{
	char name[LIMIT_NAME_BYTES + 1];

	(void)where;
	return leads_to_ours(ctx, dir, entry, 1, name, sizeof(name)) && streq(name, entry);
}

/* A link by way of /opt/drivers/NAME is ours if that is, or is gone already. */
static bool is_program(void *ctx, int dir, const char *where, const char *entry)
{
	const struct unlinking *u = ctx;
	char name[LIMIT_NAME_BYTES + 1], have[1];
	_cleanup_close_ int drivers = -EBADF;

	(void)where;
	if (leads_to_ours(u, dir, entry, 1, name, sizeof(name)))
		return true;
	if (!leads_to_ours(u, dir, entry, 0, name, sizeof(name)))
		return false;
	drivers = host_root_open(u->h, RUNTIME_LINK_DIR, O_RDONLY | O_DIRECTORY);
	if (drivers < 0 || (readlinkat(drivers, name, have, sizeof(have)) < 0 && errno == ENOENT))
		return true;
	return is_driver_link(ctx, drivers, RUNTIME_LINK_DIR, name);
}

static bool is_ld_conf(void *ctx, int dir, const char *where, const char *entry)
{
	_cleanup_free_ char *name = str_middle(entry, LD_PREFIX, LD_SUFFIX);

	(void)dir;
	(void)where;
	return name && is_meant(ctx, name);
}

static bool is_extension(void *ctx, int dir, const char *where, const char *entry)
{
	char name[LIMIT_NAME_BYTES + 1];

	(void)where;
	return str_prefix(entry, RUNTIME_EXTENSION, NULL) && leads_to_ours(ctx, dir, entry, 1, name, sizeof(name));
}

/* After a power cut between the two steps the line is gone and the loader's cache still has the libraries. */
static bool loader_is_behind(const struct host *h)
{
	_cleanup_close_ int fd = host_root_open(h, LD_CACHE, O_PATH);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && is_newer(h, LD_DIR, 0, &st);
}

int runtime_links_remove(const struct host *h, const struct strv *names, bool dry, struct strv *ret,
			 struct strv *warnings)
{
	struct unlinking u = { .h = h, .names = names, .warnings = warnings };
	const struct sweep s = { .host = h, .dry = dry, .removed = ret, .failed = warnings, .ctx = &u };
	_cleanup_close_ int opt = -EBADF;
	size_t before;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(program_dirs); i++)
		r = sweep_dir(&s, program_dirs[i], false, is_program);
	before = ret->n;
	if (r == 0)
		r = sweep_dir(&s, RUNTIME_EXTENSION_LINK_DIR, true, is_extension);
	if (r == 0 && ret->n > before && !dry) {
		r = run_sysext(h);
		r = r < 0 ? cannot(&u, "systemd-sysext refresh", r) : 0;
	}
	before = ret->n;
	if (r == 0)
		r = sweep_dir(&s, RUNTIME_LINK_DIR, false, is_driver_link);
	opt = r == 0 && ret->n > before && !dry ? host_root_open(h, "/opt", O_RDONLY | O_DIRECTORY) : -EBADF;
	if (opt >= 0)
		(void)unlinkat(opt, strrchr(RUNTIME_LINK_DIR, '/') + 1, AT_REMOVEDIR); /* when it is empty */
	before = ret->n;
	if (r == 0)
		r = sweep_dir(&s, LD_DIR, false, is_ld_conf);
	if (r < 0 || dry || (ret->n == before && !loader_is_behind(h)))
		return r;
	r = run_ldconfig(h);
	return r < 0 ? cannot(&u, "ldconfig", r) : 0;
}
