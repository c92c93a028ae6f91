/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library.h - whether a library is for programs of this machine's own kind: drivers bring 32-bit ones too, in
 * whatever directory a distribution has for them (/usr/lib beside /usr/lib64, lib32, i386-linux-gnu).
 */
#ifndef MODULUS_LIBRARY_H
#define MODULUS_LIBRARY_H

enum library_kind {
	LIBRARY_NO_ELF, /* a linker script, or it cannot be read */
	LIBRARY_OWN,
	LIBRARY_OTHER_MACHINE,
	LIBRARY_OTHER_WORD, /* 32-bit */
};

/* By the first bytes of the file (elf(5)). A negative descriptor is one that cannot be read. */
enum library_kind library_kind(int fd);

#endif
