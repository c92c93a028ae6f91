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

/* Of the driver's devices that are here: how many are there, and how many the bundle's modules drive. */
static void count_devices(const struct source_request *req, const struct manifest *m, size_t *ret_here, size_t *ret_driven)
{
	size_t here = 0, driven = 0;

	for (size_t i = 0; req->devices && i < req->devices->n; i++) {
		if (!device_matches(&req->devices->v[i], &req->driver->match))
			continue;
		here++;
		driven += m->match.n == 0 || device_matches(&req->devices->v[i], &m->match);
	}
	*ret_here = here;
	*ret_driven = driven;
}

static int judge_flavor(const struct source_request *req, const struct manifest *m, struct err *err)
{
	const struct strv *wanted = &req->driver->flavors;
	_cleanup_free_ char *words = NULL;

	/* firmware and libraries may serve all flavours of a version */
	if (m->kind != KIND_MODULES && !*m->flavor)
		return 0;
	if (req->passed && strv_has(req->passed, m->flavor))
		return err_set(err, -E_NO_DEVICE, "is flavor '%s', whose modules found no device", m->flavor);
	if (req->flavor ? streq(m->flavor, req->flavor) : wanted->n == 0 || strv_has(wanted, m->flavor))
		return 0;
	words = req->flavor ? strdup(req->flavor) : strv_joined(wanted);
	return words ? err_set(err, -E_NO_BUNDLE, "is flavor '%s', wanted '%s'", m->flavor, words) :
		       err_sys(err, -ENOMEM, "flavor");
}

int judge_whose(const struct source_request *req, const char *name, enum bundle_kind kind, struct err *err)
{
	if (streq(name, req->driver->name) && kind == req->kind)
		return 0;
	return err_set(err, -E_NO_BUNDLE, "holds %s of %s", manifest_kind_word(kind), name);
}

int judge_bundle(const struct source_request *req, const struct manifest *m, struct err *err)
{
	const struct driver *d = req->driver;
	size_t here, driven;
	int r = judge_whose(req, m->name, m->kind, err);

	if (r < 0)
		return r;
	if (!streq(m->version, d->version))
		return err_set(err, -E_NO_BUNDLE, "is version %s, wanted %s", m->version, d->version);
	r = judge_flavor(req, m, err);
	if (r < 0)
		return r;
	if (m->kind != KIND_MODULES) /* Digest=, MinSerial= and the serials of blessed boots are about modules */
		return 0;
	if (req->module && !holds_module(m, req->module))
		return err_set(err, -E_NO_BUNDLE, "holds no module %s", req->module);
	if (req->digest && !streq(m->digest, req->digest))
		return err_set(err, -E_STALE, "has digest %.12s..., the modules that are live are of %.12s...", m->digest,
			       req->digest);
	count_devices(req, m, &here, &driven);
	if (here > 0 && driven == 0)
		return err_set(err, -E_NO_DEVICE, "drives none of the driver's devices here: its match names others");
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

/* Firmware and libraries have serials only. */
void judge_rank(const struct source_request *req, struct candidate *c)
{
	const struct manifest *m = bundle_manifest(c->bundle);
	const struct strv *wanted = &req->driver->flavors;
	size_t here, driven;

	count_devices(req, m, &here, &driven);
	c->drives_all = m->kind != KIND_MODULES || driven == here;
	while (m->kind == KIND_MODULES && c->flavor < wanted->n && !streq(wanted->v[c->flavor], m->flavor))
		c->flavor++;
}

static int best_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	uint64_t sx = bundle_manifest(x->bundle)->serial, sy = bundle_manifest(y->bundle)->serial;

	if (x->drives_all != y->drives_all)
		return x->drives_all ? -1 : 1;
	if (x->flavor != y->flavor)
		return x->flavor < y->flavor ? -1 : 1;
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

static bool same_flavor(const struct candidate *a, const struct candidate *b)
{
	return streq(bundle_manifest(a->bundle)->flavor, bundle_manifest(b->bundle)->flavor);
}

/* Another bundle of this one's flavour and serial. */
static const struct candidate *contradiction(const struct candidates *c, size_t i)
{
	const struct manifest *m = bundle_manifest(c->v[i].bundle), *other;

	for (size_t j = i + 1; j < c->n; j++) {
		other = bundle_manifest(c->v[j].bundle);
		if (other->serial == m->serial && same_flavor(&c->v[i], &c->v[j]) && !streq(other->digest, m->digest))
			return &c->v[j];
	}
	return NULL;
}

/* From the i-th on. */
static void drop_flavor(struct candidates *c, size_t i)
{
	_cleanup_free_ char *flavor = strdup(bundle_manifest(c->v[i].bundle)->flavor);
	size_t n = i;

	for (; i < c->n; i++) {
		if (!flavor || streq(bundle_manifest(c->v[i].bundle)->flavor, flavor))
			candidate_done(&c->v[i]);
		else
			c->v[n++] = c->v[i];
	}
	c->n = n;
}

int judge_equivocation(struct candidates *c, const struct driver *d, struct rejections *rejected, struct err *err)
{
	if (c->n == 0 || (d->digest && bundle_manifest(c->v[0].bundle)->kind == KIND_MODULES))
		return 0;
	for (size_t i = 0; i < c->n;) {
		const struct candidate *other = NULL;
		bool best = true;
		struct err why;

		for (size_t j = 0; best && j < i; j++)
			best = !same_flavor(&c->v[i], &c->v[j]);
		other = best ? contradiction(c, i) : NULL;
		if (!other) {
			i++;
			continue;
		}
		(void)err_set(&why, -E_EQUIVOCATION, "%s and %s both have serial %llu and differ", c->v[i].origin,
			      other->origin, (unsigned long long)bundle_manifest(other->bundle)->serial);
		if (i == 0) {
			*err = why;
			return why.code;
		}
		if (rejections_add(rejected, c->v[i].origin, &why) < 0)
			return err_sys(err, -ENOMEM, "%s", c->v[i].origin);
		drop_flavor(c, i);
	}
	return 0;
}
