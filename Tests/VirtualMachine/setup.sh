#!/bin/bash
# setup.sh DIR: makes the virtual machine that run.sh starts, from Debian's own kernel package. Does nothing where it is made
# already. Nothing is installed, and no package's script runs.
#
#   DIR/release         the kernel's release
#   DIR/vmlinux         the kernel, unpacked: emulated, unpacking it at each start takes longer than all the rest
#   DIR/initrd          init.sh, busybox and the modules that lead to the root file system
#   DIR/root/           those parts of the packages that are used: modules, busybox, kmod
#   DIR/modprobe        what the kernel calls to load a module
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)

# Made by these very scripts, and complete: the stamp comes last.
stamp=$(cat "$here/setup.sh" "$here/init.sh" "$here/unpack-kernel.py" | sha256sum)
if [ "$stamp" = "$(cat "$directory/stamp" 2>/dev/null)" ]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$directory" -mindepth 1 -delete

fetch() { # PACKAGE...: into $work
  (cd "$work" && apt-get download -q -o APT::Sandbox::User="$(id -un)" "$@" >"$work/apt.log" 2>&1)
}
kernel_package() { apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends:/ { print $2; exit }'; }

echo "fetching a kernel for tests into $directory" >&2
package=$(kernel_package)
# The lists may be missing or too old, as in Scripts/require.sh.
if [ -z "$package" ] || ! fetch "$package" busybox-static kmod libkmod2; then
  apt-get update -q >/dev/null
  package=$(kernel_package)
  fetch "$package" busybox-static kmod libkmod2 || { cat "$work/apt.log" >&2 && exit 1; }
fi
release=${package#linux-image-}

for file in "$work"/*.deb; do dpkg-deb -x "$file" "$work/all"; done
mkdir "$directory/root"
cd "$directory"
# Of the modules, a tenth: network, what that stands on, and what takes a network card from it.
modules=lib/modules/$release
for part in bin/busybox bin/kmod usr/lib/x86_64-linux-gnu "$modules"/modules.{order,builtin,builtin.modinfo} \
  "$modules"/kernel/{arch,crypto,lib,net} "$modules"/kernel/drivers/{char,net,pps,ptp,uio,vhost,virtio} \
  "$modules"/kernel/fs/{9p,fscache,netfs,overlayfs}; do
  [ -e "$work/all/$part" ] || continue # where releases differ; what is missed is missed below
  mkdir -p "root/${part%/*}"
  cp -a "$work/all/$part" "root/$part"
done
rm -rf "root/$modules/kernel/drivers/net/wireless"

for tool in modprobe depmod; do
  {
    echo '#!/bin/bash'
    printf 'export LD_LIBRARY_PATH=%q\n' "$directory/root/usr/lib/x86_64-linux-gnu"
    printf 'exec -a %s %q "$@"\n' $tool "$directory/root/bin/kmod"
  } >$tool
  chmod +x $tool
done
./depmod -b root "$release"
python3 "$here/unpack-kernel.py" "$work/all/boot/vmlinuz-$release" vmlinux
rm depmod

# In the order in which they have to be loaded.
mkdir -p "$work/initrd"/{bin,dev,proc,sys,modules,lower,changes,new}
cp root/bin/busybox "$work/initrd/bin/busybox"
install -m 755 "$here/init.sh" "$work/initrd/init"
needed=()
for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
  line=$(grep -m 1 "/$module\.ko:" "root/$modules/modules.dep")
  read -r -a files <<<"${line/:/}"
  # modules.dep names the module, then what it needs, the nearest first.
  for ((i = ${#files[@]} - 1; i >= 0; i--)); do
    case " ${needed[*]} " in *" ${files[i]} "*) ;; *) needed+=("${files[i]}") ;; esac
  done
done
number=100
for file in "${needed[@]}"; do
  cp "root/$modules/$file" "$work/initrd/modules/$((number++))-${file##*/}"
done
(cd "$work/initrd" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null) >initrd
echo "$release" >release
echo "$stamp" >stamp
