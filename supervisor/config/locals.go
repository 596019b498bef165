package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const localRoot = "local"

// local is one argument of a locals block.
type local struct {
	attr *hclsyntax.Attribute
	deps []string // other locals, in order of mention
	mark mark
}

type mark uint8

const (
	unvisited mark = iota
	visiting
	visited
)

// evalContext evaluates the locals of all files and makes what every other
// expression is evaluated in.
func (l *loader) evalContext() {
	w := localWalk{loader: l, all: l.collectLocals(), values: map[string]cty.Value{}}
	l.locals = slices.Sorted(maps.Keys(w.all))
	l.eval = &hcl.EvalContext{Functions: l.functions(), Variables: map[string]cty.Value{}}
	for _, name := range l.locals {
		w.all[name].deps = l.references(w.all[name].attr.Expr)
	}
	for _, name := range l.locals {
		w.visit(name)
	}
	l.eval.Variables[localRoot] = cty.ObjectVal(w.values)
}

// localWalk evaluates each local after those it depends on.
type localWalk struct {
	*loader
	all    map[string]*local
	values map[string]cty.Value
	way    []string // locals being visited, each for the sake of the one before
}

func (l *loader) collectLocals() map[string]*local {
	all := map[string]*local{}
	for _, f := range l.files {
		for _, b := range f.blocks(blockLocals) {
			for _, inner := range b.Body.Blocks {
				l.fail(inner.TypeRange, "Unexpected block", "A locals block holds only values: %s = ….", inner.Type)
			}
			for _, a := range inOrder(b.Body.Attributes) {
				if first := all[a.Name]; first != nil {
					l.fail(a.NameRange, "Repeated local", "local.%s was already given at %s. Give it another name.", a.Name, place(first.attr.NameRange))
					continue
				}
				all[a.Name] = &local{attr: a}
			}
		}
	}
	return all
}

// references are the locals an expression mentions; all of them when it mentions
// local as a whole.
func (l *loader) references(e hcl.Expression) []string {
	var names []string
	for _, t := range e.Variables() {
		if t.RootName() != localRoot {
			continue
		}
		if name, _ := localName(t); name != "" {
			names = append(names, name)
		} else {
			names = append(names, l.locals...)
		}
	}
	return names
}

// localName is the x of local.x or local["x"], and where it is.
func localName(t hcl.Traversal) (string, hcl.Range) {
	if len(t) < 2 {
		return "", hcl.Range{}
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name, step.SrcRange
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
			return step.Key.AsString(), step.SrcRange
		}
	}
	return "", hcl.Range{}
}

func (w *localWalk) visit(name string) {
	v := w.all[name]
	if v == nil || v.mark == visited {
		return
	}
	if v.mark == visiting {
		w.failCycle(append(slices.Clone(w.way[slices.Index(w.way, name):]), name))
		return
	}
	v.mark = visiting
	w.way = append(w.way, name)
	for _, dep := range v.deps {
		w.visit(dep)
	}
	w.way = w.way[:len(w.way)-1]
	v.mark = visited
	if _, inCycle := w.values[name]; inCycle {
		return
	}
	known := map[string]cty.Value{}
	for _, dep := range v.deps {
		if value, ok := w.values[dep]; ok {
			known[dep] = value
		}
	}
	w.eval.Variables[localRoot] = cty.ObjectVal(known)
	value, diags := v.attr.Expr.Value(w.eval)
	w.addEval(v.attr.Expr, diags)
	if diags.HasErrors() {
		value = cty.DynamicVal
	}
	w.values[name] = value
}

func (w *localWalk) failCycle(cycle []string) {
	for _, name := range cycle {
		w.values[name] = cty.DynamicVal
	}
	w.fail(w.all[cycle[0]].attr.Expr.Range(), "Circular locals",
		"local.%s: these locals need each other, so none of them has a value. Give one of them a value of its own.",
		strings.Join(cycle, " -> local."))
}

// addEval takes in what evaluation had to say about e. A local that may be in a
// file that can't be parsed is no error of its own.
func (l *loader) addEval(e hcl.Expression, diags hcl.Diagnostics) {
	for _, d := range diags {
		if l.nameLocal(e, d) && l.lost.locals {
			l.tainted = append(l.tainted, *d.Subject)
			continue
		}
		l.add(d)
	}
}

// nameLocal makes a clearer error of a mention of a local that is not there, and
// reports whether d is one.
func (l *loader) nameLocal(e hcl.Expression, d *hcl.Diagnostic) bool {
	if d.Subject == nil {
		return false
	}
	named := false
	for _, t := range e.Variables() {
		if t.RootName() != localRoot || !t.SourceRange().ContainsPos(d.Subject.Start) {
			continue
		}
		name, at := localName(t)
		if name == "" || slices.Contains(l.locals, name) {
			continue
		}
		d.Summary = "Unknown local"
		d.Detail = "No locals block gives a value to " + name + "." + didYouMean(nearest(name, l.locals))
		d.Subject = &at
		named = true
	}
	return named
}

// inOrder lists arguments as they are written.
func inOrder(attrs hclsyntax.Attributes) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(attrs), byPlace)
}

func byPlace(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte }
