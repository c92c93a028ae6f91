// SPDX-License-Identifier: Apache-2.0
/*
 * finish.c - the second half, early in the real root, from the copy that boot left in /run. In:
 * status.json of this boot. Out: drivers whose devices appeared after switch-root, libraries and programs
 * (runtime.h), what container engines are told (cdi.h), SELinux labels (no policy is loaded in an initramfs, so
 * nothing could be labelled there), and the mark in status.json that it ran. Where boot did not run, it does boot's work.
 */
#include "finish.h"

#include <fcntl.h>

#include "cdi.h"
#include "child.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "modules.h"
#include "nvidia.h"
#include "runtime.h"
#include "store.h"

/* restorecon(8) of the host; it knows the policy, we do not. Absent where SELinux is. */
static void relabel(const struct host *h, const json_t *status)
{
	_cleanup_strv_ struct strv argv = { 0 };
	json_t *driver, *node;
	size_t i, j;
	int r;

	if (!streq(h->live_path, "/") || faccessat(h->live_fd, "sys/fs/selinux/enforce", F_OK, 0) < 0)
		return;
	r = strv_add_words(&argv, "restorecon -R -F " STATUS_DIR " " STORE_DIR, NULL);
	if (r == 0 && json_is_string(json_object_get(json_object_get(status, "cdi"), "file")))
		r = strv_add(&argv, CDI_DIR);
	json_array_foreach(json_object_get(status, "drivers"), i, driver) {
		const json_t *runtime = json_object_get(driver, "runtime");
		const char *tree = json_string_value(json_object_get(runtime, "path"));
		const char *link = json_string_value(json_object_get(runtime, "link"));

		if (r == 0 && tree)
			r = strv_add(&argv, tree);
		if (r == 0 && link)
			r = strv_add(&argv, link);
		json_array_foreach(json_object_get(driver, "nodes"), j, node)
			if (r == 0)
				r = strv_add(&argv, json_string_value(node));
	}
	if (r == 0)
		r = strv_add(&argv, ""); /* becomes the terminating NULL */
	if (r < 0)
		return;
	free(argv.v[--argv.n]);
	argv.v[argv.n] = NULL;
	r = child_program((const char *const *)argv.v, now_us() + LIMIT_RESTORECON_US);
	if (r < 0 && r != -EIO) /* a path that is not there fails it, and it has labelled all others */
		log_warning("restorecon: %s; nodes keep the label they have",
			    r == -ETIMEDOUT ? "was not done in time and was killed" : strerror(-r));
}

/* With a device there was an attempt, which is not made twice. */
static bool is_late(const json_t *driver)
{
	const char *reason = json_string_value(json_object_get(driver, "reason"));

	return reason && streq(reason, reason_word(-E_NO_DEVICE)) &&
	       json_array_size(json_object_get(driver, "devices")) == 0;
}

int finish_driver(struct boot *b, const struct driver *d, json_t *status, const char *remark, struct err *err)
{
	_cleanup_report_ struct report report = { .stage = "real-root", .kernel = *b->kernel };
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct driver_report *rep = report_add_driver(&report, d);
	_cleanup_free_ char *line = NULL;
	int r = 0;

	if (!rep)
		return err_sys(err, -ENOMEM, "%s", d->name);
	if (boot_has_work(b, d, &rep->result)) {
		r = keyring_load(b->host, d->trust_usr, &ring, err);
		if (r < 0)
			return r;
		b->keys = &ring;
		r = boot_driver(b, d, rep);
		b->keys = NULL;
	}
	line = report_line(rep, b->kernel);
	if (remark)
		log_line(reason_exit(rep->result.code) == EXIT_DONE ? LOG_INFO : LOG_WARNING, "%s%s",
			 line ? line : d->name, remark);
	if (r == 0 && status_put_entry(status, d->name, report_driver_json(rep)) < 0)
		r = -ENOMEM;
	return r < 0 ? err_sys(err, r, "%s", d->name) : 0;
}

/* Runs the drivers that had no device in the initramfs and have one now. */
static int load_late(const struct host *h, json_t *status, struct err *err)
{
	_cleanup_machine_ struct machine m = { 0 };
	struct boot b = { .host = h, .cmdline = &m.cmdline, .config = &m.config, .kernel = &m.kernel,
			  .devices = &m.devices };
	const json_t *entry;
	struct err unsaid;
	size_t i;
	int r = machine_read(h, &m, err);

	if (r == 0 && boot_plan(h, &m.config, &m.devices, false) < 0)
		r = err_sys(err, -ENOMEM, "devices");
	b.until_us = boot_until(&m.config);
	json_array_foreach(json_object_get(status, "drivers"), i, entry) {
		const struct driver *d = config_find(&m.config, json_string_value(json_object_get(entry, "name")));

		if (r < 0 || !d || !is_late(entry) || !boot_has_work(&b, d, &unsaid))
			continue;
		r = finish_driver(&b, d, status, " (its device appeared late)", err);
	}
	return r;
}

/* --- libraries and programs --- */

/* Containers do not wait for a network that may not come up in vain: only where it has what is missing. */
static void bring_runtimes(const struct host *h, json_t *status, bool network)
{
	struct err err;
	bool wanted;
	int r = runtime_run(h, status, network, &wanted, &err);

	if (r < 0) {
		log_warning("runtime: %s", err.text);
		return;
	}
	r = wanted ? h->ops->start_target(RUNTIME_UNIT, "replace") : 0;
	if (r < 0)
		log_warning(RUNTIME_UNIT " cannot be started: %s; what it does is `modulus finish --runtime`", strerror(-r));
}

/* --- containers --- */

