/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakekernel.h - kernel modules as bytes, the kernel that takes them, and the tree of modules
 * that libkmod looks into. The kernel lives in shared memory, because inserts happen in children.
 */
#ifndef MODULUS_TEST_FAKEKERNEL_H
#define MODULUS_TEST_FAKEKERNEL_H

#include "sample.h"

/* --- modules --- */

struct fake_import {
	const char *name;
	uint32_t crc;
};

struct fake_module {
	const char *name, *depends, *softdep; /* NULL: not there */
	const char *vermagic;                 /* NULL: VERMAGIC */
	const char *more;                     /* further modinfo lines, each with its '\n' */
	uint16_t machine;                     /* of ELF; 0: that of this machine */
	bool is_signed;
	const struct fake_import *imports; /* until name is NULL */
	const char *exports;               /* names, each with its '\n' */
	const char *needs, *may_need;      /* undefined in .symtab, the latter weak; likewise */
};

/* An ELF file with .modinfo, __versions, __ksymtab_strings, .symtab and .strtab, empty or as asked for. */
struct blob fake_module_bytes(const struct fake_module *m);

/*
 * lib/modules/RELEASE below the place's root, with an index: each name needs the ones behind it
 * ("drm_kms_helper: drm"). Files are written for all of them.
 */
void put_module_tree(const struct place *p, const char *const *lines);

/* --- the kernel --- */

enum fake_how {
	FAKE_RETURN,    /* that code; 0: goes live */
	FAKE_HANG,      /* does not come back */
	FAKE_HANG_LOUD, /* the same, and the caller gets SIGUSR1 every few milliseconds */
	FAKE_DIE,       /* the process that inserts is killed */
	FAKE_OVERTAKEN, /* goes live by somebody else's hand; -EEXIST */
};

/* Installs itself as the sysops of the place's host. Modules go live below live/sys/module. */
void fake_kernel(struct place *p);
void fake_kernel_answers(const char *module, enum fake_how how, int code);
/* "finit NAME PARAMETERS\n", "probe NAME\n", "delete NAME\n", "mknod PATH MAJOR:MINOR MODE\n", "start TARGET JOB_MODE\n" in the order of the calls. */
const char *fake_kernel_log(void);
/* Is live before anybody did anything. */
void put_live(const struct place *p, const char *module, const char *initstate);

#endif
