// SPDX-License-Identifier: Apache-2.0
/*
 * version.c - see version.h. Pure.
 */
#include "version.h"

#include "base.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static int order(size_t a, size_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_numbers(const char **a, const char **b)
{
	size_t n, m;
	int r;

	*a += strspn(*a, "0");
	*b += strspn(*b, "0");
	n = strspn(*a, DIGITS);
	m = strspn(*b, DIGITS);
	r = n != m ? order(n, m) : strncmp(*a, *b, n);
	*a += n;
	*b += m;
	return r;
}

static int compare_words(const char **a, const char **b)
{
	size_t n = strspn(*a, LETTERS), m = strspn(*b, LETTERS);
	int r = strncmp(*a, *b, MIN(n, m));

	*a += n;
	*b += m;
	return r != 0 ? r : order(n, m);
}

int version_compare(const char *a, const char *b)
{
	static const char separators[] = "-^.";

	for (;;) {
		int r;

		a += strcspn(a, DIGITS LETTERS "~-^.");
		b += strcspn(b, DIGITS LETTERS "~-^.");
		if (*a == '~' || *b == '~') { /* what comes before a release, even before its end */
			if (*a != *b)
				return order(*a != '~', *b != '~');
			a++;
			b++;
			continue;
		}
		if (!*a || !*b)
			return order(*a != '\0', *b != '\0');
		for (const char *s = separators; *s; s++) {
			if (*a != *s && *b != *s)
				continue;
			if (*a != *b)
				return order(*a != *s, *b != *s);
			a++;
			b++;
			break;
		}
		if (!*a || !*b)
			continue;
		r = strchr(DIGITS, *a) || strchr(DIGITS, *b) ? compare_numbers(&a, &b) : compare_words(&a, &b);
		if (r != 0)
			return r;
	}
}
