"""make cgroup2: the tests of what a sandbox may use up, as root of a kernel with control groups of version 2 only.

A Debian kernel boots in QEMU over this machine's own files (9p, read only; /tmp, /var/tmp and /run are memory), mounts cgroup2 where
systemd does, and runs pytest. KVM is used where it works; without it the processor is emulated, and everything takes some twenty times
as long (``STRATOLITE_SLOW``). Not a part of ``make test``: it needs packages of Debian that are of no use otherwise.

usage: cgroup2.py [--folder FOLDER] [--accel kvm|tcg] [--memory-mb MB] [pytest's arguments]
needs: qemu-system-x86_64 (apt-get install qemu-system-x86), apt-get and dpkg-deb for the kernel and busybox-static, which are kept in
       FOLDER (bench/out/machines) and not installed
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ["tests/runtime/test_attacks.py", "-k", (
    "fork_bomb or full_heap or memory_that or memory_of_child or control_groups or group_has or larger_function or threads_end"
    " or full_tmp or names_in_tmp or daemon or ordinary_code"
)]  # fmt: skip
MODULES = ("virtio_pci", "9pnet_virtio", "9p")
ENDED = re.compile(r"^cgroup2: pytest ended with (\d+)", re.MULTILINE)
INIT = """#!/bin/busybox sh
export PATH=/bin:/sbin
/bin/busybox mkdir -p /sbin; /bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in {modules}; do insmod /lib/$module.ko || echo "cgroup2: no module $module"; done
mkdir /machine
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 machine /machine || {{ echo 'cgroup2: no files'; busybox poweroff -f; }}
for folder in tmp run var/tmp; do mount -t tmpfs -o size=80% tmp /machine/$folder; done
mount --move /proc /machine/proc; mount --move /sys /machine/sys; mount --move /dev /machine/dev
mkdir -p /machine/dev/shm /machine/dev/pts
mount -t tmpfs shm /machine/dev/shm; mount -t devpts pts /machine/dev/pts
mount -t cgroup2 -o nsdelegate cgroup2 /machine/sys/fs/cgroup
ifconfig lo 127.0.0.1 up
hostname machine
chmod 1777 /machine/tmp
{groups}
cat > /machine/run/test <<'END'
cd {root}
export HOME=/tmp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 {environment}
{python} -m pytest -q -n 0 -p no:cacheprovider {arguments}
echo "cgroup2: pytest ended with $?"
END
chroot /machine /bin/sh /run/test
sync
busybox poweroff -f
"""
# As systemd leaves it: whoever logs in is in a scope of a slice that hands its controllers down.
GROUPS = """
cd /machine/sys/fs/cgroup
echo "cgroup2: controllers $(cat cgroup.controllers)"
echo '+memory +pids +cpu' > cgroup.subtree_control
mkdir -p user.slice/session-1.scope
echo '+memory +pids' > user.slice/cgroup.subtree_control
echo $$ > user.slice/session-1.scope/cgroup.procs
cd /
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "bench" / "out" / "machines")
    parser.add_argument("--accel", choices=("kvm", "tcg"))
    parser.add_argument("--memory-mb", type=int, default=3072)
    said, arguments = parser.parse_known_args()
    if shutil.which("qemu-system-x86_64") is None:
        print(
            "cgroup2: qemu-system-x86_64 is not on this machine: apt-get install --no-install-recommends qemu-system-x86"
        )
        return 2
    accel = said.accel or ("kvm" if has_kvm() else "tcg")
    said.folder.mkdir(parents=True, exist_ok=True)
    kernel, modules = the_kernel(said.folder)
    words = arguments or [*TESTS, "-rs", "--durations=5", "--color=no", "-v", "--timeout=900"]
    environment = "STRATOLITE_SLOW=10" if accel == "tcg" else ""
    initramfs = said.folder / "initramfs"
    names = [path.stem for path in modules]
    init = INIT.format(
        modules=" ".join(names), groups=GROUPS, root=shlex.quote(str(ROOT)),
        python=shlex.quote(f"{ROOT}/.venv/bin/python"), environment=environment, arguments=shlex.join(words),
    )  # fmt: skip
    files = {"init": (0o755, init.encode()), "bin/busybox": (0o755, busybox(said.folder))}
    files |= {f"lib/{path.stem}.ko": (0o644, path.read_bytes()) for path in modules}
    initramfs.write_bytes(gzip.compress(b"".join(archive(files)), 1))
    command = [
        "qemu-system-x86_64", "-accel", accel, "-cpu", "host" if accel == "kvm" else "max", "-smp", "1", "-m", str(said.memory_mb),
        "-kernel", str(kernel), "-initrd", str(initramfs), "-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all",
        "-virtfs", "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap",
        "-nographic", "-no-reboot", "-net", "none", "-nodefaults", "-serial", "stdio",
    ]  # fmt: skip
    print(f"cgroup2: {kernel.name}, {accel}, {shlex.join(words)}", flush=True)
    text = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as machine:
        assert machine.stdout is not None
        for line in machine.stdout:
            shown = line.decode(errors="replace").rstrip("\r\n")
            text += shown + "\n"
            print(shown, flush=True)
    ended = ENDED.search(text)
    return int(ended[1]) if ended else 1


def has_kvm() -> bool:
    """Whether the processor helps. Inside a virtual machine /dev/kvm may be there without, and a machine made with it stands still."""
    flags = re.search(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    helps = flags is not None and not {"vmx", "svm"}.isdisjoint(flags[1].split())
    return helps and os.access("/dev/kvm", os.R_OK | os.W_OK)


# -- the kernel


def the_kernel(folder: Path) -> tuple[Path, list[Path]]:
    """Debian's kernel and its modules for us, in the order they are loaded."""
    if not (kernels := sorted(folder.glob("kernel/boot/vmlinuz-*"))):
        depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True).stdout  # fmt: skip
        found = re.search(r"Depends: (linux-image-[\w.+-]+)", depends)
        assert found, "apt-cache knows no linux-image-amd64; apt-get update?"
        unpacked(folder, found[1], "kernel")
        kernels = sorted(folder.glob("kernel/boot/vmlinuz-*"))
    release = kernels[-1].name.removeprefix("vmlinuz-")
    there = {
        path.stem.replace("-", "_"): path
        for path in folder.glob(f"kernel/lib/modules/{release}/**/*.ko")
    }
    order: dict[str, Path] = {}

    def add(name: str) -> None:
        path = there.get(name.replace("-", "_"))
        if path is None:
            return  # built in
        found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for before in found[1].decode().split(",") if found else ():
            if before:
                add(before)
        order[name] = path

    for name in MODULES:
        add(name)
    return kernels[-1], list(order.values())


def busybox(folder: Path) -> bytes:
    path = folder / "busybox" / "bin" / "busybox"
    if not path.exists():
        unpacked(folder, "busybox-static", "busybox")
    return path.read_bytes()


def unpacked(folder: Path, package: str, name: str) -> None:
    """A package of Debian's beside the installed ones."""
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
    (archive,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, folder / name], check=True)
    archive.unlink()


def archive(files: dict[str, tuple[int, bytes]]) -> Iterator[bytes]:
    """A cpio archive (newc) with the folders that ``files`` are in.

    https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
    """
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [(name, 0o040755, b"") for name in [*folders, "proc", "sys", "dev"]]
    entries += [(name, 0o100000 | mode, data) for name, (mode, data) in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    for number, (name, mode, data) in enumerate(entries, 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = (
            b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
        )
        yield head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


if __name__ == "__main__":
    sys.exit(main())
