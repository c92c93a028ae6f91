// SPDX-License-Identifier: Apache-2.0
/*
 * ready.c - see ready.h. Runs whenever status.json is written, behind it: who sees the file finds a report that says so.
 */
#include "ready.h"

#include "jsontext.h"

/* Switched off is not ready: who waits for a GPU would go on without one. */
static bool is_served(const json_t *driver)
{
	const json_t *runtime = json_object_get(driver, "runtime");
	const char *reason = json_text(driver, "reason");

	if (streq(reason, reason_word(-E_NO_DEVICE)))
		return status_is_ok(driver);
	return streq(reason, reason_word(0)) &&
	       (!json_is_object(runtime) || streq(json_text(runtime, "reason"), reason_word(0)));
}

bool ready_is(const json_t *status)
{
	json_t *driver;
	size_t i;

	if (!json_is_object(json_object_get(status, "finish")))
		return false;
	json_array_foreach(json_object_get(status, "drivers"), i, driver)
		if (!is_served(driver))
			return false;
	return true;
}

int ready_tell(int dir, const json_t *status)
{
	if (ready_is(status))
		return write_file_at(dir, READY_NAME, "", 0, 0644);
	return unlinkat(dir, READY_NAME, 0) < 0 && errno != ENOENT ? -errno : 0;
}
