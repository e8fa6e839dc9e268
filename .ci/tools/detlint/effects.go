package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// level is what a call can change. Levels only rise.
type level int

const (
	pure            level = iota
	changesReceiver       // what its receiver holds or points to
	changesFirst          // what its first argument holds
	effects               // anything
)

// harmless is the fact about a function of this module that changes nothing, or its receiver only.
type harmless struct{ Receiver bool }

func (*harmless) AFact() {}

func (h *harmless) String() string {
	if h.Receiver {
		return "changes its receiver"
	}
	return "changes nothing"
}

// functions knows the levels of all functions that a package can call.
type functions struct {
	pass  *analysis.Pass
	decls map[*types.Func]*ast.FuncDecl
	order []*types.Func
	known map[*types.Func]level
}

func newFunctions(pass *analysis.Pass) *functions {
	fs := &functions{pass: pass, decls: make(map[*types.Func]*ast.FuncDecl), known: make(map[*types.Func]level)}
	for _, f := range pass.Files {
		for _, d := range f.Decls {
			decl, ok := d.(*ast.FuncDecl)
			if !ok || decl.Body == nil {
				continue
			}
			if fn, ok := pass.TypesInfo.Defs[decl.Name].(*types.Func); ok {
				fs.decls[fn] = decl
				fs.order = append(fs.order, fn)
			}
		}
	}
	for changed := true; changed; { // from "all are pure" upwards, so that recursion needs no case of its own
		changed = false
		for _, fn := range fs.order {
			if l := fs.judge(fs.decls[fn]); l > fs.known[fn] {
				fs.known[fn], changed = l, true
			}
		}
	}
	return fs
}

func (fs *functions) export() {
	for _, fn := range fs.order {
		if l := fs.known[fn]; l <= changesReceiver {
			fs.pass.ExportObjectFact(fn, &harmless{Receiver: l == changesReceiver})
		}
	}
}

// level of a function that is named in the source; funcs is what it is called with, where the callee calls that in turn.
func (fs *functions) level(fn *types.Func) level {
	fn = fn.Origin()
	if _, ok := fs.decls[fn]; ok {
		return fs.known[fn]
	}
	if fn.Pkg() == nil { // error.Error
		return pure
	}
	var fact harmless
	if fs.pass.ImportObjectFact(fn, &fact) {
		if fact.Receiver {
			return changesReceiver
		}
		return pure
	}
	return foreignLevel(fn)
}

// judge finds what a function can change by reading its body.
func (fs *functions) judge(decl *ast.FuncDecl) level {
	b := newBody(fs, decl)
	if decl.Recv != nil && len(decl.Recv.List) == 1 && len(decl.Recv.List[0].Names) == 1 {
		b.origins[fs.pass.TypesInfo.Defs[decl.Recv.List[0].Names[0]]] = derived
	}
	b.trace(decl.Body)
	worst := pure
	raise := func(l level) { worst = max(worst, l) }
	change := func(e ast.Expr, through bool) {
		root, deref, hops := b.root(e)
		if through {
			hops += b.pointer(e)
		}
		switch {
		case root == nil:
			raise(effects)
		case root.Pos() < decl.Pos() || root.Pos() >= decl.End():
			raise(effects)
		case !deref && !through, b.origins[root] == fresh && hops <= 1:
		case b.origins[root] == derived && hops <= 1:
			raise(changesReceiver)
		default:
			raise(effects)
		}
	}
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.SendStmt, *ast.SelectStmt:
			raise(effects)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				raise(effects)
			}
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, lhs := range n.Lhs {
					if !isBlank(lhs) {
						change(lhs, false)
					}
				}
			}
		case *ast.IncDecStmt:
			change(n.X, false)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				for _, lhs := range []ast.Expr{n.Key, n.Value} {
					if lhs != nil && !isBlank(lhs) {
						change(lhs, false)
					}
				}
			}
			if _, ok := b.typ(n.X).(*types.Signature); ok {
				if _, call := ast.Unparen(n.X).(*ast.CallExpr); !call {
					raise(effects)
				}
			}
		case *ast.CallExpr:
			switch l, target := b.call(n); l {
			case effects:
				raise(effects)
			case changesReceiver, changesFirst:
				change(target, b.isReference(target))
			}
		}
		return true
	})
	return worst
}

// origin tells whose what a variable points to is.
type origin int

const (
	unknown origin = iota
	derived        // the receiver's in a function, this iteration's own in a loop
	fresh          // made here
)

// body is a piece of a function under study.
type body struct {
	*functions
	node    ast.Node // variables declared in it are its own
	key     types.Object
	origins map[types.Object]origin
}

