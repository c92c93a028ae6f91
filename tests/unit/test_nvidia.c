// SPDX-License-Identifier: Apache-2.0
/*
 * Which nodes follow from /proc. The texts are those of the driver: 535's params and names, an H100's
 * information, MIG's capability files, NVSwitch's directories. What becomes of a node: test_node.c.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fixture.h"
#include "limit.h"
#include "nvidia.h"

#define PROC "live/proc/driver/nvidia"
#define CAP "/dev/nvidia-caps/nvidia-cap"

static const char majors_535[] = "Character devices:\n  1 mem\n  5 /dev/tty\n195 nvidia-frontend\n226 drm\n"
				 "234 nvidia-caps\n235 nvidia-nvswitch\n236 nvidia-nvlink\n511 nvidia-uvm\n\n"
				 "Block devices:\n  8 sd\n500 nvidia\n";

static const char majors_580[] = "Character devices:\n  1 mem\n195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n"
				 "234 nvidia-caps-imex-channels\n237 nvidia-caps\n508 nvidia-uvm\n\nBlock devices:\n";

#define PARAMS(uid, gid, mode, modify)                                                                      \
	"ResmanDebugLevel: 4294967295\nRmLogonRC: 1\nModifyDeviceFiles: " modify "\nDeviceFileUID: " uid   \
	"\nDeviceFileGID: " gid "\nDeviceFileMode: " mode "\nInitializeSystemMemoryAllocations: 1\n"        \
	"RegistryDwords: \"DeviceFileMode: 0\"\nRmMsg: \"\"\nExcludedGpus: \"\"\n"

static void put_gpu(const struct place *p, unsigned int bus, const char *minor_no)
{
	_cleanup_free_ char *path = str_printf(PROC "/gpus/0000:%02x:00.0/information", bus);
	_cleanup_free_ char *text =
		str_printf("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 34\nGPU UUID: \t GPU-00000000\n"
			   "Bus Type: \t PCIe\nBus Location: \t 0000:%02x:00.0\nDevice Minor: \t %s\n"
			   "GPU Excluded:\t No\n", bus, minor_no);

	put_text(p, path, text);
}

static void put_cap(const struct place *p, const char *path, unsigned int minor_no, const char *mode, const char *modify)
{
	_cleanup_free_ char *file = str_printf(PROC "%s", path);
	_cleanup_free_ char *text = str_printf("DeviceFileMinor: %u\nDeviceFileMode: %s\nDeviceFileModify: %s\n",
					       minor_no, mode, modify);

	put_text(p, file, text);
}

/* 535 with one GPU, all modules live. */
static void put_driver(const struct place *p, const char *params)
{
	put_text(p, "live/proc/devices", majors_535);
	put_text(p, PROC "/params", params);
	put_text(p, PROC "/version", "NVRM version: x\n");
	put_dir(p, "live/sys/module/nvidia_modeset");
	put_dir(p, "live/proc/driver/nvidia-nvswitch/devices");
	put_gpu(p, 0x40, "0");
}

/* One line for each: "PATH MAJOR:MINOR UID:GID MODE", and " kept" where it may not be modified. */
static char *plan_of(const struct place *p, struct strv *warnings)
{
	_cleanup_nodes_ struct node_list l = { 0 };
	struct blob b = { 0 };

	assert_int_equal(nvidia_plan(&p->host, &l, warnings), 0);
	blob_add_text(&b, "");
	for (size_t i = 0; i < l.n; i++) {
		_cleanup_free_ char *line =
			str_printf("%s %u:%u %u:%u %04o%s\n", l.v[i].path, l.v[i].major_no, l.v[i].minor_no, l.v[i].uid,
				   l.v[i].gid, (unsigned int)l.v[i].mode, l.v[i].modify ? "" : " kept");

		assert_non_null(line);
		blob_add_text(&b, line);
	}
	return (char *)b.v;
}

#define assert_plan(p, text) assert_plan_and_warnings(p, text, NULL)

/* warning: what the only one holds; NULL: there is none. */
static void assert_plan_and_warnings(const struct place *p, const char *text, const char *warning)
{
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *plan = plan_of(p, &warnings);

	if (!warning && warnings.n > 0)
		fail_msg("%s", warnings.v[0]);
	assert_string_equal(plan, text);
	if (!warning)
		return;
	assert_int_equal(warnings.n, 1);
	assert_contains(warnings.v[0], warning);
}

