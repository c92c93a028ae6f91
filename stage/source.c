// SPDX-License-Identifier: Apache-2.0
/*
 * source.c - from From= and Runtime= to the bundles worth reading. Opens, verifies headers, judges, sorts;
 * reads no payload and writes nothing.
 */
#include "source.h"

#include "judge.h"
#include "limit.h"

static const struct source_ops *const all_sources[] = { &source_cache, &source_usr, &source_partition,
						       &source_http, &source_https, &source_oci };

/* --- places --- */

static const struct source_ops *find_ops(const char *spec, const char **ret_location)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_sources); i++) {
		const char *rest;

		if (str_prefix(spec, all_sources[i]->scheme, &rest) && *rest == ':') {
			*ret_location = rest + 1;
			return all_sources[i];
		}
	}
	return NULL;
}

bool source_is_network(const char *scheme)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_sources); i++)
		if (streq(all_sources[i]->scheme, scheme))
			return all_sources[i]->network;
	return false;
}

static unsigned int n_places(const struct source_request *req)
{
	return (unsigned int)(req->driver->from.n + (req->kind == KIND_MODULES ? 0 : req->driver->runtime.n));
}

/*
 * The i-th place that may have what is asked for; NULL: that one is for modules only. What no kernel is
 * bound to is looked for in the local places of From=, where a cache and an image have all kinds, and
 * where Runtime= says.
 */
static const char *place(const struct source_request *req, unsigned int i)
{
	const struct driver *d = req->driver;
	const struct source_ops *ops;
	const char *rest;

	if (i >= d->from.n)
		return d->runtime.v[i - d->from.n];
	ops = find_ops(d->from.v[i], &rest);
	return req->kind == KIND_MODULES || (ops && !ops->network) ? d->from.v[i] : NULL;
}

/* --- what was refused --- */

int rejections_add(struct rejections *r, const char *origin, const struct err *why)
{
	struct rejection *v = reallocarray(r->v, r->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	r->v = v;
	v[r->n] = (struct rejection){ .origin = strdup(origin), .why = *why };
	if (!v[r->n].origin)
		return -ENOMEM;
	r->n++;
	return 0;
}

void rejections_free(struct rejections *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->v[i].origin);
	free(r->v);
	*r = (struct rejections){ 0 };
}

/* A bundle that nearly fitted says more than one that was never meant for this machine. */
static unsigned int telling(int code)
{
	static const int order[] = { -E_NO_DEVICE, -E_WRONG_KERNEL, -E_STALE,	 -E_NETWORK,   -E_CORRUPT,
				     -E_UNTRUSTED, -E_EQUIVOCATION, -E_UNSIGNED, -E_AMBIGUOUS, -E_BLOCKED };

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++)
		if (order[i] == code)
			return i + 2;
	return 1;
}

char *source_shown(const char *spec)
{
	const char *host = strstr(spec, "://"), *at = NULL;

	if (host) {
		host += strlen("://");
		for (const char *p = host; *p && *p != '/'; p++)
			at = *p == '@' ? p : at;
	}
	return at ? str_printf("%.*s%s", (int)(host - spec), spec, at + 1) : strdup(spec);
}

int rejections_verdict(const struct rejections *r, const struct source_request *req, struct err *ret)
{
	const struct rejection *best = NULL;
	const struct driver *d = req->driver;

	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].why.code != -E_NO_BUNDLE && !r->v[i].other && (!best || telling(r->v[i].why.code) > telling(best->why.code)))
			best = &r->v[i];
	if (best) {
		*ret = best->why;
		return err_prefix(ret, "%s", best->origin);
	}
	(void)err_set(ret, -E_NO_BUNDLE, "no %s of %s %s in", req->kind == KIND_MODULES ? "bundle" :
		      manifest_kind_word(req->kind), d->name, d->version);
	for (unsigned int i = 0; i < n_places(req); i++) {
		_cleanup_free_ char *shown = place(req, i) ? source_shown(place(req, i)) : NULL;

		if (!place(req, i))
			continue;
		snprintf(ret->text + strlen(ret->text), sizeof(ret->text) - strlen(ret->text), " %s", shown ? shown : "?");
	}
	return ret->code;
}

/* --- candidates --- */

void candidate_done(struct candidate *c)
{
	bundle_close(c->bundle);
	free(c->origin);
	free(c->address);
	free(c->tag);
}

void candidates_free(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		candidate_done(&c->v[i]);
	free(c->v);
	*c = (struct candidates){ 0 };
}

/*
 * Whose is a file that could not be verified? Its manifest does not count, so only its name can
 * say: that of the driver with the longest name that it begins with.
 */
