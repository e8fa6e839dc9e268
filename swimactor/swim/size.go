package swim

import "math/bits"

// The sizes below are those of the protobuf encoding with field numbers below
// 16, rounded up where exactness would cost: a packet filled by them never
// exceeds its budget.

func varintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// uintField is a tag and a varint.
func uintField(v uint64) int { return 1 + varintBytes(v) }

// bytesField is a tag, a length and that many bytes.
func bytesField(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + varintBytes(uint64(n)) + n
}

func (r *Record) bytes() int {
	n := uintField(r.ID) + bytesField(len(r.Directory)) + bytesField(len(r.Name)) +
		uintField(r.Generation) + uintField(r.Incarnation) +
		bytesField(len(r.Address)) + bytesField(len(r.GossipAddress)) + 2 +
		bytesField(len(r.CertificateHash)) + bytesField(len(r.Signature))
	for k, v := range r.Tags {
		n += bytesField(bytesField(len(k)) + bytesField(len(v)) + 4)
	}
	return n
}

// bytes is the size as one element of a repeated field.
func (u *Update) bytes() int {
	n := 2 + bytesField(len(u.Replaces))
	if u.Record != nil {
		n += bytesField(u.Record.bytes())
	} else {
		n += uintField(u.ID) + uintField(u.Generation) + uintField(u.Incarnation)
	}
	if len(u.Accusers) > 0 {
		packed := 0
		for _, a := range u.Accusers {
			packed += varintBytes(a)
		}
		n += bytesField(packed)
	}
	return bytesField(n)
}

// headBytes bounds a probe message without its updates: four varints and the
// choice of message around it.
const headBytes = 4*11 + 4

// DatagramBytes is the estimate of what a probe or gossip message with these
// updates takes on the wire; the true size is never above it.
func DatagramBytes(updates []Update) int {
	n := headBytes
	for i := range updates {
		n += updates[i].bytes()
	}
	return n
}
