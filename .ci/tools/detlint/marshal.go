package main

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

const protobuf = "google.golang.org/protobuf/proto"

// checkMarshal finds messages that are encoded with their maps in random order.
func checkMarshal(pass *analysis.Pass, f *ast.File, fs *functions) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		fn, ok := newBody(fs, call).callee(call).(*types.Func)
		if !ok || fn.Pkg() == nil || fn.Pkg().Path() != protobuf || len(call.Args) == 0 {
			return true
		}
		switch qualified(fn) {
		case "Marshal":
		case "MarshalOptions.Marshal", "MarshalOptions.MarshalAppend":
			if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && isDeterministic(pass, sel.X) {
				return true
			}
		default:
			return true
		}
		if hasMap(pass.TypesInfo.TypeOf(call.Args[len(call.Args)-1]), make(map[types.Type]bool)) {
			pass.Reportf(call.Pos(), "%s encodes maps in random order, and this message has one or may have: marshal with proto.MarshalOptions{Deterministic: true}", fn.Name())
		}
		return true
	})
}

// isDeterministic looks for Deterministic: true in options, or in what the package sets a variable of options to.
func isDeterministic(pass *analysis.Pass, options ast.Expr) bool {
	switch x := ast.Unparen(options).(type) {
	case *ast.CompositeLit:
		for _, e := range x.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok && types.ExprString(kv.Key) == "Deterministic" {
				v := pass.TypesInfo.Types[kv.Value].Value
				return v != nil && v.String() == "true"
			}
		}
	case *ast.Ident:
		found := false
		for _, f := range pass.Files {
			ast.Inspect(f, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == 1 && len(spec.Values) == 1 &&
					pass.TypesInfo.Defs[spec.Names[0]] == pass.TypesInfo.Uses[x] {
					found = isDeterministic(pass, spec.Values[0])
				}
				return !found
			})
		}
		return found
	}
	return false
}

// hasMap reports whether a message can have a map in it. Of an interface nobody can tell, but for those that stand for a oneof.
func hasMap(t types.Type, seen map[types.Type]bool) bool {
	t = types.Unalias(t)
	if seen[t] {
		return false
	}
	seen[t] = true
	switch u := t.Underlying().(type) {
	case *types.Map:
		return true
	case *types.Pointer:
		return hasMap(u.Elem(), seen)
	case *types.Slice:
		return hasMap(u.Elem(), seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if tag := u.Tag(i); tag != "" && hasMap(u.Field(i).Type(), seen) { // fields without a tag are the runtime's own
				return true
			}
		}
	case *types.Interface:
		return !isOneof(t) || oneofHasMap(t, u, seen)
	}
	return false
}

func isOneof(t types.Type) bool {
	named, ok := t.(*types.Named)
	return ok && !named.Obj().Exported()
}

func oneofHasMap(t types.Type, oneof *types.Interface, seen map[types.Type]bool) bool {
	scope := t.(*types.Named).Obj().Pkg().Scope()
	for _, name := range scope.Names() {
		tn, ok := scope.Lookup(name).(*types.TypeName)
		if ok && !types.IsInterface(tn.Type()) && types.Implements(types.NewPointer(tn.Type()), oneof) && hasMap(tn.Type(), seen) {
			return true
		}
	}
	return false
}
