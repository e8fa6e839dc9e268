package remote

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoimpl"

	"github.com/asynkron/protoactor-go/actor"
)

// Field numbers of Frame in remote.proto. Frames are read and written by hand, since they are the cost of a message;
// a test holds them against the generated code.
const (
	fieldKind            = 1
	fieldTarget          = 2
	fieldTargetID        = 3
	fieldTargetRequest   = 4
	fieldSender          = 5
	fieldSenderAddress   = 6
	fieldSenderID        = 7
	fieldSenderRequest   = 8
	fieldType            = 9
	fieldTypeName        = 10
	fieldSerializer      = 11
	fieldHeaders         = 12
	fieldReason          = 13
	fieldPadding         = 14
	fieldPayload         = 15
	fieldTotal           = 16
	frameHeadersMax      = 256
	nameMax              = 1024 // bytes of an id, an address or a type name on the wire
	internMax            = 256  // longer names are spelled each time
	nameSlots            = 1024
	typeSlots            = 1024
	heartbeatPaddingSize = 24
)

// frame is a Frame in parts; the slices belong to what it was read from.
type frame struct {
	kind                 Frame_Kind
	target, sender, typ  uint32
	targetRequest        uint32
	senderRequest        uint32
	reason               uint32
	total                uint32
	targetID, senderID   []byte // nil where the name is not spelled
	senderAddress        []byte
	typeName, serializer []byte
	payload              []byte
	headers              map[string]string
	headerKey            string
	headerOpen           bool
}

func protocolError(format string, args ...any) *CloseError {
	return &CloseError{Code: CodeProtocol, Reason: fmt.Sprintf(format, args...)}
}

func (f *frame) parse(b []byte) error {
	*f = frame{}
	for len(b) > 0 {
		number, wire, n := consumeTag(b)
		if n < 0 {
			return protocolError("a frame's tag can't be read")
		}
		b = b[n:]
		switch wire {
		case protowire.VarintType:
			v, n := consumeVarint(b)
			if n < 0 {
				return protocolError("field %d of a frame can't be read", number)
			}
			b = b[n:]
			if v > 1<<32-1 {
				return protocolError("field %d of a frame is too large", number)
			}
			f.number(number, uint32(v))
		case protowire.BytesType:
			size, n := consumeVarint(b)
			if n < 0 || size > uint64(len(b)-n) {
				return protocolError("field %d of a frame can't be read", number)
			}
			v := b[n : n+int(size)] //nolint:gosec // it is at most the length
			b = b[n+len(v):]
			if number == fieldPayload {
				f.payload = v
			} else if err := f.bytes(number, v); err != nil {
				return err
			}
		default:
			n := protowire.ConsumeFieldValue(number, wire, b)
			if n < 0 {
				return protocolError("field %d of a frame can't be read", number)
			}
			b = b[n:]
		}
	}
	if f.headerOpen {
		return protocolError("a header has no value")
	}
	return nil
}

// consumeTag and consumeVarint do the usual case, one byte, where they are called.
func consumeTag(b []byte) (protowire.Number, protowire.Type, int) {
	if c := b[0]; c >= 1<<3 && c < 0x80 {
		return protowire.Number(c >> 3), protowire.Type(c & 7), 1
	}
	return protowire.ConsumeTag(b)
}

func consumeVarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

func (f *frame) number(field protowire.Number, v uint32) {
	switch field {
	case fieldKind:
		f.kind = Frame_Kind(v)
	case fieldTarget:
		f.target = v
	case fieldTargetRequest:
		f.targetRequest = v
	case fieldSender:
		f.sender = v
	case fieldSenderRequest:
		f.senderRequest = v
	case fieldType:
		f.typ = v
	case fieldReason:
		f.reason = v
	case fieldTotal:
		f.total = v
	}
}

func (f *frame) bytes(field protowire.Number, v []byte) error {
	switch field {
	case fieldPadding:
		return nil
	case fieldHeaders:
		return f.header(string(v))
	}
	if len(v) > nameMax {
		return protocolError("a name of %d bytes in field %d: at most %d", len(v), field, nameMax)
	}
	switch field {
	case fieldTargetID:
		f.targetID = v
	case fieldSenderID:
		f.senderID = v
	case fieldSenderAddress:
		f.senderAddress = v
	case fieldTypeName:
		f.typeName = v
	case fieldSerializer:
		f.serializer = v
	}
	return nil
}

func (f *frame) header(v string) error {
	if !f.headerOpen {
		f.headerKey, f.headerOpen = v, true
		return nil
	}
	if f.headers == nil {
		f.headers = make(map[string]string)
	}
	if len(f.headers) == frameHeadersMax {
		return protocolError("more than %d headers", frameHeadersMax)
	}
	f.headers[f.headerKey], f.headerOpen = v, false
	return nil
}

// item is one frame that waits in an outbox.
type item struct {
	target  *actor.PID
	sender  *actor.PID
	msg     any // *encoded where another serializer took it
	headers map[string]string
	size    uint32 // of the message's bytes
	kind    uint8  // a Frame_Kind
	reason  uint8  // an actor.TerminatedReason
}

