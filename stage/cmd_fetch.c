// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_fetch.c - options of the command that fills the cache on a running host.
 */
#include <signal.h>
#include <time.h>

#include "cmd.h"
#include "fetch.h"
#include "installed.h"
#include "log.h"

static const char fetch_usage[] =
	"usage: modulus fetch [--kernel REL | --next | --next-usr DIR | --all] [--present] [--refresh]\n"
	"                     [--every DURATION] [--root DIR] [NAME...]\n\n"
	"Brings the bundles of the named drivers (default: all that are configured) into the cache,\n"
	"verified completely, for the running kernel or another one. One that is there already is\n"
	"verified and not transferred again. The network is the host's own business here.\n\n"
	"  --kernel REL  for this release\n"
	"  --next        for the kernel of the next boot; when that is the running one there is\n"
	"                nothing to do\n"
	"  --next-usr DIR\n"
	"                for the kernel of the /usr that is mounted there, which an update has written\n"
	"                and not made the next one yet\n"
	"  --all         for the running kernel, the next one and all that are installed\n"
	"  --present     only drivers whose device is here; with none of them nothing is asked\n"
	"  --refresh     ask the network whether it has something newer than what is cached; what\n"
	"                has not changed there costs one small answer\n"
	"  --every DURATION\n"
	"                again and again, this long after the last time, until it is ended\n"
	"  --root DIR    where /etc, /usr and /var are (default /)\n"
	"  --help        this text\n\n"
	"exit: as boot; with --every 0 when it is ended by SIGTERM or SIGINT\n";

static const struct option options[] = { { "kernel", required_argument, NULL, 'k' },
					 { "next", no_argument, NULL, 'n' },
					 { "next-usr", required_argument, NULL, 'u' },
					 { "all", no_argument, NULL, 'a' },
					 { "present", no_argument, NULL, 'p' },
					 { "refresh", no_argument, NULL, 'f' },
					 { "every", required_argument, NULL, 'e' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

/* At any moment: what is half fetched is kept, and everything else is whole. */
static void end(int sig)
{
	(void)sig;
	_exit(EXIT_DONE);
}

/*
 * What there is to say was said; the next time may go better. The first process of a container has no default
 * handlers (pid_namespaces(7)): without these nothing but SIGKILL would end it.
 */
static void fetch_for_ever(const struct fetch_request *req, uint64_t every_us)
{
	const struct timespec pause = { .tv_sec = (time_t)(every_us / 1000000),
					.tv_nsec = (long)(every_us % 1000000) * 1000 };

	(void)signal(SIGTERM, end);
	(void)signal(SIGINT, end);
	for (;;) {
		(void)fetch_run(req);
		(void)nanosleep(&pause, NULL);
	}
}

int cmd_fetch(int argc, char **argv)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	const char *root = NULL, *live = NULL;
	_cleanup_strv_ struct strv names = { 0 };
	struct fetch_request req = { .host = &h };
	unsigned int kernels = 0;
	uint64_t every_us = 0;
	int c, code;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			req.release = optarg;
			kernels++;
			break;
		case 'n':
		case 'a':
			req.which = c == 'n' ? FETCH_NEXT : FETCH_ALL;
			kernels++;
			break;
		case 'u':
			req.which = FETCH_NEXT;
			req.next_usr = optarg;
			kernels++;
			break;
		case 'p':
			req.present = true;
			break;
		case 'f':
			req.refresh = true;
			break;
		case 'e':
			if (config_parse_duration(optarg, &every_us) < 0 || every_us == 0)
				return cmd_usage(argv[0], "--every takes a duration, a day at most");
			break;
		case 'r':
			root = optarg;
			break;
		case 'L':
			live = optarg;
			break;
		case 'h':
			return cmd_help(fetch_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (kernels > 1)
		return cmd_usage(argv[0], "--kernel, --next, --next-usr and --all exclude each other");
	if (req.release && !installed_is_release(req.release))
		return cmd_usage(argv[0], "--kernel is not a kernel's release");
	req.names = &names;
	code = cmd_names_and_host(argv, optind, argc, &names, root, live, &h);
	if (code != EXIT_DONE)
		return code;
	if (every_us)
		fetch_for_ever(&req, every_us);
	return fetch_run(&req);
}
