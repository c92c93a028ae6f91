// SPDX-License-Identifier: Apache-2.0
/*
 * log.c - the lines that people and the journal read, and the sd_notify datagram.
 */
#include "log.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int level_max = LOG_INFO;
static bool to_journal;

/* systemd.exec(5): device and inode of what a unit's stdout or stderr was; either may lead elsewhere by now */
static bool stderr_is_of_the_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return streq(stream, own);
}

void log_init(bool debug)
{
	level_max = debug ? LOG_DEBUG : LOG_INFO;
	to_journal = stderr_is_of_the_journal();
}

void log_line(int level, const char *fmt, ...)
{
	char raw[2048], text[2048];
	va_list ap;

	if (level > level_max)
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	escape_line(raw, text, sizeof(text)); /* a line stays one line, and moves no cursor */
	if (to_journal)
		fprintf(stderr, "<%d>modulus: %s\n", level, text);
	else
		fprintf(stderr, "modulus: %s\n", text);
}

void notify_systemd(const char *fmt, ...)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	_cleanup_close_ int fd = -EBADF;
	char text[512];
	va_list ap;
	size_t len;
	int n;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* a queue that nobody empties (net.unix.max_dgram_qlen) must not stop a boot */
	(void)sendto(fd, text, MIN((size_t)n, sizeof(text) - 1), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sa,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}
