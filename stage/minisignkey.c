// SPDX-License-Identifier: Apache-2.0
/*
 * minisignkey.c - runs where bundles are built, never on the machines that load them.
 */
#include "minisignkey.h"

#include <blake2.h>
#include <endian.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base64.h"
#include "limit.h"

/*
 * minisign.h, SeckeyStruct: signature algorithm, kdf algorithm, checksum algorithm, kdf salt,
 * opslimit, memlimit, then key id, secret key (seed and public key) and a checksum, which is
 * zero where the key is not encrypted. An encrypted key has the last four XORed with the stream
 * that scrypt makes of password and salt; the checksum, a 32-byte BLAKE2b, tells a wrong password.
 */
struct blob {
	uint8_t sig_alg[2], kdf_alg[2], chk_alg[2];
	uint8_t kdf_salt[32], kdf_opslimit[8], kdf_memlimit[8];
	uint8_t id[TRUST_KEY_ID_BYTES], seed[32], public[TRUST_PUBLIC_KEY_BYTES], chk[32];
};
_Static_assert(sizeof(struct blob) == 158, "minisign's secret key is 158 bytes");

#define BASE64_ROOM(n) (4 * (((n) + 2) / 3) + 1)

void secret_key_wipe(struct secret_key *k)
{
	OPENSSL_cleanse(k, sizeof(*k));
}

static int derive_public(struct secret_key *k)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->seed, sizeof(k->seed));
	size_t len = sizeof(k->public);
	int r = pkey && EVP_PKEY_get_raw_public_key(pkey, k->public, &len) == 1 ? 0 : -EIO;

	EVP_PKEY_free(pkey);
	return r;
}

int secret_key_generate(struct secret_key *ret, struct err *err)
{
	_cleanup_secret_key_ struct secret_key k = { 0 };

	if (RAND_priv_bytes(k.seed, sizeof(k.seed)) != 1 || RAND_bytes(k.id, sizeof(k.id)) != 1 ||
	    derive_public(&k) < 0)
		return err_set(err, -EIO, "no random numbers for a key");
	*ret = k;
	return 0;
}

static int save(const char *path, mode_t mode, const char *text, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	r = write_full(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r < 0) {
		(void)unlink(path);
		return err_sys(err, r, "%s", path);
	}
	return 0;
}

int secret_key_save(const struct secret_key *k, const char *secret_path, const char *public_path, struct err *err)
{
	char encoded[BASE64_ROOM(sizeof(struct blob))], text[512], id[TRUST_KEY_ID_HEX];
	uint8_t pub[2 + TRUST_KEY_ID_BYTES + TRUST_PUBLIC_KEY_BYTES] = "Ed";
	struct blob b = { .sig_alg = { 'E', 'd' }, .chk_alg = { 'B', '2' } };
	int r;

	memcpy(b.id, k->id, sizeof(b.id));
	memcpy(b.seed, k->seed, sizeof(b.seed));
	memcpy(b.public, k->public, sizeof(b.public));
	base64_encode((const uint8_t *)&b, sizeof(b), encoded);
	snprintf(text, sizeof(text), "untrusted comment: minisign encrypted secret key\n%s\n", encoded);
	r = save(secret_path, 0600, text, err);
	OPENSSL_cleanse(&b, sizeof(b));
	OPENSSL_cleanse(text, sizeof(text));
	OPENSSL_cleanse(encoded, sizeof(encoded));
	if (r < 0)
		return r;
	memcpy(pub + 2, k->id, sizeof(k->id));
	memcpy(pub + 2 + sizeof(k->id), k->public, sizeof(k->public));
	base64_encode(pub, sizeof(pub), encoded);
	trust_key_id_text(k->id, id);
	snprintf(text, sizeof(text), "untrusted comment: minisign public key %s\n%s\n", id, encoded);
	r = save(public_path, 0644, text, err);
	if (r < 0)
		(void)unlink(secret_path); /* a secret key whose public half is lost is of no use */
	return r;
}

/* minisign's default asks for 1 GiB; more is not its doing. */
#define SCRYPT_MAX_BYTES (2ull << 30)

/* libsodium's limits -> scrypt's N, r, p (crypto_pwhash_scryptsalsa208sha256.c, pickparams). */
static void scrypt_parameters(uint64_t ops, uint64_t mem, uint64_t *ret_n, uint64_t *ret_p)
{
	const uint64_t r = 8;
	uint64_t max_n, n = 2;

	if (ops < 32768)
		ops = 32768;
	max_n = ops < mem / 32 ? ops / (r * 4) : mem / (r * 128);
	while (n <= max_n / 2 && n < (uint64_t)1 << 62)
		n *= 2;
	*ret_n = n;
	*ret_p = ops < mem / 32 ? 1 : MIN(ops / 4 / n, (uint64_t)0x3fffffff) / r;
}

