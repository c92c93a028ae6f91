// SPDX-License-Identifier: Apache-2.0
/*
 * nethandler.c - the three, and how each of them is asked. In the initramfs, when a bundle is nowhere
 * on disk. Out: processes of theirs in the unit that runs us, or in units of their own, and files in
 * /run that netstate.c removes. Power loss: nothing here is on disk.
 */
#include "nethandler.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "child.h"
#include "limit.h"

#define OUR_FILE "zz-modulus.network"
#define OUR_FILE_DIR "/run/systemd/network"

static bool is_there(const struct host *h, const char *path)
{
	return faccessat(h->live_fd, path + strspn(path, "/"), F_OK, 0) == 0;
}

static int systemctl(const char *verb, const char *unit, uint64_t until_us)
{
	return child_program((const char *const[]){ "systemctl", "--quiet", verb, unit, NULL }, until_us);
}

static void stop_unit(const char *unit)
{
	(void)!systemctl("stop", unit, now_us() + LIMIT_NETWORK_US);
}

/* Is there a file with this ending? */
static bool has_file(const struct host *h, const char *folder, const char *suffix)
{
	_cleanup_close_ int fd = host_live_open(h, folder, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	bool found = false;
	struct dirent *e;

	if (!dir)
		return false;
	(void)TAKE_FD(fd);
	while (!found && (e = readdir(dir)))
		found = e->d_name[0] != '.' && str_suffix(e->d_name, suffix) && !streq(e->d_name, OUR_FILE);
	closedir(dir);
	return found;
}

/* --- systemd-networkd --- */

/* Does anything tell networkd what to do? Its own files for containers and virtual links do not count. */
static bool networkd_is_configured(const struct host *h)
{
	return has_file(h, "/etc/systemd/network", ".network") || has_file(h, OUR_FILE_DIR, ".network") ||
	       /* Flatcar's default, and dracut-ng's */
	       is_there(h, "/usr/lib/systemd/network/zz-default.network") ||
	       is_there(h, "/usr/lib/systemd/network/zzzz-dracut-default.network");
}

/* Where it only runs, by its socket, it has done nothing yet. */
static bool networkd_is_busy(const struct host *h)
{
	return networkd_is_configured(h) &&
	       systemctl("is-active", "systemd-networkd.service", now_us() + LIMIT_NETWORK_US) == 0;
}

static int networkd_start(const struct host *h, uint64_t until_us, struct err *err)
{
	static const char text[] = "# written by modulus for the initramfs; removed before switch-root\n"
				   "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n\n"
				   "[DHCPv4]\nClientIdentifier=mac\n";
	bool configured = networkd_is_configured(h);
	_cleanup_close_ int dir = -EBADF;
	int r = configured ? 0 : host_live_mkdir(h, OUR_FILE_DIR, &dir);

	if (r == 0 && !configured)
		r = write_file_at(dir, OUR_FILE, text, strlen(text), 0644);
	if (r < 0)
		return err_set(err, -E_NETWORK, "%s/%s: %s", OUR_FILE_DIR, OUR_FILE, strerror(-r));
	r = systemctl(configured ? "start" : "restart", "systemd-networkd.service", until_us);
	return r < 0 ? err_set(err, -E_NETWORK, "systemd-networkd did not start") : 0;
}

static void networkd_stop(const struct host *h)
{
	(void)h;
	stop_unit("systemd-networkd.socket"); /* it would start it again */
	stop_unit("systemd-networkd.service");
}

/* --- NetworkManager --- */

#define NM_INITRD_DIR "/run/NetworkManager/initrd"

/* NetworkManager's own since 1.54, dracut's before that. */
static const char *const nm_units[] = { "NetworkManager-initrd.service", "nm-initrd.service" };

static const char *nm_unit(const struct host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(nm_units); i++) {
		_cleanup_free_ char *path = str_printf("/usr/lib/systemd/system/%s", nm_units[i]);
		_cleanup_free_ char *other = str_printf("/lib/systemd/system/%s", nm_units[i]);

		if ((path && is_there(h, path)) || (other && is_there(h, other)))
			return nm_units[i];
	}
	return nm_units[0];
}

static bool nm_is_busy(const struct host *h)
{
	return systemctl("is-active", nm_unit(h), now_us() + LIMIT_NETWORK_US) == 0;
}

