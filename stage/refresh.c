// SPDX-License-Identifier: Apache-2.0
/*
 * refresh.c - see refresh.h. Runs on a running host. Interrupted: the cache is as it was, or has the newer
 * bundle too (store.c).
 */
#include "refresh.h"

#include "asked.h"
#include "fetch.h"
#include "log.h"
#include "network.h"

void refresh_remember(const struct host *h, const struct candidate *c)
{
	struct err err;

	if (c->address && c->tag &&
	    asked_remember(h, c->address, c->tag, bundle_manifest(c->bundle)->digest, &err) < 0)
		log_debug("%s", err.text);
}

/* The highest serial of that flavour that is here; each flavour counts its own. */
static uint64_t serial_here(const struct candidates *local, const char *flavor)
{
	uint64_t highest = 0;

	for (size_t i = 0; i < local->n; i++) {
		const struct manifest *m = bundle_manifest(local->v[i].bundle);

		if (streq(m->flavor, flavor) && m->serial > highest)
			highest = m->serial;
	}
	return highest;
}

/* 0: it was kept, or is no news; 1: it could not be had whole, another source may have it. */
static int take(const struct source_request *req, const struct candidates *local, struct candidate *c, struct err *err)
{
	const struct manifest *m = bundle_manifest(c->bundle);
	uint64_t here = serial_here(local, m->flavor);
	int r;

	if (strv_has(req->have, m->digest)) {
		log_info("%s: %s still has what is here, serial %llu", req->driver->name, c->origin,
			 (unsigned long long)m->serial);
		refresh_remember(req->host, c);
		return 0;
	}
	if (m->serial <= here) {
		log_info("%s: %s has serial %llu, which is not newer than %llu", req->driver->name, c->origin,
			 (unsigned long long)m->serial, (unsigned long long)here);
		return 0;
	}
	r = fetch_keep(req, c, err);
	return r == -E_CORRUPT || r == -E_NETWORK ? 1 : r;
}

/* The address of which a source said that it has not changed; NULL: none. */
static const char *unchanged(const struct rejections *rejected)
{
	for (size_t i = 0; i < rejected->n; i++)
		if (rejected->v[i].why.code == -EALREADY)
			return rejected->v[i].origin;
	return NULL;
}

/* No source has a bundle, or each says why not. */
static int verdict(const struct source_request *req, const struct rejections *rejected, struct err *err)
{
	const char *origin = unchanged(rejected);
	int r;

	if (origin) {
		log_info("%s: %s has not changed", req->driver->name, origin);
		return 0;
	}
	r = rejections_verdict(rejected, req, err);
	/* what is here stays good when nobody offers it any more, or somebody offers what is older */
	return r == -E_NO_BUNDLE || r == -E_WRONG_KERNEL || r == -E_STALE || r == -E_NO_DEVICE ? 0 : r;
}

int refresh_newer(const struct source_request *req, struct err *err)
{
	_cleanup_rejections_ struct rejections here = { 0 }, rejected = { 0 };
	_cleanup_candidates_ struct candidates local = { 0 };
	_cleanup_strv_ struct strv have = { 0 };
	struct source_request asking = *req;
	unsigned int cursor = 0;
	int r = source_find_local(req, &local, &here, err);

	if (r < 0 || local.n == 0 || !source_has_network(req))
		return r;
	for (size_t i = 0; i < local.n; i++)
		if (strv_add(&have, bundle_manifest(local.v[i].bundle)->digest) < 0)
			return err_sys(err, -ENOMEM, "%s", req->driver->name);
	asking.have = &have;
	r = network_want(req->host, req->until_us, err);
	while (r == 0) {
		_cleanup_candidates_ struct candidates found = { 0 };

		r = source_find_network(&asking, &cursor, &found, &rejected, err);
		if (r <= 0)
			return r < 0 ? r : verdict(req, &rejected, err);
		r = take(&asking, &local, &found.v[0], err);
		if (r <= 0)
			return r;
		r = rejections_add(&rejected, found.v[0].origin, err) < 0
			    ? err_sys(err, -ENOMEM, "%s", req->driver->name)
			    : 0;
	}
	return r;
}
