// SPDX-License-Identifier: Apache-2.0
/*
 * What container engines are told: the whole text for machines of one and of eight GPUs, and that it is
 * told by one file only.
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "cdi.h"
#include "fixture.h"
#include "limit.h"

#define VERSION "535.261.03"
#define GPUS "live/proc/driver/nvidia/gpus/"
#define RUNTIME "/var/lib/modulus/runtime/nvidia/" VERSION
#define FIRMWARE "/run/modulus/firmware"
#define SPEC "live" CDI_DIR "/" CDI_NAME
/* what the driver says before somebody opened the GPU; together these would be trigraphs */
#define Q4 "?" "?" "?" "?"
#define NO_UUID "GPU-" Q4 Q4 "-" Q4 "-" Q4 "-" Q4 "-" Q4 Q4 Q4
#define UUID "GPU-8d4b1d3a-0123-4567-89ab-cdef01234567"

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#define MULTIARCH "aarch64-linux-gnu"
#else
#define ELF_MACHINE EM_PPC64
#define MULTIARCH "powerpc64le-linux-gnu"
#endif

static const struct cdi_driver driver = { .version = VERSION, .runtime = RUNTIME, .firmware = FIRMWARE };

/* --- a machine --- */

/* As the driver writes it, nv-procfs.c. */
static void put_information(const struct place *p, const char *address, unsigned int minor_no, const char *uuid)
{
	_cleanup_free_ char *path = str_printf(GPUS "%s/information", address);
	_cleanup_free_ char *text = str_printf("Model: \t\t NVIDIA H100 80GB HBM3\n"
					       "IRQ:   \t\t 24\n"
					       "GPU UUID: \t %s\n"
					       "Video BIOS: \t 96.00.30.00.01\n"
					       "Bus Type: \t PCIe\n"
					       "Bus Location: \t %s\n"
					       "Device Minor: \t %u\n"
					       "GPU Excluded:\t No\n",
					       uuid, address, minor_no);

	put_text(p, path, text);
}

static void put_gpu(const struct place *p, const char *address, unsigned int minor_no, const char *uuid)
{
	_cleanup_free_ char *node = str_printf("live/dev/nvidia%u", minor_no);

	put_information(p, address, minor_no, uuid);
	put_text(p, node, "");
}

static void put_library(const struct place *p, const char *path, unsigned char class, unsigned int machine)
{
	_cleanup_free_ char *whole = str_printf("root" RUNTIME "/%s", path);
	Elf64_Ehdr eh = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, class }, .e_machine = (Elf64_Half)machine };

	put_blob(p, whole, &eh, sizeof(eh));
}

static json_t *spec_of(const struct place *p, struct strv *warnings)
{
	json_t *spec = NULL;

	assert_int_equal(cdi_spec(&p->host, &driver, &spec, warnings), 0);
	return spec;
}

static void assert_json(const json_t *have, const char *wanted)
{
	json_error_t error;
	json_t *j = json_loads(wanted, 0, &error);
	_cleanup_free_ char *text = json_dumps(have, 0);

	if (!j)
		fail_msg("the test's own JSON: %s, column %d", error.text, error.column);
	if (!json_equal(have, j))
		fail_msg("%s\nis not\n%s", text, wanted);
	json_decref(j);
}

/* "host container" of each mount, one a line. Caller frees. */
static char *mounts_of(const json_t *spec)
{
	const json_t *list = json_object_get(json_object_get(spec, "containerEdits"), "mounts"), *m;
	_cleanup_blob_ struct blob b = { 0 };
	size_t i;

	blob_add_text(&b, "");
	json_array_foreach(list, i, m) {
		_cleanup_free_ char *line = str_printf("%s %s\n", json_string_value(json_object_get(m, "hostPath")),
						       json_string_value(json_object_get(m, "containerPath")));

		blob_add_text(&b, line);
		assert_json(json_object_get(m, "options"), "[\"ro\",\"nosuid\",\"nodev\",\"rbind\",\"rprivate\"]");
	}
	return strdup((char *)b.v);
}

/* --- devices --- */

