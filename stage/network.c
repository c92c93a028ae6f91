// SPDX-License-Identifier: Apache-2.0
/*
 * network.c - bringing links up in an initramfs and putting them back. Runs only after all local
 * sources failed. What it changes is listed in STATE, so that `down` undoes that and nothing else;
 * power loss undoes everything.
 */
#include "network.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "child.h"
#include "limit.h"
#include "log.h"

#define STATE_DIR "/run/modulus"
/*
 * What was before, a line each: "up NAME", a link; "set FAMILY/conf/LINK/NAME VALUE", a setting of one;
 * "stop": networkd is ours to stop; "folder": OUR_FILE_DIR is ours to remove.
 */
#define STATE_NAME "network"
#define SETTINGS_DIR "/proc/sys/net"
#define OUR_FILE "zz-modulus.network"
#define OUR_FILE_DIR "/run/systemd/network"
#define RESOLV_CONF "/etc/resolv.conf"

/* Whether this process has asked for a network, and what came of it. */
static bool asked, started;
static struct err outcome;

static int systemctl(const char *verb, const char *unit, uint64_t until_us)
{
	return child_program((const char *const[]){ "systemctl", "--quiet", verb, unit, NULL }, until_us);
}

/* --- routes --- */

bool network_has_default_route(const char *route, const char *ipv6_route)
{
	unsigned int destination, gateway, flags, mask;
	char name[32];

	/* proc(5): Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
	for (const char *line = strchr(route, '\n'); line && *++line; line = strchr(line, '\n'))
		if (sscanf(line, "%31s %x %x %x %*d %*d %*d %x", name, &destination, &gateway, &flags, &mask) == 5 &&
		    destination == 0 && mask == 0 && (flags & 1))
			return true;
	/* destination, prefix length, ...; the kernel keeps a reject route on lo */
	for (const char *line = ipv6_route; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (str_prefix(line, "00000000000000000000000000000000 00 ", NULL) &&
		    sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %x %31s", &flags, name) == 2 && (flags & 1) &&
		    !streq(name, "lo"))
			return true;
	return false;
}

static bool online(const struct host *h, bool ipv6_too)
{
	_cleanup_free_ char *v4 = NULL, *v6 = NULL;
	size_t len;

	if (host_live_read(h, "/proc/net/route", 1u << 20, &v4, &len) < 0)
		v4 = NULL;
	if (ipv6_too && host_live_read(h, "/proc/net/ipv6_route", 1u << 20, &v6, &len) < 0)
		v6 = NULL;
	return network_has_default_route(v4 ? v4 : "", v6 ? v6 : "");
}

/* --- links --- */

static int with_flags(const char *name, short *flags, bool set)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { 0 };

	if (fd < 0 || strlen(name) >= sizeof(req.ifr_name))
		return -EINVAL;
	memcpy(req.ifr_name, name, strlen(name));
	req.ifr_flags = *flags;
	if (ioctl(fd, set ? SIOCSIFFLAGS : SIOCGIFFLAGS, &req) < 0)
		return -errno;
	*flags = req.ifr_flags;
	return 0;
}

/* Names of all links with a device behind them, or of those that are up. */
static int real_links(const struct host *h, bool up_only, struct strv *ret)
{
	_cleanup_close_ int fd = host_live_open(h, "/sys/class/net", O_RDONLY | O_DIRECTORY);
	struct dirent *e;
	DIR *dir;
	int r = 0;

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		return -ENOENT;
	(void)TAKE_FD(fd);
	while (r == 0 && (e = readdir(dir))) {
		char device[NAME_MAX + 8];
		short flags = 0;

		snprintf(device, sizeof(device), "%s/device", e->d_name);
		if (e->d_name[0] == '.' || faccessat(dirfd(dir), device, F_OK, 0) < 0)
			continue;
		if (with_flags(e->d_name, &flags, false) == 0 && (!up_only || (flags & IFF_UP)))
			r = strv_add(ret, e->d_name);
	}
	closedir(dir);
	return r;
}

static bool has_card(const struct host *h)
{
	_cleanup_strv_ struct strv links = { 0 };

	return real_links(h, false, &links) < 0 || links.n > 0;
}

