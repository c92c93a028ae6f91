/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose.h - the first bundle of all places that answer a request which can really be used: local ones,
 * best first, then those in the network, one place after another.
 */
#ifndef MODULUS_CHOOSE_H
#define MODULUS_CHOOSE_H

#include "source.h"

struct choice {
	const struct source_request *req;
	/*
	 * Uses the candidate, whose header is good. replace: a copy in the cache turned out bad. 0; 1: it
	 * cannot be used, *err says why and another one may; negative: that is the end.
	 */
	int (*use)(void *ctx, struct candidate *c, bool replace, struct err *err);
	void *ctx;
	struct strv *said; /* files of the cache that went to quarantine */
	bool local; /* the network is not asked */
};

/*
 * 0: one was used. What the last use() said, or the failure that says most of all places
 * (rejections_verdict). In the initramfs a network is brought up before the first place there is asked.
 */
int choose_first(const struct choice *c, struct err *err) _must_check_;

/*
 * Is that outcome for firmware or libraries worth a word? Without Runtime= nobody asked for them: a place
 * without them says nothing, a bundle that is bad does.
 */
bool choose_is_told(const struct driver *d, int r);

#endif
