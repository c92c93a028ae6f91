/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h - the tar inside a bundle, held against the manifest entry by entry.
 */
#ifndef MODULUS_UNPACK_H
#define MODULUS_UNPACK_H

#include "bundle.h"

struct unpack_sink {
	void *ctx;
	/* A place for the file's bytes: descriptor or negative code. The sink keeps ownership. */
	int (*begin)(void *ctx, const struct manifest_file *f, struct err *err);
	/* All bytes were written to fd and their hash held. */
	int (*done)(void *ctx, const struct manifest_file *f, int fd, struct err *err);
	/* Something failed after begin(): fd holds rubbish. */
	void (*abandon)(void *ctx, int fd);
};

/*
 * Reads the bundle to its end; each regular file must be the manifest's next one in path, size
 * and mode, and its bytes must hash to what the manifest says before done() is called. Nothing
 * but regular files is accepted. sink == NULL: only checks.
 * 0, -E_CORRUPT, -E_NO_SPACE, or what reader and sink said.
 */
int unpack_bundle(struct bundle *b, const struct unpack_sink *sink, struct err *err) _must_check_;

/*
 * Unpacks into a directory that the caller made: files and links, parents 0755, every open
 * beneath dirfd and through no link. -errno of the file system (EEXIST: nothing is overwritten).
 * After a failure everything that it made is gone, directories too, and nothing else.
 */
int unpack_to_dir(struct bundle *b, int dirfd, struct err *err) _must_check_;

/*
 * The same for who reads the bundle himself. What is ours: the first so many of the manifest's files and
 * links, and directories in the order of making. dirfd must be set, the rest zero.
 */
struct unpack_dir {
	int dirfd;
	struct strv dirs;
	size_t files, links;
};

struct unpack_sink unpack_dir_sink(struct unpack_dir *d);
/* The end, whatever the reading gave (r): links, or what was made is removed. r, or what a link failed with. */
int unpack_dir_finish(struct unpack_dir *d, const struct manifest *m, int r, struct err *err) _must_check_;

/* The file sink of unpack_to_dir for one path below dirfd, for other sinks' use. */
int unpack_create_file(int dirfd, const char *path, uint32_t mode, struct err *err) _must_check_;

#endif
