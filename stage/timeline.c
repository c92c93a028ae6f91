// SPDX-License-Identifier: Apache-2.0
/*
 * timeline.c - see timeline.h. Reads what boot measured; drivers and phases are shown in the order in which they
 * ran, one after the other. Changes nothing.
 */
#include "timeline.h"

#include "base.h"
#include "jsontext.h"

/* columns: with the name before it and the figure behind it a line fits a terminal of 80 */
#define BAR_COLUMNS 44
#define NAME_COLUMNS 20

/* What happened "us" long, a number that somebody may have written by hand. */
static uint64_t duration(const json_t *o)
{
	json_int_t us = json_integer_value(json_object_get(o, "us"));

	return us > 0 ? (uint64_t)us : 0;
}

static unsigned int column(uint64_t total_us, uint64_t us)
{
	return us >= total_us ? BAR_COLUMNS : (unsigned int)((double)us / (double)total_us * BAR_COLUMNS);
}

static void print_bar(uint64_t total_us, const char *indent, const char *name, uint64_t from_us, uint64_t us)
{
	unsigned int from = column(total_us, from_us), to = column(total_us, from_us + us);
	char bar[BAR_COLUMNS + 1];

	if (from == BAR_COLUMNS) /* the shortest can be seen too */
		from--;
	if (to == from)
		to++;
	memset(bar, ' ', BAR_COLUMNS);
	memset(bar + from, '#', to - from);
	bar[BAR_COLUMNS] = '\0';
	printf("%s%-*s|%s|%9.1f ms\n", indent, NAME_COLUMNS - (int)strlen(indent), name, bar, (double)us / 1000);
}

/* Modules go in one after the other, from the beginning of the phase. */
static void print_inserts(uint64_t total_us, const json_t *modules, uint64_t at_us)
{
	json_t *m;
	size_t i;

	json_array_foreach(modules, i, m) {
		if (duration(m) == 0) /* was live */
			continue;
		print_bar(total_us, "    ", json_text(m, "name"), at_us, duration(m));
		at_us += duration(m);
	}
}

static void print_driver(const json_t *d)
{
	uint64_t total_us = duration(d), at_us = 0;
	json_t *phase;
	size_t i;

	printf("%s: %s, %.1f ms\n", json_text(d, "name"), json_text(d, "reason"), (double)total_us / 1000);
	json_array_foreach(json_object_get(d, "phases"), i, phase) {
		const char *name = json_text(phase, "name");

		print_bar(total_us, "  ", name, at_us, duration(phase));
		if (streq(name, "load"))
			print_inserts(total_us, json_object_get(d, "modules"), at_us);
		at_us += duration(phase);
	}
}

void timeline_print(const json_t *status)
{
	json_t *d;
	size_t i;

	printf("boot: %.1f ms, at %.3f s after the kernel's start; %.1f ms of CPU time\n",
	       (double)(json_integer_value(json_object_get(status, "finished_us")) -
			json_integer_value(json_object_get(status, "started_us"))) / 1000,
	       (double)json_integer_value(json_object_get(status, "started_us")) / 1e6,
	       (double)json_integer_value(json_object_get(status, "cpu_us")) / 1000);
	json_array_foreach(json_object_get(status, "drivers"), i, d)
		print_driver(d);
}
