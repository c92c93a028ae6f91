// SPDX-License-Identifier: Apache-2.0
/* Taking a device from a rival, and giving it back, in a sysfs made of plain files. */
#include "evict.h"
#include "fixture.h"

#define GPU_ALIAS "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"
#define BUS "live/sys/bus/pci/"
#define CONSOLE "live/sys/class/vtconsole/vtcon"

/* A GPU at this address, held by a driver of that name (NULL: by nobody). */
static void put_device(const struct place *p, const char *address, const char *driver, const char *module)
{
	_cleanup_free_ char *alias = str_printf(BUS "devices/%s/modalias", address);
	_cleanup_free_ char *held = str_printf(BUS "devices/%s/driver", address);
	_cleanup_free_ char *target = str_printf("../../drivers/%s", driver ? driver : "");
	_cleanup_free_ char *unbind = str_printf(BUS "drivers/%s/unbind", driver ? driver : "");
	_cleanup_free_ char *bind = str_printf(BUS "drivers/%s/bind", driver ? driver : "");
	_cleanup_free_ char *link = str_printf(BUS "drivers/%s/module", driver ? driver : "");

	put_text(p, alias, GPU_ALIAS "\n");
	if (!driver)
		return;
	put_text(p, unbind, "");
	put_text(p, bind, "");
	put_link(p, held, target);
	if (module && !is_there(p, link)) {
		_cleanup_free_ char *to = str_printf("../../../../module/%s", module);

		put_link(p, link, to);
	}
}

static void put_console(const struct place *p, unsigned int i, const char *name, const char *bind)
{
	_cleanup_free_ char *a = str_printf(CONSOLE "%u/name", i), *b = str_printf(CONSOLE "%u/bind", i);

	put_text(p, a, name);
	put_text(p, b, bind);
}

static void assert_text(const struct place *p, const char *path, const char *wanted)
{
	_cleanup_free_ char *text = get_text(p, path);

	if (!streq(text, wanted))
		fail_msg("%s: '%s', not '%s'", path, text, wanted);
}

struct scene {
	struct driver d;
	struct device_list devices;
	struct eviction taken;
	struct err err;
	int code;
};

static struct scene evict(const struct place *p, const char *rivals)
{
	struct scene s = { .d.name = (char *)(uintptr_t)"gpu" };

	add_text(&s.d.match, "pci:v000010DEd*bc03*");
	assert_int_equal(strv_add_words(&s.d.evict, rivals, NULL), 0);
	assert_int_equal(device_scan(&p->host, "pci", &s.devices), 0);
	s.code = evict_rivals(&p->host, &s.d, &s.devices, &s.taken, &s.err);
	return s;
}

static void scene_done(struct scene *s)
{
	strv_free(&s->d.match);
	strv_free(&s->d.evict);
	device_list_free(&s->devices);
	evict_free(&s->taken);
}

#define _cleanup_scene_ _cleanup_(scene_done)

static void test_a_rival_loses_its_consoles_and_then_the_device_and_gets_them_back(void **state)
{
	const struct place *p = *state;
	_cleanup_scene_ struct scene s = { 0 };

	put_device(p, "0000:01:00.0", "nouveau", "nouveau");
	put_console(p, 0, "(S) VGA+\n", "0\n");
	put_console(p, 1, "(M) frame buffer device\n", "1\n");
	s = evict(p, "nova-core nouveau");
	assert_int_equal(s.code, 0);
	assert_text(p, CONSOLE "1/bind", "0");
	assert_text(p, CONSOLE "0/bind", "0\n");
	assert_text(p, BUS "drivers/nouveau/unbind", "0000:01:00.0");
	assert_text(p, BUS "drivers/nouveau/bind", "");
	assert_int_equal(s.taken.paths.n, 2);
	assert_contains(s.taken.paths.v[0], "vtcon1/bind"); /* first, and given back last */
	evict_give_back(&s.taken);
	assert_text(p, CONSOLE "1/bind", "1");
	assert_text(p, BUS "drivers/nouveau/bind", "0000:01:00.0");
}

static void test_who_is_no_rival_keeps_the_device(void **state)
{
	const struct place *p = *state;
	_cleanup_scene_ struct scene s = { 0 };

	put_device(p, "0000:01:00.0", "vfio-pci", "vfio_pci");
	put_device(p, "0000:02:00.0", NULL, NULL);
	put_console(p, 0, "(M) frame buffer device\n", "1\n");
	s = evict(p, "nouveau");
	assert_int_equal(s.code, 0);
	assert_int_equal(s.taken.paths.n, 0);
	assert_text(p, BUS "drivers/vfio-pci/unbind", "");
	assert_text(p, CONSOLE "0/bind", "1\n");
}

static void test_rivals_are_modules_whatever_their_driver_is_called(void **state)
{
	const struct place *p = *state;
	_cleanup_scene_ struct scene s = { 0 };

	put_device(p, "0000:01:00.0", "NovaCore", "nova_core");
	put_device(p, "0000:02:00.0", "nouveau", NULL); /* built in: only the driver's name is there */
	s = evict(p, "nova-core nouveau");
	assert_int_equal(s.code, 0);
	assert_text(p, BUS "drivers/NovaCore/unbind", "0000:01:00.0");
	assert_text(p, BUS "drivers/nouveau/unbind", "0000:02:00.0");
	assert_int_equal(s.taken.paths.n, 2);
}

static void test_a_rival_that_does_not_let_go_is_named(void **state)
{
	const struct place *p = *state;
	_cleanup_scene_ struct scene s = { 0 };

	put_device(p, "0000:01:00.0", "nouveau", "nouveau");
	assert_int_equal(unlinkat(p->fd, BUS "drivers/nouveau/unbind", 0), 0);
	put_dir(p, BUS "drivers/nouveau/unbind");
	s = evict(p, "nouveau");
	assert_int_equal(s.code, -E_INIT_FAILED);
	assert_contains(s.err.text, "nouveau keeps 0000:01:00.0: ");
	evict_give_back(&s.taken);
}

static void test_without_evict_nothing_is_looked_at(void **state)
{
	const struct place *p = *state;
	_cleanup_scene_ struct scene s = { 0 };

	put_device(p, "0000:01:00.0", "nouveau", "nouveau");
	s = evict(p, "");
	assert_int_equal(s.code, 0);
	assert_text(p, BUS "drivers/nouveau/unbind", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_a_rival_loses_its_consoles_and_then_the_device_and_gets_them_back),
		at_place(test_who_is_no_rival_keeps_the_device),
		at_place(test_rivals_are_modules_whatever_their_driver_is_called),
		at_place(test_a_rival_that_does_not_let_go_is_named),
		at_place(test_without_evict_nothing_is_looked_at),
	};

	return cmocka_run_group_tests_name("evict", tests, NULL, NULL);
}
