// SPDX-License-Identifier: Apache-2.0
/*
 * device.c - which devices are there, and which nodes they got. Runs before any source is
 * opened: without a device nothing else happens. Reads /sys only; may make nodes in /dev.
 */
#include "device.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <fnmatch.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A GPU's own sysfs subtree is at most .../virtio0/drm/card0/card0-Virtual-1 deep. */
#define SUBTREE_DEPTH 6
/* An 8-way partitioned GPU shows about 60 nodes. */
#define NODES_MAX 512
/* modalias and uevent are one page at most (sysfs). */
#define ATTRIBUTE_BYTES 4096

static int list_add(struct device_list *l, const char *bus, const char *address, const char *modalias)
{
	struct device *v = reallocarray(l->v, l->n + 1, sizeof(*v)), *d;

	if (!v)
		return -ENOMEM;
	l->v = v;
	d = &v[l->n];
	*d = (struct device){ .bus = strdup(bus), .address = strdup(address), .modalias = strdup(modalias) };
	l->n++;
	return d->bus && d->address && d->modalias ? 0 : -ENOMEM;
}

void device_list_free(struct device_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].bus);
		free(l->v[i].address);
		free(l->v[i].modalias);
	}
	free(l->v);
	*l = (struct device_list){ 0 };
}

int device_scan(const struct host *h, const char *bus, struct device_list *list)
{
	_cleanup_free_ char *path = str_printf("sys/bus/%s/devices", bus);
	char modalias[ATTRIBUTE_BYTES];
	struct dirent *e;
	DIR *dir;
	int r;

	if (!path)
		return -ENOMEM;
	if (strchr(bus, '/') || bus[0] == '.')
		return 0;
	r = dir_open_at(h->live_fd, path, &dir);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (r == 0 && (e = readdir(dir))) {
		char attribute[NAME_MAX + sizeof("/modalias")];

		if (e->d_name[0] == '.')
			continue;
		snprintf(attribute, sizeof(attribute), "%s/modalias", e->d_name);
		/* a device may vanish between the two reads, and some have no modalias */
		if (read_line_at(dirfd(dir), attribute, modalias, sizeof(modalias)) == 0)
			r = list_add(list, bus, e->d_name, modalias);
	}
	closedir(dir);
	return r;
}

bool device_matches(const struct device *d, const struct strv *globs)
{
	bool matches = false;

	for (size_t i = 0; i < globs->n; i++) {
		const char *glob = globs->v[i];

		if (fnmatch(*glob == '!' ? glob + 1 : glob, d->modalias, 0) != 0)
			continue;
		if (*glob == '!')
			return false;
		matches = true;
	}
	return matches;
}

void device_settle(const struct host *h, uint64_t timeout_us)
{
	_cleanup_close_ int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	_cleanup_free_ char *dir = str_printf("%s/run/udev", h->live_path);
	uint64_t until = now_us() + timeout_us, now;

	if (notify < 0 || !dir || inotify_add_watch(notify, dir, IN_DELETE) < 0)
		return;
	while (faccessat(h->live_fd, "run/udev/queue", F_OK, 0) == 0 && (now = now_us()) < until) {
		struct pollfd p = { .fd = notify, .events = POLLIN };
		char events[1024];

		(void)poll(&p, 1, (int)((until - now) / 1000) + 1);
		while (read(notify, events, sizeof(events)) > 0)
			;
	}
}

/* --- nodes --- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The node that the device at dirfd announces, if any. */
static int add_node(const struct host *h, int dirfd, struct strv *nodes)
{
	char uevent[ATTRIBUTE_BYTES], dev[32], *name;
	unsigned int major_no, minor_no;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	ssize_t n;

	if (read_line_at(dirfd, "dev", dev, sizeof(dev)) < 0 || sscanf(dev, "%u:%u", &major_no, &minor_no) != 2)
		return 0;
	fd = openat(dirfd, "uevent", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, uevent, sizeof(uevent) - 1);
	if (n <= 0)
		return 0;
	uevent[n] = '\0';
	name = strstr(uevent, "DEVNAME=");
	if (!name || (name != uevent && name[-1] != '\n'))
		return 0;
	name += strlen("DEVNAME=");
	name[strcspn(name, "\n")] = '\0';
	if (name[0] == '/' || strstr(name, ".."))
		return 0;
	path = str_printf("/dev/%s", name);
	if (!path)
		return -ENOMEM;
	if (strv_has(nodes, path))
		return 0;
	if (fstatat(h->live_fd, path + 1, &st, 0) < 0) {
		_cleanup_free_ char *parent = strdup(path);
		_cleanup_close_ int made = -EBADF;

		if (!parent)
			return -ENOMEM;
		*strrchr(parent, '/') = '\0';
		if (host_live_mkdir(h, parent, &made) < 0 ||
		    h->ops->mknod_char(h->live_fd, path + 1, 0600, makedev(major_no, minor_no)) < 0)
			return 0;
	}
	return strv_add(nodes, path);
}

static int walk(const struct host *h, int dirfd, unsigned int depth, struct strv *nodes)
{
	struct dirent *e;
	DIR *dir;
	int r;

	r = add_node(h, dirfd, nodes);
	if (r < 0 || depth == 0 || nodes->n >= NODES_MAX)
		return r;
	dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!dir)
		return 0;
	while (r == 0 && (e = readdir(dir))) {
		_cleanup_close_ int sub = -EBADF;

		if (e->d_name[0] == '.' || e->d_type != DT_DIR)
			continue;
		sub = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			r = walk(h, sub, depth - 1, nodes);
	}
	closedir(dir);
	return r;
}

int device_nodes(const struct host *h, const struct device *d, struct strv *nodes)
{
	_cleanup_free_ char *path = str_printf("sys/bus/%s/devices/%s", d->bus, d->address);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!path)
		return -ENOMEM;
	fd = openat(h->live_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0; /* unplugged meanwhile */
	r = walk(h, fd, SUBTREE_DEPTH, nodes);
	if (nodes->n > 1)
		qsort(nodes->v, nodes->n, sizeof(*nodes->v), by_text);
	return r;
}
