// SPDX-License-Identifier: Apache-2.0
/*
 * evict.c - sysfs's bind and unbind files (Documentation/ABI/testing/sysfs-bus-pci), written right
 * before our modules go in and written back if those fail. Every write happens in a child: a rival's
 * remove function may hang. Power loss undoes all of it.
 */
#include "evict.h"

#include <fcntl.h>

#include "child.h"
#include "limit.h"
#include "log.h"

#define CONSOLES "sys/class/vtconsole"
/* include/linux/vt.h: MAX_NR_CON_DRIVER is 16 */
#define MAX_CONSOLES 16u

void evict_free(struct eviction *e)
{
	strv_free(&e->paths);
	strv_free(&e->values);
}

struct sysfs_write {
	int live_fd;
	const char *path, *value;
};

static int do_write(void *ctx)
{
	const struct sysfs_write *w = ctx;
	_cleanup_close_ int fd = openat(w->live_fd, w->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	return fd < 0 ? -errno : write_full(fd, w->value, strlen(w->value));
}

static int write_sysfs(const struct host *h, const char *path, const char *value)
{
	struct sysfs_write w = { .live_fd = h->live_fd, .path = path, .value = value };

	return child_call(do_write, &w, h->live_fd, now_us() + LIMIT_UNBIND_US);
}

/* Writes, and remembers what undoes it. */
static int take(struct eviction *e, const char *path, const char *value, const char *undo_path, const char *undo_value)
{
	int r = write_sysfs(e->host, path, value);

	if (r == 0)
		r = strv_add(&e->paths, undo_path);
	if (r == 0)
		r = strv_add(&e->values, undo_value);
	return r;
}

static int take_consoles(struct eviction *e)
{
	for (unsigned int i = 0; i < MAX_CONSOLES; i++) {
		_cleanup_free_ char *name = str_printf(CONSOLES "/vtcon%u/name", i);
		_cleanup_free_ char *bind = str_printf(CONSOLES "/vtcon%u/bind", i);
		char text[64];
		int r;

		if (!name || !bind)
			return -ENOMEM;
		/* "(M) frame buffer device": M for modular, S for system (drivers/tty/vt/vt.c) */
		if (read_line_at(e->host->live_fd, name, text, sizeof(text)) < 0 || !strstr(text, "frame buffer") ||
		    read_line_at(e->host->live_fd, bind, text, sizeof(text)) < 0 || !streq(text, "1"))
			continue;
		r = take(e, bind, "0", bind, "1");
		if (r == -ENOMEM)
			return r;
		if (r < 0) /* the rival's own remove function may do without */
			log_debug("/%s: %s", bind, r == -E_INIT_HUNG || r == -E_INIT_FAILED ? reason_word(r) : strerror(-r));
	}
	return 0;
}

/* The last part of the path that a link of sysfs points to; NULL: no such link. Caller frees. */
static char *link_name(const struct host *h, const char *path)
{
	char target[512];
	ssize_t n = readlinkat(h->live_fd, path, target, sizeof(target) - 1);
	const char *slash;

	if (n < 0)
		return NULL;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return strdup(slash ? slash + 1 : target);
}

/* The module that holds it, or the driver that is built in. ret_driver: its name on the bus, which may be another. */
static char *holder_of(const struct host *h, const struct device *dev, char **ret_driver)
{
	_cleanup_free_ char *held = str_printf("sys/bus/%s/devices/%s/driver", dev->bus, dev->address);
	_cleanup_free_ char *module_link = held ? str_printf("%s/module", held) : NULL;
	_cleanup_free_ char *module = module_link ? link_name(h, module_link) : NULL;

	*ret_driver = held ? link_name(h, held) : NULL;
	if (!*ret_driver)
		return NULL;
	return module ? TAKE_PTR(module) : strdup(*ret_driver);
}

char *evict_holder(const struct host *h, const struct device *dev)
{
	_cleanup_free_ char *driver = NULL;

	return holder_of(h, dev, &driver);
}

/* A device that a rival holds is unbound from it. */
static int take_device(struct eviction *e, const struct driver *d, const struct device *dev, struct err *err)
{
	_cleanup_free_ char *driver = NULL, *holder = holder_of(e->host, dev, &driver), *unbind = NULL, *bind = NULL;
	int r;

	if (!holder || !module_name_listed(&d->evict, holder))
		return 0;
	unbind = str_printf("sys/bus/%s/drivers/%s/unbind", dev->bus, driver);
	bind = str_printf("sys/bus/%s/drivers/%s/bind", dev->bus, driver);
	if (!unbind || !bind)
		return err_sys(err, -ENOMEM, "%s", d->name);
	log_info("%s: taking %s from %s", d->name, dev->address, driver);
	r = e->paths.n == 0 ? take_consoles(e) : 0;
	if (r == 0)
		r = take(e, unbind, dev->address, bind, dev->address);
	if (r == -E_INIT_HUNG)
		return err_set(err, r, "%s did not let go of %s in %llu s", driver, dev->address,
			       (unsigned long long)(LIMIT_UNBIND_US / 1000000));
	if (r == -E_INIT_FAILED)
		return err_set(err, r, "%s: unbinding %s killed the process (a kernel oops?)", driver, dev->address);
	if (r == -ENOMEM)
		return err_sys(err, r, "%s", d->name);
	return r < 0 ? err_set(err, -E_INIT_FAILED, "%s keeps %s: %s", driver, dev->address, strerror(-r)) : 0;
}

int evict_rivals(const struct host *h, const struct driver *d, const struct device_list *devices,
		 struct eviction *ret, struct err *err)
{
	int r = 0;

	*ret = (struct eviction){ .host = h };
	for (size_t i = 0; r == 0 && d->evict.n > 0 && i < devices->n; i++)
		if (device_matches(&devices->v[i], &d->match))
			r = take_device(ret, d, &devices->v[i], err);
	return r;
}

void evict_give_back(const struct eviction *e)
{
	for (size_t i = MIN(e->paths.n, e->values.n); i-- > 0;) {
		int r = write_sysfs(e->host, e->paths.v[i], e->values.v[i]);

		if (r < 0)
			log_warning("/%s: %s", e->paths.v[i],
				    r == -E_INIT_HUNG || r == -E_INIT_FAILED ? reason_word(r) : strerror(-r));
	}
}
