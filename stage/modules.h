/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modules.h - where a bundle's verified files go at boot: each module into a sealed memfd, so
 * that the bytes that were hashed are the bytes that the kernel gets; firmware below
 * /run/modulus/firmware, where the kernel looks for it before and after switch-root.
 */
#ifndef MODULUS_MODULES_H
#define MODULUS_MODULES_H

#include "host.h"
#include "limit.h"
#include "modfile.h"
#include "unpack.h"

#define FIRMWARE_DIR "/run/modulus/firmware"

struct module_bytes {
	char name[LIMIT_NAME_BYTES + 1]; /* '-' as '_' */
	int fd;        /* sealed memfd */
	uint64_t size; /* bytes */
	bool tried;    /* load.c: inserted, or being inserted */
};

struct module_set {
	const struct host *host;
	struct module_bytes *v;
	size_t n;
	unsigned int firmware; /* files written */
	const char *writing;   /* the firmware file under way, below FIRMWARE_DIR; borrowed */
};

/* The sink for unpack_bundle(). set->host must be set, the rest zero. */
struct unpack_sink module_set_sink(struct module_set *set);
void module_set_free(struct module_set *set);
#define _cleanup_modules_ _cleanup_(module_set_free)

/* By name, '-' and '_' alike. NULL: not in the bundle. */
struct module_bytes *module_set_find(const struct module_set *set, const char *name);

/* A module's bytes, and what they say of themselves. */
struct module_map {
	void *bytes;
	size_t len;
	struct modfile file; /* borrows from bytes */
};

/* -E_CORRUPT: not a module of a machine that we know. *ret is the caller's. */
int module_map(const struct module_bytes *mod, struct module_map *ret, struct err *err) _must_check_;
void module_unmap(struct module_map *m);
#define _cleanup_module_map_ _cleanup_(module_unmap)

/*
 * Does a module say that it asks the kernel for firmware (modinfo firmware=, by which generators of an initramfs go
 * as well), while none came with the modules?
 */
bool module_set_lacks_firmware(const struct module_set *set);

/* The manifest's links below FIRMWARE_DIR, beside the files that are there now. -errno. */
int module_set_link_firmware(const struct module_set *set, const struct manifest *m, struct err *err) _must_check_;

/*
 * Points the kernel's firmware loader at FIRMWARE_DIR (firmware_class.path, kernel
 * Documentation/driver-api/firmware/fw_search_path), when there is any firmware. What somebody else set
 * stays, and any failure is a warning. -ENOMEM.
 */
int module_set_expose_firmware(const struct module_set *set, struct strv *warnings, struct err *err) _must_check_;

#endif
