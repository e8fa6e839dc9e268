package proto

type Message interface{ ProtoReflect() }

type MarshalOptions struct{ Deterministic, UseCachedSize bool }

func Marshal(Message) ([]byte, error) { return nil, nil }

func (MarshalOptions) Marshal(Message) ([]byte, error)               { return nil, nil }
func (MarshalOptions) MarshalAppend([]byte, Message) ([]byte, error) { return nil, nil }