/* Takes the address, then the link, down: routes go with it, and IPv6 addresses. */
static void put_back(const char *name)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_addr.sa_family = AF_INET };
	short flags;

	if (fd < 0 || strlen(name) >= sizeof(req.ifr_name))
		return;
	memcpy(req.ifr_name, name, strlen(name));
	(void)ioctl(fd, SIOCSIFADDR, &req); /* 0.0.0.0 removes the address */
	if (with_flags(name, &flags, false) == 0) {
		flags = (short)(flags & ~IFF_UP);
		(void)with_flags(name, &flags, true);
	}
}

/* --- systemd-networkd --- */

/* Does anything tell networkd what to do? Its own files for containers and virtual links do not count. */
static bool is_configured(const struct host *h)
{
	static const char *const dirs[] = { "/etc/systemd/network", "/run/systemd/network" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_close_ int fd = host_live_open(h, dirs[i], O_RDONLY | O_DIRECTORY);
		struct dirent *e;
		bool found = false;
		DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

		if (!dir)
			continue;
		(void)TAKE_FD(fd);
		while ((e = readdir(dir)))
			found = found || (str_suffix(e->d_name, ".network") && !streq(e->d_name, OUR_FILE));
		closedir(dir);
		if (found)
			return true;
	}
	/* Flatcar's default, and dracut-ng's */
	return faccessat(h->live_fd, "usr/lib/systemd/network/zz-default.network", F_OK, 0) == 0 ||
	       faccessat(h->live_fd, "usr/lib/systemd/network/zzzz-dracut-default.network", F_OK, 0) == 0;
}

static int write_network_file(const struct host *h)
{
	static const char text[] = "# written by modulus for the initramfs; removed before switch-root\n"
				   "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n\n"
				   "[DHCPv4]\nClientIdentifier=mac\n";
	_cleanup_close_ int dir = -EBADF;
	int r = host_live_mkdir(h, OUR_FILE_DIR, &dir);

	return r < 0 ? r : write_file_at(dir, OUR_FILE, text, strlen(text), 0644);
}

/* --- the resolver --- */

bool network_names_a_server(const char *text)
{
	return str_prefix(text, "nameserver ", NULL) || strstr(text, "\nnameserver ");
}

