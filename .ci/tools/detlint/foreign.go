package main

import (
	"go/types"
	"slices"
	"strings"
)

// foreignLevel is that of functions whose source isn't read: the table says which are known to be harmless.
func foreignLevel(fn *types.Func) level {
	pkg, name := fn.Pkg().Path(), qualified(fn)
	if recv := fn.Signature().Recv(); recv != nil && isMessage(recv.Type()) {
		if strings.HasPrefix(fn.Name(), "Get") || fn.Name() == "String" || fn.Name() == "ProtoReflect" {
			return pure
		}
	}
	matches := func(list []string) bool {
		return slices.ContainsFunc(list, func(pattern string) bool {
			if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
				return strings.HasPrefix(name, prefix)
			}
			return name == pattern
		})
	}
	f, listed := foreign[pkg]
	switch {
	case !listed || matches(f.effects):
		return effects
	case matches(f.first):
		return changesFirst
	case matches(f.receiver) && !matches(f.pure):
		return changesReceiver
	case f.pure != nil && !matches(f.pure):
		return effects
	}
	if recv := fn.Signature().Recv(); recv != nil && !matches(f.pure) {
		if _, pointer := types.Unalias(recv.Type()).(*types.Pointer); pointer {
			return changesReceiver
		}
	}
	return pure
}

// isMessage reports whether a type is a message of protobuf.
func isMessage(t types.Type) bool {
	set := types.NewMethodSet(t)
	for i := range set.Len() {
		if set.At(i).Obj().Name() == "ProtoReflect" {
			return true
		}
	}
	return false
}

var foreign = map[string]struct {
	pure     []string // harmless; none stands for all that the others don't name, methods of pointers apart
	first    []string // change their first argument
	receiver []string
	effects  []string
}{
	"bytes":           {},
	"cmp":             {},
	"crypto/sha256":   {pure: []string{"Sum*"}},
	"encoding/base64": {},
	"encoding/binary": {effects: []string{"Write", "Read*"}, first: []string{"Put*"}},
	"encoding/hex":    {},
	"errors":          {},
	"fmt":             {pure: []string{"Sprint*", "Errorf", "Append*"}},
	"maps":            {first: []string{"Copy", "Insert", "DeleteFunc"}},
	"math":            {},
	"math/bits":       {},
	"net":             {pure: []string{"JoinHostPort", "SplitHostPort", "ParseIP", "ParseCIDR"}},
	"net/netip":       {},
	"path":            {},
	"reflect":         {pure: []string{"TypeOf", "TypeFor", "DeepEqual", "Type.*"}},
	"slices":          {first: []string{"Sort", "SortFunc", "SortStableFunc", "Reverse", "Delete*", "Insert", "Compact*", "Replace"}},
	"sort":            {pure: []string{"Search*"}, first: []string{"Slice*", "Strings", "Ints", "Sort", "Stable"}},
	"strconv":         {},
	"strings":         {},
	"sync":            {pure: []string{"Mutex.*", "RWMutex.*"}},
	"sync/atomic": {pure: []string{"Load*", "Add*", "Bool.Load", "Int32.Load", "Int64.Load", "Uint32.Load", "Uint64.Load", "Pointer.Load", "Value.Load",
		"Int32.Add", "Int64.Add", "Uint32.Add", "Uint64.Add"}, receiver: []string{"Bool.*", "Int32.*", "Int64.*", "Uint32.*", "Uint64.*", "Pointer.*", "Value.*"}},
	"time":                             {pure: []string{"Time.*", "Duration.*", "Month.*", "Unix*", "Date", "ParseDuration"}},
	"unicode":                          {},
	"unicode/utf8":                     {},
	"go.uber.org/zap":                  {pure: []string{"String", "Strings", "Int*", "Uint*", "Bool", "Duration", "Error", "Any", "Stringer", "Time"}},
	"go.etcd.io/raft/v3/raftpb":        {pure: []string{"ConfChangeV2.*", "ConfState.*", "Entry.Size", "Message.Size"}},
	"github.com/cespare/xxhash/v2":     {pure: []string{"Sum64*"}},
	"google.golang.org/protobuf/proto": {pure: []string{"Size", "Equal", "Clone", "Marshal", "MarshalOptions.*"}},
	"google.golang.org/protobuf/reflect/protoreflect": {pure: []string{"Message.Get*", "Message.Has", "Message.Range", "Map.*", "Message.Descriptor", "Value.*", "List.Len", "List.Get", "FieldDescriptor.*", "Descriptor.*", "MessageDescriptor.*"}},
	"github.com/asynkron/protoactor-go/actor":         {pure: []string{"NewPID", "PID.Equal", "PID.GetAddress", "PID.GetId"}},
}