static void test_one_gpu_and_nothing_else(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	json_t *spec;

	put_gpu(p, "0000:07:00.0", 0, NO_UUID);
	put_text(p, "live/dev/nvidiactl", "");
	spec = spec_of(p, &warnings);
	assert_json(spec, "{\"cdiVersion\":\"0.5.0\",\"kind\":\"nvidia.com/gpu\",\"devices\":["
			  "{\"name\":\"0\",\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/nvidia0\"}]}},"
			  "{\"name\":\"all\",\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/nvidia0\"}]}}],"
			  "\"containerEdits\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=void\"],"
			  "\"deviceNodes\":[{\"path\":\"/dev/nvidiactl\"}]}}");
	assert_int_equal(warnings.n, 0);
	json_decref(spec);
}

/* Numbers are those of nvidia-smi, by PCI address; minors are the driver's, in the order of its probes. */
static void test_eight_gpus_whose_minors_are_not_their_numbers(void **state)
{
	static const unsigned int minors[] = { 3, 0, 9, 5, 1, 12, 2, 200 };
	static const char *const uuids[] = { UUID, NO_UUID };
	_cleanup_blob_ struct blob wanted = { 0 }, all = { 0 };
	_cleanup_strv_ struct strv warnings = { 0 };
	struct place *p = *state;
	json_t *spec;

	for (unsigned int i = 0; i < ARRAY_SIZE(minors); i++) {
		_cleanup_free_ char *address = str_printf("0000:%02x:00.0", 0x17 + 0x1c * i);
		_cleanup_free_ char *nodes = str_printf("{\"path\":\"/dev/nvidia%u\"}", minors[i]);
		_cleanup_free_ char *one = str_printf("{\"name\":\"%u\",\"containerEdits\":{\"deviceNodes\":[%s]}},", i, nodes);

		put_gpu(p, address, minors[i], uuids[i > 0]);
		blob_add_text(&wanted, one);
		if (i == 0)
			blob_add_text(&wanted, "{\"name\":\"" UUID "\",\"containerEdits\":{\"deviceNodes\":[{\"path\":"
					       "\"/dev/nvidia3\"}]}},");
		if (i > 0)
			blob_add_text(&all, ",");
		blob_add_text(&all, nodes);
	}
	put_text(p, "live/dev/nvidiactl", "");
	put_text(p, "live/dev/nvidia-uvm", "");
	put_text(p, "live/dev/nvidia-uvm-tools", "");
	put_text(p, "live/dev/nvidia-modeset", "");
	spec = spec_of(p, &warnings);
	{
		_cleanup_free_ char *text = str_printf(
			"{\"cdiVersion\":\"0.5.0\",\"kind\":\"nvidia.com/gpu\",\"devices\":[%s"
			"{\"name\":\"all\",\"containerEdits\":{\"deviceNodes\":[%s]}}],"
			"\"containerEdits\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=void\"],\"deviceNodes\":["
			"{\"path\":\"/dev/nvidia-modeset\"},{\"path\":\"/dev/nvidia-uvm-tools\"},"
			"{\"path\":\"/dev/nvidia-uvm\"},{\"path\":\"/dev/nvidiactl\"}]}}",
			(char *)wanted.v, (char *)all.v);

		assert_json(spec, text);
	}
	assert_int_equal(warnings.n, 0);
	json_decref(spec);
}

static void test_drm_nodes_go_with_the_gpu_they_belong_to(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	json_t *spec;

	put_gpu(p, "0000:07:00.0", 1, "");
	put_gpu(p, "0000:08:00.0", 0, "");
	put_dir(p, "live/sys/bus/pci/devices/0000:07:00.0/drm/card1");
	put_dir(p, "live/sys/bus/pci/devices/0000:07:00.0/drm/renderD128");
	put_dir(p, "live/sys/bus/pci/devices/0000:08:00.0/drm/card2"); /* without a node */
	put_text(p, "live/dev/dri/card1", "");
	put_text(p, "live/dev/dri/renderD128", "");
	put_text(p, "live/dev/dri/card0", ""); /* somebody else's */
	spec = spec_of(p, &warnings);
	assert_json(json_object_get(spec, "devices"),
		    "[{\"name\":\"0\",\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/nvidia1\"},"
		    "{\"path\":\"/dev/dri/card1\"},{\"path\":\"/dev/dri/renderD128\"}]}},"
		    "{\"name\":\"1\",\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/nvidia0\"}]}},"
		    "{\"name\":\"all\",\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/dev/nvidia1\"},"
		    "{\"path\":\"/dev/dri/card1\"},{\"path\":\"/dev/dri/renderD128\"},{\"path\":\"/dev/nvidia0\"}]}}]");
	json_decref(spec);
}