static int decrypt(struct blob *b, const char *path, secret_key_password_fn ask, struct err *err)
{
	const size_t len = sizeof(*b) - offsetof(struct blob, id);
	uint8_t stream[sizeof(struct blob)], *secret = b->id, chk[32];
	uint64_t ops, mem, n, p;
	char password[1024];
	blake2b_state h;
	int r;

	r = ask(path, password, sizeof(password));
	if (r < 0)
		return err_sys(err, r, "%s: password", path);
	memcpy(&ops, b->kdf_opslimit, sizeof(ops));
	memcpy(&mem, b->kdf_memlimit, sizeof(mem));
	scrypt_parameters(le64toh(ops), le64toh(mem), &n, &p);
	r = EVP_PBE_scrypt(password, strlen(password), b->kdf_salt, sizeof(b->kdf_salt), n, 8, p, SCRYPT_MAX_BYTES,
			   stream, len);
	OPENSSL_cleanse(password, sizeof(password));
	if (r != 1)
		return err_set(err, -EINVAL, "%s: scrypt with these parameters needs too much memory", path);
	for (size_t i = 0; i < len; i++)
		secret[i] ^= stream[i];
	OPENSSL_cleanse(stream, sizeof(stream));
	blake2b_init(&h, sizeof(chk));
	blake2b_update(&h, b->sig_alg, sizeof(b->sig_alg));
	blake2b_update(&h, b->id, len - sizeof(b->chk));
	blake2b_final(&h, chk, sizeof(chk));
	if (memcmp(chk, b->chk, sizeof(chk)) != 0)
		return err_set(err, -EACCES, "%s: wrong password", path);
	return 0;
}

int secret_key_load(const char *path, secret_key_password_fn ask, struct secret_key *ret, struct err *err)
{
	_cleanup_secret_key_ struct secret_key k = { 0 };
	_cleanup_free_ char *text = NULL;
	uint8_t stored[TRUST_PUBLIC_KEY_BYTES];
	const char *line;
	struct blob b;
	size_t len;
	int r;

	r = read_whole_at(AT_FDCWD, path, LIMIT_KEY_FILE_BYTES, &text, &len);
	if (r < 0)
		return err_sys(err, r, "%s", path);
	line = memchr(text, '\n', len);
	if (!str_prefix(text, "untrusted comment:", NULL) || !line++ ||
	    base64_decode(line, strcspn(line, "\n"), (uint8_t *)&b, sizeof(b)) < 0 ||
	    memcmp(b.sig_alg, "Ed", 2) != 0) {
		OPENSSL_cleanse(text, len);
		return err_set(err, -EINVAL, "%s: not a minisign secret key", path);
	}
	OPENSSL_cleanse(text, len);
	if (memcmp(b.kdf_alg, "Sc", 2) == 0)
		r = decrypt(&b, path, ask, err);
	else if (memcmp(b.kdf_alg, "\0\0", 2) != 0)
		r = err_set(err, -EINVAL, "%s: encrypted in a way that is not scrypt", path);
	if (r < 0) {
		OPENSSL_cleanse(&b, sizeof(b));
		return r;
	}
	memcpy(k.id, b.id, sizeof(k.id));
	memcpy(k.seed, b.seed, sizeof(k.seed));
	memcpy(stored, b.public, sizeof(stored));
	OPENSSL_cleanse(&b, sizeof(b));
	if (derive_public(&k) < 0 || memcmp(stored, k.public, sizeof(stored)) != 0)
		return err_set(err, -EINVAL, "%s: damaged: its public half does not belong to it", path);
	*ret = k;
	return 0;
}

static int ed25519_sign(const struct secret_key *k, const uint8_t *msg, size_t len, uint8_t ret[TRUST_SIGNATURE_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, k->seed, sizeof(k->seed));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = TRUST_SIGNATURE_BYTES;
	bool good = pkey && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestSign(ctx, ret, &n, msg, len) == 1 && n == TRUST_SIGNATURE_BYTES;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good ? 0 : -EIO;
}

int secret_key_sign(const struct secret_key *k, const uint8_t *bytes, size_t len, const char *comment, char **ret,
		    struct err *err)
{
	uint8_t prehash[TRUST_PREHASH_BYTES], blob[2 + TRUST_KEY_ID_BYTES + TRUST_SIGNATURE_BYTES] = "ED";
	uint8_t *sig = blob + 2 + TRUST_KEY_ID_BYTES, global[TRUST_SIGNATURE_BYTES];
	char blob_text[BASE64_ROOM(sizeof(blob))], global_text[BASE64_ROOM(sizeof(global))], id[TRUST_KEY_ID_HEX];
	_cleanup_bytes_ uint8_t *all = malloc(TRUST_SIGNATURE_BYTES + strlen(comment));
	const uint8_t *msg;
	size_t msg_len;

	if (!all)
		return err_sys(err, -ENOMEM, "signing");
	memcpy(blob + 2, k->id, sizeof(k->id));
	if (trust_message(SIGNATURE_PREHASHED, bytes, len, prehash, &msg, &msg_len) < 0 ||
	    ed25519_sign(k, msg, msg_len, sig) < 0)
		return err_set(err, -EIO, "signing failed");
	memcpy(all, sig, TRUST_SIGNATURE_BYTES);
	memcpy(all + TRUST_SIGNATURE_BYTES, comment, strlen(comment));
	if (ed25519_sign(k, all, TRUST_SIGNATURE_BYTES + strlen(comment), global) < 0)
		return err_set(err, -EIO, "signing failed");
	base64_encode(blob, sizeof(blob), blob_text);
	base64_encode(global, sizeof(global), global_text);
	trust_key_id_text(k->id, id);
	*ret = str_printf("untrusted comment: signature by key %s\n%s\ntrusted comment: %s\n%s\n", id, blob_text,
			  comment, global_text);
	return *ret ? 0 : err_sys(err, -ENOMEM, "signing");
}