int network_lease_servers(const char *lease, struct strv *ret)
{
	for (const char *line = lease, *end; *line; line = *end ? end + 1 : end) {
		_cleanup_free_ char *words = NULL;
		const char *value;

		end = line + strcspn(line, "\n");
		if (!str_prefix(line, "DNS=", &value))
			continue;
		words = strndup(value, (size_t)(end - value));
		if (!words || strv_add_words(ret, words, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

char *network_resolver_text(const struct strv *servers)
{
	char *text = strdup("");

	for (size_t i = 0; text && i < servers->n && i < 3; i++) { /* resolv.conf(5): MAXNS is 3 */
		char *more = str_printf("%snameserver %s\n", text, servers->v[i]);

		free(text);
		text = more;
	}
	return text;
}

/* What networkd's leases name. */
static int from_leases(const struct host *h, char **ret)
{
	_cleanup_close_ int fd = host_live_open(h, "/run/systemd/netif/leases", O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv servers = { 0 };
	struct dirent *e;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int r = 0;

	if (!dir)
		return -ENOENT;
	(void)TAKE_FD(fd);
	while (r == 0 && (e = readdir(dir))) {
		_cleanup_free_ char *text = NULL;
		size_t len;

		if (e->d_name[0] != '.' && read_whole_at(dirfd(dir), e->d_name, 65536, &text, &len) == 0)
			r = network_lease_servers(text, &servers);
	}
	closedir(dir);
	if (r < 0)
		return r;
	*ret = network_resolver_text(&servers);
	return *ret ? 0 : -ENOMEM;
}

/* Where a resolver's addresses may be; the first that names one is used. */
static void ensure_resolver(const struct host *h)
{
	static const char *const places[] = { "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/resolv.conf",
					      "/run/NetworkManager/no-stub-resolv.conf", "/proc/net/pnp" };
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int etc = -EBADF;
	size_t len;

	if (host_live_read(h, RESOLV_CONF, 65536, &text, &len) == 0 && network_names_a_server(text))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		free(TAKE_PTR(text));
		if (host_live_read(h, places[i], 65536, &text, &len) == 0 && network_names_a_server(text))
			break;
		free(TAKE_PTR(text));
	}
	if (!text && (from_leases(h, &text) < 0 || !network_names_a_server(text)))
		return;
	/* the initramfs' own file system: it is thrown away at switch-root */
	if (host_live_mkdir(h, "/etc", &etc) < 0 || write_file_at(etc, "resolv.conf", text, strlen(text), 0644) < 0)
		log_warning("%s: cannot be written", RESOLV_CONF);
}

/* --- up and down --- */

/* What networkd may change of a link and does not put back, such as accept_ra. */
static int remember_settings(const struct host *h, const char *family, const char *link, struct strv *lines)
{
	_cleanup_free_ char *path = str_printf("%s/%s/conf/%s", SETTINGS_DIR, family, link);
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
			r = strv_addf(lines, "set %s/conf/%s/%s %s", family, link, e->d_name, value);
	closedir(dir);
	return r;
}

/* Written before anything is changed, so that `down` knows whatever happens. */
static int remember(const struct host *h, bool stop, bool folder)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_strv_ struct strv links = { 0 }, up = { 0 }, lines = { 0 };
	_cleanup_close_ int dir = -EBADF;
	size_t len = 0, at = 0;
	int r = stop ? strv_add(&lines, "stop") : 0;

	if (r == 0 && folder)
		r = strv_add(&lines, "folder");
	if (r == 0 && (real_links(h, false, &links) == -ENOMEM || real_links(h, true, &up) == -ENOMEM))
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < up.n; i++)
		r = strv_addf(&lines, "up %s", up.v[i]);
	for (size_t i = 0; r == 0 && i < links.n; i++) {
		r = remember_settings(h, "ipv4", links.v[i], &lines);
		if (r == 0)
			r = remember_settings(h, "ipv6", links.v[i], &lines);
	}
	for (size_t i = 0; i < lines.n; i++)
		len += strlen(lines.v[i]) + 1;
	text = r == 0 ? malloc(len + 1) : NULL;
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < lines.n; i++)
		at += (size_t)sprintf(text + at, "%s\n", lines.v[i]);
	r = host_live_mkdir(h, STATE_DIR, &dir);
	return r < 0 ? r : write_file_at(dir, STATE_NAME, text, len, 0600);
}

/* 0, or the reason in words. */
static const char *wait_for_route(const struct host *h, uint64_t until_us)
{
	uint64_t began_us = now_us(), ipv6_us = 0, now;

	while (!online(h, false)) {
		now = now_us();
		if (!online(h, true))
			ipv6_us = 0;
		else if (ipv6_us == 0)
			ipv6_us = now;
		else if (now - ipv6_us >= LIMIT_NETWORK_IPV4_US)
			return NULL;
		if (now - began_us >= LIMIT_NETWORK_CARD_US && !has_card(h))
			return "no network card";
		if (now >= until_us)
			return "no default route: no DHCP server or router answered in time";
		(void)usleep(50000);
	}
	return NULL;
}

int network_up_run(const struct host *h)
{
	uint64_t until_us = now_us() + LIMIT_NETWORK_US;
	bool configured = is_configured(h);
	bool running = systemctl("is-active", "systemd-networkd.service", until_us) == 0;
	const char *why;
	int r;

	/* where it runs by somebody's configuration it stays; where it only runs, it has done nothing yet */
	r = remember(h, !running || !configured, faccessat(h->live_fd, &OUR_FILE_DIR[1], F_OK, 0) < 0);
	if (r == 0 && !configured)
		r = write_network_file(h);
	if (r < 0) {
		log_error("network: %s", strerror(-r));
		return EXIT_SYSTEM;
	}
	r = systemctl(configured ? "start" : "restart", "systemd-networkd.service", until_us);
	if (r < 0) {
		log_error("network: systemd-networkd did not start");
		return EXIT_NETWORK;
	}
	why = wait_for_route(h, until_us);
	if (why) {
		log_error("network: %s", why);
		return EXIT_NETWORK;
	}
	ensure_resolver(h);
	return EXIT_DONE;
}

/* All real links that were not up before: those too that appeared meanwhile. */
static void put_links_back(const struct host *h, const struct strv *up)
{
	_cleanup_strv_ struct strv links = { 0 };

	if (real_links(h, false, &links) < 0)
		return;
	for (size_t i = 0; i < links.n; i++)
		if (!strv_has(up, links.v[i]))
			put_back(links.v[i]);
}

/* "FAMILY/conf/LINK/NAME VALUE" */
static void put_setting_back(const struct host *h, char *line)
{
	char *value = strchr(line, ' '), now[64];
	_cleanup_free_ char *path = NULL;

	if (!value)
		return;
	*value++ = '\0';
	path = str_printf("%s/%s", &SETTINGS_DIR[1], line);
	if (path && read_line_at(h->live_fd, path, now, sizeof(now)) >= 0 && !streq(now, value)) {
		_cleanup_close_ int fd = openat(h->live_fd, path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write_full(fd, value, strlen(value)) < 0)
			log_warning("/%s: cannot be set back to %s", path, value);
	}
}

static void stop_networkd(const struct host *h, const struct strv *up)
{
	static const char *const units[] = { "systemd-networkd.socket", "systemd-networkd.service" };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		(void)!systemctl("stop", units[i], now_us() + LIMIT_NETWORK_US);
	put_links_back(h, up);
	/* leases and link state would make the real root's networkd believe that it was here before */
	(void)!child_program((const char *const[]){ "rm", "-rf", "/run/systemd/netif", NULL }, now_us() + LIMIT_NETWORK_US);
}

int network_down_run(const struct host *h)
{
	_cleanup_close_ int dir = host_live_open(h, STATE_DIR, O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv up = { 0 }, settings = { 0 };
	_cleanup_free_ char *text = NULL;
	bool stop = false, folder = false;
	char *save = NULL;
	size_t len;

	if (dir < 0 || read_whole_at(dir, STATE_NAME, 1u << 20, &text, &len) < 0)
		return EXIT_DONE; /* up never ran */
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *rest;

		stop = stop || streq(line, "stop");
		folder = folder || streq(line, "folder");
		if ((str_prefix(line, "up ", &rest) && strv_add(&up, rest) < 0) ||
		    (str_prefix(line, "set ", &rest) && strv_add(&settings, rest) < 0))
			return EXIT_SYSTEM;
	}
	if (stop)
		stop_networkd(h, &up);
	for (size_t i = 0; stop && i < settings.n; i++)
		put_setting_back(h, settings.v[i]);
	(void)unlinkat(h->live_fd, &(OUR_FILE_DIR "/" OUR_FILE)[1], 0);
	if (folder)
		(void)unlinkat(h->live_fd, &OUR_FILE_DIR[1], AT_REMOVEDIR);
	(void)unlinkat(dir, STATE_NAME, 0);
	return EXIT_DONE;
}

/* --- for boot --- */

static int ask(const struct host *h, uint64_t until_us, struct err *err)
{
	int r;

	if (online(h, true)) {
		ensure_resolver(h); /* somebody else's network may have come without one */
		return 0;
	}
	notify_systemd("STATUS=waiting for the network");
	r = systemctl("start", "modulus-network.service", MIN(until_us, now_us() + LIMIT_NETWORK_US));
	if (r == -ENOENT)
		return err_set(err, -E_NETWORK, "no network, and no systemctl to ask for one");
	started = r == 0 || r == -ETIMEDOUT; /* a unit that failed has cleaned up already */
	if (r < 0)
		return err_set(err, -E_NETWORK, "no network: modulus-network.service %s",
			       r == -ETIMEDOUT ? "did not start in time" : "failed");
	return 0;
}

int network_want(const struct host *h, uint64_t until_us, struct err *err)
{
	if (streq(h->root_path, "/") || !streq(h->live_path, "/"))
		return 0;
	if (!asked) {
		outcome = (struct err){ 0 };
		(void)ask(h, until_us, &outcome);
		asked = true;
	}
	*err = outcome;
	return outcome.code;
}

void network_release(const struct host *h)
{
	(void)h;
	if (started && systemctl("stop", "modulus-network.service", now_us() + LIMIT_NETWORK_US) < 0)
		log_warning("modulus-network.service could not be stopped");
	asked = started = false;
}
