// SPDX-License-Identifier: Apache-2.0
/*
 * finding.c - see finding.h.
 */
#include "finding.h"

int findings_add(struct findings *l, enum finding_level level, const char *about, const char *what,
		 const struct err *why)
{
	struct finding *v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	v[l->n] = (struct finding){ .level = level, .about = strdup(about), .what = what, .why = *why };
	if (!v[l->n].about)
		return -ENOMEM;
	l->n++;
	return 0;
}

int findings_addf(struct findings *l, enum finding_level level, const char *about, const char *what, int code,
		  const char *fmt, ...)
{
	char raw[ERR_TEXT_MAX];
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	(void)err_set(&why, code, "%s", raw);
	return findings_add(l, level, about, what, &why);
}

void findings_set_command(struct findings *l, const char *command)
{
	l->v[l->n - 1].command = command;
}

void findings_free(struct findings *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].about);
	free(l->v);
	*l = (struct findings){ 0 };
}

const struct finding *findings_failed(const struct findings *l, const char *about)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].level == FINDING_FAIL && (!about || streq(about, l->v[i].about)))
			return &l->v[i];
	return NULL;
}

const char *finding_word(enum finding_level level)
{
	return level == FINDING_OK ? "ok" : level == FINDING_WARN ? "warn" : "fail";
}

const char *finding_remedy(const struct finding *f)
{
	if (f->level == FINDING_OK)
		return NULL;
	return f->command ? f->command : reason_advice(f->why.code);
}

json_t *findings_json(const struct findings *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++) {
		const struct finding *f = &l->v[i];
		json_t *o =
			json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s?}", "about", f->about, "what", f->what, "level",
				  finding_word(f->level), "reason", f->why.code == 0 ? NULL : reason_word(f->why.code),
				  "text", f->why.text, "remedy", finding_remedy(f));

		if (!o || json_array_append_new(a, o) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}
