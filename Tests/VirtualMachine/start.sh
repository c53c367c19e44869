# shellcheck shell=dash source=/dev/null
# The virtual machine's second stage, in its final root file system: runs the job, /run/job/command, and switches off.
# /run/job/environment says where; what the job prints goes to the port "output", its exit status to /run/job/status.
bb=/run/job/busybox
. /run/job/environment
$bb mount -t cgroup2 cgroup2 /sys/fs/cgroup
$bb mount -t debugfs debugfs /sys/kernel/debug
$bb mkdir -p /lib/modules
$bb ln -sfn "$MACHINE/root/lib/modules/$($bb uname -r)" "/lib/modules/$($bb uname -r)"
echo "$MACHINE/modprobe" >/proc/sys/kernel/modprobe
"$MACHINE/modprobe" -a virtio_net e1000
$bb hostname vm
$bb ip link set lo up

for port in /sys/class/virtio-ports/*; do
  [ "$($bb cat "$port/name")" = output ] && output=/dev/${port##*/}
done
{
  cd "$DIRECTORY" && /bin/sh /run/job/command </dev/null
  echo $? >/run/job/status
} 2>&1 | $bb cat >"$output"
$bb poweroff -f
