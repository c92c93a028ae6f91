// SPDX-License-Identifier: Apache-2.0
/*
 * Every library header that the program needs, and nothing else: when this compiles and links, a
 * failing build is our fault. tests/deps/missing.sh says what to install when it does not.
 */
#include <archive.h>
#include <blake2.h>
#include <blkid/blkid.h>
#include <ini.h>
#include <jansson.h>
#include <linux/module.h>
#include <lzma.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <zlib.h>
#include <zstd.h>

int main(void)
{
	return 0;
}
