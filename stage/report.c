// SPDX-License-Identifier: Apache-2.0
/*
 * report.c - results -> JSON and one line. Written to /run at the end of boot and of finish; a
 * reader sees the old file or the new one, whole.
 */
#include "report.h"

#include "jsontext.h"
#include "lock.h"
#include "log.h"
#include "metrics.h"
#include "ready.h"

#include <fcntl.h>
#include <sys/resource.h>

static const char *const origin_words[] = { [MODULE_BUNDLE] = "bundle", [MODULE_KERNEL] = "kernel",
					    [MODULE_LIVE] = "live" };

void report_clear_bundle(struct bundle_report *b)
{
	free(b->flavor);
	free(b->source);
	free(b->origin);
	free(b->digest);
	free(b->key_id);
	free(b->cached);
	*b = (struct bundle_report){ 0 };
}

int report_set_bundle(struct bundle_report *b, const struct candidate *c, const struct manifest *m)
{
	report_clear_bundle(b);
	b->flavor = strdup(m->flavor);
	b->source = strdup(c->source);
	b->origin = strdup(c->origin);
	b->digest = strdup(m->digest);
	b->key_id = strdup(m->key_id);
	b->serial = m->serial;
	for (size_t i = 0; i < m->n_chunks; i++)
		b->stored_bytes += m->chunks[i].stored;
	return b->flavor && b->source && b->origin && b->digest && b->key_id ? 0 : -ENOMEM;
}

static void driver_report_done(struct driver_report *d)
{
	free(d->name);
	free(d->version);
	report_clear_bundle(&d->bundle);
	report_clear_bundle(&d->firmware.bundle);
	strv_free(&d->devices);
	strv_free(&d->nodes);
	strv_free(&d->kernel_log);
	strv_free(&d->load);
	strv_free(&d->warnings);
	rejections_free(&d->rejected);
	free(d->modules);
}

void report_free(struct report *r)
{
	for (size_t i = 0; i < r->n_drivers; i++)
		driver_report_done(&r->drivers[i]);
	free(r->drivers);
	strv_free(&r->warnings);
	*r = (struct report){ 0 };
}

struct driver_report *report_add_driver(struct report *r, const struct driver *d)
{
	struct driver_report *v = reallocarray(r->drivers, r->n_drivers + 1, sizeof(*v));

	if (!v)
		return NULL;
	r->drivers = v;
	v = &r->drivers[r->n_drivers++];
	*v = (struct driver_report){ .name = strdup(d->name), .version = d->version ? strdup(d->version) : NULL };
	return v->name ? v : NULL;
}

bool report_has_module(const struct driver_report *d, const char *name)
{
	for (size_t i = 0; i < d->n_modules; i++)
		if (streq(d->modules[i].name, name))
			return true;
	return false;
}

int report_add_module(struct driver_report *d, const char *name, enum module_origin from, uint64_t us)
{
	struct module_report *v;

	if (report_has_module(d, name)) /* by an attempt before this one */
		return 0;
	v = reallocarray(d->modules, d->n_modules + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	d->modules = v;
	v[d->n_modules] = (struct module_report){ .from = from, .us = us };
	snprintf(v[d->n_modules].name, sizeof(v->name), "%s", name);
	d->n_modules++;
	return 0;
}

size_t report_inserted(const struct driver_report *d, enum module_origin from)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_modules; i++)
		n += d->modules[i].from == from;
	return n;
}

struct trial report_trial(const struct driver_report *d, const struct kernel *k)
{
	return (struct trial){ .name = d->name, .digest = d->bundle.digest, .release = k->release, .build_id = k->build_id };
}

void report_phase(struct driver_report *d, const char *name, uint64_t us)
{
	for (size_t i = 0; i < d->n_phases; i++) {
		if (streq(d->phases[i].name, name)) {
			d->phases[i].us += us;
			return;
		}
	}
	if (d->n_phases < REPORT_PHASES)
		d->phases[d->n_phases++] = (struct phase){ .name = name, .us = us };
}

bool report_is_failure(const struct driver_report *d)
{
	return reason_exit(d->result.code) != EXIT_DONE || (d->result.code == -E_NO_DEVICE && d->devices.n > 0);
}

char *report_line(const struct driver_report *d, const struct kernel *k)
{
	_cleanup_free_ char *nodes = strdup("");

	if (d->result.code < 0)
		return str_printf("%s: %s: %s", d->name, reason_word(d->result.code), d->result.text);
	for (size_t i = 0; nodes && i < d->nodes.n; i++) {
		char *more = str_printf("%s%s%s", nodes, i ? " " : ", nodes ", d->nodes.v[i]);

		free(nodes);
		nodes = more;
	}
	if (!nodes)
		return NULL;
	if (!d->bundle.origin)
		return str_printf("%s: %s: %s%s", d->name, reason_word(0), d->result.text, nodes);
	return str_printf("%s: %s: %zu modules from %s in %llu ms (kernel %s, serial %llu, key %s)%s", d->name,
			  reason_word(0), report_inserted(d, MODULE_BUNDLE), d->bundle.origin, (unsigned long long)(d->us / 1000), k->release,
			  (unsigned long long)d->bundle.serial, d->bundle.key_id, nodes);
}

