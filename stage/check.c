// SPDX-License-Identifier: Apache-2.0
/*
 * check.c - see check.h. Runs on a running host, or on any machine for a kernel that is elsewhere. Reads only.
 */
#include "check.h"

#include "boot.h"
#include "limit.h"
#include "progress.h"
#include "trial.h"

/* A bundle that was found good, in words. */
static int add_good(const struct source_request *req, const struct candidate *c, bool whole, struct findings *ret)
{
	const struct manifest *m = bundle_manifest(c->bundle);
	bool modules = m->kind == KIND_MODULES;
	const char *build = !modules			  ? "" :
			    !m->kernel.build_id		  ? ", made for any build of it" :
			    req->kernel->build_id[0] == '\0' ? ", the kernel's build-id is not known here" :
							    ", of this build";

	return findings_addf(ret, FINDING_OK, req->driver->name, manifest_kind_word(m->kind), 0,
			     "%s: serial %llu, signed by key %s%s; %s", c->origin, (unsigned long long)m->serial,
			     m->key_id, build, whole ? "verified to its end" : "only its header was verified");
}

/* As boot would: one that took the machine down too often is left out. */
static int try_one(const struct source_request *req, struct candidate *c, struct err *err)
{
	const struct manifest *m = bundle_manifest(c->bundle);
	const struct trial t = { .name = req->driver->name, .digest = m->digest, .release = req->kernel->release,
				 .build_id = req->kernel->build_id };
	int r = m->kind == KIND_MODULES ? trial_check(req->host, &t, err) : 0;

	return r < 0 ? r : progress_unpack(req->driver->name, c->bundle, NULL, NULL, err);
}

/* 0: found, or -ENOMEM with err; 1: it is not there. */
static int look_local(const struct source_request *req, struct rejections *rejected, struct findings *ret,
		      struct err *err)
{
	_cleanup_candidates_ struct candidates found = { 0 };
	int r = source_find_local(req, &found, rejected, err);

	if (r < 0)
		return r == -ENOMEM || rejections_add(rejected, "local", err) < 0 ? -ENOMEM : 1;
	for (size_t i = 0; i < found.n; i++) {
		struct err why;

		if (try_one(req, &found.v[i], &why) == 0)
			return add_good(req, &found.v[i], true, ret);
		if (rejections_add(rejected, found.v[i].origin, &why) < 0)
			return -ENOMEM;
	}
	return 1;
}

static int look_in_network(const struct source_request *req, bool whole, struct rejections *rejected,
			   struct findings *ret, struct err *err)
{
	unsigned int cursor = 0;

	for (;;) {
		_cleanup_candidates_ struct candidates found = { 0 };
		struct err why;
		int r = source_find_network(req, &cursor, &found, rejected, err);

		if (r <= 0)
			return r < 0 ? r : 1;
		if (!whole || try_one(req, &found.v[0], &why) == 0)
			return add_good(req, &found.v[0], whole, ret);
		if (rejections_add(rejected, found.v[0].origin, &why) < 0)
			return -ENOMEM;
	}
}

static int check_kind(const struct source_request *req, bool whole, struct findings *ret, struct err *err)
{
	_cleanup_rejections_ struct rejections rejected = { 0 };
	const char *what = manifest_kind_word(req->kind);
	enum finding_level level = FINDING_FAIL;
	struct err why;
	int r = look_local(req, &rejected, ret, err);

	if (r > 0)
		r = look_in_network(req, whole && req->kind == KIND_MODULES, &rejected, ret, err);
	if (r <= 0)
		return r;
	(void)rejections_verdict(&rejected, req, &why);
	if (reason_exit(why.code) == EXIT_DONE) /* no flavour drives what is here: nothing to do, as at boot */
		level = FINDING_OK;
	if (req->kind != KIND_MODULES) { /* boot goes on without, and few drivers have both */
		if (why.code == -E_NO_BUNDLE && req->driver->runtime.n == 0)
			return 0;
		level = why.code == -E_NO_BUNDLE ? FINDING_OK : FINDING_WARN;
	}
	return findings_add(ret, level, req->driver->name, what, &why);
}

static int check_driver(const struct check_request *c, const struct driver *d, const struct device_list *devices,
			struct findings *ret, struct err *err)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct source_request req = { .host = c->host, .cmdline = c->cmdline, .kernel = c->kernel, .keys = &ring,
				      .config = c->config, .driver = d, .devices = devices, .next = c->next,
				      .until_us = now_us() + d->budget_us };
	int r = c->keys ? keyring_load_dir(c->keys, &ring, err) : keyring_load(c->host, d->trust_usr, &ring, err);

	if (r < 0)
		return r == -ENOMEM ? r : findings_add(ret, FINDING_FAIL, d->name, "keys", err);
	for (enum bundle_kind kind = KIND_MODULES; r == 0 && kind <= KIND_RUNTIME; kind++) {
		req.kind = kind;
		r = check_kind(&req, c->whole, ret, err);
	}
	return r;
}

int check_drivers(const struct check_request *c, struct findings *ret, struct err *err)
{
	_cleanup_devices_ struct device_list devices = { 0 };
	struct boot b = { .host = c->host, .config = c->config, .devices = &devices };
	int r = c->every_driver ? 0 : boot_plan(c->host, c->config, &devices, false);

	for (size_t i = 0; r == 0 && i < c->config->n_drivers; i++) {
		const struct driver *d = &c->config->drivers[i];
		struct err why = { 0 };

		if (c->every_driver || boot_has_work(&b, d, &why))
			r = check_driver(c, d, &devices, ret, err);
		else
			r = findings_add(ret, reason_exit(why.code) == EXIT_DONE ? FINDING_OK : FINDING_FAIL, d->name,
					 why.code == -E_NO_DEVICE ? "device" : "configuration", &why);
	}
	return r < 0 ? err_sys(err, -ENOMEM, "check") : 0;
}
