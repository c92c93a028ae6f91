// SPDX-License-Identifier: Apache-2.0
/*
 * network.c - a network in an initramfs: whose work it is (nethandler.c), whether it is there (a route, a
 * resolver), and putting all back (netstate.c). Runs only after all local sources failed. Power loss
 * undoes everything.
 */
#include "network.h"

#include <dirent.h>
#include <fcntl.h>

#include "child.h"
#include "limit.h"
#include "link.h"
#include "log.h"
#include "nethandler.h"
#include "netstate.h"
#include "owncopy.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define OWN_UNIT "modulus-network.service"
/* of the host: systemd.special(7) */
#define HOST_TARGET "network-online.target"

/* Whether this process has asked for a network, and what came of it. */
static bool asked, started;
static struct err outcome;

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

/* 0, or the reason in words. */
static const char *wait_for_route(const struct host *h, const struct nethandler *handler, uint64_t until_us)
{
	_cleanup_strv_ struct strv seen = { 0 };
	uint64_t began_us = now_us(), ipv6_us = 0, now;

	while (!online(h, false)) {
		_cleanup_strv_ struct strv links = { 0 };

		now = now_us();
		if (!online(h, true) || (handler->is_working && handler->is_working()))
			ipv6_us = 0;
		else if (ipv6_us == 0)
			ipv6_us = now;
		else if (now - ipv6_us >= LIMIT_NETWORK_IPV4_US)
			return NULL;
		if (link_list(h, false, &links) == 0 && links.n == 0 && now - began_us >= LIMIT_NETWORK_CARD_US)
			return "no network card";
		for (size_t i = 0; handler->link && i < links.n; i++)
			if (!strv_has(&seen, links.v[i]) && strv_add(&seen, links.v[i]) == 0)
				handler->link(links.v[i]);
		if (now >= until_us)
			return "no default route: no DHCP server or router answered in time";
		(void)usleep(50000);
	}
	return NULL;
}

int network_up_run(const struct host *h)
{
	uint64_t until_us = now_us() + LIMIT_NETWORK_US;
	const struct nethandler *handler = nethandler_find(h);
	const char *why;
	struct err err;
	int r;

	if (!handler) {
		log_error("network: this initramfs has neither NetworkManager nor dracut's ifup nor systemd-networkd");
		return EXIT_NETWORK;
	}
	if (!handler->is_busy(h)) {
		r = netstate_remember(h, handler->name);
		if (r < 0) {
			log_error("network: %s", strerror(-r));
			return EXIT_SYSTEM;
		}
		r = handler->start(h, until_us, &err);
		if (r < 0) {
			log_error("network: %s", err.text);
			return EXIT_NETWORK;
		}
	}
	why = wait_for_route(h, handler, until_us);
	if (why) {
		log_error("network: %s: %s", handler->name, why);
		return EXIT_NETWORK;
	}
	ensure_resolver(h);
	return EXIT_DONE;
}

int network_down_run(const struct host *h)
{
	_cleanup_netstate_ struct netstate before = { 0 };
	const struct nethandler *handler;
	int r = netstate_recall(h, &before);

	if (r == -ENOENT)
		return EXIT_DONE;
	handler = r == 0 ? nethandler_named(before.handler) : NULL;
	if (!handler) {
		log_error("network: what there was before is not known: %s", strerror(r < 0 ? -r : EBADMSG));
		return EXIT_SYSTEM;
	}
	handler->stop(h);
	netstate_restore(h, &before);
	return EXIT_DONE;
}

/* --- for boot --- */

static int systemctl(const char *verb, const char *unit, uint64_t until_us)
{
	return child_program((const char *const[]){ "systemctl", "--quiet", verb, unit, NULL }, until_us);
}

#define OWN_UNIT_DIR "/run/systemd/system"

static bool wrote_unit;

/* The file that dracut's module has: one text for both. */
__asm__(".pushsection .rodata\n"
	"unit_text: .incbin \"dracut/51modulus-net/" OWN_UNIT "\"\n"
	".byte 0\n"
	".popsection\n");
extern const char unit_text[];

/*
 * An initramfs that nobody built for us has no such unit. systemd looks for files again when a unit that it does not
 * know is started and a directory of theirs has changed, so nothing is reloaded.
 */
static int ensure_unit(const struct host *h)
{
	static const char *const places[] = { "etc/systemd/system/" OWN_UNIT, "usr/lib/systemd/system/" OWN_UNIT,
					      "lib/systemd/system/" OWN_UNIT };
	_cleanup_close_ int dir = -EBADF;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (faccessat(h->live_fd, places[i], F_OK, 0) == 0)
			return 0;
	r = host_live_mkdir(h, OWN_UNIT_DIR, &dir);
	if (r < 0)
		return r;
	wrote_unit = true;
	return write_file_at(dir, OWN_UNIT, unit_text, strlen(unit_text), 0644);
}

static int ask(const struct host *h, uint64_t until_us, struct err *err)
{
	int r;

	if (online(h, true)) {
		ensure_resolver(h); /* somebody else's network may have come without one */
		return 0;
	}
	notify_systemd("STATUS=waiting for the network");
	r = ensure_unit(h);
	if (r < 0)
		return err_set(err, -E_NETWORK, "no network: " OWN_UNIT_DIR "/" OWN_UNIT ": %s", strerror(-r));
	r = own_copy_end(); /* the unit runs it */
	if (r < 0)
		return err_set(err, -E_NETWORK, "no network: " OWN_COPY_PATH ": %s", strerror(-r));
	r = systemctl("start", OWN_UNIT, MIN(until_us, now_us() + LIMIT_NETWORK_US));
	if (r == -ENOENT)
		return err_set(err, -E_NETWORK, "no network, and no systemctl to ask for one");
	started = r == 0 || r == -ETIMEDOUT; /* a unit that failed has cleaned up already */
	if (r < 0)
		return err_set(err, -E_NETWORK, "no network: " OWN_UNIT " %s",
			       r == -ETIMEDOUT ? "did not start in time" : "failed");
	return 0;
}

/*
 * Early in the real root the host's own network may be on its way, which a unit waits for and a person sees. Where
 * it does not come the sources are asked all the same: the server may be on the same link.
 */
static void await_host(const struct host *h, uint64_t until_us)
{
	if (!getenv("NOTIFY_SOCKET") || online(h, true))
		return;
	notify_systemd("STATUS=waiting for " HOST_TARGET);
	if (systemctl("start", HOST_TARGET, MIN(until_us, now_us() + LIMIT_NETWORK_US)) < 0)
		log_info(HOST_TARGET " was not reached; asking the sources all the same");
}

/* Another root is not enough: a container has its host's somewhere too. */
static bool is_initramfs(const struct host *h)
{
	return !streq(h->root_path, "/") && faccessat(h->live_fd, "etc/initrd-release", F_OK, 0) == 0;
}

int network_want(const struct host *h, uint64_t until_us, struct err *err)
{
	if (!streq(h->live_path, "/"))
		return 0;
	if (!asked) {
		outcome = (struct err){ 0 };
		if (is_initramfs(h))
			(void)ask(h, until_us, &outcome);
		else
			await_host(h, until_us);
		asked = true;
	}
	*err = outcome;
	return outcome.code;
}

void network_release(const struct host *h)
{
	if (started && systemctl("stop", OWN_UNIT, now_us() + LIMIT_NETWORK_US) < 0)
		log_warning(OWN_UNIT " could not be stopped");
	if (wrote_unit)
		(void)unlinkat(h->live_fd, &(OWN_UNIT_DIR "/" OWN_UNIT)[1], 0);
	asked = started = wrote_unit = false;
}
