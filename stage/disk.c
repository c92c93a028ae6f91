// SPDX-License-Identifier: Apache-2.0
/*
 * disk.c - mountinfo and sysfs. Reads only.
 */
#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "limit.h"

int disk_of_mount(const struct host *h, const char *point, dev_t *ret)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	bool found = false;
	size_t len;
	int r;

	r = host_live_read(h, "/proc/self/mountinfo", 1u << 20, &text, &len);
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char where[PATH_MAX], source[PATH_MAX];
		unsigned int major_no, minor_no;
		const char *dash = strstr(line, " - ");
		struct stat st;

		/* proc(5): id parent major:minor root mountpoint options... - type source ... */
		if (!dash || sscanf(line, "%*d %*d %u:%u %*s %4095s", &major_no, &minor_no, where) != 3 ||
		    !streq(where, point) || sscanf(dash, " - %*s %4095s", source) != 1)
			continue;
		*ret = makedev(major_no, minor_no);
		if (major_no == 0 && stat(source, &st) == 0 && S_ISBLK(st.st_mode))
			*ret = st.st_rdev;
		found = true; /* the last one is on top */
	}
	return found && major(*ret) != 0 ? 0 : -ENOENT;
}

/* The only name in the directory that is no "." or "..". -ENOENT: none; -E2BIG: several. */
static int only_name(const struct host *h, const char *path, char *ret, size_t size)
{
	int fd = host_live_open(h, path, O_RDONLY | O_DIRECTORY), r = -ENOENT;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		r = r == -ENOENT && (size_t)snprintf(ret, size, "%s", e->d_name) < size ? 0 : -E2BIG;
	}
	if (d)
		closedir(d);
	return r;
}

/* "../../devices/pci.../block/sda/sda3" -> "sda": a partition's directory is in its disk's. */
static int disk_of(const struct host *h, const char *link, struct disk_partition *ret)
{
	_cleanup_free_ char *number = str_printf("%s/partition", link);
	char target[PATH_MAX], text[16], *name, *disk;
	uint64_t value;
	ssize_t n;

	if (!number)
		return -ENOMEM;
	if (read_line_at(h->live_fd, number, text, sizeof(text)) < 0 || parse_u64(text, &value) < 0 || value > INT_MAX)
		return -ENOENT;
	n = readlinkat(h->live_fd, link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	name = strrchr(target, '/');
	if (!name)
		return -ENOENT;
	*name = '\0';
	disk = strrchr(target, '/');
	if (!disk || strlen(disk + 1) >= sizeof(ret->disk))
		return -ENOENT;
	snprintf(ret->disk, sizeof(ret->disk), "%s", disk + 1);
	ret->number = (int)value;
	return 0;
}

int disk_find_partition(const struct host *h, dev_t dev, struct disk_partition *ret)
{
	_cleanup_free_ char *link = str_printf("sys/dev/block/%u:%u", major(dev), minor(dev));

	for (unsigned int i = 0; link && i < LIMIT_SLAVES; i++) {
		_cleanup_free_ char *slaves = str_printf("/%s/slaves", link), *below = NULL;
		char name[64];

		if (!slaves)
			return -ENOMEM;
		if (only_name(h, slaves, name, sizeof(name)) < 0)
			return disk_of(h, link, ret);
		below = str_printf("sys/class/block/%s", name);
		if (!below)
			return -ENOMEM;
		free(link);
		link = TAKE_PTR(below);
	}
	return link ? -ENOENT : -ENOMEM;
}

char *disk_partition_name(const char *disk, int number)
{
	bool digit = *disk && strchr("0123456789", disk[strlen(disk) - 1]);

	return str_printf("%s%s%d", disk, digit ? "p" : "", number);
}