#define REST "/dev/nvidia-modeset 195:254 0:0 0666\n/dev/nvidiactl 195:255 0:0 0666\n"
#define UVM "/dev/nvidia-uvm 511:0 0:0 0666\n/dev/nvidia-uvm-tools 511:1 0:0 0666\n"

/* --- GPUs --- */

static void test_without_the_driver_there_are_no_nodes(void **state)
{
	struct place *p = *state;

	assert_plan(p, "");
	put_text(p, "live/proc/devices", majors_535);
	assert_plan(p, "");
}

static void test_one_gpu(void **state)
{
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "1"));
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0666\n" REST UVM);
}

static void test_eight_gpus_have_the_minors_that_the_driver_gave_them(void **state)
{
	/* in the order of the bus, as cabling and firmware have it */
	static const char *const minors[] = { "3", "0", "12", "1", "7", "5", "2", "6" };
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "1"));
	for (unsigned int i = 0; i < ARRAY_SIZE(minors); i++)
		put_gpu(p, 0x40 + 3 * i, minors[i]);
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0666\n/dev/nvidia1 195:1 0:0 0666\n/dev/nvidia2 195:2 0:0 0666\n"
		       "/dev/nvidia3 195:3 0:0 0666\n/dev/nvidia5 195:5 0:0 0666\n/dev/nvidia6 195:6 0:0 0666\n"
		       "/dev/nvidia7 195:7 0:0 0666\n/dev/nvidia12 195:12 0:0 0666\n" REST UVM);
}

static void test_the_names_of_later_drivers_in_proc_devices(void **state)
{
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "1"));
	put_text(p, "live/proc/devices", majors_580);
	put_cap(p, "/capabilities/fabric-imex-mgmt", 0, "256", "1");
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0666\n" REST CAP "0 237:0 0:0 0400\n"
		       "/dev/nvidia-uvm 508:0 0:0 0666\n/dev/nvidia-uvm-tools 508:1 0:0 0666\n");
}

static void test_a_module_that_is_not_live_has_no_node(void **state)
{
	struct place *p = *state;

	put_text(p, "live/proc/devices", "Character devices:\n195 nvidia\n\nBlock devices:\n511 nvidia-uvm\n");
	put_text(p, PROC "/params", PARAMS("0", "0", "438", "1"));
	put_gpu(p, 1, "0");
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0666\n/dev/nvidiactl 195:255 0:0 0666\n");
}

static void test_two_gpus_with_one_minor_are_one_node_and_a_warning(void **state)
{
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "0"));
	put_gpu(p, 0x41, "0");
	assert_plan_and_warnings(p, "/dev/nvidia0 195:0 0:0 0666 kept\n/dev/nvidia0 195:0 0:0 0666 kept\n"
				    "/dev/nvidia-modeset 195:254 0:0 0666 kept\n/dev/nvidiactl 195:255 0:0 0666 kept\n"
				    "/dev/nvidia-uvm 511:0 0:0 0666 kept\n/dev/nvidia-uvm-tools 511:1 0:0 0666 kept\n",
				 "/dev/nvidia0: two claim this device");
}

/* --- whose they are --- */

static void test_owner_and_mode_are_those_of_the_drivers_parameters(void **state)
{
	struct place *p = *state;

	put_driver(p, PARAMS("1000", "44", "432", "1"));
	/* not those of uvm: nvidia-modprobe has 0666 for it, always, and runs at each start of CUDA */
	assert_plan(p, "/dev/nvidia0 195:0 1000:44 0660\n/dev/nvidia-modeset 195:254 1000:44 0660\n"
		       "/dev/nvidiactl 195:255 1000:44 0660\n" UVM);
}

static void test_nothing_is_modified_where_the_driver_was_told_so(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 }, warnings = { 0 };
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "0"));
	put_cap(p, "/capabilities/mig/config", 1, "256", "1");
	put_dir(p, "live/dev");
	p->host.ops = &sysops_kernel;
	assert_int_equal(nvidia_nodes(&p->host, &nodes, &warnings), 0);
	assert_int_equal(nodes.n, 0);
	assert_int_equal(warnings.n, 0);
	assert_int_equal(count_entries(p, "live/dev"), 0);
}

