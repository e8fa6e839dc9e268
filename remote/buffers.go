package remote

import (
	"math/bits"
	"sync"
)

// Buffers of lanes that carry large frames come from here while bytes are on their way and go back with the last frame, so that a stream
// of large messages makes no garbage and a lane that rests keeps at most readBufferMax.
var largeBuffers [largeSizes]sync.Pool

const (
	largeSizes  = 8 // readBufferMax × 2, × 4, and so on
	largeBufMin = 2 * readBufferMax
)

// largeSize is the smallest kind of buffer that holds n bytes; ok is false for what no lane carries.
func largeSize(n int) (kind int, ok bool) {
	kind = bits.Len(uint(max(n-1, 0)) / largeBufMin) //nolint:gosec // not negative
	return kind, kind < largeSizes
}

// takeLarge returns a buffer of at least n bytes, all of it.
func takeLarge(n int) []byte {
	kind, ok := largeSize(n)
	if !ok {
		return make([]byte, n)
	}
	if b, _ := largeBuffers[kind].Get().(*[]byte); b != nil {
		return *b
	}
	return make([]byte, largeBufMin<<kind)
}

// giveLarge takes back a buffer that nobody uses any more; one that is not from here is let go.
func giveLarge(b []byte) {
	b = b[:cap(b)]
	if kind, ok := largeSize(len(b)); ok && len(b) == largeBufMin<<kind {
		largeBuffers[kind].Put(&b)
	}
}
