/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtimetree.h - a driver's user space on the host: the files of one bundle of kind runtime, unpacked into a
 * directory of their own, NAME/VERSION below RUNTIME_DIR. With them are
 *
 *   .bundle             the bundle's header: manifest and signatures, as they were received. What makes the
 *                       tree believed: it is verified like a bundle of the cache, and names every file
 *   bin, lib, lib64     relative links, for those who mount the tree as /usr/local/nvidia
 *   lib/modules         a link to the host's own, for `modprobe -d`
 *   usr/lib/extension-release.d/extension-release.modulus-NAME
 *                       for systemd-sysext(8)
 *
 * A tree has its name once all of it is on disk, and is never changed then; it is only replaced as a whole.
 */
#ifndef MODULUS_RUNTIMETREE_H
#define MODULUS_RUNTIMETREE_H

#include "bundle.h"
#include "host.h"

#define RUNTIME_DIR "/var/lib/modulus/runtime"
/* Where /var cannot be written, or nothing there be run: in memory, for this boot. */
#define RUNTIME_DIR_LIVE "/run/modulus/runtime"
/* In a tree: what it was made of; and what waits for its removal is .VERSION with this. */
#define RUNTIME_RECORD ".bundle"
#define RUNTIME_PART ".part"
#define RUNTIME_OLD ".old"
/* In a driver's directory: whoever makes a tree there, or tidies, has the lock of this file. */
#define RUNTIME_LOCK ".lock"
/* extension-release.d and /run/extensions know it by this, and NAME. */
#define RUNTIME_EXTENSION "modulus-"

/* An installed one. All zeroes: none. */
struct runtime_tree {
	char *path;            /* as the host calls it */
	struct bundle *bundle; /* for its manifest only */
};

void runtime_tree_free(struct runtime_tree *t);
#define _cleanup_runtime_tree_ _cleanup_(runtime_tree_free)

/* Is it in /run, which is the live root's? */
bool runtime_is_live(const char *path);
/* Opens a path that may be. */
int runtime_open(const struct host *h, const char *path, int flags) _must_check_;

/* A descriptor that keeps the lock of a driver's directory. -EBUSY: somebody else has it; -errno. */
int runtime_lock(int dir) _must_check_;

/*
 * The installed tree of this version, if it is whole: its record is signed by a key of the ring, and every
 * file and link that this names is there, of its size. (No hash: hundreds of MB in each boot. That is
 * runtime_tree_verify().) Changes nothing.
 * -ENOENT: there is none; -E_CORRUPT: not whole; -E_UNTRUSTED; -errno.
 */
int runtime_tree_find(const struct host *h, const char *name, const char *version, const struct keyring *ring,
		      struct runtime_tree *ret, struct err *err) _must_check_;

/* Every byte of it, against the record. 0, -E_CORRUPT, -errno. */
int runtime_tree_verify(const struct host *h, const struct runtime_tree *t, struct err *err) _must_check_;
/* It is not to be believed any more: the next `finish` replaces it. Durable. */
int runtime_tree_distrust(const struct host *h, const struct runtime_tree *t, struct err *err) _must_check_;

/* --- removing old ones --- */

/*
 * Trees of this driver in RUNTIME_DIR but those of the versions in `keep`, what interrupted runs left, and
 * what was replaced; never what `active` (a path, may be NULL) is, or something that is mounted somewhere,
 * in whatever mount namespace. Nothing while somebody makes one there. dry: only says which. Their paths are added to
 * *ret. -errno, -ENOMEM.
 */
int runtime_tidy(const struct host *h, const char *name, const struct strv *keep, const char *active, bool dry,
		 struct strv *ret, struct err *err) _must_check_;

/*
 * All of them, in memory too where that is the root's (host_root_is_live()); one that is mounted somewhere stays, and
 * its path is added to *ret_kept. dry and *ret as above. -errno, -ENOMEM.
 */
int runtime_remove(const struct host *h, const char *name, bool dry, struct strv *ret, struct strv *ret_kept,
		   struct err *err) _must_check_;
/* The names that have trees, or remains of some, each once. -errno, -ENOMEM. */
int runtime_names(const struct host *h, struct strv *ret) _must_check_;

/* Is there anything but the active tree? Cheap. */
bool runtime_is_untidy(const struct host *h, const char *name, const char *active);

#endif
