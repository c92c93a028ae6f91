/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - the highest serial that was blessed here, so that an old bundle that was taken out
 * of service is not taken again because somebody offers it (rollback), and a second bundle with
 * the same serial is noticed (equivocation).
 *
 * One file for each (name, kind, flavour, kernel release) below /var/lib/modulus/serials; it
 * counts only for the kernel build and the driver version that it names, so that an older kernel,
 * or a Version= that the operator lowered, finds its bundle.
 */
#ifndef MODULUS_SERIAL_H
#define MODULUS_SERIAL_H

#include "host.h"
#include "manifest.h"

#define SERIAL_DIR "/var/lib/modulus/serials"

/*
 * 0: acceptable, or nothing is remembered. -E_STALE: below the highest; -E_EQUIVOCATION: the
 * same serial and another digest. A state file that cannot be read counts as none: MinSerial=
 * is the floor that does not depend on it.
 */
int serial_check(const struct host *h, const struct manifest *m, const char *build_id, struct err *err) _must_check_;

/* What is remembered of a bundle. */
struct serial_mark {
	const char *name, *kind, *flavor, *version, *release, *build_id, *digest;
	uint64_t serial;
};

/* Remembers it, unless a higher one of the same version and build is remembered. -errno. */
int serial_remember(const struct host *h, const struct serial_mark *mark, struct err *err) _must_check_;

#endif
