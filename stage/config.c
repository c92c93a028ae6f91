// SPDX-License-Identifier: Apache-2.0
/*
 * config.c - the directories with INI files, and the kernel command line -> struct config. Runs first, in the
 * initramfs and on a running host; reads only, changes nothing. configfile.c reads one file's text.
 */
#include "configfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "limit.h"

#define CONFIG_SUFFIX ".conf"
#define CONFIG_GLOBAL "modulus.conf"

static const char *const config_dirs[] = { "/etc/modulus", "/usr/lib/modulus" };

bool module_name_equal(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		char x = *a == '-' ? '_' : *a, y = *b == '-' ? '_' : *b;

		if (x != y)
			return false;
	}
	return *a == *b;
}

bool module_name_listed(const struct strv *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (module_name_equal(names->v[i], name))
			return true;
	return false;
}

const struct driver *config_find(const struct config *c, const char *name)
{
	for (size_t i = 0; name && i < c->n_drivers; i++)
		if (streq(c->drivers[i].name, name))
			return &c->drivers[i];
	return NULL;
}

static void driver_free(struct driver *d)
{
	free(d->name);
	free(d->path);
	free(d->version);
	free(d->digest);
	free(d->ca);
	free(d->proxy);
	free(d->credentials);
	free(d->cache);
	strv_free(&d->build);
	strv_free(&d->flavors);
	strv_free(&d->match);
	strv_free(&d->load);
	strv_free(&d->options);
	strv_free(&d->evict);
	strv_free(&d->from);
	strv_free(&d->runtime);
	*d = (struct driver){ 0 };
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < c->n_drivers; i++)
		driver_free(&c->drivers[i]);
	free(c->drivers);
	free(c->cache);
	strv_free(&c->blacklist);
	strv_free(&c->warnings);
	*c = (struct config){ 0 };
}

static int driver_defaults(const struct driver *from, struct driver *ret)
{
	const struct {
		const char *from;
		char **to;
	} strings[] = { { from->ca, &ret->ca }, { from->proxy, &ret->proxy },
			{ from->credentials, &ret->credentials }, { from->digest, &ret->digest },
			{ from->version, &ret->version } };

	*ret = (struct driver){ .min_serial = from->min_serial, .budget_us = from->budget_us,
				.trust_usr = from->trust_usr, .trial = from->trial, .required = from->required,
				.on_failure = from->on_failure, .gate_us = from->gate_us, .build_us = from->build_us,
				.sysext = from->sysext };
	for (size_t n = 0; n < ARRAY_SIZE(strings); n++)
		if (strings[n].from && !(*strings[n].to = strdup(strings[n].from)))
			return -ENOMEM;
	if (strv_copy(&ret->from, &from->from) < 0 || strv_copy(&ret->runtime, &from->runtime) < 0 ||
	    strv_copy(&ret->options, &from->options) < 0 || strv_copy(&ret->flavors, &from->flavors) < 0 ||
	    strv_copy(&ret->match, &from->match) < 0 || strv_copy(&ret->load, &from->load) < 0 ||
	    strv_copy(&ret->evict, &from->evict) < 0 || strv_copy(&ret->build, &from->build) < 0)
		return -ENOMEM;
	return 0;
}

static int read_config_file(const struct host *h, const char *path, char **ret, size_t *ret_len, struct err *err)
{
	_cleanup_close_ int fd = host_root_open(h, path, O_RDONLY | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? fd : err_set(err, -E_BAD_CONFIG, "%s: %s", path, strerror(-fd));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -E_BAD_CONFIG, "%s: not a regular file", path);
	r = read_whole(fd, LIMIT_CONFIG_BYTES, ret, ret_len);
	if (r == -EFBIG)
		return err_set(err, -E_BAD_CONFIG, "%s: larger than %u bytes", path, LIMIT_CONFIG_BYTES);
	return r < 0 ? err_set(err, -E_BAD_CONFIG, "%s: %s", path, strerror(-r)) : 0;
}

static struct driver *find_driver(struct config *c, const char *file_name)
{
	for (size_t i = 0; i < c->n_drivers; i++) {
		const char *base = strrchr(c->drivers[i].path, '/') + 1;

		if (streq(base, file_name))
			return &c->drivers[i];
	}
	return NULL;
}

static bool driver_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= LIMIT_NAME_BYTES && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n &&
	       name[0] != '-' && name[0] != '_';
}

/* A link to /dev/null, systemd's way to mask a file; there need be no /dev/null below the root. */
static bool is_link_to_null(const struct host *h, const char *path)
{
	_cleanup_close_ int fd = host_root_open(h, path, O_PATH | O_NOFOLLOW);
	char target[sizeof("/dev/null")];

	return fd >= 0 && readlinkat(fd, "", target, sizeof(target)) == (ssize_t)strlen("/dev/null") &&
	       memcmp(target, "/dev/null", strlen("/dev/null")) == 0;
}

