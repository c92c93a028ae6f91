/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.h - everything that an outsider could grow has its bound here: value, unit, reason.
 * docs/bundle.md and modulus.conf(5) repeat them; a test stands just below and just above each.
 */
#ifndef MODULUS_LIMIT_H
#define MODULUS_LIMIT_H

/* --- bundle --- */
/* A manifest names 4,096 files at most, about 200 bytes each. */
#define LIMIT_MANIFEST_BYTES (1u << 20)
/* '{', '[' and ',' outside strings: each may cost 250 bytes once parsed. The largest in reach has 45,000. */
#define LIMIT_MANIFEST_MARKS 65536u
/* Eight minisign signatures with comments of 1 KiB. */
#define LIMIT_SIGNATURES_BYTES (16u << 10)
#define LIMIT_SIGNATURES 8u
/* A chunk is held whole, stored and decompressed, before a byte of it is used. */
#define LIMIT_CHUNK_BYTES (4u << 20)
/* What a decoder that streams must keep; zstd's level 19 uses no more. */
#define LIMIT_WINDOW_BYTES (8u << 20)
#define LIMIT_FILES 4096u
#define LIMIT_LINKS 4096u
/* The tar of one bundle: the largest runtime (libraries) in use is below 1 GiB. */
#define LIMIT_UNPACKED_BYTES (2ull << 30)
/* ustar holds 255; the rest is for the directory it is unpacked into. */
#define LIMIT_PATH_BYTES 200u
/* Directories of a path that is walked by us (walk.h): a path of LIMIT_PATH_BYTES has half as many. */
#define LIMIT_WALK_DEPTH 128u
/* One name: driver, flavour, module. MODULE_NAME_LEN of the kernel is 56. */
#define LIMIT_NAME_BYTES 64u
/* utsname fields are 65 bytes with the NUL. */
#define LIMIT_RELEASE_BYTES 64u
#define LIMIT_VERMAGIC_BYTES 256u
#define LIMIT_LOAD_NAMES 64u
/* NVIDIA's drivers name 400 to 1,000 devices; grouped by the first digits of their numbers 120 to 250 globs. */
#define LIMIT_MATCH_GLOBS 512u
#define LIMIT_GLOB_BYTES 256u
/* The kernel takes a page of parameters for each module. */
#define LIMIT_OPTION_BYTES 4096u
#define LIMIT_OPTIONS 64u
/* GNU build-ids are 20 bytes (sha1); lld can write 8 to 32. */
#define LIMIT_BUILD_ID_BYTES 32u

/* --- keys --- */
/* A minisign public key file is about 120 bytes. */
#define LIMIT_KEY_FILE_BYTES 4096u
#define LIMIT_KEYS 64u
/* A thousand revoked key ids with comments. */
#define LIMIT_REVOKED_BYTES (64u << 10)

/* --- building --- */
/* Directories below each other where modules are looked for; kernel trees have 9. */
#define LIMIT_TREE_DEPTH 16u
/* Docker's overlay2 driver takes no more. */
#define LIMIT_LAYERS 128u
/* An image's index or manifest; registries take no more (distribution-spec, "Pushing Manifests"). */
#define LIMIT_IMAGE_JSON_BYTES (4u << 20)

/* --- configuration --- */
#define LIMIT_CONFIG_BYTES (64u << 10)
#define LIMIT_DRIVERS 32u
#define LIMIT_SOURCES 16u
#define LIMIT_DRIVER_GLOBS 64u
/* Flavours of one driver, each a question at each network source; NVIDIA's has two. */
#define LIMIT_FLAVORS 8u
#define LIMIT_BUILD_WORDS 64u
/* Lines that are not understood and said, for one file; all of them would be a report of megabytes. */
#define LIMIT_WARNINGS 16u
/* COMMAND_LINE_SIZE is 2,048 on x86 and arm64; some architectures allow 4,096. */
#define LIMIT_CMDLINE_BYTES (16u << 10)

/* --- looking for bundles --- */
/* Bundles that are looked at for one driver in each place; and good ones in all local places together. */
#define LIMIT_CANDIDATES 64u
/* Files of which it is remembered for the other drivers whose they are: 16 for each. */
#define LIMIT_SEEN 1024u

/* --- network --- */
/* curl itself stops at 100 KiB for one line; a registry sends about 1 KiB in all. */
#define LIMIT_HTTP_HEADER_BYTES (64u << 10)
#define LIMIT_HTTP_REDIRECTS 5u
#define LIMIT_HTTP_CONNECT_US (10ull * 1000000)
#define LIMIT_HTTP_HEADERS_US (10ull * 1000000)
/* Slower than this over a window is no transfer: 40 MB of firmware would take 20 minutes. */
#define LIMIT_HTTP_RATE (32u << 10)
#define LIMIT_HTTP_WINDOW_US (15ull * 1000000)
/* From the first packet to a default route: DHCP servers and switch ports take up to 30 s. */
#define LIMIT_NETWORK_US (45ull * 1000000)
/* A card's driver may load late; without any card nobody has to wait for the time above. */
#define LIMIT_NETWORK_CARD_US (5ull * 1000000)
/*
 * IPv6 routers answer before DHCP servers do, which may try an address first, as clients do (RFC 5227: up
 * to 7 s): how long an IPv6 route alone is not enough.
 */
