// SPDX-License-Identifier: Apache-2.0
/*
 * source_partition.c - bundles on a partition of their own, which the operator names: "PARTLABEL=GPU-BUNDLES"
 * and the like. A fleet's image tool, or a second disk of a virtual machine, brings all of them without an image
 * of the OS having to hold them. Only looked at: mounted on no path, and power loss leaves nothing.
 */
#include "privatemount.h"
#include "source.h"
#include "store.h"

static int partition_open(struct source *s, struct err *err)
{
	_cleanup_free_ char *device = NULL;

	if (!streq(s->req->host->live_path, "/")) /* no devices there */
		return -ENOENT;
	device = private_mount_find(s->location);
	if (!device)
		return err_set(err, -E_NO_BUNDLE, "no device is %s", s->location);
	return source_dir_open_on(s, device, "/", STORE_DIR_ON_PARTITION, err);
}

const struct source_ops source_partition = {
	.scheme = "partition", .open = partition_open, .next = source_dir_next, .close = source_dir_close
};
