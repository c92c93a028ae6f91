// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_slot.c - attributes of slots, eight bytes each, in the order of a table. The one that is chosen may be
 * started, and none that may be has a higher priority, or the same one earlier.
 */
#include "fuzz.h"
#include "limit.h"
#include "slot.h"

static bool may_start(const struct slot *s)
{
	return slot_priority(s->attributes) > 0 && (slot_tries(s->attributes) > 0 || slot_successful(s->attributes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slot slots[LIMIT_SLOTS] = { 0 };
	size_t n = MIN(size / sizeof(uint64_t), (size_t)LIMIT_SLOTS), best;

	for (size_t i = 0; i < n; i++)
		memcpy(&slots[i].attributes, data + i * sizeof(uint64_t), sizeof(uint64_t));
	best = slot_next(slots, n);
	must(best <= n && (best == n || may_start(&slots[best])));
	for (size_t i = 0; i < n; i++) {
		unsigned int mine = slot_priority(slots[i].attributes);

		if (may_start(&slots[i]))
			must(best < n && (mine < slot_priority(slots[best].attributes) ||
					  (mine == slot_priority(slots[best].attributes) && i >= best)));
	}
	return 0;
}
