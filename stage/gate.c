// SPDX-License-Identifier: Apache-2.0
/*
 * gate.c - see gate.h. Runs before an update is finished. Power loss: an older count stays (state.c), and the
 * gate holds a little longer.
 */
#include "gate.h"

#include <time.h>

#include "log.h"
#include "state.h"

#define STATE_NAME "gate.json"
#define SECOND_US 1000000ull

#ifndef MODULUS_EPOCH
#error "MODULUS_EPOCH, the time of the build in seconds, comes from the Makefile"
#endif

void gate_count_on(struct gate_count *c, const struct gate_count *now)
{
	if (streq(c->boot_id, now->boot_id)) {
		if (now->at_us > c->at_us)
			c->held_us += now->at_us - c->at_us;
	} else if (now->at > c->at && c->at >= (int64_t)MODULUS_EPOCH) {
		c->held_us += (uint64_t)(now->at - c->at) * SECOND_US;
	}
	memcpy(c->boot_id, now->boot_id, sizeof(c->boot_id));
	c->at_us = now->at_us;
	c->at = now->at;
}

static int read_now(const struct host *h, struct gate_count *ret)
{
	*ret = (struct gate_count){ .since = time(NULL), .at = time(NULL), .at_us = now_us() };
	return read_line_at(h->live_fd, "proc/sys/kernel/random/boot_id", ret->boot_id, sizeof(ret->boot_id));
}

static bool same(const json_t *o, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && streq(s, value);
}

/* The count for this kernel, brought up to now; one that begins now where there is none. */
static void read_count(const struct host *h, const struct kernel *k, const struct gate_count *now,
		       struct gate_count *ret)
{
	json_t *o = NULL;

	*ret = *now;
	if (state_read(h, STATE_DIR, STATE_NAME, &o) == 0 && same(o, "kernel", k->release) &&
	    same(o, "build_id", k->build_id) && json_integer_value(json_object_get(o, "held_us")) >= 0) {
		const char *boot_id = json_string_value(json_object_get(o, "boot_id"));

		ret->since = json_integer_value(json_object_get(o, "since"));
		ret->held_us = (uint64_t)json_integer_value(json_object_get(o, "held_us"));
		ret->at_us = (uint64_t)json_integer_value(json_object_get(o, "at_us"));
		ret->at = json_integer_value(json_object_get(o, "at"));
		snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", boot_id ? boot_id : "");
		gate_count_on(ret, now);
	}
	json_decref(o);
}

static int write_count(const struct host *h, const struct kernel *k, const struct gate_count *c, struct err *err)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:I}", "kernel", k->release, "build_id", k->build_id,
			      "since", (json_int_t)c->since, "held_us", (json_int_t)c->held_us, "boot_id", c->boot_id,
			      "at_us", (json_int_t)c->at_us, "at", (json_int_t)c->at);
	int r = o ? state_write(h, STATE_DIR, STATE_NAME, o, err) : err_sys(err, -ENOMEM, STATE_NAME);

	json_decref(o);
	return r;
}

/* The driver that holds longest, and why; NULL: none asks for it, or all are ready. */
static const struct driver *find_holder(const struct config *c, const struct findings *found,
					const struct finding **ret_why)
{
	const struct finding *everything = findings_failed(found, FINDING_SYSTEM);
	const struct driver *holder = NULL;

	for (size_t i = 0; i < c->n_drivers; i++) {
		const struct driver *d = &c->drivers[i];
		const struct finding *why = everything ? everything : findings_failed(found, d->name);

		if (d->gate_us == 0 || !why || (holder && d->gate_us <= holder->gate_us))
			continue;
		holder = d;
		*ret_why = why;
	}
	return holder;
}

static bool has_gate(const struct config *c)
{
	for (size_t i = 0; i < c->n_drivers; i++)
		if (c->drivers[i].gate_us > 0)
			return true;
	return false;
}

void gate_decide(const struct host *h, const struct config *c, const struct kernel *kernel,
		 const struct findings *found, struct gate *ret)
{
	const struct finding *why = NULL;
	const struct driver *d = find_holder(c, found, &why);
	struct gate_count now, count;
	struct err err;
	bool counted;

	*ret = (struct gate){ .lock = hold_look(h) };
	if (!d) {
		snprintf(ret->why, sizeof(ret->why), "%s",
			 has_gate(c) ? "every driver with a Gate= is ready" : "no driver has a Gate=");
		return;
	}
	if (read_now(h, &now) < 0)
		now.boot_id[0] = '\0';
	read_count(h, kernel, &now, &count);
	counted = write_count(h, kernel, &count, &err) == 0;
	if (!counted)
		log_warning("gate: since when it holds cannot be remembered: %s", err.text);
	ret->since = count.since;
	if (d->gate_us != CONFIG_GATE_ALWAYS)
		ret->until =
			now.at + (int64_t)((d->gate_us - MIN(count.held_us, d->gate_us) + SECOND_US - 1) / SECOND_US);
	ret->hold = d->gate_us == CONFIG_GATE_ALWAYS || (counted && count.held_us < d->gate_us);
	if (ret->hold && faccessat(h->live_fd, &GATE_OPEN[1], F_OK, 0) == 0) {
		ret->hold = false;
		snprintf(ret->why, sizeof(ret->why), "opened by " GATE_OPEN "; %s: %s: %.180s", why->about,
			 reason_word(why->why.code), why->why.text);
		return;
	}
	snprintf(ret->why, sizeof(ret->why), "%s%s: %s: %.180s", ret->hold ? "" : "Gate= has held for its time; ",
		 why->about, reason_word(why->why.code), why->why.text);
}

json_t *gate_json(const struct gate *g)
{
	return json_pack("{s:b, s:s, s:o, s:o, s:s?}", "hold", (int)g->hold, "why", g->why, "since",
			 g->since ? json_integer(g->since) : json_null(), "until",
			 g->until ? json_integer(g->until) : json_null(), "lock", hold_word(g->lock));
}
