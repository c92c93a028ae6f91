// SPDX-License-Identifier: Apache-2.0
/*
 * boot.c - the order of the steps; the only policy. Runs in the initramfs when the target root
 * is mounted and Ignition has written its files, before switch-root. In: configuration, the
 * running kernel, devices. Out: live modules, nodes, a copy in the cache, status.json. No failure
 * here stops a boot. If the power fails: the cache holds whole bundles or nothing (store.c),
 * everything else was memory.
 */
#include "boot.h"

#include "limit.h"
#include "evict.h"
#include "firmware.h"
#include "load.h"
#include "lock.h"
#include "log.h"
#include "machine.h"
#include "modprobe.h"
#include "network.h"
#include "nvidia.h"
#include "owncopy.h"
#include "receive.h"

/* In STATUS_DIR: the target that nobody could be asked for. */
#define REQUIRED_NAME "required"

/* --- who is asked for --- */

static int scan_buses(const struct host *h, const struct config *c, struct device_list *devices)
{
	_cleanup_strv_ struct strv buses = { 0 };
	int r = 0;

	for (size_t i = 0; i < c->n_drivers; i++) {
		const struct strv *match = &c->drivers[i].match;

		for (size_t j = 0; r == 0 && j < match->n; j++) {
			_cleanup_free_ char *bus = strndup(match->v[j], strcspn(match->v[j], ":"));

			if (!bus)
				return -ENOMEM;
			if (*bus == '!')
				continue;
			if (strv_has(&buses, bus))
				continue;
			r = strv_add(&buses, bus);
			if (r == 0)
				r = device_scan(h, bus, devices);
		}
	}
	return r;
}

bool boot_wants(const struct driver *d, const struct device_list *devices)
{
	for (size_t i = 0; i < devices->n; i++)
		if (device_matches(&devices->v[i], &d->match))
			return true;
	return false;
}

bool boot_has_work(const struct boot *b, const struct driver *d, struct err *ret_why)
{
	if (b->config->off)
		(void)err_set(ret_why, -E_DISABLED, "modulus=off on the kernel command line");
	else if (d->error.code < 0)
		*ret_why = d->error;
	else if (!boot_wants(d, b->devices))
		(void)err_set(ret_why, -E_NO_DEVICE, "no device matches Match=");
	else
		return true;
	return false;
}

int boot_plan(const struct host *h, const struct config *c, struct device_list *devices, bool settle)
{
	bool missing = false;
	int r = scan_buses(h, c, devices);

	for (size_t i = 0; i < c->n_drivers; i++)
		missing = missing || (c->drivers[i].error.code == 0 && !boot_wants(&c->drivers[i], devices));
	if (r < 0 || !missing || !settle)
		return r;
	/* some devices (behind Hyper-V or VMD bridges) appear late: let udev finish, look again */
	device_settle(h, LIMIT_SETTLE_US);
	device_list_free(devices);
	return scan_buses(h, c, devices);
}

/* --- one driver --- */

/* May another bundle be tried after this failure? Not once a module of this one is in the kernel. */
static bool is_bundles_fault(const struct driver_report *rep, int code)
{
	return report_inserted(rep, MODULE_BUNDLE) == 0 &&
	       (code == -E_CORRUPT || code == -E_WRONG_KERNEL || code == -E_UNSIGNED || code == -E_NETWORK ||
		code == -EIO);
}

/* May a bundle of another flavour be tried? Its modules have the same names: only where none of these stayed. */
static bool found_no_device(const struct driver_report *rep, int code)
{
	return code == -E_NO_DEVICE && report_inserted(rep, MODULE_BUNDLE) == 0;
}

/*
 * The attempt is on disk before the first insert. One that cannot be recorded is made all the
 * same, with a warning, unless Trial=required.
 */
static int begin_trial(const struct boot *b, const struct driver *d, struct driver_report *rep, struct err *err)
{
	const struct trial t = report_trial(rep, b->kernel);
	struct err why;
	int r;

	if (d->trial == TRIAL_NONE)
		return 0;
	r = trial_begin(b->host, &t, &why);
	if (r == 0)
		return 0;
	if (d->trial == TRIAL_REQUIRED)
		return err_set(err, -E_BLOCKED, "Trial=required, and the attempt cannot be recorded: %s", why.text);
	return strv_addf(&rep->warnings, "attempt not recorded: %s: %s", reason_word(r), why.text) < 0 ?
		       err_sys(err, -ENOMEM, "%s", d->name) : 0;
}

