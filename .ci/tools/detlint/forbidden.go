package main

import (
	"go/ast"
	"go/constant"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// rule forbids names of a package. They are found by what an identifier denotes, so an alias, a method value or a
// renamed import is no way round it.
type rule struct {
	pkg   string   // import path; one that ends with "/…" stands for all below as well
	names []string // functions, variables, Type.Method, or .Method of any type; none stands for all but methods
	but   []string
	why   string
}

const (
	useClock  = "take time from actors.Env, and set timers through it"
	useRand   = "draw from a named random stream of actors.Env"
	useAsk    = "it blocks or reads the wall clock; ask with actors.Ask, whose continuation runs in the actor"
	useSorted = "its order is random; keep the keys in a slice or sort them"
	noWaiting = "nothing may block in simulated code: send a message, and go on when the answer comes"
	useSeam   = "I/O lies behind a seam: logstore.Store, remote.Transport, or the files that scope.go of detlint lists"
)

const protoactor = "github.com/asynkron/protoactor-go"

var rules = []rule{
	{"time", []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}, nil, useClock},
	{"context", []string{"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"}, nil, useClock},
	{"context", []string{"AfterFunc"}, nil, "it starts a goroutine; " + noWaiting},
	{"math/rand", nil, []string{"New", "NewSource", "NewZipf"}, useRand},
	{"math/rand/v2", nil, []string{"New", "NewPCG", "NewChaCha8", "NewZipf"}, useRand},
	{"crypto/rand", nil, nil, useRand},
	{"crypto/…", []string{"GenerateKey"}, nil, useRand},
	{"hash/maphash", nil, nil, "its seed differs in every process; use xxhash"},
	{"sync", []string{"WaitGroup.Wait", "WaitGroup.Go", "Cond.Wait"}, nil, noWaiting},
	{"sync", []string{"Map.Range"}, nil, useSorted},
	{"golang.org/x/sync/…", nil, nil, noWaiting},
	{"runtime", []string{"Gosched", "NumGoroutine", "SetFinalizer", "AddCleanup"}, nil, "the runtime's scheduler and collector differ from run to run"},
	{"reflect", []string{"Value.MapKeys", "Value.MapRange", "Value.Seq", "Value.Seq2"}, nil, useSorted},
	{"reflect", []string{"Select", "Value.Send", "Value.Recv", "Value.TrySend", "Value.TryRecv", "Value.Close"}, nil, noWaiting},
	{"reflect", []string{"Value.Pointer", "Value.UnsafePointer", "Value.UnsafeAddr"}, nil, "addresses differ from run to run"},
	{"github.com/orcaman/concurrent-map/…", []string{"ConcurrentMap.Iter", "ConcurrentMap.IterBuffered", "ConcurrentMap.IterCb",
		"ConcurrentMap.Items", "ConcurrentMap.Keys", "ConcurrentMap.MarshalJSON"}, nil, useSorted},
	{"google.golang.org/protobuf/reflect/protoregistry", []string{"Types.RangeMessages", "Types.RangeEnums", "Types.RangeExtensions",
		"Types.RangeExtensionsByMessage", "Files.RangeFiles", "Files.RangeFilesByPackage"}, nil, useSorted},
	{"google.golang.org/protobuf/encoding/protojson", nil, nil, "its output differs from build to build on purpose; print the fields"},
	{"google.golang.org/protobuf/encoding/prototext", nil, nil, "its output differs from build to build on purpose; print the fields"},
	{protoactor + "/actor", []string{"Future.Result", "Future.Wait", ".RequestFuture", ".StopFuture", ".PoisonFuture"}, nil, useAsk},
	{protoactor + "/actor", []string{".SetReceiveTimeout"}, nil, "it reads the wall clock; set a timer through actors.Env"},
	{protoactor + "/actor", []string{"NewOneForOneStrategy", "NewAllForOneStrategy", "NewExponentialBackoffStrategy", "NewRestartingStrategy",
		"DefaultSupervisorStrategy", "RestartingSupervisorStrategy"}, nil, "it reads the wall clock; use actors.Supervise"},
	{protoactor + "/actor", []string{"NewThrottle"}, nil, "it starts a goroutine that sleeps; set a timer through actors.Env"},
	{protoactor + "/actor", []string{"Bounded"}, nil, "its sender blocks when the mailbox is full"},
	{protoactor + "/scheduler", nil, nil, "it reads the wall clock; set a timer through actors.Env"},
	{protoactor + "/stream", nil, nil, noWaiting},
	{"net", []string{"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer.Dial", "Dialer.DialContext", "Listen", "ListenPacket", "ListenTCP",
		"ListenUDP", "ListenIP", "ListenUnix", "ListenConfig.Listen", "ListenConfig.ListenPacket", "LookupHost", "LookupIP", "LookupAddr",
		"ResolveTCPAddr", "ResolveUDPAddr", "ResolveIPAddr", "Interfaces", "InterfaceAddrs"}, nil, useSeam},
	{"net/http", []string{"Get", "Post", "Head", "Client.Do", "ListenAndServe", "Server.Serve", "Server.ListenAndServe"}, nil, useSeam},
	{"os", []string{"Getpid", "Hostname", "Getenv", "LookupEnv", "Environ"}, nil, "it differs from machine to machine; take it from the configuration"},
	{"os", []string{"Open", "OpenFile", "OpenRoot", "Create", "CreateTemp", "ReadFile", "WriteFile", "ReadDir", "Mkdir", "MkdirAll", "MkdirTemp",
		"Remove", "RemoveAll", "Rename", "Stat", "Lstat"}, nil, useSeam},
}

