package ring

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Domains keep a node, a topic and a key of the same name at unrelated positions.
const (
	domainNode      = 'n'
	domainPartition = 'p'
	domainKey       = 'k'
)

const (
	headerSize = 8
	// inlineSize is the longest encoding that is hashed in one go from the stack.
	// Zeroing a larger buffer costs every lookup more than streaming costs long names.
	inlineSize = 96
)

// position hashes an eight-byte header and the name. The header is written as one
// word, because narrower writes would stall the hash's eight-byte reads.
func position[T string | []byte](domain byte, name T, index uint32) uint64 {
	if headerSize+len(name) > inlineSize {
		return streamed(domain, name, index)
	}
	var buf [inlineSize]byte
	putHeader(buf[:], domain, len(name), index)
	n := copy(buf[headerSize:], name)
	return xxhash.Sum64(buf[:headerSize+n])
}

func putHeader(buf []byte, domain byte, length int, index uint32) {
	binary.LittleEndian.PutUint64(buf, uint64(index)|uint64(length&0xffffff)<<32|uint64(domain)<<56)
}

func streamed[T string | []byte](domain byte, name T, index uint32) uint64 {
	var d xxhash.Digest
	var buf [inlineSize]byte
	d.Reset()
	putHeader(buf[:], domain, len(name), index)
	d.Write(buf[:headerSize])
	for at := 0; at < len(name); {
		n := copy(buf[:], name[at:])
		d.Write(buf[:n])
		at += n
	}
	return d.Sum64()
}
