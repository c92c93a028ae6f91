/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtimelinks.h - how the rest of the host comes to know a tree of runtimetree.h: by links, each switched in
 * one step, none in the place of something that is not ours.
 */
#ifndef MODULUS_RUNTIMELINKS_H
#define MODULUS_RUNTIMELINKS_H

#include "runtimetree.h"

/* NAME in it is the tree that counts: bin, lib and lib/modules are below, as users of the tool before us know it. */
#define RUNTIME_LINK_DIR "/opt/drivers"
#define RUNTIME_EXTENSION_LINK_DIR "/run/extensions"

struct runtime_links {
	char *link;     /* /opt/drivers/NAME, or NULL: it could not be made */
	char *programs; /* the directory on PATH that has links to the programs, or NULL */
	bool extension; /* systemd-sysext(8) has it in /usr */
};

void runtime_links_free(struct runtime_links *l);
#define _cleanup_runtime_links_ _cleanup_(runtime_links_free)

/*
 * In this order: /opt/drivers/NAME; its programs in /usr/local/bin, /opt/bin or /usr/bin, the first that is
 * there and can be written; /etc/ld.so.conf.d/modulus-NAME.conf, and the host's ldconfig where its cache is older
 * than any of this; with sysext /run/extensions/modulus-NAME and `systemd-sysext refresh`, where that was not
 * done yet. What is right already is not touched. What cannot be done on this host is a warning. -ENOMEM.
 */
int runtime_links_make(const struct host *h, const struct runtime_tree *t, bool sysext, struct runtime_links *ret,
		       struct strv *warnings) _must_check_;

/*
 * Takes all of that away again, for the drivers of these names, or for every one (NULL); programs first, so that none is
 * left that leads nowhere. A link that leads elsewhere than to a tree of ours stays. Paths of what went (dry: would
 * go) are added to *ret; what cannot go is a warning. -ENOMEM.
 */
int runtime_links_remove(const struct host *h, const struct strv *names, bool dry, struct strv *ret,
			 struct strv *warnings) _must_check_;

#endif
