// SPDX-License-Identifier: Apache-2.0
/*
 * build.c - writes bundles. Runs where bundles are built. Out: one file, complete and verified
 * by the reader's own code before it gets its name. Interrupted: an unnamed or a temporary file
 * is left, never a wrong one under the right name.
 */
#include "build.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "kernelimage.h"
#include "modlist.h"
#include "tarwrite.h"
#include "unpack.h"

#define TREE_FILE_MAX_BYTES ((size_t)1 << 30)

/* One file of the payload; bytes are borrowed from the module list or owned. */
struct content {
	const uint8_t *bytes;
	uint8_t *owned;
};

struct building {
	const struct build_request *req;
	struct modlist modules;
	struct manifest *manifest;
	struct content *contents; /* beside manifest->files */
	struct err *err;
};

static void building_done(struct building *b)
{
	for (size_t i = 0; b->manifest && i < b->manifest->n_files; i++)
		free(b->contents[i].owned);
	free(b->contents);
	manifest_free(b->manifest);
	modlist_free(&b->modules);
}

/* --- the manifest --- */

static int add_file(struct building *b, char *path, uint32_t mode, const uint8_t *bytes, size_t len, bool owned)
{
	struct manifest *m = b->manifest;
	struct manifest_file *files = reallocarray(m->files, m->n_files + 1, sizeof(*files)), *f;
	struct content *contents = reallocarray(b->contents, m->n_files + 1, sizeof(*contents));

	if (files)
		m->files = files;
	if (contents)
		b->contents = contents;
	if (!path || !files || !contents) {
		free(path);
		return err_sys(b->err, -ENOMEM, "%s", b->req->name);
	}
	if (m->n_files >= LIMIT_FILES) {
		free(path);
		return err_set(b->err, -EINVAL, "more than %u files", LIMIT_FILES);
	}
	f = &files[m->n_files];
	*f = (struct manifest_file){ .path = path, .size = len, .mode = mode };
	contents[m->n_files] = (struct content){ .bytes = bytes };
	m->n_files++;
	if (EVP_Digest(bytes, len, f->sha256, NULL, EVP_sha256(), NULL) != 1)
		return err_set(b->err, -EIO, "SHA-256");
	if (manifest_check_path(m, path, b->err) < 0)
		return err_set(b->err, -EINVAL, "%s: a path that no bundle may hold (characters, length or place)", path);
	if (owned)
		contents[m->n_files - 1].owned = (uint8_t *)(uintptr_t)bytes;
	return 0;
}

static int add_modules(struct building *b)
{
	for (size_t i = 0; i < b->modules.n; i++) {
		const struct built_module *m = &b->modules.v[i];
		int r = add_file(b,
				 str_printf("usr/lib/modules/%s/modulus/%s/%s", b->req->release, b->req->name, m->file),
				 0644, m->bytes, m->len, false);

		if (r < 0)
			return r;
	}
	return 0;
}

static int not_dots(const struct dirent *e)
{
	return !streq(e->d_name, ".") && !streq(e->d_name, "..");
}

static int add_link(struct building *b, char *path, const char *from)
{
	struct manifest *m = b->manifest;
	struct manifest_link *links = reallocarray(m->links, m->n_links + 1, sizeof(*links)), *l;
	char target[LIMIT_PATH_BYTES + 1];
	ssize_t len;

	if (links)
		m->links = links;
	if (!path || !links) {
		free(path);
		return err_sys(b->err, -ENOMEM, "%s", b->req->name);
	}
	l = &links[m->n_links];
	*l = (struct manifest_link){ .path = path };
	m->n_links++;
	if (m->n_links > LIMIT_LINKS)
		return err_set(b->err, -EINVAL, "more than %u links", LIMIT_LINKS);
	if (manifest_check_path(m, path, b->err) < 0)
		return err_set(b->err, -EINVAL, "%s: a path that no bundle may hold (characters, length or place)", path);
	len = readlink(from, target, sizeof(target));
	if (len < 0)
		return err_sys(b->err, -errno, "%s", from);
	if ((size_t)len >= sizeof(target) || memchr(target, '/', (size_t)len))
		return err_set(b->err, -EINVAL, "%s: a link may lead to a file beside it only", from);
	l->target = strndup(target, (size_t)len);
	return l->target ? 0 : err_sys(b->err, -ENOMEM, "%s", from);
}

