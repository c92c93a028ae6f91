// SPDX-License-Identifier: Apache-2.0
/*
 * link.c - which cards there are, and taking one down. In the initramfs, around a network that was
 * brought up for a bundle. Power loss: nothing here is on disk.
 */
#include "link.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

static int with_flags(const char *name, short *flags, bool set)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	if (fd < 0 || strlen(name) >= sizeof(req.ifr_name))
		return -EINVAL;
	memcpy(req.ifr_name, name, strlen(name));
	req.ifr_flags = *flags;
	if (ioctl(fd, set ? SIOCSIFFLAGS : SIOCGIFFLAGS, &req) < 0)
		return -errno;
	*flags = req.ifr_flags;
	return 0;
}

int link_list(const struct host *h, bool up_only, struct strv *ret)
{
	_cleanup_close_ int fd = host_live_open(h, "/sys/class/net", O_RDONLY | O_DIRECTORY);
	struct dirent *e;
	DIR *dir;
	int r = 0;

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		return -ENOENT;
	(void)TAKE_FD(fd);
	while (r == 0 && (e = readdir(dir))) {
		char device[NAME_MAX + 8];
		short flags = 0;

		snprintf(device, sizeof(device), "%s/device", e->d_name);
		if (e->d_name[0] == '.' || faccessat(dirfd(dir), device, F_OK, 0) < 0)
			continue;
		if (with_flags(e->d_name, &flags, false) == 0 && (!up_only || (flags & IFF_UP)))
			r = strv_add(ret, e->d_name);
	}
	closedir(dir);
	return r;
}

void link_down(const char *name)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_addr.sa_family = AF_INET };
	short flags = 0;

	if (fd < 0 || strlen(name) >= sizeof(req.ifr_name))
		return;
	memcpy(req.ifr_name, name, strlen(name));
	(void)ioctl(fd, SIOCSIFADDR, &req); /* 0.0.0.0 removes the address */
	if (with_flags(name, &flags, false) == 0) {
		flags = (short)(flags & ~IFF_UP);
		(void)with_flags(name, &flags, true);
	}
}
