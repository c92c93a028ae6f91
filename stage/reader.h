/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h - a forward-only supply of bytes: a file now, an answer from the network as well.
 */
#ifndef MODULUS_READER_H
#define MODULUS_READER_H

#include <sys/stat.h>

#include "err.h"

struct reader;

struct reader_ops {
	/* Up to len bytes, at least one unless at the end. 0: end. -errno or -E_XXX. */
	ssize_t (*read)(struct reader *r, void *buf, size_t len);
	/*
	 * The caller has the next len bytes already, from an earlier transfer: they are not read. 0, or
	 * -EOPNOTSUPP and nothing has changed. NULL: reading costs no more than having.
	 */
	int (*skip)(struct reader *r, const void *have, size_t len);
	/* Releases the reader itself too. */
	void (*close)(struct reader *r);
};

struct reader {
	const struct reader_ops *ops;
	struct err why; /* the sentence for a negative read, where the code alone does not say it */
};

/* Reads a descriptor from where it stands. Owns fd from here on, also when it fails (-ENOMEM). */
int reader_new_fd(int fd, struct reader **ret) _must_check_;
/* The same, but a read is -EINTR as soon as stop_fd, which stays the caller's, has something to read. */
int reader_new_fd_until(int fd, int stop_fd, struct reader **ret) _must_check_;

void reader_close(struct reader *r);
static inline void reader_closep(struct reader **r) { reader_close(*r); }
#define _cleanup_reader_ _cleanup_(reader_closep)

/* 0; -EOPNOTSUPP: no file is read; -errno. */
int reader_stat(const struct reader *r, struct stat *ret) _must_check_;

/* Exactly len bytes, or fewer at the end. Count or negative. */
ssize_t reader_read_full(struct reader *r, void *buf, size_t len) _must_check_;

#endif
