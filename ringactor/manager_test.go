package ringactor

import "github.com/asynkron/protoactor-go/actor"

func noProps(Identity) *actor.Props { return actor.PropsFromFunc(func(actor.Context) {}) }