static bool is_others_file(const struct source_request *req, const char *origin)
{
	const char *base = strrchr(origin, '/'), *rest;
	const struct driver *owner = NULL;

	base = base ? base + 1 : origin;
	for (size_t i = 0; i < req->config->n_drivers; i++) {
		const struct driver *d = &req->config->drivers[i];

		if (str_prefix(base, d->name, &rest) && strchr("-_.", *rest) &&
		    (!owner || strlen(d->name) > strlen(owner->name)))
			owner = d;
	}
	return owner && !streq(owner->name, req->driver->name);
}

/* Opens a bundle that may be the driver's. One that another driver saw to be not is closed, and not read. */
static int open_bundle(const struct source_request *req, struct reader *r, struct bundle **ret, struct err *err)
{
	_cleanup_reader_ struct reader *reader = r;
	const struct seen_file *known;
	struct stat st;
	int q;

	if (!req->seen || reader_stat(reader, &st) < 0)
		return bundle_open(TAKE_PTR(reader), req->keys, ret, err);
	known = seen_find(req->seen, &st);
	q = known ? judge_whose(req, known->name, known->kind, err) : 0;
	if (q == 0)
		q = bundle_open(TAKE_PTR(reader), req->keys, ret, err);
	if (q == 0 && !known)
		seen_add(req->seen, &st, bundle_manifest(*ret));
	return q;
}

int source_consider(const struct source_request *req, const char *source, unsigned int order, struct reader *reader,
		    const char *origin, struct candidates *found, struct rejections *rejected, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	struct candidate *v;
	struct err why;
	int r;

	r = open_bundle(req, reader, &b, &why);
	if (r == 0)
		r = judge_bundle(req, bundle_manifest(b), &why);
	if (r == -ENOMEM || (r < 0 && rejections_add(rejected, origin, &why) < 0))
		return err_sys(err, -ENOMEM, "%s", origin);
	if (r < 0) {
		rejected->v[rejected->n - 1].other = !b && is_others_file(req, origin);
		return 0;
	}
	v = reallocarray(found->v, found->n + 1, sizeof(*v));
	if (!v)
		return err_sys(err, -ENOMEM, "%s", origin);
	found->v = v;
	v[found->n] = (struct candidate){ .source = source, .origin = strdup(origin), .order = order };
	if (!v[found->n].origin)
		return err_sys(err, -ENOMEM, "%s", origin);
	v[found->n].bundle = TAKE_PTR(b);
	judge_rank(req, &v[found->n++]);
	return 0;
}

/* Everything one source has. */
static int look_into(struct source *s, unsigned int order, struct candidates *found, struct rejections *rejected,
		     struct err *err)
{
	unsigned int looked_at = 0;
	struct err why;
	int r;

	r = s->ops->open(s, &why);
	if (r == -ENOENT)
		return 0;
	while (r >= 0 && found->n < LIMIT_CANDIDATES && looked_at++ < LIMIT_CANDIDATES) {
		_cleanup_free_ char *origin = NULL;
		struct reader *reader = NULL;
		size_t n;
		int q;

		r = s->ops->next(s, &reader, &origin, &why);
		if (r == 0)
			return 0;
		if (r < 0 && origin) { /* one place failed, others may not */
			if (rejections_add(rejected, origin, &why) < 0)
				return err_sys(err, -ENOMEM, "%s", origin);
			r = 0;
			continue;
		}
		if (r < 0)
			break;
		n = found->n;
		q = source_consider(s->req, s->ops->scheme, order, reader, origin, found, rejected, err);
		if (q < 0)
			return q;
		if (found->n > n) {
			found->v[n].address = TAKE_PTR(s->address);
			found->v[n].tag = TAKE_PTR(s->tag);
		}
	}
	if (r >= 0 && s->at < s->names.n)
		r = err_set(&why, -E_NO_BUNDLE, "more than %u bundles: the rest was not looked at", LIMIT_CANDIDATES);
	if (r < 0 && rejections_add(rejected, s->ops->scheme, &why) < 0)
		return err_sys(err, -ENOMEM, "%s", s->ops->scheme);
	return 0;
}

/* Opens one place and looks at all it has. */
static int look_at(const struct source_request *req, unsigned int i, bool network, struct candidates *found,
		   struct rejections *rejected, struct err *err)
{
	struct source s = { .req = req, .base = -EBADF };
	const char *spec = place(req, i);
	struct err why;
	int r;

