// SPDX-License-Identifier: Apache-2.0
/*
 * asked.c - small files in the place of our state. A power cut leaves the old one or the new one (state.c);
 * either is right or costs a transfer of one header.
 */
#include "asked.h"

#include <openssl/evp.h>

#include "jsontext.h"
#include "source.h"
#include "state.h"

/* Addresses are long and hold what no file name may. */
static int file_of(const char *address, char *ret, size_t size)
{
	uint8_t sum[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	if (EVP_Digest(address, strlen(address), sum, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	hex_encode(sum, sizeof(sum), hex);
	snprintf(ret, size, "%.32s.json", hex);
	return 0;
}

int asked_tag(const struct host *h, const char *address, const struct strv *have, char **ret_tag)
{
	char file[48];
	json_t *o;
	int r = file_of(address, file, sizeof(file));

	if (r == 0 && state_read(h, ASKED_DIR, file, &o) < 0)
		r = -ENOENT;
	if (r < 0)
		return r;
	if (*json_text(o, "tag") && strv_has(have, json_text(o, "digest")))
		*ret_tag = strdup(json_text(o, "tag"));
	else
		r = -ENOENT;
	json_decref(o);
	return r == 0 && !*ret_tag ? -ENOMEM : r;
}

int asked_remember(const struct host *h, const char *address, const char *tag, const char *digest, struct err *err)
{
	_cleanup_free_ char *shown = source_shown(address);
	char file[48];
	json_t *o = NULL, *old = NULL;
	int r = shown ? file_of(address, file, sizeof(file)) : -ENOMEM;

	if (r < 0)
		return err_sys(err, r, ASKED_DIR);
	o = json_pack("{s:s, s:s, s:s}", "address", shown, "tag", tag, "digest", digest);
	if (!o)
		return err_sys(err, -ENOMEM, ASKED_DIR);
	if (state_read(h, ASKED_DIR, file, &old) < 0 || !json_equal(o, old))
		r = state_write(h, ASKED_DIR, file, o, err);
	json_decref(old);
	json_decref(o);
	return r;
}
