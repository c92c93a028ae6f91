/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modlist.h - the modules that go into a bundle: collected, stripped, checked against each
 * other, in the order in which they load. Builder only.
 */
#ifndef MODULUS_MODLIST_H
#define MODULUS_MODLIST_H

#include "build.h"

struct built_module {
	char *name;   /* '-' as '_' */
	char *file;   /* "nvidia-drm.ko" */
	uint8_t *bytes;
	size_t len;
	struct strv depends;
	bool placed;
};

struct modlist {
	struct built_module *v; /* in load order once modlist_order() ran */
	size_t n;
	char *vermagic;
	const char *machine; /* static */
};

/* Reads them as the request says. -EINVAL: none, not for this release, of several kinds. */
int modlist_collect(const struct build_request *req, struct modlist *ret, struct err *err) _must_check_;
/* Each module behind those it depends on; `first` (names to load) decides where there is a choice. */
int modlist_order(struct modlist *l, const struct strv *first, struct err *err) _must_check_;
/*
 * Every import of every module against the kernel's Module.symvers and the bundle's own exports.
 * -EINVAL naming the symbol. Where no Module.symvers is found, a warning says so.
 */
int modlist_check_symbols(const struct build_request *req, const struct modlist *l, struct strv *warnings,
			  struct err *err) _must_check_;
void modlist_free(struct modlist *l);

#endif
