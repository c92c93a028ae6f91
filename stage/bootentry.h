/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bootentry.h - the files that tell boot loaders what to start: entries (UAPI.1, "Boot Loader Specification",
 * type #1), systemd-boot's loader.conf, GRUB's environment block. Text in, answers out; pure.
 */
#ifndef MODULUS_BOOTENTRY_H
#define MODULUS_BOOTENTRY_H

#include "err.h"
#include "limit.h"

/* All NULL: the file does not say. */
struct boot_entry {
	char *id; /* the file's name without ".conf" and without the counts of systemd's boot assessment */
	char *version, *machine_id, *sort_key, *linux_path, *options;
	bool out_of_tries; /* "+0" or "+0-N" in its name: a loader that counts takes it last */
};

struct boot_entries {
	struct boot_entry *v;
	size_t n;
};

/*
 * Adds the entry of a file of that name. Of a key that comes twice the last one counts, but lines of options
 * are joined. -EINVAL: it starts no Linux kernel, or its name is no entry's; -ENOMEM.
 */
int boot_entries_add(struct boot_entries *l, const char *file, const char *text, size_t len) _must_check_;
void boot_entries_drop_last(struct boot_entries *l);
void boot_entries_free(struct boot_entries *l);
#define _cleanup_boot_entries_ _cleanup_(boot_entries_free)

/* As systemd-boot shows them (systemd-boot(7)): the first one is started unless something else says which. */
void boot_entries_sort_systemd(struct boot_entries *l);
/* As GRUB does where it reads them (blscfg), and ostree: by version, else by id, the newest first. */
void boot_entries_sort_version(struct boot_entries *l);

/* The first entry whose id, with ".conf", the glob matches (fnmatch(3)); the suffix may be left out. NULL: none. */
const struct boot_entry *boot_entries_find(const struct boot_entries *l, const char *glob);

/*
 * The kernel release that an entry or a path of a kernel is of: what follows "vmlinuz-" or "linux-" in the
 * path, or the version or a directory of the path where that is one of `installed`. False: it cannot be told.
 */
bool boot_path_release(const char *path, const char *version, const struct strv *installed,
		       char ret[LIMIT_RELEASE_BYTES + 1]);

/* A key of loader.conf ("default"), the last one. -ENOENT. Caller frees. */
int loader_conf_get(const char *text, size_t len, const char *key, char **ret) _must_check_;
/* A variable of grubenv. -ENOENT: it is not there, or empty; -EBADMSG: not a block. Caller frees. */
int grubenv_get(const char *text, size_t len, const char *name, char **ret) _must_check_;

#endif
