// SPDX-License-Identifier: Apache-2.0
/*
 * slot.c - see slot.h. Pure.
 */
#include "slot.h"

unsigned int slot_priority(uint64_t attributes)
{
	return (unsigned int)(attributes >> 48) & 15;
}

unsigned int slot_tries(uint64_t attributes)
{
	return (unsigned int)(attributes >> 52) & 15;
}

bool slot_successful(uint64_t attributes)
{
	return (attributes >> 56) & 1;
}

size_t slot_next(const struct slot *v, size_t n)
{
	unsigned int highest = 0;
	size_t best = n;

	for (size_t i = 0; i < n; i++) {
		unsigned int priority = slot_priority(v[i].attributes);

		if ((slot_tries(v[i].attributes) == 0 && !slot_successful(v[i].attributes)) || priority <= highest)
			continue;
		highest = priority;
		best = i;
	}
	return best;
}
