package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// checkMaps finds maps whose random order can reach anything outside of one iteration.
func checkMaps(pass *analysis.Pass, f *ast.File, fs *functions) {
	var stack []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		stack = append(stack, n)
		switch n := n.(type) {
		case *ast.RangeStmt:
			if over := rangedMap(fs, n); over != nil {
				l := newLoop(fs, stack, n, over)
				l.key, l.val = l.variable(n.Key), l.variable(n.Value)
				if valuesOnly(fs, n.X) {
					l.key, l.val = nil, l.key
				}
				l.check(n.Body)
			}
		case *ast.CallExpr:
			checkCallback(fs, stack, n)
		case *ast.Ident:
			if fn, ok := pass.TypesInfo.Uses[n].(*types.Func); ok && isIterator(fn) {
				checkIterator(fs, stack, n)
			}
		}
		return true
	})
}

func isIterator(fn *types.Func) bool {
	return fn.Pkg() != nil && fn.Pkg().Path() == "maps" && slices.Contains([]string{"Keys", "Values", "All"}, fn.Name())
}

func valuesOnly(fs *functions, e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, ok := newBody(fs, call).callee(call).(*types.Func)
	return ok && isIterator(fn) && fn.Name() == "Values"
}

// rangedMap is the map that a statement ranges over, or nil.
func rangedMap(fs *functions, n *ast.RangeStmt) ast.Expr {
	b := newBody(fs, n)
	if call, ok := ast.Unparen(n.X).(*ast.CallExpr); ok {
		if fn, ok := b.callee(call).(*types.Func); ok && isIterator(fn) && len(call.Args) == 1 {
			return call.Args[0]
		}
	}
	if isMap(b.pass.TypesInfo.TypeOf(n.X)) {
		return n.X
	}
	return nil
}

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	if _, ok := t.Underlying().(*types.Map); ok {
		return true
	}
	if p, ok := types.Unalias(t).(*types.TypeParam); ok { // any of its types is a map
		union := p.Underlying().(*types.Interface)
		for i := range union.NumEmbeddeds() {
			switch e := union.EmbeddedType(i).(type) {
			case *types.Union:
				for j := range e.Len() {
					if isMap(e.Term(j).Type()) {
						return true
					}
				}
			default:
				if isMap(e) {
					return true
				}
			}
		}
	}
	return false
}

// checkCallback treats functions that call back for each entry of a map like loops over it.
func checkCallback(fs *functions, stack []ast.Node, call *ast.CallExpr) {
	fn, ok := newBody(fs, call).callee(call).(*types.Func)
	if !ok || fn.Pkg() == nil {
		return
	}
	var over, callback ast.Expr
	switch name := fn.Pkg().Path() + "." + qualified(fn); name {
	case "maps.DeleteFunc":
		over, callback = call.Args[0], call.Args[1]
	case "google.golang.org/protobuf/reflect/protoreflect.Message.Range", "google.golang.org/protobuf/reflect/protoreflect.Map.Range":
		sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
		if !ok {
			return
		}
		over, callback = sel.X, call.Args[0]
	default:
		return
	}
	lit, ok := ast.Unparen(callback).(*ast.FuncLit)
	if !ok {
		if newBody(fs, call).value(callback) != pure {
			fs.pass.Reportf(call.Pos(), "%s calls back in random order, and what it calls can have effects: loop over sorted keys", fn.Name())
		}
		return
	}
	l := newLoop(fs, append(stack, lit), lit, over)
	l.callback = fn.Name()
	var params []*ast.Ident
	for _, field := range lit.Type.Params.List {
		params = append(params, field.Names...)
	}
	if len(params) == 2 {
		l.key, l.val = l.variable(params[0]), l.variable(params[1])
	}
	l.check(lit.Body)
}

// checkIterator wants what maps.Keys, Values and All give to be sorted, put into a map, or looped over.
func checkIterator(fs *functions, stack []ast.Node, id *ast.Ident) {
	i := len(stack) - 1
	up := func() ast.Node {
		for i--; i >= 0; i-- {
			switch n := stack[i].(type) {
			case *ast.ParenExpr, *ast.IndexExpr, *ast.IndexListExpr:
			case *ast.SelectorExpr:
				if n.Sel != id {
					return n
				}
			default:
				return n
			}
		}
		return nil
	}
	report := func() {
		fs.pass.Reportf(id.Pos(), "maps.%s gives a random order: take slices.Sorted(maps.Keys(m)), or sort what is collected right away", id.Name)
	}
	call, ok := up().(*ast.CallExpr)
	if !ok || slices.Contains(call.Args, ast.Expr(id)) {
		report() // as a value
		return
	}
	switch parent := up().(type) {
	case *ast.RangeStmt: // checked as a loop
		return
	case *ast.CallExpr:
		fn, ok := newBody(fs, parent).callee(parent).(*types.Func)
		if !ok || fn.Pkg() == nil {
			break
		}
		switch fn.Pkg().Path() + "." + fn.Name() {
		case "slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc", "maps.Collect", "maps.Insert":
			return
		case "slices.Collect", "slices.AppendSeq":
			assign, ok := up().(*ast.AssignStmt)
			if !ok || len(assign.Lhs) != 1 {
				break
			}
			l := newLoop(fs, stack, assign, call.Args[0])
			if p, ok := l.place(assign.Lhs[0]); ok && l.sortedLater(p) == "" {
				return
			}
		}
	}
	report()
}

