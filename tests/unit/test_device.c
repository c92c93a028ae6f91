// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <time.h>

#include "device.h"
#include "fakekernel.h"

#define NVIDIA_H100 "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"
#define NVIDIA_GTX "pci:v000010DEd00001B80sv00001458sd0000371Fbc03sc00i00"
#define NVIDIA_AUDIO "pci:v000010DEd000010F0sv00001458sd0000371Fbc04sc03i00"
#define NVIDIA_NVSWITCH "pci:v000010DEd000022A3sv000010DEsd00001796bc06sc80i00"
#define VIRTIO_GPU "pci:v00001AF4d00001050sv00001AF4sd00001100bc03sc80i00"
#define VIRTIO_VGA "pci:v00001AF4d00001050sv00001AF4sd00001100bc03sc00i00"
#define VIRTIO_NET "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"
#define AMD_MI300 "pci:v00001002d000074A1sv00001002sd000074A1bc12sc00i00"
#define VIRTIO_BUS_GPU "virtio:d00000010v00001AF4"

/* --- who is there --- */

static void put_device(const struct place *p, const char *bus, const char *address, const char *modalias)
{
	_cleanup_free_ char *device = str_printf("live/sys/devices/pci0000:00/%s/modalias", address);
	_cleanup_free_ char *link = str_printf("live/sys/bus/%s/devices/%s", bus, address);
	_cleanup_free_ char *target = str_printf("../../../devices/pci0000:00/%s", address);
	_cleanup_free_ char *line = modalias ? str_printf("%s\n", modalias) : NULL;

	put_link(p, link, target);
	if (line)
		put_text(p, device, line);
}

static void test_all_devices_of_a_bus_are_seen(void **state)
{
	_cleanup_devices_ struct device_list l = { 0 };
	struct place *p = *state;
	bool seen = false;

	put_device(p, "pci", "0000:00:02.0", VIRTIO_GPU);
	put_device(p, "pci", "0000:00:03.0", VIRTIO_NET);
	put_device(p, "pci", "0000:00:04.0", NULL); /* has none, or vanished meanwhile */
	put_device(p, "virtio", "virtio0", VIRTIO_BUS_GPU);
	assert_int_equal(device_scan(&p->host, "pci", &l), 0);
	assert_int_equal(l.n, 2);
	for (size_t i = 0; i < l.n; i++) {
		assert_string_equal(l.v[i].bus, "pci");
		if (streq(l.v[i].address, "0000:00:02.0")) {
			assert_string_equal(l.v[i].modalias, VIRTIO_GPU);
			seen = true;
		}
	}
	assert_true(seen);
	assert_int_equal(device_scan(&p->host, "virtio", &l), 0); /* adds */
	assert_int_equal(l.n, 3);
	assert_string_equal(l.v[2].modalias, VIRTIO_BUS_GPU);
}

static void test_a_bus_that_is_not_there_has_no_devices(void **state)
{
	static const char *const names[] = { "pci", "*", "", "..", "../..", "pci/../pci", "." };
	_cleanup_devices_ struct device_list l = { 0 };
	struct place *p = *state;

	put_device(p, "vmbus", "x", "vmbus:1");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_case(names[i], device_scan(&p->host, names[i], &l) == 0);
	assert_int_equal(l.n, 0);
}

