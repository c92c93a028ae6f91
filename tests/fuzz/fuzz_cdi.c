// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_cdi.c - whatever lies beside our specification: is it somebody's for our kind? What jansson reads
 * as such a specification is always seen; where the kind's name does not occur nothing is.
 */
#include <jansson.h>

#include "cdi.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* exactly as long: a byte read behind it is seen */
	char *text = malloc(size ? size : 1);
	const char *kind;
	json_t *spec;
	bool seen;

	must(text);
	memcpy(text, data, size);
	seen = cdi_has_kind(text, size, CDI_KIND);
	must(!seen || memmem(text, size, CDI_KIND, strlen(CDI_KIND)));
	spec = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	kind = json_string_value(json_object_get(spec, "kind"));
	/* a text with escapes says the same, and no writer of specifications puts any there */
	if (kind && streq(kind, CDI_KIND) && !memchr(text, '\\', size))
		must(seen);
	json_decref(spec);
	free(text);
	return 0;
}
