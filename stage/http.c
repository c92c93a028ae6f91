// SPDX-License-Identifier: Apache-2.0
/*
 * http.c - libcurl's multi interface turned into a reader. Runs only when no local source has a
 * bundle that fits. Holds one buffer of BUFFER_BYTES; a transfer that is ahead of its reader is
 * paused. Power loss: nothing here is on disk.
 */
#include "http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <nss.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "httphead.h"
#include "limit.h"

#ifndef MODULUS_EPOCH
#error "MODULUS_EPOCH, the time of the build in seconds, comes from the Makefile"
#endif

/* libcurl hands out at most CURL_MAX_WRITE_SIZE (16 KiB) at once. */
#define BUFFER_BYTES ((size_t)256 << 10)

struct http_reader {
	struct reader base;
	struct http_settings set;
	char *url, *basic, *bearer;
	struct curl_slist *headers;
	char *ca;
	size_t ca_len;
	CURLM *multi;
	CURL *easy; /* the transfer under way; NULL between attempts */
	struct curl_slist *range;
	char message[CURL_ERROR_SIZE];
	/* the body, over all attempts */
	uint8_t *buf;
	size_t at, used;
	struct http_progress progress;
	/* the attempt */
	unsigned int attempt;
	struct http_head head;
	long status; /* stays when the next attempt has none */
	bool headers_done, paused, finished, refused;
	CURLcode result;
	uint64_t began_us;
	uint64_t waited_us, window_bytes; /* for the minimum rate */
	struct err why;
	char earlier[160]; /* why the attempt before this one failed */
};

static int http_failed(struct http_reader *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int http_failed(struct http_reader *h, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(&h->why, -E_NETWORK, "%s", text);
}

/* --- what libcurl calls --- */

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct http_reader *h = ctx;

	if (http_head_line(&h->head, line, size * n))
		return size * n;
	(void)http_failed(h, "more than %u bytes of headers", LIMIT_HTTP_HEADER_BYTES);
	h->refused = true;
	return 0;
}

/* The status decides at the first byte of the body, or at the end when there is none. */
static int check_status(struct http_reader *h)
{
	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &h->status);
	h->headers_done = true;
	return http_head_check(&h->head, h->status, &h->progress, &h->why);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct http_reader *h = ctx;
	size_t len = size * n, skipped;

	if (!h->headers_done && check_status(h) < 0) {
		h->refused = true;
		return 0;
	}
	if (h->used == h->at)
		h->used = h->at = 0;
	if (BUFFER_BYTES - h->used < len) {
		h->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	h->window_bytes += len;
	skipped = (size_t)MIN((uint64_t)len, h->progress.skip);
	h->progress.skip -= skipped;
	memcpy(h->buf + h->used, bytes + skipped, len - skipped);
	h->used += len - skipped;
	h->progress.received += len - skipped;
	return len;
}

/*
 * Certificate dates mean nothing while the clock is before the time of this build: a battery
 * that ran out would keep every machine from its drivers. Name and chain are checked all the same.
 */
static CURLcode on_tls(CURL *easy, void *ctx, void *user)
{
	(void)easy;
	(void)user;
	if (time(NULL) < (time_t)MODULUS_EPOCH)
		X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_NO_CHECK_TIME);
	return CURLE_OK;
}

/* --- one attempt --- */

static void end_attempt(struct http_reader *h)
{
	if (h->easy) {
		curl_multi_remove_handle(h->multi, h->easy);
		curl_easy_cleanup(h->easy);
		h->easy = NULL;
	}
	curl_slist_free_all(h->range);
	h->range = NULL;
}

