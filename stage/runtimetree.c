// SPDX-License-Identifier: Apache-2.0
/*
 * runtimetree.c - see runtimetree.h: finding a tree, verifying it, removing old ones. Runs early in the real
 * root, in `bless`, and in the commands that rebuild and tidy. Power loss while one is removed: it has lost its
 * name before.
 */
#include "runtimetree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "limit.h"
#include "lock.h"
#include "removetree.h"

static const char *const bases[] = { RUNTIME_DIR, RUNTIME_DIR_LIVE };

bool runtime_is_live(const char *path)
{
	return str_prefix(path, "/run/", NULL);
}

int runtime_open(const struct host *h, const char *path, int flags)
{
	return runtime_is_live(path) ? host_live_open(h, path, flags) : host_root_open(h, path, flags);
}

int runtime_lock(int dir)
{
	_cleanup_close_ int fd = openat(dir, RUNTIME_LOCK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : lock_file(fd);

	return r < 0 ? r : TAKE_FD(fd);
}

static int open_beneath(int dirfd, const char *path, int flags)
{
	return open_resolve(dirfd, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* --- what is there --- */

void runtime_tree_free(struct runtime_tree *t)
{
	free(t->path);
	bundle_close(t->bundle);
	*t = (struct runtime_tree){ 0 };
}

static int check_file(int dirfd, const struct manifest_file *f, struct err *err)
{
	_cleanup_close_ int fd = open_beneath(dirfd, f->path, O_PATH | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != f->size)
		return err_set(err, -E_CORRUPT, "%s is missing or of another size", f->path);
	return 0;
}

static int check_link(int dirfd, const struct manifest_link *l, struct err *err)
{
	_cleanup_close_ int fd = open_beneath(dirfd, l->path, O_PATH | O_NOFOLLOW);
	char target[LIMIT_PATH_BYTES + 1];
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target));

	if (n < 0 || (size_t)n != strlen(l->target) || memcmp(target, l->target, (size_t)n) != 0)
		return err_set(err, -E_CORRUPT, "%s is missing or leads elsewhere", l->path);
	return 0;
}

static int read_record(int dirfd, const struct keyring *ring, struct bundle **ret, struct err *err)
{
	struct reader *reader;
	int fd = open_beneath(dirfd, RUNTIME_RECORD, O_RDONLY | O_NOFOLLOW), r;

	if (fd < 0)
		return err_set(err, -E_CORRUPT, "%s: %s", RUNTIME_RECORD, strerror(-fd));
	r = reader_new_fd(fd, &reader);
	return r < 0 ? err_sys(err, r, "%s", RUNTIME_RECORD) : bundle_open(reader, ring, ret, err);
}

static int check_tree(int dirfd, const char *name, const char *version, const struct keyring *ring,
		      struct bundle **ret, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	const struct manifest *m;
	int r = read_record(dirfd, ring, &b, err);

	if (r < 0)
		return r;
	m = bundle_manifest(b);
	if (m->kind != KIND_RUNTIME || !streq(m->name, name) || !streq(m->version, version))
		return err_set(err, -E_CORRUPT, "%s is of %s of %s %s", RUNTIME_RECORD, manifest_kind_word(m->kind), m->name,
			       m->version);
	for (size_t i = 0; r == 0 && i < m->n_files; i++)
		r = check_file(dirfd, &m->files[i], err);
	for (size_t i = 0; r == 0 && i < m->n_links; i++)
		r = check_link(dirfd, &m->links[i], err);
	if (r == 0)
		*ret = TAKE_PTR(b);
	return r;
}

int runtime_tree_find(const struct host *h, const char *name, const char *version, const struct keyring *ring,
		      struct runtime_tree *ret, struct err *err)
{
	int r = err_set(err, -ENOENT, "none");

	for (size_t i = 0; i < ARRAY_SIZE(bases) && r < 0 && manifest_is_version(version); i++) {
		_cleanup_runtime_tree_ struct runtime_tree t = { .path = str_printf("%s/%s/%s", bases[i], name, version) };
		_cleanup_close_ int fd = t.path ? runtime_open(h, t.path, O_RDONLY | O_DIRECTORY) : -ENOMEM;

		if (fd == -ENOENT)
			continue;
		r = fd < 0 ? err_sys(err, fd, "opening it") : check_tree(fd, name, version, ring, &t.bundle, err);
		if (r < 0) {
			(void)err_prefix(err, "%s", t.path ? t.path : name);
			continue;
		}
		*ret = t;
		t = (struct runtime_tree){ 0 };
	}
	return r;
}

/* --- every byte --- */

static int hash_file(int fd, uint8_t ret[SHA256_BYTES])
{
	_cleanup_bytes_ uint8_t *buf = malloc(LIMIT_CHUNK_BYTES);
	EVP_MD_CTX *sha256 = EVP_MD_CTX_new();
	int r = buf && sha256 && EVP_DigestInit_ex(sha256, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

	while (r == 0) {
		ssize_t n = read(fd, buf, LIMIT_CHUNK_BYTES);

		if (n == 0)
			break;
		if (n < 0)
			r = errno == EINTR ? 0 : -errno;
		else if (EVP_DigestUpdate(sha256, buf, (size_t)n) != 1)
			r = -ENOMEM;
	}
	if (r == 0 && EVP_DigestFinal_ex(sha256, ret, NULL) != 1)
		r = -ENOMEM;
	EVP_MD_CTX_free(sha256);
	return r;
}

static int verify_file(int dirfd, const struct manifest_file *f, struct err *err)
{
	_cleanup_close_ int fd = open_beneath(dirfd, f->path, O_RDONLY | O_NOFOLLOW);
	uint8_t digest[SHA256_BYTES];
	int r = fd < 0 ? fd : hash_file(fd, digest);

	if (r < 0)
		return err_sys(err, r, "%s", f->path);
	return memcmp(digest, f->sha256, sizeof(digest)) == 0 ? 0 :
	       err_set(err, -E_CORRUPT, "%s does not match its hash", f->path);
}

int runtime_tree_verify(const struct host *h, const struct runtime_tree *t, struct err *err)
{
	_cleanup_close_ int fd = runtime_open(h, t->path, O_RDONLY | O_DIRECTORY);
	const struct manifest *m = bundle_manifest(t->bundle);
	int r = fd < 0 ? err_sys(err, fd, "runtime") : 0;

	for (size_t i = 0; r == 0 && i < m->n_files; i++)
		r = verify_file(fd, &m->files[i], err);
	return r < 0 ? err_prefix(err, "%s", t->path) : 0;
}

int runtime_tree_distrust(const struct host *h, const struct runtime_tree *t, struct err *err)
{
	_cleanup_close_ int fd = runtime_open(h, t->path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return err_sys(err, fd, "%s", t->path);
	if (unlinkat(fd, RUNTIME_RECORD, 0) < 0 || fsync(fd) < 0)
		return err_sys(err, -errno, "%s/" RUNTIME_RECORD, t->path);
	return 0;
}

/* --- removing --- */

/* Field 4 and 5 of proc_pid_mountinfo(5): what of a file system is mounted, and where. */
static bool line_is_of(const char *line, const char *tree)
{
	_cleanup_free_ char *root = NULL, *point = NULL;
	const char *places[2], *below, *found;

	if (sscanf(line, "%*d %*d %*s %ms %ms", &root, &point) != 2)
		return false;
	/* the file system may begin anywhere above; that of the tree in memory begins at /run */
	if (!str_prefix(tree, "/var/lib", &below) && !str_prefix(tree, "/run", &below))
		below = tree;
	places[0] = root;
	places[1] = point;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		found = strstr(places[i], below);
		if (found && strchr("/", found[strlen(below)]))
			return true;
	}
	return false;
}

static bool lines_are_of(char *text, const char *tree)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line_is_of(line, tree))
			return true;
	return false;
}

