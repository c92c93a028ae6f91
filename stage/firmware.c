// SPDX-License-Identifier: Apache-2.0
/*
 * firmware.c - see firmware.h. Runs in the initramfs, before the driver's modules are inserted. Out:
 * files in memory (/run) and a copy in the cache. Power loss: store.c says what is left there.
 */
#include "firmware.h"

#include "choose.h"
#include "limit.h"
#include "receive.h"

struct bringing {
	const struct source_request *req;
	struct driver_report *rep;
};

static int use(void *ctx, struct candidate *c, bool replace, struct err *err)
{
	const struct bringing *b = ctx;
	_cleanup_modules_ struct module_set set = { .host = b->req->host };
	const struct unpack_sink sink = module_set_sink(&set);
	const struct manifest *m = bundle_manifest(c->bundle);
	struct bundle_report *rep = &b->rep->firmware.bundle;
	struct store_copy *copy;
	int r = receive_check_memory(b->req->host, m->unpacked, err);

	if (r < 0)
		return r;
	r = receive(b->req, c, replace, &sink, &copy, &b->rep->warnings, err);
	if (r < 0)
		return r == -E_CORRUPT || r == -E_NETWORK || r == -EIO ? 1 : r;
	if (report_set_bundle(rep, c, m) < 0 || receive_keep(copy, &rep->cached, &b->rep->warnings) < 0)
		return err_sys(err, -ENOMEM, "%s", b->req->driver->name);
	r = module_set_link_firmware(&set, m, err);
	return r < 0 ? r : module_set_expose_firmware(&set, &b->rep->warnings, err);
}

int firmware_bring(const struct source_request *modules, const struct module_set *set, struct driver_report *rep)
{
	struct source_request req = *modules;
	struct bringing b = { .req = &req, .rep = rep };
	const struct choice choice = { .req = &req, .use = use, .ctx = &b, .said = &rep->warnings,
				       .local = !module_set_lacks_firmware(set) };
	uint64_t began = now_us(), left = req.until_us > began ? req.until_us - began : 0;
	int r;

	req.until_us -= MIN(left / 2, LIMIT_FIRMWARE_LEAVES_US); /* to the modules, which may do without it */
	req.kind = KIND_FIRMWARE;
	if (rep->bundle.flavor && *rep->bundle.flavor)
		req.flavor = rep->bundle.flavor; /* of the modules that it is for */
	r = choose_first(&choice, &rep->firmware.result);
	rep->firmware.asked = choose_is_told(req.driver, r) && (!choice.local || r != -E_NO_BUNDLE);
	if (rep->firmware.asked)
		report_phase(rep, "firmware", now_us() - began);
	if (r == 0 || r == -ENOMEM || !rep->firmware.asked)
		return r == -ENOMEM ? r : 0;
	return strv_addf(&rep->warnings, "firmware: %s: %s", reason_word(r), rep->firmware.result.text);
}
