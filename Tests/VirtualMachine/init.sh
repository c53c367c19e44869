#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the virtual machine, in its initrd: makes the host's root file system its own, read-only, with the changes
# in memory; goes on with start.sh there. The host's directory "job" (see run.sh) is /run/job, writable.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $bb insmod "$module"; done

options=trans=virtio,version=9p2000.L,msize=512000
$bb mount -t tmpfs -o size=75% tmpfs /changes
$bb mkdir /changes/upper /changes/work
$bb mount -t 9p -o ro,$options,cache=loose host /lower
$bb mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work overlay /new || $bb poweroff -f

$bb mount -t proc proc /new/proc
$bb mount -t sysfs sysfs /new/sys
$bb mount --move /dev /new/dev
$bb mount -t tmpfs -o mode=755 tmpfs /new/run
$bb mkdir -p /new/run/job /new/run/lock /new/dev/pts /new/dev/shm /new/dev/net
$bb mount -t devpts -o mode=600,ptmxmode=666 devpts /new/dev/pts
$bb mount -t tmpfs tmpfs /new/dev/shm
$bb mount -t 9p -o $options,cache=none job /new/run/job
# There is no udev: what it would make.
[ -e /new/dev/net/tun ] || $bb mknod /new/dev/net/tun c 10 200
$bb ln -sf /proc/self/fd /new/dev/fd
for stream in stdin:0 stdout:1 stderr:2; do $bb ln -sf "/proc/self/fd/${stream#*:}" "/new/dev/${stream%:*}"; done
exec $bb switch_root /new /run/job/busybox sh /run/job/start.sh