/*
 * Does the process' mount namespace have it, or something in it? One that is among `seen` already is not read again.
 * A process that is gone, or waits for its parent only (-EINVAL), has none. -E2BIG: of so many nobody knows; -errno.
 */
static int process_has_mounted(int proc, const char *pid, const char *tree, struct strv *seen)
{
	_cleanup_close_ int dir = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	char space[64]; /* "mnt:[4026531841]" */
	ssize_t n;
	size_t len;
	int r;

	fd = dir < 0 ? -1 : openat(dir, "mountinfo", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ESRCH || errno == EINVAL ? 0 : -errno;
	n = readlinkat(dir, "ns/mnt", space, sizeof(space) - 1);
	space[n < 0 ? 0 : n] = '\0'; /* one that cannot be told is one more */
	if (*space && strv_has(seen, space))
		return 0;
	if (seen->n == LIMIT_MOUNT_NAMESPACES)
		return -E2BIG;
	r = strv_add(seen, space);
	if (r == 0)
		r = read_whole(fd, LIMIT_MOUNTINFO_BYTES, &text, &len);
	return r < 0 ? r : lines_are_of(text, tree);
}

/*
 * Does anybody have it mounted, or something in it? A container's mounts are in its own namespace. Where that is not
 * known: yes. It is not where process 1 is not seen, since others are hidden then too (proc(5), hidepid=).
 */
static bool is_mounted(const struct host *h, const char *tree)
{
	_cleanup_close_ int proc = host_live_open(h, "/proc", O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv names = { 0 }, seen = { 0 };
	uint64_t pid;

	if (proc < 0 || tree_names(proc, &names) < 0 || !strv_has(&names, "1"))
		return true;
	for (size_t i = 0; i < names.n; i++)
		if (parse_u64(names.v[i], &pid) == 0 && process_has_mounted(proc, names.v[i], tree, &seen) != 0)
			return true;
	return seen.n == 0;
}

/* It loses its name before it loses a file. */
static int remove_version(int dir, const char *name)
{
	_cleanup_free_ char *old = *name == '.' ? strdup(name) : str_printf(".%s" RUNTIME_OLD, name);
	int r = old ? 0 : -ENOMEM;

	if (r == 0 && *name != '.') {
		r = remove_tree(dir, old);
		if (r == 0 && (renameat(dir, name, dir, old) < 0 || fsync(dir) < 0))
			r = -errno;
	}
	return r < 0 ? r : remove_tree(dir, old);
}

static bool is_kept(const char *entry, const struct strv *keep)
{
	if (*entry == '.')
		return !str_suffix(entry, RUNTIME_OLD) && !str_suffix(entry, RUNTIME_PART);
	return strv_has(keep, entry);
}

int runtime_tidy(const struct host *h, const char *name, const struct strv *keep, const char *active, bool dry,
		 struct strv *ret, struct err *err)
{
	_cleanup_free_ char *path = str_printf(RUNTIME_DIR "/%s", name);
	_cleanup_strv_ struct strv entries = { 0 };
	_cleanup_close_ int dir = -EBADF, lock = -EBADF;
	int r = dir = path ? host_root_open(h, path, O_RDONLY | O_DIRECTORY) : -ENOMEM;

	if (r == -ENOENT)
		return 0;
	if (r >= 0 && !dry) {
		r = lock = runtime_lock(dir);
		if (r == -EBUSY) /* the tree that is being made looks like a remain */
			return 0;
	}
	if (r >= 0)
		r = tree_names(dir, &entries);
	for (size_t i = 0; r >= 0 && i < entries.n; i++) {
		_cleanup_free_ char *tree = str_printf("%s/%s", path, entries.v[i]);

		r = tree ? 0 : -ENOMEM;
		if (r < 0 || is_kept(entries.v[i], keep) || (active && streq(tree, active)) || is_mounted(h, tree))
			continue;
		if (!dry)
			r = remove_version(dir, entries.v[i]);
		if (r == 0)
			r = strv_add(ret, tree);
	}
	return r < 0 ? err_sys(err, r, "%s", path ? path : name) : 0;
}

static int remove_from(const struct host *h, const char *base, const char *name, bool dry, struct strv *ret,
		       struct strv *ret_kept)
{
	_cleanup_free_ char *path = str_printf("%s/%s", base, name);
	_cleanup_close_ int top = runtime_open(h, base, O_RDONLY | O_DIRECTORY), dir = -EBADF;
	_cleanup_strv_ struct strv entries = { 0 };
	size_t kept = ret_kept->n;
	int r = path ? 0 : -ENOMEM;

	if (top < 0)
		return r < 0 || top == -ENOENT ? r : top;
	if (r == 0)
		r = dir = runtime_open(h, path, O_RDONLY | O_DIRECTORY);
	if (r >= 0)
		r = tree_names(dir, &entries);
	for (size_t i = 0; r >= 0 && i < entries.n; i++) {
		_cleanup_free_ char *tree = str_printf("%s/%s", path, entries.v[i]);

		if (!tree)
			return -ENOMEM;
		if (is_mounted(h, tree)) {
			r = strv_add(ret_kept, tree);
			continue;
		}
		if (!dry)
			r = remove_version(dir, entries.v[i]);
		if (r >= 0 && entries.v[i][0] != '.')
			r = strv_add(ret, tree);
	}
	if (r >= 0 && !dry && ret_kept->n == kept && (unlinkat(top, name, AT_REMOVEDIR) < 0 || fsync(top) < 0))
		r = -errno;
	return r == -ENOENT || r > 0 ? 0 : r;
}

int runtime_remove(const struct host *h, const char *name, bool dry, struct strv *ret, struct strv *ret_kept,
		   struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(bases); i++) {
		if (runtime_is_live(bases[i]) && !host_root_is_live(h))
			continue;
		r = remove_from(h, bases[i], name, dry, ret, ret_kept);
		if (r < 0)
			return err_sys(err, r, "%s/%s", bases[i], name);
	}
	return r;
}

int runtime_names(const struct host *h, struct strv *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(bases); i++) {
		_cleanup_close_ int top = runtime_open(h, bases[i], O_RDONLY | O_DIRECTORY);
		_cleanup_strv_ struct strv names = { 0 };

		r = top < 0 ? top : tree_names(top, &names);
		if (r == -ENOENT)
			r = 0;
		for (size_t n = 0; r == 0 && n < names.n; n++)
			r = manifest_is_name(names.v[n]) && !strv_has(ret, names.v[n]) ? strv_add(ret, names.v[n]) : 0;
	}
	return r;
}

bool runtime_is_untidy(const struct host *h, const char *name, const char *active)
{
	_cleanup_free_ char *path = str_printf(RUNTIME_DIR "/%s", name);
	_cleanup_strv_ struct strv entries = { 0 };
	_cleanup_close_ int dir = path ? host_root_open(h, path, O_RDONLY | O_DIRECTORY) : -EBADF;
	const struct strv none = { 0 };

	if (dir < 0 || tree_names(dir, &entries) < 0)
		return false;
	for (size_t i = 0; i < entries.n; i++) {
		const char *rest;

		if (!is_kept(entries.v[i], &none) && !(active && str_prefix(active, path, &rest) && *rest == '/' &&
						      streq(rest + 1, entries.v[i])))
			return true;
	}
	return false;
}
