/* SPDX-License-Identifier: Apache-2.0 */
/*
 * removetree.h - a directory's names, and removing a directory with all that is in it.
 */
#ifndef MODULUS_REMOVETREE_H
#define MODULUS_REMOVETREE_H

#include "base.h"

/* The names in it but "." and "..", sorted; dirfd is not moved. -ENOMEM, -errno. */
int tree_names(int dirfd, struct strv *ret) _must_check_;

/*
 * Removes dirfd/name, whatever it is; follows no link and goes into no other file system. -EXDEV: something
 * is mounted in there; -ELOOP: deeper than LIMIT_REMOVE_DEPTH; -errno. What could be removed until then is gone.
 */
int remove_tree(int dirfd, const char *name);

#endif
