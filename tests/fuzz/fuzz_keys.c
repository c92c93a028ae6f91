// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_keys.c - a directory of keys: the bytes as a public key file and as the list of revoked
 * keys. What is not understood is a warning, never a failure.
 */
#include "fuzz.h"

static struct fuzz_dir dir;
static char keys[96];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_dir_open(&dir);
	snprintf(keys, sizeof(keys), "%s/a/b/in/keys", dir.path);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct err err = { 0 };

	fuzz_dir_write(&dir, "keys/x.pub", data, size);
	fuzz_dir_write(&dir, "keys/revoked", data, size);
	if (fuzz_outcome(keyring_load_dir(keys, &ring, &err), &err) < 0)
		/* a list that cannot be read whole must not pass for a shorter one */
		must(size > 4096 || (size > 0 && memchr(data, 0, size)));
	must(ring.n <= 1);
	for (size_t i = 0; i < ring.revoked.n; i++)
		must(strspn(ring.revoked.v[i], "0123456789ABCDEF") == TRUST_KEY_ID_HEX - 1);
	for (size_t i = 0; i < ring.warnings.n; i++)
		must(strstr(ring.warnings.v[i], dir.path) && fuzz_is_printable(ring.warnings.v[i]));
	return 0;
}