/* What is known of the attempt already: harm, or that it did not come to an insert. */
static int judge_trial(const struct boot *b, const struct driver *d, struct driver_report *rep, bool untouched)
{
	const struct trial t = report_trial(rep, b->kernel);
	struct err why;
	int r = 0;

	if (d->trial == TRIAL_NONE || !rep->bundle.digest)
		return 0;
	if (rep->crashed)
		r = trial_miss(b->host, &t, &why);
	else if (untouched)
		r = trial_end(b->host, &t, &why);
	return r < 0 ? strv_addf(&rep->warnings, "attempt: %s: %s", reason_word(r), why.text) : 0;
}

/*
 * The bundle's modules go in, in the place of rivals. Where ours do not stay, the rivals get back
 * what they had; where they do, modprobe and udev of the real root are told of both.
 */
static int take_over(const struct boot *b, const struct load_request *load, struct driver_report *rep,
		     struct err *err)
{
	_cleanup_eviction_ struct eviction taken;
	const struct driver *d = load->driver;
	int r = evict_rivals(b->host, d, b->devices, &taken, err);

	if (r == 0)
		r = load_driver(load, rep, err);
	if (r < 0) {
		evict_give_back(&taken);
		return r;
	}
	return modprobe_tell(b->host, d, load->set, &rep->warnings) < 0 ? err_sys(err, -ENOMEM, "%s", d->name) : 0;
}

/* Runs one candidate to the end. Fills the report; 0, or the failure in err. */
static int use_candidate(const struct boot *b, const struct source_request *req, struct candidate *c, bool replace,
			 struct driver_report *rep, struct err *err)
{
	const struct driver *d = req->driver;
	_cleanup_modules_ struct module_set set = { .host = b->host };
	const struct unpack_sink sink = module_set_sink(&set);
	const struct manifest *m = bundle_manifest(c->bundle);
	struct store_copy *copy = NULL;
	struct load_request load = { .host = b->host, .kernel = b->kernel, .config = b->config, .cmdline = b->cmdline,
				     .driver = d, .manifest = m, .set = &set, .until_us = req->until_us,
				     .module = b->only ? b->only->name : NULL,
				     .parameters = b->only ? b->only->parameters : NULL };
	uint64_t at = now_us();
	int r;

	/* unpacked files stay in memory while the kernel makes its own copy of each module */
	r = receive_check_memory(b->host, 2 * m->unpacked, err);
	if (r < 0)
		return r;
	r = receive(req, c, replace, &sink, &copy, &rep->warnings, err);
	report_phase(rep, "stream", now_us() - at);
	if (r < 0)
		return r;
	if (report_set_bundle(&rep->bundle, c, m) < 0)
		r = err_sys(err, -ENOMEM, "%s", d->name);
	at = now_us();
	if (r == 0)
		r = module_set_link_firmware(&set, m, err);
	if (r == 0)
		r = module_set_expose_firmware(&set, &rep->warnings, err);
	if (r == 0 && !load.module && firmware_bring(req, &set, rep) < 0) /* is in place where one module is asked for */
		r = err_sys(err, -ENOMEM, "%s", d->name);
	notify_systemd("STATUS=%s: loading", d->name);
	if (r == 0)
		r = begin_trial(b, d, rep, err);
	report_phase(rep, "trial", now_us() - at);
	at = now_us();
	if (r == 0)
		r = take_over(b, &load, rep, err);
	report_phase(rep, "load", now_us() - at);
	if (judge_trial(b, d, rep, is_bundles_fault(rep, r) || found_no_device(rep, r)) < 0)
		r = err_sys(err, -ENOMEM, "%s", d->name);
	if (is_bundles_fault(rep, r)) { /* not worth keeping, and nothing was inserted */
		store_abandon(copy);
		report_clear_bundle(&rep->bundle);
	} else if (copy && found_no_device(rep, r) && d->flavors.n > 1) { /* the other one's place */
		store_abandon(copy);
	} else if (copy) {
		at = now_us();
		if (receive_keep(copy, &rep->bundle.cached, &rep->warnings) < 0)
			r = err_sys(err, -ENOMEM, "%s", d->name);
		report_phase(rep, "cache", now_us() - at);
	}
	return r;
}

