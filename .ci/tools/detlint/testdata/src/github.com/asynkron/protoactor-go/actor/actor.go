package actor

import "time"

type (
	PID         struct{ Address, Id string }
	ActorSystem struct{}
	Future      struct{}
	Context     interface{ sender }
	sender      interface {
		Send(pid *PID, message any)
		RequestFuture(pid *PID, message any, timeout time.Duration) *Future
		StopFuture(pid *PID) *Future
		SetReceiveTimeout(d time.Duration)
	}
)

func NewFuture(*ActorSystem, time.Duration) *Future { return nil }
func NewOneForOneStrategy() any                     { return nil }

func (*Future) Result() (any, error) { return nil, nil }
func (*Future) Wait() error          { return nil }
