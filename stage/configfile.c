// SPDX-License-Identifier: Apache-2.0
/*
 * configfile.c - the text of one INI file -> struct driver. Pure.
 *
 * libinih splits the lines. Two of its habits need care: a line longer than its buffer comes
 * back in pieces, and handlers are not told the line number. We hand it one line at a time from
 * memory, so the line being handled is the one handed out last, and one that is too long is
 * refused before the library sees it.
 */
#include "configfile.h"

#include <ini.h>

#include "limit.h"

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

int config_file_parse(const char *path, const char *text, size_t len, struct driver *d, struct strv *warnings,
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
	int r = config_file_parse(path, text, len, d, warnings, err);
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
