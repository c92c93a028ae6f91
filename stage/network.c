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
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "limit.h"
#include "log.h"

#define STATE_DIR "/run/modulus"
#define STATE_NAME "network" /* the links that were down before, one a line */
#define OUR_FILE "zz-modulus.network"
#define OUR_FILE_DIR "/run/systemd/network"
#define RESOLV_CONF "/etc/resolv.conf"

static bool started; /* by this process */

/* --- programs of the initramfs --- */

/* Runs it, at most until then. 0: done, exit 0. */
static int run(const char *const argv[], uint64_t until_us)
{
	_cleanup_close_ int pidfd = -EBADF;
	struct pollfd p = { .events = POLLIN };
	uint64_t now;
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
		return -ENOENT;
	pidfd = pidfd_open(pid, 0);
	p.fd = pidfd;
	while ((now = now_us()) < until_us)
		if (poll(&p, 1, (int)MIN((until_us - now) / 1000 + 1, (uint64_t)60000)) > 0)
			break;
	if (now >= until_us)
		(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return now >= until_us ? -ETIMEDOUT : -EIO;
	return 0;
}

static int systemctl(const char *verb, const char *unit, uint64_t until_us)
{
	return run((const char *const[]){ "systemctl", "--quiet", verb, unit, NULL }, until_us);
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

static bool online(const struct host *h)
{
	_cleanup_free_ char *v4 = NULL, *v6 = NULL;
	size_t len;

	if (host_live_read(h, "/proc/net/route", 1u << 20, &v4, &len) < 0)
		v4 = NULL;
	if (host_live_read(h, "/proc/net/ipv6_route", 1u << 20, &v6, &len) < 0)
		v6 = NULL;
	return network_has_default_route(v4 ? v4 : "", v6 ? v6 : "");
}

/* --- for boot --- */

int network_want(const struct host *h, uint64_t until_us, struct err *err)
{
	int r;

	if (streq(h->root_path, "/") || !streq(h->live_path, "/") || started || online(h))
		return 0;
	notify_systemd("STATUS=waiting for the network");
	r = systemctl("start", "modulus-network.service", MIN(until_us, now_us() + LIMIT_NETWORK_US));
	started = r != -ENOENT;
	if (r == -ENOENT)
		return err_set(err, -E_NETWORK, "no network, and no systemctl to ask for one");
	return r < 0 ? err_set(err, -E_NETWORK, "no network: modulus-network.service %s",
			       r == -ETIMEDOUT ? "did not start in time" : "failed") : 0;
}

void network_release(const struct host *h)
{
	(void)h;
	if (started && systemctl("stop", "modulus-network.service", now_us() + LIMIT_NETWORK_US) < 0)
		log_warning("modulus-network.service could not be stopped");
	started = false;
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

/* Names of links that are not up; real ones, that is with a device behind them. */
static int links_down(const struct host *h, struct strv *ret)
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
		if (with_flags(e->d_name, &flags, false) == 0 && !(flags & IFF_UP))
			r = strv_add(ret, e->d_name);
	}
	closedir(dir);
	return r;
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

static bool names_a_server(const char *text)
{
	return str_prefix(text, "nameserver ", NULL) || strstr(text, "\nnameserver ");
}

/* DNS=a b in networkd's leases -> nameserver lines. */
static int from_leases(const struct host *h, char **ret)
{
	_cleanup_close_ int fd = host_live_open(h, "/run/systemd/netif/leases", O_RDONLY | O_DIRECTORY);
	_cleanup_strv_ struct strv servers = { 0 };
	struct dirent *e;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir)
		return -ENOENT;
	(void)TAKE_FD(fd);
	while ((e = readdir(dir))) {
		_cleanup_free_ char *text = NULL;
		char *line, *save = NULL;
		const char *value;
		size_t len;

		if (e->d_name[0] == '.' || read_whole_at(dirfd(dir), e->d_name, 65536, &text, &len) < 0)
			continue;
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (str_prefix(line, "DNS=", &value) && strv_add_words(&servers, value, NULL) < 0)
				break;
	}
	closedir(dir);
	*ret = strdup("");
	for (size_t i = 0; *ret && i < servers.n && i < 3; i++) { /* resolv.conf(5): MAXNS is 3 */
		char *more = str_printf("%snameserver %s\n", *ret, servers.v[i]);

		free(*ret);
		*ret = more;
	}
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

	if (host_live_read(h, RESOLV_CONF, 65536, &text, &len) == 0 && names_a_server(text))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		free(TAKE_PTR(text));
		if (host_live_read(h, places[i], 65536, &text, &len) == 0 && names_a_server(text))
			break;
		free(TAKE_PTR(text));
	}
	if (!text && (from_leases(h, &text) < 0 || !names_a_server(text)))
		return;
	/* the initramfs' own file system: it is thrown away at switch-root */
	if (host_live_mkdir(h, "/etc", &etc) < 0 || write_file_at(etc, "resolv.conf", text, strlen(text), 0644) < 0)
		log_warning("%s: cannot be written", RESOLV_CONF);
}

/* --- up and down --- */

static int remember(const struct host *h, const struct strv *links)
{
	_cleanup_free_ char *text = strdup("");
	_cleanup_close_ int dir = -EBADF;
	int r;

	for (size_t i = 0; text && i < links->n; i++) {
		char *more = str_printf("%s%s\n", text, links->v[i]);

		free(text);
		text = more;
	}
	if (!text)
		return -ENOMEM;
	r = host_live_mkdir(h, STATE_DIR, &dir);
	return r < 0 ? r : write_file_at(dir, STATE_NAME, text, strlen(text), 0600);
}

int network_up_run(const struct host *h)
{
	_cleanup_strv_ struct strv links = { 0 };
	uint64_t until_us = now_us() + LIMIT_NETWORK_US;
	int r = links_down(h, &links);

	if (r == 0)
		r = remember(h, &links);
	if (r == 0 && !is_configured(h))
		r = write_network_file(h);
	if (r < 0) {
		log_error("network: %s", strerror(-r));
		return EXIT_SYSTEM;
	}
	r = systemctl("start", "systemd-networkd.service", until_us);
	if (r < 0) {
		log_error("network: systemd-networkd did not start");
		return EXIT_NETWORK;
	}
	while (!online(h)) {
		if (now_us() >= until_us) {
			log_error("network: no default route in %llu s",
				  (unsigned long long)(LIMIT_NETWORK_US / 1000000));
			return EXIT_NETWORK;
		}
		(void)usleep(50000);
	}
	ensure_resolver(h);
	return EXIT_DONE;
}

int network_down_run(const struct host *h)
{
	static const char *const units[] = { "systemd-networkd.socket", "systemd-networkd.service" };
	_cleanup_close_ int dir = host_live_open(h, STATE_DIR, O_RDONLY | O_DIRECTORY);
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	size_t len;

	if (dir < 0 || read_whole_at(dir, STATE_NAME, 65536, &text, &len) < 0)
		return EXIT_DONE; /* up never ran */
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		(void)!systemctl("stop", units[i], now_us() + LIMIT_NETWORK_US);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		put_back(line);
	(void)unlinkat(h->live_fd, &(OUR_FILE_DIR "/" OUR_FILE)[1], 0);
	/* leases and link state would make the real root's networkd believe that it was here before */
	(void)!run((const char *const[]){ "rm", "-rf", "/run/systemd/netif", NULL }, now_us() + LIMIT_NETWORK_US);
	(void)unlinkat(dir, STATE_NAME, 0);
	return EXIT_DONE;
}
