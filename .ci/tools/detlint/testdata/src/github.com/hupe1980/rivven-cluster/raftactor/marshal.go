package raftactor

import "google.golang.org/protobuf/proto"

type plain struct {
	state map[int]int
	Name  string  `protobuf:"1"`
	Next  []*item `protobuf:"2"`
	Of    isKind  `protobuf_oneof:"of"`
}

type item struct {
	Of *plain `protobuf:"1"`
}

type tagged struct {
	Of isOther `protobuf_oneof:"of"`
}

type tags struct {
	Tags map[string]string `protobuf:"1"`
}

type (
	isKind  interface{ isKind() }
	isOther interface{ isOther() }
)

func (*item) isKind()         {}
func (*tags) isOther()        {}
func (*plain) ProtoReflect()  {}
func (*tagged) ProtoReflect() {}

var options = proto.MarshalOptions{Deterministic: true}

func marshals(p *plain, t *tagged, m proto.Message) {
	_, _ = proto.Marshal(p)
	_, _ = proto.Marshal(t) // want `Marshal encodes maps in random order`
	_, _ = proto.Marshal(m) // want `Marshal encodes maps in random order`
	_, _ = proto.MarshalOptions{Deterministic: true}.Marshal(t)
	_, _ = options.MarshalAppend(nil, m)
	_, _ = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(nil, t) // want `MarshalAppend encodes maps in random order`
}
