// SPDX-License-Identifier: Apache-2.0
/*
 * choose.c - see choose.h. Writes nothing itself, but damaged files of the cache go to quarantine.
 */
#include "choose.h"

#include "network.h"

/* Damaged files of the cache, of rejections from `from` on: before anything gets their names. */
static int quarantine(const struct choice *c, const struct rejections *rejected, size_t from, struct err *err)
{
	return source_quarantine(c->req->host, c->req->config, rejected, from, c->said) < 0 ?
		       err_sys(err, -ENOMEM, "%s", c->req->driver->name) : 0;
}

static bool has_cached(const struct rejections *rejected)
{
	for (size_t i = 0; i < rejected->n; i++)
		if (str_prefix(rejected->v[i].origin, source_cache.scheme, NULL))
			return true;
	return false;
}

/* 0: one was used. 1: none could be. */
static int use_first(const struct choice *c, struct candidates *found, struct rejections *rejected, struct err *err)
{
	for (size_t i = 0; i < found->n; i++) {
		int r = c->use(c->ctx, &found->v[i], has_cached(rejected), err);

		if (r <= 0)
			return r;
		if (rejections_add(rejected, found->v[i].origin, err) < 0)
			return err_sys(err, -ENOMEM, "%s", c->req->driver->name);
		r = quarantine(c, rejected, rejected->n - 1, err);
		if (r < 0)
			return r;
	}
	return 1;
}

static int choose_local(const struct choice *c, struct rejections *rejected, struct err *err)
{
	_cleanup_candidates_ struct candidates found = { 0 };
	int r = source_find_local(c->req, &found, rejected, err);

	if (r == 0)
		r = quarantine(c, rejected, 0, err);
	return r < 0 ? r : use_first(c, &found, rejected, err);
}

static int choose_remote(const struct choice *c, struct rejections *rejected, struct err *err)
{
	unsigned int cursor = 0;
	int r = 1;

	if (!source_has_network(c->req))
		return 1;
	if (network_want(c->req->host, c->req->until_us, err) < 0)
		return rejections_add(rejected, "network", err) < 0 ? err_sys(err, -ENOMEM, "network") : 1;
	while (r > 0) {
		_cleanup_candidates_ struct candidates found = { 0 };

		r = source_find_network(c->req, &cursor, &found, rejected, err);
		if (r == 0)
			return 1;
		if (r > 0)
			r = use_first(c, &found, rejected, err);
	}
	return r;
}

int choose_first(const struct choice *c, struct err *err)
{
	_cleanup_rejections_ struct rejections rejected = { 0 };
	int r = choose_local(c, &rejected, err);

	if (r > 0 && !c->local)
		r = choose_remote(c, &rejected, err);
	return r > 0 ? rejections_verdict(&rejected, c->req, err) : r;
}

bool choose_is_told(const struct driver *d, int r)
{
	return d->runtime.n > 0 || r == 0 || r == -E_CORRUPT || r == -E_UNTRUSTED || r == -E_EQUIVOCATION ||
	       r == -E_NO_SPACE;
}