static int add_dir(struct building *b, const char *dir, const char *prefix);

/* Links stay links in a tree; in a directory of firmware they are the files that they lead to. */
static int add_entry(struct building *b, const char *dir, const char *prefix, const char *name)
{
	_cleanup_free_ char *path = str_printf("%s/%s", dir, name), *deeper = str_printf("%s%s/", prefix, name);
	int follow = b->req->tree ? AT_SYMLINK_NOFOLLOW : 0;
	struct stat st;
	char *bytes;
	size_t len;
	int r;

	if (!path || !deeper)
		return err_sys(b->err, -ENOMEM, "%s", dir);
	if (fstatat(AT_FDCWD, path, &st, follow) < 0)
		return err_sys(b->err, -errno, "%s", path);
	if (S_ISDIR(st.st_mode))
		return add_dir(b, path, deeper);
	if (S_ISLNK(st.st_mode))
		return add_link(b, str_printf("%s%s", prefix, name), path);
	if (!S_ISREG(st.st_mode))
		return err_set(b->err, -EINVAL, "%s is neither a file nor a directory", path);
	r = read_whole_at(AT_FDCWD, path, TREE_FILE_MAX_BYTES, &bytes, &len);
	if (r < 0)
		return err_sys(b->err, r, "%s", path);
	r = add_file(b, str_printf("%s%s", prefix, name), b->req->tree && st.st_mode & S_IXUSR ? 0755 : 0644,
		     (uint8_t *)bytes, len, true);
	if (r < 0)
		free(bytes);
	return r;
}

static int add_dir(struct building *b, const char *dir, const char *prefix)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, not_dots, alphasort), r = 0;

	if (n < 0)
		return err_sys(b->err, -errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_entry(b, dir, prefix, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r;
}

/* Files behind the modules are in bytewise order of their paths; a walk gives "a/b" before "a-b". */
static void sort_rest(struct building *b, size_t first)
{
	struct manifest *m = b->manifest;

	for (size_t i = first + 1; i < m->n_files; i++) {
		struct manifest_file f = m->files[i];
		struct content c = b->contents[i];
		size_t j = i;

		for (; j > first && strcmp(m->files[j - 1].path, f.path) > 0; j--) {
			m->files[j] = m->files[j - 1];
			b->contents[j] = b->contents[j - 1];
		}
		m->files[j] = f;
		b->contents[j] = c;
	}
}

static int image_build_id(const char *path, const char *release, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1],
			  struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_sys(err, -errno, "%s", path) : kernel_image_build_id(fd, path, release, ret_hex, err);
}

