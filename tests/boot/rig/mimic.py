# SPDX-License-Identifier: Apache-2.0
"""Four GPUs, partitions and switches, as NVIDIA's driver shows them where there is silicon; the driver is tests/modules/mimic."""

from types import SimpleNamespace

from . import disk, nvidia, small
from .machines import Usr, Workshop

GPUS = 4
# www-data and video of Debian
OWNER, MODE = (33, 44), "0660"
_DRIVER_FILE = f"""[Driver]
Version=1
Match=pci:v000010DEd*bc03sc02*
Load=nvidia nvidia-uvm nvidia-modeset
Options=nvidia NVreg_DeviceFileUID={OWNER[0]} NVreg_DeviceFileGID={OWNER[1]} NVreg_DeviceFileMode={MODE} NVreg_ModifyDeviceFiles=1
"""
_FILE = f"/etc/modulus/{nvidia.DRIVER}.conf"
# the nodes are read; then the driver comes again and may make none, and somebody else has made one
_INIT = f"""#!/usr/bin/busybox sh
bb=/usr/bin/busybox
modulus=/run/modulus/bin/modulus
report() {{
    /usr/bin/modulus-report real-root "$@"
}}
report majors $bb cat /proc/devices
report read $bb sh -c 'for node in $(find /dev -name "nvidia*" -type c); do echo "$node: $(cat "$node")"; done'
report finished $modulus finish
report cdi $bb cat /run/cdi/modulus-nvidia.json
report unload $modulus unload nvidia
report gone $bb find /dev -name 'nvidia*' -type c
report links-gone $bb ls -l /dev/char
$bb sed -i s/NVreg_ModifyDeviceFiles=1/NVreg_ModifyDeviceFiles=0/ {_FILE}
$bb mknod -m 600 /dev/nvidia0 c 195 0
report load $modulus load nvidia
report unmodified $bb find /dev -name 'nvidia*' -type c -exec $bb stat -c '%n %a %u:%g' {{}} +
report unmodified-cdi $bb cat /run/cdi/modulus-nvidia.json
exec /usr/bin/modulus-test-init
"""


def many_gpus(shop: Workshop) -> SimpleNamespace:
    room, files = shop.room("many-gpus"), shop.mimic
    made = shop.bundle_of(room, nvidia.DRIVER, files["nvidia"], more=(files["nvidia-uvm"], files["nvidia-modeset"]))
    root = small.root_image(room, shop.operator_files({nvidia.DRIVER: _DRIVER_FILE}), _INIT, more=nvidia.fake_gpu(shop))
    image = small.make_disk(room, shop.usr_image(room, "usr", Usr({nvidia.DRIVER: made}, in_tree=True)), root)
    layer = disk.overlay(image, room / "disk.qcow2")
    return SimpleNamespace(boot=nvidia.boot(shop, "many-gpus", layer, small.saved_boot(shop), f"{nvidia.INSERT} count={GPUS}"))


ALL = {scenario.__name__: scenario for scenario in (many_gpus,)}
