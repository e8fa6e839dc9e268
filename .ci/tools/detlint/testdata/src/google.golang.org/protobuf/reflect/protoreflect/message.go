package protoreflect

type Message interface {
	Range(func(field int, value any) bool)
}
