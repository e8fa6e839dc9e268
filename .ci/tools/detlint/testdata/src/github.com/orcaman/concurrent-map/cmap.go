package cmap

type ConcurrentMap []map[string]any

func (ConcurrentMap) IterCb(func(string, any)) {}
func (ConcurrentMap) Keys() []string           { return nil }
func (ConcurrentMap) Get(string) (any, bool)   { return nil, false }