	if (!spec)
		return 0;
	s.ops = find_ops(spec, &s.location);
	if (!s.ops && !network) { /* said once, in the first round */
		(void)err_set(&why, -E_BAD_CONFIG, "not a source that this program knows");
		return rejections_add(rejected, spec, &why) < 0 ? err_sys(err, -ENOMEM, "%s", spec) : 0;
	}
	if (!s.ops || s.ops->network != network || (req->without_cache && s.ops == &source_cache))
		return 0;
	r = look_into(&s, i, found, rejected, err);
	s.ops->close(&s);
	free(s.address);
	free(s.tag);
	return r;
}

int source_find_local(const struct source_request *req, struct candidates *ret, struct rejections *rejected,
		      struct err *err)
{
	_cleanup_candidates_ struct candidates found = { 0 };
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < n_places(req); i++)
		r = look_at(req, i, false, &found, rejected, err);
	if (r < 0)
		return r;
	judge_sort(&found);
	r = judge_equivocation(&found, req->driver, rejected, err);
	if (r < 0)
		return r;
	*ret = found;
	found = (struct candidates){ 0 };
	return 0;
}

/* How many questions are put to this network source: one, or one for each flavour that its address holds. */
static unsigned int n_questions(const struct source_request *req, unsigned int i)
{
	const char *rest, *spec = place(req, i);
	const struct source_ops *ops = spec ? find_ops(spec, &rest) : NULL;
	const struct strv *flavors = &req->driver->flavors;

	if (!ops || !ops->network)
		return 0;
	return !req->flavor && flavors->n > 1 && strstr(spec, "{flavor}") ? (unsigned int)flavors->n : 1;
}

/* From this question on: how many are there? */
static unsigned int questions_left(const struct source_request *req, unsigned int cursor)
{
	unsigned int n = 0, done = cursor % LIMIT_FLAVORS;

	for (unsigned int i = cursor / LIMIT_FLAVORS; i < n_places(req); i++, done = 0)
		n += n_questions(req, i) > done ? n_questions(req, i) - done : 0;
	return n;
}

/* Puts one question, in its share of the time: whoever does not answer must leave some for the next. */
static int ask(const struct source_request *req, unsigned int cursor, struct candidates *found,
	       struct rejections *rejected, struct err *err)
{
	unsigned int i = cursor / LIMIT_FLAVORS, n = questions_left(req, cursor);
	struct source_request mine = *req;
	uint64_t now = now_us();

	if (n_questions(req, i) > 1)
		mine.flavor = req->driver->flavors.v[cursor % LIMIT_FLAVORS];
	if (mine.flavor && req->passed && strv_has(req->passed, mine.flavor))
		return 0;
	/* a source that is healthy is not cut */
	mine.retry_until_us = req->until_us > now && n > 0 ? now + (req->until_us - now) / n : req->until_us;
	return look_at(&mine, i, true, found, rejected, err);
}

static bool has_unchanged(const struct rejections *rejected)
{
	for (size_t i = 0; i < rejected->n; i++)
		if (rejected->v[i].why.code == -EALREADY)
			return true;
	return false;
}

int source_find_network(const struct source_request *req, unsigned int *cursor, struct candidates *ret,
			struct rejections *rejected, struct err *err)
{
	_cleanup_candidates_ struct candidates found = { 0 };
	bool enough = false;

	while (!enough && *cursor / LIMIT_FLAVORS < n_places(req)) {
		unsigned int i = *cursor / LIMIT_FLAVORS;
		int r = 0;

		if (*cursor % LIMIT_FLAVORS < n_questions(req, i))
			r = ask(req, *cursor, &found, rejected, err);
		if (r < 0)
			return r;
		(*cursor)++;
		if (*cursor % LIMIT_FLAVORS >= n_questions(req, i))
			*cursor = (i + 1) * LIMIT_FLAVORS;
		enough = *cursor % LIMIT_FLAVORS == 0 ? found.n > 0 || has_unchanged(rejected) :
							found.n > 0 && found.v[found.n - 1].drives_all;
	}
	if (found.n == 0)
		return 0;
	judge_sort(&found);
	*ret = found;
	found = (struct candidates){ 0 };
	return 1;
}

/* Once modules found no device, only a flavour that is named is asked for: it is not guessed in a network. */
static bool wants_more(const struct source_request *req)
{
	bool more = !req->passed || req->passed->n == 0;

	for (size_t i = 0; !more && i < req->driver->flavors.n; i++)
		more = !strv_has(req->passed, req->driver->flavors.v[i]);
	return more;
}

bool source_has_network(const struct source_request *req)
{
	return questions_left(req, 0) > 0 && wants_more(req);
}
