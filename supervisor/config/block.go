package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// shape is what a type of block may hold.
type shape struct {
	name     string
	label    string // what its one label is; "" when it has none
	repeated bool   // may be there more than once
	args     []string
	siteOnly []string // of a site's arguments: those that defaults can't have
	blocks   []shape
}

// argument is one argument of a block that is decoded into a T. set reports
// whether the argument says anything: null does not. What is wrong it reports
// itself, and leaves the T as it was.
type argument[T any] struct {
	name string
	set  func(l *loader, to *T, e hcl.Expression) (said bool)
}

// said are the arguments that were given, by name, with that of the block and a
// dot before it: "logs.body".
type said map[string]hcl.Expression

// decode sets what body has of args, in the order of args.
func decode[T any](l *loader, body *hclsyntax.Body, args []argument[T], to *T, prefix string, given said) {
	for _, a := range args {
		if attr := body.Attributes[a.name]; attr != nil && a.set(l, to, attr.Expr) {
			given[prefix+a.name] = attr.Expr
		}
	}
}

func argNames[T any](args []argument[T]) []string {
	names := make([]string, len(args))
	for i, a := range args {
		names[i] = a.name
	}
	return names
}

func textArg[T any](name string, field func(*T) *string, check func(l *loader, s string, at hcl.Range) (string, bool)) argument[T] {
	return argument[T]{name, func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if s, ok := l.text(v); ok {
			if s, ok = check(l, s, v.at); ok {
				*field(to) = s
			}
		}
		return true
	}}
}

func wordsArg[T any](name string, field func(*T) *[]string, least int, check func(l *loader, s string, at hcl.Range) (string, bool)) argument[T] {
	return argument[T]{name, func(l *loader, to *T, e hcl.Expression) bool {
		list, said, ok := l.words(e, func(s string, at hcl.Range) (string, bool) { return check(l, s, at) })
		if !ok {
			return said
		}
		if tuple, written := e.(*hclsyntax.TupleConsExpr); len(list) < least && (!written || len(tuple.Exprs) < least) {
			l.fail(e.Range(), "Empty list", "%s needs at least one value. Leave it out for the default.", name)
			return true
		}
		*field(to) = list
		return true
	}}
}

func durationArg[T any](name string, field func(*T) *time.Duration) argument[T] {
	return argument[T]{name, func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if d, ok := l.duration(v, name, time.Millisecond, 24*time.Hour); ok {
			*field(to) = d
		}
		return true
	}}
}

func sizeArg[T any](name string, field func(*T) *int64, low, high int64, off string) argument[T] {
	return argument[T]{name, func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if n, ok := l.size(v, name, low, high, off); ok {
			*field(to) = n
		}
		return true
	}}
}

func intArg[T any](name string, field func(*T) *int, low, high int64) argument[T] {
	return argument[T]{name, func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if n, ok := l.integer(v, name, low, high); ok {
			*field(to) = int(n)
		}
		return true
	}}
}

func boolArg[T any](name string, field func(*T) *bool) argument[T] {
	return argument[T]{name, func(l *loader, to *T, e hcl.Expression) bool {
		v, said, ok := l.value(e)
		if !ok {
			return said
		}
		if b, ok := l.boolean(v, name); ok {
			*field(to) = b
		}
		return true
	}}
}

// contents reports whatever in body its shape has no place for, and returns the
// blocks that are as they should be, in file order.
func (l *loader) contents(body *hclsyntax.Body, is shape) []*hclsyntax.Block {
	var unknown []*hclsyntax.Attribute
	for name, a := range body.Attributes {
		if !slices.Contains(is.args, name) {
			unknown = append(unknown, a)
		}
	}
	slices.SortFunc(unknown, byPlace)
	for _, a := range unknown {
		l.fail(a.NameRange, "Unknown argument", "%s", unknownArgument(a.Name, is))
	}
	var good []*hclsyntax.Block
	first := map[string]*hclsyntax.Block{}
	for _, b := range body.Blocks {
		i := slices.IndexFunc(is.blocks, func(s shape) bool { return s.name == b.Type })
		if i < 0 {
			l.fail(b.TypeRange, "Unknown block", "%s", unknownBlock(b.Type, is))
			continue
		}
		kind := is.blocks[i]
		if !l.checkLabelCount(b, kind) {
			continue
		}
		if before := first[b.Type]; before != nil && !kind.repeated {
			l.fail(b.TypeRange, "Repeated block", "There is one %s block at %s already, and only one can be here. Put everything into that one.",
				b.Type, place(before.TypeRange))
		} else {
			first[b.Type] = b
		}
		good = append(good, b)
	}
	return good
}

