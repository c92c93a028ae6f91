// SPDX-License-Identifier: Apache-2.0
/*
 * library.c - the header of an ELF file. Runs early in the real root, in `finish`. Reads only.
 */
#include "library.h"

#include <elf.h>

#include "base.h"

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#else
#define ELF_MACHINE EM_PPC64 /* the one more that NVIDIA's driver was ever made for */
#endif

enum library_kind library_kind(int fd)
{
	Elf64_Ehdr eh; /* class and machine are in the same place in a 32-bit one, which is shorter */

	if (pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0)
		return LIBRARY_NO_ELF;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64)
		return LIBRARY_OTHER_WORD;
	return eh.e_machine == ELF_MACHINE ? LIBRARY_OWN : LIBRARY_OTHER_MACHINE;
}
