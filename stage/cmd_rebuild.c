// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_rebuild.c - options of the command that makes the cache anew.
 */
#include "cmd.h"
#include "installed.h"
#include "log.h"
#include "rebuild.h"

static const char rebuild_usage[] =
	"usage: modulus rebuild [--kernel REL | --all] [--root DIR] [NAME...]\n\n"
	"Fetches the bundles of the named drivers (default: all that are configured) again, or runs\n"
	"[Build] Command= of their files, even when all looks fine; verifies them completely, and all\n"
	"that is cached already. A cached bundle is replaced only by one that held. Interrupting it\n"
	"at any time is harmless. Without --kernel: for the running kernel, the next one, those\n"
	"installed, the two that were good before, and two others that something was fetched for.\n\n"
	"  --kernel REL  for this release only\n"
	"  --all         for every kernel that something is cached for\n"
	"  --root DIR    where /etc, /usr and /var are (default /)\n"
	"  --help        this text\n\n"
	"exit: as boot\n";

static const struct option options[] = { { "kernel", required_argument, NULL, 'k' },
					 { "all", no_argument, NULL, 'a' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

int cmd_rebuild(int argc, char **argv)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct rebuild_request req = { .host = &h };
	const char *root = NULL, *live = NULL;
	_cleanup_strv_ struct strv names = { 0 };
	int c, code;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			req.release = optarg;
			break;
		case 'a':
			req.all = true;
			break;
		case 'r':
			root = optarg;
			break;
		case 'L':
			live = optarg;
			break;
		case 'h':
			return cmd_help(rebuild_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (req.release && req.all)
		return cmd_usage(argv[0], "--kernel and --all exclude each other");
	if (req.release && !installed_is_release(req.release))
		return cmd_usage(argv[0], "--kernel is not a kernel's release");
	req.names = &names;
	code = cmd_names_and_host(argv, optind, argc, &names, root, live, &h);
	return code != EXIT_DONE ? code : rebuild_run(&req);
}
