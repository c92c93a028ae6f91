// SPDX-License-Identifier: Apache-2.0
/*
 * progress.c - see progress.h. Runs wherever a bundle is read to its end: somebody waits for that, at boot the console.
 */
#include "progress.h"

#include "log.h"

#define SHOW_EVERY_US 200000

struct progress {
	const char *what;
	struct store_copy *copy;
	uint64_t total, done, began_us, shown_us;
	bool terminal;
};

static void show(struct progress *p, bool last)
{
	uint64_t now = now_us(), elapsed_us = now - p->began_us + 1;
	uint64_t rate = p->done * 1000000 / elapsed_us;
	unsigned int percent = p->total ? (unsigned int)(p->done * 100 / p->total) : 100;

	if (!last && now - p->shown_us < SHOW_EVERY_US)
		return;
	p->shown_us = now;
	notify_systemd("STATUS=%s: %u%% of %llu KiB", p->what, percent, (unsigned long long)(p->total >> 10));
	if (!p->terminal)
		return;
	fprintf(stderr, "\r\033[K%s: %3u%%  %llu of %llu KiB  %llu KiB/s  %llu s left", p->what, percent,
		(unsigned long long)(p->done >> 10), (unsigned long long)(p->total >> 10),
		(unsigned long long)(rate >> 10),
		(unsigned long long)(rate ? (p->total - MIN(p->done, p->total)) / rate : 0));
	if (last)
		fprintf(stderr, "\r\033[K");
}

static int on_chunk(void *ctx, const void *stored, size_t len)
{
	struct progress *p = ctx;

	p->done += len;
	show(p, false);
	/* what cannot be kept is still verified; store_publish() says why */
	if (p->copy)
		(void)store_append(p->copy, stored, len);
	return 0;
}

int progress_unpack(const char *what, struct bundle *b, const struct unpack_sink *sink, struct store_copy *copy,
		    struct err *err)
{
	const struct manifest *m = bundle_manifest(b);
	struct progress p = { .what = what, .copy = copy, .began_us = now_us(), .terminal = isatty(STDERR_FILENO) };
	int r;

	for (size_t i = 0; i < m->n_chunks; i++)
		p.total += m->chunks[i].stored;
	bundle_set_tee(b, on_chunk, &p);
	r = unpack_bundle(b, sink, err);
	show(&p, true);
	bundle_set_tee(b, NULL, NULL);
	return r;
}
