// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "network.h"

#define HEAD4 "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
#define DEFAULT4 "ens3\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
#define LOCAL4 "ens3\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
#define ZERO "00000000000000000000000000000000"
#define ROUTE6(length, flags, link) ZERO " " length " " ZERO " 00 " ZERO " 00000400 00000001 00000000 " flags " " link "\n"

static const struct {
	const char *ipv4, *ipv6;
	bool online;
} routes[] = {
	{ HEAD4 LOCAL4 DEFAULT4, "", true },
	{ HEAD4 LOCAL4, "", false },
	{ HEAD4, "", false },
	{ "", "", false },
	{ DEFAULT4, "", false }, /* the first line is the head */
	{ HEAD4 "ens3\t00000000\t0202000A\t0002\t0\t0\t100\t00000000\t0\t0\t0\n", "", false }, /* not up */
	{ HEAD4 "ens3\t00000000\t0202000A\t0003\t0\t0\t100\t00FFFFFF\t0\t0\t0\n", "", false }, /* 0.0.0.0/24 */
	{ "", ROUTE6("40", "00000001", "ens3") ROUTE6("00", "00000003", "    ens3"), true },
	{ "", ROUTE6("00", "00200200", "      lo"), false },
	{ "", ROUTE6("00", "00000001", "lo"), false },
	{ "", ROUTE6("40", "00000003", "ens3"), false },
};

static void test_default_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		assert_case(*routes[i].ipv4 ? routes[i].ipv4 : routes[i].ipv6,
			    network_has_default_route(routes[i].ipv4, routes[i].ipv6) == routes[i].online);
}

static void test_what_names_a_server(void **state)
{
	(void)state;
	assert_true(network_names_a_server("nameserver 10.0.2.3\n"));
	assert_true(network_names_a_server("search x\nnameserver ::1"));
	assert_false(network_names_a_server("# nameserver 10.0.2.3\n"));
	assert_false(network_names_a_server(""));
}

static void test_servers_of_a_lease(void **state)
{
	_cleanup_strv_ struct strv servers = { 0 };
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(network_lease_servers("# comment\nADDRESS=10.0.2.15\n\nDNS=10.0.2.3  10.0.2.4\nNTP=x", &servers), 0);
	assert_int_equal(network_lease_servers("DNS=", &servers), 0);
	assert_int_equal(network_lease_servers("DNS=1.1.1.1 8.8.8.8", &servers), 0);
	assert_int_equal(servers.n, 4);
	text = network_resolver_text(&servers);
	assert_string_equal(text, "nameserver 10.0.2.3\nnameserver 10.0.2.4\nnameserver 1.1.1.1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_routes),
		cmocka_unit_test(test_what_names_a_server),
		cmocka_unit_test(test_servers_of_a_lease),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
