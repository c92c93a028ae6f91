// SPDX-License-Identifier: Apache-2.0
/*
 * config.c - INI files and the kernel command line -> struct config. Runs first, in the
 * initramfs and on a running host; reads only, changes nothing.
 *
 * libinih splits the lines. Two of its habits need care: a line longer than its buffer comes
 * back in pieces, and handlers are not told the line number. We hand it one line at a time from
 * memory, so the line being handled is the one handed out last, and one that is too long is
 * refused before the library sees it.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
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

static int parse_duration(const char *s, uint64_t max_us, uint64_t *ret_us)
{
	static const struct {
		const char *suffix;
		uint64_t us;
	} units[] = { { "ms", 1000 },	       { "min", 60000000 },	      { "s", 1000000 },
		    { "h", 3600ull * 1000000 }, { "d", 86400ull * 1000000 }, { "", 1000000 } };
	char digits[24];
	uint64_t value;
	size_t n = strspn(s, "0123456789");
	int r;

	if (n == 0 || n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, n);
	digits[n] = '\0';
	r = parse_u64(digits, &value);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!streq(s + n, units[i].suffix))
			continue;
		if (value > max_us / units[i].us)
			return -ERANGE;
		*ret_us = value * units[i].us;
		return 0;
	}
	return -EINVAL;
}

int config_parse_duration(const char *s, uint64_t *ret_us)
{
	return parse_duration(s, 86400ull * 1000000, ret_us);
}

/* How long an update may be held; "yes": for ever. */
static int parse_gate(const char *s, uint64_t *ret_us)
{
	int r;

	if (streq(s, "yes") || streq(s, "no")) {
		*ret_us = streq(s, "yes") ? CONFIG_GATE_ALWAYS : 0;
		return 0;
	}
	r = parse_duration(s, LIMIT_GATE_US, ret_us);
	return r == 0 && *ret_us == 0 ? -EINVAL : r;
}

/* --- one key --- */

enum key_type { KEY_STRING, KEY_WORDS, KEY_LINES, KEY_U64, KEY_DIGEST, KEY_DURATION, KEY_CHOICE, KEY_PLACE, KEY_GATE };

static const struct key {
	const char *section, *name;
	enum key_type type;
	size_t offset;
	size_t max; /* entries of a list, bytes of a string */
	const char *choices; /* words in the order of their numbers; "-" stands for a number without a word */
} keys[] = {
	{ "Driver", "Version", KEY_STRING, offsetof(struct driver, version), LIMIT_NAME_BYTES, NULL },
	{ "Driver", "Flavor", KEY_WORDS, offsetof(struct driver, flavors), LIMIT_FLAVORS, NULL },
	{ "Driver", "Match", KEY_WORDS, offsetof(struct driver, match), LIMIT_DRIVER_GLOBS, NULL },
	{ "Driver", "Load", KEY_WORDS, offsetof(struct driver, load), LIMIT_LOAD_NAMES, NULL },
	{ "Driver", "Options", KEY_LINES, offsetof(struct driver, options), LIMIT_OPTIONS, NULL },
	{ "Driver", "Evict", KEY_WORDS, offsetof(struct driver, evict), LIMIT_LOAD_NAMES, NULL },
	{ "Source", "From", KEY_WORDS, offsetof(struct driver, from), LIMIT_SOURCES, NULL },
	{ "Source", "Runtime", KEY_WORDS, offsetof(struct driver, runtime), LIMIT_SOURCES, NULL },
	{ "Source", "Cache", KEY_PLACE, offsetof(struct driver, cache), LIMIT_URL_BYTES, NULL },
	{ "Network", "CA", KEY_STRING, offsetof(struct driver, ca), LIMIT_URL_BYTES, NULL },
	{ "Network", "Proxy", KEY_STRING, offsetof(struct driver, proxy), LIMIT_URL_BYTES, NULL },
	{ "Network", "Credentials", KEY_STRING, offsetof(struct driver, credentials), LIMIT_URL_BYTES, NULL },
	{ "Trust", "MinSerial", KEY_U64, offsetof(struct driver, min_serial), 0, NULL },
	{ "Trust", "Digest", KEY_DIGEST, offsetof(struct driver, digest), 0, NULL },
	{ "Trust", "TrustOnly", KEY_CHOICE, offsetof(struct driver, trust_usr), 0, "- usr" },
	{ "Policy", "Budget", KEY_DURATION, offsetof(struct driver, budget_us), 0, NULL },
	{ "Policy", "Trial", KEY_CHOICE, offsetof(struct driver, trial), 0, "auto required none" },
	{ "Policy", "Sysext", KEY_CHOICE, offsetof(struct driver, sysext), 0, "no yes" },
	{ "Policy", "Gate", KEY_GATE, offsetof(struct driver, gate_us), 0, NULL },
	{ "Policy", "Required", KEY_CHOICE, offsetof(struct driver, required), 0, "no yes" },
	{ "Policy", "OnFailure", KEY_CHOICE, offsetof(struct driver, on_failure), 0, "emergency reboot poweroff" },
	{ "Build", "Command", KEY_WORDS, offsetof(struct driver, build), LIMIT_BUILD_WORDS, NULL },
	{ "Build", "Timeout", KEY_DURATION, offsetof(struct driver, build_us), 0, NULL },
};

