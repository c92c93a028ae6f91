/* SPDX-License-Identifier: Apache-2.0 */
/*
 * analysed.h - included before a file that an analyser looks at: it sees that file only, and so not what the functions
 * of others promise. Those of err.h give back the code that they were given, a negative one; those of base.h give
 * nothing that is more than 0; and where errno is read it is an error.
 */
#ifndef MODULUS_TEST_ANALYSED_H
#define MODULUS_TEST_ANALYSED_H

#include <errno.h>

#include "base.h"
#include "err.h"

static inline int *errno_of_failure(void)
{
	int *e = __errno_location();

	if (*e <= 0)
		__builtin_unreachable();
	return e;
}

#undef errno
#define errno (*errno_of_failure())

#define negative(call, code)                     \
	({                                       \
		int code_ = (code);              \
		if (code_ >= 0)                  \
			__builtin_unreachable(); \
		(void)(call);                    \
		code_;                           \
	})
#define err_set(err, code, ...) negative((err_set)(err, code_, __VA_ARGS__), code)
#define err_sys(err, code, ...) negative((err_sys)(err, code_, __VA_ARGS__), code)

#define at_most_0(call)                          \
	({                                       \
		int returned_ = (call);          \
		if (returned_ > 0)               \
			__builtin_unreachable(); \
		returned_;                       \
	})
#define read_whole(...) at_most_0((read_whole)(__VA_ARGS__))
#define read_whole_at(...) at_most_0((read_whole_at)(__VA_ARGS__))

#endif
