/* SPDX-License-Identifier: Apache-2.0 */
/*
 * modprobe.h - what modprobe(8) and udev of the real root are told about a driver that this boot loaded, in
 * /run/modprobe.d/modulus-NAME.conf (modprobe.d(5)):
 *
 *   blacklist RIVAL               for what Evict= names: not for a device, though still by name
 *   install MODULE modulus load   for each module of the bundle: there is no file of it for modprobe to find
 *   alias GLOB MODULE             what these modules say that they drive
 *
 * libkmod looks into this before it looks into modules.dep, reads the directory in the order of file names, and
 * takes an operator's own `blacklist` and any earlier `install` line first. No index of the host is touched.
 */
#ifndef MODULUS_MODPROBE_H
#define MODULUS_MODPROBE_H

#include "config.h"
#include "modules.h"

#define MODPROBE_DIR "/run/modprobe.d"

/*
 * The text. Aliases are words of modules that were verified; one that begins with a wildcard or holds more than
 * graphic characters is left out, and so is what goes beyond LIMIT_MODPROBE_ALIASES: *ret_left_out says how many.
 * Pure. Caller frees *ret. -E_CORRUPT: a file of the bundle is not a module. -ENOMEM.
 */
int modprobe_text(const struct driver *d, const struct module_set *set, char **ret, size_t *ret_left_out,
		  struct err *err) _must_check_;

/* Writes it, for a driver that is live; whole, by a rename. A failure is a warning. -ENOMEM. */
int modprobe_tell(const struct host *h, const struct driver *d, const struct module_set *set, struct strv *warnings)
	_must_check_;

#endif
