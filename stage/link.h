/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - the network cards of this machine.
 */
#ifndef MODULUS_LINK_H
#define MODULUS_LINK_H

#include "host.h"

/* Adds the names of all links with a device behind them, or of those that are up. -ENOENT: no /sys; -ENOMEM. */
int link_list(const struct host *h, bool up_only, struct strv *ret) _must_check_;

/* Takes the address, then the link, down: routes go with it, and IPv6 addresses. */
void link_down(const char *name);

#endif