/* 0: loaded. 1: none could be used, rejections say why. Negative: over, the result is filled. */
static int try_candidates(const struct boot *b, const struct source_request *req, struct candidates *found,
			  struct driver_report *rep)
{
	const struct driver *d = req->driver;

	for (size_t i = 0; i < found->n; i++) {
		const struct trial t = { .name = d->name, .digest = bundle_manifest(found->v[i].bundle)->digest,
					 .release = b->kernel->release, .build_id = b->kernel->build_id };
		const char *flavor = bundle_manifest(found->v[i].bundle)->flavor;
		struct err why = { 0 };
		bool replace = false;
		int r;

		if (strv_has(req->passed, flavor))
			continue;
		if (d->trial != TRIAL_NONE && trial_check(b->host, &t, &why) < 0) {
			if (rejections_add(&rep->rejected, found->v[i].origin, &why) < 0)
				return err_sys(&rep->result, -ENOMEM, "%s", d->name);
			continue;
		}

		/* a cached copy that could not be used is replaced by the good one, which has its name */
		for (size_t j = 0; j < rep->rejected.n; j++)
			replace = replace || str_prefix(rep->rejected.v[j].origin, source_cache.scheme, NULL);
		r = use_candidate(b, req, &found->v[i], replace, rep, &why);
		if (r == 0)
			return 0;
		if (!is_bundles_fault(rep, r) && !found_no_device(rep, r)) {
			rep->result = why;
			return r;
		}
		if (found_no_device(rep, r) && strv_add(req->passed, flavor) < 0)
			return err_sys(&rep->result, -ENOMEM, "%s", d->name);
		if (rejections_add(&rep->rejected, found->v[i].origin, &why) < 0 ||
		    source_quarantine(b->host, b->config, &rep->rejected, rep->rejected.n - 1, &rep->warnings) < 0)
			return err_sys(&rep->result, -ENOMEM, "%s", d->name);
	}
	return 1;
}

/* No local bundle: the network, started only now, and its sources in their order. */
static int try_network(const struct boot *b, const struct source_request *req, struct driver_report *rep)
{
	uint64_t at = now_us();
	unsigned int cursor = 0;
	struct err why;
	int r;

	if (!source_has_network(req))
		return 1;
	r = network_want(b->host, req->until_us, &why);
	report_phase(rep, "network", now_us() - at);
	if (r < 0)
		return rejections_add(&rep->rejected, "network", &why) < 0 ? -ENOMEM : 1;
	for (;;) {
		_cleanup_candidates_ struct candidates found = { 0 };

		at = now_us();
		r = source_find_network(req, &cursor, &found, &rep->rejected, &rep->result);
		report_phase(rep, "source", now_us() - at);
		if (r <= 0)
			return r < 0 ? r : 1;
		r = try_candidates(b, req, &found, rep);
		if (r <= 0)
			return r;
	}
}

static int collect_nodes(const struct boot *b, const struct driver *d, struct driver_report *rep)
{
	const struct device_list *devices = b->devices;
	uint64_t at = now_us();
	int r = 0;

	for (size_t i = 0; r == 0 && i < devices->n; i++)
		if (device_matches(&devices->v[i], &d->match))
			r = device_nodes(b->host, &devices->v[i], &rep->nodes);
	if (r == 0 && report_has_module(rep, NVIDIA_MODULE))
		r = nvidia_nodes(b->host, &rep->nodes, &rep->warnings);
	report_phase(rep, "nodes", now_us() - at);
	return r;
}