static void test_without_parameters_it_is_as_nvidia_modprobe_has_it(void **state)
{
	struct place *p = *state;

	put_driver(p, "");
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0666\n" REST UVM);
}

/* --- MIG --- */

static void test_every_capability_is_a_node_with_its_own_mode(void **state)
{
	struct place *p = *state;

	put_driver(p, PARAMS("0", "44", "432", "1"));
	put_cap(p, "/capabilities/mig/config", 1, "256", "1");
	put_cap(p, "/capabilities/mig/monitor", 2, "292", "1");
	put_cap(p, "/capabilities/gpu0/mig/gi1/access", 12, "292", "1");
	put_cap(p, "/capabilities/gpu0/mig/gi1/ci0/access", 13, "292", "1");
	put_cap(p, "/capabilities/gpu3/mig/gi2/ci7/access", 434, "292", "0");
	put_cap(p, "-nvlink/capabilities/fabric-mgmt", 0, "256", "1");
	assert_plan(p, "/dev/nvidia0 195:0 0:44 0660\n/dev/nvidia-modeset 195:254 0:44 0660\n"
		       "/dev/nvidiactl 195:255 0:44 0660\n" CAP "0 234:0 0:0 0400\n" CAP "1 234:1 0:0 0400\n" CAP
		       "2 234:2 0:0 0444\n" CAP "12 234:12 0:0 0444\n" CAP "13 234:13 0:0 0444\n" CAP
		       "434 234:434 0:0 0444 kept\n" UVM);
}

static void test_capabilities_are_looked_for_so_deep(void **state)
{
	struct place *p = *state;

	put_text(p, "live/proc/devices", "Character devices:\n234 nvidia-caps\n");
	put_text(p, PROC "/params", "");
	put_cap(p, "/capabilities/1/2/3/4/access", 4, "292", "1");
	assert_int_equal(LIMIT_NVIDIA_DEPTH, 4);
	assert_plan(p, CAP "4 234:4 0:0 0444\n");
	put_cap(p, "/capabilities/1/2/3/4/5/access", 5, "292", "1");
	assert_plan_and_warnings(p, CAP "4 234:4 0:0 0444\n", "/capabilities/1/2/3/4/5: too deep");
}

static void test_links_among_capabilities_are_not_followed(void **state)
{
	struct place *p = *state;

	put_text(p, "live/proc/devices", "Character devices:\n234 nvidia-caps\n");
	put_cap(p, "/capabilities/mig/config", 1, "256", "1");
	put_link(p, PROC "/capabilities/again", "mig");
	put_link(p, PROC "/capabilities/mig/other", "config");
	assert_plan(p, CAP "1 234:1 0:0 0400\n");
}

/* --- switches --- */

static void test_switches_are_counted(void **state)
{
	struct place *p = *state;

	put_driver(p, PARAMS("0", "44", "432", "1"));
	put_text(p, "live/proc/driver/nvidia-nvswitch/permissions", "DeviceFileMode: 438\n");
	put_text(p, "live/proc/driver/nvidia-nvlink/permissions", "DeviceFileMode: 420\n");
	put_text(p, "live/proc/driver/nvidia-nvswitch/devices/0000:07:00.0/information", "BIOS Version: N/A\n");
	put_text(p, "live/proc/driver/nvidia-nvswitch/devices/0000:08:00.0/information", "BIOS Version: N/A\n");
	assert_plan(p, "/dev/nvidia0 195:0 0:44 0660\n/dev/nvidia-modeset 195:254 0:44 0660\n"
		       "/dev/nvidiactl 195:255 0:44 0660\n"
		       "/dev/nvidia-nvswitch0 235:0 0:0 0666\n/dev/nvidia-nvswitch1 235:1 0:0 0666\n"
		       "/dev/nvidia-nvswitchctl 235:255 0:0 0666\n/dev/nvidia-nvlink 236:0 0:0 0644\n" UVM);
}

/* --- what is not as it should be --- */

