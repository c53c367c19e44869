// NetworkAddresses