int boot_driver(const struct boot *b, const struct driver *d, struct driver_report *rep)
{
	const struct device_list *devices = b->devices;
	uint64_t began = now_us();
	_cleanup_strv_ struct strv passed = { 0 };
	const struct source_request req = { .host = b->host, .cmdline = b->cmdline, .kernel = b->kernel,
					    .keys = b->keys, .seen = b->seen, .config = b->config, .driver = d,
					    .devices = b->devices, .passed = &passed, .kind = KIND_MODULES,
					    .module = b->only ? b->only->name : NULL,
					    .digest = b->only ? b->only->digest : NULL,
					    .until_us = MIN(began + d->budget_us, b->until_us) };
	_cleanup_candidates_ struct candidates found = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < devices->n; i++)
		if (device_matches(&devices->v[i], &d->match))
			r = strv_add(&rep->devices, devices->v[i].address);
	if (r < 0)
		return err_sys(&rep->result, r, "%s", d->name);
	if (began >= req.until_us)
		return err_set(&rep->result, -E_OVER_BUDGET, "the drivers before it took all the time"), 0;
	/* systemd's own clock runs behind ours: it is for a read that never comes back */
	notify_systemd("EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)(req.until_us - began + UNIT_SLACK_US));
	r = source_find_local(&req, &found, &rep->rejected, &rep->result);
	report_phase(rep, "source", now_us() - began);
	if (r == 0 && source_quarantine(b->host, b->config, &rep->rejected, 0, &rep->warnings) < 0)
		r = err_sys(&rep->result, -ENOMEM, "%s", d->name);
	if (r == 0)
		r = try_candidates(b, &req, &found, rep);
	if (r > 0)
		r = try_network(b, &req, rep);
	if (r > 0)
		r = rejections_verdict(&rep->rejected, &req, &rep->result);
	if (r == 0)
		r = collect_nodes(b, d, rep);
	if (r == 0) {
		rep->result.code = 0;
		snprintf(rep->result.text, sizeof(rep->result.text), "%zu modules from %s",
			 report_inserted(rep, MODULE_BUNDLE), rep->bundle.origin);
	}
	rep->us = now_us() - began;
	return r == -ENOMEM ? r : 0;
}

/* --- all of them --- */

uint64_t boot_until(const struct config *c)
{
	uint64_t longest = LIMIT_RUN_US;

	for (size_t i = 0; i < c->n_drivers; i++)
		longest = c->drivers[i].budget_us > longest ? c->drivers[i].budget_us : longest;
	return now_us() + longest;
}

static void log_driver(const struct driver_report *rep, const struct kernel *k)
{
	_cleanup_free_ char *line = report_line(rep, k);

	log_line(report_is_failure(rep) ? LOG_WARNING : LOG_INFO, "%s", line ? line : rep->name);
	for (size_t i = 0; i < rep->warnings.n; i++)
		log_warning("%s: %s", rep->name, rep->warnings.v[i]);
	for (size_t i = 0; i < rep->rejected.n; i++)
		log_debug("%s: %s: %s: %s", rep->name, rep->rejected.v[i].origin,
			  reason_word(rep->rejected.v[i].why.code), rep->rejected.v[i].why.text);
}

/*
 * Two rings: everybody's keys, and the vendor's alone for TrustOnly=usr. Each is read when the
 * first driver needs it, so that a machine without devices reads none.
 */
struct rings {
	struct keyring ring[2];
	struct seen seen[2]; /* with each */
	bool loaded[2];
};

static void rings_free(struct rings *r)
{
	keyring_free(&r->ring[0]);
	keyring_free(&r->ring[1]);
	seen_free(&r->seen[0]);
	seen_free(&r->seen[1]);
}

static int choose_keys(struct boot *b, const struct driver *d, struct rings *rings, struct report *report,
		       struct err *err)
{
	struct keyring *ring = &rings->ring[d->trust_usr];
	int r;

	if (!rings->loaded[d->trust_usr]) {
		r = keyring_load(b->host, d->trust_usr, ring, err);
		if (r == 0 && strv_copy(&report->warnings, &ring->warnings) < 0)
			r = err_sys(err, -ENOMEM, "keys");
		if (r < 0)
			return r;
		rings->loaded[d->trust_usr] = true;
	}
	b->keys = ring;
	b->seen = &rings->seen[d->trust_usr];
	return 0;
}

static int run_drivers(struct boot *b, struct report *report)
{
	_cleanup_(rings_free) struct rings rings = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->config->n_drivers; i++) {
		const struct driver *d = &b->config->drivers[i];
		struct driver_report *rep = report_add_driver(report, d);

		if (!rep) {
			r = -ENOMEM;
			break;
		}
		if (boot_has_work(b, d, &rep->result) && choose_keys(b, d, &rings, report, &rep->result) == 0)
			r = boot_driver(b, d, rep);
		log_driver(rep, b->kernel);
	}
	b->keys = NULL;
	b->seen = NULL;
	return r;
}

