package raftactor

import "github.com/asynkron/protoactor-go/actor"

type group struct{ cfg Config }

func newGroup(cfg Config) *group { return &group{cfg: cfg} }

func (g *group) Receive(actor.Context) {}
