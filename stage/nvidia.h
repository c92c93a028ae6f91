/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvidia.h - the nodes of NVIDIA's driver, the one that announces none: no uevent names them, so that
 * devtmpfs and udev make none, and its user space makes them through the setuid nvidia-modprobe, which
 * an immutable host need not have. Which, whose and how follows from /proc alone, by the rules of
 * nvidia-modprobe (modprobe-utils/nvidia-modprobe-utils.c), so that it finds nothing to do later.
 */
#ifndef MODULUS_NVIDIA_H
#define MODULUS_NVIDIA_H

#include "node.h"

/* The module that has /proc/driver/nvidia. */
#define NVIDIA_MODULE "nvidia"

#define NVIDIA_NO_MINOR UINT32_MAX

/* What the driver's "Key: number" files say of device files: params, permissions, information, capabilities. */
struct nvidia_attributes {
	uint32_t uid, gid, mode;
	uint32_t minor_no; /* NVIDIA_NO_MINOR: not told */
	bool modify;       /* may nodes be made and changed? */
	char garbled[64];  /* the first line that has a key of these and no number that fits, escaped */
};

/*
 * Reads such a file. What it does not tell is as in nvidia-modprobe: root, 0666, modify. What it tells
 * and is not understood opens nothing to anybody: root, 0600, no minor.
 */
void nvidia_parse_attributes(const char *text, struct nvidia_attributes *ret);

/*
 * The major of a character device's name in the text of /proc/devices. -ENOENT: not there. -EBADMSG:
 * it is, without a number that fits.
 */
int nvidia_parse_major(const char *text, const char *name) _must_check_;

struct node_list {
	struct node *v;
	size_t n;
};

void node_list_free(struct node_list *l);
#define _cleanup_nodes_ _cleanup_(node_list_free)

/*
 * The nodes that the live driver can serve, by major and minor; none without it. What cannot be read or
 * understood is a warning. -ENOMEM.
 */
int nvidia_plan(const struct host *h, struct node_list *ret, struct strv *warnings) _must_check_;

/* Sees to all of them, and adds those that are there to `nodes`. -ENOMEM. */
int nvidia_nodes(const struct host *h, struct strv *nodes, struct strv *warnings) _must_check_;

#endif
