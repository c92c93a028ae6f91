/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nextloader.h - what nextloader.c shares with nextostree.c.
 */
#ifndef MODULUS_NEXTLOADER_H
#define MODULUS_NEXTLOADER_H

#include "bootentry.h"

/*
 * Adds the entries in a directory below a tree's root; none that is there already by its id. At most
 * LIMIT_BOOT_ENTRIES; files that are no entries are left out. A directory that is not there has none.
 * -ENOMEM.
 */
int loader_read_entries(int top, const char *path, struct boot_entries *l) _must_check_;

#endif