static int set_string(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* The number of the word in "word word ..."; -EINVAL. */
static int choose(const char *choices, const char *value, unsigned int *ret)
{
	size_t n = strlen(value);

	for (unsigned int i = 0; *choices; i++) {
		size_t len = strcspn(choices, " ");

		if (len == n && memcmp(choices, value, n) == 0 && !streq(value, "-")) {
			*ret = i;
			return 0;
		}
		choices += len;
		choices += strspn(choices, " ");
	}
	return -EINVAL;
}

/* A directory, or a partition as fstab(5) names one. */
static bool is_place(const char *value)
{
	static const char *const tags[] = { "/", "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID=" };
	const char *rest;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		if (str_prefix(value, tags[i], &rest) && *rest)
			return true;
	return false;
}

/* -EINVAL: not such a value. -E2BIG: too long, too many. */
static int set_key(const struct key *k, const char *value, bool first, struct driver *d)
{
	void *field = (char *)d + k->offset;
	uint8_t digest[32];
	const char *hex;
	int r;

	switch (k->type) {
	case KEY_PLACE:
		if (strlen(value) > k->max)
			return -E2BIG;
		return is_place(value) ? set_string(field, value) : -EINVAL;
	case KEY_STRING:
		if (strlen(value) > k->max)
			return -E2BIG;
		return *value ? set_string(field, value) : -EINVAL;
	case KEY_WORDS:
	case KEY_LINES: {
		struct strv *list = field;

		if (first) /* a key in this file replaces what modulus.conf said */
			strv_free(list);
		r = k->type == KEY_WORDS ? strv_add_words(list, value, NULL) : strv_add(list, value);
		if (r < 0)
			return r;
		return list->n > k->max ? -E2BIG : 0;
	}
	case KEY_U64:
		return parse_u64(value, field);
	case KEY_DIGEST:
		if (!str_prefix(value, "sha256:", &hex))
			hex = value;
		if (hex_decode(hex, digest, sizeof(digest)) < 0)
			return -EINVAL;
		return set_string(field, hex);
	case KEY_GATE:
		return parse_gate(value, field);
	case KEY_CHOICE:
		return choose(k->choices, value, field);
	case KEY_DURATION:
		r = config_parse_duration(value, field);
		return r == 0 && *(uint64_t *)field == 0 ? -EINVAL : r;
	}
	return -EINVAL;
}

/* --- one file --- */

struct parser {
	const char *path;
	const char *rest, *end;
	int line;
	struct driver *d;
	struct strv *warnings;
	struct err *err;
	int result;
	unsigned int unknown;
	bool seen[ARRAY_SIZE(keys)];
};

static int fail(struct parser *p, int code, const char *what)
{
	if (p->result == 0)
		p->result = code == -ENOMEM ? err_sys(p->err, code, "%s", p->path) :
					      err_set(p->err, -E_BAD_CONFIG, "%s:%d: %s", p->path, p->line, what);
	return 0;
}

/* ini_reader: like fgets, over memory, one whole line or nothing. */
static char *next_line(char *buf, int size, void *stream)
{
	struct parser *p = stream;
	const char *nl;
	size_t n;

	if (p->result != 0 || p->rest == p->end)
		return NULL;
	p->line++;
	nl = memchr(p->rest, '\n', (size_t)(p->end - p->rest));
	n = (size_t)((nl ? nl + 1 : p->end) - p->rest);
	if (memchr(p->rest, '\0', n)) {
		fail(p, -E_BAD_CONFIG, "a NUL byte; this is not a text file");
		return NULL;
	}
	if (n > (size_t)size - 1) {
		char what[96];

		snprintf(what, sizeof(what), "line of %zu bytes; %d is the limit (continue on an indented line)", n,
			 size - 1);
		fail(p, -E_BAD_CONFIG, what);
		return NULL;
	}
	memcpy(buf, p->rest, n);
	buf[n] = '\0';
	p->rest += n;
	return buf;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
	char text[LIMIT_CONFIG_BYTES > 512 ? 512 : LIMIT_CONFIG_BYTES];
	struct parser *p = user;
	bool known_section = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct key *k = &keys[i];
		int r;

		if (!streq(section, k->section))
			continue;
		known_section = true;
		if (!streq(name, k->name))
			continue;
		r = set_key(k, value, !p->seen[i], p->d);
		p->seen[i] = true;
		if (r == 0)
			return 1;
		snprintf(text, sizeof(text), "%s=: %s", name,
			 r == -E2BIG ? "too long or too many" : "not a usable value");
		return fail(p, r, text);
	}
	if (++p->unknown > LIMIT_WARNINGS)
		return 1;
	escape_text(known_section ? name : section, strlen(known_section ? name : section), text, sizeof(text));
	if (strv_addf(p->warnings, "%s:%d: unknown %s '%s'%s", p->path, p->line, known_section ? "key" : "section",
		      text, p->unknown == LIMIT_WARNINGS ? "; no more of these are shown" : "") < 0)
		return fail(p, -ENOMEM, NULL);
	return 1;
}

