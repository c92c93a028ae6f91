#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Test only, where the initramfs has no systemd: what there is just before the hook of 50modulus.
/usr/bin/modulus-report before
