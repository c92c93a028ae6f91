// SPDX-License-Identifier: Apache-2.0
/*
 * hasher.c - see hasher.h. Runs while a bundle is unpacked. Nothing here is on disk.
 *
 * There is one span of bytes under way: its owner makes it longer at its end, the thread hashes from its beginning.
 * It is empty exactly when all is hashed, and then the context is the owner's.
 */
#include "hasher.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>

/* Less than this is hashed before a thread has woken up (20 us at 1 GB/s). */
#define ALONE_BYTES (32u << 10)

struct hasher {
	EVP_MD_CTX *sha256;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more, done;
	const uint8_t *from, *to; /* what is to be hashed yet */
	bool threaded, alone; /* the thread is there; it is not to be */
	bool begun, failed, over;
};

static void hash(struct hasher *h, const uint8_t *bytes, size_t len)
{
	if (!h->begun)
		h->failed = EVP_DigestInit_ex(h->sha256, EVP_sha256(), NULL) != 1;
	h->begun = true;
	if (!h->failed && EVP_DigestUpdate(h->sha256, bytes, len) != 1)
		h->failed = true;
}

static void *run(void *ctx)
{
	struct hasher *h = ctx;

	pthread_mutex_lock(&h->lock);
	while (!h->over) {
		const uint8_t *from = h->from, *to = h->to;

		if (from == to) {
			pthread_cond_wait(&h->more, &h->lock);
			continue;
		}
		pthread_mutex_unlock(&h->lock);
		hash(h, from, (size_t)(to - from));
		pthread_mutex_lock(&h->lock);
		h->from = to;
		if (h->from == h->to)
			pthread_cond_signal(&h->done);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

static bool has_second_cpu(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) > 1;
}

int hasher_new(struct hasher **ret)
{
	struct hasher *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->sha256 = EVP_MD_CTX_new();
	if (!h->sha256) {
		free(h);
		return -ENOMEM;
	}
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->more, NULL);
	pthread_cond_init(&h->done, NULL);
	h->alone = !has_second_cpu();
	*ret = h;
	return 0;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	if (h->threaded) {
		hasher_wait(h);
		pthread_mutex_lock(&h->lock);
		h->over = true;
		pthread_cond_signal(&h->more);
		pthread_mutex_unlock(&h->lock);
		(void)pthread_join(h->thread, NULL);
	}
	pthread_cond_destroy(&h->done);
	pthread_cond_destroy(&h->more);
	pthread_mutex_destroy(&h->lock);
	EVP_MD_CTX_free(h->sha256);
	free(h);
}

/* Is somebody else at the context? */
static bool is_busy(struct hasher *h)
{
	bool busy;

	if (!h->threaded)
		return false;
	pthread_mutex_lock(&h->lock);
	busy = h->from != h->to;
	pthread_mutex_unlock(&h->lock);
	return busy;
}

void hasher_add(struct hasher *h, const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return;
	if (!h->alone && !h->threaded && len >= ALONE_BYTES) {
		h->threaded = thread_start(&h->thread, run, h) == 0;
		h->alone = !h->threaded;
	}
	if (h->alone || (len < ALONE_BYTES && !is_busy(h))) {
		hash(h, bytes, len);
		return;
	}
	if (h->to != bytes) /* another buffer */
		hasher_wait(h);
	pthread_mutex_lock(&h->lock);
	if (h->from == h->to)
		h->from = bytes;
	h->to = bytes + len;
	pthread_cond_signal(&h->more);
	pthread_mutex_unlock(&h->lock);
}

void hasher_wait(struct hasher *h)
{
	if (!h->threaded)
		return;
	pthread_mutex_lock(&h->lock);
	while (h->from != h->to)
		pthread_cond_wait(&h->done, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

int hasher_end(struct hasher *h, uint8_t *ret_digest)
{
	hasher_wait(h);
	hash(h, (const uint8_t *)"", 0); /* of nothing, there is one too */
	h->begun = false;
	return !h->failed && EVP_DigestFinal_ex(h->sha256, ret_digest, NULL) == 1 ? 0 : -ENOMEM;
}