static bool nm_is_configured(const struct host *h)
{
	static const char *const places[] = { "/usr/lib", "/run", "/etc" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *folder = str_printf("%s/NetworkManager/system-connections", places[i]);

		if (folder && has_file(h, folder, ".nmconnection"))
			return true;
	}
	return false;
}

/*
 * dracut runs the generator at the start of every boot, so `ip=` is a profile by now, which nobody has
 * activated. Without one there is none: rd.neednet=1 is the generator's word for DHCP everywhere. dracut
 * has the one place that knows all of the command line (/etc/cmdline.d).
 */
static int nm_configure(const struct host *h, uint64_t until_us)
{
	static const char *const generators[] = { "/usr/libexec/nm-initrd-generator", "/usr/lib/nm-initrd-generator",
						  "/usr/lib/NetworkManager/nm-initrd-generator" };

	for (size_t i = 0; i < ARRAY_SIZE(generators); i++)
		if (is_there(h, generators[i]))
			return child_program((const char *const[]){
				"sh", "-c", ". /lib/dracut-lib.sh && exec \"$0\" -- $(getcmdline) rd.neednet=1",
				generators[i], NULL }, until_us);
	return -ENOENT;
}

static int nm_start(const struct host *h, uint64_t until_us, struct err *err)
{
	_cleanup_close_ int dir = -EBADF;
	int r = 0;

	if (!nm_is_configured(h) && (nm_configure(h, until_us) < 0 || !nm_is_configured(h)))
		return err_set(err, -E_NETWORK, "nm-initrd-generator made no connection for NetworkManager");
	/* its units wait for this file, whoever starts them */
	r = host_live_mkdir(h, NM_INITRD_DIR, &dir);
	if (r == 0)
		r = write_file_at(dir, "neednet", "", 0, 0644);
	if (r < 0)
		return err_set(err, -E_NETWORK, "%s/neednet: %s", NM_INITRD_DIR, strerror(-r));
	r = systemctl("start", nm_unit(h), until_us);
	return r < 0 ? err_set(err, -E_NETWORK, "NetworkManager did not start") : 0;
}

static void nm_stop(const struct host *h)
{
	stop_unit(nm_unit(h));
}

/* --- dracut's scripts --- */

/* They have no daemon: where dracut itself wanted a network, it was there before us, or failed. */
static bool legacy_is_busy(const struct host *h)
{
	(void)h;
	return false;
}

static int legacy_start(const struct host *h, uint64_t until_us, struct err *err)
{
	(void)h;
	(void)until_us;
	(void)err;
	return 0; /* link by link */
}

/*
 * ifup reads `ip=` itself, and without one it asks a DHCP server. -m: no root over the network hangs on
 * it. What it leaves to do when a server has answered is a job for dracut's main loop, which has ended
 * by now. One process for each link, at once: one without a cable takes ten seconds to say so.
 */
static void legacy_link(const char *name)
{
	static const char script[] =
		". /lib/dracut-lib.sh && . /lib/net-lib.sh || exit 1\n"
		"/sbin/ifup \"$1\" -m\n"
		"job=$hookdir/initqueue/setup_net_$1.sh\n"
		"[ ! -e \"$job\" ] || . \"$job\"\n";
	const char *const argv[] = { "sh", "-c", script, "ifup", name, NULL };
	pid_t pid;

	(void)posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
}

static bool legacy_is_working(void)
{
	pid_t ended;

	while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
		;
	return ended == 0;
}

static void legacy_stop(const struct host *h)
{
	(void)h; /* what it left running, dhclient, is in our unit and ends with it */
}

/* --- which --- */

static const struct nethandler handlers[] = {
	{ "NetworkManager", { "/usr/sbin/NetworkManager", "/usr/bin/NetworkManager" }, nm_is_busy, nm_start, NULL, NULL, nm_stop },
	{ "dracut", { "/sbin/ifup" }, legacy_is_busy, legacy_start, legacy_link, legacy_is_working, legacy_stop },
	{ "systemd-networkd", { "/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd" },
	  networkd_is_busy, networkd_start, NULL, NULL, networkd_stop },
};

const struct nethandler *nethandler_find(const struct host *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		for (const char *const *file = handlers[i].files; *file; file++)
			if (is_there(h, *file))
				return &handlers[i];
	return NULL;
}

const struct nethandler *nethandler_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (streq(handlers[i].name, name))
			return &handlers[i];
	return NULL;
}