static void test_lines_that_are_not_understood_open_nothing_and_are_said(void **state)
{
	static const struct {
		const char *text;
		struct nvidia_attributes a;
	} cases[] = {
		{ "", { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true } },
		{ "DeviceFileMode: 432", { .mode = 0660, .minor_no = NVIDIA_NO_MINOR, .modify = true } },
		{ "DeviceFileMode:432\n", { .mode = 0660, .minor_no = NVIDIA_NO_MINOR, .modify = true } },
		{ "DeviceFileMode: \t 511 \nx\n\n:\n", { .mode = 0777, .minor_no = NVIDIA_NO_MINOR, .modify = true } },
		{ " DeviceFileMode: 1\n", { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true } },
		{ "DeviceFileMode: 512\n",
		  { .mode = 0600, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "DeviceFileMode: 512" } },
		{ "DeviceFileMode 432\n",
		  { .mode = 0600, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "DeviceFileMode 432" } },
		{ "DeviceFileMode: -1\nDeviceFileGID: x\x1b\n",
		  { .mode = 0600, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "DeviceFileMode: -1" } },
		{ "DeviceFileGID: \x1b[2J\n",
		  { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "DeviceFileGID: \\x1b[2J" } },
		{ "DeviceFileUID: 4294967294\n",
		  { .uid = 4294967294, .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true } },
		{ "DeviceFileUID: 4294967295\n", /* chown(2) would leave it as it is */
		  { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "DeviceFileUID: 4294967295" } },
		{ "ModifyDeviceFiles: 0\n", { .mode = 0666, .minor_no = NVIDIA_NO_MINOR } },
		{ "ModifyDeviceFiles: 2\n", { .mode = 0666, .minor_no = NVIDIA_NO_MINOR } }, /* 1 is yes */
		{ "ModifyDeviceFiles: no\n",
		  { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "ModifyDeviceFiles: no" } },
		{ "DeviceFileMinor: 1048575\n", { .mode = 0666, .minor_no = 1048575, .modify = true } },
		{ "DeviceFileMinor: 1048576\n",
		  { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "DeviceFileMinor: 1048576" } },
		{ "Device Minor: \t 3\nDevice Minor: \n",
		  { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true, .garbled = "Device Minor: " } },
		{ "Device Minor: 00000000000000003\n", /* more digits than any number here */
		  { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true,
		    .garbled = "Device Minor: 00000000000000003" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct nvidia_attributes *want = &cases[i].a;
		struct nvidia_attributes a;

		nvidia_parse_attributes(cases[i].text, &a);
		assert_case(cases[i].text, a.uid == want->uid && a.gid == want->gid && a.mode == want->mode);
		assert_case(cases[i].text, a.minor_no == want->minor_no && a.modify == want->modify);
		assert_string_equal(a.garbled, want->garbled);
	}
}

static void test_majors_are_those_of_character_devices_of_exactly_that_name(void **state)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{ "Character devices:\n195 nvidia\n", 195 },
		{ "Character devices:\n195 nvidia", 195 },
		{ "Character devices:\n  7 nvidia\n195 nvidia\n", 7 },
		{ "Character devices:\n4095 nvidia\n", 4095 },
		{ "Character devices:\n4096 nvidia\n", -EBADMSG },
		{ "Character devices:\n0 nvidia\n", -EBADMSG },
		{ "Character devices:\nx nvidia\n", -EBADMSG },
		{ "Character devices:\n nvidia\n", -EBADMSG },
		{ "Character devices:\nnvidia\n", -ENOENT },
		{ "Character devices:\n195 nvidiactl\n195 xnvidia\n", -ENOENT },
		{ "Character devices:\n1 mem\n\n195 nvidia\n", -ENOENT },
		{ "Block devices:\n195 nvidia\n", -ENOENT },
		{ "195 nvidia\n", -ENOENT },
		{ "", -ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_case(cases[i].text, nvidia_parse_major(cases[i].text, "nvidia") == cases[i].result);
}

static void test_a_gpu_that_is_not_understood_costs_only_its_own_node(void **state)
{
	static const struct {
		const char *minor_no, *warning;
	} cases[] = {
		{ "x", "0000:41:00.0/information: not understood: Device Minor: \\x09 x" },
		{ "254", "0000:41:00.0/information: no Device Minor of a GPU" },
		{ "255", "0000:41:00.0/information: no Device Minor of a GPU" },
	};
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "1"));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_gpu(p, 0x41, cases[i].minor_no);
		assert_plan_and_warnings(p, "/dev/nvidia0 195:0 0:0 0666\n" REST UVM, cases[i].warning);
	}
	put_gpu(p, 0x41, "253");
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0666\n/dev/nvidia253 195:253 0:0 0666\n" REST UVM);
}