func newBody(fs *functions, node ast.Node) *body {
	return &body{functions: fs, node: node, origins: make(map[types.Object]origin)}
}

func (b *body) typ(e ast.Expr) types.Type {
	if t := b.pass.TypesInfo.TypeOf(e); t != nil {
		return t.Underlying()
	}
	return types.Typ[types.Invalid]
}

func (b *body) object(id *ast.Ident) types.Object { return b.pass.TypesInfo.ObjectOf(id) }

func (b *body) owns(obj types.Object) bool {
	return obj != nil && b.node.Pos() <= obj.Pos() && obj.Pos() < b.node.End()
}

// isReference reports whether a change through e reaches beyond the variable e itself.
func (b *body) isReference(e ast.Expr) bool {
	switch b.typ(e).(type) {
	case *types.Pointer, *types.Slice, *types.Map, *types.Interface:
		return true
	}
	return false
}

func (b *body) pointer(e ast.Expr) int {
	if _, ok := b.typ(e).(*types.Pointer); ok {
		return 1
	}
	return 0
}

// root is the variable that an expression starts from, whether the way from there leads through a pointer, slice or map,
// and through how many pointers: what lies behind the second may be shared with others.
func (b *body) root(e ast.Expr) (obj types.Object, deref bool, hops int) {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.Ident:
			return b.object(x), deref, hops
		case *ast.SelectorExpr:
			sel, ok := b.pass.TypesInfo.Selections[x]
			if !ok {
				return b.object(x.Sel), deref, hops
			}
			deref = deref || sel.Indirect() || b.isReference(x.X)
			hops += b.pointer(x.X)
			if sel.Indirect() && len(sel.Index()) > 1 { // through an embedded pointer
				hops += 1 - b.pointer(x.X)
			}
			e = x.X
		case *ast.IndexExpr:
			deref = deref || b.isReference(x.X)
			e = x.X
		case *ast.SliceExpr:
			deref = deref || b.isReference(x.X)
			e = x.X
		case *ast.StarExpr:
			deref = true
			hops++
			e = x.X
		case *ast.TypeAssertExpr:
			e = x.X
		case *ast.UnaryExpr:
			if x.Op != token.AND {
				return nil, true, hops
			}
			e = x.X
		default:
			return nil, true, hops
		}
	}
}

// trace finds the origins of the variables that are declared in a piece of code.
func (b *body) trace(n ast.Node) {
	note := func(id *ast.Ident, o origin) {
		obj := b.object(id)
		if obj == nil || !b.owns(obj) {
			return
		}
		if old, ok := b.origins[obj]; ok {
			o = min(o, old)
		}
		b.origins[obj] = o
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, lhs := range n.Lhs {
				id, ok := ast.Unparen(lhs).(*ast.Ident)
				if !ok || isBlank(id) {
					continue
				}
				o := unknown
				if len(n.Lhs) == len(n.Rhs) {
					o = b.originOf(n.Rhs[i])
				} else if i == 0 { // v, ok := …
					o = b.originOf(n.Rhs[0])
				}
				note(id, o)
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				o := fresh
				if len(n.Values) == len(n.Names) {
					o = b.originOf(n.Values[i])
				} else if len(n.Values) > 0 {
					o = unknown
				}
				note(id, o)
			}
		case *ast.RangeStmt:
			if id, ok := n.Value.(*ast.Ident); ok && n.Tok == token.DEFINE {
				note(id, b.originOf(n.X))
			}
		case *ast.TypeSwitchStmt:
			if assign, ok := n.Assign.(*ast.AssignStmt); ok {
				for _, clause := range n.Body.List {
					if obj := b.pass.TypesInfo.Implicits[clause]; obj != nil {
						b.origins[obj] = b.originOf(assign.Rhs[0])
					}
				}
			}
		}
		return true
	})
}

func (b *body) originOf(e ast.Expr) origin {
	if tv := b.pass.TypesInfo.Types[e]; tv.Value != nil || tv.IsNil() {
		return fresh
	}
	switch x := ast.Unparen(e).(type) {
	case *ast.CompositeLit, *ast.FuncLit:
		return fresh
	case *ast.UnaryExpr:
		if x.Op == token.AND {
			return b.originOf(x.X)
		}
		return fresh
	case *ast.CallExpr:
		return b.originOfCall(x)
	case *ast.IndexExpr:
		if b.key != nil && b.isKey(x.Index) {
			return derived
		}
	}
	root, _, hops := b.root(e)
	if root == nil || hops+b.pointer(e) > 1 {
		return unknown
	}
	return b.origins[root]
}