func (l *loader) checkLabelCount(b *hclsyntax.Block, is shape) bool {
	switch {
	case is.label == "" && len(b.Labels) > 0:
		l.fail(b.LabelRanges[0], "Unexpected label", "%s has no label. Write %s { … }.", is.title(), b.Type)
	case is.label != "" && len(b.Labels) == 0:
		l.fail(b.TypeRange, "Missing label", "%s needs %s as its label: %s \"…\" { … }.", is.title(), is.label, b.Type)
	case len(b.Labels) > 1:
		l.fail(b.LabelRanges[1], "Unexpected label", "%s has one label, %s. Write one block for each.", is.title(), is.label)
	default:
		return true
	}
	return false
}

func unknownArgument(name string, in shape) string {
	what := fmt.Sprintf("%s has no argument named %q.", in.title(), name)
	if slices.Contains(in.siteOnly, name) {
		return what + fmt.Sprintf(" Each site says its own %s.", name)
	}
	if suggestion := didYouMean(nearest(name, in.args)); suggestion != "" {
		return what + suggestion
	}
	if i := slices.IndexFunc(in.blocks, func(s shape) bool { return s.name == name }); i >= 0 {
		begin := name
		if in.blocks[i].label != "" {
			begin += ` "…"`
		}
		return what + fmt.Sprintf(` %s is a block: write %s { … }, without "=".`, name, begin)
	}
	if home := homeOf(name, func(s shape) []string { return s.args }); home != "" {
		return what + fmt.Sprintf(" It belongs in a %s block.", home)
	}
	return what + list(" It has ", in.args)
}

// misspelt reports whether body has an unknown argument for which the argument of
// that name is suggested, so that to call it missing would say the same twice.
func misspelt(body *hclsyntax.Body, args []string, name string) bool {
	for given := range body.Attributes {
		if !slices.Contains(args, given) && nearest(given, args) == name {
			return true
		}
	}
	return false
}

func unknownBlock(name string, in shape) string {
	names := in.blockNames()
	what := fmt.Sprintf("%s has no block named %q.", in.title(), name)
	if slices.Contains(in.args, name) {
		return what + fmt.Sprintf(` %s is an argument: write %s = ….`, name, name)
	}
	if suggestion := didYouMean(nearest(name, names)); suggestion != "" {
		return what + suggestion
	}
	if home := homeOf(name, shape.blockNames); home != "" {
		return what + fmt.Sprintf(" It belongs in a %s block.", home)
	}
	return what + list(" It has ", names)
}

func list(before string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return before + strings.Join(names, ", ") + "."
}

// homeOf is the type of block that has something of that name, or "".
func homeOf(name string, has func(shape) []string) string {
	var search func(shape) string
	search = func(s shape) string {
		if s.name != "" && slices.Contains(has(s), name) {
			return s.name
		}
		for _, inner := range s.blocks {
			if found := search(inner); found != "" {
				return found
			}
		}
		return ""
	}
	return search(language())
}

func (s shape) title() string {
	switch s.name {
	case "":
		return "The top level"
	case blockAdmin, "error_page":
		return "An " + s.name + " block"
	}
	return "A " + s.name + " block"
}

func (s shape) blockNames() []string {
	names := make([]string, len(s.blocks))
	for i, b := range s.blocks {
		names[i] = b.name
	}
	return names
}
