/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netstate.h - what a machine was like before a network was brought up on it, so that all of that
 * and nothing else can be undone: links, their settings, the host's name, files below /run.
 */
#ifndef MODULUS_NETSTATE_H
#define MODULUS_NETSTATE_H

#include "host.h"

struct netstate {
	char *handler;	     /* who is ours to stop */
	struct strv up;	     /* links */
	struct strv settings; /* "net/ipv4/conf/eth0/accept_ra 1": below /proc/sys */
	struct strv files;   /* of those that handlers write below /run: what was there */
};

void netstate_free(struct netstate *s);
#define _cleanup_netstate_ _cleanup_(netstate_free)

/* Writes it all to /run/modulus/network, before anything is changed. -ENOMEM, -errno of the file. */
int netstate_remember(const struct host *h, const char *handler) _must_check_;
/* -ENOENT: nothing was changed; -EBADMSG: not such a file; -ENOMEM, -errno. */
int netstate_recall(const struct host *h, struct netstate *ret) _must_check_;
/* To be called when the handler has stopped. What cannot be put back is a warning in the log. */
void netstate_restore(const struct host *h, const struct netstate *s);

#endif
