// SPDX-License-Identifier: Apache-2.0
/*
 * modules.c - the boot-time sink of unpack.c. Nothing here survives a power cut, on purpose:
 * memfds and /run are memory.
 */
#include "modules.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>

#include "config.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* linux/memfd.h, since 6.3 */
#endif

#define FIRMWARE_TREE "usr/lib/firmware/"
#define FIRMWARE_PARAMETER "/sys/module/firmware_class/parameters/path"

static int memfd_sealable(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

static int firmware_create(const struct host *h, const struct manifest_file *f, const char *name, struct err *err)
{
	_cleanup_close_ int dir = -EBADF;
	int r = host_live_mkdir(h, FIRMWARE_DIR, &dir);

	if (r < 0)
		return err_sys(err, r, "%s", FIRMWARE_DIR);
	r = unpack_create_file(dir, name, f->mode, err);
	if (r == -EEXIST && unlinkat(dir, name, 0) == 0) /* an earlier run in this boot */
		r = unpack_create_file(dir, name, f->mode, err);
	return r;
}

static int set_begin(void *ctx, const struct manifest_file *f, struct err *err)
{
	struct module_set *set = ctx;
	char name[LIMIT_NAME_BYTES + 1];
	const char *rest;
	int fd;

	set->writing = NULL;
	if (str_prefix(f->path, FIRMWARE_TREE, &rest)) {
		set->writing = rest;
		return firmware_create(set->host, f, rest, err);
	}
	if (!manifest_module_name(f->path, name, sizeof(name)))
		return err_set(err, -E_CORRUPT, "%s is neither a module nor firmware", f->path);
	fd = memfd_sealable(name);
	if (fd == -ENOMEM || fd == -ENFILE || fd == -EMFILE)
		return err_set(err, -E_NO_SPACE, "%s: %s", name, strerror(-fd));
	return fd < 0 ? err_sys(err, fd, "%s: memfd", name) : fd;
}

static int set_done(void *ctx, const struct manifest_file *f, int fd, struct err *err)
{
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	struct module_set *set = ctx;
	_cleanup_close_ int owned = fd;
	struct module_bytes *v, *m;

	if (str_prefix(f->path, FIRMWARE_TREE, NULL)) {
		set->firmware++;
		return 0;
	}
	if (fcntl(owned, F_ADD_SEALS, seals) < 0)
		return err_sys(err, -errno, "%s: sealing", f->path);
	v = reallocarray(set->v, set->n + 1, sizeof(*v));
	if (!v)
		return err_sys(err, -ENOMEM, "%s", f->path);
	set->v = v;
	m = &v[set->n];
	*m = (struct module_bytes){ .size = f->size };
	(void)manifest_module_name(f->path, m->name, sizeof(m->name)); /* set_begin() saw that it is one */
	m->fd = TAKE_FD(owned);
	set->n++;
	return 0;
}

static void set_abandon(void *ctx, int fd)
{
	const struct module_set *set = ctx;
	_cleanup_close_ int dir = -EBADF;

	close(fd);
	/* nobody may find firmware there whose hash did not hold */
	if (set->writing && host_live_mkdir(set->host, FIRMWARE_DIR, &dir) == 0)
		(void)unlinkat(dir, set->writing, 0);
}

struct unpack_sink module_set_sink(struct module_set *set)
{
	return (struct unpack_sink){ .ctx = set, .begin = set_begin, .done = set_done, .abandon = set_abandon };
}

void module_set_free(struct module_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		close_fdp(&set->v[i].fd);
	free(set->v);
	set->v = NULL;
	set->n = 0;
}

struct module_bytes *module_set_find(const struct module_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (module_name_equal(set->v[i].name, name))
			return &set->v[i];
	return NULL;
}

int module_map(const struct module_bytes *mod, struct module_map *ret, struct err *err)
{
	struct module_map m = { .len = (size_t)mod->size };

	m.bytes = mod->size ? mmap(NULL, m.len, PROT_READ, MAP_PRIVATE, mod->fd, 0) : MAP_FAILED;
	if (m.bytes == MAP_FAILED)
		return err_set(err, -E_CORRUPT, "%s: not a module", mod->name);
	if (modfile_parse(m.bytes, m.len, &m.file) < 0) {
		module_unmap(&m);
		return err_set(err, -E_CORRUPT, "%s: not a kernel module of a machine that we know", mod->name);
	}
	*ret = m;
	return 0;
}

void module_unmap(struct module_map *m)
{
	if (m->bytes)
		munmap(m->bytes, m->len);
}

bool module_set_lacks_firmware(const struct module_set *set)
{
	for (size_t i = 0; set->firmware == 0 && i < set->n; i++) {
		_cleanup_module_map_ struct module_map m = { 0 };
		struct err unsaid;

		if (module_map(&set->v[i], &m, &unsaid) == 0 && *modfile_info_first(&m.file, "firmware"))
			return true;
	}
	return false;
}

int module_set_link_firmware(const struct module_set *set, const struct manifest *m, struct err *err)
{
	for (size_t i = 0; i < m->n_links; i++) {
		const struct manifest_link *l = &m->links[i];
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int dir = -EBADF;
		const char *rest;
		char *slash;
		int r;

		if (!str_prefix(l->path, FIRMWARE_TREE, &rest))
			continue;
		path = str_printf(FIRMWARE_DIR "/%s", rest);
		if (!path)
			return err_sys(err, -ENOMEM, "%s", l->path);
		slash = strrchr(path, '/');
		*slash = '\0';
		r = host_live_mkdir(set->host, path, &dir);
		if (r < 0)
			return err_sys(err, r, "%s", path);
		(void)unlinkat(dir, slash + 1, 0); /* of an earlier run in this boot */
		if (symlinkat(l->target, dir, slash + 1) < 0)
			return err_sys(err, -errno, "%s/%s", path, slash + 1);
	}
	return 0;
}

static int expose(const struct host *h, char **ret_other)
{
	char have[PATH_MAX];
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = read_line_at(h->live_fd, &FIRMWARE_PARAMETER[1], have, sizeof(have));
	if (r < 0)
		return r;
	if (streq(have, FIRMWARE_DIR))
		return 0;
	if (have[0]) {
		*ret_other = strdup(have);
		return *ret_other ? -EBUSY : -ENOMEM;
	}
	fd = host_live_open(h, FIRMWARE_PARAMETER, O_WRONLY);
	if (fd < 0)
		return fd;
	return write_full(fd, FIRMWARE_DIR, strlen(FIRMWARE_DIR));
}

int module_set_expose_firmware(const struct module_set *set, struct strv *warnings, struct err *err)
{
	_cleanup_free_ char *other = NULL;
	int r = set->firmware > 0 ? expose(set->host, &other) : 0;

	if (r < 0 && strv_addf(warnings, "firmware: %s: %s", other ? "firmware_class.path is set to" :
			       "firmware_class.path", other ? other : strerror(-r)) < 0)
		return err_sys(err, -ENOMEM, "firmware");
	return 0;
}