static int add_driver(const struct host *h, const char *dir, const char *file, const struct driver *defaults,
		      struct config *c)
{
	_cleanup_free_ char *text = NULL;
	struct driver *bigger, *d;
	size_t len;
	int r;

	bigger = reallocarray(c->drivers, c->n_drivers + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	c->drivers = bigger;
	d = &c->drivers[c->n_drivers];
	r = driver_defaults(defaults, d);
	d->path = str_printf("%s/%s", dir, file);
	d->name = str_middle(file, "", CONFIG_SUFFIX);
	c->n_drivers++; /* from here on config_free() owns it */
	if (r < 0 || !d->path || !d->name)
		return -ENOMEM;
	if (!driver_name_ok(d->name))
		return err_set(&d->error, -E_BAD_CONFIG, "%s: a driver's name has a-z, 0-9, - and _ only", d->path),
		       0;
	d->masked = is_link_to_null(h, d->path);
	if (d->masked)
		return 0;
	r = read_config_file(h, d->path, &text, &len, &d->error);
	d->masked = r == 0 && len == 0;
	if (r == 0 && !d->masked)
		r = config_parse_driver(d->path, text, len, d, &c->warnings, &d->error);
	if (r == -ENOENT)
		(void)err_set(&d->error, -E_BAD_CONFIG, "%s: a dangling link", d->path);
	if (d->cache && strv_addf(&c->warnings, "%s: Cache= counts in " CONFIG_GLOBAL " only", d->path) < 0)
		return -ENOMEM;
	if (r == -ENOMEM)
		return r;
	if (d->from.n == 0 && (strv_add(&d->from, "cache:") < 0 || strv_add(&d->from, "usr:") < 0))
		return -ENOMEM;
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_driver_file(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_suffix(e->d_name, CONFIG_SUFFIX) && !streq(e->d_name, CONFIG_GLOBAL);
}

/*
 * One thing is not for /etc to lift: a vendor whose file in /usr says TrustOnly=usr means whoever can
 * write /etc. All else that the file says is not asked for.
 */
static int read_vendor_trust(const char *path, const char *text, size_t len, unsigned int *trust_usr, struct err *err)
{
	struct driver vendor = { 0 };
	struct strv ignored = { 0 };
	int r = config_file_parse(path, text, len, &vendor, &ignored, err);

	*trust_usr = *trust_usr || vendor.trust_usr;
	driver_free(&vendor);
	strv_free(&ignored);
	return r;
}

/* A file in /usr of which the one in /etc takes the place. */
static int replaced_driver(const struct host *h, const char *dir, const char *file, struct driver *d)
{
	_cleanup_free_ char *path = str_printf("%s/%s", dir, file), *text = NULL;
	struct err unsaid;
	size_t len;
	int r = path ? read_config_file(h, path, &text, &len, &unsaid) : -ENOMEM;

	if (r == 0)
		r = read_vendor_trust(path, text, len, &d->trust_usr, &unsaid);
	return r == -ENOMEM ? r : 0;
}

static int take_file(const struct host *h, const char *dir, const char *file, const struct driver *defaults,
		     struct config *c)
{
	struct driver *have = find_driver(c, file);

	if (have)
		return replaced_driver(h, dir, file, have);
	if (c->n_drivers < LIMIT_DRIVERS)
		return add_driver(h, dir, file, defaults, c);
	return strv_addf(&c->warnings, "%s/%s: ignored, there are %u drivers already", dir, file, LIMIT_DRIVERS);
}

static int read_dir(const struct host *h, const char *dir, const struct driver *defaults, struct config *c,
		    struct err *err)
{
	_cleanup_close_ int fd = host_root_open(h, dir, O_RDONLY | O_DIRECTORY);
	struct dirent **list = NULL;
	int n, r = 0;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(err, fd, "%s", dir);
	n = scandirat(fd, ".", &list, is_driver_file, by_name);
	if (n < 0)
		return err_sys(err, -errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = take_file(h, dir, list[i]->d_name, defaults, c);
		free(list[i]);
	}
	free(list);
	return r < 0 ? err_sys(err, r, "%s", dir) : 0;
}

/* The first modulus.conf counts, /etc before /usr/lib. */
static int read_global(const struct host *h, struct driver *defaults, struct config *c, struct err *err)
{
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(config_dirs); i++) {
		_cleanup_free_ char *path = str_printf("%s/%s", config_dirs[i], CONFIG_GLOBAL);
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r;

		if (!path)
			return err_sys(err, -ENOMEM, "%s", config_dirs[i]);
		r = read_config_file(h, path, &text, &len, err);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		if (found)
			r = read_vendor_trust(path, text, len, &defaults->trust_usr, err);
		else
			r = config_file_parse(path, text, len, defaults, &c->warnings, err);
		if (r < 0)
			return r;
		found = true;
	}
	return 0;
}

static void drop_masked(struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_drivers; i++) {
		if (c->drivers[i].masked)
			driver_free(&c->drivers[i]);
		else
			c->drivers[n++] = c->drivers[i];
	}
	c->n_drivers = n;
}

