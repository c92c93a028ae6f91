// SPDX-License-Identifier: Apache-2.0
/*
 * netstate.c - remembering and putting back. In the initramfs, around a network that was brought up
 * for a bundle. In and out: one text file in /run, a line for each thing, so that `network down`
 * knows what `network up` found even when that died half way. Power loss undoes everything.
 */
#include "netstate.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "limit.h"
#include "link.h"
#include "log.h"

#define STATE_DIR "/run/modulus"
#define STATE_NAME "network"
#define SYSCTL_DIR "/proc/sys"

/* Where handlers write. Leases and the state of links go whole: who comes later must not take them for its own. */
static const struct {
	const char *path;
	bool whole;
} folders[] = { { "/run/systemd/network", false }, { "/run/systemd/netif", true }, { "/run/NetworkManager", false } };

/* A folder holds folders, and those files. */
#define DEPTH_MAX 4

void netstate_free(struct netstate *s)
{
	free(s->handler);
	strv_free(&s->up);
	strv_free(&s->settings);
	strv_free(&s->files);
}

/* --- files --- */

/* Everything at and below the path, parents first. */
static int list_tree(const struct host *h, const char *path, unsigned int depth, struct strv *ret)
{
	_cleanup_close_ int fd = host_live_open(h, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int r;

	if (fd == -ENOENT)
		return 0;
	r = strv_add(ret, path);
	if (!dir)
		return r; /* a file */
	(void)TAKE_FD(fd);
	while (r == 0 && depth < DEPTH_MAX && (e = readdir(dir))) {
		_cleanup_free_ char *inside = NULL;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		inside = str_printf("%s/%s", path, e->d_name);
		r = inside ? list_tree(h, inside, depth + 1, ret) : -ENOMEM;
	}
	closedir(dir);
	return r;
}

/* Backwards, so that a folder is empty when its turn comes. */
static void remove_new_files(const struct host *h, const struct netstate *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_strv_ struct strv now = { 0 };

		if (list_tree(h, folders[i].path, 0, &now) < 0)
			continue;
		for (size_t j = now.n; j-- > 0;) {
			const char *path = &now.v[j][1];

			if (!strv_has(&s->files, now.v[j]) && unlinkat(h->live_fd, path, 0) < 0 &&
			    unlinkat(h->live_fd, path, AT_REMOVEDIR) < 0)
				log_warning("%s: cannot be removed", now.v[j]);
		}
	}
}

/* --- settings --- */

/* What a handler may change of a link and does not put back, such as accept_ra. */
static int list_settings(const struct host *h, const char *family, const char *link, struct strv *ret)
{
	_cleanup_free_ char *path = str_printf("%s/net/%s/conf/%s", SYSCTL_DIR, family, link);
	_cleanup_close_ int fd = path ? host_live_open(h, path, O_RDONLY | O_DIRECTORY) : -ENOMEM;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	char value[64];
	int r = 0;

	if (!dir)
		return fd == -ENOMEM ? fd : 0;
	(void)TAKE_FD(fd);
	while (r == 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.' && read_line_at(dirfd(dir), e->d_name, value, sizeof(value)) >= 0)
			r = strv_addf(ret, "net/%s/conf/%s/%s %s", family, link, e->d_name, value);
	closedir(dir);
	return r;
}

/* "PATH VALUE" */
static void put_setting_back(const struct host *h, const char *line)
{
	const char *value = strchr(line, ' ');
	_cleanup_free_ char *path = value ? str_printf("%s/%.*s", &SYSCTL_DIR[1], (int)(value - line), line) : NULL;
	char now[256];

	if (path && read_line_at(h->live_fd, path, now, sizeof(now)) >= 0 && !streq(now, ++value)) {
		_cleanup_close_ int fd = openat(h->live_fd, path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write_full(fd, value, strlen(value)) < 0)
			log_warning("/%s: cannot be set back to %s", path, value);
	}
}

/* --- all of it --- */

static int look(const struct host *h, struct netstate *s)
{
	_cleanup_strv_ struct strv links = { 0 };
	char name[256];
	int r = 0;

	if (link_list(h, false, &links) == -ENOMEM || link_list(h, true, &s->up) == -ENOMEM)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < links.n; i++) {
		r = list_settings(h, "ipv4", links.v[i], &s->settings);
		if (r == 0)
			r = list_settings(h, "ipv6", links.v[i], &s->settings);
	}
	/* DHCP servers may send one */
	if (r == 0 && read_line_at(h->live_fd, &(SYSCTL_DIR "/kernel/hostname")[1], name, sizeof(name)) >= 0)
		r = strv_addf(&s->settings, "kernel/hostname %s", name);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
		if (!folders[i].whole)
			r = list_tree(h, folders[i].path, 0, &s->files);
	return r;
}

