/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version.h - which of two versions is the newer one.
 */
#ifndef MODULUS_VERSION_H
#define MODULUS_VERSION_H

/*
 * The order of the UAPI group's Version Format Specification (UAPI.10), which boot loaders sort kernels by;
 * that of sort -V and dpkg for every release that distributions use. Pure.
 * Negative: a is older; 0: equal; positive: a is newer.
 */
int version_compare(const char *a, const char *b);

#endif
