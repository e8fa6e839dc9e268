package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// scope is where in a loop a statement stands.
type scope struct {
	nested   bool // in a statement that break leaves, within the loop
	exits    bool // right before an exit
	function bool // in a function literal, which return leaves
}

func (l *loop) block(list []ast.Stmt, sc scope) {
	sc.exits = false
	if len(list) > 0 && l.isExit(list[len(list)-1], sc) {
		sc.exits = true
	}
	for _, s := range list {
		l.statement(s, sc)
	}
}

// isExit reports whether a statement ends the loop.
func (l *loop) isExit(s ast.Stmt, sc scope) bool {
	switch s := s.(type) {
	case *ast.ReturnStmt:
		return !sc.function && !l.goesOn(s)
	case *ast.BranchStmt:
		return s.Tok == token.BREAK && (!sc.nested || s.Label != nil) || s.Tok == token.GOTO || s.Tok == token.CONTINUE && l.leaves(s.Label)
	}
	return false
}

// leaves reports whether a label is of a statement around the loop.
func (l *loop) leaves(label *ast.Ident) bool {
	if label == nil {
		return false
	}
	obj := l.pass.TypesInfo.Uses[label]
	return obj != nil && !l.owns(obj) && !l.labels(obj)
}

// labels reports whether a label is the loop's own.
func (l *loop) labels(obj types.Object) bool {
	found := false
	ast.Inspect(l.around, func(n ast.Node) bool {
		if s, ok := n.(*ast.LabeledStmt); ok && s.Stmt == l.node && l.object(s.Label) == obj {
			found = true
		}
		return !found
	})
	return found
}

// goesOn reports whether a return in a callback asks for the next entry.
func (l *loop) goesOn(s *ast.ReturnStmt) bool {
	if l.callback == "" {
		return false
	}
	if l.callback == "DeleteFunc" || len(s.Results) == 0 {
		return true
	}
	v := l.pass.TypesInfo.Types[s.Results[0]].Value
	return v != nil && v.String() == "true"
}

func (l *loop) statement(s ast.Stmt, sc scope) {
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
	case *ast.ExprStmt:
		l.exprStatement(s, sc)
	case *ast.AssignStmt:
		l.assign(s, sc)
	case *ast.IncDecStmt:
		l.operate(s.X, "+", s, sc)
	case *ast.DeclStmt:
		l.exprs(s, sc)
	case *ast.BlockStmt:
		l.block(s.List, sc)
	case *ast.LabeledStmt:
		l.statement(s.Stmt, sc)
	case *ast.IfStmt:
		l.ifStatement(s, sc)
	case *ast.ForStmt:
		sc.nested = true
		l.statement(s.Init, sc)
		l.expr(s.Cond, sc)
		l.statement(s.Post, sc)
		l.block(s.Body.List, sc)
	case *ast.RangeStmt:
		l.rangeStatement(s, sc)
	case *ast.SwitchStmt:
		sc.nested = true
		l.statement(s.Init, sc)
		l.expr(s.Tag, sc)
		l.clauses(s.Body, sc)
	case *ast.TypeSwitchStmt:
		sc.nested = true
		l.statement(s.Init, sc)
		l.exprs(s.Assign, sc)
		l.clauses(s.Body, sc)
	case *ast.ReturnStmt:
		l.returns(s, sc)
	case *ast.BranchStmt:
		if l.isExit(s, sc) {
			l.exits = append(l.exits, exit{what: strings.TrimSpace(s.Tok.String() + l.before(sc)), pos: s.Pos()})
			if s.Label != nil && s.Tok == token.BREAK && l.owns(l.pass.TypesInfo.Uses[s.Label]) {
				l.exits = l.exits[:len(l.exits)-1] // of a statement within
			}
		}
	case *ast.DeferStmt:
		l.complain(s, "defers a call")
	default: // go, select, send
		l.complain(s, "leaves the order of effects to the scheduler")
	}
}

func (l *loop) clauses(body *ast.BlockStmt, sc scope) {
	for _, c := range body.List {
		clause := c.(*ast.CaseClause)
		for _, e := range clause.List {
			l.expr(e, sc)
		}
		l.block(clause.Body, sc)
	}
}

