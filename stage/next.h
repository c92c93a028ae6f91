/* SPDX-License-Identifier: Apache-2.0 */
/*
 * next.h - which kernel the next boot will run, and how that is known.
 *
 * Asked in this order, the first that applies to the machine answers:
 *  1. A/B slots (slot.h) on the disk that holds the running /usr;
 *  2. ostree: the staged deployment, else the one that the boot loader's entries have first;
 *  3. the boot loader: systemd-boot's variables, loader.conf and entries; GRUB's environment, entries
 *     and grub.cfg;
 *  4. the newest kernel that is installed, which is an inference and is said to be one.
 * Reads only; a slot that is not mounted is mounted on no path for that moment.
 */
#ifndef MODULUS_NEXT_H
#define MODULUS_NEXT_H

#include "kernel.h"

struct next_kernel {
	char release[LIMIT_RELEASE_BYTES + 1];
	char build_id[2 * LIMIT_BUILD_ID_BYTES + 1]; /* "": not known */
	int usr; /* the /usr that it comes with; -EBADF: the running one. next_done() */
	bool inferred; /* nothing that decides it could be asked */
	char how[200];  /* a sentence for people: what said so */
};

/*
 * running: for comparison. -E_UNKNOWN_KERNEL: what decides it was found and cannot be read, or no kernel is
 * installed at all; -ENOMEM.
 */
int next_kernel(const struct host *h, const struct kernel *running, struct next_kernel *ret, struct err *err)
	_must_check_;

/*
 * The kernel of a /usr that is mounted at a path of this process: an update that is written and not yet what boots
 * next. -E_UNKNOWN_KERNEL: it holds none, or several; -ENOMEM.
 */
int next_kernel_in(const char *usr, struct next_kernel *ret, struct err *err) _must_check_;

void next_done(struct next_kernel *n);
#define NEXT_NONE { .usr = -EBADF }
#define _cleanup_next_ _cleanup_(next_done)

/* Is it the kernel that runs? Of builds of one release only what is known of both can tell. */
bool next_is_running(const struct next_kernel *n, const struct kernel *running);

/* --- the ways, one file each: 0; -ENOENT: the machine has no such thing; errors as above --- */

int next_by_slot(const struct host *h, struct next_kernel *ret, struct err *err) _must_check_;
int next_by_ostree(const struct host *h, struct next_kernel *ret, struct err *err) _must_check_;
int next_by_loader(const struct host *h, struct next_kernel *ret, struct err *err) _must_check_;

/* From a tree that holds one kernel: its release and build-id. what: the tree, for messages. */
int next_of_tree(int top, const char *what, struct next_kernel *ret, struct err *err) _must_check_;

#endif
