/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where bundles come from. A source specification ("cache:", "usr:") becomes a list
 * of places with one bundle each; every one is opened, its header verified and judged, and the
 * best that fits is handed out first.
 *
 * The best: the pinned digest, then what drives all of the driver's devices that are here, then the
 * order in Flavor=, then the highest serial, then the order in From=. All local sources are looked at,
 * headers only.
 */
#ifndef MODULUS_SOURCE_H
#define MODULUS_SOURCE_H

#include "bundle.h"
#include "config.h"
#include "device.h"
#include "kernel.h"
#include "seen.h"

struct source_request;
struct next_kernel;

/* A place that was looked at and not used. */
struct rejection {
	char *origin;
	struct err why;
	bool other; /* by its name it is another driver's: says nothing about this one */
};

struct rejections {
	struct rejection *v;
	size_t n;
};

int rejections_add(struct rejections *r, const char *origin, const struct err *why) _must_check_;
void rejections_free(struct rejections *r);
#define _cleanup_rejections_ _cleanup_(rejections_free)
/*
 * The one failure that says most: for the report when nothing could be used. Fills *ret and
 * returns its code; -E_NO_BUNDLE when there were no places at all.
 */
int rejections_verdict(const struct rejections *r, const struct source_request *req, struct err *ret);

/* A bundle that fits: header verified, payload not read yet. */
struct candidate {
	struct bundle *bundle; /* NULL once taken */
	const char *source;    /* "cache", "usr"; static */
	char *origin;          /* "usr:/usr/lib/modulus/bundles/REL/x.tar.zst" */
	unsigned int order;    /* place in From= */
	bool drives_all;       /* of the driver's devices that are here none is left out */
	unsigned int flavor;   /* place in Flavor= */
	char *address, *tag;   /* of the network: what to remember with asked.h; tag NULL: nothing */
};

struct candidates {
	struct candidate *v;
	size_t n;
};

void candidate_done(struct candidate *c);
void candidates_free(struct candidates *c);
#define _cleanup_candidates_ _cleanup_(candidates_free)

struct source_request {
	const struct host *host;
	const struct cmdline *cmdline;
	const struct kernel *kernel;
	const struct keyring *keys;
	struct seen *seen; /* with these keys, by drivers of the same run; NULL: nothing is remembered */
	const struct config *config; /* all drivers: whose file an unreadable one may be */
	const struct driver *driver;
	const struct device_list *devices; /* all that were found. Where none is the driver's, or NULL: it counts for nothing */
	const char *flavor; /* the only one that is asked for; NULL: those of Flavor= */
	struct strv *passed; /* flavours whose modules found no device: not asked for any more. NULL: none was tried */
	enum bundle_kind kind; /* modules: From= says where; others: its local places, then Runtime= */
	const char *module; /* of modules: only a bundle that holds this one; NULL: any */
	const char *digest; /* the one bundle that is wanted, since modules of it are live; NULL: any */
	const struct next_kernel *next; /* whose /usr counts instead of the running one's; NULL: that one */
	/*
	 * Digests of bundles that are had and good: an address that still holds one of them is not transferred,
	 * and says so with -EALREADY in the rejections. NULL: everything is asked for as if for the first time.
	 */
	const struct strv *have;
	bool without_cache; /* what is kept here already does not count */
	uint64_t until_us; /* CLOCK_BOOTTIME; for the network */
	uint64_t retry_until_us; /* filled by source_find_network(): this source's share of the time */
};

/*
 * All fitting bundles in local places, best first, and why the others do not fit. An empty list
 * is no error. -E_EQUIVOCATION: two different bundles with one serial are the best; where they are only
 * the best of a flavour that is not the first choice, that flavour is rejected. -ENOMEM.
 */
int source_find_local(const struct source_request *req, struct candidates *ret, struct rejections *rejected,
		      struct err *err) _must_check_;

/*
 * For when no local bundle could be used: the network sources, one after another, in the order that
 * they are listed in. One with {flavor} is asked for each of Flavor=, until one drives all devices.
 * *cursor starts at 0. 1: *ret holds what one source has, best first; 0: there are no more, or the last one
 * that was asked still holds what is had, see source_request.have.
 */
int source_find_network(const struct source_request *req, unsigned int *cursor, struct candidates *ret,
			struct rejections *rejected, struct err *err) _must_check_;

/*
 * Judges one bundle: into found when it answers the request, into rejected with the reason when not.
 * Takes the reader. source: a static word, origin: where it is. -ENOMEM.
 */
int source_consider(const struct source_request *req, const char *source, unsigned int order, struct reader *reader,
		    const char *origin, struct candidates *found, struct rejections *rejected, struct err *err) _must_check_;

/*
 * Of the rejections from number `from` on, those that are damaged files of the cache: out of the
 * way (store_quarantine), and a line for each in *said. -ENOMEM.
 */
int source_quarantine(const struct host *h, const struct config *c, const struct rejections *rejected, size_t from,
		      struct strv *said) _must_check_;

/* What may be shown of a source's address: all but "user:password@". Caller frees; NULL: no memory. */
char *source_shown(const char *spec) _must_check_;

/* Is that the word of a network source, in struct candidate? */
bool source_is_network(const char *scheme) _must_check_;

/* Is there a network source at all? */
bool source_has_network(const struct source_request *req);

/*
 * A kind of source. A source yields readers one after another; what they hold is not its
 * business. `place` directories hold bundles as <release>/x.tar.zst and any/x.tar.zst.
 */
struct source;

struct source_ops {
	const char *scheme; /* "usr" of "usr:..." */
	bool network;       /* asked only when nothing local fits, one at a time */
	/* Finds the place. -ENOENT: nothing there, which is no failure. -E_XXX with err. */
	int (*open)(struct source *s, struct err *err);
	/* 1: *ret_reader and *ret_origin are filled; 0: no more; negative: this place failed, go on. */
	int (*next)(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err);
	void (*close)(struct source *s);
};

struct source {
	const struct source_ops *ops;
	const struct source_request *req;
	const char *location; /* what follows the scheme */
	bool done; /* for the sources that have one bundle */
	char *address, *tag; /* likewise, see struct candidate; taken from there */
	/* a directory of bundles, for the sources that are one: see source_dir_* */
	int base;
	char *base_path;
	struct strv names; /* "REL/x.tar.zst", in order */
	size_t at;
};

extern const struct source_ops source_cache, source_usr, source_partition, source_http, source_https, source_oci;

/* Lists the bundles of s->base into s->names; prefix narrows the file names (NULL: all of them). */
int source_dir_list(struct source *s, const char *prefix) _must_check_;
/* Takes fd as s->base, with all bundles listed, or the error of opening it. shown: its path. -ENOENT, -errno. */
int source_dir_open(struct source *s, int fd, const char *shown, struct err *err) _must_check_;
/*
 * The same for a directory below `top` (shown as `shown`), which is not below the root: absolute links mean
 * another place there, and are not followed.
 */
int source_dir_open_below(struct source *s, int top, const char *shown, const char *below, struct err *err) _must_check_;
/*
 * The same on a block device, which is mounted for it read-only on no path (privatemount.h) until s->base is
 * closed. shown: what its top directory is called behind "DEVICE:". -E_NO_BUNDLE: no file system that we mount.
 */
int source_dir_open_on(struct source *s, const char *device, const char *shown, const char *below, struct err *err)
	_must_check_;
/* source_ops.next and .close for a listed directory. */
int source_dir_next(struct source *s, struct reader **ret_reader, char **ret_origin, struct err *err);
void source_dir_close(struct source *s);

#endif
