/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configfile.h - what config.c reads each file with: a driver's, and modulus.conf with the defaults of all.
 */
#ifndef MODULUS_CONFIGFILE_H
#define MODULUS_CONFIGFILE_H

#include "config.h"

/*
 * The keys of one file; whether anything required is there is the caller's business. A file that cannot
 * be used has an error and no warnings: libinih goes on behind a line that it does not understand, and
 * what follows a "[Driver" is in no section. 0, -E_BAD_CONFIG or -ENOMEM.
 */
int config_file_parse(const char *path, const char *text, size_t len, struct driver *d, struct strv *warnings,
		      struct err *err) _must_check_;

#endif
