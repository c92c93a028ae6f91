/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - one device node: there, of the right device, owner and mode, with its /dev/char link.
 */
#ifndef MODULUS_NODE_H
#define MODULUS_NODE_H

#include "host.h"

struct node {
	char path[64]; /* "/dev/nvidia-caps/nvidia-cap1" */
	unsigned int major_no, minor_no;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool modify; /* false: what is there stays as it is, what is not there is not made */
};

/*
 * Sees to the node. One of the right device is kept, and owner and mode are set right; anything else
 * of that name (a file, a link, another device) is replaced by a rename, so that the name never
 * stands for a node that is half done. -ENOENT, -ENODEV: not there, or not that device, and it may
 * not be modified. -errno of mknod(2), chown(2), chmod(2), rename(2).
 */
int node_put(const struct host *h, const struct node *n) _must_check_;

/*
 * Sees to /dev/char/MAJOR:MINOR, a relative link to the node as udev makes them; engines and runc
 * look devices up there. One that points elsewhere is replaced. -errno.
 */
int node_link(const struct host *h, const struct node *n) _must_check_;

/* Removes the node, if it is of that device, and its link in /dev/char: who served it is gone. */
void node_remove(const struct host *h, const struct node *n);

#endif
