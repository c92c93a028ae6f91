// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_check.c - the command that answers before a boot does: options, the order of the checks, the answer.
 * Changes nothing, unless it is asked as the gate of an update: then it remembers since when it holds
 * (gate.h), may lock what ostree has staged (hold.h), and leaves a note for `status`.
 */
#include <time.h>

#include "check.h"
#include "cmd.h"
#include "doctor.h"
#include "fetch.h"
#include "gate.h"
#include "installed.h"
#include "log.h"
#include "next.h"
#include "report.h"

static const char check_usage[] =
	"usage: modulus check [--kernel REL | (--next | --next-usr DIR) [--gate [--lock]]]\n"
	"                     [--config FILE [--keys DIR]] [--json] [--root DIR]\n\n"
	"Would a kernel get its drivers? Without a word about it: the running one, and whether all is in\n"
	"place on this machine that a boot needs, with the command that mends what is not. Looks where a\n"
	"boot would look. Local bundles are read to their end, of those in the network the header.\n"
	"Changes nothing.\n\n"
	"  --kernel REL   the kernel of this release\n"
	"  --next         the kernel of the next boot\n"
	"  --next-usr DIR that of the /usr that is mounted there, which an update has written and not\n"
	"                 made the next one yet\n"
	"  --gate         may an update go on? 0: yes; else Gate= of a driver holds it, since when is\n"
	"                 remembered, and modulus status shows it. touch " GATE_OPEN "\n"
	"                 lets updates go on until the next boot\n"
	"  --lock         what holds is ostree's lock of the deployment that it has staged; a lock of\n"
	"                 somebody else stays\n"
	"  --config FILE  for this driver file alone, whether its device is here or not\n"
	"  --keys DIR     public keys; without it those of this machine\n"
	"  --json         for programs\n"
	"  --root DIR     where /etc, /usr, /boot and /var are (default /)\n"
	"  --help         this text\n\n"
	"exit: 0 ready, else as boot; that of the first finding that failed\n";