static void test_a_gpu_without_a_node_is_left_out_and_the_others_keep_their_numbers(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	const json_t *devices;
	json_t *spec;

	put_text(p, GPUS "0000:05:00.0/information", "Model: \t x\n");
	put_information(p, "0000:06:00.0", 7, UUID);
	put_dir(p, GPUS "0000:07:00.0");
	put_gpu(p, "0000:08:00.0", 2, "GPU-8D4B1D3A-0123-4567-89AB-CDEF01234567"); /* not as the driver writes it */
	spec = spec_of(p, &warnings);
	devices = json_object_get(spec, "devices");
	assert_int_equal(json_array_size(devices), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(devices, 0), "name")), "3");
	assert_int_equal(warnings.n, 3);
	assert_contains(warnings.v[0], "0000:05:00.0/information: no Device Minor");
	assert_contains(warnings.v[1], "/dev/nvidia7: is not there, so GPU 0000:06:00.0 is left out");
	assert_contains(warnings.v[2], "0000:07:00.0/information: No such file");
	json_decref(spec);
}

static void test_so_many_gpus_and_no_more(void **state)
{
	struct place *p = *state;

	for (unsigned int i = 0; i < LIMIT_CDI_GPUS + 1; i++) {
		_cleanup_free_ char *address = str_printf("0000:%02x:00.0", i);
		_cleanup_strv_ struct strv warnings = { 0 };
		json_t *spec;

		put_gpu(p, address, i, "");
		if (i + 2 < LIMIT_CDI_GPUS)
			continue;
		spec = spec_of(p, &warnings);
		/* and "all" */
		assert_int_equal(json_array_size(json_object_get(spec, "devices")), MIN(i + 1, LIMIT_CDI_GPUS) + 1);
		assert_int_equal(warnings.n, i == LIMIT_CDI_GPUS);
		json_decref(spec);
	}
}

/* --- mounts --- */

static void test_libraries_are_found_by_every_name_in_every_directory_without_a_cache(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *have = NULL;
	json_t *spec;

	put_gpu(p, "0000:07:00.0", 0, "");
	put_library(p, "usr/lib/" MULTIARCH "/libcuda.so." VERSION, ELFCLASS64, ELF_MACHINE);
	put_link(p, "root" RUNTIME "/usr/lib/" MULTIARCH "/libcuda.so.1", "libcuda.so." VERSION);
	put_link(p, "root" RUNTIME "/usr/lib/" MULTIARCH "/libcuda.so", "libcuda.so.1");
	put_link(p, "root" RUNTIME "/usr/lib/" MULTIARCH "/libaway.so", "../libcuda.so." VERSION);
	put_link(p, "root" RUNTIME "/usr/lib/" MULTIARCH "/libloop.so", "libloop.so");
	put_library(p, "usr/lib/zz/vdpau/libvdpau_nvidia.so." VERSION, ELFCLASS64, ELF_MACHINE);
	/* what is not for a container, or not of this driver */
	put_library(p, "usr/lib/i386-linux-gnu/libcuda.so." VERSION, ELFCLASS32, ELF_MACHINE);
	put_library(p, "usr/lib/other/libcuda.so." VERSION, ELFCLASS64, EM_S390);
	put_library(p, "usr/lib/xorg/libglxserver_nvidia.so." VERSION, ELFCLASS64, ELF_MACHINE);
	put_library(p, "usr/lib/libnvidia-ml.so.535.1", ELFCLASS64, ELF_MACHINE);
	put_library(p, "usr/lib/notes.so." VERSION, ELFCLASS64, ELF_MACHINE);
	put_text(p, "root" RUNTIME "/usr/lib/libtext.so." VERSION, "no ELF file");
	put_text(p, "root" RUNTIME "/usr/lib/libshort.so." VERSION, "\x7f" "ELF");
	put_fifo(p, "root" RUNTIME "/usr/lib/libpipe.so." VERSION);
	put_link(p, "root" RUNTIME "/usr/lib64", "lib"); /* no second time */
	must_not_block();
	spec = spec_of(p, &warnings);
	assert_did_not_block();
	have = mounts_of(spec);
#define FROM RUNTIME "/usr/lib/" MULTIARCH "/libcuda.so." VERSION
#define VDPAU RUNTIME "/usr/lib/zz/vdpau/libvdpau_nvidia.so." VERSION
	assert_string_equal(have, FROM " /usr/lib/" MULTIARCH "/libcuda.so." VERSION "\n"
				  FROM " /usr/lib64/libcuda.so." VERSION "\n"
				  FROM " /usr/lib/" MULTIARCH "/libcuda.so\n"
				  FROM " /usr/lib64/libcuda.so\n"
				  FROM " /usr/lib/" MULTIARCH "/libcuda.so.1\n"
				  FROM " /usr/lib64/libcuda.so.1\n"
				  VDPAU " /usr/lib/" MULTIARCH "/vdpau/libvdpau_nvidia.so." VERSION "\n"
				  VDPAU " /usr/lib64/vdpau/libvdpau_nvidia.so." VERSION "\n");
	assert_int_equal(warnings.n, 0);
	json_decref(spec);
}