// before spells the constants that are set right before an exit, which is another one if they differ.
func (l *loop) before(sc scope) string {
	var b strings.Builder
	for _, c := range l.changes {
		if c.asExit && sc.exits {
			b.WriteString(" " + c.place.String() + c.kind)
		}
	}
	return b.String()
}

func (l *loop) returns(s *ast.ReturnStmt, sc scope) {
	for _, e := range s.Results {
		l.expr(e, sc)
	}
	if sc.function || l.goesOn(s) {
		return
	}
	text := make([]string, len(s.Results))
	for i, e := range s.Results {
		text[i] = types.ExprString(e)
		if !l.invariant(e) {
			l.complain(s, "returns what it finds first")
		}
	}
	l.exits = append(l.exits, exit{"return " + strings.Join(text, ", ") + l.before(sc), s.Pos(), l.callback == ""})
}

func (l *loop) rangeStatement(s *ast.RangeStmt, sc scope) {
	sc.nested = true
	l.ranged[s.X] = true
	l.expr(s.X, sc)
	if _, iterator := l.typ(s.X).(*types.Signature); iterator && l.value(s.X) != pure {
		l.complain(s, "ranges over an iterator that can have effects")
	}
	if s.Tok == token.ASSIGN {
		for _, e := range []ast.Expr{s.Key, s.Value} {
			if e != nil && !isBlank(e) {
				l.set(e, nil, s, sc)
			}
		}
	}
	l.block(s.Body.List, sc)
}

func (l *loop) ifStatement(s *ast.IfStmt, sc scope) {
	if s.Init == nil && s.Else == nil && (l.gathers(s, sc) || l.chooses(s, sc)) {
		return
	}
	l.statement(s.Init, sc)
	l.expr(s.Cond, sc)
	l.block(s.Body.List, sc)
	l.statement(s.Else, sc)
}

func (l *loop) assign(s *ast.AssignStmt, sc scope) {
	for _, e := range s.Rhs {
		l.expr(e, sc)
	}
	if s.Tok == token.DEFINE {
		for _, lhs := range s.Lhs { // it may set variables from before
			if id, ok := lhs.(*ast.Ident); ok && !isBlank(id) && !l.owns(l.object(id)) {
				l.set(lhs, nil, s, sc)
			}
		}
		return
	}
	if s.Tok != token.ASSIGN {
		l.operate(s.Lhs[0], strings.TrimSuffix(s.Tok.String(), "="), s, sc)
		return
	}
	if p, ok := l.appends(s); ok {
		if _, lasts := l.lasting(s.Lhs[0], false, s, sc); lasts {
			l.settled[s.Lhs[0]], l.settled[ast.Unparen(s.Rhs[0]).(*ast.CallExpr).Args[0]] = true, true
			l.add(p, "append", s, sc)
		}
		return
	}
	for i, lhs := range s.Lhs {
		if isBlank(lhs) {
			continue
		}
		var rhs ast.Expr
		if len(s.Rhs) == len(s.Lhs) {
			rhs = s.Rhs[i]
		}
		l.set(lhs, rhs, s, sc)
	}
}

// set judges lhs = rhs; rhs is nil where it isn't an expression of its own.
func (l *loop) set(lhs, rhs ast.Expr, s ast.Stmt, sc scope) {
	l.indexes(lhs, sc)
	l.settled[ast.Unparen(lhs)] = true
	p, lasts := l.lasting(lhs, false, s, sc)
	if !lasts {
		return
	}
	if rhs != nil && l.invariant(rhs) {
		if kind, again := l.operation(p, rhs); again {
			l.add(p, kind, s, sc)
			return
		}
		l.add(p, "="+types.ExprString(rhs), s, sc)
		return
	}
	if rhs != nil {
		if kind, ok := l.operation(p, rhs); ok {
			l.add(p, kind, s, sc)
			return
		}
	}
	l.complain(s, "%s ends up with what the last entry gives", p)
}

