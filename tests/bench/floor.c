// SPDX-License-Identifier: Apache-2.0
/*
 * floor.c - what nobody can do without: takes a bundle's compressed bytes and has its modules' bytes in
 * memory, where finit_module(2) can take them. No hash, no signature, no manifest, no tar: the least that
 * any loader does, for comparison.
 *
 * floor FILE    reads, decompresses, writes into a memfd
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#define READ_BYTES ((size_t)256 << 10)

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n <= 0)
			fail("write");
		bytes += n;
		len -= (size_t)n;
	}
}

int main(int argc, char **argv)
{
	int in = argc == 2 ? open(argv[1], O_RDONLY) : -1, out = memfd_create("modules", 0);
	size_t size = ZSTD_DStreamOutSize();
	char *bytes = malloc(READ_BYTES), *plain = malloc(size);
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	ssize_t n;

	if (in < 0 || out < 0 || !bytes || !plain || !zstd)
		fail(argc == 2 ? argv[1] : "usage: floor FILE");
	while ((n = read(in, bytes, READ_BYTES)) > 0) {
		ZSTD_inBuffer from = { bytes, (size_t)n, 0 };

		while (from.pos < from.size) {
			ZSTD_outBuffer to = { plain, size, 0 };

			if (ZSTD_isError(ZSTD_decompressStream(zstd, &to, &from)))
				fail("zstd");
			write_all(out, plain, to.pos);
		}
	}
	if (n < 0)
		fail("read");
	return 0;
}
