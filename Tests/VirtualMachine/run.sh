#!/bin/bash
# run.sh MACHINE COMMAND: runs `sh -c COMMAND` as root in the virtual machine that setup.sh has made in MACHINE, in the current
# directory of the host's file system, of which the machine sees everything and changes nothing. Prints what COMMAND prints, and
# ends with its exit status; with 125, and the end of the console on standard error, where the machine gave none.
#
# The machine is emulated (slower, but there everywhere), has one processor, and two network cards (virtio_net, e1000) that are connected
# to each other and nothing else: SPARE_PCI_DEVICES tells the tests. In COMMAND, /run/job is the host's directory $VM_JOB, if that is set.
#
# VM_TIMEOUT: after how many seconds the machine is switched off. VM_MEMORY: its memory.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
machine=$(cd "$1" && pwd) || exit 125
shift
limit=${VM_TIMEOUT:-600}

own=$(mktemp -d)
job=${VM_JOB:-$own}
qemu=
# shellcheck disable=SC2317 # the trap calls it
finish() {
  if [ -n "$qemu" ]; then kill -- "-$qemu" 2>/dev/null; fi
  rm -rf "$own"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

cp "$machine/root/bin/busybox" "$here/start.sh" "$job/"
rm -f "$job/status"
printf '%s\n' "$*" >"$job/command"
cat >"$job/environment" <<ENVIRONMENT
export HOME=/root PATH=$(printf %q "$PATH") SPARE_PCI_DEVICES='0000:00:10.0 0000:00:11.0'
MACHINE=$(printf %q "$machine") DIRECTORY=$(printf %q "$PWD")
ENVIRONMENT

# Unpredictable addresses would cost an emulated exec two thirds of its time. Two processors are slower than one, here.
kernel=(-kernel "$machine/vmlinux" -initrd "$machine/initrd"
  -append "console=ttyS0 quiet panic=-1 tsc=unstable norandmaps nokaslr rdinit=/init")
hardware=(-nodefaults -no-user-config -no-reboot -display none -monitor none
  -machine q35 -accel tcg -cpu max -smp 1 -m "${VM_MEMORY:-2G}" -serial "file:$own/console")
files=(-fsdev "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"
  -device "virtio-9p-pci,fsdev=host,mount_tag=host"
  -fsdev "local,id=job,path=$job,security_model=none" -device "virtio-9p-pci,fsdev=job,mount_tag=job")
output=(-device virtio-serial-pci -chardev "file,id=output,path=/proc/self/fd/1,append=on"
  -device "virtserialport,chardev=output,name=output")
cards=(-netdev "hubport,id=card0,hubid=0" -device "virtio-net-pci,netdev=card0,addr=0x10,romfile="
  -netdev "hubport,id=card1,hubid=0" -device "e1000,netdev=card1,addr=0x11,romfile=")

# A process group of its own to end. Whoever dies without having ended it (SIGKILL) takes it along all the same. The chardev
# opens its file anew: a pipe, so that nothing is overwritten where ours is a file.
exec {pipe}> >(exec cat)
reader=$!
set -m
setpriv --pdeathsig KILL timeout --foreground --kill-after=5 "$limit" setpriv --pdeathsig KILL \
  qemu-system-x86_64 "${hardware[@]}" "${kernel[@]}" "${files[@]}" "${output[@]}" "${cards[@]}" \
  </dev/null 1>&"$pipe" 2>"$own/errors" &
qemu=$!
set +m
exec {pipe}>&-
wait "$qemu"
ended=$?
qemu=
wait "$reader"
if [ -s "$job/status" ]; then exit "$(cat "$job/status")"; fi
{
  case $ended in
    124 | 137) echo "The virtual machine was switched off after $limit seconds. Its console ends:" ;;
    *) echo "The virtual machine ended without having done its job. Its console ends:" ;;
  esac
  tail -n 20 "$own/console"
  cat "$own/errors"
} >&2
exit 125