/* Words from a configuration file or a file's name need not be UTF-8: then they are shown escaped. */
static json_t *text_json(const char *s)
{
	json_t *j = json_string(s);
	char shown[1024];

	if (j)
		return j;
	escape_text(s, strlen(s), shown, sizeof(shown));
	return json_string(shown);
}

static json_t *optional(const char *s)
{
	return s ? text_json(s) : json_null();
}

static json_t *list_json(const struct strv *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, text_json(s->v[i]));
	return list;
}

static void add_bundle(json_t *o, const struct bundle_report *b)
{
	json_object_set_new(o, "flavor", json_string(b->flavor ? b->flavor : ""));
	json_object_set_new(o, "source", optional(b->source));
	json_object_set_new(o, "origin", optional(b->origin));
	json_object_set_new(o, "digest", optional(b->digest));
	json_object_set_new(o, "serial", b->digest ? json_integer((json_int_t)b->serial) : json_null());
	json_object_set_new(o, "bytes", b->digest ? json_integer((json_int_t)b->stored_bytes) : json_null());
	json_object_set_new(o, "key_id", optional(b->key_id));
	json_object_set_new(o, "cached", optional(b->cached));
}

static json_t *firmware_json(const struct driver_report *d)
{
	json_t *o = json_pack("{s:s, s:o}", "reason", reason_word(d->firmware.result.code), "text",
			      text_json(d->firmware.result.text));

	add_bundle(o, &d->firmware.bundle);
	return o;
}

json_t *report_driver_json(const struct driver_report *d)
{
	json_t *o = json_object(), *modules = json_array(), *rejected = json_array(), *phases = json_array();

	json_object_set_new(o, "name", text_json(d->name));
	json_object_set_new(o, "version", optional(d->version));
	json_object_set_new(o, "reason", json_string(reason_word(d->result.code)));
	json_object_set_new(o, "text", text_json(d->result.text));
	add_bundle(o, &d->bundle);
	json_object_set_new(o, "firmware", d->firmware.asked ? firmware_json(d) : json_null());
	json_object_set_new(o, "runtime", json_null()); /* of `finish` */
	json_object_set_new(o, "us", json_integer((json_int_t)d->us));
	json_object_set_new(o, "devices", list_json(&d->devices));
	json_object_set_new(o, "nodes", list_json(&d->nodes));
	for (size_t i = 0; i < d->n_modules; i++)
		json_array_append_new(modules, json_pack("{s:s, s:s, s:I}", "name", d->modules[i].name, "from",
							 origin_words[d->modules[i].from], "us",
							 (json_int_t)d->modules[i].us));
	json_object_set_new(o, "modules", modules);
	json_object_set_new(o, "load", list_json(&d->load));
	for (size_t i = 0; i < d->rejected.n; i++)
		json_array_append_new(rejected, json_pack("{s:o, s:s, s:o}", "origin",
							  text_json(d->rejected.v[i].origin), "reason",
							  reason_word(d->rejected.v[i].why.code), "text",
							  text_json(d->rejected.v[i].why.text)));
	json_object_set_new(o, "rejected", rejected);
	json_object_set_new(o, "warnings", list_json(&d->warnings));
	json_object_set_new(o, "kernel_log", list_json(&d->kernel_log));
	for (size_t i = 0; i < d->n_phases; i++)
		json_array_append_new(phases, json_pack("{s:s, s:I}", "name", d->phases[i].name, "us",
							(json_int_t)d->phases[i].us));
	json_object_set_new(o, "phases", phases);
	return o;
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

json_t *report_json(const struct host *h, const struct report *r)
{
	json_t *o = json_object(), *drivers = json_array();
	char boot_id[64];

	if (read_line_at(h->live_fd, "proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id)) < 0)
		boot_id[0] = '\0';
	json_object_set_new(o, "format", json_integer(STATUS_FORMAT));
	json_object_set_new(o, "stage", json_string(r->stage));
	json_object_set_new(o, "boot_id", json_string(boot_id));
	json_object_set_new(o, "kernel",
			    json_pack("{s:s, s:s, s:o}", "release", r->kernel.release, "machine", r->kernel.machine,
				      "build_id", r->kernel.build_id[0] ? json_string(r->kernel.build_id) : json_null()));
	json_object_set_new(o, "taint", json_pack("{s:I, s:I}", "before", (json_int_t)r->taint_before, "after",
						  (json_int_t)kernel_taint(h)));
	json_object_set_new(o, "started_us", json_integer((json_int_t)r->started_us));
	json_object_set_new(o, "finished_us", json_integer((json_int_t)now_us()));
	json_object_set_new(o, "cpu_us", json_integer((json_int_t)cpu_us()));
	json_object_set_new(o, "finish", json_null());
	json_object_set_new(o, "cdi", json_null());
	json_object_set_new(o, "blessed", json_null());
	json_object_set_new(o, "warnings", list_json(&r->warnings));
	for (size_t i = 0; i < r->n_drivers; i++)
		json_array_append_new(drivers, report_driver_json(&r->drivers[i]));
	json_object_set_new(o, "drivers", drivers);
	return o;
}

int status_read(const struct host *h, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	json_t *o;
	size_t len;
	int r;

	r = host_live_read(h, STATUS_DIR "/" STATUS_NAME, LIMIT_STATUS_BYTES, &text, &len);
	if (r < 0)
		return r;
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!o || json_integer_value(json_object_get(o, "format")) != STATUS_FORMAT ||
	    !json_is_array(json_object_get(o, "drivers"))) {
		json_decref(o);
		return -EBADMSG;
	}
	*ret = o;
	return 0;
}

struct trial status_trial(const json_t *status, const json_t *driver)
{
	const json_t *kernel = json_object_get(status, "kernel");

	return (struct trial){ .name = json_text(driver, "name"), .digest = json_text(driver, "digest"),
			       .release = json_text(kernel, "release"), .build_id = json_text(kernel, "build_id") };
}

int status_begin(const struct host *h, const struct kernel *k, json_t **ret, struct err *err)
{
	const struct report none = { .stage = "real-root", .kernel = *k, .started_us = now_us(),
				     .taint_before = kernel_taint(h) };
	int r = status_read(h, ret);

	if (r != -ENOENT)
		return r < 0 ? err_sys(err, r, STATUS_DIR "/" STATUS_NAME) : 0;
	*ret = report_json(h, &none);
	return *ret ? 0 : err_sys(err, -ENOMEM, STATUS_NAME);
}

json_t *status_entry(const json_t *status, const char *driver)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(status, "drivers"), i, entry)
		if (streq(json_text(entry, "name"), driver))
			return entry;
	return NULL;
}