/*
 * The keys of one file; whether anything required is there is the caller's business. A file that cannot
 * be used has an error and no warnings: libinih goes on behind a line that it does not understand, and
 * what follows a "[Driver" is in no section.
 */
static int parse_file(const char *path, const char *text, size_t len, struct driver *d, struct strv *warnings,
		      struct err *err)
{
	_cleanup_strv_ struct strv unknown = { 0 };
	struct parser p = { .path = path, .rest = text, .end = text + len, .d = d, .warnings = &unknown, .err = err };
	int line = ini_parse_stream(next_line, &p, on_key, &p);

	if (p.result == 0 && line > 0) {
		p.line = line;
		fail(&p, -E_BAD_CONFIG, "neither [Section], Key=Value nor a comment");
	}
	if (p.result == 0 && strv_copy(warnings, &unknown) < 0)
		fail(&p, -ENOMEM, NULL);
	return p.result;
}

int config_parse_driver(const char *path, const char *text, size_t len, struct driver *d, struct strv *warnings,
			struct err *err)
{
	int r = parse_file(path, text, len, d, warnings, err);
	bool named = false;

	if (r < 0)
		return r;
	if (!d->version)
		return err_set(err, -E_BAD_CONFIG, "%s: [Driver] Version= is missing", path);
	if (d->build.n > 0 && d->build.v[0][0] != '/')
		return err_set(err, -E_BAD_CONFIG, "%s: [Build] Command=%s is not an absolute path", path, d->build.v[0]);
	for (size_t i = 0; i < d->match.n; i++) {
		if (!strchr(d->match.v[i], ':'))
			return err_set(err, -E_BAD_CONFIG, "%s: Match=%s has no bus (as in pci:...)", path,
				       d->match.v[i]);
		named = named || d->match.v[i][0] != '!';
	}
	if (!named)
		return err_set(err, -E_BAD_CONFIG, "%s: [Driver] Match= is missing%s", path,
			       d->match.n ? ": all its globs begin with !" : "");
	return 0;
}

/* --- the directories --- */

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
				.on_failure = from->on_failure, .gate_us = from->gate_us, .build_us = from->build_us };
	for (size_t n = 0; n < ARRAY_SIZE(strings); n++)
		if (strings[n].from && set_string(strings[n].to, strings[n].from) < 0)
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
	d->name = strndup(file, strlen(file) - strlen(CONFIG_SUFFIX));
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
	int r = parse_file(path, text, len, &vendor, &ignored, err);

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
			r = parse_file(path, text, len, defaults, &c->warnings, err);
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
