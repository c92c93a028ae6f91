// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_boot.c - options of the commands that run on the machine with the GPU: boot, finish,
 * status.
 */
#include "boot.h"
#include "cmd.h"
#include "instance.h"
#include "log.h"
#include "network.h"
#include "status.h"

static const char boot_usage[] =
	"usage: modulus boot [--root DIR]\n\n"
	"Finds the devices that a driver file in DIR/etc/modulus asks for, takes the best bundle\n"
	"that fits the running kernel, verifies it, loads its modules and reports to\n"
	"/run/modulus/status.json. Run by modulus.service in the initramfs.\n\n"
	"  --root DIR  where /etc, /usr and /var of the target are (default /)\n"
	"  --help      this text\n\n"
	"exit: 0 done, 1 system failure, 3 no usable bundle, 4 not trustworthy, 5 the kernel\n"
	"refused, 6 resources, 7 network, 8 configuration\n";

static const char finish_usage[] =
	"usage: modulus finish [--root DIR] [--driver NAME-VERSION | --runtime | --shutdown]\n\n"
	"Loads drivers whose devices appeared after boot, installs the libraries and programs of those that\n"
	"are live, tells container engines of NVIDIA's GPUs, and labels what was made where SELinux is in\n"
	"force; notes that the attempts of this boot did no harm.\n"
	"Run by modulus-finish.service; does boot's work where boot did not run.\n\n"
	"  --driver NAME-VERSION\n"
	"              only this driver, in this version instead of its file's, unless it is loaded; exit\n"
	"              as boot. Run by modulus@NAME-VERSION.service\n"
	"  --runtime   only libraries and programs, and what containers are told; asks the network for\n"
	"              those that are not on the machine. Run by modulus-runtime.service\n"
	"  --shutdown  the machine goes down in good order: only note that the attempts did no harm\n"
	"  --root DIR  where /etc, /usr and /var are (default /)\n"
	"  --help      this text\n";

static const char bless_usage[] =
	"usage: modulus bless [--root DIR]\n\n"
	"Remembers that what this boot loaded is good: from now on an older bundle of the same\n"
	"driver version is refused for this kernel, and earlier attempts that went wrong are\n"
	"forgotten. Run by modulus-bless.service after boot-complete.target.\n\n"
	"  --root DIR  where /var is (default /)\n"
	"  --help      this text\n";

static const char network_usage[] =
	"usage: modulus network up|down\n\n"
	"Brings the initramfs' links up for a bundle that is nowhere on disk, or puts them back as\n"
	"they were. Run by modulus-network.service, which boot starts when it needs it.\n\n"
	"  --help      this text\n";

static const char status_usage[] =
	"usage: modulus status [--json | --timeline]\n\n"
	"Says for each driver what happened at this boot, why, and what to do.\n\n"
	"  --json      the report as it is in /run/modulus/status.json\n"
	"  --timeline  where the time went, a bar for each phase and each module\n"
	"  --root DIR  accepted for symmetry; the report is in /run of the running system\n"
	"  --help      this text\n\n"
	"exit: 0 when every driver is loaded, has no device or is disabled; else as boot\n";

/* --live-root moves /proc, /sys, /dev and /run: for tests, and therefore not in the usage. */
static const struct option options[] = { { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 { "json", no_argument, NULL, 'j' },
					 { "timeline", no_argument, NULL, 't' },
					 { "shutdown", no_argument, NULL, 's' },
					 { "driver", required_argument, NULL, 'd' },
					 { "runtime", no_argument, NULL, 'R' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

struct boot_options {
	const char *root, *live, *driver;
	enum status_form form;
	bool shutdown, runtime;
};

/* own: letters of the options that not all commands have. -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, const char *usage, const char *own, struct boot_options *ret)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (strchr("jtsdR", c) && !strchr(own, c))
			return cmd_usage(argv[0], c == 'j' ? "--json is for status" :
					c == 't' ? "--timeline is for status" :
						   "--driver, --runtime and --shutdown are for finish");
		switch (c) {
		case 'r':
			ret->root = optarg;
			break;
		case 'L':
			ret->live = optarg;
			break;
		case 'j':
		case 't':
			if (ret->form != STATUS_TEXT)
				return cmd_usage(argv[0], "--json and --timeline exclude each other");
			ret->form = c == 'j' ? STATUS_JSON : STATUS_TIMELINE;
			break;
		case 's':
			ret->shutdown = true;
			break;
		case 'd':
			ret->driver = optarg;
			break;
		case 'R':
			ret->runtime = true;
			break;
		case 'h':
			return cmd_help(usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (optind < argc)
		return cmd_usage(argv[0], "takes no arguments");
	return -1;
}

/* The options, and the roots that they name. -1: go on; otherwise the exit code. */
static int begin(int argc, char **argv, const char *usage, const char *own, struct boot_options *ret,
		 struct host *ret_host)
{
	struct err err;
	int r = parse(argc, argv, usage, own, ret);

	if (r >= 0)
		return r;
	r = host_open(ret->root, ret->live, ret_host, &err);
	if (r == 0)
		return -1;
	log_error("%s", err.text);
	return reason_exit(r);
}

static int run(int argc, char **argv, const char *usage, int (*fn)(const struct host *h))
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct boot_options o = { 0 };
	int r = begin(argc, argv, usage, "", &o, &h);

	return r >= 0 ? r : fn(&h);
}

int cmd_boot(int argc, char **argv)
{
	return run(argc, argv, boot_usage, boot_run);
}

int cmd_finish(int argc, char **argv)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct boot_options o = { 0 };
	int r = begin(argc, argv, finish_usage, "sdR", &o, &h);

	if (r >= 0)
		return r;
	if ((o.driver != NULL) + o.shutdown + o.runtime > 1)
		return cmd_usage(argv[0], "--driver, --runtime and --shutdown exclude each other");
	if (o.shutdown)
		return finish_shutdown_run(&h);
	if (o.runtime)
		return finish_runtime_run(&h);
	return o.driver ? instance_run(&h, o.driver) : finish_run(&h);
}

int cmd_bless(int argc, char **argv)
{
	return run(argc, argv, bless_usage, bless_run);
}

int cmd_network(int argc, char **argv)
{
	if (argc >= 2 && (streq(argv[1], "--help") || streq(argv[1], "-h")))
		return cmd_help(network_usage);
	if (argc < 2 || (!streq(argv[1], "up") && !streq(argv[1], "down")))
		return cmd_usage(argv[0], "takes up or down");
	return run(argc - 1, argv + 1, network_usage, streq(argv[1], "up") ? network_up_run : network_down_run);
}

int cmd_status(int argc, char **argv)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct boot_options o = { 0 };
	int r = begin(argc, argv, status_usage, "jt", &o, &h);

	return r >= 0 ? r : status_run(&h, o.form);
}