static void test_names_that_nobody_made_a_link_for(void **state)
{
	static const char *const libraries[] = { "libcuda.so." VERSION, "libnvidia-allocator.so." VERSION,
						 "libGLX_nvidia.so." VERSION, "libnvidia-egl-gbm.so.1.1.0",
						 "libnvidia-nvvm70.so.4", "libcudadebugger.so." VERSION };
	static const char *const wanted[] = {
		"libcuda.so." VERSION " /usr/lib64/libcuda.so\n",
		"libnvidia-allocator.so." VERSION " /usr/lib64/gbm/nvidia-drm_gbm.so\n",
		"libGLX_nvidia.so." VERSION " /usr/lib64/libGLX_indirect.so.0\n",
		"libnvidia-egl-gbm.so.1.1.0 /usr/lib64/libnvidia-egl-gbm.so.1.1.0\n",
		"libnvidia-nvvm70.so.4 /usr/lib64/libnvidia-nvvm70.so.4\n",
	};
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *have = NULL;
	json_t *spec;

	put_gpu(p, "0000:07:00.0", 0, "");
	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++) {
		_cleanup_free_ char *path = str_printf("usr/lib64/%s", libraries[i]);

		put_library(p, path, ELFCLASS64, ELF_MACHINE);
	}
	spec = spec_of(p, &warnings);
	have = mounts_of(spec);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_contains(have, wanted[i]);
	json_decref(spec);
}

static void test_programs_shared_files_and_firmware(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *have = NULL;
	json_t *spec;

	put_gpu(p, "0000:07:00.0", 0, "");
	put_library(p, "usr/lib64/libnvidia-glcore.so." VERSION, ELFCLASS64, ELF_MACHINE);
	put_text(p, "root" RUNTIME "/usr/bin/nvidia-smi", "");
	put_text(p, "root" RUNTIME "/usr/bin/nvidia-installer", "");
	put_text(p, "root" RUNTIME "/usr/share/glvnd/egl_vendor.d/10_nvidia.json", "");
	put_text(p, "root" RUNTIME "/usr/share/vulkan/icd.d/nvidia_icd.json", "");
	put_text(p, "live" FIRMWARE "/nvidia/" VERSION "/gsp_ga10x.bin", "");
	put_text(p, "live" FIRMWARE "/nvidia/" VERSION "/gsp_tu10x.bin", "");
	put_text(p, "live" FIRMWARE "/nvidia/" VERSION "/README", "");
	put_text(p, "live" FIRMWARE "/nvidia/1.0/gsp_tu10x.bin", "");
	spec = spec_of(p, &warnings);
	have = mounts_of(spec);
	assert_string_equal(strstr(have, RUNTIME "/usr/bin"),
			    RUNTIME "/usr/bin/nvidia-smi /usr/bin/nvidia-smi\n" RUNTIME
				    "/usr/share/glvnd/egl_vendor.d/10_nvidia.json /usr/share/glvnd/egl_vendor.d/10_nvidia.json\n" RUNTIME
				    "/usr/share/vulkan/icd.d/nvidia_icd.json /etc/vulkan/icd.d/nvidia_icd.json\n" FIRMWARE
				    "/nvidia/" VERSION "/gsp_ga10x.bin /lib/firmware/nvidia/" VERSION "/gsp_ga10x.bin\n" FIRMWARE
				    "/nvidia/" VERSION "/gsp_tu10x.bin /lib/firmware/nvidia/" VERSION "/gsp_tu10x.bin\n");
	json_decref(spec);
}

