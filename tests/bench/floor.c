// SPDX-License-Identifier: Apache-2.0
/*
 * floor.c - what nobody can do without: takes a bundle's compressed bytes and has its modules' bytes in
 * memory, where the kernel can take them. No hash, no signature, no manifest, no dependencies: the least
 * that any loader does, for comparison.
 *
 * floor FILE           reads, decompresses, writes into a memfd
 * floor FILE insert    and inserts the modules, in the order of the tar
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

#define TAR_BLOCK ((size_t)512)
#define TAR_SIZE_AT 124

/* The tar is one of ours: nothing but files, the modules first. */
static void insert_modules(int fd)
{
	struct stat st;
	char *tar;

	if (fstat(fd, &st) < 0)
		fail("fstat");
	tar = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (tar == MAP_FAILED)
		fail("mmap");
	for (size_t at = 0; at + TAR_BLOCK < (size_t)st.st_size && tar[at];) {
		size_t size = strtoull(tar + at + TAR_SIZE_AT, NULL, 8), name = strlen(tar + at);

		if (name > 3 && strcmp(tar + at + name - 3, ".ko") == 0 &&
		    syscall(SYS_init_module, tar + at + TAR_BLOCK, size, "") < 0 && errno != EEXIST)
			fail(tar + at);
		at += TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
}

int main(int argc, char **argv)
{
	int insert = argc == 3 && strcmp(argv[2], "insert") == 0;
	int in = argc == 2 || insert ? open(argv[1], O_RDONLY) : -1, out = memfd_create("modules", 0);
	size_t size = ZSTD_DStreamOutSize();
	char *bytes = malloc(READ_BYTES), *plain = malloc(size);
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	ssize_t n;

	if (in < 0 || out < 0 || !bytes || !plain || !zstd)
		fail(argc == 2 || insert ? argv[1] : "usage: floor FILE [insert]");
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
	if (insert)
		insert_modules(out);
	return 0;
}
