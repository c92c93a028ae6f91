// SPDX-License-Identifier: Apache-2.0
/*
 * transfer.c - a file over HTTP into nowhere: the least that any client does, for comparison.
 *
 * transfer ADDRESS PORT PATH BYTES    fails unless exactly so many bytes of body come
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char *bytes = malloc(READ_BYTES), *body;
	size_t headers = 0, wanted, got = 0;
	char request[512];
	ssize_t n;
	int fd;

	if (argc != 5 || !bytes || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		fail("usage: transfer ADDRESS PORT PATH BYTES");
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	wanted = strtoull(argv[4], NULL, 10);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect");
	n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", argv[3],
		     argv[1]);
	if (write(fd, request, (size_t)n) != n)
		fail("write");
	while ((n = read(fd, bytes, READ_BYTES)) > 0) {
		if (headers == 0 && (body = memmem(bytes, (size_t)n, "\r\n\r\n", 4)))
			headers = (size_t)(body - bytes) + 4;
		got += (size_t)n;
	}
	if (n < 0 || headers == 0 || got != headers + wanted) {
		fprintf(stderr, "transfer: %zu bytes in all, %zu of them headers\n", got, headers);
		return 1;
	}
	return 0;
}