static void test_libraries_of_another_version_are_not_mounted(void **state)
{
	struct place *p = *state;
	_cleanup_strv_ struct strv warnings = { 0 };
	json_t *spec;

	put_gpu(p, "0000:07:00.0", 0, "");
	put_library(p, "usr/lib64/libcuda.so.550.54", ELFCLASS64, ELF_MACHINE);
	put_text(p, "root" RUNTIME "/usr/bin/nvidia-smi", "");
	spec = spec_of(p, &warnings);
	assert_null(json_object_get(json_object_get(spec, "containerEdits"), "mounts"));
	assert_int_equal(warnings.n, 1);
	assert_contains(warnings.v[0], RUNTIME ": no library of version " VERSION ", the live driver's: containers get devices only");
	json_decref(spec);
}

static void test_so_many_mounts_and_no_more(void **state)
{
	struct place *p = *state;

	put_gpu(p, "0000:07:00.0", 0, "");
	for (unsigned int i = 0; i < LIMIT_CDI_MOUNTS / 2 + 1; i++) {
		_cleanup_free_ char *path = str_printf("usr/lib64/lib%u.so." VERSION, i);
		_cleanup_strv_ struct strv warnings = { 0 };
		const json_t *mounts;
		json_t *spec;

		put_library(p, path, ELFCLASS64, ELF_MACHINE);
		if (i + 2 < LIMIT_CDI_MOUNTS / 2)
			continue;
		spec = spec_of(p, &warnings);
		mounts = json_object_get(json_object_get(spec, "containerEdits"), "mounts");
		assert_int_equal(json_array_size(mounts), MIN(2 * (i + 1), LIMIT_CDI_MOUNTS));
		assert_int_equal(warnings.n, i == LIMIT_CDI_MOUNTS / 2);
		json_decref(spec);
	}
}

static void test_libraries_may_lie_so_deep_and_no_deeper(void **state)
{
	struct place *p = *state;
	char dir[2 * LIMIT_CDI_DEPTH + 32] = "usr/lib64";

	put_gpu(p, "0000:07:00.0", 0, "");
	for (unsigned int depth = 1; depth <= LIMIT_CDI_DEPTH + 1; depth++) {
		_cleanup_strv_ struct strv warnings = { 0 };
		_cleanup_free_ char *path = NULL, *have = NULL, *name = str_printf("lib%u.so." VERSION, depth);
		json_t *spec;

		memcpy(dir + strlen(dir), "/d", 3);
		path = str_printf("%s/%s", dir, name);
		put_library(p, path, ELFCLASS64, ELF_MACHINE);
		spec = spec_of(p, &warnings);
		have = mounts_of(spec);
		assert_int_equal(strstr(have, name) != NULL, depth <= LIMIT_CDI_DEPTH);
		json_decref(spec);
	}
}

/* --- one specification only --- */

