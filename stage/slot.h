/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot.h - A/B slots of Flatcar and its relatives: which one GRUB's gptprio starts, by the attributes of the
 * GPT (those of ChromeOS' kernel partitions: bits 48-51 priority, 52-55 tries left, 56 successful). Pure.
 */
#ifndef MODULUS_SLOT_H
#define MODULUS_SLOT_H

#include "base.h"

struct slot {
	int number;          /* of the partition */
	char label[40];      /* "USR-A"; a GPT name has 36 characters */
	uint64_t attributes; /* of its entry in the table, as it is there */
};

unsigned int slot_priority(uint64_t attributes);
unsigned int slot_tries(uint64_t attributes);
bool slot_successful(uint64_t attributes);

/*
 * In the order of the table: the highest priority above 0 of those that have tries left or were successful;
 * of equal ones the first (gptprio.c, grub_find_next). n: none would be started.
 */
size_t slot_next(const struct slot *v, size_t n);

#endif