var uuidLibrary = regexp.MustCompile(`(?i)(^|[/._-])(go|short|ksu|ul|x|nano)?(uuid|ksuid|ulid|xid|nanoid|shortid)([/._-]|$)`)

func (r *rule) covers(pkg, name string) bool {
	below, deep := strings.CutSuffix(r.pkg, "/…")
	if pkg != below && !(deep && strings.HasPrefix(pkg, below+"/")) {
		return false
	}
	_, method, isMethod := strings.Cut(name, ".")
	if len(r.names) == 0 {
		return !isMethod && !slices.Contains(r.but, name)
	}
	return slices.Contains(r.names, name) || isMethod && slices.Contains(r.names, "."+method)
}

// checkNames finds forbidden functions, methods and variables, called or taken as values.
func checkNames(pass *analysis.Pass, f *ast.File, file string) {
	for _, spec := range f.Imports {
		if p := strings.Trim(spec.Path.Value, `"`); uuidLibrary.MatchString(p) {
			pass.Reportf(spec.Pos(), "import of %s: take identifiers from a named random stream of actors.Env", p)
		}
	}
	waits := waitless(pass, f)
	ast.Inspect(f, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		obj := pass.TypesInfo.Uses[id]
		if obj == nil || obj.Pkg() == nil {
			return true
		}
		name := qualified(obj)
		if name == "" {
			return true
		}
		pkg := obj.Pkg().Path()
		if pkg == protoactor+"/actor" && name == "NewFuture" && !waits[id] {
			pass.Reportf(id.Pos(), "actor.NewFuture with a timeout: it reads the wall clock; give it a negative one, and set a timer through actors.Env")
		}
		for i := range rules {
			if r := &rules[i]; r.covers(pkg, name) && !isAllowed(file, obj, name) {
				pass.Reportf(id.Pos(), "%s.%s: %s", obj.Pkg().Name(), name, r.why)
				break
			}
		}
		return true
	})
}

func isAllowed(file string, obj types.Object, name string) bool {
	return slices.Contains(allowed[file], obj.Pkg().Name()+"."+name)
}