static int add_lines(struct strv *text, const char *word, const struct strv *values)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < values->n; i++)
		r = strv_addf(text, "%s %s\n", word, values->v[i]);
	return r;
}

int netstate_remember(const struct host *h, const char *handler)
{
	_cleanup_netstate_ struct netstate s = { 0 };
	_cleanup_strv_ struct strv lines = { 0 };
	_cleanup_close_ int dir = -EBADF;
	_cleanup_free_ char *text = NULL;
	size_t len = 0, at = 0;
	int r = look(h, &s);

	if (r == 0)
		r = strv_addf(&lines, "stop %s\n", handler);
	if (r == 0)
		r = add_lines(&lines, "up", &s.up);
	if (r == 0)
		r = add_lines(&lines, "set", &s.settings);
	if (r == 0)
		r = add_lines(&lines, "keep", &s.files);
	for (size_t i = 0; i < lines.n; i++)
		len += strlen(lines.v[i]);
	text = r == 0 ? malloc(len + 1) : NULL;
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < lines.n; i++)
		at += (size_t)sprintf(text + at, "%s", lines.v[i]);
	r = host_live_mkdir(h, STATE_DIR, &dir);
	return r < 0 ? r : write_file_at(dir, STATE_NAME, text, len, 0600);
}

int netstate_recall(const struct host *h, struct netstate *ret)
{
	_cleanup_netstate_ struct netstate s = { 0 };
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	const char *rest;
	size_t len;
	int r = host_live_read(h, STATE_DIR "/" STATE_NAME, LIMIT_STATUS_BYTES, &text, &len);

	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &save); r == 0 && line; line = strtok_r(NULL, "\n", &save)) {
		if (str_prefix(line, "stop ", &rest) && !s.handler)
			r = (s.handler = strdup(rest)) ? 0 : -ENOMEM;
		else if (str_prefix(line, "up ", &rest))
			r = strv_add(&s.up, rest);
		else if (str_prefix(line, "set ", &rest))
			r = strv_add(&s.settings, rest);
		else if (str_prefix(line, "keep ", &rest))
			r = strv_add(&s.files, rest);
		else
			r = -EBADMSG;
	}
	if (r < 0 || !s.handler)
		return r < 0 ? r : -EBADMSG;
	*ret = s;
	s = (struct netstate){ 0 };
	return 0;
}

void netstate_restore(const struct host *h, const struct netstate *s)
{
	_cleanup_strv_ struct strv links = { 0 };

	/* before the links: addr_gen_mode gives a link an address when it is set, even one that is down */
	for (size_t i = 0; i < s->settings.n; i++)
		put_setting_back(h, s->settings.v[i]);
	/* those too that appeared meanwhile */
	if (link_list(h, false, &links) == 0)
		for (size_t i = 0; i < links.n; i++)
			if (!strv_has(&s->up, links.v[i]))
				link_down(links.v[i]);
	remove_new_files(h, s);
	(void)unlinkat(h->live_fd, &(STATE_DIR "/" STATE_NAME)[1], 0);
}
