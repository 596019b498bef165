package config

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// item is a value and the token it came from.
type item struct {
	value cty.Value
	at    hcl.Range
}

// value evaluates e. said is false when it is null, which is as good as not
// written; ok is false when there is nothing to go on with, and the reason has
// been reported.
func (l *loader) value(e hcl.Expression) (v item, said, ok bool) {
	if v, ok := literal(e); ok {
		return item{v, e.Range()}, true, true
	}
	value, diags := e.Value(l.eval)
	l.addEval(e, diags)
	switch {
	case diags.HasErrors():
		return item{}, true, false
	case !value.IsWhollyKnown():
		l.tainted = append(l.tainted, e.Range())
		return item{}, true, false
	case value.IsNull():
		return item{}, false, false
	}
	return item{value, e.Range()}, true, true
}

// literal is the value of a string with nothing in it to evaluate, which is most
// values.
func literal(e hcl.Expression) (cty.Value, bool) {
	t, ok := e.(*hclsyntax.TemplateExpr)
	if !ok || len(t.Parts) != 1 {
		return cty.NilVal, false
	}
	part, ok := t.Parts[0].(*hclsyntax.LiteralValueExpr)
	if !ok || part.Val.Type() != cty.String {
		return cty.NilVal, false
	}
	return part.Val, true
}

// items evaluates e to a list. The elements of a list that is written out have
// their own places; those that are wrong are left out, and have been reported.
func (l *loader) items(e hcl.Expression) (list []item, said, ok bool) {
	if tuple, isTuple := e.(*hclsyntax.TupleConsExpr); isTuple {
		for _, element := range tuple.Exprs {
			v, said, ok := l.value(element)
			if !said {
				l.fail(element.Range(), "Missing value", "An element of a list can't be null. Remove it, or use compact().")
			}
			if ok {
				list = append(list, v)
			}
		}
		return list, true, true
	}
	v, said, ok := l.value(e)
	if !ok {
		return nil, said, false
	}
	t := v.value.Type()
	if !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		remedy := "Write it in brackets: [ … ]."
		if text := v.value; t == cty.String && len(text.AsString()) < 40 {
			remedy = fmt.Sprintf("Write [%q].", text.AsString())
		}
		l.fail(v.at, "Wrong type", "A list is needed here, not %s. %s", typeText(t), remedy)
		return nil, true, false
	}
	for it := v.value.ElementIterator(); it.Next(); {
		_, element := it.Element()
		if element.IsNull() {
			l.fail(v.at, "Missing value", "An element of this list is null. Use compact() to leave out what is null.")
			continue
		}
		list = append(list, item{element, v.at})
	}
	return list, true, true
}

// entry is one name and its value in an object.
type entry struct{ name, value item }

// entries evaluates e to an object. What is written out has its own places, and
// may be there twice; what is wrong is left out, and has been reported.
func (l *loader) entries(e hcl.Expression) (all []entry, said, ok bool) {
	if object, isObject := e.(*hclsyntax.ObjectConsExpr); isObject {
		for _, x := range object.Items {
			name, named, ok1 := l.value(x.KeyExpr)
			value, valued, ok2 := l.value(x.ValueExpr)
			switch {
			case !named:
				l.fail(x.KeyExpr.Range(), "Missing name", "A name in an object can't be null. Remove it.")
			case !valued:
				l.fail(x.ValueExpr.Range(), "Missing value", "A value in an object can't be null. Remove it and its name.")
			case ok1 && ok2:
				all = append(all, entry{name, value})
			}
		}
		return all, true, true
	}
	v, said, ok := l.value(e)
	if !ok {
		return nil, said, false
	}
	if t := v.value.Type(); !t.IsObjectType() && !t.IsMapType() {
		l.fail(v.at, "Wrong type", "An object is needed here, not %s. Write { NAME = \"…\" }.", typeText(t))
		return nil, true, false
	}
	for it := v.value.ElementIterator(); it.Next(); {
		name, value := it.Element()
		if value.IsNull() {
			l.fail(v.at, "Missing value", "The value of %s in this object is null. Remove it and its name.", quote(name.AsString()))
			continue
		}
		all = append(all, entry{item{name, v.at}, item{value, v.at}})
	}
	return all, true, true
}

// text is v as a string.
func (l *loader) text(v item) (string, bool) {
	if t := v.value.Type(); t != cty.String {
		remedy := "Write it in quotes."
		if t == cty.Number {
			remedy = fmt.Sprintf("Write %q, in quotes.", v.value.AsBigFloat().Text('g', 15))
		}
		l.fail(v.at, "Wrong type", "A string is needed here, not %s. %s", typeText(t), remedy)
		return "", false
	}
	s := v.value.AsString()
	if strings.ContainsRune(s, 0) {
		l.fail(v.at, "Invalid string", "A NUL character can't be part of a value.")
		return "", false
	}
	return s, true
}

