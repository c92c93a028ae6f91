// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "fixture.h"
#include "nethandler.h"
#include "netstate.h"

#define CONF "live/proc/sys/net/ipv6/conf/"

/* A machine with one card, which is the loopback so that this one's cards are never touched. */
static void put_machine(const struct place *p)
{
	put_dir(p, "live/sys/class/net/lo/device");
	put_text(p, CONF "lo/accept_ra", "1\n");
	put_text(p, CONF "lo/mtu", "65536\n");
	put_text(p, "live/proc/sys/kernel/hostname", "node 7\n");
	put_text(p, "live/run/systemd/network/70-mine.network", "[Match]\n");
	put_text(p, "live/run/systemd/netif/links/2", "ADMIN_STATE=unmanaged\n");
}

static void assert_text(const struct place *p, const char *path, const char *text)
{
	_cleanup_free_ char *have = get_text(p, path);

	assert_string_equal(have, text);
}

static void remember_and_restore(const struct place *p, void (*meanwhile)(const struct place *p))
{
	_cleanup_netstate_ struct netstate s = { 0 };

	assert_int_equal(netstate_remember(&p->host, "systemd-networkd"), 0);
	meanwhile(p);
	assert_int_equal(netstate_recall(&p->host, &s), 0);
	assert_string_equal(s.handler, "systemd-networkd");
	netstate_restore(&p->host, &s);
}

static void network_manager_was_here(const struct place *p)
{
	put_text(p, "live/run/NetworkManager/system-connections/default.nmconnection", "[connection]\n");
	put_text(p, "live/run/NetworkManager/devices/2", "[device]\n");
	put_link(p, "live/run/NetworkManager/resolv.conf", "/etc/passwd");
	put_text(p, "live/run/systemd/network/zz-modulus.network", "[Match]\n");
	put_text(p, "live/run/systemd/netif/leases/2", "DNS=10.0.2.3\n");
}

static void test_what_is_new_goes_and_what_was_there_stays(void **state)
{
	struct place *p = *state;

	put_machine(p);
	remember_and_restore(p, network_manager_was_here);
	assert_false(is_there(p, "live/run/NetworkManager"));
	assert_text(p, "live/run/systemd/network/70-mine.network", "[Match]\n");
	assert_int_equal(count_entries(p, "live/run/systemd/network"), 1);
	assert_false(is_there(p, "live/run/systemd/netif")); /* state of links is never handed on */
	assert_false(is_there(p, "live/run/modulus/network"));
}

static void a_profile_was_used(const struct place *p)
{
	put_text(p, "live/run/NetworkManager/initrd/neednet", "");
	put_text(p, "live/run/NetworkManager/state", "x");
}

static void test_profiles_that_ip_made_stay(void **state)
{
	struct place *p = *state;

	put_machine(p);
	put_text(p, "live/run/NetworkManager/system-connections/eth0.nmconnection", "[ipv4]\n");
	remember_and_restore(p, a_profile_was_used);
	assert_text(p, "live/run/NetworkManager/system-connections/eth0.nmconnection", "[ipv4]\n");
	assert_int_equal(count_entries(p, "live/run/NetworkManager"), 1);
}

static void settings_were_changed(const struct place *p)
{
	put_text(p, CONF "lo/accept_ra", "0\n");
	put_text(p, "live/proc/sys/kernel/hostname", "dhcp-17\n");
	put_text(p, CONF "eth9/accept_ra", "0\n"); /* of a card that came later: nobody knows better */
}

static void test_settings_and_the_hosts_name_are_put_back(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *name = NULL, *value = NULL, *later = NULL;

	put_machine(p);
	remember_and_restore(p, settings_were_changed);
	/* files of the kernel are written to, not replaced: what was longer is still behind it */
	value = get_text(p, CONF "lo/accept_ra");
	assert_int_equal(value[0], '1');
	name = get_text(p, "live/proc/sys/kernel/hostname");
	assert_int_equal(strncmp(name, "node 7", 6), 0);
	later = get_text(p, CONF "eth9/accept_ra");
	assert_string_equal(later, "0\n");
}

static void test_nothing_or_rubbish_to_recall(void **state)
{
	static const char *const rubbish[] = { "", "\n", "up eth0\n", "stop\n", "stop x\nstop y\n", "stop x\nrm -rf /\n" };
	struct place *p = *state;
	struct netstate s;

	assert_int_equal(netstate_recall(&p->host, &s), -ENOENT);
	for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++) {
		put_text(p, "live/run/modulus/network", rubbish[i]);
		assert_case(rubbish[i], netstate_recall(&p->host, &s) == -EBADMSG);
	}
}

static void test_the_order_of_handlers_is_dracuts(void **state)
{
	struct place *p = *state;

	assert_null(nethandler_find(&p->host));
	put_text(p, "live/lib/systemd/systemd-networkd", "");
	assert_string_equal(nethandler_find(&p->host)->name, "systemd-networkd");
	put_text(p, "live/sbin/ifup", "");
	assert_string_equal(nethandler_find(&p->host)->name, "dracut");
	put_text(p, "live/usr/sbin/NetworkManager", "");
	assert_string_equal(nethandler_find(&p->host)->name, "NetworkManager");
	assert_ptr_equal(nethandler_named("NetworkManager"), nethandler_find(&p->host));
	assert_null(nethandler_named("connman"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_what_is_new_goes_and_what_was_there_stays),
		at_place(test_profiles_that_ip_made_stay),
		at_place(test_settings_and_the_hosts_name_are_put_back),
		at_place(test_nothing_or_rubbish_to_recall),
		at_place(test_the_order_of_handlers_is_dracuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