static void set_tls(struct http_reader *h)
{
	struct curl_blob ca = { .data = h->ca, .len = h->ca_len, .flags = CURL_BLOB_NOCOPY };

	if (h->ca)
		curl_easy_setopt(h->easy, CURLOPT_CAINFO_BLOB, &ca);
	curl_easy_setopt(h->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(h->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
}

/* From byte `received` on, if it is still the same file. */
static int set_range(struct http_reader *h)
{
	struct curl_slist *list = NULL, *more;

	for (const struct curl_slist *l = h->headers; l; l = l->next) {
		more = curl_slist_append(list, l->data);
		if (!more)
			break;
		list = more;
	}
	if (h->progress.received > 0 && h->progress.validator[0]) {
		_cleanup_free_ char *range = str_printf("Range: bytes=%llu-", (unsigned long long)h->progress.received);
		_cleanup_free_ char *if_range = str_printf("If-Range: %s", h->progress.validator);

		more = range ? curl_slist_append(list, range) : NULL;
		list = more ? more : list;
		more = if_range ? curl_slist_append(list, if_range) : list;
		list = more ? more : list;
	}
	h->range = list;
	curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, list);
	return 0;
}

static int begin_attempt(struct http_reader *h)
{
	bool https = strncasecmp(h->url, "https:", 6) == 0;

	end_attempt(h);
	h->easy = curl_easy_init();
	if (!h->easy)
		return err_sys(&h->why, -ENOMEM, "HTTP");
	h->head = (struct http_head){ 0 };
	h->headers_done = h->paused = h->finished = h->refused = false;
	h->waited_us = h->window_bytes = 0;
	h->began_us = now_us();
	h->message[0] = '\0';
	if (h->why.code < 0)
		snprintf(h->earlier, sizeof(h->earlier), "%.150s", h->why.text);
	memset(&h->why, 0, sizeof(h->why));
	curl_easy_setopt(h->easy, CURLOPT_URL, h->url);
	curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/* what began with TLS stays with it; nothing else than HTTP is ever followed */
	curl_easy_setopt(h->easy, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
	curl_easy_setopt(h->easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(h->easy, CURLOPT_MAXREDIRS, (long)LIMIT_HTTP_REDIRECTS);
	curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(LIMIT_HTTP_CONNECT_US / 1000));
	curl_easy_setopt(h->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* a failed lookup is not kept */
	curl_easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h->easy, CURLOPT_QUICK_EXIT, 1L); /* a name server that is silent is not waited for at the end */
	curl_easy_setopt(h->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h->easy, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, h->message);
	curl_easy_setopt(h->easy, CURLOPT_USERAGENT, "modulus/" MODULUS_VERSION);
	if (h->set.proxy)
		curl_easy_setopt(h->easy, CURLOPT_PROXY, h->set.proxy);
	if (h->basic) {
		curl_easy_setopt(h->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(h->easy, CURLOPT_USERPWD, h->basic);
	}
	if (h->bearer) {
		curl_easy_setopt(h->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(h->easy, CURLOPT_XOAUTH2_BEARER, h->bearer);
	}
	set_tls(h);
	if (set_range(h) < 0)
		return -ENOMEM;
	return curl_multi_add_handle(h->multi, h->easy) == CURLM_OK ? 0 : err_sys(&h->why, -ENOMEM, "HTTP");
}

/* How far this attempt came. */
static const char *how_far(const struct http_reader *h)
{
	curl_off_t looked_up = 0, connected = 0;

	curl_easy_getinfo(h->easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
	curl_easy_getinfo(h->easy, CURLINFO_CONNECT_TIME_T, &connected);
	return h->head.whole ? "the rest did not come" :
	       connected > 0   ? "no answer" :
	       looked_up > 0   ? "no connection" :
				 "no address for the name";
}

/* The end of the budget is no cause: what counts is what the time was lost with. */
static int out_of_time(struct http_reader *h)
{
	return http_failed(h, "%s%s%s in %llu s; no time left (Budget=)", h->earlier, h->earlier[0] ? "; then " : "",
			   how_far(h), (unsigned long long)((now_us() - h->began_us + 500000) / 1000000));
}

/* Too late, or too slow? Only time spent waiting for the server counts. */
static int check_pace(struct http_reader *h, uint64_t waited_us)
{
	uint64_t now = now_us();

	if (now >= h->set.until_us)
		return out_of_time(h);
	if (!h->headers_done && now - h->began_us > LIMIT_HTTP_CONNECT_US + LIMIT_HTTP_HEADERS_US)
		return http_failed(h, "no answer in %llu s",
				   (unsigned long long)((LIMIT_HTTP_CONNECT_US + LIMIT_HTTP_HEADERS_US) / 1000000));
	h->waited_us += waited_us;
	if (h->headers_done && h->waited_us >= LIMIT_HTTP_WINDOW_US) {
		if (h->window_bytes * 1000000 / h->waited_us < LIMIT_HTTP_RATE)
			return http_failed(h, "slower than %u bytes/s over %llu s", LIMIT_HTTP_RATE,
					   (unsigned long long)(LIMIT_HTTP_WINDOW_US / 1000000));
		h->waited_us = h->window_bytes = 0;
	}
	return 0;
}

/* Lets the transfer go on until there are bytes, its end, or (headers_only) its status. */
static int pump(struct http_reader *h, bool headers_only)
{
	if (h->paused) {
		h->paused = false;
		curl_easy_pause(h->easy, CURLPAUSE_CONT);
	}
	while (h->at == h->used && !h->finished && !(headers_only && h->headers_done)) {
		uint64_t began = now_us(), left = h->set.until_us > began ? h->set.until_us - began : 0;
		int running, queued, r;
		CURLMsg *msg;

		if (curl_multi_perform(h->multi, &running) != CURLM_OK)
			return http_failed(h, "libcurl failed");
		while ((msg = curl_multi_info_read(h->multi, &queued))) {
			if (msg->msg != CURLMSG_DONE)
				continue;
			h->finished = true;
			h->result = msg->data.result;
		}
		if (h->finished || h->at != h->used)
			break;
		(void)curl_multi_poll(h->multi, NULL, 0, (int)MIN(left / 1000 + 1, (uint64_t)250), NULL);
		r = check_pace(h, now_us() - began);
		if (r < 0)
			return r;
	}
	if (h->refused || !h->finished)
		return h->refused ? h->why.code : 0;
	if (h->result != CURLE_OK)
		return http_failed(h, "%s", h->message[0] ? h->message : curl_easy_strerror(h->result));
	if (!h->head.whole) { /* which libcurl takes for an answer without a body */
		h->result = CURLE_GOT_NOTHING;
		return http_failed(h, "the connection ended inside the headers");
	}
	if (!h->headers_done && check_status(h) < 0)
		h->refused = true;
	else if (h->progress.skip > 0) {
		(void)http_failed(h, "the file changed while it was read: it is shorter now");
		h->refused = true;
	}
	return h->refused ? h->why.code : 0;
}

/* --- attempts --- */

static bool worth_another(const struct http_reader *h)
{
	if (h->why.code != -E_NETWORK || h->attempt >= LIMIT_HTTP_ATTEMPTS || now_us() >= h->set.retry_until_us)
		return false;
	if (h->refused) /* the server's own word: only "later" and "my fault" can change */
		return h->status >= 500 || h->status == 429;
	switch (h->result) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_URL_MALFORMAT:
		return !h->finished;
	default:
		return true;
	}
}

/* 200 ms, doubled each time, at most 5 s, each between half and all of that. */
static void back_off(const struct http_reader *h)
{
	uint64_t wait_us = MIN((uint64_t)200000 << (h->attempt - 1), (uint64_t)5000000), now = now_us();
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	wait_us = wait_us / 2 + wait_us / 2 * (random & 0xffff) / 0xffff;
	if (now + wait_us > h->set.retry_until_us)
		wait_us = h->set.retry_until_us > now ? h->set.retry_until_us - now : 0;
	(void)usleep((useconds_t)wait_us);
}

/* Pumps, and begins again as long as that makes sense. */
static int pump_with_retries(struct http_reader *h, bool headers_only)
{
	for (;;) {
		int r = h->easy ? pump(h, headers_only) : begin_attempt(h);

		if (r == 0 && h->easy && (h->at != h->used || h->finished || (headers_only && h->headers_done)))
			return 0;
		if (r == 0)
			continue;
		/* bytes that arrived before the break are good */
		if (h->at != h->used)
			return 0;
		end_attempt(h);
		if (!worth_another(h))
			return r;
		h->attempt++;
		back_off(h);
	}
}

/* --- the reader --- */

static ssize_t http_read(struct reader *r, void *buf, size_t len)
{
	struct http_reader *h = (struct http_reader *)r;
	size_t n;
	int q;

	if (h->at == h->used) {
		q = h->finished && h->result == CURLE_OK ? 0 : pump_with_retries(h, false);
		if (q < 0) {
			r->why = h->why;
			return q;
		}
		if (h->at == h->used)
			return 0;
	}
	n = MIN(len, h->used - h->at);
	memcpy(buf, h->buf + h->at, n);
	h->at += n;
	return (ssize_t)n;
}

/* Drops what came already, then asks for what follows. */
static int http_skip(struct reader *r, const void *have, size_t len)
{
	struct http_reader *h = (struct http_reader *)r;
	size_t here = MIN(len, h->used - h->at);

	(void)have;
	/* without a validator nobody can say that the rest belongs to what we have */
	if (len > here && !h->progress.validator[0])
		return -EOPNOTSUPP;
	h->at += here;
	if (len == here)
		return 0;
	end_attempt(h);
	h->finished = false;
	h->progress.received += len - here;
	return 0;
}

static void http_close(struct reader *r)
{
	struct http_reader *h = (struct http_reader *)r;

	end_attempt(h);
	if (h->multi)
		curl_multi_cleanup(h->multi);
	curl_slist_free_all(h->headers);
	free(h->url);
	free(h->basic);
	free(h->bearer);
	free(h->ca);
	free(h->buf);
	free(h);
}

static const struct reader_ops http_ops = { .read = http_read, .skip = http_skip, .close = http_close };

static int read_ca(struct http_reader *h, struct err *err)
{
	const char *const places[] = { h->set.ca, "/etc/modulus/ca.pem", "/etc/ssl/certs/ca-certificates.crt",
				       "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_close_ int fd = places[i] ? host_root_open(h->set.host, places[i], O_RDONLY) : -ENOENT;
		int r;

		if (fd == -ENOENT && !(i == 0 && places[i]))
			continue;
		r = fd < 0 ? fd : read_whole(fd, LIMIT_CA_BYTES, &h->ca, &h->ca_len);
		return r < 0 ? err_set(err, -E_NETWORK, "%s: %s", places[i], strerror(-r)) : 0;
	}
	return err_set(err, -E_NETWORK, "no CA certificates: install /etc/modulus/ca.pem or set [Network] CA=");
}

static int make_reader(const struct http_settings *s, const struct http_request *req, struct http_reader **ret,
		       struct err *err)
{
	_cleanup_reader_ struct reader *guard = NULL;
	struct http_reader *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return err_sys(err, -ENOMEM, "HTTP");
	h->base.ops = &http_ops;
	guard = &h->base;
	h->set = *s;
	h->attempt = 1;
	h->url = strdup(req->url);
	h->basic = req->basic ? strdup(req->basic) : NULL;
	h->bearer = req->bearer ? strdup(req->bearer) : NULL;
	h->buf = malloc(BUFFER_BYTES);
	h->multi = curl_multi_init();
	if (!h->url || !h->buf || !h->multi || (req->basic && !h->basic) || (req->bearer && !h->bearer))
		return err_sys(err, -ENOMEM, "HTTP");
	for (size_t i = 0; req->headers && i < req->headers->n; i++) {
		struct curl_slist *more = curl_slist_append(h->headers, req->headers->v[i]);

		if (!more)
			return err_sys(err, -ENOMEM, "HTTP");
		h->headers = more;
	}
	/* for http too: a redirect may lead to https. Without certificates that fails then */
	r = read_ca(h, err);
	if (r < 0 && strncasecmp(h->url, "https:", 6) == 0)
		return r;
	*ret = h;
	guard = NULL;
	return 0;
}

int http_open(const struct http_settings *s, const struct http_request *req, struct reader **ret,
	      struct http_answer *ret_answer, struct err *err)
{
	struct http_reader *h = NULL;
	int r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counts: only the first call does anything */
		return err_sys(err, -ENOMEM, "libcurl");
	/* nsswitch.conf may name services that are libraries, which a static program must not load */
	(void)__nss_configure_lookup("hosts", "files dns");
	r = make_reader(s, req, &h, err);
	if (r < 0)
		return r;
	r = pump_with_retries(h, true);
	if (ret_answer) {
		ret_answer->status = h->status;
		memcpy(ret_answer->challenge, h->head.challenge, sizeof(ret_answer->challenge));
		memcpy(ret_answer->etag, h->head.etag, sizeof(ret_answer->etag));
	}
	if (r < 0) {
		*err = h->why;
		if (h->status == 404 || h->status == 410)
			r = err->code = -E_NO_BUNDLE;
		http_close(&h->base);
		return r;
	}
	*ret = &h->base;
	return 0;
}

int http_get(const struct http_settings *s, const struct http_request *req, size_t max_bytes, char **ret,
	     size_t *ret_len, struct http_answer *ret_answer, struct err *err)
{
	_cleanup_reader_ struct reader *r = NULL;
	_cleanup_free_ char *text = NULL;
	ssize_t n;
	int q;

	q = http_open(s, req, &r, ret_answer, err);
	if (q < 0)
		return q;
	text = malloc(max_bytes + 2);
	if (!text)
		return err_sys(err, -ENOMEM, "HTTP");
	n = reader_read_full(r, text, max_bytes + 1);
	if (n < 0) {
		*err = r->why;
		return (int)n;
	}
	if ((size_t)n > max_bytes)
		return err_set(err, -E_NETWORK, "an answer of more than %zu bytes", max_bytes);
	text[n] = '\0';
	*ret = TAKE_PTR(text);
	*ret_len = (size_t)n;
	return 0;
}
