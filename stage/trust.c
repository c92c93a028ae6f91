// SPDX-License-Identifier: Apache-2.0
/*
 * trust.c - who may sign, and did they? Input: key files of the target root, the manifest's
 * bytes and the signature frame. Output: a struct verified, which only this file can make.
 * Nothing is written; nothing here looks at a clock.
 */
#include "trust.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "base64.h"
#include "limit.h"

#define VENDOR_KEYS "/usr/lib/modulus/keys"
#define REVOKED_NAME "revoked"

/* algorithm, key id, then the payload */
#define PUBLIC_KEY_BLOB (2 + TRUST_KEY_ID_BYTES + TRUST_PUBLIC_KEY_BYTES)
#define SIGNATURE_BLOB (2 + TRUST_KEY_ID_BYTES + TRUST_SIGNATURE_BYTES)

struct verified {
	uint8_t *bytes;
	size_t len;
	char digest[2 * 32 + 1];
	char key_id[TRUST_KEY_ID_HEX];
};

/* --- text --- */

/* Takes one LF-terminated line off the text; the last line may lack its LF. */
static bool next_line(const char **text, size_t *len, const char **ret, size_t *ret_len)
{
	const char *nl;

	if (*len == 0)
		return false;
	nl = memchr(*text, '\n', *len);
	*ret = *text;
	*ret_len = nl ? (size_t)(nl - *text) : *len;
	*text += *ret_len + (nl ? 1 : 0);
	*len -= *ret_len + (nl ? 1 : 0);
	return true;
}

static bool line_begins(const char *line, size_t len, const char *prefix, size_t *ret_prefix_len)
{
	size_t n = strlen(prefix);

	if (len < n || memcmp(line, prefix, n) != 0)
		return false;
	*ret_prefix_len = n;
	return true;
}

int trust_parse_public_key(const char *text, size_t len, struct public_key *ret)
{
	uint8_t blob[PUBLIC_KEY_BLOB];
	const char *line;
	size_t n, skip;

	if (!next_line(&text, &len, &line, &n) || !line_begins(line, n, "untrusted comment:", &skip))
		return -EINVAL;
	if (!next_line(&text, &len, &line, &n) || base64_decode(line, n, blob, sizeof(blob)) < 0)
		return -EINVAL;
	if (len > 0 || memcmp(blob, "Ed", 2) != 0)
		return -EINVAL;
	memcpy(ret->id, blob + 2, sizeof(ret->id));
	memcpy(ret->key, blob + 2 + sizeof(ret->id), sizeof(ret->key));
	return 0;
}

int trust_next_signature(const char **text, size_t *len, struct signature *ret)
{
	struct signature s = { 0 };
	uint8_t blob[SIGNATURE_BLOB];
	const char *line;
	size_t n, skip;

	if (*len == 0)
		return 0;
	if (!next_line(text, len, &line, &n) || !line_begins(line, n, "untrusted comment:", &skip))
		return -EINVAL;
	if (!next_line(text, len, &line, &n) || base64_decode(line, n, blob, sizeof(blob)) < 0)
		return -EINVAL;
	if (memcmp(blob, "Ed", 2) == 0)
		s.algorithm = SIGNATURE_LEGACY;
	else if (memcmp(blob, "ED", 2) == 0)
		s.algorithm = SIGNATURE_PREHASHED;
	else
		return -EINVAL;
	memcpy(s.key_id, blob + 2, sizeof(s.key_id));
	memcpy(s.signature, blob + 2 + sizeof(s.key_id), sizeof(s.signature));
	if (!next_line(text, len, &line, &n) || !line_begins(line, n, "trusted comment: ", &skip))
		return -EINVAL;
	s.trusted_comment = line + skip;
	s.trusted_comment_len = n - skip;
	if (!next_line(text, len, &line, &n) || base64_decode(line, n, s.global, sizeof(s.global)) < 0)
		return -EINVAL;
	*ret = s;
	return 1;
}

