// SPDX-License-Identifier: Apache-2.0
/*
 * receive.c - see receive.h. Runs in the initramfs. Power loss: store.c says what is left in the cache.
 */
#include "receive.h"

#include "limit.h"
#include "log.h"
#include "progress.h"

int receive_check_memory(const struct host *h, uint64_t bytes, struct err *err)
{
	uint64_t need = bytes + LIMIT_MEMORY_RESERVE_BYTES, available = kernel_memory_available(h);

	if (need <= available)
		return 0;
	return err_set(err, -E_NO_SPACE, "needs %llu MiB of memory, %llu MiB are available",
		       (unsigned long long)(need >> 20) + 1, (unsigned long long)(available >> 20));
}

int receive(const struct source_request *req, struct candidate *c, bool replace, const struct unpack_sink *sink,
	    struct store_copy **ret_copy, struct strv *warnings, struct err *err)
{
	struct store_copy *copy = NULL;
	struct err why;
	int r;

	*ret_copy = NULL;
	notify_systemd("STATUS=%s: reading %s", req->driver->name, c->origin);
	if (!streq(c->source, source_cache.scheme)) {
		if (store_begin(req->host, req->config->cache, c->bundle, replace, &copy, &why) < 0 &&
		    strv_addf(warnings, "not cached: %s: %s", reason_word(why.code), why.text) < 0)
			return err_sys(err, -ENOMEM, "%s", req->driver->name);
		if (copy)
			bundle_set_partial(c->bundle, store_partial(copy));
	}
	r = progress_unpack(req->driver->name, c->bundle, sink, copy, err);
	if (r == 0)
		*ret_copy = copy;
	else if (r == -E_NETWORK) /* the next source, or the next boot, goes on from there */
		store_suspend(copy);
	else
		store_abandon(copy);
	return r;
}

int receive_keep(struct store_copy *copy, char **ret_path, struct strv *warnings)
{
	struct err why;
	int r = copy ? store_publish(copy, ret_path, &why) : 0;

	return r < 0 ? strv_addf(warnings, "not cached: %s: %s", reason_word(r), why.text) : 0;
}