// qualified spells a function or variable of a package as Name and a method as Type.Name; fields, types, constants and locals are none.
func qualified(obj types.Object) string {
	switch obj := obj.(type) {
	case *types.Func:
		recv := obj.Signature().Recv()
		if recv == nil {
			return obj.Name()
		}
		t := types.Unalias(recv.Type())
		if p, ok := t.(*types.Pointer); ok {
			t = types.Unalias(p.Elem())
		}
		if named, ok := t.(*types.Named); ok {
			return named.Obj().Name() + "." + obj.Name()
		}
		return "." + obj.Name() // of an interface without a name
	case *types.Var:
		if obj.Parent() == obj.Pkg().Scope() {
			return obj.Name()
		}
	}
	return ""
}

// waitless finds the names in calls of actor.NewFuture whose time-out is a negative constant: those set no timer.
func waitless(pass *analysis.Pass, f *ast.File) map[*ast.Ident]bool {
	out := make(map[*ast.Ident]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		if v := pass.TypesInfo.Types[call.Args[1]].Value; v != nil && v.Kind() == constant.Int && constant.Sign(v) < 0 {
			switch fun := ast.Unparen(call.Fun).(type) {
			case *ast.Ident:
				out[fun] = true
			case *ast.SelectorExpr:
				out[fun.Sel] = true
			}
		}
		return true
	})
	return out
}

var addressVerb = regexp.MustCompile(`%[-+# 0-9.\[\]*]*p`)

// checkAddresses finds pointers turned into numbers or text: an allocator orders them anew in every run.
func checkAddresses(pass *analysis.Pass, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fun := pass.TypesInfo.Types[call.Fun]
		if fun.IsType() && len(call.Args) == 1 {
			if is(fun.Type, types.Uintptr) && is(pass.TypesInfo.TypeOf(call.Args[0]), types.UnsafePointer) {
				pass.Reportf(call.Pos(), "the address of a value: addresses differ from run to run; give the value a number")
			}
			return true
		}
		if sig, ok := types.Unalias(fun.Type).(*types.Signature); !ok || !sig.Variadic() {
			return true
		}
		for _, arg := range call.Args {
			v := pass.TypesInfo.Types[arg].Value
			if v != nil && v.Kind() == constant.String && addressVerb.MatchString(strings.ReplaceAll(constant.StringVal(v), "%%", "")) {
				pass.Reportf(arg.Pos(), "%%p prints an address: addresses differ from run to run; give the value a number")
			}
		}
		return true
	})
}

func is(t types.Type, kind types.BasicKind) bool {
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Kind() == kind
}

// checkScheduling finds the syntax whose order the Go scheduler decides.
func checkScheduling(pass *analysis.Pass, f *ast.File) {
	report := func(n ast.Node, what string) {
		pass.Reportf(n.Pos(), "%s: the Go scheduler decides its order; simulated code sends messages instead", what)
	}
	isChan := func(e ast.Expr) bool {
		t := pass.TypesInfo.TypeOf(e)
		if t == nil {
			return false
		}
		_, ok := t.Underlying().(*types.Chan)
		return ok
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n, "go statement")
		case *ast.SelectStmt:
			report(n, "select")
			return false
		case *ast.SendStmt:
			report(n, "send on a channel")
		case *ast.ChanType:
			report(n, "channel")
		case *ast.UnaryExpr:
			if n.Op.String() == "<-" {
				report(n, "receive from a channel")
			}
		case *ast.RangeStmt:
			if isChan(n.X) {
				report(n, "range over a channel")
			}
		case *ast.CallExpr:
			id, ok := ast.Unparen(n.Fun).(*ast.Ident)
			if _, builtin := pass.TypesInfo.Uses[id].(*types.Builtin); ok && builtin && len(n.Args) > 0 && isChan(n.Args[0]) && id.Name != "len" && id.Name != "cap" {
				if _, literal := n.Args[0].(*ast.ChanType); !literal {
					report(n, id.Name+" of a channel")
				}
			}
		}
		return true
	})
}
