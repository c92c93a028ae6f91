/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grubcfg.h - which kernel GRUB starts by default, by the grub.cfg that grub-mkconfig(8) writes. Not an
 * interpreter of GRUB's language: the entries, their order, their names, and the line that sets the default.
 */
#ifndef MODULUS_GRUBCFG_H
#define MODULUS_GRUBCFG_H

#include "base.h"

/*
 * The path of the default entry's kernel, as the file has it. next, saved: next_entry and saved_entry of
 * grubenv, NULL or "" when they are not set. *ret_once: it is next_entry's, for one boot. Caller frees.
 * Pure. -ENOENT: it cannot be told; -EOVERFLOW: more than LIMIT_GRUB_ENTRIES; -ENOMEM.
 */
int grub_default_kernel(const char *text, size_t len, const char *next, const char *saved, char **ret, bool *ret_once)
	_must_check_;
/* Does it take its entries from the files of the Boot Loader Specification? */
bool grub_reads_entries(const char *text, size_t len);

#endif