// integer is v as a whole number from low to high. A string of digits, such as
// env gives, will do.
func (l *loader) integer(v item, name string, low, high int64) (int64, bool) {
	if i, ok := whole(v.value); ok && i >= low && i <= high {
		return i, true
	}
	l.fail(v.at, "Invalid number", "%s must be a whole number from %d to %d.", name, low, high)
	return 0, false
}

func whole(v cty.Value) (int64, bool) {
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() {
		return 0, false
	}
	f := n.AsBigFloat()
	i, exact := f.Int64()
	return i, f.IsInt() && exact == big.Exact
}

// boolean is v as true or false. "true" and "false", such as env gives, will do.
func (l *loader) boolean(v item, name string) (bool, bool) {
	b, err := convert.Convert(v.value, cty.Bool)
	if err == nil && !b.IsNull() {
		return b.True(), true
	}
	remedy := ""
	if v.value.Type() == cty.String {
		switch strings.ToLower(v.value.AsString()) {
		case "on", "yes":
			remedy = " Write true."
		case "off", "no":
			remedy = " Write false."
		}
	}
	l.fail(v.at, "Wrong type", "%s must be true or false.%s", name, remedy)
	return false, false
}

// duration is v as a time from low to high.
func (l *loader) duration(v item, name string, low, high time.Duration) (time.Duration, bool) {
	if v.value.Type() == cty.Number {
		n := v.value.AsBigFloat().Text('g', 10)
		l.fail(v.at, "Missing unit", "%s is a time with its unit: write \"%ss\" for seconds, or \"%sms\" for milliseconds.", name, n, n)
		return 0, false
	}
	s, ok := l.text(v)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		remedy := `Write "30s", "1m30s" or "500ms"; the longest unit is the hour: "24h".`
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			remedy = fmt.Sprintf("Write %q for seconds.", s+"s")
		}
		l.fail(v.at, "Invalid time", "%s can't be %s. %s", name, quote(s), remedy)
		return 0, false
	}
	if d < low || d > high {
		l.fail(v.at, "Time out of range", "%s must be from %s to %s.", name, durationText(low), durationText(high))
		return 0, false
	}
	return d, true
}

// size is v as a number of bytes from low to high, or 0 where off says what that
// means.
func (l *loader) size(v item, name string, low, high int64, off string) (int64, bool) {
	var n uint64
	bounds := fmt.Sprintf("from %s to %s%s", sizeText(low), sizeText(high), off)
	if v.value.Type() == cty.Number {
		f := v.value.AsBigFloat()
		i, exact := f.Uint64()
		if !f.IsInt() || exact != big.Exact {
			l.fail(v.at, "Invalid size", "%s must be a whole number of bytes %s.", name, bounds)
			return 0, false
		}
		n = i
	} else {
		s, ok := l.text(v)
		if !ok {
			return 0, false
		}
		var err error
		if n, err = humanize.ParseBytes(s); err != nil {
			l.fail(v.at, "Invalid size", "%s can't be %s. Write a number and a unit: %q, %q or %q.", name, quote(s), "1MiB", "500KB", "0B")
			return 0, false
		}
	}
	if (n < uint64(low) || n > uint64(high)) && (n != 0 || off == "") {
		l.fail(v.at, "Size out of range", "%s must be %s.", name, bounds)
		return 0, false
	}
	return int64(n), true
}

// words reads a list of strings, each of which check accepts or reports; none
// may be there twice.
func (l *loader) words(e hcl.Expression, check func(s string, at hcl.Range) (string, bool)) (list []string, said, ok bool) {
	items, said, ok := l.items(e)
	places := map[string]hcl.Range{}
	for _, v := range items {
		s, valid := l.text(v)
		if valid {
			s, valid = check(s, v.at)
		}
		if !valid {
			continue
		}
		if first, twice := places[s]; twice {
			l.fail(v.at, "Repeated value", "%s is already in this list, at %s:%d. Remove one of them.", quote(s), place(first), first.Start.Column)
			continue
		}
		places[s] = v.at
		list = append(list, s)
	}
	return list, said, ok
}

// elementAt is where a list has the string s, or all of e when it is not written
// out there.
func elementAt(e hcl.Expression, s string) hcl.Range {
	if tuple, ok := e.(*hclsyntax.TupleConsExpr); ok {
		for _, element := range tuple.Exprs {
			v, diags := element.Value(nil)
			if !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() == s {
				return element.Range()
			}
		}
	}
	return e.Range()
}

func typeText(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsObjectType(), t.IsMapType():
		return "an object"
	default:
		return "a list"
	}
}

// quote shows a wrong value, but not all of a long one.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// sizeText writes a number of bytes the way size reads it.
func sizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := 0
	for n >= 1024 && n%1024 == 0 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + units[unit]
}

// durationText is 24h, not 24h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// oneOf reports whether s is one of names, and says so when it isn't.
func (l *loader) oneOf(s string, at hcl.Range, what string, names []string) bool {
	if slices.Contains(names, s) {
		return true
	}
	l.fail(at, "Unknown "+what, "%s is not a %s that can be given here.%s It is one of: %s.",
		quote(s), what, didYouMean(nearestValue(s, names)), strings.Join(names, ", "))
	return false
}
