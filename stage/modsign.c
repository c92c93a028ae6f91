// SPDX-License-Identifier: Apache-2.0
/*
 * modsign.c - what scripts/sign-file does, without a kernel tree at hand. The same module, key
 * and certificate give the same bytes: no signed attributes, so no time.
 */
#include "modsign.h"

#include <endian.h>
#include <fcntl.h>
#include <openssl/cms.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define KEY_MAX_BYTES (64u << 10)
#define MARKER "~Module signature appended~\n"

/* include/linux/module_signature.h */
struct module_signature {
	uint8_t algo, hash, id_type, signer_len, key_id_len, pad[3];
	uint32_t sig_len; /* big-endian */
};
#define PKEY_ID_PKCS7 2

struct modsign_key {
	EVP_PKEY *key;
	X509 *cert;
};

void modsign_free(struct modsign_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	X509_free(k->cert);
	free(k);
}

static int read_bio(const char *path, BIO **ret, char **ret_text, struct err *err)
{
	size_t len;
	int r = read_whole_at(AT_FDCWD, path, KEY_MAX_BYTES, ret_text, &len);

	if (r < 0)
		return err_sys(err, r, "%s", path);
	*ret = BIO_new_mem_buf(*ret_text, (int)len);
	return *ret ? 0 : err_sys(err, -ENOMEM, "%s", path);
}

static int read_key(const char *path, EVP_PKEY **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	BIO *bio = NULL;
	int r = read_bio(path, &bio, &text, err);

	if (r < 0)
		return r;
	*ret = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	OPENSSL_cleanse(text, strlen(text));
	return *ret ? 0 : err_set(err, -EINVAL, "%s: not a private key in PEM form", path);
}

static int read_cert(const char *path, X509 **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	BIO *bio = NULL;
	int r = read_bio(path, &bio, &text, err);

	if (r < 0)
		return r;
	*ret = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (!*ret && BIO_reset(bio) == 1)
		*ret = d2i_X509_bio(bio, NULL);
	BIO_free(bio);
	return *ret ? 0 : err_set(err, -EINVAL, "%s: not a certificate in PEM or DER form", path);
}

int modsign_load(const char *key_path, const char *cert_path, struct modsign_key **ret, struct err *err)
{
	_cleanup_(modsign_freep) struct modsign_key *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return err_sys(err, -ENOMEM, "%s", key_path);
	r = read_key(key_path, &k->key, err);
	if (r == 0)
		r = read_cert(cert_path, &k->cert, err);
	if (r < 0)
		return r;
	if (X509_check_private_key(k->cert, k->key) != 1)
		return err_set(err, -EINVAL, "%s does not belong to %s", cert_path, key_path);
	*ret = TAKE_PTR(k);
	return 0;
}

/* The DER form of a detached signature: no certificate, no attributes, as sign-file makes it. */
static int sign_der(const struct modsign_key *k, const uint8_t *bytes, size_t len, uint8_t **ret, int *ret_len)
{
	const unsigned int flags = CMS_NOCERTS | CMS_BINARY | CMS_DETACHED | CMS_STREAM | CMS_PARTIAL;
	BIO *in = BIO_new_mem_buf(bytes, (int)len);
	CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
	int r = -EIO;

	if (in && cms &&
	    CMS_add1_signer(cms, k->cert, k->key, EVP_sha256(), CMS_NOCERTS | CMS_BINARY | CMS_NOSMIMECAP | CMS_NOATTR) &&
	    CMS_final(cms, in, NULL, CMS_NOCERTS | CMS_BINARY) == 1) {
		*ret = NULL;
		*ret_len = i2d_CMS_ContentInfo(cms, ret);
		r = *ret_len > 0 ? 0 : -EIO;
	}
	CMS_ContentInfo_free(cms);
	BIO_free(in);
	return r;
}

int modsign_append(const struct modsign_key *k, uint8_t **bytes, size_t *len, struct err *err)
{
	struct module_signature trailer = { .id_type = PKEY_ID_PKCS7 };
	uint8_t *der = NULL, *bigger;
	size_t total;
	int der_len;

	if (*len > INT32_MAX || sign_der(k, *bytes, *len, &der, &der_len) < 0)
		return err_set(err, -EIO, "the module could not be signed with this key");
	total = *len + (size_t)der_len + sizeof(trailer) + strlen(MARKER);
	bigger = realloc(*bytes, total);
	if (!bigger) {
		OPENSSL_free(der);
		return err_sys(err, -ENOMEM, "module signature");
	}
	trailer.sig_len = htobe32((uint32_t)der_len);
	memcpy(bigger + *len, der, (size_t)der_len);
	memcpy(bigger + *len + der_len, &trailer, sizeof(trailer));
	memcpy(bigger + *len + der_len + sizeof(trailer), MARKER, strlen(MARKER));
	OPENSSL_free(der);
	*bytes = bigger;
	*len = total;
	return 0;
}