static const json_t *find_module(const json_t *status, const char *name)
{
	json_t *driver, *module;
	size_t i, j;

	json_array_foreach(json_object_get(status, "drivers"), i, driver) {
		json_array_foreach(json_object_get(driver, "modules"), j, module) {
			const char *have = json_string_value(json_object_get(module, "name"));

			if (have && streq(have, name))
				return driver;
		}
	}
	return NULL;
}

/* A failure is a line in the journal: the GPUs are there all the same. */
void finish_tell_engines(const struct host *h, json_t *status)
{
	const json_t *driver = find_module(status, NVIDIA_MODULE), *text;
	char version[LIMIT_NAME_BYTES + 1];
	struct cdi_driver d = { .version = version, .firmware = FIRMWARE_DIR };
	bool live;
	json_t *said;
	struct err err;
	size_t i;

	live = driver && read_line_at(h->live_fd, "sys/module/" NVIDIA_MODULE "/version", version, sizeof(version)) == 0 &&
	       !strchr(version, '/');
	d.runtime = json_string_value(json_object_get(json_object_get(driver, "runtime"), "path"));
	if (cdi_update(h, live ? &d : NULL, &said, &err) < 0) {
		log_warning("cdi: containers are not told of the GPUs: %s", err.text);
		return;
	}
	json_array_foreach(json_object_get(said, "warnings"), i, text)
		log_warning("cdi: %s", json_string_value(text));
	if (json_is_string(json_object_get(said, "other")))
		log_info("cdi: %s defines " CDI_KIND ": containers are left to it",
			 json_string_value(json_object_get(said, "other")));
	else if (json_is_object(said))
		log_info("cdi: %s: %zu devices, %lld mounts", json_string_value(json_object_get(said, "file")),
			 json_array_size(json_object_get(said, "devices")),
			 (long long)json_integer_value(json_object_get(said, "mounts")));
	json_object_set_new(status, "cdi", said);
}

/* --- attempts --- */

/* Whatever was tried did not bring the machine down: it got here. */
static void end_trials(const struct host *h, const json_t *status)
{
	const json_t *driver;
	struct err err;
	size_t i;

	json_array_foreach(json_object_get(status, "drivers"), i, driver) {
		const struct trial t = status_trial(status, driver);

		if (*t.digest && trial_end(h, &t, &err) < 0)
			log_warning("%s: this attempt could not be closed, it will count as a miss: %s", t.name, err.text);
	}
}

/* An initramfs stops its units for the switch to the real root too, where finish_run() does it; that is a job then. */
static bool switches_root(const struct host *h)
{
	return !host_root_is_live(h) &&
	       child_program((const char *const[]){ "sh", "-c", "[ \"$(systemctl show -P Job initrd-switch-root.target)\" ]",
						    NULL }, now_us() + LIMIT_SYSTEMCTL_US) == 0;
}

int finish_shutdown_run(const struct host *h)
{
	json_t *status = NULL;
	int r;

	if (switches_root(h))
		return EXIT_DONE;
	r = status_read(h, &status);
	if (r == 0)
		end_trials(h, status);
	json_decref(status);
	return r == 0 || r == -ENOENT ? EXIT_DONE : EXIT_SYSTEM;
}

/* What the host and its containers get of the drivers that are live. */
static int hand_out(const struct host *h, const json_t *was, json_t *status, bool network)
{
	int r;

	bring_runtimes(h, status, network);
	finish_tell_engines(h, status);
	r = status_update(h, was, status);
	if (r < 0)
		log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME, strerror(-r));
	relabel(h, status); /* the report with the rest, and it waits for nothing of this */
	return r;
}

/* One after the other where that can be had in time; a boot does not fail for it. */
static void lock_patiently(const struct host *h, uint64_t wait_us, int *ret_lock)
{
	struct err err;

	if (lock_machine(h, wait_us, ret_lock, &err) < 0)
		log_warning("%s", err.text);
}

int finish_complete(const struct host *h, const json_t *was, json_t *status)
{
	end_trials(h, status);
	json_object_set_new(status, "finish", json_pack("{s:I}", "at_us", (json_int_t)now_us()));
	return hand_out(h, was, status, false);
}

int finish_runtime_run(const struct host *h)
{
	_cleanup_close_ int lock = -EBADF;
	json_t *status = NULL, *was;
	int r;

	lock_patiently(h, LIMIT_LOCK_COMMAND_US, &lock);
	r = status_read(h, &status);
	was = json_deep_copy(status);
	if (r < 0)
		log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME,
			  r == -ENOENT ? "modulus boot has not run since this machine started" : strerror(-r));
	else
		r = hand_out(h, was, status, true);
	json_decref(was);
	json_decref(status);
	return r < 0 ? EXIT_SYSTEM : EXIT_DONE;
}

int finish_run(const struct host *h)
{
	_cleanup_close_ int lock = -EBADF;
	json_t *status = NULL, *was;
	int r = status_read(h, &status), code = r == -ENOENT ? boot_run(h) : EXIT_DONE;
	const bool booted = r != -ENOENT;
	struct err err;

	json_decref(status); /* somebody may change it before the lock is ours */
	status = NULL;
	lock_patiently(h, LIMIT_LOCK_US, &lock);
	r = status_read(h, &status);
	was = json_deep_copy(status);
	if (r == 0 && booted && load_late(h, status, &err) < 0)
		log_warning("%s", err.text);
	if (r < 0)
		log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME, strerror(-r));
	else
		r = finish_complete(h, was, status);
	json_decref(was);
	json_decref(status);
	return r < 0 && code == EXIT_DONE ? EXIT_SYSTEM : code;
}
