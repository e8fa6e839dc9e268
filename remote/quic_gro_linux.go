package remote

import (
	"encoding/binary"
	"net"
	"syscall"

	"golang.org/x/net/ipv4"
)

const (
	udpGRO      = 104      // UDP_GRO of linux/udp.h, since Linux 5.0
	groBytes    = 64 << 10 // what the kernel puts together at most
	groMessages = 4        // read with one system call
	groControl  = 128
)

// groConn reads from a UDP socket what the kernel put together from packets of one flow, and hands it on packet by
// packet. QUIC's cost is its system calls: a burst that was sent with one then takes one to receive, and on
// loopback the kernel need not cut it up at all. One goroutine reads.
type groConn struct {
	*net.UDPConn
	batch    *ipv4.PacketConn
	messages []ipv4.Message
	read     []ipv4.Message // of messages, those that were not handed on to their end
	rest     []byte         // of the first of read
	segment  int            // bytes of a packet in rest
}

// listenUDP opens a socket; where the kernel can't put packets together it is a plain one.
func listenUDP(address *net.UDPAddr) (net.PacketConn, error) {
	conn, err := net.ListenUDP("udp", address)
	if err != nil {
		return nil, err
	}
	if !putTogether(conn) {
		return conn, nil
	}
	c := &groConn{UDPConn: conn, batch: ipv4.NewPacketConn(conn), messages: make([]ipv4.Message, groMessages)}
	for i := range c.messages {
		c.messages[i].Buffers = [][]byte{make([]byte, groBytes)}
		c.messages[i].OOB = make([]byte, groControl)
	}
	return c, nil
}

// putTogether asks the kernel for it.
func putTogether(conn *net.UDPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpGRO, 1)
	})
	return err == nil && refused == nil
}

// ReadBatch is what quic-go reads with; it waits for the first packet. A packet that is longer than its buffer is cut
// off, as the kernel does.
func (c *groConn) ReadBatch(out []ipv4.Message, flags int) (int, error) {
	for len(c.read) == 0 {
		n, err := c.batch.ReadBatch(c.messages, flags)
		if err != nil {
			return 0, err
		}
		c.read = c.messages[:n]
		c.next()
	}
	n := 0
	for ; n < len(out) && len(c.read) > 0; n++ {
		m := &c.read[0]
		packet := c.rest[:min(c.segment, len(c.rest))]
		out[n].N = copy(out[n].Buffers[0], packet)
		out[n].NN = copy(out[n].OOB, m.OOB[:m.NN])
		out[n].Addr, out[n].Flags = m.Addr, m.Flags
		if c.rest = c.rest[len(packet):]; len(c.rest) == 0 {
			c.read = c.read[1:]
			c.next()
		}
	}
	return n, nil
}

// next turns to the first of what was read.
func (c *groConn) next() {
	if len(c.read) == 0 {
		return
	}
	m := &c.read[0]
	c.rest = m.Buffers[0][:m.N]
	if c.segment = segmentSize(m.OOB[:m.NN]); c.segment <= 0 {
		c.segment = max(m.N, 1)
	}
}

// segmentSize is what the kernel says of packets that it put together, 0 for a packet as it came.
func segmentSize(control []byte) int {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == syscall.IPPROTO_UDP && m.Header.Type == udpGRO && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}
