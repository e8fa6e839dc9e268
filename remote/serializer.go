package remote

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/hupe1980/rivven-cluster/actors"
)

// Serializer encodes messages that are no proto.Message. Its methods are called from many goroutines.
type Serializer interface {
	Serialize(msg any) ([]byte, error)
	Deserialize(typeName string, bytes []byte) (any, error)
	// GetTypeName names the message's type; an error means that this serializer doesn't know it.
	GetTypeName(msg any) (string, error)
}

// classes maps message types to their default delivery class. Reads take no lock.
type classes struct {
	mu     sync.Mutex
	byType atomic.Pointer[map[reflect.Type]actors.Class]
}

func (c *classes) set(class actors.Class, message any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[reflect.Type]actors.Class)
	if old := c.byType.Load(); old != nil {
		maps.Copy(next, *old)
	}
	next[reflect.TypeOf(message)] = class
	c.byType.Store(&next)
}

func (c *classes) of(message any) actors.Class {
	table := c.byType.Load()
	if table == nil {
		return actors.Default
	}
	return (*table)[reflect.TypeOf(message)]
}

var errNotSerializable = errors.New("it is no proto.Message and no serializer knows it")

// codec turns messages into bytes and back.
type codec struct{ serializers []namedSerializer }

// prepare measures a message. What is no protobuf comes back encoded.
func (c *codec) prepare(msg any) (any, int, error) {
	if m := generated(msg); m != nil {
		return msg, m.SizeVT(), nil
	}
	if m, ok := msg.(proto.Message); ok {
		return msg, proto.Size(m), nil
	}
	for _, s := range c.serializers {
		name, err := s.GetTypeName(msg)
		if err != nil {
			continue
		}
		bytes, err := s.Serialize(msg)
		if err != nil {
			return msg, 0, fmt.Errorf("serializer %s: %w", s.name, err)
		}
		return &encoded{original: msg, bytes: bytes, typeName: name, serializer: s.name}, len(bytes), nil
	}
	return msg, 0, errNotSerializable
}

func appendMessage(dst []byte, msg any, size int, form *shape) ([]byte, error) {
	m := generated(msg)
	if m != nil && (form.vt || complete(m)) {
		return appendVT(dst, m, size, form)
	}
	// The size was taken when the message was queued, and what was sent does not change; SizeVT leaves none behind.
	// Maps are sorted, so that a seed sends, and damages, the same bytes in every run.
	return proto.MarshalOptions{UseCachedSize: m == nil, Deterministic: true}.MarshalAppend(dst, msg.(proto.Message))
}

func appendVT(dst []byte, m vtMethods, size int, form *shape) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, size)[:start+size]
	n, err := m.MarshalToSizedBufferVT(dst[start:])
	if err == nil && n != size {
		err = fmt.Errorf("marshalled %d of %d bytes", n, size)
	}
	if err == nil && form.textFields != nil {
		err = form.textFields.check(dst[start:], 0)
	}
	if err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// wireType is one type as a lane's table holds it.
type wireType struct {
	name       string
	serializer Serializer // nil for protobuf
	message    protoreflect.MessageType
	made       reflect.Type // what message points to in generated code, nil in other
	form       *shape
	known      bool
}

func (c *codec) typeOf(name, serializer string) wireType {
	if serializer == "" {
		t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
		if err != nil {
			return wireType{name: name}
		}
		kind := wireType{name: name, message: t, form: shapeOf(t.Descriptor()), known: true}
		if made := reflect.TypeOf(t.Zero().Interface()); ofGeneratedCode(t, made) {
			kind.made = made.Elem()
		}
		return kind
	}
	for _, s := range c.serializers {
		if s.name == serializer {
			return wireType{name: name, serializer: s, known: true}
		}
	}
	return wireType{name: name}
}

// fresh makes an empty message, of generated code without the detour over reflection's view of it.
func (t *wireType) fresh() proto.Message {
	if t.made != nil {
		return reflect.New(t.made).Interface().(proto.Message)
	}
	return t.message.New().Interface()
}

func (t *wireType) decode(b []byte) (any, error) {
	if t.serializer != nil {
		return t.serializer.Deserialize(t.name, b)
	}
	m := t.fresh()
	vt := generated(m)
	if vt == nil || !t.form.vt && !complete(vt) {
		return m, proto.UnmarshalOptions{Merge: true}.Unmarshal(b, m) // a fresh one need not be reset
	}
	if t.form.textFields != nil {
		if err := t.form.textFields.check(b, 0); err != nil {
			return m, err
		}
	}
	return m, vt.UnmarshalVT(b)
}
