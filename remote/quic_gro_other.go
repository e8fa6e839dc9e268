//go:build !linux

package remote

import "net"

func listenUDP(address *net.UDPAddr) (net.PacketConn, error) { return net.ListenUDP("udp", address) }