int status_put_entry(json_t *status, const char *driver, json_t *entry)
{
	json_t *drivers = json_object_get(status, "drivers");
	size_t i;

	for (i = 0; i < json_array_size(drivers); i++)
		if (streq(json_text(json_array_get(drivers, i), "name"), driver))
			return json_array_set_new(drivers, i, entry) < 0 ? -ENOMEM : 0;
	return json_array_append_new(drivers, entry) < 0 ? -ENOMEM : 0;
}

bool status_is_ok(const json_t *entry)
{
	int code = reason_from_word(json_text(entry, "reason"));

	return reason_exit(code) == EXIT_DONE &&
	       (code != -E_NO_DEVICE || json_array_size(json_object_get(entry, "devices")) == 0);
}

static int write_whole(const struct host *h, const json_t *status)
{
	_cleanup_free_ char *text = json_dumps(status, JSON_INDENT(1));
	_cleanup_close_ int dir = -EBADF;
	int r;

	if (!text)
		return -ENOMEM;
	r = host_live_mkdir(h, STATUS_DIR, &dir);
	if (r == 0)
		r = write_file_at(dir, STATUS_NAME, text, strlen(text), 0644);
	if (r == 0)
		r = metrics_write(h, dir, status);
	return r < 0 ? r : ready_tell(dir, status);
}

/* A report that may lose a word of somebody else is better than none. */
static void lock_or_warn(const struct host *h, int *ret_lock)
{
	int r = lock_status(h, ret_lock);

	if (r < 0)
		log_warning("%s/%s: another modulus may be writing it: %s", STATUS_DIR, STATUS_NAME, strerror(-r));
}

int status_write(const struct host *h, const json_t *status)
{
	_cleanup_close_ int lock = -EBADF;

	lock_or_warn(h, &lock);
	return write_whole(h, status);
}

/* Members that are not as they were; each driver's are compared for themselves. */
static int carry_members(json_t *to, const json_t *was, json_t *is)
{
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach(is, key, value)
		if (r == 0 && !streq(key, "drivers") && !json_equal(value, json_object_get(was, key)))
			r = json_object_set(to, key, value);
	return r < 0 ? -ENOMEM : 0;
}

static int carry_changes(json_t *to, const json_t *was, json_t *is)
{
	int r = carry_members(to, was, is);
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(is, "drivers"), i, entry) {
		const char *name = json_text(entry, "name");
		const json_t *before = status_entry(was, name);
		json_t *there = status_entry(to, name);

		if (r < 0 || json_equal(entry, before))
			continue;
		r = before && there ? carry_members(there, before, entry) :
				      status_put_entry(to, name, json_incref(entry));
	}
	return r;
}

int status_update(const struct host *h, const json_t *was, json_t *status)
{
	_cleanup_close_ int lock = -EBADF;
	json_t *now = NULL;
	int r;

	lock_or_warn(h, &lock);
	r = status_read(h, &now);
	if (r < 0) /* none yet, or none that can be read */
		return write_whole(h, status);
	r = carry_changes(now, was, status);
	if (r == 0)
		r = write_whole(h, now);
	json_decref(now);
	return r;
}