static void test_a_capability_that_is_not_understood_costs_only_its_own_node(void **state)
{
	struct place *p = *state;

	put_text(p, "live/proc/devices", "Character devices:\n234 nvidia-caps\nx nvidia\n");
	put_cap(p, "/capabilities/mig/config", 1, "256", "1");
	put_text(p, PROC "/capabilities/mig/monitor", "DeviceFileMode: 292\n");
	{
		_cleanup_strv_ struct strv warnings = { 0 };
		_cleanup_free_ char *plan = plan_of(p, &warnings);

		assert_string_equal(plan, CAP "1 234:1 0:0 0400\n");
		assert_int_equal(warnings.n, 2);
		assert_contains(warnings.v[0], "/proc/devices: not understood: nvidia");
		assert_contains(warnings.v[1], "/capabilities/mig/monitor: no DeviceFileMinor");
	}
}

static void test_a_file_is_read_up_to_its_limit(void **state)
{
	_cleanup_blob_ struct blob params = { 0 }, devices = { 0 };
	struct place *p = *state;

	put_driver(p, "");
	blob_add_text(&params, "DeviceFileMode: 432\n");
	blob_fill(&params, '\n', LIMIT_NVIDIA_FILE_BYTES - params.n);
	put_blob(p, PROC "/params", params.v, params.n);
	blob_add_text(&devices, "Character devices:\n195 nvidia\n");
	blob_fill(&devices, '\n', LIMIT_DEVICES_BYTES - devices.n);
	put_blob(p, "live/proc/devices", devices.v, devices.n);
	assert_plan(p, "/dev/nvidia0 195:0 0:0 0660\n/dev/nvidia-modeset 195:254 0:0 0660\n/dev/nvidiactl 195:255 0:0 0660\n");
	blob_add_text(&params, "\n");
	put_blob(p, PROC "/params", params.v, params.n);
	assert_plan_and_warnings(p, "/dev/nvidia0 195:0 0:0 0600\n/dev/nvidia-modeset 195:254 0:0 0600\n"
				    "/dev/nvidiactl 195:255 0:0 0600\n", "/params: File too large");
	blob_add_text(&devices, "\n");
	put_blob(p, "live/proc/devices", devices.v, devices.n);
	assert_plan_and_warnings(p, "", "/proc/devices: File too large");
}

static void test_so_many_nodes_and_no_more(void **state)
{
	_cleanup_strv_ struct strv warnings = { 0 };
	struct place *p = *state;

	put_text(p, "live/proc/devices", "Character devices:\n195 nvidia\n234 nvidia-caps\n");
	put_dir(p, PROC "/gpus");
	for (unsigned int i = 0; i < LIMIT_NVIDIA_NODES - 1; i++) { /* and nvidiactl */
		_cleanup_free_ char *path = str_printf("/capabilities/gpu%u/mig/gi%u/access", i % 4, i / 4);

		put_cap(p, path, i, "292", "1");
	}
	for (unsigned int more = 0; more < 2; more++) {
		_cleanup_nodes_ struct node_list l = { 0 };

		if (more)
			put_cap(p, "/capabilities/mig/config", LIMIT_NVIDIA_NODES, "256", "1");
		assert_int_equal(nvidia_plan(&p->host, &l, &warnings), 0);
		assert_int_equal(l.n, LIMIT_NVIDIA_NODES);
		assert_int_equal(warnings.n, more);
	}
	assert_contains(warnings.v[0], "one node too many");
}

static void test_a_directory_is_read_up_to_its_limit(void **state)
{
	struct place *p = *state;

	put_text(p, "live/proc/devices", "Character devices:\n234 nvidia-caps\n");
	for (unsigned int i = 0; i < LIMIT_NVIDIA_NODES; i++) {
		_cleanup_free_ char *path = str_printf(PROC "/capabilities/%u", i);

		put_dir(p, path);
	}
	assert_plan(p, "");
	put_dir(p, PROC "/capabilities/more");
	assert_plan_and_warnings(p, "", "/capabilities: too many entries");
}

