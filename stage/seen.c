// SPDX-License-Identifier: Apache-2.0
/*
 * seen.c - see seen.h. Memory only: about 130 bytes for each file, 130 KiB at most.
 */
#include "seen.h"

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

const struct seen_file *seen_find(const struct seen *s, const struct stat *st)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct seen_file *f = &s->v[i];

		if (f->ino == st->st_ino && f->dev == st->st_dev && f->size == st->st_size &&
		    same_time(&f->mtime, &st->st_mtim) && same_time(&f->ctime, &st->st_ctim))
			return f;
	}
	return NULL;
}

void seen_add(struct seen *s, const struct stat *st, const struct manifest *m)
{
	struct seen_file *v = s->n < LIMIT_SEEN ? reallocarray(s->v, s->n + 1, sizeof(*v)) : NULL;

	if (!v)
		return;
	s->v = v;
	v[s->n] = (struct seen_file){ .dev = st->st_dev, .ino = st->st_ino, .size = st->st_size, .mtime = st->st_mtim,
				      .ctime = st->st_ctim, .kind = m->kind };
	snprintf(v[s->n].name, sizeof(v[s->n].name), "%s", m->name);
	s->n++;
}

void seen_free(struct seen *s)
{
	free(s->v);
	*s = (struct seen){ 0 };
}
