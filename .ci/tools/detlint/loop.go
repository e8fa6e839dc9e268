package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// loop is a piece of code that runs once for each entry of a map, in random order. It is harmless when each change that
// outlives an iteration is one that all orders agree on: see [change].
type loop struct {
	*body
	around   *ast.BlockStmt // of the function
	over     ast.Expr
	val      types.Object
	callback string // the function that calls back; none in a loop
	changes  []change
	settled  map[ast.Expr]bool // reads that are part of a change and no use of its result
	ranged   map[ast.Expr]bool // what loops within go over
	exits    []exit
	fault    string
	at       token.Pos
}

// place is what can be changed: a variable, and the way from it.
type place struct {
	root types.Object
	path string
}

// change is one that outlives the iteration. Those of one place agree in all orders when they are of one kind.
type change struct {
	place
	kind   string // "own": of this iteration's entry alone; "=…": to the same constant; "append"; or an operation whose order doesn't matter
	pos    token.Pos
	asExit bool // it stands right before an exit
}

// exit ends the loop early. Those of a loop must be the same, for the order decides which one is met.
type exit struct {
	what string
	pos  token.Pos
	ends bool // the function, so that its own variables are gone
}

const own = "own"

func newLoop(fs *functions, stack []ast.Node, node ast.Node, over ast.Expr) *loop {
	return &loop{body: newBody(fs, node), around: enclosing(stack), over: over, settled: make(map[ast.Expr]bool), ranged: make(map[ast.Expr]bool)}
}

func (l *loop) variable(e ast.Expr) types.Object {
	if id, ok := e.(*ast.Ident); ok && !isBlank(id) {
		return l.object(id)
	}
	return nil
}

func (l *loop) check(block *ast.BlockStmt) {
	if r, ok := l.node.(*ast.RangeStmt); ok && r.Tok == token.ASSIGN {
		l.complain(r, "the loop's variables outlive it")
	}
	l.body.key = l.key
	if l.val != nil {
		l.origins[l.val] = derived
	}
	if l.key != nil {
		l.origins[l.key] = derived
	}
	l.trace(block)
	if l.val != nil {
		l.origins[l.val] = derived
	}
	l.block(block.List, scope{})
	l.checkExits()
	l.checkKinds()
	l.checkReads(block)
	l.checkAppends()
	if l.fault == "" {
		return
	}
	what := "range over a map"
	if l.callback != "" {
		what = l.callback
	}
	l.pass.Reportf(l.node.Pos(), "%s in random order: line %d: %s; loop over sorted keys, slices.Sorted(maps.Keys(%s)), or make it independent of the order",
		what, l.pass.Fset.Position(l.at).Line, l.fault, types.ExprString(l.over))
}

func (l *loop) complain(n ast.Node, format string, args ...any) {
	l.complainAt(n.Pos(), format, args...)
}

func (l *loop) complainAt(pos token.Pos, format string, args ...any) {
	if l.fault == "" {
		l.fault, l.at = fmt.Sprintf(format, args...), pos
	}
}

// place finds what an expression denotes, if that is a variable or lies in one.
func (b *body) place(e ast.Expr) (place, bool) {
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		if v, ok := b.object(x).(*types.Var); ok {
			return place{root: v}, true
		}
	case *ast.SelectorExpr:
		sel, ok := b.pass.TypesInfo.Selections[x]
		if !ok {
			if v, ok := b.object(x.Sel).(*types.Var); ok {
				return place{root: v}, true
			}
			return place{}, false
		}
		p, ok := b.place(x.X)
		if ok && sel.Kind() == types.FieldVal {
			p.path += "." + x.Sel.Name
		}
		return p, ok
	case *ast.IndexExpr:
		if b.pass.TypesInfo.Types[x.X].IsValue() {
			p, ok := b.place(x.X)
			if b.isKey(x.Index) {
				p.path += "[key]"
			} else {
				p.path += "[]"
			}
			return p, ok
		}
	case *ast.SliceExpr:
		return b.place(x.X)
	case *ast.StarExpr:
		return b.place(x.X)
	case *ast.TypeAssertExpr:
		return b.place(x.X)
	case *ast.UnaryExpr:
		if x.Op == token.AND {
			return b.place(x.X)
		}
	}
	return place{}, false
}

func overlap(p, q place) bool {
	if p.root != q.root {
		return false
	}
	a, b := strings.ReplaceAll(p.path, "[key]", "[]"), strings.ReplaceAll(q.path, "[key]", "[]")
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.' || b[len(a)] == '[')
}

func (p place) String() string {
	if p.root == nil {
		return "what it points to"
	}
	return p.root.Name() + strings.NewReplacer("[key]", "[…]", "[]", "[…]").Replace(p.path)
}

// perKey is the part of a path that belongs to one key, "" if there is none.
func (p place) perKey() string {
	if i := strings.Index(p.path, "[key]"); i >= 0 {
		return p.path[:i+len("[key]")]
	}
	return ""
}

func (l *loop) add(p place, kind string, n ast.Node, sc scope) {
	l.changes = append(l.changes, change{p, kind, n.Pos(), sc.exits && strings.HasPrefix(kind, "=")})
}

// lasting tells whether a change of e outlives the iteration; if it stays within this iteration's entry, that is noted here.
func (l *loop) lasting(e ast.Expr, through bool, n ast.Node, sc scope) (place, bool) {
	root, deref, hops := l.root(e)
	if through {
		hops += l.pointer(e)
	}
	if l.owns(root) {
		switch {
		case !deref && !through, l.origins[root] == fresh && hops <= 1:
			return place{}, false
		case l.origins[root] == derived && hops <= 1:
			l.add(place{root: root}, own, n, sc)
			return place{}, false
		}
	}
	p, ok := l.place(e)
	if !ok {
		return place{}, true
	}
	if p.perKey() != "" {
		l.add(p, own, n, sc)
		return place{}, false
	}
	return p, true
}

// invariant reports whether an expression is the same in each iteration. What the loop changes may not be read anyway.
func (l *loop) invariant(e ast.Expr) bool {
	same := true
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && l.pass.TypesInfo.Uses[id] != nil {
			if v, ok := l.object(id).(*types.Var); ok && !v.IsField() && l.owns(v) {
				same = false
			}
		}
		return same
	})
	return same
}

