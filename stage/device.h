/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - devices that ask for a driver, and the nodes that appear once they have one.
 */
#ifndef MODULUS_DEVICE_H
#define MODULUS_DEVICE_H

#include "host.h"

struct device {
	char *bus;      /* "pci": the directory below /sys/bus */
	char *address;  /* "0000:00:02.0" */
	char *modalias; /* "pci:v00001AF4d00001050..." */
};

struct device_list {
	struct device *v;
	size_t n;
};

/*
 * Adds every device on a bus to the list. A bus that does not exist has no devices.
 * -ENOMEM, or -errno of reading /sys.
 */
int device_scan(const struct host *h, const char *bus, struct device_list *list) _must_check_;
void device_list_free(struct device_list *l);
#define _cleanup_devices_ _cleanup_(device_list_free)

/*
 * fnmatch(3) of any of the globs against the modalias, the rule of modprobe's aliases; and of none of
 * those that begin with '!', which take away what they match, wherever they stand.
 */
bool device_matches(const struct device *d, const struct strv *globs);

/*
 * Waits until udev has handled all events that are queued, at most timeout_us. udev keeps
 * /run/udev/queue while it is busy (systemd, src/udev/udevd.c). Returns at once where there is
 * no udev.
 */
void device_settle(const struct host *h, uint64_t timeout_us);

/*
 * Adds the path of each node that the device's driver announces (DEVNAME in the uevent files
 * below the device) to `nodes`, sorted. A node that devtmpfs did not make is made, mode 0600.
 */
int device_nodes(const struct host *h, const struct device *d, struct strv *nodes) _must_check_;

#endif