/* Module names of rd.driver.blacklist=, modprobe.blacklist=, module_blacklist=. */
static int read_blacklist(const struct cmdline *cmdline, struct strv *ret)
{
	static const char *const words[] = { "rd.driver.blacklist", "modprobe.blacklist", "module_blacklist" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const char *value;
		size_t cursor = 0;

		while ((value = cmdline_next(cmdline, words[i], &cursor)))
			if (strv_add_words(ret, value, ",") < 0)
				return -ENOMEM;
	}
	return 0;
}

/* modulus.from= goes before what the file says. */
static int apply_from(const struct cmdline *cmdline, struct driver *d)
{
	struct strv all = { 0 };
	const char *value;
	size_t cursor = 0;
	int r = 0;

	while (r == 0 && (value = cmdline_next(cmdline, "modulus.from", &cursor)) && all.n < LIMIT_SOURCES)
		r = strv_add(&all, value);
	if (r == 0)
		r = strv_copy(&all, &d->from);
	if (r < 0) {
		strv_free(&all);
		return r;
	}
	strv_free(&d->from);
	d->from = all;
	return 0;
}

int config_read(const struct host *h, const struct cmdline *cmdline, struct config *ret, struct err *err)
{
	_cleanup_config_ struct config c = { 0 };
	struct driver defaults = { .budget_us = DEFAULT_BUDGET_US, .build_us = DEFAULT_BUILD_US };
	const char *off = cmdline_get(cmdline, "modulus"), *budget = cmdline_get(cmdline, "modulus.budget");
	struct err global = { 0 };
	uint64_t budget_us = 0;
	int r;

	c.off = off && streq(off, "off");
	c.debug = cmdline_get(cmdline, "modulus.debug") != NULL;
	r = read_global(h, &defaults, &c, &global);
	for (size_t i = 0; r != -ENOMEM && i < ARRAY_SIZE(config_dirs); i++) {
		int q = read_dir(h, config_dirs[i], &defaults, &c, err);

		if (q < 0) {
			driver_free(&defaults);
			return q;
		}
	}
	c.cache = TAKE_PTR(defaults.cache);
	driver_free(&defaults);
	drop_masked(&c);
	if (r == -ENOMEM || read_blacklist(cmdline, &c.blacklist) < 0)
		return err_sys(err, -ENOMEM, "configuration");
	if (budget && (config_parse_duration(budget, &budget_us) < 0 || budget_us == 0)) {
		budget_us = 0;
		if (strv_add(&c.warnings, "kernel command line: modulus.budget= is not a duration") < 0)
			return err_sys(err, -ENOMEM, "configuration");
	}
	for (size_t i = 0; i < c.n_drivers; i++) {
		struct driver *d = &c.drivers[i];

		/* defaults that could not be read make every driver's settings unknown */
		if (global.code < 0 && d->error.code == 0)
			d->error = global;
		if (apply_from(cmdline, d) < 0)
			return err_sys(err, -ENOMEM, "configuration");
		if (budget_us)
			d->budget_us = budget_us;
	}
	*ret = c;
	c = (struct config){ 0 };
	return 0;
}

/* "/some/where/gpu.conf" -> "gpu" */
static int name_after(const char *path, struct driver *d, struct err *err)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	d->path = strdup(path);
	d->name = strndup(base, strlen(base) - (str_suffix(base, CONFIG_SUFFIX) ? strlen(CONFIG_SUFFIX) : 0));
	if (!d->path || !d->name)
		return err_sys(err, -ENOMEM, "%s", path);
	return driver_name_ok(d->name) ? 0 :
		       err_set(err, -E_BAD_CONFIG, "%s: a driver's name has a-z, 0-9, - and _ only", path);
}

int config_read_file(const char *path, struct config *ret, struct err *err)
{
	_cleanup_config_ struct config c = { 0 };
	_cleanup_free_ char *text = NULL;
	struct driver *d;
	size_t len;
	int r = read_whole_at(AT_FDCWD, path, LIMIT_CONFIG_BYTES, &text, &len);

	if (r < 0)
		return err_sys(err, r, "%s", path);
	d = c.drivers = calloc(1, sizeof(*d));
	if (!d)
		return err_sys(err, -ENOMEM, "%s", path);
	c.n_drivers = 1;
	*d = (struct driver){ .budget_us = DEFAULT_BUDGET_US, .build_us = DEFAULT_BUILD_US };
	r = name_after(path, d, err);
	if (r == 0)
		r = config_parse_driver(path, text, len, d, &c.warnings, err);
	if (r < 0)
		return r;
	if (d->from.n == 0 && (strv_add(&d->from, "cache:") < 0 || strv_add(&d->from, "usr:") < 0))
		return err_sys(err, -ENOMEM, "%s", path);
	*ret = c;
	c = (struct config){ 0 };
	return 0;
}