static void test_globs_match_the_devices_they_mean(void **state)
{
	static const struct {
		const char *glob, *modalias;
		bool match;
	} cases[] = {
		/* every NVIDIA display and 3D controller, none of its audio functions and switches */
		{ "pci:v000010DEd*bc03sc0[02]*", NVIDIA_H100, true },
		{ "pci:v000010DEd*bc03sc0[02]*", NVIDIA_GTX, true },
		{ "pci:v000010DEd*bc03sc0[02]*", NVIDIA_AUDIO, false },
		{ "pci:v000010DEd*bc03sc0[02]*", NVIDIA_NVSWITCH, false },
		{ "pci:v000010DEd*bc03sc0[02]*", VIRTIO_GPU, false },
		{ "pci:v000010DEd*bc06sc80*", NVIDIA_NVSWITCH, true },
		{ "pci:v00001AF4d00001050*", VIRTIO_GPU, true },
		{ "pci:v00001AF4d00001050*", VIRTIO_VGA, true },
		{ "pci:v00001AF4d00001050*", VIRTIO_NET, false },
		{ "pci:v00001AF4d00001050sv*sd*bc*sc*i*", VIRTIO_GPU, true }, /* as modules.alias has it */
		{ "pci:v00001002d*bc12sc00*", AMD_MI300, true },
		{ "pci:*", AMD_MI300, true },
		{ "virtio:d00000010v*", VIRTIO_BUS_GPU, true },
		{ "virtio:d00000010v*", VIRTIO_GPU, false },
		/* the whole modalias has to match, letter case too */
		{ "pci:v000010DE", NVIDIA_H100, false },
		{ "v000010DEd*", NVIDIA_H100, false },
		{ "pci:v000010ded*", NVIDIA_H100, false },
		{ NVIDIA_H100, NVIDIA_H100, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv globs = { 0 };
		_cleanup_free_ char *modalias = strdup(cases[i].modalias);
		const struct device d = { .modalias = modalias };

		assert_false(device_matches(&d, &globs));
		add_text(&globs, "usb:never");
		add_text(&globs, cases[i].glob);
		if (device_matches(&d, &globs) != cases[i].match)
			fail_msg("%s against %s", cases[i].glob, cases[i].modalias);
	}
}

static void test_globs_behind_a_mark_take_away_wherever_they_stand(void **state)
{
	static const struct {
		const char *globs, *modalias;
		bool match;
	} cases[] = {
		{ "pci:v000010DEd* !pci:*bc04sc03*", NVIDIA_AUDIO, false },
		{ "pci:v000010DEd* !pci:*bc04sc03*", NVIDIA_H100, true },
		{ "!pci:*bc04sc03* pci:v000010DEd*", NVIDIA_AUDIO, false },
		{ "!pci:*bc04sc03* pci:v000010DEd*", NVIDIA_H100, true },
		{ "!pci:*bc04sc03*", NVIDIA_H100, false },
		{ "!", NVIDIA_H100, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv globs = { 0 };
		_cleanup_free_ char *modalias = strdup(cases[i].modalias);
		const struct device d = { .modalias = modalias };

		assert_int_equal(strv_add_words(&globs, cases[i].globs, NULL), 0);
		if (device_matches(&d, &globs) != cases[i].match)
			fail_msg("%s against %s", cases[i].globs, cases[i].modalias);
	}
}

/* --- nodes --- */

#define GPU "live/sys/devices/pci0000:00/0000:00:02.0"

static struct device the_gpu(void)
{
	static char bus[] = "pci", address[] = "0000:00:02.0", modalias[] = VIRTIO_GPU;

	return (struct device){ .bus = bus, .address = address, .modalias = modalias };
}

/* A class device below the GPU, as the kernel makes it. */
static void put_class_device(const struct place *p, const char *below, const char *dev, const char *uevent)
{
	_cleanup_free_ char *dev_path = str_printf(GPU "/%s/dev", below);
	_cleanup_free_ char *uevent_path = str_printf(GPU "/%s/uevent", below);

	put_text(p, dev_path, dev);
	put_text(p, uevent_path, uevent);
}

static void put_gpu(struct place *p)
{
	put_device(p, "pci", "0000:00:02.0", VIRTIO_GPU);
	put_text(p, GPU "/uevent", "DRIVER=virtio-pci\nPCI_CLASS=38000\n");
	fake_kernel(p);
}

static void test_nodes_are_found_below_the_device_and_sorted(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	put_class_device(p, "virtio0/drm/renderD128", "226:128\n",
			 "MAJOR=226\nMINOR=128\nDEVNAME=dri/renderD128\nDEVTYPE=drm_minor\n");
	put_class_device(p, "virtio0/drm/card0", "226:0\n",
			 "MAJOR=226\nMINOR=0\nDEVNAME=dri/card0\nDEVTYPE=drm_minor\n");
	put_text(p, GPU "/virtio0/drm/card0/card0-Virtual-1/status", "connected\n");
	put_text(p, "live/dev/dri/card0", "");
	put_text(p, "live/dev/dri/renderD128", "");
	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 2);
	assert_string_equal(nodes.v[0], "/dev/dri/card0");
	assert_string_equal(nodes.v[1], "/dev/dri/renderD128");
	assert_string_equal(fake_kernel_log(), ""); /* they were there: nothing was made */
}

static void test_a_missing_node_is_made_for_root_alone(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	put_dir(p, "live/dev");
	put_class_device(p, "drm/card0", "226:0\n", "DEVNAME=dri/card0\n");
	put_class_device(p, "misc/gpu-control", "10:1048575\n", "DEVNAME=gpu-control\n");
	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 2);
	assert_contains(fake_kernel_log(), "mknod dev/dri/card0 226:0 0600\n");
	assert_contains(fake_kernel_log(), "mknod dev/gpu-control 10:1048575 0600\n");
	assert_true(is_there(p, "live/dev/dri/card0"));
}

static void test_a_node_that_cannot_be_made_is_not_reported(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	put_class_device(p, "drm/card0", "226:0\n", "DEVNAME=dri/card0\n");
	p->host.ops = &sysops_refuse;
	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 0);
}

