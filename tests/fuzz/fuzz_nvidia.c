// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_nvidia.c - texts of /proc that say which nodes NVIDIA's driver wants. Bytes that begin as
 * /proc/devices are that; others are a file of the driver's: params, information, a capability.
 */
#include <regex.h>

#include "fuzz.h"
#include "nvidia.h"

static regex_t line;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(regcomp(&line, "^[ \t]*0*([0-9]{1,4})[ \t]* nvidia$", REG_EXTENDED | REG_NEWLINE) == 0);
	return 0;
}

/* A major is one that some line gives to that name. */
static void check_majors(const char *text)
{
	int r = nvidia_parse_major(text, "nvidia");
	regmatch_t m[2];
	bool found = false;

	must(r == -ENOENT || r == -EBADMSG || (r > 0 && r <= 0xfff));
	for (const char *at = text; r > 0 && !found && regexec(&line, at, ARRAY_SIZE(m), m, 0) == 0; at += m[0].rm_eo) {
		found = atoi(at + m[1].rm_so) == r;
		must(found || m[0].rm_eo > m[0].rm_so);
	}
	must(r < 0 || found);
}

/* What is told is in bounds; what is not told at all is nvidia-modprobe's; a line that is complained of is there. */
static void check_attributes(const char *text)
{
	struct nvidia_attributes a;

	nvidia_parse_attributes(text, &a);
	must(a.mode <= 0777 && a.uid != UINT32_MAX && a.gid != UINT32_MAX);
	must(a.minor_no <= 0xfffff || a.minor_no == NVIDIA_NO_MINOR);
	must(!*a.garbled || (fuzz_is_printable(a.garbled) && strncmp(a.garbled, "D", 1) * strncmp(a.garbled, "M", 1) == 0));
	must(strstr(text, "DeviceFileUID") || a.uid == 0);
	must(strstr(text, "DeviceFileGID") || a.gid == 0);
	must(strstr(text, "DeviceFileMode") || a.mode == 0666);
	must(strstr(text, "Minor") || a.minor_no == NVIDIA_NO_MINOR);
	must(strstr(text, "Modify") || a.modify);
	must(*a.garbled || a.mode != 0600 || strstr(text, "384"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);

	if (str_prefix(text, "Character devices:", NULL))
		check_majors(text);
	else
		check_attributes(text);
	return 0;
}