func (b *body) originOfCall(call *ast.CallExpr) origin {
	if b.pass.TypesInfo.Types[call.Fun].IsType() {
		if _, isString := b.typ(call.Args[0]).(*types.Basic); isString {
			return fresh
		}
		return b.originOf(call.Args[0])
	}
	switch fn := b.callee(call).(type) {
	case *types.Builtin:
		switch fn.Name() {
		case "append":
			return b.originOf(call.Args[0])
		case "make", "new":
			return fresh
		}
	case *types.Func:
		if b.isFunc(call, "maps.Clone", "maps.Collect", "slices.Clone", "slices.Collect", "slices.Sorted", "slices.SortedFunc", "slices.Concat",
			"bytes.Clone", "strings.NewReader", "bytes.NewReader", "errors.New", "fmt.Errorf", "fmt.Sprintf") {
			return fresh
		}
	}
	return unknown
}

// isKey reports whether different keys of the map give different values of e.
func (b *body) isKey(e ast.Expr) bool {
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		return b.key != nil && b.object(x) == b.key
	case *ast.CallExpr:
		return b.pass.TypesInfo.Types[x.Fun].IsType() && types.Identical(b.typ(x), b.typ(x.Args[0])) && b.isKey(x.Args[0])
	case *ast.CompositeLit:
		return slices.ContainsFunc(x.Elts, func(e ast.Expr) bool {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				e = kv.Value
			}
			return b.isKey(e)
		})
	}
	return false
}

func (b *body) callee(call *ast.CallExpr) types.Object {
	fun := ast.Unparen(call.Fun)
	for {
		switch x := fun.(type) {
		case *ast.IndexExpr: // an instance of a generic function
			fun = ast.Unparen(x.X)
		case *ast.IndexListExpr:
			fun = ast.Unparen(x.X)
		case *ast.Ident:
			return b.pass.TypesInfo.Uses[x]
		case *ast.SelectorExpr:
			return b.pass.TypesInfo.Uses[x.Sel]
		default:
			return nil
		}
	}
}

// isFunc reports whether a call is of one of those functions, spelled "path.Name".
func (b *body) isFunc(call *ast.CallExpr, names ...string) bool {
	fn, ok := b.callee(call).(*types.Func)
	return ok && fn.Pkg() != nil && fn.Signature().Recv() == nil && slices.Contains(names, fn.Pkg().Path()+"."+fn.Name())
}

// call tells what a call can change, and what that belongs to.
func (b *body) call(call *ast.CallExpr) (level, ast.Expr) {
	if b.pass.TypesInfo.Types[call.Fun].IsType() {
		return pure, nil
	}
	if _, literal := ast.Unparen(call.Fun).(*ast.FuncLit); literal {
		return pure, nil // its body stands here and is judged here
	}
	switch fn := b.callee(call).(type) {
	case *types.Builtin:
		switch fn.Name() {
		case "delete", "clear", "copy":
			return changesFirst, call.Args[0]
		case "close", "print", "println", "recover":
			return effects, nil
		}
		return pure, nil
	case *types.Func:
		return b.callOf(fn, call)
	case *types.Var:
		if b.owns(fn) && b.origins[fn] == fresh { // of function literals, judged where they stand
			return pure, nil
		}
	}
	return effects, nil
}

func (b *body) callOf(fn *types.Func, call *ast.CallExpr) (level, ast.Expr) {
	l := b.level(fn)
	if l == effects {
		return effects, nil
	}
	for _, arg := range call.Args { // what is handed over as a function is called
		if _, isFunc := b.typ(arg).(*types.Signature); isFunc && b.value(arg) != pure {
			return effects, nil
		}
	}
	switch l {
	case changesReceiver:
		if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
			return changesReceiver, sel.X
		}
		return effects, nil
	case changesFirst:
		return changesFirst, call.Args[0]
	}
	return pure, nil
}

// value is the level of a function that is passed on.
func (b *body) value(e ast.Expr) level {
	if b.pass.TypesInfo.Types[e].IsNil() {
		return pure
	}
	switch x := ast.Unparen(e).(type) {
	case *ast.FuncLit:
		return pure // its body stands here and is judged here
	case *ast.Ident:
		if fn, ok := b.object(x).(*types.Func); ok {
			return b.level(fn)
		}
		if obj := b.object(x); b.owns(obj) && b.origins[obj] == fresh {
			return pure
		}
	case *ast.SelectorExpr:
		if fn, ok := b.object(x.Sel).(*types.Func); ok {
			return b.level(fn)
		}
	case *ast.CallExpr: // an iterator or the like, made by a function that is judged on its own
		l, _ := b.call(x)
		return l
	case *ast.IndexExpr:
		return b.value(x.X)
	}
	return effects
}

func isBlank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}
