// SPDX-License-Identifier: Apache-2.0
/*
 * cdiother.c - is somebody else's specification there? Of two for one device in one directory an engine
 * takes neither, and one in /run hides one in /etc (pkg/cdi/cache.go, refresh()), so ours is written only
 * where there is no other. In: whatever lies in the directories of specifications. Changes nothing.
 */
#include "cdi.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "limit.h"

static const char *skip_blanks(const char *s, const char *end)
{
	while (s < end && isspace((unsigned char)*s))
		s++;
	return s;
}

/* Behind a key: its quote, the colon, the value, and what may follow a value. */
static bool value_is(const char *s, const char *end, const char *value)
{
	size_t n = strlen(value);

	if (s < end && (*s == '"' || *s == '\''))
		s++;
	s = skip_blanks(s, end);
	if (s == end || *s++ != ':')
		return false;
	s = skip_blanks(s, end);
	if (s < end && (*s == '"' || *s == '\''))
		s++;
	if ((size_t)(end - s) < n || memcmp(s, value, n) != 0)
		return false;
	s += n;
	return s == end || isspace((unsigned char)*s) || (*s && strchr("\"',}", *s));
}

static bool in_comment(const char *text, const char *at)
{
	while (at > text && at[-1] != '\n')
		at--;
	return at[strspn(at, " \t")] == '#';
}

/*
 * A look, no parser: both languages, any layout, damaged files too. What it takes for a kind by mistake
 * (that of an annotation, say) costs our file and not somebody's.
 */
bool cdi_has_kind(const char *text, size_t len, const char *kind)
{
	static const char key[] = "kind";
	const char *end = text + len, *at = text;

	while ((at = memmem(at, (size_t)(end - at), key, strlen(key)))) {
		bool begins = at == text || isspace((unsigned char)at[-1]) || (at[-1] && strchr("\"'{,", at[-1]));

		if (begins && value_is(at + strlen(key), end, kind) && !in_comment(text, at))
			return true;
		at += strlen(key);
	}
	return false;
}

/* Judged by its first LIMIT_CDI_BYTES: a specification begins with its kind. Links are followed, as engines do. */
static int file_has_our_kind(int dirfd, const char *name, bool *ret)
{
	/* not to wait for whoever writes into a pipe */
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	text = malloc(LIMIT_CDI_BYTES);
	if (!text)
		return -ENOMEM;
	n = read(fd, text, LIMIT_CDI_BYTES);
	*ret = n > 0 && cdi_has_kind(text, (size_t)n, CDI_KIND);
	return 0;
}

/* The first name, in the order of bytes, that is another's; NULL if none is. */
static int look(int dirfd, char **ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	_cleanup_free_ char *first = NULL;
	unsigned int seen = 0;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return 0;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (r == 0 && seen < LIMIT_CDI_FILES && (e = readdir(dir))) {
		bool other = false;

		if (streq(e->d_name, CDI_NAME) || (!str_suffix(e->d_name, ".json") && !str_suffix(e->d_name, ".yaml")))
			continue;
		seen++;
		if (!first || strcmp(e->d_name, first) < 0)
			r = file_has_our_kind(dirfd, e->d_name, &other);
		if (other) {
			free(first);
			first = strdup(e->d_name);
			r = first ? 0 : -ENOMEM;
		}
	}
	closedir(dir);
	if (r == 0)
		*ret = TAKE_PTR(first);
	return r;
}

int cdi_other(const struct host *h, char **ret)
{
	/* where engines look unless they are told otherwise (pkg/cdi/spec-dirs.go), and what /var/run is */
	static const struct {
		const char *path;
		bool live;
	} dirs[] = { { "/etc/cdi", false }, { CDI_DIR, true }, { "/var/run/cdi", false } };

	*ret = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *name = NULL;
		_cleanup_close_ int fd = dirs[i].live ? host_live_open(h, dirs[i].path, O_RDONLY | O_DIRECTORY) :
							host_root_open(h, dirs[i].path, O_RDONLY | O_DIRECTORY);
		int r = fd < 0 ? 0 : look(fd, &name);

		if (r == 0 && name) {
			*ret = str_printf("%s/%s", dirs[i].path, name);
			r = *ret ? 0 : -ENOMEM;
		}
		if (r < 0 || *ret)
			return r;
	}
	return 0;
}
