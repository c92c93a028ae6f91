// SPDX-License-Identifier: Apache-2.0
/*
 * ocilayout.c - opencontainers/image-spec: image-layout.md, manifest.md ("Guidelines for Artifact
 * Usage"). Runs after the bundle was made and verified. Interrupted: a directory without index.json.
 */
#include "ocilayout.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "ocidoc.h"

#define BLOBS "blobs/sha256"
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_EMPTY "application/vnd.oci.empty.v1+json"
#define TYPE_ARTIFACT "application/vnd.modulus.bundle.v1"

int oci_layout_prepare(const char *dir, struct err *err)
{
	struct dirent *e;
	bool found = false;
	DIR *d;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, -errno, "%s", dir);
	d = opendir(dir);
	if (!d)
		return err_sys(err, -errno, "%s", dir);
	while ((e = readdir(d)))
		found = found || (!streq(e->d_name, ".") && !streq(e->d_name, ".."));
	closedir(d);
	return found ? err_set(err, -EEXIST, "%s: is not empty", dir) : 0;
}

/* {"mediaType","digest","size"}; NULL: no memory. */
static json_t *descriptor(const char *type, const char *hex, uint64_t size)
{
	_cleanup_free_ char *digest = str_printf("sha256:%s", hex);

	return digest ? json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", digest, "size", (json_int_t)size) : NULL;
}

static int write_blob(int blobs, const void *bytes, size_t len, char ret_hex[65])
{
	uint8_t sum[32];

	if (EVP_Digest(bytes, len, sum, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	hex_encode(sum, sizeof(sum), ret_hex);
	return write_file_at(blobs, ret_hex, bytes, len, 0644);
}

/* The bundle becomes a blob. */
static int copy_blob(int blobs, const char *file, char ret_hex[65], uint64_t *ret_size)
{
	_cleanup_close_ int in = open(file, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = openat(blobs, ".part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	_cleanup_free_ char *buf = malloc(1u << 16);
	EVP_MD_CTX *sha256 = EVP_MD_CTX_new();
	int r = in < 0 || out < 0 ? -errno : 0;
	uint64_t size = 0;
	uint8_t sum[32];
	ssize_t n = 0;

	if (!buf || !sha256 || EVP_DigestInit_ex(sha256, EVP_sha256(), NULL) != 1)
		r = -ENOMEM;
	while (r == 0 && (n = read(in, buf, 1u << 16)) > 0) {
		size += (uint64_t)n;
		r = EVP_DigestUpdate(sha256, buf, (size_t)n) == 1 ? write_full(out, buf, (size_t)n) : -ENOMEM;
	}
	if (r == 0 && n < 0)
		r = -errno;
	if (r == 0 && EVP_DigestFinal_ex(sha256, sum, NULL) != 1)
		r = -ENOMEM;
	EVP_MD_CTX_free(sha256);
	if (r < 0)
		return r;
	hex_encode(sum, sizeof(sum), ret_hex);
	*ret_size = size;
	return fsync(out) < 0 || renameat(blobs, ".part", blobs, ret_hex) < 0 ? -errno : 0;
}

/* Takes doc, which may be NULL. */
static int dump(json_t *doc, char **ret)
{
	*ret = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	return *ret ? 0 : -ENOMEM;
}

static int write_all(int dir, const char *bundle, const char *tag, const char *title)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	char config_hex[65], layer_hex[65], manifest_hex[65];
	_cleanup_free_ char *manifest = NULL, *index = NULL;
	_cleanup_close_ int blobs = -EBADF;
	json_t *layer, *image;
	uint64_t size = 0;
	int r;

	r = mkdir_beneath(dir, BLOBS, 0755, &blobs);
	if (r == 0)
		r = copy_blob(blobs, bundle, layer_hex, &size);
	if (r == 0)
		r = write_blob(blobs, "{}", 2, config_hex);
	if (r < 0)
		return r;
	layer = descriptor(OCI_BUNDLE_TYPE, layer_hex, size);
	if (layer && json_object_set_new(layer, "annotations", json_pack("{s:s}", "org.opencontainers.image.title", title)) < 0)
		return -ENOMEM;
	r = dump(json_pack("{s:i, s:s, s:s, s:o, s:[o]}", "schemaVersion", 2, "mediaType", TYPE_MANIFEST, "artifactType",
			   TYPE_ARTIFACT, "config", descriptor(TYPE_EMPTY, config_hex, 2), "layers", layer), &manifest);
	if (r == 0)
		r = write_blob(blobs, manifest, strlen(manifest), manifest_hex);
	if (r < 0)
		return r;
	image = descriptor(TYPE_MANIFEST, manifest_hex, strlen(manifest));
	if (image && json_object_set_new(image, "annotations", json_pack("{s:s}", "org.opencontainers.image.ref.name", tag)) < 0)
		return -ENOMEM;
	r = dump(json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests", image), &index);
	if (r == 0)
		r = write_file_at(dir, "oci-layout", layout, strlen(layout), 0644);
	return r < 0 ? r : write_file_at(dir, "index.json", index, strlen(index), 0644);
}

int oci_layout_write(const char *dir, const char *bundle, const char *tag, const char *title, struct err *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : write_all(fd, bundle, tag, title);

	return r < 0 ? err_sys(err, r, "%s", dir) : 0;
}