func (l *loop) checkKinds() {
	for i, c := range l.changes {
		for _, d := range l.changes[:i] {
			if c.place == d.place && c.kind != d.kind {
				l.complainAt(c.pos, "%s is changed in two ways, of which the later wins", c.place)
			}
		}
	}
}

func (l *loop) checkExits() {
	if len(l.exits) == 0 {
		return
	}
	first := l.exits[0]
	ends := true
	for _, e := range l.exits {
		ends = ends && e.ends
		if e.what != first.what {
			l.complainAt(e.pos, "of this exit and that at line %d, the order decides which one is taken", l.pass.Fset.Position(first.pos).Line)
		}
	}
	for _, c := range l.changes {
		if !c.asExit && !(ends && l.endsWith(c.root)) {
			l.complainAt(c.pos, "the early exit at line %d leaves it to the order which entries this was done for", l.pass.Fset.Position(first.pos).Line)
		}
	}
}

// endsWith reports whether a variable of the function is gone when it returns one of the invariant results of an exit.
func (l *loop) endsWith(root types.Object) bool {
	if root == nil || l.around == nil || root.Pos() < l.around.Pos() || root.Pos() >= l.around.End() {
		return false
	}
	outer := newBody(l.functions, l.around)
	outer.trace(l.around)
	if l.isReferenceType(root.Type()) && outer.origins[root] != fresh {
		return false
	}
	for _, e := range l.exits {
		if slices.Contains(strings.FieldsFunc(e.what, func(r rune) bool {
			return !strings.ContainsRune("_", r) && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
		}), root.Name()) {
			return false
		}
	}
	return true
}

func (l *loop) isReferenceType(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Basic:
		return false
	}
	return true
}

// checkReads wants nothing to depend on what earlier iterations left.
func (l *loop) checkReads(block *ast.BlockStmt) {
	var look func(n ast.Node) bool
	look = func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if _, field := kv.Key.(*ast.Ident); field && !l.pass.TypesInfo.Types[kv.Key].IsValue() {
				ast.Inspect(kv.Value, look)
				return false
			}
		}
		if !l.settled[e] {
			p, ok := l.place(e)
			if !ok {
				return true
			}
			if over, _ := l.place(l.over); l.ranged[e] && p == over && l.changesOwn() {
				l.complain(e, "looks at all entries, which their own iterations change")
			}
			if l.otherEntry(p) {
				l.complain(e, "reads another entry, which its own iteration changes")
			}
			for _, c := range l.changes {
				if c.kind == own && (l.owns(c.root) || p.perKey() == c.perKey()) || !overlap(p, c.place) {
					continue
				}
				l.complain(e, "reads %s, which earlier iterations changed", c.place)
			}
		}
		for { // on to what a place is indexed by
			switch x := ast.Unparen(e).(type) {
			case *ast.SelectorExpr:
				e = x.X
				continue
			case *ast.StarExpr:
				e = x.X
				continue
			case *ast.TypeAssertExpr:
				e = x.X
				continue
			case *ast.UnaryExpr:
				e = x.X
				continue
			case *ast.SliceExpr:
				for _, i := range []ast.Expr{x.Low, x.High, x.Max} {
					if i != nil {
						ast.Inspect(i, look)
					}
				}
				e = x.X
				continue
			case *ast.IndexExpr:
				ast.Inspect(x.Index, look)
				e = x.X
				continue
			}
			break
		}
		_, leaf := ast.Unparen(e).(*ast.Ident)
		if !leaf {
			ast.Inspect(e, look)
		}
		return false
	}
	ast.Inspect(block, look)
}

// otherEntry reports whether a place lies in an entry of the map that isn't the iteration's own, while each changes its own.
func (l *loop) otherEntry(p place) bool {
	over, ok := l.place(l.over)
	return ok && p.root == over.root && strings.HasPrefix(p.path, over.path+"[]") && l.changesOwn()
}

func (l *loop) changesOwn() bool {
	return slices.ContainsFunc(l.changes, func(c change) bool { return c.kind == own && l.owns(c.root) })
}

func (l *loop) checkAppends() {
	for _, c := range l.changes {
		if c.kind != "append" {
			continue
		}
		if problem := l.sortedLater(c.place); problem != "" {
			l.complainAt(c.pos, "%s grows in random order and %s", c.place, problem)
		}
	}
}
