// LinuxNetworking
