// SPDX-License-Identifier: Apache-2.0
/*
 * judge.c - which bundle answers a request, and which of them is the best. Headers only; reads the marks of
 * serials that were in use, and writes nothing.
 */
#include "judge.h"

#include "limit.h"
#include "serial.h"

static bool holds_module(const struct manifest *m, const char *module)
{
	char name[LIMIT_NAME_BYTES + 1];

	for (size_t i = 0; i < m->n_files; i++)
		if (manifest_module_name(m->files[i].path, name, sizeof(name)) && module_name_equal(name, module))
			return true;
	return false;
}

int judge_bundle(const struct source_request *req, const struct manifest *m, struct err *err)
{
	const struct driver *d = req->driver;
	int r;

	if (!streq(m->name, d->name) || m->kind != req->kind)
		return err_set(err, -E_NO_BUNDLE, "holds %s of %s", manifest_kind_word(m->kind), m->name);
	if (!streq(m->version, d->version))
		return err_set(err, -E_NO_BUNDLE, "is version %s, wanted %s", m->version, d->version);
	/* firmware and libraries may serve all flavours of a version */
	if (d->flavor && !streq(m->flavor, d->flavor) && (m->kind == KIND_MODULES || *m->flavor))
		return err_set(err, -E_NO_BUNDLE, "is flavor '%s', wanted '%s'", m->flavor, d->flavor);
	if (m->kind != KIND_MODULES) /* Digest=, MinSerial= and the serials of blessed boots are about modules */
		return 0;
	if (req->module && !holds_module(m, req->module))
		return err_set(err, -E_NO_BUNDLE, "holds no module %s", req->module);
	if (req->digest && !streq(m->digest, req->digest))
		return err_set(err, -E_STALE, "has digest %.12s..., the modules that are live are of %.12s...", m->digest,
			       req->digest);
	if (d->digest && !streq(m->digest, d->digest))
		return err_set(err, -E_STALE, "has digest %.12s..., Digest= pins %.12s...", m->digest, d->digest);
	if (!d->digest && m->serial < d->min_serial)
		return err_set(err, -E_STALE, "has serial %llu, MinSerial= wants %llu", (unsigned long long)m->serial,
			       (unsigned long long)d->min_serial);
	r = kernel_fits(req->kernel, m, err);
	if (r == 0 && !d->digest) /* a pin is the operator's own choice and wins */
		r = serial_check(req->host, m, req->kernel->build_id, err);
	return r;
}

static int best_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	uint64_t sx = bundle_manifest(x->bundle)->serial, sy = bundle_manifest(y->bundle)->serial;

	if (sx != sy)
		return sx > sy ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return strcmp(x->origin, y->origin);
}

void judge_sort(struct candidates *c)
{
	if (c->n > 1)
		qsort(c->v, c->n, sizeof(*c->v), best_first);
}

int judge_equivocation(const struct candidates *c, const struct driver *d, struct err *err)
{
	const struct manifest *best, *other;

	for (size_t i = 1; i < c->n && !(d->digest && bundle_manifest(c->v[0].bundle)->kind == KIND_MODULES); i++) {
		best = bundle_manifest(c->v[0].bundle);
		other = bundle_manifest(c->v[i].bundle);
		if (other->serial == best->serial && streq(other->flavor, best->flavor) &&
		    !streq(other->digest, best->digest))
			return err_set(err, -E_EQUIVOCATION, "%s and %s both have serial %llu and differ",
				       c->v[0].origin, c->v[i].origin, (unsigned long long)best->serial);
	}
	return 0;
}