// encoded is a message that is no protobuf.
type encoded struct {
	original             any
	bytes                []byte
	typeName, serializer string
}

// message returns what was sent.
func (it *item) message() any {
	if e, ok := it.msg.(*encoded); ok {
		return e.original
	}
	return it.msg
}

// form is what matters of its type to its encoding, nil where another serializer took it.
func (it *item) form() *shape {
	if m, ok := it.msg.(proto.Message); ok {
		return shapeOf(m.ProtoReflect().Descriptor())
	}
	return nil
}

// cost is what an item counts against its queue: bytes on the wire and bookkeeping.
func (it *item) cost() int { return int(it.size) + 64 }

// encoder writes the frames of one lane of one connection. Its tables mirror those of the decoder at the other end:
// a name's slot follows from its hash, and a new name takes the slot over.
type encoder struct {
	self     string // this node's address, which is not spelled
	limit    int
	intern   bool
	targets  []string
	senders  []string
	types    map[protoreflect.MessageDescriptor]outType
	typeSize uint32
	whole    int          // the largest message that may go in chunks; 0 is none
	rest     []byte       // of a message that is under way in chunks
	last     reflect.Type // of the message before, where it tells the type, and what is known of that
	lastType outType
}

// outType is a message type as a lane knows it.
type outType struct {
	slot uint32
	form *shape
}

func newEncoder(self string, limit int, intern bool) *encoder {
	return &encoder{self: self, limit: limit, intern: intern}
}

// append adds one frame behind its length. An error leaves dst as it was.
func (e *encoder) append(dst []byte, it *item) ([]byte, error) {
	start := len(dst)
	guess := protowire.SizeVarint(uint64(it.size) + 24)
	for range guess {
		dst = append(dst, 0)
	}
	dst, err := e.appendBody(dst, it)
	if err != nil {
		return dst[:start], err
	}
	body := len(dst) - start - guess
	if size := protowire.SizeVarint(uint64(body)); size != guess {
		dst = slices.Grow(dst, size)
		moved := dst[:start+size+body]
		copy(moved[start+size:], dst[start+guess:])
		dst = moved
	}
	protowire.AppendVarint(dst[:start], uint64(body))
	return dst, nil
}

func (e *encoder) appendBody(dst []byte, it *item) ([]byte, error) {
	start := len(dst)
	kind := Frame_Kind(it.kind)
	if kind != Frame_MESSAGE {
		dst = appendNumber(dst, fieldKind, uint32(kind))
	}
	if it.target != nil {
		dst = e.appendTarget(dst, it.target)
	}
	if it.sender != nil {
		dst = e.appendSender(dst, it.sender)
	}
	switch kind {
	case Frame_TERMINATED:
		return appendNumber(dst, fieldReason, uint32(it.reason)), nil
	case Frame_HEARTBEAT:
		return appendText(dst, fieldPadding, heartbeatPadding), nil
	case Frame_MESSAGE:
	default:
		return dst, nil
	}
	dst, form, defined := e.appendType(dst, it)
	dst = appendHeaders(dst, it.headers)
	dst = appendLengthOf(dst, fieldPayload, int(it.size))
	payload := len(dst)
	var err error
	if dst, err = appendPayload(dst, it, form); err == nil && len(dst)-payload != int(it.size) {
		err = changedError(it, len(dst)-payload)
	}
	if err == nil && len(dst)-start > e.limit {
		err = fmt.Errorf("its frame of %d bytes is over the limit of %d", len(dst)-start, e.limit)
	}
	if err != nil && e.intern {
		e.forget(it, defined)
	}
	return dst, err
}

func appendPayload(dst []byte, it *item, form *shape) ([]byte, error) {
	if other, ok := it.msg.(*encoded); ok {
		return append(dst, other.bytes...), nil
	}
	return appendMessage(dst, it.msg, int(it.size), form)
}

func changedError(it *item, size int) error {
	return fmt.Errorf("it was %d bytes when it was sent and is %d now: messages must not change once sent", it.size, size)
}

func appendHeaders(dst []byte, headers map[string]string) []byte {
	if len(headers) == 0 {
		return dst
	}
	for _, key := range slices.Sorted(maps.Keys(headers)) {
		dst = appendText(dst, fieldHeaders, key)
		dst = appendText(dst, fieldHeaders, headers[key])
	}
	return dst
}

var heartbeatPadding = string(make([]byte, heartbeatPaddingSize))

// forget takes back what a frame that is not sent would have defined.
func (e *encoder) forget(it *item, defined protoreflect.MessageDescriptor) {
	if defined != nil {
		delete(e.types, defined)
		e.typeSize--
		e.last = nil
	}
	if e.targets != nil && it.target != nil {
		e.targets[slotOf("", it.target.Id)-1] = ""
	}
	if e.senders != nil && it.sender != nil {
		e.senders[slotOf(e.spelled(it.sender), it.sender.Id)-1] = ""
	}
}