static void test_warnings_have_an_end(void **state)
{
	_cleanup_strv_ struct strv warnings = { 0 };
	struct place *p = *state;

	put_driver(p, PARAMS("0", "0", "438", "1"));
	for (unsigned int i = 0; i < LIMIT_WARNINGS + 5; i++)
		put_gpu(p, 0x50 + i, "x");
	free(plan_of(p, &warnings));
	assert_int_equal(warnings.n, LIMIT_WARNINGS);
}

/* --- made --- */

static void test_all_are_made_linked_and_told(void **state)
{
	static const char *const want[] = { "/dev/nvidia0",    "/dev/nvidia-modeset",
					    "/dev/nvidiactl",  "/dev/nvidia-caps/nvidia-cap1",
					    "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools" };
	_cleanup_strv_ struct strv nodes = { 0 }, warnings = { 0 };
	struct place *p = *state;
	struct stat st;

	if (!can_make_nodes(p))
		skip();
	put_driver(p, PARAMS("0", "44", "432", "1"));
	put_cap(p, "/capabilities/mig/config", 1, "256", "1");
	p->host.ops = &sysops_kernel;
	assert_int_equal(nvidia_nodes(&p->host, &nodes, &warnings), 0);
	assert_int_equal(warnings.n, 0);
	assert_int_equal(nodes.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(nodes.v[i], want[i]);
	assert_int_equal(fstatat(p->host.live_fd, "dev/char/234:1", &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(234, 1) && (st.st_mode & ALLPERMS) == 0400);
	assert_int_equal(fstatat(p->host.live_fd, "dev/char/195:255", &st, 0), 0);
	assert_true(st.st_rdev == makedev(195, 255) && st.st_gid == 44 && (st.st_mode & ALLPERMS) == 0660);
}

static void test_a_node_that_cannot_be_made_is_a_warning(void **state)
{
	_cleanup_strv_ struct strv nodes = { 0 }, warnings = { 0 };
	struct place *p = *state; /* refuses */

	put_text(p, "live/proc/devices", "Character devices:\n195 nvidia\n");
	put_text(p, PROC "/params", "");
	assert_int_equal(nvidia_nodes(&p->host, &nodes, &warnings), 0);
	assert_int_equal(nodes.n, 0);
	assert_int_equal(warnings.n, 1);
	assert_string_equal(warnings.v[0], "nodes: /dev/nvidiactl: Operation not permitted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_without_the_driver_there_are_no_nodes),
		at_place(test_one_gpu),
		at_place(test_eight_gpus_have_the_minors_that_the_driver_gave_them),
		at_place(test_the_names_of_later_drivers_in_proc_devices),
		at_place(test_a_module_that_is_not_live_has_no_node),
		at_place(test_two_gpus_with_one_minor_are_one_node_and_a_warning),
		at_place(test_owner_and_mode_are_those_of_the_drivers_parameters),
		at_place(test_nothing_is_modified_where_the_driver_was_told_so),
		at_place(test_without_parameters_it_is_as_nvidia_modprobe_has_it),
		at_place(test_every_capability_is_a_node_with_its_own_mode),
		at_place(test_capabilities_are_looked_for_so_deep),
		at_place(test_links_among_capabilities_are_not_followed),
		at_place(test_switches_are_counted),
		cmocka_unit_test(test_lines_that_are_not_understood_open_nothing_and_are_said),
		cmocka_unit_test(test_majors_are_those_of_character_devices_of_exactly_that_name),
		at_place(test_a_gpu_that_is_not_understood_costs_only_its_own_node),
		at_place(test_a_capability_that_is_not_understood_costs_only_its_own_node),
		at_place(test_a_file_is_read_up_to_its_limit),
		at_place(test_so_many_nodes_and_no_more),
		at_place(test_a_directory_is_read_up_to_its_limit),
		at_place(test_warnings_have_an_end),
		at_place(test_all_are_made_linked_and_told),
		at_place(test_a_node_that_cannot_be_made_is_a_warning),
	};

	return cmocka_run_group_tests_name("nvidia", tests, NULL, NULL);
}
