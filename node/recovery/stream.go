package recovery

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"time"

	"github.com/hupe1980/rivven-cluster/raftactor"
)

// A backup is the magic, then frames: kind (1) · length of the body (4) · CRC-32C over number, kind and body (4) · body, in little endian.
// A frame's number is its place in the stream, so none can be missing, repeated or out of order. They come as
//
//	head (group data* sum)* end
//
// Bodies of head, group, sum and end are JSON.
const (
	streamMagic  = "RVBACK01"
	streamFormat = 1
	frameHead    = 9
	maxFrame     = 1 << 20
	maxJSON      = 256 << 10
)

type frameKind byte

const (
	frameHeadKind frameKind = 1
	frameGroup    frameKind = 2
	frameData     frameKind = 3
	frameSum      frameKind = 4
	frameEnd      frameKind = 5
)

var (
	frameTable = crc32.MakeTable(crc32.Castagnoli)
	dataTable  = crc64.MakeTable(crc64.ECMA)
)

// ErrDamaged: the stream is no backup, was cut off, or is not what was written.
var ErrDamaged = errors.New("backup is damaged")

// ErrNewerFormat: a later version wrote it.
var ErrNewerFormat = errors.New("newer format")

// Head says whose backup a stream is.
type Head struct {
	Format      int       `json:"format"`
	ClusterID   string    `json:"cluster_id"`
	ClusterName string    `json:"cluster_name,omitempty"`
	NodeID      uint64    `json:"node_id"` // that it was taken on
	Created     time.Time `json:"created"`
}

// GroupHead is one group's snapshot in a stream.
type GroupHead struct {
	Group    string   `json:"group"`
	Index    uint64   `json:"index"` // all entries up to it are in the state
	Term     uint64   `json:"term"`
	Size     uint64   `json:"size"`
	Checksum uint64   `json:"checksum,string"` // CRC-64/ECMA of the data
	Voters   []Member `json:"voters"`          // when it was taken; a restore has others
}

// Member is one replica of a group.
type Member struct {
	NodeID  uint64 `json:"node_id"`
	Replica uint64 `json:"replica,string"`
	Address string `json:"address"`
}

func members(peers []raftactor.Peer) []Member {
	out := make([]Member, 0, len(peers))
	for _, p := range peers {
		out = append(out, Member(p))
	}
	return out
}

// Summary is what a whole, checked stream holds.
type Summary struct {
	Head
	Groups []GroupHead `json:"groups"`
	Bytes  uint64      `json:"bytes"` // of all groups' data
}

type sumBody struct {
	Size     uint64 `json:"size"`
	Checksum uint64 `json:"checksum,string"`
}

type endBody struct {
	Groups int    `json:"groups"`
	Bytes  uint64 `json:"bytes"`
}

func frameSumOf(number uint64, kind frameKind, body []byte) uint32 {
	head := append(binary.LittleEndian.AppendUint64(nil, number), byte(kind))
	return crc32.Update(crc32.Checksum(head, frameTable), frameTable, body)
}
