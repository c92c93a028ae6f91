#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Test only, where the initramfs has no systemd: what there is just after it, before switch-root.
/usr/bin/modulus-report initramfs
