/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uninstall.h - everything that was put on a host for a driver, or at all, away again: by `finish`, `fetch` and
 * `bless`, by Ignition snippets and by the operator as our configuration. Never what is in /usr: that is the
 * image's or a package's.
 */
#ifndef MODULUS_UNINSTALL_H
#define MODULUS_UNINSTALL_H

#include "host.h"

struct uninstall_request {
	const struct host *host;
	const struct strv *names; /* drivers; none: all, and what belongs to no driver */
	bool dry_run;
};

/*
 * Says each path that went, or would go, in a line, and each that stays although one might expect it to go, with the
 * reason. What is gone already is no failure, and what cannot be removed does not keep the rest. The exit code.
 */
int uninstall_run(const struct uninstall_request *req);

#endif
