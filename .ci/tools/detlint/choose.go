package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// gathers knows "if !slices.Contains(s, x) { s = append(s, x) }": s becomes the same set in any order.
func (l *loop) gathers(s *ast.IfStmt, sc scope) bool {
	has, assign, _ := l.adds(s)
	if has == nil {
		return false
	}
	l.expr(has.Args[1], sc)
	l.settled[ast.Unparen(has.Args[0])] = true
	l.statement(assign, sc)
	return true
}

// adds takes such a statement apart; has is nil if it is another.
func (l *loop) adds(s *ast.IfStmt) (has *ast.CallExpr, assign *ast.AssignStmt, to place) {
	not, ok := ast.Unparen(s.Cond).(*ast.UnaryExpr)
	if !ok || s.Init != nil || s.Else != nil || not.Op != token.NOT || len(s.Body.List) != 1 {
		return nil, nil, place{}
	}
	call, ok := ast.Unparen(not.X).(*ast.CallExpr)
	if !ok || len(call.Args) != 2 || !l.isFunc(call, "slices.Contains") {
		return nil, nil, place{}
	}
	if assign, ok = s.Body.List[0].(*ast.AssignStmt); !ok {
		return nil, nil, place{}
	}
	p, appends := l.appends(assign)
	if q, ok := l.place(call.Args[0]); !ok || !appends || p != q {
		return nil, nil, place{}
	}
	with := ast.Unparen(assign.Rhs[0]).(*ast.CallExpr).Args
	if len(with) != 2 || types.ExprString(with[1]) != types.ExprString(call.Args[1]) {
		return nil, nil, place{}
	}
	return call, assign, p
}

// chooses knows the search for the entry that comes first in an order: "if x < best { best = x }" and
//
//	if best == nil || v.x < best.x || v.x == best.x && key < best.key { best = v }
//
// Where more than the value compared is kept, entries may not tie: the last comparison has to be one of keys.
func (l *loop) chooses(s *ast.IfStmt, sc scope) bool {
	kept := l.kept(s.Body.List)
	if kept == nil {
		return false
	}
	var keys []string // the comparisons so far
	total, strict := false, true
	for i, term := range split(s.Cond, token.LOR) {
		if i == 0 && l.unset(term, kept) {
			continue
		}
		parts := split(term, token.LAND)
		if len(parts) != len(keys)+1 {
			return false
		}
		for j, part := range parts {
			cmp, ok := part.(*ast.BinaryExpr)
			if !ok {
				return false
			}
			pair, isKey := l.pair(cmp, kept)
			switch {
			case pair == "":
				return false
			case j < len(keys):
				if cmp.Op != token.EQL || keys[j] != pair {
					return false
				}
			case cmp.Op == token.EQL || cmp.Op == token.NEQ:
				return false
			case !strict:
				return false // those that tie so far would go on replacing each other
			default:
				strict = cmp.Op == token.LSS || cmp.Op == token.GTR
				keys, total = append(keys, pair), isKey
			}
		}
	}
	if len(keys) == 0 || !total && !l.alone(kept, keys) {
		return false
	}
	l.keep(s, kept, strings.Join(keys, ","), sc)
	return true
}

// keepers are the places that hold the best so far, and what they are set to.
type keepers struct {
	stmts []*ast.AssignStmt
	lhs   []ast.Expr
	rhs   []ast.Expr
}

func (l *loop) kept(list []ast.Stmt) *keepers {
	k := &keepers{}
	for _, s := range list {
		assign, ok := s.(*ast.AssignStmt)
		if !ok || assign.Tok != token.ASSIGN || len(assign.Lhs) != len(assign.Rhs) {
			return nil
		}
		for i, lhs := range assign.Lhs {
			p, ok := l.place(lhs)
			if !ok || l.owns(p.root) || strings.Contains(p.path, "[") {
				return nil
			}
			k.lhs, k.rhs, k.stmts = append(k.lhs, lhs), append(k.rhs, assign.Rhs[i]), append(k.stmts, assign)
		}
	}
	if len(k.lhs) == 0 {
		return nil
	}
	return k
}

// unset recognises the question whether there is a best yet.
func (l *loop) unset(e ast.Expr, k *keepers) bool {
	if not, ok := e.(*ast.UnaryExpr); ok && not.Op == token.NOT {
		return k.index(not.X) >= 0
	}
	eq, ok := e.(*ast.BinaryExpr)
	if !ok || eq.Op != token.EQL || k.index(eq.X) < 0 {
		return false
	}
	tv := l.pass.TypesInfo.Types[eq.Y]
	return tv.IsNil() || tv.Value != nil
}

func (k *keepers) index(e ast.Expr) int {
	text := types.ExprString(ast.Unparen(e))
	return slices.IndexFunc(k.lhs, func(lhs ast.Expr) bool { return types.ExprString(lhs) == text })
}

// pair spells a comparison of an entry with the best; isKey is that of the map's key, which no two entries share.
func (l *loop) pair(cmp *ast.BinaryExpr, k *keepers) (text string, isKey bool) {
	switch cmp.Op {
	case token.LSS, token.GTR, token.LEQ, token.GEQ, token.EQL:
	default:
		return "", false
	}
	if basic, ok := l.typ(cmp.X).(*types.Basic); !ok || basic.Info()&types.IsOrdered == 0 || basic.Info()&types.IsFloat != 0 {
		return "", false
	}
	for _, sides := range [][2]ast.Expr{{cmp.X, cmp.Y}, {cmp.Y, cmp.X}} {
		entry, best := types.ExprString(sides[0]), types.ExprString(sides[1])
		for i, lhs := range k.lhs {
			of, is := types.ExprString(k.rhs[i]), types.ExprString(lhs)
			rest, ofBest := strings.CutPrefix(best, is)
			if !ofBest || rest != "" && rest[0] != '.' {
				continue
			}
			if entry == of+rest {
				return entry + "~" + best, l.isKey(sides[0])
			}
			if l.isKey(sides[0]) {
				return entry + "~" + best, true
			}
		}
	}
	return "", false
}

// alone reports whether the one value compared is all that is kept.
func (l *loop) alone(k *keepers, keys []string) bool {
	return len(k.lhs) == 1 && len(keys) == 1 && keys[0] == types.ExprString(k.rhs[0])+"~"+types.ExprString(k.lhs[0])
}

func (l *loop) keep(s *ast.IfStmt, k *keepers, by string, sc scope) {
	for i, lhs := range k.lhs {
		l.expr(k.rhs[i], sc)
		if p, lasts := l.lasting(lhs, false, s, sc); lasts {
			l.settled[ast.Unparen(lhs)] = true
			l.add(p, "first by "+by, k.stmts[i], sc)
		}
	}
	ast.Inspect(s.Cond, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			for _, lhs := range k.lhs {
				p, _ := l.place(lhs)
				if q, ok := l.place(e); ok && overlap(p, q) {
					l.settled[e] = true
				}
			}
		}
		return true
	})
}

func split(e ast.Expr, op token.Token) []ast.Expr {
	e = ast.Unparen(e)
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == op {
		return append(split(b.X, op), split(b.Y, op)...)
	}
	return []ast.Expr{e}
}
