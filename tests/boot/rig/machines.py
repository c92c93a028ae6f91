# SPDX-License-Identifier: Apache-2.0
"""The workshop: everything that the guests of one run share, each made once and only when first asked for."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from . import bundles, debian, disk, guest, host, ignition, initramfs, modules, places, trees
from .report import Report
from .secureboot import SecureBoot

PUBLIC_KEY = "/etc/modulus/keys/test.pub"
GPU_MATCH = "pci:v00001AF4d00001050*"
VIRTIO_GPU_MATCH = "virtio:d00000010v*"       # the same device, where a driver binds it
UUID_USR = "7130c94a-213a-4e5a-8e26-6cce9662f132"
UUID_USR_B = "e03dd35c-7c2d-4a47-b3fe-27f15780a57c"
UUID_ROOT = "5a0d1b6e-3c55-4f0b-8f0e-1c9a7e2f4d10"
UUID_VAR = "0f2d7b3c-9a4e-4c55-8f0b-6f3f2f0c7e21"
ROOT_MIB = 256
VAR_MIB = 128
SMALL_USR_MIB = 64
DEBIAN_USR_MIB = 256

ROOT_ARGUMENT = f"root=PARTUUID={UUID_ROOT}"
USR_ARGUMENTS = [f"mount.usr=PARTUUID={UUID_USR}", "mount.usrfstype=erofs", "mount.usrflags=ro"]
SMALL_INIT = "init=/usr/bin/modulus-test-init"
LONE_INIT = "init=/bin/modulus-test-init"
Made = TypeVar("Made")
ASK_SETTINGS = "modulus-test.network"    # report the settings of each network link, too
FIRST_BOOT = ["ignition.platform.id=qemu", "ignition.firstboot=1"]


def driver_file(version: str = "1", match: str = GPU_MATCH, extra: str = "") -> str:
    return f"[Driver]\nVersion={version}\nMatch={match}\n{extra}"


@dataclass
class Usr:
    """One /usr partition: which system, which in-tree modules, which bundles."""
    bundles: dict[str, Path] = field(default_factory=dict)      # name -> bundle
    in_tree: bool = False                                       # lib/modules has what the driver needs and what is live
    needs: frozenset[str] = frozenset()                         # more in-tree modules
    real: bool = False                                          # a real Debian rather than busybox
    files: dict[str, Path] = field(default_factory=dict)        # path below /usr -> what is copied there
    any_kernel: dict[str, Path] = field(default_factory=dict)   # name -> bundle that no kernel is bound to


class Workshop:
    """Thread-safe: two guests may be prepared at once."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None,
                 release: Callable[[], str] = debian.current_release):
        """`release`: of the kernel that everything is made for."""
        self.folder = folder
        self.say = say
        self._release = release
        self._lock = threading.RLock()
        self._network: dict[str, Path] = {}
        self._shared: dict[Callable, object] = {}
        self._bundles: dict[tuple, Path] = {}
        host.require_tools()
        disk.fresh_folder(folder)
        # copies: a build that runs meanwhile must not change what is tested half way
        self.programs = bundles.Programs.copied(folder)

    def shared(self, make: Callable[["Workshop"], Made]) -> Made:
        """What `make` makes of this workshop; made once, for whoever asks first."""
        with self._lock:
            if make not in self._shared:
                self._shared[make] = make(self)
            return self._shared[make]

    @cached_property
    def kernel(self) -> debian.Kernel:
        with self._lock:
            release = self._release()
            self.say(f"kernel: Debian's {release}, fetched once")
            return debian.kernel(release)

    @cached_property
    def for_other_kernel(self) -> "Workshop":
        """A workshop for another kernel of Debian's; its bundles are signed with the same key."""
        with self._lock:
            other = Workshop(self.folder / "other-kernel", self.say, lambda: debian.other_release(self.kernel.release))
            other.key = self.key
            return other

    @cached_property
    def debian(self) -> Path:
        with self._lock:
            self.say("root: a minimal Debian with systemd, made once")
            return debian.root()

    @cached_property
    def in_tree(self) -> list[Path]:
        """As on a real system: all that the GPU driver depends on, and the modules that the initramfs brought."""
        return trees.closure(self.kernel, {trees.GPU_MODULE, *initramfs.DRIVERS}, without={trees.GPU_MODULE})

    @cached_property
    def build_tree(self) -> Path:
        with self._lock:
            self.say("headers: what compiles modules for that kernel, fetched once")
            return debian.kernel_build(self.kernel.release)

    @cached_property
    def hello(self) -> Path:
        """A harmless module from outside the kernel's tree, without a signature."""
        with self._lock:
            made = modules.obtain(self.programs, self.kernel, self.build_tree, modules.HELLO, symvers=True)
            return made[modules.HELLO]

    @cached_property
    def rival(self) -> Path:
        """A module that binds the GPU and drives nothing."""
        with self._lock:
            made = modules.obtain(self.programs, self.kernel, self.build_tree, modules.RIVAL, symvers=True)
            return made["rival_gpu"]

    @cached_property
    def fake_gpu(self) -> Path:
        """A module that presents PCI devices which say that they are NVIDIA GPUs."""
        with self._lock:
            made = modules.obtain(self.programs, self.kernel, self.build_tree, modules.FAKE_GPU, symvers=True)
            return made[modules.FAKE_GPU]

    @cached_property
    def mimic(self) -> dict[str, Path]:
        """Modules that show in /proc what NVIDIA's show, by name."""
        with self._lock:
            return modules.obtain(self.programs, self.kernel, self.build_tree, modules.MIMIC, symvers=True)

    @cached_property
    def faults(self) -> dict[str, Path]:
        """Modules that misbehave, by name. One imports what the kernel does not export, so nothing is compared."""
        with self._lock:
            return modules.obtain(self.programs, self.kernel, self.build_tree, modules.FAULTS, symvers=False)

    @cached_property
    def plain_initramfs(self) -> Path:
        with self._lock:
            self.say("initramfs: dracut with the Modulus module")
            return initramfs.obtain(self.kernel, self.programs.boot, with_ignition=False)

    @cached_property
    def foreign_initramfs(self) -> Path:
        with self._lock:
            self.say("initramfs: dracut with nothing of Modulus")
            return initramfs.obtain(self.kernel, self.programs.boot, with_ignition=False, ours=False)

    @cached_property
    def ignition_initramfs(self) -> Path:
        with self._lock:
            self.say("initramfs: dracut with the Modulus module and Debian's Ignition")
            return initramfs.obtain(self.kernel, self.programs.boot, with_ignition=True)

    def added_on_initramfs(self, folder: Path) -> Path:
        """The one with nothing of Modulus, our add-on behind it."""
        add_on = folder / "add-on.cpio.zst"
        host.run(places.ADD_ON_MAKER, self.programs.boot, add_on)
        return initramfs.added_on(self.foreign_initramfs, add_on, folder / "added-on.img")

    @cached_property
    def initramfs_without_systemd(self) -> Path:
        with self._lock:
            self.say("initramfs: dracut with the Modulus module and without systemd")
            return initramfs.obtain(self.kernel, self.programs.boot, with_ignition=False, systemd=False)

    @cached_property
    def verity_initramfs(self) -> Path:
        with self._lock:
            self.say("initramfs: dracut with the Modulus module and what dm-verity needs")
            return initramfs.obtain(self.kernel, self.programs.boot, with_ignition=False, verity=True)

    def network_initramfs(self, handler: str = "networkd") -> Path:
        """The same with what fetching needs; `handler`: what brings the network up, see initramfs.NETWORK_MODULES."""
        with self._lock:
            if handler not in self._network:
                self.say(f"initramfs: the same with what fetching needs, by {handler}")
                self._network[handler] = initramfs.obtain(self.kernel, self.programs.boot, with_ignition=True, network=handler)
            return self._network[handler]

    @cached_property
    def key(self) -> bundles.KeyPair:
        with self._lock:
            return self.programs.key_pair(self.folder, "operator")

    @cached_property
    def stranger(self) -> bundles.KeyPair:
        """A key that no guest knows."""
        with self._lock:
            return self.programs.key_pair(self.folder, "stranger")

    def bundle(self, folder: Path, name: str, key: bundles.KeyPair | None = None, **options: object) -> Path:
        """A good bundle of the GPU driver, called `name`; the second of the same kind is a copy of the first."""
        key = key or self.key
        kind = (name, key, *sorted(options.items()))
        with self._lock:
            if kind not in self._bundles:
                (self.folder / "bundles").mkdir(exist_ok=True)
                self._bundles[kind] = self.programs.build(
                    self.kernel, key, self.folder / "bundles" / f"{len(self._bundles)}.tar.zst", name, **options)
            return bundles.copy(self._bundles[kind], folder / f"{name}.tar.zst")

    def bundle_of(self, folder: Path, name: str, module: Path, **options: object) -> Path:
        """A good bundle of this module file, called `name`."""
        return self.programs.build_of_module(self.kernel, self.key, folder / f"{name}.tar.zst", name, module, **options)

    def operator_files(self, drivers: dict[str, str], with_key: bool = True) -> dict[str, str]:
        """path -> text of what an operator puts on a machine."""
        files = {f"/etc/modulus/{name}.conf": text for name, text in drivers.items()}
        if with_key:
            files[PUBLIC_KEY] = self.key.public.read_text()
        return files

    def usr_image(self, folder: Path, name: str, usr: Usr) -> Path:
        """The file system of a /usr partition."""
        tree = folder / name
        in_tree = sorted({*(self.in_tree if usr.in_tree else []), *trees.closure(self.kernel, set(usr.needs), without=set())})
        if usr.real:
            trees.debian_usr(tree, self.debian, self.kernel, in_tree)
        else:
            trees.small_usr(tree, self.kernel, in_tree)
        for place, shipped in ((self.kernel.release, usr.bundles), ("any", usr.any_kernel)):
            shelf = tree / "lib" / "modulus" / "bundles" / place
            shelf.mkdir(parents=True)
            for bundle, path in shipped.items():
                bundles.copy(path, shelf / f"{bundle}.tar.zst")
        for path, source in usr.files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tree / path, follow_symlinks=False)
        image = disk.erofs(tree, folder / f"{name}.erofs")
        shutil.rmtree(tree)
        return image

    def root_image(self, folder: Path, build: Callable[[Path], Path], files: dict[str, str]) -> Path:
        """The root file system with `files` already on it."""
        tree = build(folder / "root")
        (tree / "etc" / "modulus" / "keys").mkdir(parents=True)
        for path, text in files.items():
            trees.write(tree / path.lstrip("/"), text)
        image = disk.ext4(tree, folder / "root.ext4", "ROOT", ROOT_MIB)
        shutil.rmtree(tree)
        return image

    def var_image(self, folder: Path, cached: dict[str, Path]) -> Path:
        """The file system of a /var partition: file name in the cache of this kernel -> bundle."""
        return self._bundles_image(folder, "lib/modulus/bundles", cached)

    def bundles_image(self, folder: Path, on_it: dict[str, Path]) -> Path:
        """The file system of a partition for bundles: driver -> bundle."""
        return self._bundles_image(folder, "modulus/bundles", {f"{name}.tar.zst": path for name, path in on_it.items()})

    def _bundles_image(self, folder: Path, where: str, files: dict[str, Path]) -> Path:
        tree = folder / "var"
        shelf = tree / where / self.kernel.release
        shelf.mkdir(parents=True)
        for name, path in files.items():
            bundles.copy(path, shelf / name)
        image = disk.ext4(tree, folder / "var.ext4", "VAR", VAR_MIB)
        shutil.rmtree(tree)
        return image

    def disk(self, folder: Path, name: str, usr: list[Path], root: Path, usr_type: str = disk.TYPE_USR,
             usr_mib: int = SMALL_USR_MIB, var: Path | None = None) -> Path:
        """A disk with one or two /usr partitions and a root; with a /var as well when there is an image of one."""
        partitions = [disk.Partition(label, usr_type, uuid, image, usr_mib)
                      for label, uuid, image in zip(("USR-A", "USR-B"), (UUID_USR, UUID_USR_B), usr)]
        partitions.append(disk.Partition("ROOT", disk.TYPE_ROOT, UUID_ROOT, root, ROOT_MIB))
        if var:
            partitions.append(disk.Partition("VAR", disk.TYPE_VAR, UUID_VAR, var, VAR_MIB))
        return disk.assemble(folder / f"{name}.raw", partitions)

    def boot(self, name: str, folder: Path, initrd: Path, arguments: list[str], layer: Path, gpu: bool = True,
             config: Path | None = None, secure_boot: SecureBoot | None = None, network: bool = False,
             clock: str | None = None, whole: bool = True) -> Report:
        return self.start(name, folder, initrd, [ROOT_ARGUMENT, *arguments],
                          guest.Hardware(layer, gpu, config, network, clock, secure_boot), whole)

    def start(self, name: str, folder: Path, initrd: Path, arguments: list[str], hardware: guest.Hardware,
              whole: bool = True) -> Report:
        """For a machine that is not like the others."""
        report = guest.boot(name, folder, self.kernel, initrd, arguments, hardware, whole)
        self.say(f"{name}: booted in {report.seconds:.0f} s ({report.accelerator})")
        return report

    def room(self, name: str) -> Path:
        """An empty folder for one machine."""
        return disk.fresh_folder(self.folder / name)

    def ignition_config(self, folder: Path, drivers: dict[str, str], more: dict[str, str] | None = None) -> Path:
        return ignition.write(folder / "config.ign", {**self.operator_files(drivers), **(more or {})})
