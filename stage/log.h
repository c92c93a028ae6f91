/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line for one thing, on stderr. Where that is the journal's, a line begins with "<N>", the
 * syslog level that the journal understands. Commands log; the files below them return errors.
 */
#ifndef MODULUS_LOG_H
#define MODULUS_LOG_H

#include <syslog.h>

#include "base.h"

/* Chooses the prefix (journal or terminal); debug makes log_debug() speak. */
void log_init(bool debug);

void log_line(int level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/*
 * One datagram of the sd_notify(3) protocol ("STATUS=...", "READY=1") to $NOTIFY_SOCKET;
 * nothing when that is unset. It never waits: what is not taken at once is dropped, as are failures,
 * which do not matter to anybody.
 */
void notify_systemd(const char *fmt, ...) _printf_(1, 2);

#endif