static void test_names_that_lead_elsewhere_and_half_announcements_are_ignored(void **state)
{
	static const struct {
		const char *dev, *uevent;
	} cases[] = {
		{ "1:1\n", "DEVNAME=../../etc/shadow\n" },
		{ "1:1\n", "DEVNAME=dri/../../x\n" },
		{ "1:1\n", "DEVNAME=/etc/x\n" },
		{ "1:1\n", "MAJOR=1\nMINOR=1\n" },
		{ "1:1\n", "XDEVNAME=x\n" },
		{ "1:1\n", "" },
		{ "one\n", "DEVNAME=x\n" },
		{ "1\n", "DEVNAME=x\n" },
		{ "", "DEVNAME=x\n" },
	};
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv nodes = { 0 };

		put_class_device(p, "drm/card0", cases[i].dev, cases[i].uevent);
		assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
		assert_case(cases[i].uevent, nodes.n == 0);
	}
	assert_string_equal(fake_kernel_log(), "");
}

static void test_links_below_a_device_are_not_followed(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	put_text(p, "live/sys/devices/other/dev", "8:0\n");
	put_text(p, "live/sys/devices/other/uevent", "DEVNAME=sda\n");
	put_link(p, GPU "/subsystem", "../../other");
	put_link(p, GPU "/loop", ".");
	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 0);
}

static void test_a_node_that_two_announce_is_reported_once(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	put_class_device(p, "drm/card0", "226:0\n", "DEVNAME=dri/card0\n");
	put_class_device(p, "graphics/fb0", "226:0\n", "DEVNAME=dri/card0\n");
	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 1);
}

static void test_a_deep_tree_ends_the_search(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	put_gpu(p);
	put_class_device(p, "1/2/3/4/5/6", "1:6\n", "DEVNAME=six\n");
	put_class_device(p, "1/2/3/4/5/6/7", "1:7\n", "DEVNAME=seven\n");
	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 1);
	assert_string_equal(nodes.v[0], "/dev/six");
}

static void test_a_device_that_is_gone_has_no_nodes(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 };
	const struct device d = the_gpu();
	struct place *p = *state;

	assert_int_equal(device_nodes(&p->host, &d, &nodes), 0);
	assert_int_equal(nodes.n, 0);
}

/* --- waiting for udev --- */

static void test_nobody_waits_where_there_is_no_udev_or_it_is_idle(void **state)
{
	struct place *p = *state;
	uint64_t began = now_us();

	device_settle(&p->host, 20000000);
	put_dir(p, "live/run/udev");
	device_settle(&p->host, 20000000);
	assert_true(now_us() - began < 10000000);
}

static void *finish_events(void *ctx)
{
	const struct timespec t = { .tv_nsec = 50 * 1000 * 1000 };
	_cleanup_free_ char *queue = place_path(ctx, "live/run/udev/queue");

	(void)nanosleep(&t, NULL);
	(void)unlink(queue);
	return NULL;
}

static void test_the_wait_ends_when_udev_is_done(void **state)
{
	struct place *p = *state;
	uint64_t began = now_us(), took;
	pthread_t thread;

	put_text(p, "live/run/udev/queue", "");
	assert_int_equal(pthread_create(&thread, NULL, finish_events, p), 0);
	device_settle(&p->host, 20000000);
	took = now_us() - began;
	(void)pthread_join(thread, NULL);
	assert_true(took >= 40000);
	assert_true(took < 10000000);
}

static void test_the_wait_has_an_end_when_udev_does_not(void **state)
{
	struct place *p = *state;
	uint64_t began = now_us(), took;

	put_text(p, "live/run/udev/queue", "");
	device_settle(&p->host, 50000);
	took = now_us() - began;
	assert_true(took >= 50000);
	assert_true(took < 10000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_all_devices_of_a_bus_are_seen),
		at_place(test_a_bus_that_is_not_there_has_no_devices),
		cmocka_unit_test(test_globs_match_the_devices_they_mean),
		cmocka_unit_test(test_globs_behind_a_mark_take_away_wherever_they_stand),
		at_place(test_nodes_are_found_below_the_device_and_sorted),
		at_place(test_a_missing_node_is_made_for_root_alone),
		at_place(test_a_node_that_cannot_be_made_is_not_reported),
		at_place(test_names_that_lead_elsewhere_and_half_announcements_are_ignored),
		at_place(test_links_below_a_device_are_not_followed),
		at_place(test_a_node_that_two_announce_is_reported_once),
		at_place(test_a_deep_tree_ends_the_search),
		at_place(test_a_device_that_is_gone_has_no_nodes),
		at_place(test_nobody_waits_where_there_is_no_udev_or_it_is_idle),
		at_place(test_the_wait_ends_when_udev_is_done),
		at_place(test_the_wait_has_an_end_when_udev_does_not),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