func (e *encoder) appendTarget(dst []byte, pid *actor.PID) []byte {
	if e.intern && len(pid.Id) <= internMax && !transient(pid.Id) {
		if e.targets == nil {
			e.targets = make([]string, nameSlots)
		}
		slot := slotOf("", pid.Id)
		dst = appendNumber(dst, fieldTarget, slot)
		if e.targets[slot-1] != pid.Id {
			e.targets[slot-1] = pid.Id
			dst = appendText(dst, fieldTargetID, pid.Id)
		}
	} else {
		dst = appendText(dst, fieldTargetID, pid.Id)
	}
	if pid.RequestId != 0 {
		dst = appendNumber(dst, fieldTargetRequest, pid.RequestId)
	}
	return dst
}

// spelled returns a PID's address as it goes over the wire: its own addresses become the peer's view of this node.
func (e *encoder) spelled(pid *actor.PID) string {
	if pid.Address == e.self || pid.Address == localAddress {
		return ""
	}
	return pid.Address
}

// localAddress is what protoactor calls a system without a remote.
const localAddress = "nonhost"

func (e *encoder) appendSender(dst []byte, pid *actor.PID) []byte {
	address := e.spelled(pid)
	spell := true
	if e.intern && len(pid.Id)+len(address) <= internMax && !transient(pid.Id) {
		if e.senders == nil {
			e.senders = make([]string, nameSlots)
		}
		slot := slotOf(address, pid.Id)
		dst = appendNumber(dst, fieldSender, slot)
		spell = !sameName(e.senders[slot-1], address, pid.Id)
		if spell {
			e.senders[slot-1] = address + "/" + pid.Id
		}
	}
	if spell {
		if address != "" {
			dst = appendText(dst, fieldSenderAddress, address)
		}
		dst = appendText(dst, fieldSenderID, pid.Id)
	}
	if pid.RequestId != 0 {
		dst = appendNumber(dst, fieldSenderRequest, pid.RequestId)
	}
	return dst
}

func sameName(joined, address, id string) bool {
	return len(joined) == len(address)+1+len(id) && joined[:len(address)] == address && joined[len(address)+1:] == id
}

// appendType returns what is known of the type, and the type if it defined it.
func (e *encoder) appendType(dst []byte, it *item) ([]byte, *shape, protoreflect.MessageDescriptor) {
	if other, ok := it.msg.(*encoded); ok {
		dst = appendText(dst, fieldTypeName, other.typeName)
		return appendText(dst, fieldSerializer, other.serializer), nil, nil
	}
	made := reflect.TypeOf(it.msg)
	if made != e.last {
		view := it.msg.(proto.Message).ProtoReflect()
		known, ok := e.types[view.Descriptor()]
		if !ok {
			return e.defineType(dst, view.Descriptor())
		}
		if !ofGeneratedCode(view.Type(), made) {
			return appendNumber(dst, fieldType, known.slot), known.form, nil
		}
		e.last, e.lastType = made, known
	}
	return appendNumber(dst, fieldType, e.lastType.slot), e.lastType.form, nil
}

// ofGeneratedCode reports whether a type of Go stands for one type of message: a dynamic message may be of any.
func ofGeneratedCode(t protoreflect.MessageType, made reflect.Type) bool {
	info, ok := t.(*protoimpl.MessageInfo)
	return ok && info.GoReflectType == made
}

// defineType spells a type's name, and gives it a slot where there is one left.
func (e *encoder) defineType(dst []byte, descriptor protoreflect.MessageDescriptor) ([]byte, *shape, protoreflect.MessageDescriptor) {
	name, form := string(descriptor.FullName()), shapeOf(descriptor)
	if !e.intern || e.typeSize >= typeSlots || len(name) > internMax {
		return appendText(dst, fieldTypeName, name), form, nil
	}
	if e.types == nil {
		e.types = make(map[protoreflect.MessageDescriptor]outType)
	}
	e.typeSize++
	e.types[descriptor] = outType{slot: e.typeSize, form: form}
	dst = appendNumber(dst, fieldType, e.typeSize)
	return appendText(dst, fieldTypeName, name), form, descriptor
}

func appendNumber(dst []byte, field protowire.Number, v uint32) []byte {
	if field < 16 && v < 0x80 {
		return append(dst, byte(field)<<3|byte(protowire.VarintType), byte(v))
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(v))
}

// appendLengthOf adds what comes before that many bytes of a field.
func appendLengthOf(dst []byte, field protowire.Number, size int) []byte {
	if field < 16 && size < 0x80 {
		return append(dst, byte(field)<<3|byte(protowire.BytesType), byte(size))
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(size)) //nolint:gosec // a length
}

func appendText(dst []byte, field protowire.Number, v string) []byte {
	return append(appendLengthOf(dst, field, len(v)), v...)
}

// slotOf is FNV-1a over address and id.
func slotOf(address, id string) uint32 {
	h := uint32(2166136261)
	for i := range len(address) {
		h = (h ^ uint32(address[i])) * 16777619
	}
	h = (h ^ '/') * 16777619
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return h%nameSlots + 1
}
