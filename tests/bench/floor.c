// SPDX-License-Identifier: Apache-2.0
/*
 * floor.c - what nobody can do without: takes a bundle's compressed bytes and has its modules' bytes in
 * memory, where the kernel can take them. No hash, no signature, no manifest, no dependencies: the least
 * that any loader does, for comparison.
 *
 * floor FILE            reads, decompresses, writes into a memfd
 * floor FILE MODULE[:PARAMETERS]...
 *                       and inserts those modules, in the order of the tar; then prints "inserted NAME NANOSECONDS" of each
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
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

#define MODULES 64
#define NAME_BYTES 64

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* "a/b/nvidia-drm.ko" -> "nvidia_drm", and its parameters. NULL: not a module of these. */
static const char *wants(const char *path, char *const wanted[], char ret_name[NAME_BYTES])
{
	const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t len = strlen(file);

	if (len <= 3 || len >= NAME_BYTES || strcmp(file + len - 3, ".ko") != 0)
		return NULL;
	len -= 3;
	for (size_t i = 0; i < len; i++)
		ret_name[i] = file[i] == '-' ? '_' : file[i];
	ret_name[len] = '\0';
	for (; *wanted; wanted++)
		if (strncmp(*wanted, ret_name, len) == 0 && ((*wanted)[len] == ':' || (*wanted)[len] == '\0'))
			return *wanted + len + ((*wanted)[len] == ':');
	return NULL;
}

/* The tar is one of ours: nothing but files, the modules first. `wanted`: a list that NULL ends. */
static void insert_modules(int fd, char *const wanted[])
{
	struct { char name[NAME_BYTES]; int64_t took; } done[MODULES];
	size_t n = 0;
	struct stat st;
	char *tar;

	if (fstat(fd, &st) < 0)
		fail("fstat");
	tar = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (tar == MAP_FAILED)
		fail("mmap");
	for (size_t at = 0; at + TAR_BLOCK < (size_t)st.st_size && tar[at];) {
		size_t size = strtoull(tar + at + TAR_SIZE_AT, NULL, 8);
		const char *parameters = n < MODULES ? wants(tar + at, wanted, done[n].name) : NULL;

		if (parameters) {
			int64_t began = now_ns();

			if (syscall(SYS_init_module, tar + at + TAR_BLOCK, size, parameters) < 0)
				fail(tar + at);
			done[n++].took = now_ns() - began;
		}
		at += TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
	for (size_t i = 0; i < n; i++)
		printf("inserted %s %lld\n", done[i].name, (long long)done[i].took);
}

int main(int argc, char **argv)
{
	int in = argc > 1 ? open(argv[1], O_RDONLY) : -1, out = memfd_create("modules", 0);
	size_t size = ZSTD_DStreamOutSize();
	char *bytes = malloc(READ_BYTES), *plain = malloc(size);
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	ssize_t n;

	if (in < 0 || out < 0 || !bytes || !plain || !zstd)
		fail(argc > 1 ? argv[1] : "usage: floor FILE [MODULE...]");
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
	if (argc > 2)
		insert_modules(out, argv + 2);
	return 0;
}
