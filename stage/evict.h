/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict.h - rivals: modules of Evict= that hold a device which a driver of ours is for.
 */
#ifndef MODULUS_EVICT_H
#define MODULUS_EVICT_H

#include "config.h"
#include "device.h"

/* What was taken from rivals, and how it is given back: values for files of sysfs, in the order of the taking. */
struct eviction {
	const struct host *host;
	struct strv paths, values;
};

/*
 * Unbinds each device that is for this driver and is held by one of its rivals; before the first,
 * the frame buffer consoles, which hold a rival's memory. A device that nobody holds, or somebody
 * else, is left alone.
 * -E_INIT_FAILED: a rival keeps the device; -E_INIT_HUNG: it did not answer; -ENOMEM. Also then
 * *ret is what was taken so far.
 */
int evict_rivals(const struct host *h, const struct driver *d, const struct device_list *devices,
		 struct eviction *ret, struct err *err) _must_check_;

/* The module that holds the device, or the driver that is built in; NULL: none does. Caller frees. */
char *evict_holder(const struct host *h, const struct device *dev);

/* Gives it all back, last things first; what fails is logged. */
void evict_give_back(const struct eviction *e);

void evict_free(struct eviction *e);
#define _cleanup_eviction_ _cleanup_(evict_free)

#endif
