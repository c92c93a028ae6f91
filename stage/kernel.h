/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - which kernel build runs (or would run), what it demands of modules, and whether a
 * bundle was made for it.
 */
#ifndef MODULUS_KERNEL_H
#define MODULUS_KERNEL_H

#include "host.h"
#include "limit.h"
#include "manifest.h"

struct kernel {
	char release[LIMIT_RELEASE_BYTES + 1];
	char machine[LIMIT_RELEASE_BYTES + 1];
	char build_id[2 * LIMIT_BUILD_ID_BYTES + 1]; /* lower-case hex; "" when the kernel carries none */
	bool absent; /* it does not run: one that may be booted later */
	bool signed_only; /* module.sig_enforce=1, or lockdown: unsigned modules are refused */
};

/* The running kernel, from /proc and /sys of the live root. */
int kernel_running(const struct host *h, struct kernel *ret, struct err *err) _must_check_;

/*
 * Is this bundle for this kernel build? 0, or -E_WRONG_KERNEL with both sides in the text.
 * Release and machine must be equal. When both know a build-id it must be equal too, and is the
 * proof; a bundle without one is held to its vermagic, module by module, in load.c.
 */
int kernel_fits(const struct kernel *k, const struct manifest *m, struct err *err) _must_check_;

/*
 * The GNU build-id in an ELF note section (elf(5), gabi "Note Section"): name "GNU", type
 * NT_GNU_BUILD_ID (3). Found by name: other notes come first on some kernels. Pure.
 * 0, or -ENOENT when there is none, or -EBADMSG when a note runs past the end.
 */
int kernel_notes_build_id(const void *notes, size_t len, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1]) _must_check_;

/* MemAvailable of /proc/meminfo in bytes; UINT64_MAX when it cannot be read. */
uint64_t kernel_memory_available(const struct host *h);

/* /proc/sys/kernel/tainted (admin-guide/tainted-kernels). 0 when it cannot be read. */
uint64_t kernel_taint(const struct host *h);

#endif