static const struct option options[] = { { "kernel", required_argument, NULL, 'k' },
					 { "next", no_argument, NULL, 'n' },
					 { "next-usr", required_argument, NULL, 'u' },
					 { "gate", no_argument, NULL, 'g' },
					 { "lock", no_argument, NULL, 'l' },
					 { "config", required_argument, NULL, 'c' },
					 { "keys", required_argument, NULL, 'K' },
					 { "json", no_argument, NULL, 'j' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

struct check {
	const char *root, *live, *release, *next_usr, *file, *keys;
	bool ask_next, ask_gate, set_lock, json;
	struct host host;
	struct cmdline cmdline;
	struct config config;
	struct kernel kernel; /* the one that is meant */
	struct next_kernel next;
	struct findings found;
	struct gate gate;
};

static void check_done(struct check *c)
{
	findings_free(&c->found);
	next_done(&c->next);
	config_free(&c->config);
	cmdline_free(&c->cmdline);
	host_close(&c->host);
}

/* --- what is checked --- */

/* Which kernel is meant. One that cannot be told is a finding. */
static int find_kernel(struct check *c, struct err *err)
{
	int r = kernel_running(&c->host, &c->kernel, err);

	if (r == 0 && c->release)
		fetch_for_kernel(&c->host, &c->kernel, c->release);
	if (r < 0 || !c->ask_next)
		return r;
	r = c->next_usr ? next_kernel_in(c->next_usr, &c->next, err)
			: next_kernel(&c->host, &c->kernel, &c->next, err);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		c->kernel.release[0] = c->kernel.build_id[0] = '\0';
		return findings_add(&c->found, FINDING_FAIL, FINDING_SYSTEM, "kernel", err);
	}
	if (!next_is_running(&c->next, &c->kernel))
		fetch_for_next(&c->next, &c->kernel);
	return findings_addf(&c->found, c->next.inferred ? FINDING_WARN : FINDING_OK, FINDING_SYSTEM, "kernel",
			     c->next.inferred ? -E_UNKNOWN_KERNEL : 0, "%s%s; %s", c->kernel.release,
			     c->kernel.absent ? "" : ", which is running", c->next.how);
}

static int read_config(struct check *c, struct err *err)
{
	int r = cmdline_read(&c->host, &c->cmdline, err);

	if (r == 0)
		r = c->file ? config_read_file(c->file, &c->config, err)
			    : config_read(&c->host, &c->cmdline, &c->config, err);
	for (size_t i = 0; r == 0 && i < c->config.warnings.n; i++)
		log_warning("%s", c->config.warnings.v[i]);
	return r;
}

static int run_checks(struct check *c, struct err *err)
{
	const struct check_request req = { .host = &c->host, .cmdline = &c->cmdline, .config = &c->config,
					   .kernel = &c->kernel, .next = c->ask_next ? &c->next : NULL, .keys = c->keys,
					   .whole = c->ask_gate, .every_driver = c->file != NULL };
	int r = find_kernel(c, err);

	if (r < 0 || !c->kernel.release[0])
		return r;
	if (c->config.n_drivers == 0)
		r = findings_addf(&c->found, FINDING_FAIL, FINDING_SYSTEM, "configuration", -E_BAD_CONFIG,
				  "no driver is configured (/etc/modulus/*.conf)");
	else
		r = check_drivers(&req, &c->found, err);
	if (r < 0 || c->file || c->release || c->ask_next) /* the machine as it is now is another question */
		return r;
	return doctor_run(&c->host, &c->config, &c->kernel, &c->found, err);
}

/* --- the answer --- */

static json_t *kernel_json(const struct check *c)
{
	return json_pack("{s:s?, s:s, s:s?, s:b, s:b, s:s?}", "release",
			 c->kernel.release[0] ? c->kernel.release : NULL, "machine", c->kernel.machine, "build_id",
			 c->kernel.build_id[0] ? c->kernel.build_id : NULL, "running",
			 (int)(!c->kernel.absent && c->kernel.release[0]), "inferred", (int)c->next.inferred, "how",
			 c->ask_next && c->next.how[0] ? c->next.how : NULL);
}

static json_t *answer_json(const struct check *c)
{
	const struct finding *failed = findings_failed(&c->found, NULL);

	return json_pack("{s:i, s:o, s:b, s:s, s:o, s:o}", "format", 1, "kernel", kernel_json(c), "ready",
			 (int)(failed == NULL), "reason", failed ? reason_word(failed->why.code) : "ready", "findings",
			 findings_json(&c->found), "gate", c->ask_gate ? gate_json(&c->gate) : json_null());
}

static void print_time(const char *before, int64_t when)
{
	time_t t = (time_t)when;
	char text[40];
	struct tm tm;

	if (when != 0 && gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		printf("%s%s", before, text);
}

/* The level, five columns wide: in colour on a terminal, as a sign where that has one (https://no-color.org). */
static void print_level(enum finding_level level)
{
	static const char *const signs[] = { [FINDING_OK] = "\xe2\x9c\x93", [FINDING_WARN] = "!", [FINDING_FAIL] = "\xe2\x9c\x97" };
	static const int colours[] = { [FINDING_OK] = 32, [FINDING_WARN] = 33, [FINDING_FAIL] = 31 };
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM"), *locale = getenv("LC_ALL");

	if (!isatty(STDOUT_FILENO) || (none && *none) || !term || streq(term, "dumb")) {
		printf("%-5s ", finding_word(level));
		return;
	}
	if (!locale || !*locale)
		locale = getenv("LC_CTYPE");
	if (!locale || !*locale)
		locale = getenv("LANG");
	if (locale && (strstr(locale, "UTF-8") || strstr(locale, "utf8")))
		printf("\033[%dm%s\033[0m     ", colours[level], signs[level]);
	else
		printf("\033[%dm%-5s\033[0m ", colours[level], finding_word(level));
}

static void print_answer(const struct check *c)
{
	const struct finding *failed = findings_failed(&c->found, NULL);

	printf("kernel %s %s\n", c->kernel.release[0] ? c->kernel.release : "?", c->kernel.machine);
	for (size_t i = 0; i < c->found.n; i++) {
		const struct finding *f = &c->found.v[i];
		const char *remedy = finding_remedy(f);

		print_level(f->level);
		printf("%-12s %-14s %s%s%s\n", f->about, f->what, f->why.code ? reason_word(f->why.code) : "",
		       f->why.code ? ": " : "", f->why.text);
		if (remedy)
			printf("%-33s to do: %s\n", "", remedy);
	}
	if (failed)
		printf("not ready: %s: %s\n", failed->about, reason_word(failed->why.code));
	else
		printf("ready\n");
	if (!c->ask_gate)
		return;
	printf("update: %s", c->gate.hold ? "held" : "may go on");
	print_time(" since ", c->gate.hold ? c->gate.since : 0);
	print_time(" until ", c->gate.hold ? c->gate.until : 0);
	printf(": %s\n", c->gate.why);
	if (c->gate.lock != HOLD_NONE)
		printf("lock: " HOLD_LOCK " is %s\n", c->gate.lock == HOLD_OURS ? "ours" : "somebody else's");
}

/* For `status`, until the next boot. */
static void leave_note(const struct check *c, const json_t *answer)
{
	_cleanup_free_ char *text = json_dumps(answer, JSON_INDENT(1));
	_cleanup_close_ int dir = -EBADF;
	int r = text ? host_live_mkdir(&c->host, STATUS_DIR, &dir) : -ENOMEM;

	if (r == 0)
		r = write_file_at(dir, GATE_NOTE, text, strlen(text), 0644);
	if (r < 0)
		log_warning("%s/" GATE_NOTE ": %s", STATUS_DIR, strerror(-r));
}

static int answer(struct check *c, struct err *err)
{
	const struct finding *failed = findings_failed(&c->found, NULL);
	int code = failed ? (int)reason_exit(failed->why.code) : EXIT_DONE;
	json_t *o;

	if (c->ask_gate) {
		gate_decide(&c->host, &c->config, &c->kernel, &c->found, &c->gate);
		code = !c->gate.hold ? EXIT_DONE : code != EXIT_DONE ? code : EXIT_SYSTEM;
		if (c->set_lock && hold_set(&c->host, c->gate.hold, &c->gate.lock, err) < 0)
			log_warning("the staged deployment: %s", err->text);
	}
	o = answer_json(c);
	if (!o)
		return err_sys(err, -ENOMEM, "check");
	if (c->ask_gate)
		leave_note(c, o);
	if (c->json) {
		json_dumpf(o, stdout, JSON_INDENT(1));
		printf("\n");
	} else {
		print_answer(c);
	}
	json_decref(o);
	return code;
}

static int run(struct check *c)
{
	struct err err;
	int r = host_open(c->root, c->live, &c->host, &err);

	if (r == 0)
		r = read_config(c, &err);
	if (r == 0)
		r = run_checks(c, &err);
	if (r == 0)
		r = answer(c, &err);
	if (r >= 0)
		return r;
	log_error("%s", err.text);
	return reason_exit(r);
}

int cmd_check(int argc, char **argv)
{
	_cleanup_(check_done) struct check c = { .host = { .root_fd = -EBADF, .live_fd = -EBADF }, .next = NEXT_NONE };
	unsigned int kernels = 0;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'k':
			c.release = optarg;
			kernels++;
			break;
		case 'n':
			c.ask_next = true;
			kernels++;
			break;
		case 'u':
			c.ask_next = true;
			c.next_usr = optarg;
			kernels++;
			break;
		case 'g':
			c.ask_gate = true;
			break;
		case 'l':
			c.set_lock = true;
			break;
		case 'c':
			c.file = optarg;
			break;
		case 'K':
			c.keys = optarg;
			break;
		case 'j':
			c.json = true;
			break;
		case 'r':
			c.root = optarg;
			break;
		case 'L':
			c.live = optarg;
			break;
		case 'h':
			return cmd_help(check_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (optind < argc)
		return cmd_usage(argv[0], "takes options only");
	if (kernels > 1)
		return cmd_usage(argv[0], "--kernel, --next and --next-usr exclude each other");
	if (c.release && !installed_is_release(c.release))
		return cmd_usage(argv[0], "--kernel is not a kernel's release");
	if (c.ask_gate && (!c.ask_next || c.file))
		return cmd_usage(argv[0], "--gate is for --next or --next-usr, and for the machine's own drivers");
	if (c.set_lock && !c.ask_gate)
		return cmd_usage(argv[0], "--lock is for --gate");
	return run(&c);
}