void trust_key_id_text(const uint8_t id[TRUST_KEY_ID_BYTES], char ret[TRUST_KEY_ID_HEX])
{
	/* minisign stores the id as a little-endian number and prints the number */
	for (size_t i = 0; i < TRUST_KEY_ID_BYTES; i++)
		snprintf(ret + 2 * i, 3, "%02X", id[TRUST_KEY_ID_BYTES - 1 - i]);
}

/* --- keys --- */

void keyring_free(struct keyring *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->keys[i].origin);
	free(k->keys);
	strv_free(&k->revoked);
	strv_free(&k->warnings);
	*k = (struct keyring){ 0 };
}

/*
 * A directory of keys: `base` and a path below it. In a target root links resolve inside it; the
 * files are regular ones, since opening anything else could block a boot.
 */
struct key_dir {
	int base;
	const char *path; /* as shown, and as opened below base */
	uint64_t resolve; /* for openat2 */
};

static int read_key_file(const struct key_dir *d, const char *name, size_t max_bytes, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *path = str_printf("%s/%s", d->path, name);
	_cleanup_close_ int fd = path ? open_resolve(d->base, path, O_RDONLY | O_NONBLOCK, 0, d->resolve) : -ENOMEM;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? read_whole(fd, max_bytes, ret, ret_len) : -EINVAL;
}

static int keyring_add_file(struct keyring *ring, const struct key_dir *d, const char *name)
{
	_cleanup_free_ char *text = NULL;
	struct public_key key = { 0 }, *keys;
	size_t len = 0;
	int r;

	r = read_key_file(d, name, LIMIT_KEY_FILE_BYTES, &text, &len);
	if (r == 0)
		r = trust_parse_public_key(text, len, &key);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return strv_addf(&ring->warnings, "%s/%s: %s", d->path, name,
				 r == -EINVAL ? "not a minisign public key" : strerror(-r));
	keys = reallocarray(ring->keys, ring->n + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	ring->keys = keys;
	key.origin = str_printf("%s/%s", d->path, name);
	if (!key.origin)
		return -ENOMEM;
	ring->keys[ring->n++] = key;
	return 0;
}

static int is_key_file(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_suffix(e->d_name, ".pub");
}

/* Ids as minisign prints them. What is neither an id nor a comment is a warning. */
static int keyring_add_revoked(struct keyring *ring, const struct key_dir *d)
{
	_cleanup_free_ char *text = NULL;
	unsigned int odd = 0;
	char *save = NULL;
	size_t len = 0;
	int r = read_key_file(d, REVOKED_NAME, LIMIT_REVOKED_BYTES, &text, &len);

	if (r == -ENOENT)
		return 0;
	if (r == 0 && memchr(text, '\0', len)) /* what is behind it would not be seen */
		r = -EINVAL;
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); r == 0 && line; line = strtok_r(NULL, "\n", &save)) {
		char shown[64];

		line += strspn(line, " \t\r");
		line[strcspn(line, " \t\r;")] = '\0';
		if (*line == '\0')
			continue;
		if (strlen(line) == TRUST_KEY_ID_HEX - 1 &&
		    strspn(line, "0123456789abcdefABCDEF") == TRUST_KEY_ID_HEX - 1) {
			for (char *p = line; *p; p++)
				*p = (char)toupper((unsigned char)*p);
			r = strv_add(&ring->revoked, line);
			continue;
		}
		if (++odd > LIMIT_WARNINGS)
			continue;
		escape_text(line, strlen(line), shown, sizeof(shown));
		r = strv_addf(&ring->warnings, "%s/%s: '%s' is not a key id%s", d->path, REVOKED_NAME, shown,
			      odd == LIMIT_WARNINGS ? "; no more of these are shown" : "");
	}
	return r;
}

