/* SPDX-License-Identifier: Apache-2.0 */
/*
 * finish.h - what is done in the real root for a driver, whoever asks: `modulus finish` for those whose
 * device came late, an instance of modulus@.service for its own (instance.c).
 */
#ifndef MODULUS_FINISH_H
#define MODULUS_FINISH_H

#include <jansson.h>

#include "boot.h"

/*
 * All that `boot` does for one driver; its report takes the place of the one that status.json has of it, or is
 * added. b: all but the keys. The line in the journal ends with the remark; NULL: the caller says it. What became of the driver is in the
 * entry; the return value is 0, -ENOMEM, or -errno of the directories with keys.
 */
int finish_driver(struct boot *b, const struct driver *d, json_t *status, const char *remark,
		  struct err *err) _must_check_;

/* Tells container engines of the GPUs that are there now, and notes in status what they were told. A failure is said. */
void finish_tell_engines(const struct host *h, json_t *status);

/*
 * After all drivers, with the machine's lock: closes the attempts, installs libraries, tells container engines, writes
 * status.json with the mark that this was done, and labels; was as for status_update(). -errno of the write, which is
 * said.
 */
int finish_complete(const struct host *h, const json_t *was, json_t *status) _must_check_;

#endif
