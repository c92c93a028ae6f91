// SPDX-License-Identifier: Apache-2.0
/*
 * instance.c - one driver, asked for by name and version. Runs in the real root, early in a boot or by hand. In: the
 * driver's file, and the version that counts instead of the one in it. Out: live modules, nodes, its entry in
 * status.json. Power loss: as in boot.c, the attempt is found open by the next one.
 */
#include "instance.h"

#include "finish.h"
#include "jsontext.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "network.h"
#include "owncopy.h"

/* --- which --- */

/* "nvidia\x2d550\x2b1" -> "nvidia-550+1". Caller frees; NULL: no memory. */
static char *unescape(const char *s)
{
	char *text = strdup(s), *to = text;
	uint8_t byte;

	for (const char *from = s; text && *from; to++) {
		const char digits[] = { from[0] == '\\' && from[1] == 'x' ? from[2] : '\0',
					from[0] == '\\' && from[1] == 'x' && from[2] ? from[3] : '\0', '\0' };

		if (hex_decode(digits, &byte, 1) == 0 && byte) {
			*to = (char)byte;
			from += strlen("\\x00");
			continue;
		}
		*to = *from++;
	}
	if (text)
		*to = '\0';
	return text;
}

/* The error that names each file that could have been meant. */
static int not_found(const char *text, struct err *err)
{
	char files[ERR_TEXT_MAX / 2] = "";
	size_t used = 0;

	for (const char *at = strchr(text, '-'); at && used < sizeof(files); at = strchr(at + 1, '-')) {
		_cleanup_free_ char *name = strndup(text, (size_t)(at - text));

		if (!name)
			return err_sys(err, -ENOMEM, "%s", text);
		if (manifest_is_name(name) && manifest_is_version(at + 1))
			used += (size_t)snprintf(files + used, sizeof(files) - used, "%s%s.conf",
						 used ? ", " : "", name);
	}
	if (!used)
		return err_set(err, -E_BAD_CONFIG, "'%s' is not NAME-VERSION", text);
	return err_set(err, -E_BAD_CONFIG, "no driver file in /etc/modulus or /usr/lib/modulus: looked for %s", files);
}

int instance_find(const struct config *c, const char *instance, struct driver **ret_driver, char **ret_version,
		  struct err *err)
{
	_cleanup_free_ char *text = unescape(instance), *copy = NULL;
	struct driver *found = NULL;
	const char *version = NULL;

	for (size_t i = 0; text && i < c->n_drivers; i++) {
		const char *rest;

		if (str_prefix(text, c->drivers[i].name, &rest) && *rest == '-' && manifest_is_version(rest + 1) &&
		    (!version || rest + 1 > version)) {
			found = &c->drivers[i];
			version = rest + 1;
		}
	}
	if (text && !found)
		return not_found(text, err);
	copy = version ? strdup(version) : NULL;
	if (!copy)
		return err_sys(err, -ENOMEM, "%s", instance);
	*ret_driver = found;
	*ret_version = TAKE_PTR(copy);
	return 0;
}

/* --- what there is --- */

/* 1: it is loaded in this version. 0: it is not loaded. -EBUSY: it is, in another one. */
static int is_loaded(const json_t *status, const struct driver *d, struct err *err)
{
	const json_t *entry = status_entry(status, d->name);

	if (!entry || !streq(json_text(entry, "reason"), reason_word(0)))
		return 0;
	if (streq(json_text(entry, "version"), d->version))
		return 1;
	return err_set(err, -EBUSY, "version %s is loaded; unload it, or reboot with this one alone enabled",
		       json_text(entry, "version"));
}

/* --- the run --- */

/* Everything but the status' end. *ret_name: of the driver, once it is known; a string of the configuration's. */
static int serve(struct boot *b, const char *instance, struct machine *m, json_t *status, const char **ret_name,
		 struct err *err)
{
	struct driver *d;
	char *version;
	int r = instance_find(&m->config, instance, &d, &version, err);

	if (r < 0)
		return r;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what is not found is a failure */
	free(d->version);
	d->version = version; /* counts instead of the file's */
	*ret_name = d->name;
	r = is_loaded(status, d, err);
	if (r == 1)
		log_info("%s: version %s is loaded already", d->name, d->version);
	if (r != 0)
		return r < 0 ? r : 0;
	own_copy_begin(b->host);
	r = own_copy_end();
	if (r < 0)
		log_warning("the program could not be copied for the units that follow: %s", strerror(-r));
	r = m->config.off ? 0 : boot_plan(b->host, &m->config, &m->devices, true);
	if (r < 0)
		return err_sys(err, r, "devices");
	b->until_us = boot_until(&m->config);
	return finish_driver(b, d, status, "", err);
}

int instance_run(const struct host *h, const char *instance)
{
	_cleanup_machine_ struct machine m = { 0 };
	_cleanup_close_ int lock = -EBADF;
	struct boot b = { .host = h, .cmdline = &m.cmdline, .config = &m.config, .kernel = &m.kernel,
			  .devices = &m.devices };
	const char *name = NULL;
	const json_t *entry;
	json_t *status = NULL, *was;
	struct err err;
	int r = lock_machine(h, LIMIT_LOCK_COMMAND_US, &lock, &err), code;

	if (r == 0)
		r = machine_read(h, &m, &err);
	if (r == 0)
		r = status_begin(h, &m.kernel, &status, &err);
	was = json_deep_copy(status);
	if (r == 0) {
		machine_say_warnings(&m);
		r = serve(&b, instance, &m, status, &name, &err);
	}
	network_release(h);
	if (r == 0 && finish_complete(h, was, status) < 0)
		r = err_set(&err, -E_SYSTEM, STATUS_NAME " could not be written");
	if (r < 0) {
		log_error("%s: %s: %s", name ? name : instance, reason_word(r), err.text);
		notify_systemd("STATUS=%s: %s", reason_word(r), err.text);
		code = reason_exit(r);
	} else {
		entry = status_entry(status, name);
		notify_systemd("STATUS=%s: %s", json_text(entry, "reason"), json_text(entry, "text"));
		code = reason_exit(reason_from_word(json_text(entry, "reason")));
	}
	json_decref(was);
	json_decref(status);
	return code;
}