// operation finds p in rhs = p + x, max(p, x) and the like.
func (l *loop) operation(p place, rhs ast.Expr) (kind string, ok bool) {
	switch x := ast.Unparen(rhs).(type) {
	case *ast.BinaryExpr:
		if q, isPlace := l.place(x.X); isPlace && p == q && l.commutes(x.Op.String(), x.X) {
			l.settled[ast.Unparen(x.X)] = true
			return strings.ReplaceAll(x.Op.String(), "-", "+"), true
		}
	case *ast.CallExpr:
		fn, isBuiltin := l.callee(x).(*types.Builtin)
		if !isBuiltin || fn.Name() != "min" && fn.Name() != "max" {
			return "", false
		}
		for _, arg := range x.Args {
			if q, isPlace := l.place(arg); isPlace && p == q {
				l.settled[ast.Unparen(arg)] = true
				return fn.Name(), true
			}
		}
	}
	return "", false
}

// commutes reports whether the results of an operation on e are the same in any order.
func (l *loop) commutes(op string, e ast.Expr) bool {
	switch op {
	case "||", "&&":
		return true
	case "+", "-", "*", "|", "&", "^":
		basic, ok := l.typ(e).(*types.Basic)
		return ok && basic.Info()&types.IsInteger != 0
	}
	return false
}

func (l *loop) operate(e ast.Expr, op string, s ast.Stmt, sc scope) {
	l.indexes(e, sc)
	l.settled[ast.Unparen(e)] = true
	p, lasts := l.lasting(e, false, s, sc)
	if !lasts {
		return
	}
	if !l.commutes(op, e) {
		l.complain(s, "the order shows in %s: %s on %s isn't commutative", p, op, l.typ(e))
	}
	l.add(p, strings.ReplaceAll(op, "-", "+"), s, sc)
}

// indexes judges the expressions in a place.
func (l *loop) indexes(e ast.Expr, sc scope) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.IndexExpr:
			l.expr(x.Index, sc)
		case *ast.CallExpr:
			l.expr(x, sc)
			return false
		}
		return true
	})
}

func (l *loop) exprStatement(s *ast.ExprStmt, sc scope) {
	call, ok := ast.Unparen(s.X).(*ast.CallExpr)
	if ok && len(call.Args) == 2 {
		if fn, ok := l.callee(call).(*types.Builtin); ok && fn.Name() == "delete" {
			l.remove(call, sc)
			return
		}
	}
	l.expr(s.X, sc)
}

func (l *loop) remove(call *ast.CallExpr, sc scope) {
	m, key := call.Args[0], call.Args[1]
	l.expr(m, sc)
	l.expr(key, sc)
	p, lasts := l.lasting(m, true, call, sc)
	if !lasts {
		return
	}
	over, _ := l.place(l.over)
	switch {
	case l.isKey(key):
		p.path += "[key]"
		l.settled[ast.Unparen(m)] = true
		l.add(p, own, call, sc)
	case over == p:
		l.complain(call, "deletes entries that the loop may or may not have met")
	default:
		p.path += "[]"
		l.settled[ast.Unparen(m)] = true
		l.add(p, "delete", call, sc)
	}
}

// exprs judges all expressions below a node.
func (l *loop) exprs(n ast.Node, sc scope) {
	ast.Inspect(n, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			l.expr(e, sc)
			return false
		}
		return true
	})
}

func (l *loop) expr(e ast.Expr, sc scope) {
	if e == nil {
		return
	}
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			l.block(n.Body.List, scope{nested: true, function: true})
			return false
		case *ast.CallExpr:
			l.calls(n, sc)
		}
		return true
	})
}

func (l *loop) calls(call *ast.CallExpr, sc scope) {
	switch level, target := l.call(call); level {
	case effects:
		l.complain(call, "calls %s, which can have effects", types.ExprString(call.Fun))
	case changesReceiver, changesFirst:
		if p, lasts := l.lasting(target, l.isReference(target), call, sc); lasts {
			l.complain(call, "calls %s, which changes %s", types.ExprString(call.Fun), p)
		}
	}
}