#define LIMIT_NETWORK_IPV4_US (10ull * 1000000)
/* Attempts at one source, the first included. */
#define LIMIT_HTTP_ATTEMPTS 4u
/* Debian's ca-certificates.crt is 220 KB. */
#define LIMIT_CA_BYTES (4u << 20)
/* A registry's manifest or token. One of ours has 1 KiB; parsed JSON is up to 80 times its text. */
#define LIMIT_OCI_DOCUMENT_BYTES (64u << 10)
#define LIMIT_URL_BYTES 2048u

/* --- loading --- */
/* Depth of module dependencies; the deepest chain of a Debian 6.1 kernel is 9. */
#define LIMIT_MODULE_DEPTH 16u
/* Time for one module's init, unless the driver's budget ends earlier. */
#define LIMIT_INSERT_US (60ull * 1000000)
/* Budget= of a driver when the file does not say. */
#define DEFAULT_BUDGET_US (60ull * 1000000)
/*
 * What the search for firmware leaves of Budget= to the modules, or half of what is left where that is less: a server that
 * stalls must not cost the driver.
 */
#define LIMIT_FIRMWARE_LEAVES_US (10ull * 1000000)
/* Timeout= of [Build] when the file does not say: NVIDIA's open modules take 10 minutes on two cores. */
#define DEFAULT_BUILD_US (30ull * 60 * 1000000)
/* From SIGTERM to SIGKILL for a command that did not end in its time. */
#define LIMIT_BUILD_END_US (5ull * 1000000)
/* How long boot waits for udev to have handled the devices that are there. */
#define LIMIT_SETTLE_US (10ull * 1000000)
/* Memory that stays free for the rest of the boot, beside what a bundle unpacks to and the kernel's copy of it. */
#define LIMIT_MEMORY_RESERVE_BYTES (32ull << 20)
/* About 1.5 KiB on a large machine. */
#define LIMIT_MEMINFO_BYTES (64u << 10)
/* Attempts in which the machine went down before a bundle is blocked; boot counting's usual three. */
#define LIMIT_TRIAL_MISSES 3u
/* Everything that boot does, unless one driver's Budget= alone is longer. */
#define LIMIT_RUN_US (300ull * 1000000)
/* The longest in Debian's modules.alias, of a dmi: one, has 180 bytes; the kernel takes any. */
#define LIMIT_ALIAS_BYTES 512u
/* Aliases of one driver's modules that modprobe is told of; amdgpu has about 700, nvidia 4. */
#define LIMIT_MODPROBE_ALIASES 4096u
/* A rival's remove function; nouveau with a frame buffer console takes about a second. */
#define LIMIT_UNBIND_US (10ull * 1000000)
/* A driver's exit on somebody's word, which stops all of its GPUs, one after another. */
#define LIMIT_REMOVE_US (60ull * 1000000)
/* systemctl --no-block returns once the job is queued. */
#define LIMIT_SYSTEMCTL_US (5ull * 1000000)
/* Kernel messages kept for the report of a failed insert. */
#define LIMIT_KERNEL_LOG_LINES 20u

/* Gate= of a driver: longer than this is "yes". */
#define LIMIT_GATE_US (30ull * 86400 * 1000000)

/* How long boot waits for a run that is under way, before it goes on beside it. */
#define LIMIT_LOCK_US (10ull * 1000000)
/* The same for commands that somebody gave, before they fail: another transfer may be under way. */
#define LIMIT_LOCK_COMMAND_US (300ull * 1000000)
/* How long who writes status.json waits for another one, who has it for reading and writing a file in memory. */
#define LIMIT_LOCK_STATUS_US (2ull * 1000000)

/* --- nodes that no driver announces --- */
/* /proc/devices: 512 majors with names of 64 bytes at most; about 600 bytes on a server. */
#define LIMIT_DEVICES_BYTES (64u << 10)
/* One of NVIDIA's files in /proc; the longest, params, has about 2 KiB. */
#define LIMIT_NVIDIA_FILE_BYTES (16u << 10)
/* 32 GPUs in seven partitions each, with their compute instances, are 480 and the few that are no GPU's. */
#define LIMIT_NVIDIA_NODES 512u
/* capabilities/gpu0/mig/gi0/ci0/access has four directories. */
#define LIMIT_NVIDIA_DEPTH 4u

