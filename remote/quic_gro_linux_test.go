package remote

import (
	"bytes"
	"encoding/binary"
	"net"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/ipv4"
)

// sendSegments sends one burst that the kernel takes for packets of a size.
func sendSegments(t *testing.T, from *net.UDPConn, to *net.UDPAddr, burst []byte, size uint16) {
	t.Helper()
	const udpSegment = 103
	control := make([]byte, syscall.CmsgSpace(2))
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = syscall.IPPROTO_UDP, udpSegment
	h.SetLen(syscall.CmsgLen(2))
	binary.NativeEndian.PutUint16(control[syscall.CmsgLen(0):], size)
	if _, _, err := from.WriteMsgUDP(burst, control, to); err != nil {
		t.Skip("this kernel segments nothing: ", err)
	}
}

func TestBurstsAreHandedOnPacketByPacket(t *testing.T) {
	packets, err := listenUDP(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packets.Close() }()
	c, ok := packets.(*groConn)
	if !ok {
		t.Skip("this kernel puts no packets together")
	}
	from, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	burst := make([]byte, 10*100+50)
	for i := range burst {
		burst[i] = byte(i / 100)
	}
	to := c.LocalAddr().(*net.UDPAddr)
	sendSegments(t, from, to, burst, 100)
	alone := []byte("a packet on its own")
	if _, err := from.WriteToUDP(alone, to); err != nil {
		t.Fatal(err)
	}
	if _, err := from.WriteToUDP(bytes.Repeat([]byte{7}, 900), to); err != nil {
		t.Fatal(err)
	}
	out := make([]ipv4.Message, 3)
	for i := range out {
		out[i].Buffers, out[i].OOB = [][]byte{make([]byte, 200)}, make([]byte, groControl)
	}
	var got [][]byte
	for len(got) < 13 {
		n, err := c.ReadBatch(out, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out[:n] {
			if m.Addr.String() != from.LocalAddr().String() {
				t.Fatalf("a packet from %v, want %v", m.Addr, from.LocalAddr())
			}
			got = append(got, bytes.Clone(m.Buffers[0][:m.N]))
		}
	}
	for i, p := range got[:11] {
		if want := burst[i*100 : min(len(burst), i*100+100)]; !bytes.Equal(p, want) {
			t.Errorf("packet %d: %d bytes of %d, want %d of %d", i, len(p), p[0], len(want), want[0])
		}
	}
	if !bytes.Equal(got[11], alone) || len(got[12]) != 200 {
		t.Errorf("then %q and %d bytes, want %q and the first 200", got[11], len(got[12]), alone)
	}
}

func TestSegmentSizeOfDamagedControlMessages(t *testing.T) {
	for _, control := range [][]byte{nil, {1}, bytes.Repeat([]byte{0xff}, 24), make([]byte, 16)} {
		if size := segmentSize(control); size != 0 {
			t.Errorf("% x: %d", control, size)
		}
	}
}