static void test_the_kind_is_seen_in_json_and_yaml(void **state)
{
	static const struct {
		const char *text;
		bool yes;
	} cases[] = {
		{ "{\"cdiVersion\":\"0.5.0\",\"kind\":\"nvidia.com/gpu\",\"devices\":[]}", true },
		{ "{\n \"kind\" : \"nvidia.com/gpu\"\n}", true },
		{ "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: all\n", true },
		{ "kind: nvidia.com/gpu", true },
		{ "kind:   'nvidia.com/gpu' # ours\r\n", true },
		{ "\"kind\": \"nvidia.com/gpu\"", true },
		{ "{kind: nvidia.com/gpu}", true },
		{ "{a: b,kind: nvidia.com/gpu}", true },
		{ "kind:\n  nvidia.com/gpu\n", true },
		{ "kind: nvidia.com/mig\nkind: nvidia.com/gpu\n", true },
		{ "", false },
		{ "kind", false },
		{ "kind:", false },
		{ "kind: nvidia.com/gp", false },
		{ "kind: nvidia.com/gpus\n", false },
		{ "kind: k8s.device-plugin.nvidia.com/gpu\n", false },
		{ "kind: management.nvidia.com/gpu\n", false },
		{ "mankind: nvidia.com/gpu\n", false },
		{ "kinds: nvidia.com/gpu\n", false },
		{ "kind nvidia.com/gpu\n", false },
		{ "# kind: nvidia.com/gpu\nkind: vendor.com/net\n", false },
		{ "  \t# kind: nvidia.com/gpu\n", false },
		{ "{\"kind\":\"vendor.com/net\",\"devices\":[{\"name\":\"nvidia.com/gpu\"}]}", false },
		{ "\xff\xfe\x00k", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_case(cases[i].text, cdi_has_kind(cases[i].text, strlen(cases[i].text), CDI_KIND) == cases[i].yes);
	assert_false(cdi_has_kind("\0kind\0:nvidia.com/gpu\0", 21, CDI_KIND));
}

static void update(const struct place *p, const struct cdi_driver *d, json_t **ret)
{
	struct err err = { 0 };

	if (cdi_update(&p->host, d, ret, &err) < 0)
		fail_msg("%s", err.text);
}

static void assert_written(const struct place *p)
{
	struct stat st;
	json_t *said;

	update(p, &driver, &said);
	assert_json(said, "{\"file\":\"/run/cdi/modulus-nvidia.json\",\"other\":null,\"devices\":[\"0\",\"all\"],"
			  "\"mounts\":0,\"warnings\":[]}");
	assert_int_equal(fstatat(p->fd, SPEC, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	json_decref(said);
}

static void assert_left_to(const struct place *p, const char *other)
{
	_cleanup_free_ char *wanted = str_printf("{\"file\":null,\"other\":\"%s\",\"devices\":[],\"mounts\":0,\"warnings\":[]}", other);
	json_t *said;

	update(p, &driver, &said);
	assert_json(said, wanted);
	assert_false(is_there(p, SPEC));
	json_decref(said);
}

static void test_the_file_is_written_whole_and_replaced(void **state)
{
	struct place *p = *state;
	struct stat st;
	_cleanup_free_ char *text = NULL, *again = NULL;

	put_gpu(p, "0000:07:00.0", 0, "");
	assert_written(p);
	assert_int_equal(fstatat(p->fd, "live" CDI_DIR, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	text = get_text(p, SPEC);
	put_text(p, SPEC, "half of {");
	assert_written(p);
	again = get_text(p, SPEC);
	assert_string_equal(again, text);
	assert_int_equal(count_entries(p, "live" CDI_DIR), 1);
}

static void test_ours_yields_to_any_other_and_comes_back(void **state)
{
	static const struct {
		const char *path, *text, *said;
	} others[] = {
		{ "root/etc/cdi/nvidia.yaml", "---\ncdiVersion: 0.5.0\nkind: nvidia.com/gpu\n", "/etc/cdi/nvidia.yaml" },
		{ "root/etc/cdi/x.json", "{\"kind\":\"nvidia.com/gpu\"}", "/etc/cdi/x.json" },
		{ "live/run/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n", "/run/cdi/nvidia.yaml" },
		{ "root/var/run/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n", "/var/run/cdi/nvidia.yaml" },
	};
	struct place *p = *state;

	put_gpu(p, "0000:07:00.0", 0, "");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_written(p);
		put_text(p, others[i].path, others[i].text);
		assert_left_to(p, others[i].said);
		assert_int_equal(unlinkat(p->fd, others[i].path, 0), 0);
	}
	/* of two the first by name, whatever the directory's order */
	put_text(p, "root/etc/cdi/z.json", "{\"kind\":\"nvidia.com/gpu\"}");
	put_text(p, "root/etc/cdi/b.yaml", "kind: nvidia.com/gpu\n");
	put_text(p, "root/etc/cdi/q.yaml", "kind: nvidia.com/gpu\n");
	assert_left_to(p, "/etc/cdi/b.yaml");
}

static void test_what_an_engine_would_not_take_stops_nothing(void **state)
{
	_cleanup_blob_ struct blob large = { 0 };
	struct place *p = *state;

	put_gpu(p, "0000:07:00.0", 0, "");
	put_text(p, "root/etc/cdi/garbage.json", "\xff\xfe\x01{{{{kind");
	put_text(p, "root/etc/cdi/empty.yaml", "");
	put_text(p, "root/etc/cdi/other.json", "{\"kind\":\"vendor.com/net\"}");
	put_text(p, "root/etc/cdi/nvidia.yaml.bak", "kind: nvidia.com/gpu\n");
	put_text(p, "root/etc/cdi/readme", "kind: nvidia.com/gpu\n");
	put_dir(p, "root/etc/cdi/dir.yaml");
	put_fifo(p, "root/etc/cdi/pipe.yaml");
	put_link(p, "root/etc/cdi/nowhere.yaml", "/does/not/exist");
	put_text(p, "root/etc/cdi/" CDI_NAME, "kind: nvidia.com/gpu\n"); /* a copy of ours */
	must_not_block();
	assert_written(p);
	assert_did_not_block();
	/* the kind is looked for so far and no farther */
	blob_fill(&large, '\n', LIMIT_CDI_BYTES - strlen("kind: nvidia.com/gpu"));
	blob_add_text(&large, "kind: nvidia.com/gpu");
	put_blob(p, "root/etc/cdi/large.yaml", large.v + 1, large.n - 1);
	assert_left_to(p, "/etc/cdi/large.yaml");
	put_blob(p, "root/etc/cdi/large.yaml", large.v, large.n);
	assert_left_to(p, "/etc/cdi/large.yaml");
	blob_fill(&large, '\n', 1);
	memmove(large.v + 1, large.v, large.n - 1);
	put_blob(p, "root/etc/cdi/large.yaml", large.v, large.n);
	assert_written(p);
}

static void test_so_many_specifications_are_looked_at(void **state)
{
	struct place *p = *state;

	put_gpu(p, "0000:07:00.0", 0, "");
	for (unsigned int i = 0; i + 1 < LIMIT_CDI_FILES; i++) {
		_cleanup_free_ char *path = str_printf("root/etc/cdi/%u.json", i);

		put_text(p, path, "{}");
	}
	put_text(p, "root/etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n");
	assert_left_to(p, "/etc/cdi/nvidia.yaml");
	/* above the limit: whichever come first, and no harm */
	put_text(p, "root/etc/cdi/one-more.json", "{}");
	put_text(p, "root/etc/cdi/two-more.json", "{}");
	{
		json_t *said;

		update(p, &driver, &said);
		assert_true(json_is_object(said));
		json_decref(said);
	}
}

static void test_without_a_gpu_or_a_driver_ours_goes_away(void **state)
{
	const struct cdi_driver *const drivers[] = { &driver, NULL };
	struct place *p = *state;
	json_t *said;

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		put_gpu(p, "0000:07:00.0", 0, "");
		assert_written(p);
		if (i == 0)
			assert_int_equal(unlinkat(p->fd, "live/dev/nvidia0", 0), 0);
		update(p, drivers[i], &said);
		assert_true(json_is_null(said));
		assert_false(is_there(p, SPEC));
		json_decref(said);
	}
}

static void test_a_directory_that_cannot_be_had_is_said(void **state)
{
	struct place *p = *state;
	json_t *said = NULL;
	struct err err;

	put_gpu(p, "0000:07:00.0", 0, "");
	put_text(p, "live/run/cdi", "a file");
	assert_int_equal(cdi_update(&p->host, &driver, &said, &err), -ENOTDIR);
	assert_contains(err.text, "/run/cdi/modulus-nvidia.json: Not a directory");
	assert_null(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_place(test_one_gpu_and_nothing_else),
		at_place(test_eight_gpus_whose_minors_are_not_their_numbers),
		at_place(test_drm_nodes_go_with_the_gpu_they_belong_to),
		at_place(test_a_gpu_without_a_node_is_left_out_and_the_others_keep_their_numbers),
		at_place(test_so_many_gpus_and_no_more),
		at_place(test_libraries_are_found_by_every_name_in_every_directory_without_a_cache),
		at_place(test_names_that_nobody_made_a_link_for),
		at_place(test_programs_shared_files_and_firmware),
		at_place(test_libraries_of_another_version_are_not_mounted),
		at_place(test_so_many_mounts_and_no_more),
		at_place(test_libraries_may_lie_so_deep_and_no_deeper),
		cmocka_unit_test(test_the_kind_is_seen_in_json_and_yaml),
		at_place(test_the_file_is_written_whole_and_replaced),
		at_place(test_ours_yields_to_any_other_and_comes_back),
		at_place(test_what_an_engine_would_not_take_stops_nothing),
		at_place(test_so_many_specifications_are_looked_at),
		at_place(test_without_a_gpu_or_a_driver_ours_goes_away),
		at_place(test_a_directory_that_cannot_be_had_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