/* --- specifications for container engines --- */
/* One of eight GPUs with every library has 60 KiB, and 500 bytes more for each name of a device. */
#define LIMIT_CDI_BYTES (1u << 20)
/* Specifications of others that are looked at in one directory; there is one for each vendor and class. */
#define LIMIT_CDI_FILES 256u
/* The driver serves 32 GPUs (NV_MAX_DEVICES). */
#define LIMIT_CDI_GPUS 64u
/* A driver has 60 libraries; each is mounted in two directories by two names on average. */
#define LIMIT_CDI_MOUNTS 1024u
/* usr/lib/x86_64-linux-gnu/nvidia/current/vdpau has four directories below usr. */
#define LIMIT_CDI_DEPTH 6u

/* --- user space of a driver --- */
/*
 * Finding, unpacking and flushing it, network included, while containers wait; or the driver's Budget= where
 * that is more. 400 MB at 2 MB/s.
 */
#define LIMIT_RUNTIME_US (200ull * 1000000)
/* ldconfig reads every library of the host: two seconds on a slow disk. */
#define LIMIT_LDCONFIG_US (30ull * 1000000)
/* restorecon looks at some hundred files of ours: a second on a slow disk. */
#define LIMIT_RESTORECON_US (15ull * 1000000)
/* systemd-sysext waits for nobody; its merge is a few mounts. */
#define LIMIT_SYSEXT_US (30ull * 1000000)
/* Directories below each other in a tree that is removed: a path of LIMIT_PATH_BYTES has half as many. */
#define LIMIT_REMOVE_DEPTH (LIMIT_PATH_BYTES / 2 + 2)
/* A node with 10,000 mounts has 3 MB. */
#define LIMIT_MOUNTINFO_BYTES (16u << 20)
/* One for each container, 500 pods of three, and for each service of systemd that has its own. */
#define LIMIT_MOUNT_NAMESPACES 4096u

/* --- the next kernel --- */
/* Debian's vmlinux is 45 MiB; a kernel with everything built in is below 200. */
#define LIMIT_KERNEL_IMAGE_BYTES (512u << 20)
/* What its decompressor may keep: a kernel's xz has a dictionary of 32 MiB, its zstd a window of 2^27. */
#define LIMIT_XZ_BYTES (256u << 20)
#define LIMIT_ZSTD_WINDOW_LOG 27
/* A boot loader's entry: the kernel's command line and a few words. */
#define LIMIT_BOOT_ENTRY_BYTES (16u << 10)
#define LIMIT_BOOT_ENTRIES 128u
/* Debian's grub.cfg has about 1 KiB for each kernel, and two entries in a submenu of the top menu. */
#define LIMIT_GRUB_CFG_BYTES (512u << 10)
#define LIMIT_GRUB_ENTRIES 512u
#define LIMIT_GRUB_DEPTH 8u
/* GRUB's environment block has 1 KiB; it can be made with more. */
#define LIMIT_GRUBENV_BYTES (64u << 10)
/* An EFI variable with the name of an entry, in UTF-16. */
#define LIMIT_EFI_VARIABLE_BYTES 1024u
/* ostree's record of a staged deployment: the kernel's command line and a few words. */
#define LIMIT_STAGED_BYTES (64u << 10)
/* Partitions of one disk that could hold /usr: A, B, and what is being tried out. */
#define LIMIT_SLOTS 16u
/* Block devices below each other: /usr on verity, on a partition. */
#define LIMIT_SLAVES 4u

/* --- state --- */
#define LIMIT_STATUS_BYTES (1u << 20)
/* A mark or a trial: digests, a release, a few numbers. */
#define LIMIT_STATE_BYTES 4096u
/* Free space that the cache leaves to others: 64 MiB, and 5 % of the file system. */
#define CACHE_RESERVE_BYTES (64ull << 20)
#define CACHE_RESERVE_PERCENT 5u
/* More than a cache of all kernels and drivers that a machine ever had. */
#define LIMIT_CACHE_FILES 4096u
/* Kernels that are looked after: installed ones, and those that something is cached for. */
#define LIMIT_KERNELS 64u
/* Kernels that are neither running nor next nor installed, whose bundles are kept: blessed ones, to go back to. */
#define CACHE_BLESSED_KERNELS 2u
/* And those that somebody fetched for by name. */
#define CACHE_OTHER_KERNELS 2u
/* Bundles that are kept of one driver for one kernel: the one in use, and one to go back to. */
#define CACHE_KEEP_BUNDLES 2u
/* Damaged files of the cache that are kept for whoever wants to look at them. */
#define CACHE_QUARANTINE_FILES 4u
#define CACHE_QUARANTINE_BYTES (64ull << 20)

#endif
