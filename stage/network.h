/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - a network in the initramfs, only when a bundle has to come from it, and gone again
 * before switch-root.
 */
#ifndef MODULUS_NETWORK_H
#define MODULUS_NETWORK_H

#include "host.h"

/*
 * For `boot` and `finish`, unless there is a default route already. In an initramfs: starts
 * modulus-network.service, which it writes to /run until network_release() where there is none, and
 * waits for it. On a running host, whose network is its own business: as a
 * unit waits for network-online.target; never fails. 0, or -E_NETWORK.
 */
int network_want(const struct host *h, uint64_t until_us, struct err *err) _must_check_;
/* Stops the service if network_want() started it: before switch-root nothing of ours is left. */
void network_release(const struct host *h);

/*
 * What the service runs. up: has whatever this image has (nethandler.h) configure the links, waits for a
 * default route, and writes /etc/resolv.conf where there is none. down: undoes all of that. The exit
 * code.
 */
int network_up_run(const struct host *h);
int network_down_run(const struct host *h);

/* Is there a default route, IPv4 or IPv6? From the text of /proc/net/route and ipv6_route. Pure. */
bool network_has_default_route(const char *route, const char *ipv6_route);
/* Does this text of a resolv.conf(5) name a server? Pure. */
bool network_names_a_server(const char *text);
/* Adds the servers of the DNS= lines in one of networkd's leases. Pure. -ENOMEM. */
int network_lease_servers(const char *lease, struct strv *ret) _must_check_;
/* A resolv.conf(5) that names the first three. Pure. NULL: no memory. Caller frees. */
char *network_resolver_text(const struct strv *servers);

#endif
