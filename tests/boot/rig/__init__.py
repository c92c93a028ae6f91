# SPDX-License-Identifier: Apache-2.0
"""The boot rig: everything between `build/modulus` and a machine that booted with it.

places      where things lie              host        commands, tools that must be installed
cache       slow results, kept by key     debian      kernel and root file systems from Debian packages
vmlinux     bzImage -> ELF                initramfs   dracut, with our module and Debian's Ignition
bundles     good ones and spoilt ones     ignition    what an operator would provision
modules     the test's own, compiled      secureboot  OVMF with Secure Boot on, keys for modules
trees       the /usr and the root tree    disk        file systems, GPT, overlays
guest       QEMU                          report      what the guest said
machines    what all guests share         scenarios   the machines that the tests and the demo boot
unit_order  the units, judged unbooted    webserver   where a guest fetches from
cpio        archives for the kernel       saved       a guest that goes on from the same moment
small       the machine for that          faultboots  disks, memory, clocks and inits that fail
blocklog    what a guest wrote, in order  crashed     what a cut left in the cache
powercut    cuts, in guests and worked out
nvidia      the real driver, for a GPU that is not there
"""