/* An initramfs without systemd does it itself: dracut/50modulus/modulus-pre-pivot.sh reads this. */
static int leave_request(const struct host *h, const char *target)
{
	_cleanup_close_ int dir = -EBADF;
	_cleanup_free_ char *line = str_printf("%s\n", target);
	int r = line ? host_live_mkdir(h, STATUS_DIR, &dir) : -ENOMEM;

	return r < 0 ? r : write_file_at(dir, REQUIRED_NAME, line, strlen(line), 0644);
}

/*
 * What Required=yes asks for, once the report is written. The first driver that failed decides; one whose device is not
 * there is not missed, whatever is wrong with its file. No attempt of this boot brought the machine down: what does
 * now is this.
 */
static void carry_out(const struct host *h, const struct config *c, const struct device_list *devices,
		      const struct report *report)
{
	static const char *const targets[][2] = { [FAIL_EMERGENCY] = { "emergency.target", "isolate" },
						  [FAIL_REBOOT] = { "reboot.target", "replace-irreversibly" },
						  [FAIL_POWEROFF] = { "poweroff.target", "replace-irreversibly" } };
	const struct driver *d = NULL;
	int r;

	for (size_t i = 0; !d && i < report->n_drivers; i++)
		if (c->drivers[i].required && report_is_failure(&report->drivers[i]) && boot_wants(&c->drivers[i], devices))
			d = &c->drivers[i];
	if (!d)
		return;
	for (size_t i = 0; i < report->n_drivers; i++) {
		const struct trial t = report_trial(&report->drivers[i], &report->kernel);
		struct err why;

		if (t.digest && trial_end(h, &t, &why) < 0)
			log_warning("%s: %s", t.name, why.text);
	}
	log_error("%s: Required=yes, and it is not there: asking for %s", d->name, targets[d->on_failure][0]);
	r = h->ops->start_target(targets[d->on_failure][0], targets[d->on_failure][1]);
	if (r < 0)
		r = leave_request(h, targets[d->on_failure][0]);
	if (r < 0)
		log_error("%s: %s", targets[d->on_failure][0], strerror(-r));
}

static int run_all(const struct host *h, const char *stage)
{
	_cleanup_machine_ struct machine m = { 0 };
	_cleanup_report_ struct report report = { .stage = stage, .started_us = now_us() };
	_cleanup_close_ int lock = -EBADF;
	struct boot b = { .host = h, .cmdline = &m.cmdline, .config = &m.config, .kernel = &m.kernel,
			  .devices = &m.devices };
	struct err err;
	json_t *status;
	int r, q;

	if (lock_machine(h, LIMIT_LOCK_US, &lock, &err) < 0) /* a boot does not fail for that */
		log_warning("%s", err.text);
	report.taint_before = kernel_taint(h);
	r = machine_read(h, &m, &err);
	if (r < 0) {
		log_error("%s: %s", reason_word(r), err.text);
		return reason_exit(r);
	}
	report.kernel = m.kernel;
	if (m.config.debug)
		log_init(true);
	machine_say_warnings(&m);
	r = strv_copy(&report.warnings, &m.config.warnings);
	if (r == 0 && m.config.n_drivers == 0)
		log_info("no driver is configured (/etc/modulus/*.conf)");
	if (r == 0 && !m.config.off) {
		own_copy_begin(h);
		r = boot_plan(h, &m.config, &m.devices, true);
	}
	b.until_us = boot_until(&m.config);
	if (r == 0)
		r = run_drivers(&b, &report);
	network_release(h);
	q = own_copy_end();
	if (r == 0 && q < 0)
		r = strv_addf(&report.warnings, OWN_COPY_PATH ": %s", strerror(-q));
	status = report_json(h, &report);
	if (r == 0)
		r = status_write(h, status);
	json_decref(status);
	if (r < 0) {
		log_error("%s/%s: %s", STATUS_DIR, STATUS_NAME, strerror(-r));
		return EXIT_SYSTEM;
	}
	carry_out(h, &m.config, &m.devices, &report);
	for (size_t i = 0; i < report.n_drivers; i++)
		if (reason_exit(report.drivers[i].result.code) != EXIT_DONE)
			return reason_exit(report.drivers[i].result.code);
	return EXIT_DONE;
}

int boot_run(const struct host *h)
{
	return run_all(h, streq(h->root_path, "/") ? "real-root" : "initramfs");
}
