// SPDX-License-Identifier: Apache-2.0
/*
 * state.c - written to a temporary file, fsynced, renamed, and the directory fsynced: a power cut
 * leaves the old file or the new one. In: JSON. Out: the same JSON, at the next boot.
 */
#include "state.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "limit.h"
#include "rootfs.h"

/* Whoever could write here before us may have left anything: a FIFO would be waited at for ever. */
static int read_file(int dirfd, const char *name, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EBADMSG : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? read_whole(fd, LIMIT_STATE_BYTES, ret, ret_len) : -EBADMSG;
}

int state_read(const struct host *h, const char *dir, const char *name, json_t **ret)
{
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	struct err unsaid;
	json_t *o;
	size_t len = 0;
	int r = rootfs_dir_find(h, dir, &d, &unsaid);

	if (r == -E_CACHE_UNREACHABLE) /* who goes on to write will hear it */
		r = -ENOENT;
	if (r == 0)
		r = fd = rootfs_dir_open(&d, "", O_RDONLY | O_DIRECTORY);
	if (r >= 0)
		r = read_file(fd, name, &text, &len);
	if (r < 0)
		return r;
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return -EBADMSG;
	}
	*ret = o;
	return 0;
}

static int replace(int dirfd, const char *name, const char *text)
{
	_cleanup_free_ char *part = str_printf(".%s.part", name);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!part)
		return -ENOMEM;
	if (unlinkat(dirfd, part, 0) < 0 && errno != ENOENT) /* what an interrupted one left, or anybody */
		return -errno;
	fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
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

int state_write(const struct host *h, const char *dir, const char *name, const json_t *state, struct err *err)
{
	_cleanup_free_ char *text = json_dumps(state, JSON_INDENT(1));
	_cleanup_rootfs_dir_ struct rootfs_dir d = ROOTFS_DIR_NONE;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!text)
		return err_sys(err, -ENOMEM, "%s/%s", dir, name);
	r = rootfs_dir_find(h, dir, &d, err);
	if (r == 0)
		r = rootfs_dir_writable(&d, err);
	if (r < 0)
		return r;
	r = rootfs_dir_make(&d, "", &fd);
	if (r == 0)
		r = replace(fd, name, text);
	close_fdp(&fd);
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set(err, -E_NO_SPACE, "%s/%s: %s", dir, name, strerror(-r));
	return r < 0 ? err_sys(err, r, "%s/%s", dir, name) : 0;
}
