/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - one error space and one table of reasons.
 *
 * Every fallible function returns 0 or a negative code: -errno for what the system said, -E_XXX
 * (above every errno) for what we say. The table below is the only place where a reason has a
 * word, a class, an exit code and a text; the log, status.json, the exit code and the manual
 * are all made from it.
 */
#ifndef MODULUS_ERR_H
#define MODULUS_ERR_H

#include "base.h"

/* Exit codes, one for each class of outcome. 2 is usage, by convention. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_SYSTEM = 1,
	EXIT_USAGE = 2,
	EXIT_NO_BUNDLE = 3,
	EXIT_UNTRUSTED = 4,
	EXIT_KERNEL = 5,
	EXIT_RESOURCES = 6,
	EXIT_NETWORK = 7,
	EXIT_CONFIG = 8,
};

/* symbol, word, exit code, what it means and what to do about it */
#define REASON_TABLE(X)                                                                                       \
	X(LOADED, "loaded", EXIT_DONE, "the driver's modules are live")                                       \
	X(NO_DEVICE, "no-device", EXIT_DONE,                                                                  \
	  "no device here matches Match=, or no bundle drives those that do; "                                \
	  "what a module said of it is in the kernel lines of modulus status")                                \
	X(DISABLED, "disabled", EXIT_DONE,                                                                    \
	  "switched off by modulus=off, a module blacklist or unload; "                                       \
	  "take the word off the kernel command line, or after unload: modulus load")                         \
	X(NO_BUNDLE, "no-bundle", EXIT_NO_BUNDLE,                                                             \
	  "no source holds a bundle of this driver and version; build one and put it where From= points")     \
	X(WRONG_KERNEL, "wrong-kernel", EXIT_NO_BUNDLE,                                                       \
	  "bundles were found, none made for this kernel build; build one for it")                            \
	X(STALE, "stale", EXIT_NO_BUNDLE,                                                                     \
	  "the bundle is older than MinSerial= or than what was in use, or not the one that Digest= pins; "   \
	  "publish one with a higher serial")                                                                 \
	X(WRONG_VERSION, "wrong-version", EXIT_NO_BUNDLE,                                                     \
	  "the live modules are not of the version that was asked for; reboot, or name theirs")              \
	X(BUILD_FAILED, "build-failed", EXIT_NO_BUNDLE,                                                       \
	  "Command= of the driver file made no bundle; what it said itself is in the log")                    \
	X(UNTRUSTED, "untrusted", EXIT_UNTRUSTED,                                                             \
	  "no signature by a key in /etc/modulus/keys or /usr/lib/modulus/keys; add the key or sign again")   \
	X(CORRUPT, "corrupt", EXIT_UNTRUSTED,                                                                 \
	  "the bundle is damaged or breaks the format; fetch or build it again")                              \
	X(EQUIVOCATION, "equivocation", EXIT_UNTRUSTED,                                                       \
	  "two different bundles claim the same serial; publish one of them with a higher serial")            \
	X(UNSIGNED, "unsigned-module", EXIT_KERNEL,                                                           \
	  "this kernel takes signed modules only; sign them with an enrolled key")                            \
	X(INIT_FAILED, "init-failed", EXIT_KERNEL,                                                            \
	  "the kernel refused a module or its init failed; its words are the kernel lines of modulus status") \
	X(INIT_HUNG, "init-hung", EXIT_KERNEL, "a module's init did not return in time; it may need a reboot") \
	X(BLOCKED, "blocked", EXIT_KERNEL,                                                                    \
	  "the bundle took the machine down three times; publish another, or clear it with modulus cache unblock") \
	X(NO_SPACE, "no-space", EXIT_RESOURCES,                                                               \
	  "not enough memory or disk; modulus cache prune frees what nobody needs")                           \
	X(OVER_BUDGET, "over-budget", EXIT_RESOURCES,                                                         \
	  "Budget= was used up before the driver was live; raise it, or fetch before the boot")               \
	X(CACHE_UNREACHABLE, "cache-unreachable", EXIT_RESOURCES,                                             \
	  "the cache is on a file system that is not mounted yet; name another place with Cache=")            \
	X(NETWORK, "network", EXIT_NETWORK,                                                                   \
	  "no network source answered; the refused lines of modulus status say why each did not")             \
	X(BAD_CONFIG, "bad-config", EXIT_CONFIG, "a configuration file cannot be used; the text has the line") \
	X(AMBIGUOUS, "ambiguous", EXIT_CONFIG,                                                                \
	  "two partitions could be /usr; name one with mount.usr= on the kernel command line")                \
	X(UNKNOWN_KERNEL, "unknown-kernel", EXIT_KERNEL,                                                      \
	  "which kernel the next boot runs cannot be told; name it with --kernel, or take --all")             \
	X(SYSTEM, "system-error", EXIT_SYSTEM, "the system refused an operation; the text says which")

enum {
	E_BASE_ = 4095, /* MAX_ERRNO of the kernel's include/linux/err.h */
#define X(symbol, word, exit, text) E_##symbol,
	REASON_TABLE(X)
#undef X
	E_END_,
};

#define ERR_TEXT_MAX 512

/* One failure, with the sentence a person needs: printable ASCII, the rest as \xNN. */
struct err {
	int code;
	char text[ERR_TEXT_MAX];
};

/* Fills *e (may be NULL) and returns code, so that a failure is one statement. */
int err_set(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);
/* The same, with ": " and the text of the errno in code. */
int err_sys(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);
/* Puts words in front of the text that is there: where it happened. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) _printf_(2, 3);

/* code: 0, -errno or -E_XXX. 0 is "loaded"; every errno is "system-error". */
const char *reason_word(int code);
const char *reason_advice(int code);
enum exit_code reason_exit(int code);
/* -E_XXX of a word; -E_SYSTEM for words that this build does not know. */
int reason_from_word(const char *word);

#endif
