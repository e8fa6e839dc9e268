package storetest

import "fmt"

// SectorBytes is what a disk writes in one piece.
const SectorBytes = 512

// Tape records what a store does to a file, and tells what a power failure may leave of it. It is not safe for concurrent use.
type Tape struct {
	base   []byte // the file when the recording began, durable
	events []tapeEvent
}

// tapeEvent is a write, or a sync where data is nil.
type tapeEvent struct {
	at   int64
	data []byte
}

// NewTape begins with what the file holds, all of it durable.
func NewTape(file []byte) *Tape { return &Tape{base: append([]byte(nil), file...)} }

// Write records that data was written at an offset, which must be that of a sector.
func (t *Tape) Write(data []byte, at int64) {
	if at%SectorBytes != 0 || len(data) == 0 {
		panic(fmt.Sprintf("storetest: write of %d bytes at %d: a tape holds whole sectors", len(data), at))
	}
	t.events = append(t.events, tapeEvent{at: at, data: append([]byte(nil), data...)})
}

// Sync records that all writes so far are durable.
func (t *Tape) Sync() { t.events = append(t.events, tapeEvent{}) }

// Len is how many writes and syncs were recorded: the points at which power may fail are 0 to Len.
func (t *Tape) Len() int { return len(t.events) }

// Image returns the file as a power failure after the first n events may leave it: what was synced is there. Of what was not,
// keep says for each sector of each write, in the order of the writes, whether it reached the disk.
func (t *Tape) Image(n int, keep func() bool) []byte {
	durable := 0
	for i, e := range t.events[:n] {
		if e.data == nil {
			durable = i
		}
	}
	image := append([]byte(nil), t.base...)
	for i, e := range t.events[:n] {
		for from := 0; from < len(e.data); from += SectorBytes {
			if i < durable || keep() {
				image = overwrite(image, e.data[from:min(from+SectorBytes, len(e.data))], e.at+int64(from))
			}
		}
	}
	return image
}

func overwrite(image, data []byte, at int64) []byte {
	if end := at + int64(len(data)); end > int64(len(image)) {
		image = append(image, make([]byte, end-int64(len(image)))...)
	}
	copy(image[at:], data)
	return image
}