// enclosing is the body of the innermost function around the end of the stack.
func enclosing(stack []ast.Node) *ast.BlockStmt {
	for _, n := range slices.Backward(stack[:len(stack)-1]) {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return n.Body
		case *ast.FuncLit:
			return n.Body
		}
	}
	return nil
}

var sorts = []string{"slices.Sort", "slices.SortFunc", "slices.SortStableFunc", "sort.Slice", "sort.SliceStable", "sort.Strings", "sort.Ints", "sort.Sort", "sort.Stable"}

// sortedLater reports what is wrong with the order of a slice after the loop: nothing, if a sort is what uses it first.
func (l *loop) sortedLater(p place) string {
	if l.around == nil {
		return "is never sorted"
	}
	var blocks []ast.Node
	problem, done := "is never sorted here", false
	ast.Inspect(l.around, func(n ast.Node) bool {
		if n == nil {
			blocks = blocks[:len(blocks)-1]
			return true
		}
		if done || n.End() <= l.node.End() && n.Pos() != l.node.Pos() {
			return false
		}
		if n.Pos() < l.node.End() && n.End() <= l.node.End() {
			return false
		}
		if n.Pos() >= l.node.End() {
			switch n := n.(type) {
			case *ast.IfStmt:
				if has, _, q := l.adds(n); has != nil && q == p {
					return false
				}
			case *ast.AssignStmt: // gathers more
				if q, ok := l.appends(n); ok && q == p {
					return false
				}
			case *ast.CallExpr:
				switch l.measures(n, p) {
				case sizes:
					return false
				case orders:
					done = true
					if problem = ""; !dominates(blocks, l.node) {
						problem = fmt.Sprintf("is sorted at line %d only in some cases", l.line(n))
					}
					return false
				}
			case ast.Expr:
				if q, ok := l.place(n); ok && overlap(p, q) {
					done, problem = true, fmt.Sprintf("is used at line %d before it is sorted", l.line(n))
					return false
				}
			}
		}
		blocks = append(blocks, n)
		return true
	})
	return problem
}

type use int

const (
	other use = iota
	sizes
	orders
)

// measures tells whether a call sorts what is in a place, or asks for its size only.
func (l *loop) measures(call *ast.CallExpr, p place) use {
	if len(call.Args) == 0 {
		return other
	}
	arg := ast.Unparen(call.Args[0])
	if conv, ok := arg.(*ast.CallExpr); ok && len(conv.Args) == 1 && l.pass.TypesInfo.Types[conv.Fun].IsType() {
		arg = conv.Args[0]
	}
	if q, ok := l.place(arg); !ok || q != p {
		return other
	}
	switch fn := l.callee(call).(type) {
	case *types.Builtin:
		if fn.Name() == "len" || fn.Name() == "cap" {
			return sizes
		}
	case *types.Func:
		if l.isFunc(call, sorts...) {
			return orders
		}
	}
	return other
}

// dominates reports whether the innermost block or case of path has the loop in it as well.
func dominates(path []ast.Node, loop ast.Node) bool {
	for _, n := range slices.Backward(path) {
		switch n.(type) {
		case *ast.BlockStmt, *ast.CaseClause, *ast.FuncLit:
			return n.Pos() <= loop.Pos() && loop.End() <= n.End()
		}
	}
	return true
}

func (l *loop) line(n ast.Node) int { return l.pass.Fset.Position(n.Pos()).Line }

// appends is the place of s in the statement s = append(s, …).
func (l *loop) appends(n *ast.AssignStmt) (place, bool) {
	if n.Tok != token.ASSIGN || len(n.Lhs) != 1 {
		return place{}, false
	}
	call, ok := ast.Unparen(n.Rhs[0]).(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return place{}, false
	}
	if fn, ok := l.callee(call).(*types.Builtin); (!ok || fn.Name() != "append") && !l.isFunc(call, "slices.AppendSeq") {
		return place{}, false
	}
	p, ok := l.place(n.Lhs[0])
	q, ok2 := l.place(call.Args[0])
	return p, ok && ok2 && p == q
}