static int find_build_id(struct building *b, struct strv *warnings, char **ret)
{
	static const char *const places[] = { "%s/vmlinuz", "%s/../../../boot/vmlinuz-%s",
					      "%s/../../../../boot/vmlinuz-%s" };
	const struct build_request *req = b->req;
	char hex[2 * LIMIT_BUILD_ID_BYTES + 1] = "";
	struct err why;
	int r = -ENOENT;

	if (req->build_id) {
		*ret = strdup(req->build_id);
		return *ret ? 0 : err_sys(b->err, -ENOMEM, "build-id");
	}
	if (req->kernel_image) {
		r = image_build_id(req->kernel_image, req->release, hex, b->err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *path = i == 0 ? str_printf("%s/vmlinuz", req->kernel_dir) :
						     str_printf(i == 1 ? "%s/../../../boot/vmlinuz-%s" :
									 "%s/../../../../boot/vmlinuz-%s",
								req->kernel_dir, req->release);

		if (path && access(path, R_OK) == 0)
			r = image_build_id(path, req->release, hex, &why);
	}
	if (r < 0) {
		*ret = NULL;
		return strv_addf(warnings, "no build-id: no readable image of its kernel near %s; the bundle will fit "
					   "every build of %s (--kernel-image, --build-id)",
				 req->kernel_dir, req->release) < 0 ?
			       err_sys(b->err, -ENOMEM, "build-id") : 0;
	}
	*ret = strdup(hex);
	return *ret ? 0 : err_sys(b->err, -ENOMEM, "build-id");
}

static int copy_string(char **field, const char *value)
{
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

/* What is loaded when nobody said: the modules asked for by name, or all of them in order. */
static int default_load(struct building *b)
{
	const struct build_request *req = b->req;
	int r = 0;

	if (req->load.n)
		return strv_copy(&b->manifest->load, &req->load);
	if (req->from_kernel.n)
		return strv_copy(&b->manifest->load, &req->from_kernel);
	for (size_t i = 0; r == 0 && i < b->modules.n; i++)
		r = strv_add(&b->manifest->load, b->modules.v[i].name);
	return r;
}

static int link_by_path(const void *a, const void *b)
{
	return strcmp(((const struct manifest_link *)a)->path, ((const struct manifest_link *)b)->path);
}

/* What only a bundle of modules says. */
static int describe_modules(struct building *b, struct strv *warnings)
{
	const struct build_request *req = b->req;
	struct manifest *m = b->manifest;

	if (copy_string(&m->kernel.release, req->release) < 0 ||
	    copy_string(&m->kernel.machine, b->modules.machine) < 0 ||
	    copy_string(&m->kernel.vermagic, b->modules.vermagic) < 0 || default_load(b) < 0 ||
	    strv_copy(&m->options, &req->options) < 0 || strv_copy(&m->match, &req->match) < 0)
		return err_sys(b->err, -ENOMEM, "manifest");
	return find_build_id(b, warnings, &m->kernel.build_id);
}

static int make_manifest(struct building *b, struct strv *warnings)
{
	const struct build_request *req = b->req;
	struct manifest *m = calloc(1, sizeof(*m));
	size_t modules;
	int r = 0;

	if (!m)
		return err_sys(b->err, -ENOMEM, "manifest");
	b->manifest = m;
	m->serial = req->serial;
	m->created = req->created;
	m->kind = req->kind;
	if (copy_string(&m->name, req->name) < 0 || copy_string(&m->version, req->version) < 0 ||
	    copy_string(&m->flavor, req->flavor) < 0)
		return err_sys(b->err, -ENOMEM, "manifest");
	if (req->kind == KIND_MODULES)
		r = describe_modules(b, warnings);
	if (r == 0)
		r = add_modules(b);
	modules = m->n_files;
	if (r == 0 && req->firmware_dir)
		r = add_dir(b, req->firmware_dir, "usr/lib/firmware/");
	if (r == 0 && req->tree)
		r = add_dir(b, req->tree, "");
	if (r == 0 && m->n_files == 0)
		r = err_set(b->err, -EINVAL, "%s: no files", req->tree);
	if (r < 0)
		return r;
	sort_rest(b, modules);
	if (m->n_links > 1)
		qsort(m->links, m->n_links, sizeof(*m->links), link_by_path);
	return 0;
}

/* --- the file --- */

static int write_frame(int fd, uint32_t magic, const void *bytes, size_t len)
{
	uint32_t head[2] = { htole32(magic), htole32((uint32_t)len) };
	int r = write_full(fd, head, sizeof(head));

	return r < 0 ? r : write_full(fd, bytes, len);
}

static int copy_rest(int out, int in)
{
	char buf[64 << 10]; /* sendfile(2) does not read pipes */

	for (;;) {
		ssize_t n = read(in, buf, sizeof(buf));
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = write_full(out, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

/* Header, then everything that payload holds from where it stands. */
static int write_bundle(int fd, const char *manifest, size_t manifest_len, const char *signatures, int payload)
{
	int r = write_frame(fd, BUNDLE_MAGIC_MANIFEST, manifest, manifest_len);

	if (r == 0)
		r = write_frame(fd, BUNDLE_MAGIC_SIGNATURES, signatures, strlen(signatures));
	return r < 0 ? r : copy_rest(fd, payload);
}

/* Reads what was written with the eyes of a machine that trusts this key. */
static int check_own_work(int fd, const struct secret_key *key, struct err *err)
{
	struct public_key pub = { 0 };
	struct keyring ring = { .keys = &pub, .n = 1 };
	_cleanup_bundle_ struct bundle *b = NULL;
	struct reader *reader;
	int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;

	memcpy(pub.id, key->id, sizeof(pub.id));
	memcpy(pub.key, key->public, sizeof(pub.key));
	if (dup_fd < 0 || lseek(dup_fd, 0, SEEK_SET) < 0)
		return err_sys(err, -errno, "reading back");
	r = reader_new_fd(dup_fd, &reader);
	if (r < 0)
		return err_sys(err, r, "reading back");
	r = bundle_open(reader, &ring, &b, err);
	return r < 0 ? r : unpack_bundle(b, NULL, err);
}

/* Temporary file beside path -> complete, checked, durable -> path. */
static int publish(const char *path, const char *manifest, size_t manifest_len, const char *signatures, int payload,
		   const struct secret_key *key, struct err *err)
{
	_cleanup_free_ char *tmp = str_printf("%s.%ld.part", path, (long)getpid());
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!tmp)
		return err_sys(err, -ENOMEM, "%s", path);
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, -errno, "%s", tmp);
	r = write_bundle(fd, manifest, manifest_len, signatures, payload);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		r = err_sys(err, r, "%s", tmp);
	else
		r = check_own_work(fd, key, err);
	if (r == 0 && rename(tmp, path) < 0)
		r = err_sys(err, -errno, "%s", path);
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static int temp_near(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = dir ? open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

	if (fd < 0 && dir && errno == EOPNOTSUPP) { /* overlay and network file systems */
		_cleanup_free_ char *name = str_printf("%s/.modulus-XXXXXX", dir);

		fd = name ? mkostemp(name, O_CLOEXEC) : -1;
		if (fd >= 0)
			(void)unlink(name);
	}
	return fd < 0 ? err_sys(err, -errno, "%s", dir ? dir : path) : fd;
}

/* Complete and checked -> standard output: nothing of a bundle that is not good appears there. */
static int put_out(const char *manifest, size_t manifest_len, const char *signatures, int payload,
		   const struct secret_key *key, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ char *near = str_printf("%s/", tmp && *tmp ? tmp : "/tmp");
	_cleanup_close_ int fd = near ? temp_near(near, err) : err_sys(err, -ENOMEM, "standard output");
	int r;

	if (fd < 0)
		return fd;
	r = write_bundle(fd, manifest, manifest_len, signatures, payload);
	if (r < 0)
		return err_sys(err, r, "%s", near);
	r = check_own_work(fd, key, err);
	if (r < 0)
		return r;
	r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : copy_rest(STDOUT_FILENO, fd);
	return r < 0 ? err_sys(err, r, "standard output") : 0;
}

static int write_payload(struct building *b, int fd)
{
	_cleanup_(tarwrite_freep) struct tarwrite *t = NULL;
	struct manifest *m = b->manifest;
	int r = tarwrite_new(fd, m->created, &t, b->err);

	for (size_t i = 0; r == 0 && i < m->n_files; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r\033[K%zu/%zu %s", i + 1, m->n_files, strrchr(m->files[i].path, '/') + 1);
		r = tarwrite_file(t, &m->files[i], b->contents[i].bytes, b->err);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (r == 0)
		r = tarwrite_finish(t, &m->chunks, &m->n_chunks, &m->unpacked, b->err);
	if (r == 0 && m->unpacked > LIMIT_UNPACKED_BYTES)
		r = err_set(b->err, -EINVAL, "more than %llu bytes", LIMIT_UNPACKED_BYTES);
	return r;
}

/* The trusted comment names the bundle; the time is the bundle's, so that bytes repeat. */
static char *comment_for(const struct manifest *m)
{
	return str_printf("timestamp:%llu\tfile:%s-%s-%s", (unsigned long long)m->created, m->name, m->version,
			  manifest_kind_word(m->kind));
}

static int collect_modules(struct building *b, struct strv *warnings)
{
	const struct build_request *req = b->req;
	int r = modlist_collect(req, &b->modules, b->err);

	if (r == 0)
		r = modlist_check_symbols(req, &b->modules, warnings, b->err);
	return r == 0 ? modlist_order(&b->modules, req->load.n ? &req->load : &req->from_kernel, b->err) : r;
}

int build_bundle(const struct build_request *req, struct strv *warnings, struct err *err)
{
	_cleanup_(building_done) struct building b = { .req = req, .err = err };
	_cleanup_free_ char *text = NULL, *signature = NULL, *comment = NULL;
	_cleanup_close_ int payload = -EBADF;
	int r;

	r = req->kind == KIND_MODULES ? collect_modules(&b, warnings) : 0;
	if (r == 0)
		r = make_manifest(&b, warnings);
	if (r < 0)
		return r;
	payload = temp_near(req->output, err);
	if (payload < 0)
		return payload;
	r = write_payload(&b, payload);
	if (r < 0)
		return r;
	text = manifest_format(b.manifest);
	comment = comment_for(b.manifest);
	if (!text || !comment)
		return err_sys(err, -ENOMEM, "manifest");
	if (strlen(text) > LIMIT_MANIFEST_BYTES)
		return err_set(err, -EINVAL, "the manifest would be larger than %u bytes", LIMIT_MANIFEST_BYTES);
	r = secret_key_sign(req->key, (const uint8_t *)text, strlen(text), comment, &signature, err);
	if (r < 0)
		return r;
	if (lseek(payload, 0, SEEK_SET) < 0)
		return err_sys(err, -errno, "payload");
	return publish(req->output, text, strlen(text), signature, payload, req->key, err);
}

/* --- signing again --- */

/* The old signatures without those by `key`, or nothing. */
static int keep_signatures(const struct bundle *b, const struct secret_key *key, struct strv *ret)
{
	size_t len;
	const char *text = bundle_signatures(b, &len), *from = text;
	struct signature s;
	int r;

	while ((r = trust_next_signature(&text, &len, &s)) > 0) {
		r = 0;
		if (memcmp(s.key_id, key->id, sizeof(key->id)) != 0)
			r = strv_addf(ret, "%.*s", (int)(text - from), from);
		if (r < 0)
			return r;
		from = text;
	}
	return r < 0 ? -E_CORRUPT : 0;
}

int build_sign(const char *path, const struct secret_key *key, bool add, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_free_ char *signature = NULL, *comment = NULL, *all = NULL;
	_cleanup_strv_ struct strv kept = { 0 };
	bool piped = streq(path, "-");
	_cleanup_close_ int fd = piped ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	const uint8_t *header;
	struct reader *reader;
	size_t header_len, signatures_len, manifest_len;
	int dup_fd, r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (dup_fd < 0)
		return err_sys(err, -errno, "%s", path);
	r = reader_new_fd(dup_fd, &reader);
	if (r < 0)
		return err_sys(err, r, "%s", path);
	r = bundle_open(reader, NULL, &b, err); /* reads the header only: fd stands at the payload now */
	if (r < 0)
		return err_prefix(err, "%s", path);
	header = bundle_header(b, &header_len);
	(void)bundle_signatures(b, &signatures_len);
	manifest_len = header_len - signatures_len - (size_t)2 * BUNDLE_FRAME_HEADER_BYTES;
	comment = comment_for(bundle_manifest(b));
	r = comment ? 0 : -ENOMEM;
	if (r == 0 && add)
		r = keep_signatures(b, key, &kept);
	if (r == -E_CORRUPT)
		return err_set(err, r, "%s: the signature frame does not hold minisign signatures; sign without --add", path);
	if (r < 0)
		return err_sys(err, r, "%s", path);
	r = secret_key_sign(key, header + BUNDLE_FRAME_HEADER_BYTES, manifest_len, comment, &signature, err);
	if (r < 0)
		return r;
	all = strdup(signature);
	for (size_t i = 0; all && i < kept.n; i++) {
		char *more = str_printf("%s%s%s", all, kept.v[i], str_suffix(kept.v[i], "\n") ? "" : "\n");

		free(all);
		all = more;
	}
	if (!all)
		return err_sys(err, -ENOMEM, "%s", path);
	if (kept.n + 1 > LIMIT_SIGNATURES || strlen(all) > LIMIT_SIGNATURES_BYTES)
		return err_set(err, -EINVAL, "%s: more than %u signatures", path, LIMIT_SIGNATURES);
	header += BUNDLE_FRAME_HEADER_BYTES;
	r = piped ? put_out((const char *)header, manifest_len, all, fd, key, err) :
		    publish(path, (const char *)header, manifest_len, all, fd, key, err);
	return r == -E_CORRUPT ? err_prefix(err, "%s", path) : r;
}
