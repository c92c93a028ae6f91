/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nethandler.h - what can bring up a network in an initramfs: NetworkManager, dracut's own scripts, or
 * systemd-networkd. An image has one of them; where it has several, the order is dracut's own
 * (modules.d/40network/module-setup.sh).
 */
#ifndef MODULUS_NETHANDLER_H
#define MODULUS_NETHANDLER_H

#include "host.h"

struct nethandler {
	const char *name;
	/* A file of the image that only it brings; one of them is enough. */
	const char *const files[3];
	/* Does it run, by somebody's wish and configuration? Then it is not ours, now or later. */
	bool (*is_busy)(const struct host *h);
	/*
	 * Has it configure the links as `ip=` and the like say, with DHCP on all that nobody has configured;
	 * does not wait for that. -E_NETWORK with a sentence.
	 */
	int (*start)(const struct host *h, uint64_t until_us, struct err *err);
	/* For one that does not find links by itself: each link, once. NULL for the others. */
	void (*link)(const char *name);
	/* Is something of that still going on, so that more than an IPv6 route may come? */
	bool (*is_working)(void);
	/* May be called after a start that failed, or of another process. */
	void (*stop)(const struct host *h);
};

/* The one that this image has; NULL: none. */
const struct nethandler *nethandler_find(const struct host *h);
/* By name; NULL: no such. */
const struct nethandler *nethandler_named(const char *name);

#endif