/* -ENOENT: no such directory. revoked_only: no keys from here, but what is revoked here counts. */
static int keyring_add_dir(struct keyring *ring, const struct key_dir *d, bool revoked_only, struct err *err)
{
	_cleanup_close_ int fd = open_resolve(d->base, d->path, O_RDONLY | O_DIRECTORY, 0, d->resolve);
	struct dirent **list = NULL;
	int n, r = 0;

	if (fd < 0)
		return fd == -ENOENT ? fd : err_sys(err, fd, "%s", d->path);
	n = revoked_only ? 0 : scandirat(fd, ".", &list, is_key_file, alphasort);
	if (n < 0)
		return err_sys(err, -errno, "%s", d->path);
	for (int i = 0; i < n; i++) {
		if (r == 0 && ring->n >= LIMIT_KEYS)
			r = strv_addf(&ring->warnings, "%s/%s: more than %u keys", d->path, list[i]->d_name, LIMIT_KEYS);
		else if (r == 0)
			r = keyring_add_file(ring, d, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	if (r < 0)
		return err_sys(err, r, "%s", d->path);
	r = keyring_add_revoked(ring, d);
	return r < 0 ? err_set(err, -E_UNTRUSTED, "%s/%s cannot be used: %s", d->path, REVOKED_NAME, strerror(-r)) : 0;
}

int keyring_load(const struct host *h, bool vendor_only, struct keyring *ret, struct err *err)
{
	const bool initramfs = !host_root_is_live(h);
	const struct {
		struct key_dir dir;
		bool wanted, revoked_only;
	} places[] = {
		{ { h->root_fd, "/etc/modulus/keys", RESOLVE_IN_ROOT }, true, vendor_only },
		{ { h->root_fd, VENDOR_KEYS, RESOLVE_IN_ROOT }, true, false },
		{ { h->live_fd, VENDOR_KEYS, RESOLVE_IN_ROOT }, initramfs, false },
	};
	_cleanup_keyring_ struct keyring ring = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int r = places[i].wanted ? keyring_add_dir(&ring, &places[i].dir, places[i].revoked_only, err) : 0;

		if (r < 0 && r != -ENOENT)
			return r;
	}
	*ret = ring;
	ring = (struct keyring){ 0 };
	return 0;
}

int keyring_load_dir(const char *dir, struct keyring *ret, struct err *err)
{
	const struct key_dir d = { .base = AT_FDCWD, .path = dir };
	_cleanup_keyring_ struct keyring ring = { 0 };
	int r = keyring_add_dir(&ring, &d, false, err);

	if (r < 0)
		return r == -ENOENT ? err_sys(err, r, "%s", dir) : r;
	*ret = ring;
	ring = (struct keyring){ 0 };
	return 0;
}

/* --- signatures --- */

int trust_message(enum signature_algorithm algorithm, const uint8_t *bytes, size_t len,
		  uint8_t buf[TRUST_PREHASH_BYTES], const uint8_t **ret, size_t *ret_len)
{
	unsigned int n = 0;

	if (algorithm == SIGNATURE_LEGACY) {
		*ret = bytes;
		*ret_len = len;
		return 0;
	}
	if (EVP_Digest(bytes, len, buf, &n, EVP_blake2b512(), NULL) != 1 || n != TRUST_PREHASH_BYTES)
		return -EIO;
	*ret = buf;
	*ret_len = n;
	return 0;
}

static bool ed25519_verify(const uint8_t key[TRUST_PUBLIC_KEY_BYTES], const uint8_t *msg, size_t len,
			   const uint8_t sig[TRUST_SIGNATURE_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, TRUST_PUBLIC_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(ctx, sig, TRUST_SIGNATURE_BYTES, msg, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

/* 0: holds. -E_UNTRUSTED: does not. */
static int check_signature(const struct public_key *key, const struct signature *s, const uint8_t *bytes, size_t len)
{
	uint8_t prehash[TRUST_PREHASH_BYTES];
	_cleanup_bytes_ uint8_t *global = NULL;
	const uint8_t *msg;
	size_t msg_len;

	if (trust_message(s->algorithm, bytes, len, prehash, &msg, &msg_len) < 0)
		return -EIO;
	if (!ed25519_verify(key->key, msg, msg_len, s->signature))
		return -E_UNTRUSTED;
	global = malloc(sizeof(s->signature) + s->trusted_comment_len);
	if (!global)
		return -ENOMEM;
	memcpy(global, s->signature, sizeof(s->signature));
	memcpy(global + sizeof(s->signature), s->trusted_comment, s->trusted_comment_len);
	if (!ed25519_verify(key->key, global, sizeof(s->signature) + s->trusted_comment_len, s->global))
		return -E_UNTRUSTED;
	return 0;
}

static const struct public_key *find_key(const struct keyring *ring, const uint8_t id[TRUST_KEY_ID_BYTES])
{
	for (size_t i = 0; i < ring->n; i++)
		if (memcmp(ring->keys[i].id, id, TRUST_KEY_ID_BYTES) == 0)
			return &ring->keys[i];
	return NULL;
}

static int wrap(uint8_t *bytes, size_t len, const char *key_id, struct verified **ret)
{
	struct verified *v = calloc(1, sizeof(*v));
	uint8_t digest[32];

	if (!v || EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) != 1) {
		free(v);
		return -ENOMEM;
	}
	v->bytes = bytes;
	v->len = len;
	hex_encode(digest, sizeof(digest), v->digest);
	snprintf(v->key_id, sizeof(v->key_id), "%s", key_id);
	*ret = v;
	return 0;
}

/* All of the frame, before any of it counts: what is in it never depends on which key is known. */
static int check_frame(const char *text, size_t len, struct err *err)
{
	struct signature s;
	unsigned int n = 0;
	int r;

	while ((r = trust_next_signature(&text, &len, &s)) > 0)
		if (n++ >= LIMIT_SIGNATURES)
			return err_set(err, -E_CORRUPT, "more than %u signatures", LIMIT_SIGNATURES);
	return r < 0 ? err_set(err, -E_CORRUPT, "the signature frame does not hold minisign signatures") : 0;
}

int trust_verify(const struct keyring *ring, uint8_t *bytes, size_t len, const char *signatures, size_t signatures_len,
		 struct verified **ret, struct err *err)
{
	_cleanup_bytes_ uint8_t *owned = bytes;
	char ids[LIMIT_SIGNATURES * (TRUST_KEY_ID_HEX + 1)] = "";
	char id[TRUST_KEY_ID_HEX];
	struct signature s;
	bool wrong = false, revoked = false;
	unsigned int n = 0;
	int r = check_frame(signatures, signatures_len, err);

	if (r < 0)
		return r;
	while ((r = trust_next_signature(&signatures, &signatures_len, &s)) > 0) {
		const struct public_key *key = find_key(ring, s.key_id);

		n++;
		trust_key_id_text(s.key_id, id);
		snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s%s", ids[0] ? " " : "", id);
		if (strv_has(&ring->revoked, id)) {
			revoked = true;
			continue;
		}
		if (!key)
			continue;
		r = check_signature(key, &s, bytes, len);
		if (r == 0) {
			r = wrap(owned, len, id, ret);
			if (r == 0)
				(void)TAKE_PTR(owned);
			return r < 0 ? err_sys(err, r, "signature") : 0;
		}
		if (r != -E_UNTRUSTED)
			return err_sys(err, r, "signature");
		wrong = true;
	}
	if (n == 0)
		return err_set(err, -E_UNTRUSTED, "not signed");
	if (ring->n == 0)
		return err_set(err, -E_UNTRUSTED, "signed by %s, and no public key is installed", ids);
	if (revoked && !wrong)
		return err_set(err, -E_UNTRUSTED, "signed by revoked key %s", ids);
	if (wrong)
		return err_set(err, -E_UNTRUSTED, "the signature by key %s does not hold: the manifest was changed",
			       ids);
	return err_set(err, -E_UNTRUSTED, "signed by unknown key %s", ids);
}

int trust_show_unverified(uint8_t *bytes, size_t len, struct verified **ret)
{
	int r = wrap(bytes, len, "", ret);

	if (r < 0)
		free(bytes);
	return r;
}

void verified_free(struct verified *v)
{
	if (!v)
		return;
	free(v->bytes);
	free(v);
}

const uint8_t *verified_bytes(const struct verified *v, size_t *ret_len)
{
	*ret_len = v->len;
	return v->bytes;
}

const char *verified_digest(const struct verified *v)
{
	return v->digest;
}

const char *verified_key_id(const struct verified *v)
{
	return v->key_id;
}
