// SPDX-License-Identifier: Apache-2.0
/*
 * template.c - From=https://host/{name}/{version}/... and the like -> the address for this machine.
 */
#include "template.h"

#include "limit.h"

static const char *value_of(const struct source_request *req, const char *name, size_t len)
{
	const struct strv *flavors = &req->driver->flavors;
	const struct {
		const char *name, *value;
	} known[] = {
		{ "name", req->driver->name },
		{ "version", req->driver->version },
		{ "flavor", req->flavor ? req->flavor : flavors->n ? flavors->v[0] : "" },
		{ "kind", manifest_kind_word(req->kind) },
		{ "machine", req->kernel->machine },
		{ "kernel", req->kernel->release },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == len && strncmp(known[i].name, name, len) == 0)
			return known[i].value;
	return NULL;
}

static bool is_plain(char c, enum template_style style)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	    c == '-')
		return true;
	return style == TEMPLATE_URL && c == '~';
}

int template_expand(const char *text, enum template_style style, const struct source_request *req, char **ret,
		    struct err *err)
{
	const char *key = req->kind == KIND_MODULES ? "From=" : "Runtime=";
	char out[LIMIT_URL_BYTES + 4];
	size_t n = 0;

	for (const char *p = text; *p && n < LIMIT_URL_BYTES; p++) {
		size_t len = strcspn(p, "}");
		const char *value;

		if (*p != '{') {
			out[n++] = *p;
			continue;
		}
		value = p[len] == '}' ? value_of(req, p + 1, len - 1) : NULL;
		if (!value)
			return err_set(err, -E_BAD_CONFIG, "%s: {%.*s is not a placeholder", key,
				       (int)MIN(len, (size_t)40), p + 1);
		for (; *value && n < LIMIT_URL_BYTES; value++) {
			if (is_plain(*value, style))
				out[n++] = *value;
			else if (style == TEMPLATE_OCI)
				out[n++] = '_';
			else
				n += (size_t)sprintf(out + n, "%%%02X", (unsigned char)*value);
		}
		p += len;
	}
	if (n >= LIMIT_URL_BYTES)
		return err_set(err, -E_BAD_CONFIG, "%s: longer than %u bytes", key, LIMIT_URL_BYTES);
	*ret = strndup(out, n);
	return *ret ? 0 : err_sys(err, -ENOMEM, "%s", key);
}
