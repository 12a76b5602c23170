#!/bin/sh
# Called by mmdebstrap, with the root directory of the guest: what its packages do not set up by themselves.
#
#     customize.sh essential ROOT     before most packages are installed
#     customize.sh finish ROOT        when all are
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$2"

if [ "$1" = essential ]; then
	# An initrd with what it takes to mount the disk, and no more.
	mkdir -p etc/initramfs-tools/conf.d usr/share/initramfs-tools/modules.d
	echo MODULES=list >etc/initramfs-tools/conf.d/vm
	printf '%s\n' virtio_pci virtio_blk ext4 >usr/share/initramfs-tools/modules.d/vm
	exit
fi

echo vm >etc/hostname
echo '127.0.0.1 localhost vm' >etc/hosts
: >etc/fstab
: >etc/machine-id
printf '%s\n' 9p 9pnet_virtio overlay fuse tun >etc/modules-load.d/vm.conf
# Nothing periodic: the clock jumps when a snapshot is resumed.
chroot . systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer getty@tty1.service serial-getty@ttyS0.service

# An ordinary user, with a user manager that has most controllers, for rootless tests.
chroot . useradd -m -s /bin/bash user
install -D /dev/null var/lib/systemd/linger/user
mkdir etc/systemd/system/user@.service.d
printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >etc/systemd/system/user@.service.d/vm.conf

install -m 644 "$here/server.py" usr/local/sbin/vm-server
cat >etc/systemd/system/vm-server.service <<-'END'
	[Service]
	ExecStart=/usr/bin/python3 /usr/local/sbin/vm-server
	Delegate=yes
	TasksMax=infinity
	Environment=HOME=/root USER=root LANG=C.UTF-8
	Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

	[Install]
	WantedBy=multi-user.target
END
chroot . systemctl -q enable vm-server.service
